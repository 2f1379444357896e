//! A training that is killed or interrupted, and resumed, ends as one that never was.
#![cfg(feature = "cli")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use common::command;

const SETTINGS: [&str; 16] = [
    "train",
    "segmentation",
    "--attention",
    "0010",
    "--scenes",
    "24",
    "--size",
    "32x32",
    "--width",
    "4",
    "--heads",
    "2",
    "--batch",
    "2",
    "--epochs",
    "24",
];

fn begin(out: &Path) -> Child {
    let out = ["--out", out.to_str().unwrap(), "--save-every", "0.01"];
    command(&[&SETTINGS[..], &out].concat()).spawn().unwrap()
}

fn go_on(out: &Path) {
    let output = common::termwise(&["train", "segmentation", "--resume", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The tensors of a checkpoint: all but its header, which tells the time taken.
fn tensors(out: &Path) -> Vec<u8> {
    let bytes = fs::read(out.join("checkpoint.safetensors")).unwrap();
    bytes[8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize..].to_vec()
}

/// The losses of all steps, as they are written.
fn losses(out: &Path) -> Vec<String> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| format!("{} {} {}", line["epoch"], line["step"], line["loss"])).collect()
}

/// Waits until so many records were written, or the training has ended.
fn wait_for_records(out: &Path, count: usize, training: &mut Child) {
    let start = Instant::now();
    let records = || fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
    while records() < count && training.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(120), "no {count} records in two minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn uninterrupted(root: &Path) -> std::path::PathBuf {
    let out = root.join("whole");
    assert!(begin(&out).wait().unwrap().success());
    out
}

#[test]
fn a_training_that_is_killed_again_and_again_ends_with_the_same_bits() {
    let root = tempfile::tempdir().unwrap();
    let (whole, out) = (uninterrupted(root.path()), root.path().join("killed"));
    let mut training = begin(&out);
    for records in [2, 90, 200] {
        wait_for_records(&out, records, &mut training);
        training.kill().unwrap();
        training.wait().unwrap();
        let resumed = ["train", "segmentation", "--resume", out.to_str().unwrap(), "--save-every", "0.01"];
        training = command(&resumed).spawn().unwrap();
    }
    let status: ExitStatus = training.wait().unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(losses(&out), losses(&whole));
    assert!(tensors(&out) == tensors(&whole), "the parameters differ");
    // Nothing temporary is left, whatever the kill came in the way of.
    let entries =
        || fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(entries().all(|name| !name.ends_with(".tmp")), "{:?}", entries().collect::<Vec<_>>());
    go_on(&out);
    assert!(tensors(&out) == tensors(&whole), "going on after the end changes nothing");
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let root = tempfile::tempdir().unwrap();
    let (whole, out) = (uninterrupted(root.path()), root.path().join("interrupted"));
    let mut training = begin(&out);
    wait_for_records(&out, 5, &mut training);
    let interrupt = Command::new("kill").args(["-INT", &training.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = training.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains(&format!("stopped and saved; go on with --resume {}", out.display())), "{said}");
    go_on(&out);
    assert_eq!(losses(&out), losses(&whole));
    assert!(tensors(&out) == tensors(&whole), "the parameters differ");
}

#[test]
fn what_cannot_be_resumed_is_refused_and_nothing_is_overwritten() {
    let root = tempfile::tempdir().unwrap();
    let out = uninterrupted(root.path());
    let refused = |arguments: &[&str]| {
        let output = common::termwise(arguments);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let before = fs::read(out.join("checkpoint.safetensors")).unwrap();
    let text = out.to_str().unwrap();
    let error = refused(&[&SETTINGS[..], &["--out", text]].concat());
    assert!(error.contains("expected a folder without a training, or --resume to go on with it"), "{error}");
    let error = refused(&["train", "segmentation", "--resume", root.path().to_str().unwrap()]);
    assert!(error.contains("config.json: settings: expected those of a training"), "{error}");
    assert_eq!(fs::read(out.join("checkpoint.safetensors")).unwrap(), before);

    // A checkpoint that was cut off.
    fs::write(out.join("checkpoint.safetensors"), &before[..before.len() - 3]).unwrap();
    let error = refused(&["train", "segmentation", "--resume", text]);
    assert!(error.contains("field header: expected a whole safetensors file"), "{error}");
}
