//! `termwise train segmentation`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use termwise_models::segmentation::TrainConfig;
use termwise_models::training::{OptimizerKind, ScheduleKind};
use termwise_opencl::DeviceChoice;
use termwise_ops::attention::AttentionCode;

use super::data::{Data, fits, parse_size};
use super::figures::{curves, png, predictions, spread};
use super::{Run, describe, table};
use crate::cli::device::on_backend;
use crate::cli::fault::Fault;
use crate::cli::output::{OutputFolder, columns, say};
use crate::cli::settings::{Given, Origin, check, check_recipe, positive, settings, settings_from};
use crate::cli::training::{Begin, Keep};
use crate::report::{Page, Svg};

/// Arguments of `termwise train segmentation`.
#[derive(clap::Args)]
pub struct TrainArgs {
    #[command(flatten)]
    flags: Flags,
    /// Settings as a TOML file; flags go over it
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// Neither flip, rescale, crop nor recolour training pictures
    #[arg(long, conflicts_with = "resume")]
    no_augment: bool,
    #[command(flatten)]
    keep: Keep,
}

/// Flags that are settings: those that were given.
#[derive(clap::Args, Serialize)]
#[group(id = "flags", multiple = true, conflicts_with = "resume")]
struct Flags {
    /// Folder with classes.txt and the splits train and val [default: built-in scenes]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<PathBuf>,
    /// The mechanism: w/o, 0000 to 1111, deformable, dynamic, or one with +deformable
    #[arg(long, value_name = "CODE", required_unless_present_any = ["config", "resume"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    attention: Option<AttentionCode>,
    /// Passes over the training pictures [default: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    epochs: Option<u32>,
    /// End after so many seconds; the schedule follows the clock where that is ahead of the epochs
    #[arg(long, value_name = "SECONDS", value_parser = positive, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    time_limit: Option<f64>,
    /// Height and width of the pictures [default: those of the files; 64x64 for built-in scenes]
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<(usize, usize)>,
    /// Pictures a step [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u32>,
    /// adam (with decoupled weight decay) or sgd (with Nesterov momentum) [default: adam]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    optimizer: Option<OptimizerKind>,
    /// Peak learning rate [default: 0.003 for adam, 0.1 for sgd]
    #[arg(long, value_name = "RATE", value_parser = positive, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    lr: Option<f64>,
    /// How the rate falls after the warm-up: cosine, poly or constant [default: cosine]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<ScheduleKind>,
    /// Channels of the first convolution [default: 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    /// Heads of Transformer attention and kernel groups of dynamic convolution; a divisor of the width [default: 4]
    #[arg(long = "heads", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    #[serde(skip_serializing_if = "Option::is_none")]
    num_heads: Option<u32>,
    /// Seed of initial values, order, augmentation and built-in scenes [default: 0]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    /// Built-in scenes to train on [default: 512]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000), conflicts_with = "data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    scenes: Option<u64>,
}

/// All settings of a training: what `config.json` says, and which fields a TOML file may set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Absent for built-in scenes.
    pub data: Option<PathBuf>,
    scenes: u64,
    size: Option<(usize, usize)>,
    /// How the segmenter is built and trained.
    #[serde(flatten)]
    pub config: TrainConfig,
}

impl Settings {
    fn new(attention: AttentionCode) -> Self {
        Settings { data: None, scenes: 512, size: None, config: TrainConfig::new(attention) }
    }

    /// Those of the arguments.
    fn of(args: &TrainArgs) -> Result<Self, Fault> {
        let file = args.config.as_deref();
        let defaults = Settings::new("w/o".parse().expect("a code"));
        let given = settings(&defaults, file, &args.flags)?;
        check(file, "attention", "a mechanism such as 0110", "none", given.fields.contains("attention"))?;
        let mut settings = Self::checked(given, file)?;
        settings.config.augment &= !args.no_augment;
        Ok(settings)
    }

    /// Those of a table, with `own` over them.
    pub fn of_table(origin: Origin, table: Map<String, Value>, own: &Value) -> Result<Self, Fault> {
        let defaults = Settings::new("w/o".parse().expect("a code"));
        let given = settings_from(&defaults, Some((origin, table)), own)?;
        Self::checked(given, Some(origin.file))
    }

    fn checked(given: Given<Self>, file: Option<&Path>) -> Result<Self, Fault> {
        let Given { mut settings, fields } = given;
        if settings.config.recipe.optimizer == OptimizerKind::Sgd && !fields.contains("lr") {
            settings.config.recipe.lr = 0.1;
        }
        settings.check(file)?;
        Ok(settings)
    }

    fn check(&self, file: Option<&Path>) -> Result<(), Fault> {
        let TrainConfig { batch, balance, width, num_heads, recipe, .. } = &self.config;
        check_recipe(file, recipe)?;
        check(file, "balance", "a number from 0 to 1", balance, (0.0..=1.0).contains(balance))?;
        check(file, "batch", "1 to 4096", batch, (1..=4096).contains(batch))?;
        check(file, "width", "1 to 512", width, (1..=512).contains(width))?;
        check(file, "scenes", "1 to 1000000", self.scenes, (1..=1_000_000).contains(&self.scenes))?;
        let heads = if file.is_some() { "num_heads" } else { "heads" };
        let divides = *num_heads > 0 && width.is_multiple_of(*num_heads);
        check(file, heads, &format!("a divisor of the width {width}"), num_heads, divides)?;
        let size = format!("{:?}", self.size);
        check(file, "size", "[height, width], each side from 32 to 2048", size, self.size.is_none_or(fits))
    }

    /// Pictures to train and to measure on.
    pub fn data(&self) -> Result<Data, Fault> {
        match &self.data {
            Some(folder) => Data::of_folder(folder, self.size),
            None => Ok(Data::of_scenes(self.size, self.config.seed, [self.scenes, self.scenes.div_ceil(4)])),
        }
    }
}

/// Runs the command.
pub fn run(args: &TrainArgs, device: DeviceChoice) -> Result<(), Fault> {
    let begin = args.keep.begin(|| Settings::of(args))?;
    let data = begin.settings.data()?;
    begin.note()?;
    let Begin { settings, folder, checkpoint } = begin;
    let (folder_of, from, every) = (folder.as_ref(), checkpoint.as_ref(), args.keep.save_every);
    let run =
        on_backend!(device, backend => Run::train(backend, settings.config, &data, folder_of, from, every))?;
    say_result(&run, &data)?;
    folder.map_or(Ok(()), |folder| write_results(&folder, run, &data))
}

fn say_result(run: &Run, data: &Data) -> Result<(), Fault> {
    let classes = data.classes.names().iter().zip(&run.last().score.iou);
    let rows: Vec<Vec<String>> = classes
        .map(|(name, iou)| vec![name.clone(), iou.map_or("-".into(), |iou| format!("{iou:.3}"))])
        .collect();
    say(&columns(&["class", "IoU"], &rows))?;
    let table = table(std::slice::from_ref(run));
    let head: Vec<&str> = table.head.iter().map(String::as_str).collect();
    say(&format!("\n{}", columns(&head, &table.rows)))
}

fn write_results(folder: &OutputFolder, run: Run, data: &Data) -> Result<(), Fault> {
    let samples = spread(&data.validation, 6);
    folder.write("predictions.png", png(&predictions(&run, &samples)))?;
    let runs = [run];
    folder.write("curves.svg", Svg::stacked("The course of training", &curves(&runs)).file())?;
    let mut page = Page::new(
        &format!("Segmentation with {}", runs[0].name()),
        &format!("One training on {}, seed {}.", data.name, runs[0].config.seed),
    );
    describe(&mut page, &runs, data);
    let path = folder.write("report.html", page.finish())?;
    say(&path.display().to_string())
}
