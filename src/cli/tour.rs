//! The main job: the probes, then short trainings, in one report.

use std::path::PathBuf;
use std::time::Instant;

use termwise_datasets::probe::ProbeTask;
use termwise_datasets::scenes::{SceneOptions, Scenes, Shape};
use termwise_models::probe::ProbeMechanism;
use termwise_models::segmentation::TrainConfig;
use termwise_models::training::Recipe;
use termwise_opencl::DeviceChoice;
use termwise_ops::Kernels;
use termwise_ops::attention::AttentionCode;

use super::device::on_backend;
use super::fault::Fault;
use super::output::{OutputFolder, columns, say};
use super::segmentation::{self, Data, Run};
use super::settings::positive;
use super::{probe, probe_report};
use crate::report::Page;

/// Arguments of `termwise tour`.
#[derive(clap::Args)]
pub struct Args {
    /// The folder for the report
    #[arg(long, value_name = "DIR", default_value = "termwise-report")]
    out: PathBuf,
    /// Mechanisms to probe: 0000 to 1111, regular, deformable, dynamic [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    mechanisms: Vec<ProbeMechanism>,
    /// Mechanisms to train a segmenter with
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        default_value = "w/o,0010,0110,1111,0010+deformable"
    )]
    attention: Vec<AttentionCode>,
    /// Seconds for each of these trainings
    #[arg(long, value_name = "S", default_value_t = 24.0, value_parser = positive, allow_negative_numbers = true)]
    seconds: f64,
    /// Seed of everything
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Scenes to train on and to measure on.
const SCENES: [u64; 2] = [1024, 64];
/// Channels of the first convolution: a small network sees many scenes in a short time.
const WIDTH: usize = 16;

/// Scenes of few, large objects, from which a short training learns something.
fn scenes(seed: u64) -> Scenes {
    let shapes = vec![Shape::Disc, Shape::Bar, Shape::Cross];
    Scenes::new(SceneOptions { objects: 2..=4, shapes, radius: 0.15..=0.27, ..SceneOptions::default() }, seed)
}

/// Trains a segmenter with each mechanism, on one device that is opened once.
fn segmenters<B: Kernels<Scalar = f32>>(backend: &B, args: &Args, data: &Data) -> Result<Vec<Run>, Fault> {
    let train = |attention| {
        let config = TrainConfig {
            recipe: Recipe { epochs: 40, time_limit: Some(args.seconds), ..Recipe::default() },
            width: WIDTH,
            augment: false, // every scene is another one already
            seed: args.seed,
            ..TrainConfig::new(attention)
        };
        Run::train(backend.clone(), config, data, None, None, f64::INFINITY)
    };
    probe::chosen(&args.attention, Vec::new()).into_iter().map(train).collect()
}

/// Runs the command.
pub fn run(args: &Args, threads: usize, device: DeviceChoice) -> Result<(), Fault> {
    let folder = OutputFolder::open(&args.out)?;
    let start = Instant::now();
    say("Probes: one layer for each mechanism and task")?;
    let mechanisms = probe::chosen(&args.mechanisms, ProbeMechanism::all());
    let cells = probe::train(&mechanisms, &ProbeTask::ALL, args.seed, threads, device)?;
    say(&format!("{}\n{}", probe::table(&cells), probe::summary(&cells)))?;

    let data = Data::of_generator(&scenes(args.seed), SCENES);
    say(&format!("\nSegmentation: {:.0} s of training for each mechanism", args.seconds))?;
    let runs = on_backend!(device, backend => segmenters(&backend, args, &data))?;
    let table = segmentation::table(&runs);
    let head: Vec<&str> = table.head.iter().map(String::as_str).collect();
    say(&columns(&head, &table.rows))?;

    let mut page = Page::new(
        "Termwise: what each attention mechanism can do",
        "Every spatial attention mechanism is one sum over keys; they differ in what the weights depend on. First each \
         mechanism alone on tasks that need one factor, then some of them inside of a network that labels pictures.",
    );
    page.section("Which mechanism can use which factor");
    probe_report::describe(&mut page, &cells);
    page.section("Inside of a network: segmentation");
    segmentation::describe(&mut page, &runs, &data);
    page.section("How this page was made");
    page.paragraph(&format!(
        "termwise {}, seed {}, {threads} threads, {:.0} s in all. The probes have the same bits for any number of \
         threads; the trainings are bounded by the clock, so theirs depend on the machine. Mean IoU: for each class \
         the pixels that truth and prediction share, divided by those that either has; the mean over the classes.",
        env!("CARGO_PKG_VERSION"),
        args.seed,
        start.elapsed().as_secs_f64()
    ));
    let path = folder.write("index.html", page.finish())?;
    say(&format!(
        "\n{:.0} s in all. Open this in a browser:\n{}",
        start.elapsed().as_secs_f64(),
        path.display()
    ))
}
