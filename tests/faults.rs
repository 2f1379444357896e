//! What goes wrong while something is written: a full disk, a folder that is taken, a loss that is no number.
#![cfg(feature = "cli")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{command, contains, refused, succeeds, text};

const TRAIN: [&str; 14] = [
    "train",
    "segmentation",
    "--attention",
    "0010",
    "--scenes",
    "16",
    "--size",
    "32x32",
    "--width",
    "4",
    "--heads",
    "2",
    "--batch",
    "4",
];

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(read).collect();
    files.sort();
    files
}

/// A limit on the size of files stands in for a disk that is full: writing fails half-way.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_during_a_checkpoint_is_named_and_the_last_one_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let mut training =
        command(&[&TRAIN[..], &["--epochs", "4000", "--save-every", "0.01", "--out", text(&out)]].concat())
            .spawn()
            .unwrap();
    while !out.join("checkpoint.safetensors").exists() {
        assert!(training.try_wait().unwrap().is_none(), "the training has ended");
    }
    training.kill().unwrap();
    training.wait().unwrap();
    let before = files(&out);
    let kept = |name: &str| before.iter().find(|(file, _)| file == name).expect("a file").1.clone();
    let limited =
        "trap '' XFSZ; ulimit -f 16; exec \"$0\" train segmentation --save-every 0.01 --resume \"$1\"";
    let output = Command::new("sh")
        .args(["-c", limited, env!("CARGO_BIN_EXE_termwise"), text(&out)])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let last = said.lines().last().unwrap();
    contains(last, &["error: ", "checkpoint.safetensors", "File too large"]);
    assert!(fs::read(out.join("checkpoint.safetensors")).unwrap() == kept("checkpoint.safetensors"));
    let left: Vec<String> = files(&out).into_iter().map(|(name, _)| name).collect();
    assert!(left.iter().all(|name| !name.ends_with(".tmp")), "{left:?}");
}

#[test]
fn a_loss_that_is_no_number_stops_the_training_and_names_the_op() {
    let root = tempfile::tempdir().unwrap();
    let (settings, out) = (root.path().join("settings.toml"), root.path().join("out"));
    // A rate at which the first steps leave the range of numbers.
    fs::write(&settings, "warmup = 0.0\nclip_norm = 1e30\nschedule = \"constant\"\n").unwrap();
    let wild = ["--lr", "1e30", "--config", text(&settings), "--save-every", "0.0001", "--out", text(&out)];
    let output = common::termwise(&[&TRAIN[..], &["--epochs", "3"], &wild].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    contains(
        said.lines().last().unwrap(),
        &[
            "0010: loss: expected finite numbers, found",
            "in epoch 1 at step",
            "forward made the first",
            "the last good checkpoint is kept",
        ],
    );
    // What is kept can be used.
    let checkpoint = out.join("checkpoint.safetensors");
    contains(&succeeds(&["eval", "segmentation", "--checkpoint", text(&checkpoint)]), &["mean IoU"]);
}

#[test]
fn a_folder_is_left_to_the_run_that_has_it() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let arguments = [&TRAIN[..], &["--epochs", "4000", "--save-every", "0.01", "--out", text(&out)]].concat();
    let mut training = command(&arguments).spawn().unwrap();
    while !out.join("checkpoint.safetensors").exists() {
        assert!(training.try_wait().unwrap().is_none(), "the training has ended");
    }
    for other in [&arguments[..], &["train", "segmentation", "--resume", text(&out)]] {
        contains(&refused(other), &["expected a folder that no other run writes into"]);
    }
    assert!(training.try_wait().unwrap().is_none(), "the training goes on");
    training.kill().unwrap();
    training.wait().unwrap();
}
