//! `termwise study`.

mod pool;
mod results;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use termwise_opencl::DeviceChoice;

use self::pool::{Outcome, Pool, result};
use self::results::report;
pub use self::worker::{Args as RunArgs, Worker, run as run_one};
use super::fault::Fault;
use super::output::{OutputFolder, say};
use super::settings::Origin;
use super::{detection, segmentation, translation};
use crate::study::{Grid, Plan, Run, RunId, Shard, TaskGrid, TaskKind, TaskPlan};

/// The plan of a study, in its folder.
const PLAN: &str = "plan.json";
/// The result of a run, in its folder.
const RESULT: &str = "run.json";

/// Arguments of `termwise study`.
#[derive(clap::Args)]
pub struct Args {
    /// The tasks: segmentation, detection, translation [default: all of the grid]
    #[arg(value_name = "TASK", conflicts_with_all = ["resume", "merge"])]
    tasks: Vec<TaskKind>,
    /// What is compared: quick (minutes, on built-in data), paper (the whole grid of the paper), or a TOML file
    #[arg(long, value_name = "GRID", default_value = "quick", conflicts_with_all = ["resume", "merge"])]
    grid: String,
    /// Seeds of each configuration, from 0 [default: those of the grid]; with --resume, more of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000), conflicts_with = "merge")]
    seeds: Option<u64>,
    /// The data of a task, once for each [default: built-in ones]
    #[arg(long, value_name = "TASK=DIR", value_parser = data_of_task, conflicts_with_all = ["resume", "merge"])]
    data: Vec<(TaskKind, PathBuf)>,
    /// The folder for runs and report
    #[arg(long, value_name = "DIR", default_value = "termwise-study", conflicts_with = "resume")]
    out: PathBuf,
    /// Go on with the study in this folder; finished runs are kept
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Do every N-th run alone, from the I-th; --merge joins the folders
    #[arg(long, value_name = "I/N", conflicts_with_all = ["resume", "merge"])]
    shard: Option<Shard>,
    /// Join the runs of these folders, which hold shards of one study, and write the report
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with = "resume")]
    merge: Vec<PathBuf>,
    /// Runs at a time, which share the threads [default: as many as threads; 1 on a device of OpenCL]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Keep the checkpoints of finished trainings too
    #[arg(long)]
    keep_checkpoints: bool,
}

fn data_of_task(text: &str) -> Result<(TaskKind, PathBuf), String> {
    let (task, path) = text.split_once('=').ok_or("expected TASK=DIR such as detection=cells")?;
    Ok((task.parse()?, path.into()))
}

/// Runs the command.
pub fn run(args: &Args, threads: usize, device: DeviceChoice) -> Result<(), Fault> {
    if !args.merge.is_empty() {
        return merge(args);
    }
    let (folder, plan) = match &args.resume {
        Some(path) => (OutputFolder::open(path)?, resumed(path, args.seeds)?),
        None => {
            let plan = planned(args)?;
            let folder = OutputFolder::open(&args.out)?;
            if folder.file(PLAN).exists() {
                let expected = "a folder without a study, or --resume to go on with it";
                return Err(Fault::of_file(folder.path(), "output folder", expected, PLAN));
            }
            (folder, plan)
        }
    };
    folder.write(PLAN, serde_json::to_string_pretty(&plan).expect("plain data") + "\n")?;
    let all = plan.shard.map_or_else(|| plan.runs(), |shard| plan.runs_of(shard));
    let mut waiting = Vec::new();
    for id in &all {
        if result(folder.path(), id)?.is_none() {
            waiting.push(*id);
        }
    }
    let at_once = if matches!(device, DeviceChoice::OpenCl(_)) { 1 } else { threads };
    let jobs = args.jobs.map_or(at_once, usize::from).min(waiting.len()).max(1);
    let of_each = (threads / jobs).max(1);
    say(&format!(
        "{} runs, {} of them done; {jobs} at a time, {of_each} thread{} each",
        all.len(),
        all.len() - waiting.len(),
        if of_each == 1 { "" } else { "s" }
    ))?;
    let pool = Pool {
        study: folder.path(),
        jobs,
        threads: of_each,
        device,
        keep_checkpoints: args.keep_checkpoints,
    };
    let Outcome { mut failed, interrupted } = pool.run(waiting)?;
    failed.sort_by_key(|(id, _)| all.iter().position(|of| of == id));
    let go_on = format!("--resume {}", folder.path().display());
    if interrupted {
        return Err(Fault::Interrupted(format!("stopped; finished runs are kept, go on with {go_on}")));
    }
    match plan.shard {
        Some(_) => say("All runs of this shard are done; join the shards with --merge")?,
        None => report(&folder, &plan)?,
    }
    match failed.as_slice() {
        [] => Ok(()),
        [(id, said), rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            Err(Fault::Input(format!(
                "{id}{more} failed; try again with {go_on}: {}",
                said.trim_start_matches("error: ")
            )))
        }
    }
}

/// The plan that the arguments ask for, once grid, settings and data have been looked at.
fn planned(args: &Args) -> Result<Plan, Fault> {
    let path = Path::new(&args.grid);
    let grid = match Grid::named(&args.grid) {
        Some(grid) => grid,
        None => {
            let fault = |error: String| Fault::of_file(path, "grid", "quick, paper or a TOML file", error);
            let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
            text.parse().map_err(|error: String| Fault::Input(format!("{}: {error}", path.display())))?
        }
    };
    let chosen = |task| args.tasks.is_empty() || args.tasks.contains(&task);
    let mut tasks = Vec::new();
    for (task, grid) in grid.tasks().filter(|(task, _)| chosen(*task)) {
        tasks.push(task_plan(task, grid, args)?);
    }
    let planned: Vec<&str> = tasks.iter().map(|plan| plan.task.name()).collect();
    let named = args.tasks.iter().chain(args.data.iter().map(|(task, _)| task));
    if let Some(absent) = named.clone().find(|task| !planned.contains(&task.name())) {
        return Err(Fault::of_file(path, "grid", format!("a grid with {absent}"), planned.join(", ")));
    }
    let command: Vec<String> = std::env::args().collect();
    let seeds = args.seeds.unwrap_or(grid.seeds);
    Ok(Plan { command: command.join(" "), seeds, tasks, shard: args.shard })
}

fn task_plan(task: TaskKind, grid: &TaskGrid, args: &Args) -> Result<TaskPlan, Fault> {
    let data = args.data.iter().find(|(of, _)| *of == task).map(|(_, path)| path.clone());
    let TaskGrid { configurations, settings } = grid.clone();
    let mut plan = TaskPlan { task, data, facts: Map::new(), settings, configurations };
    let table = format!("{task}.settings.");
    let origin = Origin { file: Path::new(&args.grid), table: &table };
    for &configuration in &plan.configurations {
        let id = RunId { task, configuration, seed: 0 };
        match task {
            TaskKind::Segmentation => drop(segmentation::study::settings(&plan, &id, origin)?),
            TaskKind::Detection => drop(detection::study::settings(&plan, &id, origin)?),
            TaskKind::Translation => drop(translation::study::settings(&plan, &id, origin)?),
        }
    }
    let id = RunId { task, configuration: plan.configurations[0], seed: 0 };
    let facts: Map<String, Value> = match task {
        TaskKind::Segmentation => segmentation::study::check_data(&plan, &id, origin)?,
        TaskKind::Detection => detection::study::check_data(&plan, &id, origin)?,
        TaskKind::Translation => translation::study::check_data(&plan, &id, origin)?,
    };
    plan.facts = facts;
    Ok(plan)
}

/// The plan in a folder.
fn plan_of(folder: &Path) -> Result<Plan, Fault> {
    let path = folder.join(PLAN);
    let fault = |error: &dyn std::fmt::Display| Fault::of_file(&path, "plan", "that of a study", error);
    let text = fs::read_to_string(&path).map_err(|error| fault(&error))?;
    serde_json::from_str(&text).map_err(|error| fault(&error))
}

/// The plan in a folder, with more seeds where they are asked for.
fn resumed(folder: &Path, seeds: Option<u64>) -> Result<Plan, Fault> {
    let mut plan = plan_of(folder)?;
    if let Some(seeds) = seeds {
        if seeds < plan.seeds {
            return Err(Fault::Input(format!(
                "--seeds: expected at least the {} of the study, found {seeds}",
                plan.seeds
            )));
        }
        plan.seeds = seeds;
    }
    Ok(plan)
}

/// Joins shards.
fn merge(args: &Args) -> Result<(), Fault> {
    let mut plans = Vec::new();
    for path in &args.merge {
        plans.push((path, plan_of(path)?));
    }
    let (first, plan) = &plans[0];
    for (path, other) in &plans {
        if !plan.is_same_as(other) {
            let expected = format!("a shard of the study in {}", first.display());
            return Err(Fault::of_file(&path.join(PLAN), "plan", expected, "another study"));
        }
    }
    let folder = OutputFolder::open(&args.out)?;
    let plan = Plan { shard: None, ..plan.clone() };
    if folder.file(PLAN).exists() && !plan_of(folder.path())?.is_same_as(&plan) {
        let expected = "an empty folder, or one of the same study";
        return Err(Fault::of_file(&folder.file(PLAN), "output folder", expected, "another study"));
    }
    folder.write(PLAN, serde_json::to_string_pretty(&plan).expect("plain data") + "\n")?;
    let (mut joined, mut missing) = (0, 0);
    for id in plan.runs() {
        let target = worker::run_folder(folder.path(), &id).join(RESULT);
        let mut found: Option<(PathBuf, Run)> = None;
        for (path, _) in &plans {
            let Some(run) = result(path, &id)? else { continue };
            let source = worker::run_folder(path, &id).join(RESULT);
            if let Some((before, _)) = found.as_ref().filter(|(_, before)| before.evidence != run.evidence) {
                let expected = format!("the result in {}, as it is the same run", before.display());
                return Err(Fault::of_file(&source, "run", expected, "another result"));
            }
            found.get_or_insert((source, run));
        }
        match found {
            Some((source, _)) if source != target => {
                let parent = target.parent().expect("a folder");
                let fault = |error| Fault::of_file(&target, "run", "a copy of a shard's", error);
                fs::create_dir_all(parent).map_err(fault)?;
                termwise_datasets::write_atomically(&target, &fs::read(&source).map_err(fault)?)?;
                joined += 1;
            }
            Some(_) => joined += 1,
            None => missing += usize::from(!target.exists()),
        }
    }
    say(&format!("{joined} runs joined, {missing} missing"))?;
    report(&folder, &plan)
}
