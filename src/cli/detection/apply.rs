//! `termwise eval detection` and `termwise predict detection`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use termwise_datasets::Split;
use termwise_datasets::detection::{DetectionFormat, DetectionSample};
use termwise_models::Init;
use termwise_models::checkpoint::Checkpoint;
use termwise_models::detection::{
    DetectionScore, Detector, DetectorConfig, Picture, detect, draw_boxes, score,
};
use termwise_opencl::DeviceChoice;
use termwise_ops::Kernels;

use super::train::{describe, format, scaled, scenes, sheet, split, table};
use crate::cli::device::on_backend;
use crate::cli::fault::Fault;
use crate::cli::output::{OutputFolder, say};
use crate::cli::segmentation::png;

/// Arguments of `termwise eval detection`.
#[derive(clap::Args)]
pub struct EvalArgs {
    /// The file that `termwise train detection` wrote
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// Folder in the form of PASCAL VOC, COCO or YOLO [default: built-in scenes that no training uses]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The split of the folder
    #[arg(long, value_name = "NAME", default_value = "val", requires = "data")]
    split: String,
    /// Its form, where it has files of several: voc, coco or yolo
    #[arg(long, value_name = "FORM", requires = "data", value_parser = format)]
    format: Option<DetectionFormat>,
    /// Refuse boxes of no size or outside of their picture instead of leaving them out
    #[arg(long, requires = "data")]
    strict: bool,
    /// Seed of the built-in scenes
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "data")]
    seed: u64,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Write metrics.json and predictions.png into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Arguments of `termwise predict detection`.
#[derive(clap::Args)]
pub struct PredictArgs {
    /// The file that `termwise train detection` wrote
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// The least score of a box
    #[arg(long, value_name = "SCORE", default_value_t = 0.5)]
    min_score: f64,
    /// The folder for a PNG file with boxes for each picture
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// JPEG or PNG files
    #[arg(required = true, value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Figures {
    attention: String,
    pictures: usize,
    #[serde(flatten)]
    score: DetectionScore,
}

/// One box, in pixels of the picture file.
#[derive(Serialize)]
struct Found<'a> {
    picture: String,
    class: &'a str,
    score: f64,
    /// Left, upper, right and lower side.
    bounds: [f64; 4],
}

fn load<B: Kernels<Scalar = f32>>(backend: B, path: &Path) -> Result<Detector<B>, Fault> {
    let checkpoint = Checkpoint::read(path)?;
    let config: DetectorConfig = checkpoint.architecture()?;
    config.check().map_err(|error| Fault::Input(format!("{}: architecture.{error}", path.display())))?;
    let detector = Detector::new(config, &mut Init::new(backend, 0));
    checkpoint.load(&detector)?;
    Ok(detector)
}

/// Runs `termwise eval detection`.
pub fn eval(args: &EvalArgs, device: DeviceChoice) -> Result<(), Fault> {
    on_backend!(device, backend => eval_on(backend, args))
}

fn eval_on<B: Kernels<Scalar = f32>>(backend: B, args: &EvalArgs) -> Result<(), Fault> {
    let detector = load(backend, &args.checkpoint)?;
    let config = detector.config();
    let pictures = match &args.data {
        Some(folder) => {
            let split =
                split(folder, &args.split, args.format, args.strict)?.with_classes(&config.classes)?;
            Picture::load_all(&split, config.side)?
        }
        None => {
            let scenes = scenes(args.seed);
            if scenes.detection_classes() != config.classes {
                let (expected, found) = (config.classes.join(", "), scenes.detection_classes().join(", "));
                return Err(Fault::Input(format!(
                    "built-in scenes: classes: expected {expected} as {}, found {found}",
                    args.checkpoint.display()
                )));
            }
            let samples = scenes.detection_samples(Split::Test, 0..128);
            samples.iter().map(|sample| Picture::new(sample, config.side)).collect()
        }
    };
    let folder = args.out.as_deref().map(OutputFolder::open).transpose()?;
    let found = detect(&detector, &pictures);
    let score = score(&config.classes, &pictures, &found);
    let figures = Figures { attention: config.attention.to_string(), pictures: pictures.len(), score };
    let json = serde_json::to_string(&figures).expect("plain data");
    if args.json {
        say(&json)?;
    } else {
        say(&table(&figures.score))?;
        let Figures { attention, pictures, score } = &figures;
        say(&format!("\n{attention} on {pictures} pictures: {}", describe(score)))?;
    }
    if let Some(folder) = folder {
        folder.write("metrics.json", json + "\n")?;
        let count = pictures.len().min(8);
        folder.write("predictions.png", sheet(&pictures[..count], &found[..count]))?;
    }
    Ok(())
}

/// Runs `termwise predict detection`: a line of JSON for each box, a picture with boxes for each picture.
pub fn predict(args: &PredictArgs, device: DeviceChoice) -> Result<(), Fault> {
    on_backend!(device, backend => predict_on(backend, args))
}

fn predict_on<B: Kernels<Scalar = f32>>(backend: B, args: &PredictArgs) -> Result<(), Fault> {
    let detector = load(backend, &args.checkpoint)?;
    let config = detector.config();
    let samples: Vec<DetectionSample> =
        args.pictures.iter().map(|path| DetectionSample::of_file(path)).collect::<Result<_, _>>()?;
    let folder = OutputFolder::open(&args.out)?;
    for (path, sample) in args.pictures.iter().zip(&samples) {
        let picture = Picture::new(sample, config.side);
        let mut found = detect(&detector, std::slice::from_ref(&picture)).swap_remove(0);
        found.retain(|detection| detection.score >= args.min_score);
        for detection in &found {
            let line = Found {
                picture: path.display().to_string(),
                class: &config.classes[detection.class],
                score: detection.score,
                bounds: detection.bounds,
            };
            say(&serde_json::to_string(&line).expect("plain data"))?;
        }
        let mut drawn = picture.pixels.clone();
        draw_boxes(&mut drawn, &scaled(&picture, &found), 0.0);
        let name = path.file_stem().map_or_else(|| "picture".into(), |stem| stem.to_string_lossy());
        folder.write(&format!("{name}.png"), png(&drawn))?;
    }
    Ok(())
}
