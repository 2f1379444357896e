use rayon::ThreadPoolBuilder;
use termwise_autograd::{Cpu, Module, Tape};
use termwise_datasets::translation::ParallelText;
use termwise_models::Init;
use termwise_models::training::Task;
use termwise_models::translation::{
    SearchOptions, TranslationOptions, TranslationTask, Translator, TranslatorConfig, translate_text,
    translate_tokens,
};
use termwise_ops::optim::{Adam, AdamConfig, Optimizer, clip_grad_norm};

use super::{sequences, tiny};

fn text() -> ParallelText {
    let words =
        [("a man", "ein Mann"), ("a dog", "ein Hund"), ("a cat", "eine Katze"), ("the sun", "die Sonne")];
    let verbs = [("sees", "sieht"), ("knows", "kennt"), ("hears", "hört")];
    let mut pairs = vec![(String::new(), String::new())];
    for who in words {
        for verb in verbs {
            for whom in words {
                pairs.push((
                    format!("{} {} {}.", who.0, verb.0, whom.0),
                    format!("{} {} {}.", who.1, verb.1, whom.1),
                ));
            }
        }
    }
    let (source, target) = pairs.into_iter().unzip();
    ParallelText::new(("en".to_owned(), "de".to_owned()), source, target)
}

fn options(code: &str) -> TranslationOptions {
    let model = TranslatorConfig { channels: 16, feed_forward: 24, vocabulary: 300, ..tiny(code) };
    TranslationOptions { model, batch_tokens: 100, ..TranslationOptions::new(code.parse().unwrap()) }
}

/// Losses of the first steps and the bits of all parameters after them.
fn train(code: &str, seed: u64) -> (Vec<f64>, Vec<u32>) {
    let task =
        TranslationTask::new(Cpu::new(), &text(), &text(), TranslationOptions { seed, ..options(code) })
            .unwrap();
    let mut adam = Adam::new(AdamConfig::adam());
    let mut losses = Vec::new();
    for step in 0..6 {
        let (epoch, step) = (step / 3, step % 3);
        let tape = Tape::new(Cpu::new());
        let loss = task.loss(&tape, epoch, step).total;
        losses.push(f64::from(loss.value().item()));
        let gradients = tape.backward(&loss);
        let parameters = task.model().parameters();
        adam.step(&parameters, &clip_grad_norm(&parameters, &gradients, 1.0), 1e-3);
    }
    let parameters = task.model().parameters();
    let bits = parameters.iter().flat_map(|(_, p)| p.value().to_ndarray()).map(f32::to_bits).collect();
    (losses, bits)
}

#[test]
fn the_same_bits_for_any_number_of_threads_and_other_bits_for_another_seed() {
    for code in ["1111", "dynamic", "0010+deformable"] {
        let on = |threads: usize, seed: u64| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| train(code, seed))
        };
        let once = on(1, 3);
        assert!(once == on(2, 3), "{code}: other bits on two threads");
        assert!(once.1 != on(1, 4).1, "{code}: the seed does not matter");
    }
}

#[test]
fn a_loss_is_a_function_of_epoch_and_step() {
    let task = TranslationTask::new(Cpu::new(), &text(), &text(), options("0110")).unwrap();
    let loss = |epoch, step| task.loss(&Tape::new(Cpu::new()), epoch, step).total.value().item();
    let first = loss(0, 1);
    assert!(loss(2, 0) != first && loss(0, 0) != first);
    assert_eq!(loss(0, 1), first);
    assert!(task.steps(0) > 3);
}

#[test]
fn pairs_that_are_too_long_are_left_out_and_counted() {
    let limited = |max_tokens| {
        TranslationTask::new(
            Cpu::new(),
            &text(),
            &text(),
            TranslationOptions { max_tokens, ..options("0110") },
        )
    };
    assert_eq!(limited(100).unwrap().skipped(), 0);
    let some = limited(5).unwrap().skipped();
    assert!((1..text().len()).contains(&some), "{some}");
    let no_empty =
        ParallelText::new(("en".into(), "de".into()), vec!["a b c d".into()], vec!["e f g h".into()]);
    let refused = TranslationTask::new(
        Cpu::new(),
        &no_empty,
        &text(),
        TranslationOptions { max_tokens: 1, ..options("w/o") },
    );
    let message = refused.err().unwrap().to_string();
    assert!(message.contains("max_tokens"), "{message}");
}

#[test]
fn sentences_of_any_length_are_translated_within_the_bounds() {
    for code in ["1111", "dynamic", "w/o", "0010+deformable"] {
        let model = Translator::<Cpu<f32>>::new(tiny(code), &mut Init::new(Cpu::new(), 1));
        let sources = sequences(&[3, 0, 1, 200, 2, 0], 2);
        for beam in [1, 3] {
            let options = SearchOptions { beam, max_length: 40, ..SearchOptions::default() };
            let found = translate_tokens(&model, &sources, &options);
            assert_eq!(found.len(), sources.len());
            for (source, found) in sources.iter().zip(&found) {
                assert!(found.len() <= options.bound(source.len()) && found.len() <= 40, "{code}: {found:?}");
                assert!(!source.is_empty() || found.is_empty(), "{code}: {found:?} from nothing");
            }
            // Each as if it were alone.
            for (source, found) in sources.iter().zip(&found) {
                assert_eq!(
                    &translate_tokens(&model, std::slice::from_ref(source), &options)[0],
                    found,
                    "{code}"
                );
            }
        }
    }
}

#[test]
fn a_configuration_reads_back_and_builds_the_same_translator() {
    let task = TranslationTask::new(Cpu::new(), &text(), &text(), options("0010+deformable")).unwrap();
    let json = serde_json::to_string(task.config()).unwrap();
    let config: termwise_models::translation::TranslationConfig = serde_json::from_str(&json).unwrap();
    assert_eq!(&config, task.config());
    let again = Translator::new(config.model.clone(), &mut Init::new(Cpu::new(), task.options().seed));
    let lines = ["a dog sees the sun.", "", "zebra"];
    let search = SearchOptions::greedy();
    assert_eq!(
        translate_text(&again, &config, &lines, &search),
        translate_text(task.model(), task.config(), &lines, &search)
    );
    for (from, to) in [("\"1010\"", "\"0110\""), ("\"kernel_sizes\"", "\"kernels\"")] {
        let error =
            serde_json::from_str::<termwise_models::translation::TranslationConfig>(&json.replace(from, to));
        assert!(error.is_err(), "{to} is read");
    }
}

#[test]
fn a_field_out_of_range_is_named() {
    let refused = |change: &dyn Fn(&mut TranslationOptions)| {
        let mut options = options("1111");
        change(&mut options);
        TranslationTask::new(Cpu::new(), &text(), &text(), options).err().expect("refused").to_string()
    };
    assert!(refused(&|o| o.model.channels = 10).contains("channels"));
    assert!(refused(&|o| o.model.kernel_sizes = vec![4]).contains("kernel_sizes"));
    assert!(refused(&|o| o.model.vocabulary = 20).contains("vocabulary"));
    assert!(refused(&|o| o.dropout = f64::NAN).contains("dropout"));
    assert!(refused(&|o| o.search.beam = 0).contains("beam"));
    assert!(refused(&|o| o.model.decoder_layers = 0).contains("decoder_layers"));
}
