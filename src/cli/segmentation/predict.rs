//! `termwise predict segmentation`.

use std::path::PathBuf;

use ndarray::Array2;
use termwise_datasets::Sample;
use termwise_datasets::detection::DetectionSample;
use termwise_datasets::png_out::comparison;
use termwise_datasets::resize::resize_image;
use termwise_models::Init;
use termwise_models::checkpoint::Checkpoint;
use termwise_models::segmentation::{Segmenter, SegmenterConfig, predict};
use termwise_opencl::DeviceChoice;
use termwise_ops::Kernels;

use super::eval::check;
use super::figures::png;
use crate::cli::device::on_backend;
use crate::cli::fault::Fault;
use crate::cli::output::{OutputFolder, say};

/// Arguments of `termwise predict segmentation`.
#[derive(clap::Args)]
pub struct PredictArgs {
    /// The file that `termwise train segmentation` wrote
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// The folder for a PNG file for each picture: itself, an empty place, and its labels
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// JPEG or PNG files
    #[arg(required = true, value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
}

/// Runs the command: pictures are scaled to the size of the training.
pub fn run(args: &PredictArgs, device: DeviceChoice) -> Result<(), Fault> {
    on_backend!(device, backend => run_on(backend, args))
}

fn run_on<B: Kernels<Scalar = f32>>(backend: B, args: &PredictArgs) -> Result<(), Fault> {
    let checkpoint = Checkpoint::read(&args.checkpoint)?;
    let config: SegmenterConfig = checkpoint.architecture()?;
    check(&args.checkpoint, &config)?;
    let segmenter = Segmenter::new(config, &mut Init::new(backend, 0));
    checkpoint.load(&segmenter)?;
    let config = segmenter.config();
    let read: Vec<DetectionSample> =
        args.pictures.iter().map(|path| DetectionSample::of_file(path)).collect::<Result<_, _>>()?;
    let folder = OutputFolder::open(&args.out)?;
    for (path, picture) in args.pictures.iter().zip(read) {
        let image = resize_image(&picture.image, config.size);
        let labels = Array2::from_elem(config.size, config.ignore);
        let sample = Sample { name: picture.name, image, labels, objects: Vec::new() };
        let predicted = predict(&segmenter, std::slice::from_ref(&sample)).swap_remove(0);
        let sheet = comparison(&sample.image, &sample.labels, &predicted, config.ignore);
        let name = path.file_stem().map_or_else(|| "picture".into(), |stem| stem.to_string_lossy());
        say(&folder.write(&format!("{name}.png"), png(&sheet))?.display().to_string())?;
    }
    Ok(())
}
