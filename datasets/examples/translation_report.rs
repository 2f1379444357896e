//! Prints what a folder of parallel text holds: lines, words, languages, what a vocabulary makes of it. Without a
//! folder, generated sentences.
//!
//! ```text
//! cargo run --release -p termwise-datasets --example translation_report -- [DIR SPLIT [VOCABULARY]]
//! ```

use std::path::Path;
use std::process::ExitCode;

use termwise_datasets::bpe::Bpe;
use termwise_datasets::grammar::Grammar;
use termwise_datasets::translation::{ParallelText, TokenPair, TranslationOptions};
use termwise_datasets::{DataError, Split};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let text = match words.as_slice() {
        [] => Ok(Grammar::new(1).text(Split::Train, 10_000)),
        [folder, split, ..] => ParallelText::open(Path::new(folder), split, &TranslationOptions::default()),
        [_] => {
            eprintln!("usage: translation_report [DIR SPLIT [VOCABULARY]]");
            return ExitCode::FAILURE;
        }
    };
    let vocabulary = words.get(2).and_then(|word| word.parse().ok()).unwrap_or(4000);
    match text {
        Ok(text) => print_report(&text, vocabulary),
        Err(error) => {
            let error: DataError = error;
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn print_report(text: &ParallelText, vocabulary: usize) {
    let (source, target) = text.languages();
    println!("{} pairs, {source} to {target}", text.len());
    if !text.report().is_clean() {
        println!("{}", text.report());
    }
    let bpe = Bpe::learn(text.lines(), vocabulary.max(Bpe::MIN_VOCABULARY));
    let pairs = TokenPair::encode_all(text, &bpe);
    println!("{} tokens in the vocabulary of both", bpe.vocabulary_size());
    for (language, lines, side) in [
        (source, text.source(), (|pair| &pair.source) as fn(&TokenPair) -> &Vec<u32>),
        (target, text.target(), |pair| &pair.target),
    ] {
        let words: usize = lines.iter().map(|line| line.split_whitespace().count()).sum();
        let mut lengths: Vec<usize> = pairs.iter().map(|pair| side(pair).len()).collect();
        lengths.sort();
        let tokens: usize = lengths.iter().sum();
        let (median, longest) = (lengths[lengths.len() / 2], lengths[lengths.len() - 1]);
        println!(
            "{language}: {words} words, {tokens} tokens, {median} in the middle sentence, {longest} in the longest"
        );
    }
    for ((english, german), pair) in text.pairs().zip(&pairs).take(12) {
        println!("\n{english}\n{german}");
        let tokens: Vec<String> = pair.target.iter().map(|&token| bpe.token(token)).collect();
        println!("{}", tokens.join("|"));
    }
}
