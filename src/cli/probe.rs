//! `termwise probe`: the table of what each mechanism can do.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use serde::Serialize;
use termwise_datasets::probe::ProbeTask;
use termwise_models::probe::{Ability, ProbeCell, ProbeConfig, ProbeMechanism, train_cell, train_cells};
use termwise_opencl::DeviceChoice;

use super::device;
use super::fault::Fault;
use super::output::{OutputFolder, columns, say};
use super::probe_report;
use super::progress::Progress;

/// Arguments of `termwise probe`.
#[derive(clap::Args)]
pub struct Args {
    /// Print one JSON object a line: mechanism, task, seed, accuracy
    #[arg(long)]
    json: bool,
    /// Seed of the initial values and of the data
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Mechanisms to train: 0000 to 1111, regular, deformable, dynamic [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    mechanisms: Vec<ProbeMechanism>,
    /// Tasks: match, point_near, point_far, spotlight, shift_near, shift_far [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    tasks: Vec<ProbeTask>,
    /// Write table.svg, curves as SVG, probe.jsonl and probe.html into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What `--json` prints of a cell.
#[derive(Serialize)]
struct Line {
    mechanism: String,
    task: &'static str,
    seed: u64,
    accuracy: f64,
}

/// Runs the command.
pub fn run(args: &Args, threads: usize, device: DeviceChoice) -> Result<(), Fault> {
    let folder = args.out.as_deref().map(OutputFolder::open).transpose()?;
    let start = Instant::now();
    let cells = train(
        &chosen(&args.mechanisms, ProbeMechanism::all()),
        &chosen(&args.tasks, ProbeTask::ALL.into()),
        args.seed,
        threads,
        device,
    )?;
    let lines: Vec<String> = cells.iter().map(json_line).collect();
    if args.json {
        say(&lines.join("\n"))?;
    } else {
        say(&table(&cells))?;
        say(&format!("{}; {:.1} s on {threads} threads", summary(&cells), start.elapsed().as_secs_f64()))?;
    }
    if let Some(folder) = folder {
        folder.write("probe.jsonl", lines.join("\n") + "\n")?;
        for (name, svg) in probe_report::figures(&cells) {
            folder.write(&name, svg.file())?;
        }
        let path = folder.write("probe.html", probe_report::page(&cells))?;
        if !args.json {
            say(&path.display().to_string())?;
        }
    }
    Ok(())
}

/// What was named, each once, or everything.
pub fn chosen<T: Copy + PartialEq>(named: &[T], all: Vec<T>) -> Vec<T> {
    let mut chosen = Vec::new();
    for item in if named.is_empty() { &all } else { named } {
        if !chosen.contains(item) {
            chosen.push(*item);
        }
    }
    chosen
}

/// Trains every mechanism on every task, with progress on standard error: on a device one after the other where one is
/// named. `auto` is the host: cells are too small for a device to be quicker.
pub fn train(
    mechanisms: &[ProbeMechanism],
    tasks: &[ProbeTask],
    seed: u64,
    threads: usize,
    device: DeviceChoice,
) -> Result<Vec<ProbeCell>, Fault> {
    let config = ProbeConfig::default();
    let cells: Vec<_> = mechanisms
        .iter()
        .flat_map(|&mechanism| tasks.iter().map(move |&task| (mechanism, task, seed)))
        .collect();
    let progress = Progress::start("probe", (cells.len() * config.steps) as u64);
    let seen: Vec<AtomicU64> = cells.iter().map(|_| AtomicU64::new(0)).collect();
    let finished = AtomicUsize::new(0);
    let on_step = |cell: usize, done: usize, _: usize| {
        let before = seen[cell].swap(done as u64, Ordering::Relaxed);
        progress.advance((done as u64).saturating_sub(before));
    };
    let on_cell = |_: usize, cell: &ProbeCell| {
        let count = finished.fetch_add(1, Ordering::Relaxed) + 1;
        let ProbeCell { mechanism, task, accuracy, steps, seconds, .. } = cell;
        progress.note(format!(
            "probe {count}/{}: {mechanism} {task}: accuracy {accuracy:.3} after {steps} steps, {seconds:.1} s",
            cells.len()
        ));
    };
    let DeviceChoice::OpenCl(_) = device else {
        return Ok(train_cells(&cells, threads, &config, &on_step, &on_cell));
    };
    let one = |backend: &_, (index, &(mechanism, task, seed)): (usize, &_)| {
        let progress = &mut |done, total| on_step(index, done, total);
        let cell = train_cell(backend, mechanism, task, seed, &config, progress);
        on_cell(index, &cell);
        cell
    };
    let device = device::open(device)?.expect("a device was asked for");
    let backend = device::backend(&device)?;
    Ok(cells.iter().enumerate().map(|cell| one(&backend, cell)).collect())
}

fn json_line(cell: &ProbeCell) -> String {
    let line = Line {
        mechanism: cell.mechanism.to_string(),
        task: cell.task.name(),
        seed: cell.seed,
        accuracy: cell.accuracy,
    };
    serde_json::to_string(&line).expect("plain data")
}

/// Mechanisms down, tasks across; `~` marks what is expected to work partly, `!` what is not as expected.
pub fn table(cells: &[ProbeCell]) -> String {
    let (mechanisms, tasks) = probe_report::axes(cells);
    let head: Vec<&str> = std::iter::once("mechanism").chain(tasks.iter().map(|task| task.name())).collect();
    let text = |cell: &ProbeCell| {
        let ability = cell.mechanism.ability(cell.task);
        let mark = match ability {
            Ability::Partly => '~',
            _ if !ability.holds(cell.accuracy) => '!',
            _ => ' ',
        };
        format!("{:.3}{mark}", cell.accuracy)
    };
    let rows: Vec<Vec<String>> = mechanisms
        .iter()
        .map(|mechanism| {
            let cell = |task| cells.iter().find(|cell| cell.mechanism == *mechanism && cell.task == task);
            let accuracies = tasks.iter().map(|task| cell(*task).map_or_else(String::new, text));
            std::iter::once(mechanism.to_string()).chain(accuracies).collect()
        })
        .collect();
    columns(&head, &rows)
}

/// How many cells are as expected, in words.
pub fn summary(cells: &[ProbeCell]) -> String {
    let ability = |cell: &&ProbeCell| cell.mechanism.ability(cell.task);
    let partly = cells.iter().filter(|cell| ability(cell) == Ability::Partly).count();
    let claimed = cells.len() - partly;
    let broken = cells.iter().filter(|cell| !ability(cell).holds(cell.accuracy)).count();
    let mut text = format!("{} of {claimed} cells as expected", claimed - broken);
    if partly > 0 {
        text += &format!(", {partly} partly (~), of which nothing is claimed");
    }
    if broken > 0 {
        text += &format!(", {broken} not (!)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(mechanism: &str, task: ProbeTask, accuracy: f64) -> ProbeCell {
        ProbeCell {
            mechanism: mechanism.parse().unwrap(),
            task,
            seed: 3,
            accuracy,
            steps: 400,
            curve: vec![(20, 2.0, 0.2), (40, 1.0, accuracy)],
            seconds: 1.0,
        }
    }

    #[test]
    fn the_table_marks_what_is_partly_and_what_is_not_as_expected() {
        let cells = [
            cell("1001", ProbeTask::PointNear, 0.42),
            cell("1001", ProbeTask::Match, 1.0),
            cell("0010", ProbeTask::PointNear, 0.7),
            cell("0010", ProbeTask::Match, 0.2),
        ];
        let expected =
            "mechanism  point_near   match\n1001           0.420~  1.000\n0010           0.700!  0.200";
        assert_eq!(table(&cells).replace(" \n", "\n").trim_end(), expected);
        assert_eq!(
            summary(&cells),
            "2 of 3 cells as expected, 1 partly (~), of which nothing is claimed, 1 not (!)"
        );
    }

    #[test]
    fn a_line_of_json_has_four_fields() {
        let line = json_line(&cell("0010", ProbeTask::Match, 0.25));
        assert_eq!(line, r#"{"mechanism":"0010","task":"match","seed":3,"accuracy":0.25}"#);
    }

    #[test]
    fn what_is_named_twice_is_trained_once() {
        assert_eq!(chosen(&[2, 1, 2], vec![9]), [2, 1]);
        assert_eq!(chosen(&[], vec![9, 8]), [9, 8]);
    }
}
