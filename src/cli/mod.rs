//! The command line: arguments in, files and text out. Nothing numerical lives here.
//!
//! | file | command |
//! |---|---|
//! | `tour` | no command: what each mechanism can do, in one report |
//! | `study` | `termwise study`: the paper's findings on its three tasks |
//! | `probe`, `probe_report` | `termwise probe` |
//! | `gradcheck` | `termwise gradcheck` |
//! | `bench` | `termwise bench` |
//! | `explore` | `termwise explore` |
//! | `segmentation`, `detection`, `translation` | `termwise train`, `termwise eval`, `termwise predict` of each task |
//!
//! `training` watches and keeps any training, `settings` reads what it is told, `fault` says how commands fail, `output` where their files go, `progress` how they show that they
//! are alive.

mod bench;
mod curves;
mod detection;
mod device;
mod explore;
mod fault;
mod gradcheck;
mod output;
mod probe;
mod probe_report;
mod progress;
mod segmentation;
mod settings;
mod study;
mod tour;
mod training;
mod translation;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use fault::Fault;
use termwise_opencl::DeviceChoice;

/// Every spatial attention mechanism of Zhu et al. (ICCV 2019), differentiated, checked and compared.
#[derive(Parser)]
#[command(name = "termwise", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Threads to compute on; the results have the same bits for any number [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Where to compute: auto (a GPU where there is one), cpu, opencl, or opencl:N of `termwise devices`
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
}

#[derive(Subcommand)]
enum Command {
    /// Probe every mechanism, train a handful of segmenters, and write one report (no command does this)
    Tour(tour::Args),
    /// Train every mechanism on the paper's three tasks, several seeds each, and judge the paper's findings
    Study(study::Args),
    /// One run of a study
    #[command(hide = true)]
    StudyRun(study::RunArgs),
    /// Check the gradient of every operation, or of one, against finite differences
    Gradcheck(gradcheck::Args),
    /// Train every mechanism alone on six tasks that each need one factor of attention
    Probe(probe::Args),
    /// Time workloads, beside other programs that run the same ones
    Bench(bench::Args),
    /// Serve a page on this machine that shows what each term and mechanism attends to
    Explore(explore::Args),
    /// List the devices that OpenCL finds, and which one would be taken
    Devices,
    /// Train a model
    #[command(subcommand)]
    Train(Train),
    /// Measure a trained model
    #[command(subcommand)]
    Eval(Eval),
    /// Use a trained model
    #[command(subcommand)]
    Predict(Predict),
}

#[derive(Subcommand)]
enum Train {
    /// A network that labels every pixel, with any mechanism in its residual blocks
    Segmentation(segmentation::TrainArgs),
    /// A network that finds objects and draws boxes around them
    Detection(detection::TrainArgs),
    /// A network that translates sentences
    Translation(translation::TrainArgs),
}

#[derive(Subcommand)]
enum Eval {
    /// A checkpoint of a network that labels every pixel
    Segmentation(segmentation::EvalArgs),
    /// A checkpoint of a network that finds objects
    Detection(detection::EvalArgs),
    /// A checkpoint of a network that translates sentences
    Translation(translation::EvalArgs),
}

#[derive(Subcommand)]
enum Predict {
    /// Label every pixel of pictures
    Segmentation(segmentation::PredictArgs),
    /// Find the objects in pictures
    Detection(detection::PredictArgs),
    /// Translate standard input, a sentence a line
    Translation(translation::PredictArgs),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    device::report_failures();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => fault.report(),
    }
}

/// A wrong value is one line that says what was expected; a wrong usage, or a wish for help, is clap's.
fn refuse(error: &clap::Error) -> ExitCode {
    if error.kind() == ErrorKind::ValueValidation {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        return Fault::Input(line.strip_prefix("error: ").unwrap_or(line).to_owned()).report();
    }
    let _ = error.print(); // nowhere left to say that it cannot be printed
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn run(cli: Cli) -> Result<(), Fault> {
    let threads = cli
        .threads
        .map_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get), usize::from);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|error| {
        Fault::Input(format!("--threads: expected {threads} threads to start, found {error}"))
    })?;
    let command = match cli.command {
        Some(command) => command,
        None => Cli::parse_from(["termwise", "tour"]).command.expect("a command was named"),
    };
    let device = cli.device;
    match command {
        Command::Devices => device::list(device),
        Command::Tour(args) => tour::run(&args, threads, device),
        Command::Study(args) => study::run(&args, threads, device),
        Command::StudyRun(args) => study::run_one(&args, device),
        Command::Gradcheck(args) => gradcheck::run(&args, threads, device),
        Command::Probe(args) => probe::run(&args, threads, device),
        Command::Bench(args) => bench::run(&args, threads, device),
        Command::Explore(args) => device::host_only("explore", device).and_then(|()| explore::run(&args)),
        Command::Train(Train::Segmentation(args)) => segmentation::train(&args, device),
        Command::Train(Train::Detection(args)) => detection::train(&args, device),
        Command::Train(Train::Translation(args)) => translation::train(&args, device),
        Command::Eval(Eval::Segmentation(args)) => segmentation::eval(&args, device),
        Command::Eval(Eval::Detection(args)) => detection::eval(&args, device),
        Command::Eval(Eval::Translation(args)) => translation::eval(&args, device),
        Command::Predict(Predict::Segmentation(args)) => segmentation::predict(&args, device),
        Command::Predict(Predict::Detection(args)) => detection::predict(&args, device),
        Command::Predict(Predict::Translation(args)) => translation::predict(&args, device),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
