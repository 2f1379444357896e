//! What a study found: a table, a page, and a file of all numbers.

use std::process::Command;

use serde_json::{Map, Value};

use super::pool::result;
use crate::cli::fault::Fault;
use crate::cli::output::{OutputFolder, columns, say};
use crate::report::Table;
use crate::study::{About, AboutTask, Plan, Run, Summary, TaskPlan, page};

/// Writes the report on the runs that are there, and says what it says.
pub fn report(folder: &OutputFolder, plan: &Plan) -> Result<(), Fault> {
    let mut runs: Vec<Run> = Vec::new();
    for id in plan.runs() {
        runs.extend(result(folder.path(), &id)?);
    }
    if runs.is_empty() {
        return say("No run is finished: there is nothing to report");
    }
    let about = About {
        command: Some(plan.command.clone()),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        commit: commit(),
        machine: Some(machine()),
        tasks: plan.tasks.iter().map(|plan| (plan.task, about(plan))).collect(),
    };
    let summary = Summary::new(&runs, about)
        .map_err(|error| Fault::of_file(folder.path(), "runs", "those of one study", error))?;
    let show = |table: &Table| {
        let head: Vec<&str> = table.head.iter().map(String::as_str).collect();
        columns(&head, &table.rows)
    };
    for task in &summary.tasks {
        say(&format!("\n{}, {}\n{}", task.task, task.metric, show(&task.table())))?;
    }
    say(&format!("\n{}", show(&summary.verdicts())))?;
    folder.write("study.json", serde_json::to_string_pretty(&summary).expect("plain data") + "\n")?;
    let path = folder.write("index.html", page(&summary))?;
    say(&format!("\nOpen this in a browser:\n{}", path.display()))
}

fn about(plan: &TaskPlan) -> AboutTask {
    let data = plan.data.as_ref().and_then(|path| path.file_name());
    let data = data.map_or_else(|| "built-in".to_owned(), |name| name.to_string_lossy().into_owned());
    let mut settings = Vec::new();
    flat("", &plan.facts, &mut settings);
    flat("", &plan.settings, &mut settings);
    AboutTask { data: Some(data), settings }
}

/// Fields of tables as `table.field`.
fn flat(prefix: &str, table: &Map<String, Value>, found: &mut Vec<(String, String)>) {
    for (name, value) in table {
        match value {
            Value::Object(below) => flat(&format!("{prefix}{name}."), below, found),
            Value::String(text) => found.push((format!("{prefix}{name}"), text.clone())),
            other => found.push((format!("{prefix}{name}"), other.to_string())),
        }
    }
}

/// The commit of the source, where this program lies in a working tree of git.
fn commit() -> Option<String> {
    let folder = std::env::current_exe().ok()?.parent()?.to_owned();
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
    Some(if changed { format!("{commit}, changed since") } else { commit })
}

/// Processor and number of cores, as far as the system tells.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, model)| model.trim().to_owned());
    format!("{model}, {cores} core{}", if cores == 1 { "" } else { "s" })
}
