//! `termwise eval segmentation`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use termwise_datasets::{ClassList, Sample};
use termwise_models::Init;
use termwise_models::checkpoint::Checkpoint;
use termwise_models::segmentation::{Segmenter, SegmenterConfig, evaluate};
use termwise_opencl::DeviceChoice;
use termwise_ops::Kernels;

use super::data::{parse_size, split, test_scenes};
use super::figures::{comparisons, png};
use crate::cli::device::on_backend;
use crate::cli::fault::Fault;
use crate::cli::output::{OutputFolder, columns, say};

/// Arguments of `termwise eval segmentation`.
#[derive(clap::Args)]
pub struct EvalArgs {
    /// The file that `termwise train segmentation` wrote
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// Folder with classes.txt and the split [default: built-in scenes that no training uses]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The split of the folder
    #[arg(long, value_name = "NAME", default_value = "val", requires = "data")]
    split: String,
    /// Height and width of the pictures [default: those of the training]
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<(usize, usize)>,
    /// Pictures at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
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

/// What `--json` prints.
#[derive(Serialize)]
struct Figures<'a> {
    attention: String,
    pictures: usize,
    miou: f64,
    pixel_accuracy: f64,
    classes: &'a [String],
    iou: Vec<Option<f64>>,
}

/// Runs the command.
pub fn run(args: &EvalArgs, device: DeviceChoice) -> Result<(), Fault> {
    let checkpoint = Checkpoint::read(&args.checkpoint)?;
    let config: SegmenterConfig = checkpoint.architecture()?;
    check(&args.checkpoint, &config)?;
    let size = args.size.unwrap_or(config.size);
    let (classes, samples) = match &args.data {
        Some(folder) => split(folder, &args.split, Some(size))?,
        None => test_scenes(size, args.seed, 128),
    };
    same_classes(args, &config, &classes)?;
    let folder = args.out.as_deref().map(OutputFolder::open).transpose()?;
    on_backend!(device, backend => {
        let segmenter = Segmenter::new(config, &mut Init::new(backend, 0));
        checkpoint.load(&segmenter)?;
        report(args, &segmenter, &samples, folder)
    })
}

fn report<B: Kernels<Scalar = f32>>(
    args: &EvalArgs,
    segmenter: &Segmenter<B>,
    samples: &[Sample],
    folder: Option<OutputFolder>,
) -> Result<(), Fault> {
    let config = segmenter.config();
    let evaluation = evaluate(segmenter, samples, args.batch as usize);
    let metrics = &evaluation.metrics;
    let figures = Figures {
        attention: config.attention.to_string(),
        pictures: samples.len(),
        miou: metrics.miou,
        pixel_accuracy: metrics.pixel_acc,
        classes: &config.classes,
        iou: metrics.iou.iter().zip(&metrics.valid).map(|(iou, valid)| valid.then_some(*iou)).collect(),
    };
    let json = serde_json::to_string(&figures).expect("plain data");
    if args.json {
        say(&json)?;
    } else {
        let number = |iou: &Option<f64>| iou.map_or("-".into(), |iou| format!("{iou:.3}"));
        let rows: Vec<_> = config
            .classes
            .iter()
            .zip(&figures.iou)
            .map(|(name, iou)| vec![name.clone(), number(iou)])
            .collect();
        say(&columns(&["class", "IoU"], &rows))?;
        say(&format!(
            "\n{} on {} pictures: mean IoU {:.4}, pixel accuracy {:.4}",
            figures.attention, figures.pictures, figures.miou, figures.pixel_accuracy
        ))?;
    }
    if let Some(folder) = folder {
        folder.write("metrics.json", json + "\n")?;
        let count = samples.len().min(8);
        let sheet = comparisons(&samples[..count], &evaluation.predictions[..count], config.ignore);
        folder.write("predictions.png", png(&sheet))?;
    }
    Ok(())
}

/// A file may say anything: what it says must be an architecture that can be built.
pub fn check(path: &Path, config: &SegmenterConfig) -> Result<(), Fault> {
    config.check().map_err(|error| Fault::Input(format!("{}: architecture.{error}", path.display())))
}

fn same_classes(args: &EvalArgs, config: &SegmenterConfig, classes: &ClassList) -> Result<(), Fault> {
    let found = &classes.names()[..classes.num_classes()];
    let show = |names: &[String]| format!("{} classes ({})", names.len(), names.join(", "));
    let place = match &args.data {
        Some(folder) => folder.join("classes.txt"),
        None => PathBuf::from("built-in scenes"),
    };
    let checkpoint = args.checkpoint.display();
    if found != config.classes {
        let expected = format!("{} as {checkpoint}", show(&config.classes));
        return Err(Fault::of_file(&place, "classes", expected, show(found)));
    }
    if classes.ignore() != config.ignore {
        let expected = format!("{} as {checkpoint}", config.ignore);
        return Err(Fault::of_file(&place, "ignore id", expected, classes.ignore()));
    }
    Ok(())
}
