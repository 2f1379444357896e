//! `termwise train translation`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use termwise_datasets::Split;
use termwise_datasets::grammar::Grammar;
use termwise_datasets::translation::{ParallelText, TranslationOptions as TextOptions};
use termwise_models::training::Recipe;
use termwise_models::translation::{
    CrossTerms, TranslationConfig, TranslationOptions, TranslationScore, TranslationTask, recipe,
};
use termwise_opencl::DeviceChoice;
use termwise_ops::Kernels;
use termwise_ops::attention::AttentionCode;

use crate::cli::curves::{self, curves_file};
use crate::cli::device::on_backend;
use crate::cli::fault::Fault;
use crate::cli::output::say;
use crate::cli::settings::{Origin, check_recipe, insert, positive, settings, settings_from};
use crate::cli::training::{Begin, Course, Finished, Keep};

/// Arguments of `termwise train translation`.
#[derive(clap::Args)]
pub struct TrainArgs {
    /// Folder with train.XX, train.YY, val.XX and val.YY, a sentence a line, plain or gzipped [default: sentences made
    /// by a built-in English-German grammar]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// The languages by their file extensions, source first, where the folder has several
    #[arg(long, value_name = "XX-YY", value_parser = languages, conflicts_with = "resume")]
    languages: Option<(String, String)>,
    /// The mechanism of self-attention: w/o, 0000 to 1111, dynamic, or one with +deformable [default: 1111]
    #[arg(long, value_name = "CODE", conflicts_with = "resume")]
    attention: Option<AttentionCode>,
    /// The terms of encoder-decoder attention: 1010, 1000, 0010 or 0000 [default: 1010]
    #[arg(long, value_name = "CODE", conflicts_with = "resume")]
    cross: Option<CrossTerms>,
    /// Passes over the training text
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "resume")]
    epochs: Option<u32>,
    /// End after so many seconds; the schedule follows the clock where that is ahead of the epochs
    #[arg(long, value_name = "SECONDS", value_parser = positive, allow_negative_numbers = true, conflicts_with = "resume")]
    time_limit: Option<f64>,
    /// Peak learning rate
    #[arg(long, value_name = "RATE", value_parser = positive, allow_negative_numbers = true, conflicts_with = "resume")]
    lr: Option<f64>,
    /// Make all text lower-case
    #[arg(long, conflicts_with = "resume")]
    lowercase: bool,
    /// Seed of initial values, order, dropout and built-in sentences [default: 0]
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    seed: Option<u64>,
    /// Built-in sentences to train on [default: 20000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000), conflicts_with_all = ["data", "resume"])]
    sentences: Option<u32>,
    /// Settings as a TOML file; flags go over it
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    config: Option<PathBuf>,
    #[command(flatten)]
    keep: Keep,
}

/// All settings of a training: what `config.json` says, and which fields a TOML file may set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Absent for built-in sentences.
    pub data: Option<PathBuf>,
    languages: Option<(String, String)>,
    sentences: usize,
    /// Optimiser, schedule and length.
    #[serde(flatten)]
    pub recipe: Recipe,
    /// The translator.
    pub translation: TranslationOptions,
}

impl Settings {
    fn of(args: &TrainArgs) -> Result<Self, Fault> {
        let mut flags = Map::new();
        insert(&mut flags, "data", args.data.as_ref());
        insert(&mut flags, "languages", args.languages.as_ref());
        insert(&mut flags, "sentences", args.sentences);
        insert(&mut flags, "epochs", args.epochs);
        insert(&mut flags, "time_limit", args.time_limit);
        insert(&mut flags, "lr", args.lr);
        let (mut translation, mut model) = (Map::new(), Map::new());
        insert(&mut model, "attention", args.attention);
        insert(&mut model, "cross", args.cross);
        insert(&mut translation, "seed", args.seed);
        insert(&mut translation, "lowercase", args.lowercase.then_some(true));
        translation.insert("model".into(), Value::Object(model));
        flags.insert("translation".into(), Value::Object(translation));
        let file = args.config.as_deref();
        Self::checked(settings(&Self::standard(), file, &json!(flags))?.settings, file)
    }

    fn standard() -> Self {
        Settings {
            data: None,
            languages: None,
            sentences: 20_000,
            recipe: recipe(),
            translation: TranslationOptions::new("1111".parse().expect("a code")),
        }
    }

    /// Those of a table, with `own` over them.
    pub fn of_table(origin: Origin, table: Map<String, Value>, own: &Value) -> Result<Self, Fault> {
        let given = settings_from(&Self::standard(), Some((origin, table)), own)?;
        Self::checked(given.settings, Some(origin.file))
    }

    fn checked(settings: Self, file: Option<&Path>) -> Result<Self, Fault> {
        check_recipe(file, &settings.recipe)?;
        settings.translation.check().map_err(|error| match file {
            Some(path) => {
                Fault::of_file(path, &format!("field {}", error.field), error.expected, error.found)
            }
            None => Fault::Input(error.to_string()),
        })?;
        Ok(settings)
    }

    /// Sentences to train and to measure on.
    pub fn texts(&self) -> Result<(ParallelText, ParallelText), Fault> {
        Ok((self.text("train", Split::Train, self.sentences)?, self.text("val", Split::Val, 500)?))
    }

    fn text(&self, name: &str, split: Split, count: usize) -> Result<ParallelText, Fault> {
        match &self.data {
            Some(folder) => text(folder, name, self.languages.clone(), self.translation.lowercase),
            None => Ok(Grammar::new(self.translation.seed).text(split, count)),
        }
    }
}

/// A split of a folder, with what is wrong with it on standard error.
pub fn text(
    folder: &Path,
    split: &str,
    languages: Option<(String, String)>,
    lowercase: bool,
) -> Result<ParallelText, Fault> {
    let options = TextOptions { languages, lowercase, ..TextOptions::default() };
    let text = ParallelText::open(folder, split, &options)?;
    if !text.report().is_clean() {
        eprint!("{}", text.report());
    }
    if text.len() == 0 {
        return Err(Fault::of_file(
            folder,
            &format!("split {split}"),
            "at least one pair of sentences",
            "none",
        ));
    }
    Ok(text)
}

/// A pair of extensions such as `en-de`.
pub fn languages(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('-').filter(|(source, target)| !source.is_empty() && !target.is_empty());
    let pair = pair.filter(|(source, target)| source != target);
    pair.map(|(source, target)| (source.to_owned(), target.to_owned()))
        .ok_or_else(|| "expected two different languages such as en-de".to_owned())
}

/// A score in a few words.
fn describe(score: &TranslationScore) -> String {
    format!(
        "BLEU {:.2} ({:.2} cased), negative log-likelihood {:.4}",
        score.bleu, score.bleu_cased, score.nll
    )
}

/// Runs the command.
pub fn run(args: &TrainArgs, device: DeviceChoice) -> Result<(), Fault> {
    on_backend!(device, backend => run_on(backend, args))
}

fn run_on<B: Kernels<Scalar = f32>>(backend: B, args: &TrainArgs) -> Result<(), Fault> {
    let begin = args.keep.begin(|| Settings::of(args))?;
    let options = &begin.settings.translation;
    let (train, validation) = begin.settings.texts()?;
    begin.note()?;
    let task = match &begin.checkpoint {
        Some(checkpoint) => {
            let config = checkpoint.architecture::<TranslationConfig>()?;
            TranslationTask::with_config(backend, config, &train, &validation, options.clone())
        }
        None => TranslationTask::new(backend, &train, &validation, options.clone()),
    };
    let task = task.map_err(|error| Fault::Input(error.to_string()))?;
    if task.skipped() > 0 {
        eprintln!("{} pairs of more than {} tokens are left out", task.skipped(), options.max_tokens);
    }
    let Begin { settings, folder, checkpoint } = &begin;
    let name = format!("{} x {}", settings.translation.model.attention, settings.translation.model.cross);
    let course =
        Course { name: name.clone(), folder: folder.as_ref(), save_every: args.keep.save_every, describe };
    let trainer = Course::trainer(task, &settings.recipe, checkpoint.as_ref())?;
    let Finished { trainer, steps } = course.run(trainer)?;
    let last = trainer.epochs().last().expect("at least one epoch");
    say(&format!("{}, after {:.0} s", describe(&last.score), trainer.seconds()))?;
    if let Some(folder) = folder {
        let course = curves::Course::new(name, &steps, trainer.epochs(), |score| score.bleu);
        folder.write("curves.svg", curves_file(course, "BLEU"))?;
        let (_, translations) =
            trainer.with_best(|| trainer.task().evaluate_on(&validation, &settings.translation.search));
        let mut table = String::from("source\treference\ttranslation\n");
        for ((source, target), translation) in validation.pairs().zip(translations) {
            table += &format!("{source}\t{target}\t{translation}\n");
        }
        say(&folder.write("translations.tsv", table)?.display().to_string())?;
    }
    Ok(())
}
