//! A study: independent runs that are kept, resumed, shared out and joined.
#![cfg(feature = "cli")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{command, contains, refused, succeeds, termwise, text};
use serde_json::Value;

const GRID: &str = r#"
seeds = 2
[segmentation]
configurations = ["w/o", "0010", "0100 limited"]
[segmentation.settings]
scenes = 16
size = [32, 32]
width = 4
num_heads = 2
epochs = 3
[detection]
configurations = ["0010+dynamic"]
[detection.settings]
scenes = 8
epochs = 2
[detection.settings.detection]
side = 48
width = 4
num_heads = 2
[translation]
configurations = ["0110", "1111 x 1000"]
[translation.settings]
sentences = 300
epochs = 2
[translation.settings.translation.model]
vocabulary = 300
channels = 16
num_heads = 2
feed_forward = 32
encoder_layers = 1
decoder_layers = 1
"#;

/// What the runs of a study found, by the names of their folders: all but times.
fn found(study: &Path) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(study.join("runs")).unwrap() {
        let folder = entry.unwrap();
        let Ok(text) = fs::read_to_string(folder.path().join("run.json")) else { continue };
        let mut run: Value = serde_json::from_str(&text).unwrap();
        for time in ["step_seconds", "wall_seconds", "peak_bytes"] {
            assert!(run["record"][time].take().as_f64().unwrap() > 0.0, "{time}");
        }
        all.insert(folder.file_name().into_string().unwrap(), run);
    }
    all
}

fn grid(root: &Path) -> String {
    let path = root.join("grid.toml");
    fs::write(&path, GRID).unwrap();
    text(&path).to_owned()
}

#[test]
fn a_study_that_is_killed_again_and_again_finds_the_same() {
    let root = tempfile::tempdir().unwrap();
    let (grid, whole, killed) = (grid(root.path()), root.path().join("whole"), root.path().join("killed"));
    succeeds(&["study", "--grid", &grid, "--out", text(&whole), "--jobs", "1", "--threads", "2"]);
    let expected = found(&whole);
    assert_eq!(expected.len(), 12);
    let checkpoint = |name: &str| whole.join("runs").join(name).join("checkpoint.safetensors");
    assert!(expected.keys().all(|name| !checkpoint(name).exists()));

    let mut study = command(&["study", "--grid", &grid, "--out", text(&killed)]).spawn().unwrap();
    for count in [2, 7] {
        let start = Instant::now();
        let finished = || if killed.join("runs").exists() { found(&killed).len() } else { 0 };
        while finished() < count && study.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(300), "no {count} runs in five minutes");
            std::thread::sleep(Duration::from_millis(2));
        }
        study.kill().unwrap();
        study.wait().unwrap();
        // Runs that were under way notice that nobody waits for them; until then their folders are theirs.
        while std::fs::File::open(&killed).unwrap().try_lock().is_err() {}
        let busy =
            |name: &str| fs::File::open(killed.join("runs").join(name)).is_ok_and(|f| f.try_lock().is_err());
        while expected.keys().any(|name| busy(name)) {
            assert!(start.elapsed() < Duration::from_secs(300), "runs go on without their study");
            std::thread::sleep(Duration::from_millis(2));
        }
        study = command(&["study", "--resume", text(&killed)]).spawn().unwrap();
    }
    let output = study.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let resumed = found(&killed);
    assert_eq!(resumed.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, run) in &expected {
        assert!(resumed[name] == *run, "{name}: {} and {run}", resumed[name]);
    }
    // More seeds are added to what is there.
    let before =
        fs::metadata(killed.join("runs/segmentation-wo-seed0/run.json")).unwrap().modified().unwrap();
    succeeds(&["study", "--resume", text(&killed), "--seeds", "3"]);
    assert_eq!(found(&killed).len(), 18);
    let after = fs::metadata(killed.join("runs/segmentation-wo-seed0/run.json")).unwrap().modified().unwrap();
    assert_eq!(before, after, "a finished run is kept");
}

#[test]
fn shards_join_to_the_whole() {
    let root = tempfile::tempdir().unwrap();
    let (grid, whole, joined) = (grid(root.path()), root.path().join("whole"), root.path().join("joined"));
    let tasks = ["study", "segmentation", "translation", "--grid", &grid];
    succeeds(&[&tasks[..], &["--out", text(&whole)]].concat());
    let shards: Vec<_> = (1..=3).map(|i| (format!("{i}/3"), root.path().join(format!("shard{i}")))).collect();
    for (shard, out) in &shards {
        contains(&succeeds(&[&tasks[..], &["--shard", shard, "--out", text(out)]].concat()), &["--merge"]);
    }
    let merge = |folders: &[&Path]| -> Vec<String> {
        let folders = folders.iter().map(|folder| text(folder).to_owned());
        ["study", "--out", text(&joined), "--merge"].into_iter().map(str::to_owned).chain(folders).collect()
    };
    let arguments = merge(&[&shards[0].1, &shards[1].1]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    contains(&succeeds(&arguments), &["7 runs joined, 3 missing"]);
    let arguments = merge(&[&shards[0].1, &shards[1].1, &shards[2].1]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    contains(&succeeds(&arguments), &["10 runs joined, 0 missing"]);
    assert!(found(&joined) == found(&whole));
    let scores = |study: &Path| -> Vec<Value> {
        let text = fs::read_to_string(study.join("study.json")).unwrap();
        let summary: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(summary["claims"].as_array().unwrap().len(), 6);
        let tasks = summary["tasks"].as_array().unwrap().iter();
        let configurations = tasks.flat_map(|task| task["configurations"].as_array().unwrap().clone());
        configurations.map(|c| serde_json::json!([c["configuration"], c["scores"], c["interval"]])).collect()
    };
    assert_eq!(scores(&joined), scores(&whole));
    assert_eq!(scores(&whole).len(), 5);
    let page = fs::read_to_string(joined.join("index.html")).unwrap();
    contains(&page, &["F1", "F6", "1111 x 1000", "0100 limited", "<svg"]);
    let loads = ["src=\"http", "href=\"http", "url(http", "@import"];
    assert!(loads.iter().all(|load| !page.contains(load)), "the page loads something");

    // A shard of another study is no shard of this one.
    let other = root.path().join("other");
    succeeds(&[
        "study",
        "translation",
        "--grid",
        &grid,
        "--seeds",
        "1",
        "--shard",
        "1/2",
        "--out",
        text(&other),
    ]);
    let message =
        refused(&["study", "--out", text(&root.path().join("x")), "--merge", text(&whole), text(&other)]);
    contains(
        &message,
        &["other", "plan.json: plan: expected a shard of the study in", "found another study"],
    );
    assert!(!root.path().join("x").exists());
}

#[test]
fn a_run_that_fails_is_named_and_the_others_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let (path, out) = (root.path().join("grid.toml"), root.path().join("out"));
    let grid = GRID.replace("epochs = 3", "epochs = 3\nlr = 1e30\nwarmup = 0.0\nclip_norm = 1e30");
    fs::write(&path, grid).unwrap();
    let output = termwise(&[
        "study",
        "segmentation",
        "translation",
        "--grid",
        text(&path),
        "--seeds",
        "1",
        "--out",
        text(&out),
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let last = said.lines().last().unwrap();
    contains(
        last,
        &["segmentation w/o seed 0 and 2 more failed; try again with --resume", "expected finite numbers"],
    );
    let names: Vec<String> = found(&out).into_keys().collect();
    assert_eq!(names, ["translation-0110-seed0", "translation-1111-x-1000-seed0"]);
}

#[test]
fn what_is_wrong_with_a_study_is_named_before_anything_is_computed() {
    let root = tempfile::tempdir().unwrap();
    let (path, out) = (root.path().join("grid.toml"), root.path().join("out"));
    for (from, to, expected) in [
        ("\"0010\"", "\"0012\"", "grid.toml: line 4: unknown"),
        ("scenes = 16", "scene = 16", "grid.toml: field segmentation.settings.scene: expected one of"),
        ("epochs = 3", "epochs = \"many\"", "grid.toml: field segmentation.settings.epochs: expected"),
        (
            "num_heads = 2",
            "num_heads = 3",
            "grid.toml: field num_heads: expected a divisor of the width 4, found 3",
        ),
        ("side = 48", "sides = 48", "grid.toml: field detection.settings.detection.sides: expected one of"),
    ] {
        fs::write(&path, GRID.replacen(from, to, 1)).unwrap();
        contains(&refused(&["study", "--grid", text(&path), "--out", text(&out)]), &[expected]);
    }
    fs::write(&path, GRID).unwrap();
    let study = ["study", "--grid", text(&path), "--out", text(&out)];
    for (arguments, expected) in [
        (&["--data", "detection=nowhere"][..], "nowhere: data folder"),
        (&["--data", "nowhere"], "expected TASK=DIR such as"),
        (&["--shard", "3/2"], "expected I/N with 1 <= I <= N"),
        (&["translator"], "expected one of segmentation, detection, translation"),
    ] {
        contains(&refused(&[&study[..], arguments].concat()), &[expected]);
    }
    contains(
        &refused(&["study", "--grid", "nowhere.toml"]),
        &["nowhere.toml: grid: expected quick, paper or a TOML file"],
    );
    contains(
        &refused(&["study", "--resume", text(root.path())]),
        &["plan.json: plan: expected that of a study"],
    );
    assert!(!out.exists());
}
