//! The `termwise` command as a person or a script meets it.
#![cfg(feature = "cli")]

mod common;

use std::fs;
use std::path::Path;

use serde_json::Value;

use common::{contains, refused, stdout, termwise};

fn entries(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}

/// A data folder in the usual form: grey pictures of 32 x 40 pixels, labelled 0 and 1.
fn data_folder(root: &Path) {
    use termwise::datasets::png_out::{write_labels, write_picture};
    fs::write(root.join("classes.txt"), "0 left\n1 right\n").unwrap();
    for split in ["train", "val"] {
        for folder in [split.to_owned(), format!("{split}annot")] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        let mut list = String::new();
        for i in 0..3u8 {
            let (image, label) = (format!("{split}/{i}.png"), format!("{split}annot/{i}.png"));
            let picture = ndarray::Array3::from_shape_fn((32, 40, 3), |(y, x, _)| (x * 5 + y) as u8 + i);
            write_picture(&root.join(&image), &picture).unwrap();
            let labels = ndarray::Array2::from_shape_fn((32, 40), |(_, x)| u8::from(x >= 20));
            write_labels(&root.join(&label), &labels).unwrap();
            list += &format!("{image} {label}\n");
        }
        fs::write(root.join(format!("{split}.txt")), list).unwrap();
    }
}

#[test]
fn help_names_the_commands_and_goes_to_standard_output() {
    let output = termwise(&["--help"]);
    assert!(output.status.success());
    contains(
        &stdout(&output),
        &["study", "tour", "gradcheck", "probe", "bench", "train", "eval", "--threads"],
    );
    for command in [
        vec!["probe"],
        vec!["gradcheck"],
        vec!["bench"],
        vec!["study"],
        vec!["tour"],
        vec!["train", "segmentation"],
        vec!["eval", "segmentation"],
    ] {
        let output = termwise(&[&command[..], &["--help"]].concat());
        assert!(output.status.success());
        contains(&stdout(&output), &["Usage: termwise", command[0]]);
    }
}

#[test]
fn a_wrong_value_is_one_line_that_says_what_was_expected() {
    let cases: [(&[&str], &[&str]); 8] = [
        (
            &["train", "segmentation", "--attention", "0012"],
            &["--attention", "'0012'", "0000 to 1111", "+deformable"],
        ),
        (&["probe", "--mechanisms", "0010,regula"], &["'regula'", "regular, deformable or dynamic"]),
        (&["probe", "--tasks", "matc"], &["'matc'", "match, point_near"]),
        (&["probe", "--threads", "0"], &["--threads", "1..=1024"]),
        (&["train", "segmentation", "--attention", "1111", "--size", "90"], &["--size", "90x120"]),
        (&["train", "segmentation", "--attention", "1111", "--lr", "-1"], &["--lr", "above 0"]),
        (
            &["train", "segmentation", "--attention", "1111", "--optimizer", "lbfgs"],
            &["'lbfgs'", "adam, sgd"],
        ),
        (
            &["train", "segmentation", "--attention", "1111", "--heads", "5"],
            &["--heads", "divisor of the width 32", "found 5"],
        ),
    ];
    for (arguments, parts) in cases {
        contains(&refused(arguments), parts);
    }
}

#[test]
fn an_unknown_operation_gets_near_names_and_a_shape_that_does_not_fit_the_reason() {
    contains(&refused(&["gradcheck", "softmx"]), &["operation", "softmax", "found 'softmx'"]);
    contains(
        &refused(&["gradcheck", "softmax", "--shape", "1,1,1,1,1,1,1"]),
        &["softmax: --shape: expected sizes like", "found [1, 1, 1, 1, 1, 1, 1]", "which has 7 sizes"],
    );
    contains(&refused(&["gradcheck", "softmax", "--shape", "2,x"]), &["--shape", "whole numbers"]);
}

#[test]
fn gradcheck_prints_a_verdict_and_json() {
    let output = termwise(&["gradcheck", "relu"]);
    assert_eq!(output.status.code(), Some(0));
    contains(&stdout(&output), &["gradcheck relu", "operation", "verdict", "1 operations", "PASS"]);

    let output = termwise(&["gradcheck", "relu", "--shape", "2,3", "--json", "--seed", "5"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(text.lines().count() >= 1);
    for line in text.lines() {
        let report: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&report["op"], &report["verdict"], &report["seed"]),
            (&"relu".into(), &"PASS".into(), &5.into())
        );
        assert_eq!(report["case_shape"], serde_json::json!([2, 3]));
    }
}

#[test]
fn planted_faults_are_caught_and_counted() {
    let output = termwise(&["gradcheck", "matmul", "--faults", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let line: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let planted = line["planted"].as_u64().unwrap();
    assert_eq!(line["op"], "matmul");
    assert!(planted > 50 && line["caught"].as_u64() == Some(planted), "{line}");
}

#[test]
fn a_probe_has_the_same_bits_for_any_number_of_threads() {
    let run = |threads| {
        let cell =
            ["probe", "--mechanisms", "regular,0010", "--tasks", "shift_near", "--seed", "3", "--json"];
        let output = termwise(&[&cell[..], &["--threads", threads]].concat());
        assert!(output.status.success());
        stdout(&output)
    };
    let lines = run("1");
    assert_eq!(lines, run("2"));
    let cells: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(cells.len(), 2);
    for (cell, mechanism) in cells.iter().zip(["regular", "0010"]) {
        let keys: Vec<&String> = cell.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 4, "{cell}");
        assert_eq!(
            (&cell["mechanism"], &cell["task"], &cell["seed"]),
            (&mechanism.into(), &"shift_near".into(), &3.into())
        );
    }
    // The one looks at a fixed near place; the other knows no places.
    assert!(cells[0]["accuracy"].as_f64().unwrap() >= 0.95 && cells[1]["accuracy"].as_f64().unwrap() < 0.6);
}

#[test]
fn a_probe_writes_its_table_curves_and_page() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("new/folder");
    let out_text = out.to_str().unwrap();
    let output = termwise(&["probe", "--mechanisms", "regular", "--tasks", "shift_near", "--out", out_text]);
    assert!(output.status.success());
    contains(&stdout(&output), &["mechanism", "shift_near", "regular", "1 of 1 cells as expected"]);
    assert_eq!(entries(&out), ["curves_shift_near.svg", "probe.html", "probe.jsonl", "table.svg"]);
    let page = fs::read_to_string(out.join("probe.html")).unwrap();
    contains(&page, &["A fixed 3x3 window", "<svg"]);
    assert!(!page.replace("http://www.w3.org/2000/svg", "").contains("http"));
}

#[test]
fn an_unwritable_folder_is_found_before_anything_is_computed() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "kept").unwrap();
    let below = file.join("out");
    for out in [&file, &below] {
        let out = out.to_str().unwrap();
        let commands: [&[&str]; 4] = [
            &["probe", "--out", out],
            &["train", "segmentation", "--attention", "0010", "--out", out],
            &["study", "--out", out],
            &["tour", "--out", out],
        ];
        for command in commands {
            contains(
                &refused(command),
                &[&format!("{out}: output folder: expected a folder that can be written into, found")],
            );
        }
    }
    assert_eq!(entries(root.path()), ["file"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
}

#[test]
fn bad_data_is_named_and_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let (data, out) = (root.path().join("data"), root.path().join("out"));
    let train = || {
        let (data, out) = (data.to_str().unwrap(), out.to_str().unwrap());
        refused(&["train", "segmentation", "--attention", "0010", "--data", data, "--out", out])
    };
    contains(&train(), &["data: data folder: expected a folder, found nothing there"]);

    fs::create_dir(&data).unwrap();
    data_folder(&data);
    let picture = data.join("train/1.png");
    let whole = fs::read(&picture).unwrap();
    fs::write(&picture, &whole[..whole.len() / 2]).unwrap();
    contains(&train(), &["train/1.png: image: expected", "found"]);

    let small = ndarray::Array3::zeros((32, 39, 3));
    termwise::datasets::png_out::write_picture(&picture, &small).unwrap();
    contains(&train(), &["trainannot/1.png: height x width: expected 32 x 39", "found 32 x 40"]);
    fs::write(&picture, &whole).unwrap();

    let labels = ndarray::Array2::from_elem((32, 40), 7u8);
    termwise::datasets::png_out::write_labels(&data.join("valannot/2.png"), &labels).unwrap();
    contains(&train(), &["valannot/2.png: label at row 0, column 0", "0..=1", "found 7"]);
    assert_eq!(entries(root.path()), ["data"]);
}

#[test]
fn a_training_writes_a_checkpoint_that_only_fits_its_data() {
    let root = tempfile::tempdir().unwrap();
    let (data, out) = (root.path().join("data"), root.path().join("out"));
    fs::create_dir(&data).unwrap();
    data_folder(&data);
    let (data_text, out_text) = (data.to_str().unwrap(), out.to_str().unwrap());
    let small = ["--epochs", "2", "--batch", "2", "--width", "4", "--heads", "2"];
    let command =
        ["train", "segmentation", "--attention", "0010+deformable", "--data", data_text, "--out", out_text];
    let output = termwise(&[&command[..], &small].concat());
    assert!(output.status.success(), "{output:?}");
    let files = [
        "checkpoint.safetensors",
        "config.json",
        "curves.svg",
        "metrics.jsonl",
        "predictions.png",
        "report.html",
    ];
    assert_eq!(entries(&out), files);

    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let events: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let epochs: Vec<&Value> = events.iter().filter(|event| event["event"] == "epoch").collect();
    assert_eq!((epochs.len(), events.len()), (2, 2 + 4)); // two steps in each of two epochs

    // The reloaded model scores the validation pictures as the training did at its end.
    let checkpoint = out.join("checkpoint.safetensors");
    let checkpoint = checkpoint.to_str().unwrap();
    let eval = ["eval", "segmentation", "--checkpoint", checkpoint];
    let output = termwise(&[&eval[..], &["--data", data_text, "--json"]].concat());
    assert!(output.status.success(), "{output:?}");
    let figures: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&figures["attention"], &figures["pictures"]), (&"0010+deformable".into(), &3.into()));
    assert_eq!(figures["miou"], epochs[1]["miou"]);
    assert_eq!(figures["pixel_accuracy"], epochs[1]["pixel_accuracy"]);

    // Other classes than those of the training.
    contains(
        &refused(&eval),
        &["built-in scenes: classes: expected 2 classes (left, right)", "found 7 classes"],
    );
}

#[test]
fn a_file_that_is_no_checkpoint_of_a_segmenter_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("model.safetensors");
    let text = path.to_str().unwrap();
    let refuse = || refused(&["eval", "segmentation", "--checkpoint", text]);
    contains(&refuse(), &["model.safetensors", "cannot read"]);

    fs::write(&path, b"not a checkpoint").unwrap();
    contains(&refuse(), &["model.safetensors: field header: expected a whole safetensors file"]);

    // A checkpoint of another kind of model.
    let write = |architecture: &Value| {
        let backend = termwise::prelude::Cpu::<f32>::new();
        let module =
            termwise::models::layers::Linear::new(2, 3, true, &mut termwise::models::Init::new(backend, 0));
        termwise::models::checkpoint::save(&path, architecture, &module).unwrap();
    };
    write(&serde_json::json!({ "task": "translation", "layers": 3 }));
    contains(
        &refuse(),
        &["model.safetensors: field architecture: expected what SegmenterConfig reads", "translation"],
    );

    // One that says it is a segmenter, but holds other numbers; and one that cannot be built.
    let mut architecture = serde_json::json!({
        "task": "segmentation", "attention": "0010", "ignore": 255, "size": [64, 64], "width": 8, "num_heads": 2,
        "classes": ["ground", "disc", "square", "triangle", "bar", "ring", "cross"],
        "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],
    });
    write(&architecture);
    contains(&refuse(), &["model.safetensors: field stem.conv", "expected F32", "found no such tensor"]);
    architecture["num_heads"] = 0.into();
    write(&architecture);
    contains(&refuse(), &["architecture.num_heads: expected a divisor of the width 8, found 0"]);
    assert_eq!(entries(root.path()), ["model.safetensors"]);
}

#[test]
fn a_reader_that_leaves_early_causes_no_panic() {
    use std::process::{Command, Stdio};
    let program = assert_cmd::cargo::cargo_bin!("termwise");
    let mut child = Command::new(program)
        .args(["gradcheck", "relu", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
}
