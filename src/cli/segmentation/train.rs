//! `termwise train segmentation`.

use std::path::PathBuf;

use serde::Serialize;
use termwise_models::checkpoint;
use termwise_models::segmentation::{OptimizerKind, ScheduleKind, TrainConfig};
use termwise_ops::attention::AttentionCode;

use super::data::{Data, parse_size};
use super::figures::{curves, png, predictions, spread};
use super::{Run, describe, positive, table};
use crate::cli::fault::Fault;
use crate::cli::output::{OutputFolder, columns, say};
use crate::report::{Page, Svg};

/// Arguments of `termwise train segmentation`.
#[derive(clap::Args)]
pub struct TrainArgs {
    /// Folder with classes.txt and the splits train and val [default: built-in scenes]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The mechanism: w/o, 0000 to 1111, deformable, dynamic, or one with +deformable
    #[arg(long, value_name = "CODE")]
    attention: AttentionCode,
    /// Passes over the training pictures
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// End after so many seconds; the schedule follows the clock where that is ahead of the epochs
    #[arg(long, value_name = "SECONDS", value_parser = positive, allow_negative_numbers = true)]
    time_limit: Option<f64>,
    /// Height and width of the pictures [default: those of the files; 64x64 for built-in scenes]
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<(usize, usize)>,
    /// Pictures a step
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// adam (with decoupled weight decay) or sgd (with Nesterov momentum)
    #[arg(long, default_value_t = OptimizerKind::Adam)]
    optimizer: OptimizerKind,
    /// Peak learning rate [default: 0.003 for adam, 0.1 for sgd]
    #[arg(long, value_name = "RATE", value_parser = positive, allow_negative_numbers = true)]
    lr: Option<f64>,
    /// How the rate falls after the warm-up: cosine, poly or constant
    #[arg(long, default_value_t = ScheduleKind::Cosine)]
    schedule: ScheduleKind,
    /// Channels of the first convolution
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=512))]
    width: u32,
    /// Heads of Transformer attention and kernel groups of dynamic convolution; a divisor of the width
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=512))]
    heads: u32,
    /// Neither flip, rescale, crop nor recolour training pictures
    #[arg(long)]
    no_augment: bool,
    /// Seed of initial values, order, augmentation and built-in scenes
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Built-in scenes to train on
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=1_000_000), conflicts_with = "data")]
    scenes: u64,
    /// Write config.json, metrics.jsonl, curves.svg, predictions.png, report.html and
    /// checkpoint.safetensors into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What `config.json` says.
#[derive(Serialize)]
struct Settings<'a> {
    data: &'a str,
    size: (usize, usize),
    training_pictures: usize,
    validation_pictures: usize,
    #[serde(flatten)]
    config: &'a TrainConfig,
}

impl TrainArgs {
    fn config(&self) -> Result<TrainConfig, Fault> {
        if !self.width.is_multiple_of(self.heads) {
            let (heads, width) = (self.heads, self.width);
            return Err(Fault::Input(format!(
                "--heads: expected a divisor of the width {width}, found {heads}"
            )));
        }
        let lr = match self.optimizer {
            OptimizerKind::Adam => 3e-3,
            OptimizerKind::Sgd => 0.1,
        };
        Ok(TrainConfig {
            epochs: self.epochs as usize,
            time_limit: self.time_limit,
            batch: self.batch as usize,
            optimizer: self.optimizer,
            lr: self.lr.unwrap_or(lr),
            schedule: self.schedule,
            augment: !self.no_augment,
            width: self.width as usize,
            num_heads: self.heads as usize,
            seed: self.seed,
            ..TrainConfig::new(self.attention)
        })
    }
}

/// Runs the command.
pub fn run(args: &TrainArgs) -> Result<(), Fault> {
    let config = args.config()?;
    let data = match &args.data {
        Some(folder) => Data::of_folder(folder, args.size)?,
        None => Data::of_scenes(args.size, args.seed, [args.scenes, args.scenes.div_ceil(4)]),
    };
    let folder = args.out.as_deref().map(OutputFolder::open).transpose()?;
    if let Some(folder) = &folder {
        let settings = Settings {
            data: &data.name,
            size: data.train[0].size(),
            training_pictures: data.train.len(),
            validation_pictures: data.validation.len(),
            config: &config,
        };
        let text = serde_json::to_string_pretty(&settings).expect("plain data");
        folder.write("config.json", text + "\n")?;
    }
    let mut written = Ok(());
    let run = Run::train(config, &data, |lines| {
        if let Some(folder) = &folder {
            written = folder.write("metrics.jsonl", lines).map(drop);
        }
    })?;
    // The metrics are written again and again; that the last time went well is what counts.
    written?;
    say_result(&run, &data)?;
    if let Some(folder) = folder {
        write_results(&folder, run, &data)?;
    }
    Ok(())
}

fn say_result(run: &Run, data: &Data) -> Result<(), Fault> {
    let classes = data.classes.names().iter().zip(&run.last().iou);
    let rows: Vec<Vec<String>> = classes
        .map(|(name, iou)| vec![name.clone(), iou.map_or("-".into(), |iou| format!("{iou:.3}"))])
        .collect();
    say(&columns(&["class", "IoU"], &rows))?;
    let table = table(std::slice::from_ref(run));
    let head: Vec<&str> = table.head.iter().map(String::as_str).collect();
    say(&format!("\n{}", columns(&head, &table.rows)))
}

fn write_results(folder: &OutputFolder, run: Run, data: &Data) -> Result<(), Fault> {
    let segmenter = &run.trained.segmenter;
    checkpoint::save(&folder.file("checkpoint.safetensors"), segmenter.config(), segmenter)?;
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
