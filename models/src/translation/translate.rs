//! Translating many sentences: in batches of like length, the results in the given order.

use termwise_datasets::bpe::Bpe;
use termwise_datasets::translation::Padded;
use termwise_ops::Kernels;

use super::{SearchOptions, TranslationConfig, Translator, Vocabulary, beam_search, greedy_search};

/// Source tokens of a batch times the beam, about: keeps the caches within a few dozen megabytes.
const BATCH_TOKENS: usize = 4096;

/// Translates sentences of tokens (without beginning and end). An empty sentence stays empty.
pub fn translate_tokens<B: Kernels<Scalar = f32>>(
    model: &Translator<B>,
    sources: &[Vec<u32>],
    options: &SearchOptions,
) -> Vec<Vec<u32>> {
    let mut order: Vec<usize> = (0..sources.len()).filter(|&i| !sources[i].is_empty()).collect();
    order.sort_by_key(|&i| sources[i].len()); // stable
    let mut found = vec![Vec::new(); sources.len()];
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        // The last one taken is the longest, to which the others are padded.
        let fits =
            |&count: &usize| count * (sources[rest[count - 1]].len() + 1) * options.beam <= BATCH_TOKENS;
        let count = (1..=rest.len()).take_while(fits).last().unwrap_or(1);
        let (batch, others) = rest.split_at(count);
        let with_end: Vec<Vec<u32>> =
            batch.iter().map(|&i| [&sources[i], &[Bpe::EOS][..]].concat()).collect();
        let source = Padded::stack(with_end.iter().map(Vec::as_slice));
        let bounds: Vec<usize> = batch.iter().map(|&i| options.bound(sources[i].len())).collect();
        let mut decoding = model.decoding(&source);
        let vocabulary = Vocabulary::default();
        let hypotheses: Vec<Vec<u32>> = if options.beam == 1 {
            let found = greedy_search(&mut decoding, &bounds, vocabulary, options);
            found.into_iter().map(|hypothesis| hypothesis.tokens).collect()
        } else {
            let found = beam_search(&mut decoding, &bounds, vocabulary, options);
            found.into_iter().map(|mut hypotheses| hypotheses.swap_remove(0).tokens).collect()
        };
        batch.iter().zip(hypotheses).for_each(|(&i, tokens)| found[i] = tokens);
        rest = others;
    }
    found
}

/// Translates lines of text. An empty line stays empty.
///
/// # Examples
/// A translator made to say `b` for ever, within the bound of as many tokens as the source has:
/// ```
/// use termwise_autograd::{Array, Cpu, Module};
/// use termwise_datasets::bpe::Bpe;
/// use termwise_models::Init;
/// use termwise_models::translation::{
///     SearchOptions, Translation, TranslationConfig, Translator, TranslatorConfig, translate_text,
/// };
/// let bpe = Bpe::learn(["a"], Bpe::MIN_VOCABULARY); // bytes alone
/// let code = "0010".parse().unwrap();
/// let sizes = TranslatorConfig { channels: 8, feed_forward: 8, ..TranslatorConfig::new(code, bpe.vocabulary_size()) };
/// let model = Translator::new(sizes.clone(), &mut Init::new(Cpu::<f32>::new(), 0));
/// let b = *bpe.encode("b").last().unwrap() as usize;
/// for (name, param) in model.parameters() {
///     let value = |i| match name.as_str() {
///         "decoder_norm.bias" => 1.0, // the state of the decoder, whatever it has read
///         "embedding" if i / 8 == b => 1.0,
///         _ => 0.0,
///     };
///     param.set(Array::host(&param.shape(), (0..param.len()).map(value).collect()));
/// }
/// let config = TranslationConfig {
///     task: Translation::Translation,
///     languages: ("aa".to_owned(), "bb".to_owned()),
///     lowercase: true,
///     bpe,
///     model: sizes,
/// };
/// let options = SearchOptions { length_factor: 1.0, length_extra: 0, ..SearchOptions::greedy() };
/// // Three tokens: the space that begins every word, and two letters.
/// assert_eq!(translate_text(&model, &config, &["Aa", "  "], &options), ["bbb", ""]);
/// ```
pub fn translate_text<B: Kernels<Scalar = f32>>(
    model: &Translator<B>,
    config: &TranslationConfig,
    lines: &[impl AsRef<str>],
    options: &SearchOptions,
) -> Vec<String> {
    let encode = |line: &str| match line.trim() {
        "" => Vec::new(),
        line if config.lowercase => config.bpe.encode(&line.to_lowercase()),
        line => config.bpe.encode(line),
    };
    let sources: Vec<Vec<u32>> = lines.iter().map(|line| encode(line.as_ref())).collect();
    translate_tokens(model, &sources, options).iter().map(|tokens| config.bpe.decode(tokens)).collect()
}
