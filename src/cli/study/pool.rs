//! The runs of a study, several processes at a time.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use termwise_opencl::DeviceChoice;

use super::RESULT;
use super::worker::run_folder;
use crate::cli::fault::Fault;
use crate::cli::progress::Progress;
use crate::cli::training::interrupted;
use crate::study::{Run, RunId};

/// What a run wrote besides its result.
const LOG: &str = "log.txt";

/// How the runs are done.
pub struct Pool<'a> {
    /// The folder of the study.
    pub study: &'a Path,
    /// Runs at a time.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
    /// Where they compute.
    pub device: DeviceChoice,
    /// Whether checkpoints of finished trainings stay.
    pub keep_checkpoints: bool,
}

/// What became of the runs.
pub struct Outcome {
    /// Those that failed, each with what it said last.
    pub failed: Vec<(RunId, String)>,
    /// Whether Ctrl-C ended the study early.
    pub interrupted: bool,
}

impl Pool<'_> {
    /// Does the runs, in order.
    pub fn run(&self, runs: Vec<RunId>) -> Result<Outcome, Fault> {
        let program = std::env::current_exe()
            .map_err(|error| Fault::Input(format!("cannot start runs: this program's own path: {error}")))?;
        let progress = Progress::start("study", runs.len() as u64);
        let (total, mut done) = (runs.len(), 0);
        let mut waiting = VecDeque::from(runs);
        let mut under_way: Vec<(RunId, Child)> = Vec::new();
        let mut failed = Vec::new();
        loop {
            let stop = interrupted();
            while !stop && under_way.len() < self.jobs {
                let Some(id) = waiting.pop_front() else { break };
                under_way.push((id, self.start(&program, &id)?));
            }
            if under_way.is_empty() {
                return Ok(Outcome { failed, interrupted: stop && !waiting.is_empty() });
            }
            if stop {
                // Tells them to save and stop, where Ctrl-C has not told them already.
                under_way.iter_mut().for_each(|(_, child)| drop(child.stdin.take()));
            }
            std::thread::sleep(Duration::from_millis(20));
            let mut still = Vec::new();
            for (id, mut child) in under_way {
                let status = child.try_wait()?;
                let Some(status) = status else {
                    still.push((id, child));
                    continue;
                };
                if status.success() {
                    done += 1;
                    let run = result(self.study, &id)?.map(|run| run.record);
                    let score = run.map_or(String::new(), |run| {
                        format!(": {} {:.2}, {:.0} s", id.task.metric(), run.score, run.wall_seconds)
                    });
                    progress.line(&format!("{done}/{total} {id}{score}"));
                    progress.advance(1);
                } else if status.code() == Some(130) && interrupted() {
                    waiting.push_front(id);
                } else {
                    let said = last_line(&run_folder(self.study, &id).join(LOG));
                    progress.line(&format!("{id} failed: {said}"));
                    failed.push((id, said));
                    progress.advance(1);
                }
            }
            under_way = still;
        }
    }

    fn start(&self, program: &Path, id: &RunId) -> Result<Child, Fault> {
        let folder = run_folder(self.study, id);
        let begin = || -> io::Result<Child> {
            fs::create_dir_all(&folder)?;
            let log = fs::File::create(folder.join(LOG))?;
            let mut command = Command::new(program);
            command.arg("study-run").arg(self.study).arg(id.folder());
            command.args(["--threads", &self.threads.to_string(), "--device", &self.device.to_string()]);
            command.args(self.keep_checkpoints.then_some("--keep-checkpoint"));
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn()
        };
        begin().map_err(|error| Fault::of_file(&folder, "run", "to be started", error))
    }
}

/// The result of a run, where it is finished.
pub fn result(study: &Path, id: &RunId) -> Result<Option<Run>, Fault> {
    let path: PathBuf = run_folder(study, id).join(RESULT);
    let fault = |error: &dyn std::fmt::Display| Fault::of_file(&path, "result", "that of a run", error);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(&error)),
    };
    let run: Run = serde_json::from_str(&text).map_err(|error| fault(&error))?;
    if run.record.id != *id {
        return Err(fault(&run.record.id));
    }
    Ok(Some(run))
}

fn last_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}
