//! `termwise bench`: workloads timed, one line of JSON each, or a table.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use regex_lite::Regex;
use serde_json::{Value, json};
use termwise_autograd::Cpu;
use termwise_autograd::simd::{self, Isa};
use termwise_opencl::{Device, DeviceChoice, OpenCl};

use super::device;
use super::fault::Fault;
use super::output::say;
use super::progress::Progress;
use crate::bench::machine::Machine;
use crate::bench::place::{Host, OnDevice};
use crate::bench::row::{self, Line};
use crate::bench::table;
use crate::bench::workload::{self, Entry, Phase, Workload};

/// The workloads that are run where no file is named.
const OWN: &str = include_str!("../../benches/workloads.json");

/// Arguments of `termwise bench`.
#[derive(clap::Args)]
pub struct Args {
    /// A file of workloads, as benches/README.md describes it [default: the project's own]
    #[arg(long, value_name = "FILE")]
    workloads: Option<PathBuf>,
    /// Run the workloads in whose name this regular expression is found
    #[arg(long, value_name = "REGEX")]
    filter: Option<Regex>,
    /// Processor time for each row, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0.4, value_parser = seconds, allow_negative_numbers = true)]
    budget: f64,
    /// What to time, of what a workload has: fwd, fwdbwd, step [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    phases: Vec<Phase>,
    /// The instructions of the kernels: portable, avx2, avx512, or auto, the widest at hand
    #[arg(long, value_name = "NAME", default_value = "auto")]
    simd: String,
    /// Print a table for a person, with the share of what this machine can do at most
    #[arg(long)]
    markdown: bool,
    /// Measure what this machine can do at most, and run nothing
    #[arg(long, conflicts_with_all = ["markdown", "print"])]
    machine: bool,
    /// Print the chosen workloads as a file in which nothing is left out, and run nothing
    #[arg(long, conflicts_with = "markdown")]
    print: bool,
    /// Run one workload, read from standard input, in this phase: what each row is handed to
    #[arg(long, value_name = "PHASE", hide = true)]
    row: Option<Phase>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
    seconds.ok_or_else(|| "expected a number of seconds, 0 or more".into())
}

/// What every row has in common.
struct Common {
    budget: f64,
    threads: usize,
    isa: Isa,
    device: DeviceChoice,
}

/// Runs the command.
pub fn run(args: &Args, threads: usize, choice: DeviceChoice) -> Result<(), Fault> {
    let isa = instructions(&args.simd)?;
    let common = |device| Common { budget: args.budget, threads, isa, device };
    if let Some(phase) = args.row {
        return run_row(phase, &common(choice));
    }
    let device = device::open(choice)?;
    // Rows shall take the very device that was found here.
    let number = device.as_ref().map(|device| device.info().number);
    let common = common(number.map_or(DeviceChoice::Cpu, |number| DeviceChoice::OpenCl(Some(number))));
    let machine = || device.as_ref().map_or_else(Machine::measure, Machine::of_device);
    if args.machine {
        return say(&serde_json::to_string(&machine()).expect("plain data"));
    }
    let source =
        args.workloads.as_ref().map_or("built-in workloads".into(), |path| path.display().to_string());
    let chosen = chosen(args, &source)?;
    if args.print {
        return print(&chosen, &source);
    }
    let mut failures = Vec::new();
    let mut rows: Vec<Value> = Vec::new();
    let report = args.markdown.then(|| (machine(), Progress::start("bench", chosen.len() as u64)));
    for entry in &chosen {
        for line in lines(entry, args, &common)? {
            let value: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(error) = value["error"].as_str() {
                let phase = value["phase"].as_str().map_or(String::new(), |phase| format!(" {phase}"));
                failures.push(format!("workload {}{phase}: {error}", entry.name));
            }
            match &report {
                Some(_) => rows.push(value),
                None => say(&line)?,
            }
        }
        if let Some((_, progress)) = &report {
            progress.advance(1);
        }
    }
    if let Some((machine, progress)) = report {
        drop(progress);
        say(&format!("{}\n\n{}", table::describe(&machine), table::markdown(&rows, &machine)))?;
    }
    match failures.first() {
        None => Ok(()),
        Some(first) if failures.len() == 1 => Err(Fault::Input(format!("{source}: {first}"))),
        Some(first) => Err(Fault::Input(format!("{source}: {first} (and {} more)", failures.len() - 1))),
    }
}

/// Puts the named instruction set in force, and says which one is.
fn instructions(name: &str) -> Result<Isa, Fault> {
    let refuse = |source: &str, name: &str| {
        let known: Vec<String> = simd::available().iter().map(Isa::to_string).collect();
        Fault::Input(format!(
            "{source}: expected auto or, on this machine, {}, found '{name}'",
            known.join(", ")
        ))
    };
    let parse = |source: &str, name: &str| {
        name.parse().ok().filter(|isa: &Isa| isa.is_available()).ok_or_else(|| refuse(source, name))
    };
    if name != "auto" {
        simd::force(parse("--simd", name)?);
    } else if let Ok(name) = std::env::var("TERMWISE_SIMD") {
        parse("TERMWISE_SIMD", &name)?;
    }
    Ok(simd::isa())
}

/// The entries of the file whose names match.
fn chosen(args: &Args, source: &str) -> Result<Vec<Entry>, Fault> {
    let text = match &args.workloads {
        None => OWN.to_owned(),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Fault::of_file(path, "file of workloads", "a readable text", error))?,
    };
    let entries = workload::read(&text).map_err(|problem| Fault::Input(format!("{source}: {problem}")))?;
    let count = entries.len();
    let matches = |entry: &Entry| args.filter.as_ref().is_none_or(|filter| filter.is_match(&entry.name));
    let chosen: Vec<Entry> = entries.into_iter().filter(matches).collect();
    match (&args.filter, chosen.is_empty()) {
        (Some(filter), true) => Err(Fault::Input(format!(
            "--filter: expected a pattern found in one of the {count} names in {source}, found '{filter}'"
        ))),
        _ => Ok(chosen),
    }
}

/// Prints the workloads with all that was left out.
fn print(chosen: &[Entry], source: &str) -> Result<(), Fault> {
    let complete = |entry: &Entry| match &entry.workload {
        Ok(workload) => workload.to_json(),
        Err(problem) => Err(problem.clone()),
    };
    let mut workloads = Vec::new();
    for entry in chosen {
        let value = complete(entry)
            .map_err(|problem| Fault::Input(format!("{source}: workload {}: {problem}", entry.name)))?;
        workloads.push(value);
    }
    say(&serde_json::to_string(&json!({ "workloads": workloads })).expect("plain data"))
}

/// The lines of one entry, one for each phase.
fn lines(entry: &Entry, args: &Args, common: &Common) -> Result<Vec<String>, Fault> {
    let failed = |phase: Option<Phase>, error: String| {
        json_line(&Line::failed(&entry.name, phase, common.threads, &common.isa.to_string(), error))
    };
    let workload = match &entry.workload {
        Ok(workload) => workload,
        Err(problem) => return Ok(vec![failed(None, problem.to_string())]),
    };
    let wanted = |phase: &&Phase| args.phases.is_empty() || args.phases.contains(phase);
    let mut lines = Vec::new();
    for &phase in workload.phases.iter().filter(wanted) {
        let line = in_own_process(workload, phase, common).unwrap_or_else(|error| failed(Some(phase), error));
        lines.push(line);
    }
    Ok(lines)
}

/// Runs a row in a process of its own: memory that earlier rows left behind would hide what this one needs,
/// and one that runs out of memory ends alone. Returns the line, or why there is none.
fn in_own_process(workload: &Workload, phase: Phase, common: &Common) -> Result<String, String> {
    let Common { budget, threads, isa, device } = common;
    let input = workload.source().to_string();
    let program =
        std::env::current_exe().map_err(|error| format!("this program is not to be found: {error}"))?;
    let mut child = Command::new(program)
        .args(["bench", "--row", phase.name(), "--simd", &isa.to_string()])
        .args(["--budget", &budget.to_string(), "--threads", &threads.to_string()])
        .args(["--device", &device.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the process of this row does not start: {error}"))?;
    // A child that ends before it has read everything says why by how it ends.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output =
        child.wait_with_output().map_err(|error| format!("the process of this row is lost: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim_end() {
        "" => {
            let errors = String::from_utf8_lossy(&output.stderr);
            let first = errors.lines().next().map_or(String::new(), |line| format!(": {line}"));
            Err(format!("the process of this row ended with {}{first}", output.status))
        }
        line => Ok(line.to_owned()),
    }
}

/// What the process of a row does.
fn run_row(phase: Phase, common: &Common) -> Result<(), Fault> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let refuse = |problem: String| Fault::Input(format!("standard input: {problem}"));
    let value: Value = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    let workload = Workload::from_json(&value).map_err(|problem| refuse(problem.to_string()))?;
    std::panic::set_hook(Box::new(|_| ())); // what goes wrong is in the line
    let &Common { budget, threads, isa, device: choice } = common;
    let refuse = |error: termwise_opencl::OpenClError| Fault::Input(format!("--device {choice}: {error}"));
    let line = match Device::open(choice).map_err(refuse)? {
        None => row::run(&Host(Cpu::new()), &workload, phase, budget, threads, &isa.to_string()),
        Some(device) => {
            let place = OnDevice { backend: OpenCl::new(&device).map_err(refuse)?, choice };
            row::run(&place, &workload, phase, budget, threads, "opencl")
        }
    };
    say(&json_line(&line))
}

fn json_line(line: &Line) -> String {
    serde_json::to_string(line).expect("plain data")
}
