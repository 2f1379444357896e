//! `termwise eval translation` and `termwise predict translation`.

use std::io::BufRead;
use std::path::PathBuf;

use serde::Serialize;
use termwise_datasets::Split;
use termwise_datasets::grammar::Grammar;
use termwise_models::Init;
use termwise_models::checkpoint::Checkpoint;
use termwise_models::translation::{
    SearchOptions, TranslationConfig, TranslationScore, Translator, evaluate_text, translate_text,
};
use termwise_opencl::DeviceChoice;
use termwise_ops::Kernels;

use super::train::text;
use crate::cli::device::on_backend;
use crate::cli::fault::Fault;
use crate::cli::output::{OutputFolder, say};

/// How to search.
#[derive(clap::Args)]
struct Search {
    /// Hypotheses that are kept at each step; 1 is greedy search
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=256))]
    beam: u16,
    /// A hypothesis of n tokens scores log p / ((5 + n) / 6)^A
    #[arg(long, value_name = "A", default_value_t = 1.0, allow_negative_numbers = true)]
    length_penalty: f64,
}

impl Search {
    fn options(&self) -> SearchOptions {
        SearchOptions {
            beam: self.beam.into(),
            length_penalty: self.length_penalty,
            ..SearchOptions::default()
        }
    }
}

/// Arguments of `termwise eval translation`.
#[derive(clap::Args)]
pub struct EvalArgs {
    /// The file that `termwise train translation` wrote
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// Folder with parallel text [default: built-in sentences that no training uses]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The split of the folder
    #[arg(long, value_name = "NAME", default_value = "val", requires = "data")]
    split: String,
    #[command(flatten)]
    search: Search,
    /// Seed of the built-in sentences
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "data")]
    seed: u64,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
    /// Write metrics.json and translations.txt into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Figures {
    attention: String,
    cross: String,
    sentences: usize,
    #[serde(flatten)]
    score: TranslationScore,
}

/// Arguments of `termwise predict translation`.
#[derive(clap::Args)]
pub struct PredictArgs {
    /// The file that `termwise train translation` wrote
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    #[command(flatten)]
    search: Search,
}

fn load<B: Kernels<Scalar = f32>>(
    backend: B,
    path: &std::path::Path,
) -> Result<(TranslationConfig, Translator<B>), Fault> {
    let checkpoint = Checkpoint::read(path)?;
    let config: TranslationConfig = checkpoint.architecture()?;
    config.model.check().map_err(|error| {
        Fault::of_file(path, &format!("architecture.{}", error.field), error.expected, error.found)
    })?;
    if config.model.vocabulary != config.bpe.vocabulary_size() {
        let expected = format!("{} as there are tokens", config.bpe.vocabulary_size());
        return Err(Fault::of_file(path, "architecture.vocabulary", expected, config.model.vocabulary));
    }
    let model = Translator::new(config.model.clone(), &mut Init::new(backend, 0));
    checkpoint.load(&model)?;
    Ok((config, model))
}

/// Runs `termwise eval translation`.
pub fn eval(args: &EvalArgs, device: DeviceChoice) -> Result<(), Fault> {
    on_backend!(device, backend => eval_on(backend, args))
}

fn eval_on<B: Kernels<Scalar = f32>>(backend: B, args: &EvalArgs) -> Result<(), Fault> {
    let (config, model) = load(backend, &args.checkpoint)?;
    let text = match &args.data {
        Some(folder) => text(folder, &args.split, Some(config.languages.clone()), config.lowercase)?,
        None => Grammar::new(args.seed).text(Split::Test, 500),
    };
    let folder = args.out.as_deref().map(OutputFolder::open).transpose()?;
    let (score, translations) = evaluate_text(&model, &config, &text, &args.search.options());
    let figures = Figures {
        attention: config.model.attention.to_string(),
        cross: config.model.cross.to_string(),
        sentences: text.len(),
        score,
    };
    let json = serde_json::to_string(&figures).expect("plain data");
    if args.json {
        say(&json)?;
    } else {
        say(&format!(
            "{} x {} on {} sentences: BLEU {:.2} ({:.2} cased), negative log-likelihood {:.4}",
            figures.attention, figures.cross, figures.sentences, score.bleu, score.bleu_cased, score.nll
        ))?;
    }
    if let Some(folder) = folder {
        folder.write("metrics.json", json + "\n")?;
        folder.write("translations.txt", translations.join("\n") + "\n")?;
    }
    Ok(())
}

/// Lines that are translated together.
const TOGETHER: usize = 256;

/// Runs `termwise predict translation`: standard input to standard output, a sentence a line.
pub fn predict(args: &PredictArgs, device: DeviceChoice) -> Result<(), Fault> {
    on_backend!(device, backend => predict_on(backend, args))
}

fn predict_on<B: Kernels<Scalar = f32>>(backend: B, args: &PredictArgs) -> Result<(), Fault> {
    let (config, model) = load(backend, &args.checkpoint)?;
    let options = args.search.options();
    let translate = |lines: &mut Vec<String>| {
        let translated = translate_text(&model, &config, lines, &options);
        lines.clear();
        translated.iter().try_for_each(|line| say(line))
    };
    let mut lines = Vec::new();
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.map_err(|error| {
            Fault::Input(format!("standard input: line {}: expected UTF-8 text, found {error}", number + 1))
        })?;
        lines.push(line);
        if terminal || lines.len() == TOGETHER {
            translate(&mut lines)?;
        }
    }
    translate(&mut lines)
}
