//! Detection and translation on the command line: train, evaluate, predict, and what is refused.
#![cfg(feature = "cli")]

mod common;

use std::fs;
use std::path::Path;

use serde_json::Value;

use common::{refused, text, with_input};

#[track_caller]
fn succeeds(arguments: &[&str], input: &str) -> String {
    let output = with_input(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    common::stdout(&output)
}

/// The last epoch of a training, as it was recorded.
fn last_epoch(out: &Path) -> Value {
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let mut lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.rfind(|line| line["event"] == "epoch").unwrap()
}

#[test]
fn a_translator_is_trained_measured_and_used() {
    let root = tempfile::tempdir().unwrap();
    let (config, out) = (root.path().join("small.toml"), root.path().join("out"));
    let model = "vocabulary = 600\nchannels = 32\nnum_heads = 2\nfeed_forward = 32\nencoder_layers = 1\n\
                 decoder_layers = 1\n";
    let settings = format!(
        "sentences = 300\nepochs = 2\n[translation]\nbatch_tokens = 512\n[translation.model]\n{model}"
    );
    fs::write(&config, settings).unwrap();
    let train =
        ["train", "translation", "--config", text(&config), "--attention", "0110", "--out", text(&out)];
    let said = succeeds(&train, "");
    assert!(said.contains("BLEU"), "{said}");
    let written: Value = serde_json::from_str(&fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(written["translation"]["model"]["channels"], 32);
    assert_eq!(
        (&written["translation"]["model"]["attention"], &written["epochs"]),
        (&"0110".into(), &2.into())
    );
    assert!(out.join("curves.svg").exists() && out.join("translations.tsv").exists());

    let checkpoint = out.join("checkpoint.safetensors");
    let eval = succeeds(&["eval", "translation", "--checkpoint", text(&checkpoint), "--json"], "");
    let figures: Value = serde_json::from_str(&eval).unwrap();
    assert_eq!((&figures["sentences"], &figures["cross"]), (&500.into(), &"1010".into()));
    assert!(figures["nll"].as_f64().unwrap() < 6.4, "{figures}"); // ln 600: nothing learned

    let predict = ["predict", "translation", "--checkpoint", text(&checkpoint), "--beam", "2"];
    let lines = succeeds(&predict, "the dog sees the man\n\nthe man sees the dog\n");
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert_eq!(lines.lines().nth(1), Some(""), "an empty line stays empty");

    // Going on after the end changes nothing, and needs no settings.
    let before = last_epoch(&out);
    succeeds(&["train", "translation", "--resume", text(&out)], "");
    assert_eq!(last_epoch(&out), before);
}

#[test]
fn a_detector_is_trained_measured_and_used() {
    let root = tempfile::tempdir().unwrap();
    let (config, out) = (root.path().join("small.toml"), root.path().join("out"));
    let settings = "scenes = 8\nepochs = 1\n[detection]\nside = 64\nwidth = 8\nnum_heads = 2\nchannels = 8\nhidden = 16\n";
    fs::write(&config, settings).unwrap();
    let code = "0010+deformable";
    let train = ["train", "detection", "--config", text(&config), "--attention", code, "--out", text(&out)];
    succeeds(&train, "");
    assert!(out.join("curves.svg").exists());
    let checkpoint = out.join("checkpoint.safetensors");
    let eval = succeeds(&["eval", "detection", "--checkpoint", text(&checkpoint), "--json"], "");
    let figures: Value = serde_json::from_str(&eval).unwrap();
    assert_eq!((&figures["pictures"], &figures["attention"]), (&128.into(), &code.into()));
    assert!(figures["AP50"].is_number(), "{figures}");

    let pictures = root.path().join("pictures");
    let shown = out.join("predictions.png");
    let predict = ["predict", "detection", "--checkpoint", text(&checkpoint), "--min-score", "0"];
    let lines = succeeds(&[&predict[..], &["--out", text(&pictures), text(&shown)]].concat(), "");
    for line in lines.lines() {
        let found: Value = serde_json::from_str(line).unwrap();
        let bounds: Vec<f64> = serde_json::from_value(found["bounds"].clone()).unwrap();
        assert!(bounds[0] <= bounds[2] && bounds[1] <= bounds[3], "{line}");
    }
    assert!(pictures.join("predictions.png").exists());
}

#[test]
fn bad_settings_name_file_field_expected_and_found() {
    let root = tempfile::tempdir().unwrap();
    let config = root.path().join("bad.toml");
    for (task, settings, parts) in [
        ("translation", "beam = 3", ["bad.toml: field beam: expected one of", "found another"]),
        (
            "translation",
            "[translation]\ndropout = 1.5",
            ["bad.toml: field dropout: expected 0 to 0.9", "found 1.5"],
        ),
        (
            "translation",
            "[translation.model]\nchannels = \"x\"",
            ["field translation.model.channels: expected", "found \"x\""],
        ),
        ("detection", "lr = 0", ["bad.toml: field lr: expected a number above 0", "found 0"]),
        (
            "detection",
            "[detection]\nside = 8",
            ["bad.toml: field detection.side: expected a number from 32", "found 8"],
        ),
        (
            "segmentation",
            "attention = \"w/o\"\nwidth = 0",
            ["bad.toml: field width: expected 1 to 512", "found 0"],
        ),
        ("segmentation", "attention = \"0123\"", ["bad.toml: field attention: expected", "0123"]),
    ] {
        fs::write(&config, settings).unwrap();
        let error = refused(&["train", task, "--config", text(&config)]);
        assert!(parts.iter().all(|part| error.contains(part)), "{settings}: {error}");
    }
    let error = refused(&["predict", "translation", "--checkpoint", text(&config)]);
    assert!(error.contains("bad.toml"), "{error}");
}
