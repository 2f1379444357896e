//! Trainings on a device and on the host.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::text;
use crate::{device, errors, present, run};

/// Relative distance of two losses that 50 steps may bring about.
///
/// Both backends compute in single precision and add in other orders. Each step's rounding errors (1e-7 of the loss) go
/// into the parameters and come back amplified; the worst of the three trainings has been seen at 5e-7.
const TOGETHER: f64 = 1e-5;
/// The same in the first step, before anything was amplified.
const AT_FIRST: f64 = 2e-6;

const TRANSLATION: &str = "[translation]\nbatch_tokens = 64\n[translation.model]\nvocabulary = 280\nchannels = 16\n\
                           num_heads = 2\nfeed_forward = 32\nencoder_layers = 1\ndecoder_layers = 1\n";
const DETECTION: &str =
    "[detection]\nside = 64\nwidth = 8\nnum_heads = 2\nchannels = 8\nhidden = 16\nbatch = 1\n";

/// A task in small: 50 steps or a few more.
struct Small {
    folder: TempDir,
    arguments: Vec<String>,
}

impl Small {
    fn new(task: &str, arguments: &[&str], config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("small.toml");
        fs::write(&file, config).unwrap();
        let all = ["train", task, "--config", text(&file)];
        let arguments = all.iter().chain(arguments).map(|&argument| argument.to_owned()).collect();
        Small { folder, arguments }
    }

    fn segmentation() -> Self {
        let arguments = ["--attention", "1111+deformable", "--epochs", "5", "--scenes", "20", "--batch", "2"];
        let sizes = ["--size", "32x48", "--width", "8", "--seed", "3"];
        Small::new("segmentation", &[&arguments[..], &sizes].concat(), "")
    }

    fn detection() -> Self {
        let arguments = ["--attention", "0010+deformable", "--scenes", "50", "--epochs", "1"];
        Small::new("detection", &arguments, DETECTION)
    }

    /// Sentences that mean nothing, of words of their own.
    fn translation() -> Self {
        let small =
            Small::new("translation", &["--attention", "1111+deformable", "--epochs", "3"], TRANSLATION);
        let sentence = |words: [&str; 5], line: usize| -> String {
            let word = |place: usize| words[(line * 7 + place * place + line / 5) % 5];
            (0..2 + line % 6).map(word).collect::<Vec<_>>().join(" ")
        };
        for (split, count) in [("train", 100), ("val", 2)] {
            let write = |language: &str, words: [&str; 5]| {
                let lines: String = (0..count).map(|line| sentence(words, line) + "\n").collect();
                fs::write(small.folder.path().join(format!("{split}.{language}")), lines).unwrap();
            };
            write("en", ["dog", "cat", "house", "sees", "loves"]);
            write("de", ["Hund", "Katze", "Haus", "sieht", "liebt"]);
        }
        let data = text(small.folder.path()).to_owned();
        let arguments = [small.arguments, vec!["--data".into(), data]].concat();
        Small { arguments, ..small }
    }

    /// Trains on a device into a folder of that name.
    fn train(&self, device: &str, name: &str) -> PathBuf {
        let out = self.folder.path().join(name);
        let own: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let output = run(&[&own[..], &["--device", device, "--out", text(&out)]].concat());
        assert!(output.status.success(), "{}", errors(&output));
        out
    }

    /// Trains 50 steps on both, and returns what moved in a step.
    fn stays_together(&self) -> Traffic {
        let (host, on_device) = (self.train("cpu", "host"), self.train(&device(), "device"));
        let (expected, found) = (losses(&host), losses(&on_device));
        assert!(expected.len() >= 50 && found.len() == expected.len(), "{} steps", found.len());
        let apart = |(a, b): (&f64, &f64)| (a - b).abs() / a.abs();
        let apart: Vec<f64> = expected.iter().zip(&found).map(apart).collect();
        assert!(apart[0] <= AT_FIRST, "the first losses are {} and {}", expected[0], found[0]);
        let most = apart[..50].iter().copied().fold(0.0, f64::max);
        assert!(most <= TOGETHER, "losses are {most:e} apart: {expected:?}, {found:?}");
        // Trained it was: a loss that stays where it began would be the same anywhere.
        assert!(expected[expected.len() - 5..].iter().all(|loss| *loss < 0.9 * expected[0]), "{expected:?}");
        assert!(!host.join("device.json").exists());
        let traffic = Traffic::read(&on_device);
        println!("{}: {most:.1e} apart, {traffic:?}", self.arguments[1]);
        traffic
    }
}

/// The least and the most of what a step moved.
#[derive(Debug)]
struct Traffic {
    downloads: [u64; 2],
    downloaded_bytes: [u64; 2],
}

impl Traffic {
    fn read(out: &Path) -> Self {
        let value: Value =
            serde_json::from_str(&fs::read_to_string(out.join("device.json")).unwrap()).unwrap();
        let pair = |field: &str| -> [u64; 2] { serde_json::from_value(value[field].clone()).unwrap() };
        assert!(value["steps"].as_u64() >= Some(49) && pair("kernels")[0] > 100, "{value}");
        Traffic { downloads: pair("downloads"), downloaded_bytes: pair("downloaded_bytes") }
    }
}

fn losses(out: &Path) -> Vec<f64> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == "step").map(|line| line["loss"].as_f64().unwrap()).collect()
}

/// What a step reads back: its loss and the norm of its gradients, which are looked at for NaN.
#[test]
fn a_segmenter_stays_with_that_of_the_host_and_reads_two_numbers_a_step() {
    if present() {
        let traffic = Small::segmentation().stays_together();
        assert_eq!((traffic.downloads, traffic.downloaded_bytes), ([2, 2], [8, 8]));
    }
}

/// Besides, the negative log-likelihood that the records tell.
#[test]
fn a_translator_stays_with_that_of_the_host_and_reads_three_numbers_a_step() {
    if present() {
        let traffic = Small::translation().stays_together();
        assert_eq!((traffic.downloads, traffic.downloaded_bytes), ([3, 3], [12, 12]));
    }
}

/// Besides, the four parts of the loss, and what boxes are assigned to objects by on the host: the scores and offsets of
/// the proposals.
#[test]
fn a_detector_stays_with_that_of_the_host_and_reads_only_its_proposals_back() {
    if present() {
        let traffic = Small::detection().stays_together();
        let [least, most] = traffic.downloads;
        assert!(least >= 2 && most <= 8, "{traffic:?}");
        // 64 x 64 pixels: 4 x 4 + .. cells of the pyramid, three anchors each, five numbers an anchor.
        assert!(traffic.downloaded_bytes[1] <= 16 << 10, "{traffic:?}");
    }
}

#[test]
fn two_trainings_on_a_device_are_the_same_to_the_bit() {
    if present() {
        let small = Small::detection();
        let [a, b] = ["a", "b"].map(|name| losses(&small.train(&device(), name)));
        assert_eq!(
            a.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>(),
            b.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_checkpoint_of_one_device_is_used_and_trained_on_by_the_other() {
    if !present() {
        return;
    }
    let small = Small::segmentation();
    let (host, on_device) = (small.train("cpu", "host"), small.train(&device(), "device"));
    let score = |checkpoint: &Path, device: &str| -> f64 {
        let file = checkpoint.join("checkpoint.safetensors");
        let output =
            run(&["eval", "segmentation", "--checkpoint", text(&file), "--json", "--device", device]);
        assert!(output.status.success(), "{}", errors(&output));
        let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
        figures["mean_iou"].as_f64().or(figures["miou"].as_f64()).expect("a mean IoU")
    };
    for checkpoint in [&host, &on_device] {
        let scores = ["cpu", &device()].map(|device| score(checkpoint, device));
        assert!(scores[0] > 0.0 && (scores[0] - scores[1]).abs() < 5e-3, "{scores:?}");
    }
    // One half on each: the optimiser's state and the averaged weights cross over.
    let changed = |epochs: usize| Small {
        arguments: small
            .arguments
            .iter()
            .map(|a| if a == "5" { epochs.to_string() } else { a.clone() })
            .collect(),
        folder: tempfile::tempdir().unwrap(),
    };
    let whole = losses(&host);
    for (first, second) in [("cpu", device()), (device().as_str(), "cpu".to_owned())] {
        let half = changed(5);
        fs::copy(small.folder.path().join("small.toml"), half.folder.path().join("small.toml")).unwrap();
        let out = half.folder.path().join("out");
        stop_after(&half, first, &out, 20);
        let output = run(&["train", "segmentation", "--resume", text(&out), "--device", &second]);
        assert!(output.status.success(), "{}", errors(&output));
        let found = losses(&out);
        assert_eq!(found.len(), whole.len());
        let apart = whole.iter().zip(&found).map(|(a, b)| (a - b).abs() / a).fold(0.0, f64::max);
        assert!(apart <= TOGETHER, "{first} then {second}: {apart:e} apart");
    }
}

/// Trains until at least so many steps are recorded, and kills it.
fn stop_after(small: &Small, device: &str, out: &Path, steps: usize) {
    let own: Vec<&str> = small.arguments.iter().map(String::as_str).collect();
    let arguments = [&own[..], &["--device", device, "--out", text(out), "--save-every", "0.001"]].concat();
    let mut training = crate::command(&arguments).spawn().unwrap();
    let recorded = || fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
    while recorded() < steps && training.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let _ = training.kill();
    training.wait().unwrap();
}
