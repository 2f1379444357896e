//! `termwise bench` as a script meets it: lines of JSON that other programs' lines can be compared with.
#![cfg(feature = "cli")]

use std::fs;
use std::path::Path;
use std::process::Output;

#[path = "../common/mod.rs"]
mod common;

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::{Value, json};

/// Small workloads of every kind at awkward shapes, with check sums of PyTorch 2.15.0.
///
/// They were computed in double precision from the single-precision inputs that the file describes. With `s`
/// the place of a tensor counted from 1 (1000 for the cotangent), element `i` is, in wrapping 32-bit arithmetic,
/// `h = i * 2654435761 + s * 2246822519; h ^= h >> 15; h *= 2654435769; h ^= h >> 13`, then
/// `((h >> 8) / 2^24 - 0.5) * 2 * scale + offset`.
const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/workloads.json");

fn bench(arguments: &[&str]) -> Output {
    cargo_bin_cmd!("termwise").arg("bench").args(arguments).output().expect("the command runs")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// The one line on standard error.
#[track_caller]
fn error(output: &Output) -> String {
    let errors = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    errors.trim_end().strip_prefix("error: ").unwrap_or_else(|| panic!("{errors}")).to_owned()
}

#[track_caller]
fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

/// Writes a file with one workload, a softmax with some fields changed.
fn softmax_file(folder: &Path, change: &Value) -> String {
    let mut workload = json!({
        "name": "rows", "kind": "softmax", "out": [2, 3],
        "tensors": [{ "name": "x", "shape": [2, 3], "scale": 1.0, "grad": true }],
    });
    for (field, value) in change.as_object().expect("fields") {
        match value {
            Value::Null => workload.as_object_mut().unwrap().remove(field),
            value => workload.as_object_mut().unwrap().insert(field.clone(), value.clone()),
        };
    }
    let path = folder.join("workloads.json");
    fs::write(&path, json!({ "workloads": [workload] }).to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Every kind gives what PyTorch gives, on whatever instructions this machine has.
#[test]
fn check_sums_are_those_of_another_program() {
    for simd in ["auto", "portable"] {
        agrees(&["--device", "cpu", "--simd", simd]);
    }
}

/// The same on a device, and what it tells of itself.
#[test]
fn check_sums_on_a_device_are_those_of_another_program() {
    let device = std::env::var("TERMWISE_TEST_DEVICE").unwrap_or_else(|_| "opencl".into());
    let there = common::termwise(&["devices", "--device", &device]);
    if !there.status.success() {
        let reason = String::from_utf8_lossy(&there.stderr).into_owned();
        assert!(std::env::var("REQUIRE_OPENCL").as_deref() != Ok("1"), "REQUIRE_OPENCL=1, but {reason}");
        println!("skipped: {}", reason.trim_end());
        return;
    }
    for line in agrees(&["--device", &device]) {
        let device = &line["device"];
        let positive = |field: &str| device[field].as_f64().is_some_and(|number| number > 0.0);
        assert!(["kernels_ms", "launches", "peak_mb"].into_iter().all(positive), "{line}");
        assert!(!device["longest"].as_array().unwrap().is_empty(), "{line}");
        // Nothing is read back but the loss of a training step.
        let steps = u64::from(line["phase"] == "step");
        assert_eq!(device["downloads"], json!([steps, 4 * steps]), "{line}");
    }
    let output = bench(&["--device", &device, "--machine"]);
    let machine: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(machine["is_device"] == true && machine["fma_gflops"].as_f64().unwrap() > 0.0, "{machine}");
}

/// Holds every row of the small workloads to the check sums of PyTorch; returns the lines.
#[track_caller]
fn agrees(arguments: &[&str]) -> Vec<Value> {
    let text = fs::read_to_string(SMALL).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let workloads = file["workloads"].as_array().unwrap();
    let common = ["--workloads", SMALL, "--budget", "0", "--threads", "2"];
    let output = bench(&[&common[..], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = lines(&output);
    let mut rows = 0;
    for workload in workloads {
        for (phase, expected) in workload["expected"].as_object().unwrap() {
            let row = |line: &&Value| line["workload"] == workload["name"] && line["phase"] == phase.as_str();
            let found = numbers(&lines.iter().find(row).expect("a line for each row")["check"]);
            let expected = numbers(expected);
            let name = format!("{} {phase}, {arguments:?}", workload["name"]);
            assert_eq!(found.len(), expected.len(), "{name}");
            for (f, e) in found.iter().zip(&expected) {
                let near = (f - e).abs() <= 5e-5 * e.abs() + 1e-6;
                assert!(near, "{name}: found {found:?}, expected {expected:?}");
            }
            rows += 1;
        }
    }
    assert_eq!(rows, lines.len());
    lines
}

#[test]
fn a_line_says_what_was_run_and_what_it_took() {
    let output = bench(&[
        "--workloads",
        SMALL,
        "--filter",
        "^ga0110_5x7|7x5x3$",
        "--phases",
        "fwdbwd",
        "--budget",
        "0.01",
        "--threads",
        "1",
        "--simd",
        "portable",
    ]);
    assert_eq!(output.status.code(), Some(0));
    let lines = lines(&output);
    assert_eq!(lines.len(), 2);
    for (line, (name, shape, gradients)) in
        lines.iter().zip([("gemm_7x5x3", "7x3", 2), ("ga0110_5x7_stride2", "2x12x5x7", 10)])
    {
        assert_eq!(
            (&line["peer"], &line["version"]),
            (&"termwise".into(), &env!("CARGO_PKG_VERSION").into())
        );
        assert_eq!((&line["workload"], &line["shape"]), (&name.into(), &shape.into()));
        assert_eq!((&line["threads"], &line["phase"]), (&1.into(), &"fwdbwd".into()));
        assert_eq!(line["simd"], "portable");
        assert_eq!(numbers(&line["check"]).len(), gradients);
        assert!((5..=300).contains(&line["iters"].as_u64().unwrap()), "{line}");
        let number = |field: &str| line[field].as_f64().unwrap_or_else(|| panic!("{field} in {line}"));
        assert!(number("min_ms") > 0.0 && number("median_ms") >= number("min_ms"));
        assert!(number("gflops") > 0.0);
        if cfg!(target_os = "linux") {
            assert!(number("cpu_ms") >= number("cpu_min_ms"));
            assert!(number("peak_rss_mb") > number("peak_delta_mb") && number("peak_delta_mb") >= 0.0);
        }
    }
    // Counted from the shapes: 2 M N K forward, and twice that backward.
    assert_eq!(lines[0]["flops"].as_f64(), Some(3.0 * 2.0 * 7.0 * 5.0 * 3.0));
}

/// What a row needs is measured from nothing, whatever ran before it.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_that_of_the_row_alone() {
    let folder = tempfile::tempdir().unwrap();
    let row = |name: &str, rows: usize| {
        json!({ "name": name, "kind": "softmax", "phases": ["fwd"], "out": [rows, 1024],
            "tensors": [{ "name": "x", "shape": [rows, 1024], "scale": 1.0 }] })
    };
    let path = folder.path().join("rows.json");
    fs::write(&path, json!({ "workloads": [row("large", 8192), row("small", 2048)] }).to_string()).unwrap();
    let output = bench(&["--workloads", path.to_str().unwrap(), "--budget", "0", "--threads", "1"]);
    let peaks: Vec<f64> = lines(&output).iter().map(|line| line["peak_delta_mb"].as_f64().unwrap()).collect();
    // Input and output are 32 MiB each, and 8 MiB.
    assert!(peaks[0] >= 64.0 && (16.0..64.0).contains(&peaks[1]), "{peaks:?}");
}

#[test]
fn costs_and_phases_are_completed_for_other_programs() {
    let output = bench(&["--print", "--workloads", SMALL, "--filter", "^conv3x3_2x6|^transformer|^gelu"]);
    assert_eq!(output.status.code(), Some(0));
    let file: Value = serde_json::from_slice(&output.stdout).unwrap();
    let workloads = file["workloads"].as_array().unwrap();
    assert_eq!(workloads.len(), 3);
    let [gelu, conv, transformer] = workloads.as_slice() else { unreachable!() };
    assert_eq!(transformer["phases"], json!(["step"]));
    assert_eq!(transformer["tensors"][2]["grad"], false);
    assert_eq!(conv["phases"], json!(["fwd", "fwdbwd"]));
    assert_eq!(
        conv["tensors"][0],
        json!({ "name": "x", "shape": [2, 6, 5, 7], "scale": 1.0, "grad": true, "offset": 0.0 })
    );
    // 2 * (2 4 5 7 outputs) * (3 3 3 inputs of each); x, weight, bias and output, 4 bytes each.
    let flops = 2.0 * 280.0 * 27.0;
    let bytes = 4.0 * (420.0 + 108.0 + 4.0 + 280.0);
    let costs = ["flops_fwd", "flops_fwdbwd", "exps", "exps_fwdbwd", "bytes_fwd", "bytes_fwdbwd"];
    let cost = |workload: &Value| costs.map(|name| workload[name].as_f64().unwrap());
    assert_eq!(cost(conv), [flops, 3.0 * flops, 0.0, 0.0, bytes, 2.0 * bytes]);
    assert_eq!(cost(gelu), [132.0, 396.0, 33.0, 66.0, 264.0, 528.0]);

    // What the file states is taken as it is.
    let folder = tempfile::tempdir().unwrap();
    let path = softmax_file(folder.path(), &json!({ "flops_fwd": 7.0, "bytes_fwdbwd": 9 }));
    let file: Value = serde_json::from_slice(&bench(&["--print", "--workloads", &path]).stdout).unwrap();
    assert_eq!(cost(&file["workloads"][0]), [7.0, 72.0, 6.0, 6.0, 48.0, 9.0]);
}

#[test]
fn the_built_in_workloads_are_complete_and_have_names_of_their_own() {
    let output = bench(&["--print"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let file: Value = serde_json::from_slice(&output.stdout).unwrap();
    let workloads = file["workloads"].as_array().unwrap();
    let mut names: Vec<&str> = workloads.iter().map(|workload| workload["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), workloads.len());
    let kinds = [
        "gemm",
        "softmax",
        "layernorm",
        "gelu",
        "conv2d",
        "ga",
        "sdpa",
        "txl",
        "dcn",
        "dynconv1d",
        "dynconv2d",
        "transformer",
        "segmenter",
    ];
    for kind in kinds {
        assert!(workloads.iter().any(|workload| workload["kind"] == kind), "{kind}");
    }
}

#[test]
fn a_table_for_a_person() {
    let output =
        bench(&["--workloads", SMALL, "--filter", "gelu", "--budget", "0", "--markdown", "--threads", "1"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    contains(
        &text,
        &["Machine, 1 thread, ", "GFLOP/s", "| workload", "| gelu_3x11 | fwd ", "| gelu_3x11 | fwdbwd "],
    );

    let output = bench(&["--machine", "--threads", "1"]);
    let machine: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(machine["fma_gflops"].as_f64().unwrap() > 0.0 && machine["gexps"].as_f64().unwrap() > 0.0);
    assert_eq!(machine["triad"].as_array().unwrap().len(), 3);
}

#[test]
fn a_file_that_cannot_be_read_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("workloads.json");
    let run = || error(&bench(&["--workloads", path.to_str().unwrap()]));
    contains(&run(), &["workloads.json: file of workloads: expected a readable text, found"]);
    fs::write(&path, "{ \"workloads\": [").unwrap();
    contains(&run(), &["workloads.json: field (the whole file): expected JSON, found EOF"]);
    fs::write(&path, "{ \"workload\": [] }").unwrap();
    contains(&run(), &["workloads.json: field workloads: expected a list of workloads, found no such field"]);
}

#[test]
fn a_wrong_field_is_named_and_the_other_workloads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let tensor = |change: &str, value: Value| {
        let mut tensor = json!({ "name": "x", "shape": [2, 3], "scale": 1.0, "grad": true });
        tensor[change] = value;
        json!({ "tensors": [tensor] })
    };
    let causal = json!({ "kind": "sdpa", "causal": "yes", "tensors": [
        { "name": "q", "shape": [1, 1, 2, 3], "scale": 1.0 }, { "name": "k", "shape": [1, 1, 2, 3], "scale": 1.0 },
        { "name": "v", "shape": [1, 1, 2, 3], "scale": 1.0 },
    ] });
    let image =
        json!({ "kind": "ga", "heads": 1, "tensors": [{ "name": "x", "shape": [2, 3], "scale": 1.0 }] });
    let heads = json!({ "kind": "dynconv1d", "heads": 2, "K": 3, "out": [2, 1, 3], "tensors": [
        { "name": "x", "shape": [2, 1, 3], "scale": 1.0 }, { "name": "w", "shape": [6, 3], "scale": 1.0 },
    ] });
    let cases = [
        (json!({ "kind": "soft" }), "field kind: expected one of gemm, softmax, ", "found 'soft'"),
        (json!({ "kind": null }), "field kind: expected a text", "found no such field"),
        (json!({ "out": null }), "field out: expected the shape of the output", "found no such field"),
        (json!({ "out": [2, -3] }), "field out: expected a list of whole numbers", "found [2,-3]"),
        (json!({ "out": [3, 2] }), "field out: expected [2, 3]", "found [3, 2]"),
        (json!({ "phases": ["fwd", "back"] }), "field phases: expected a list of fwd, fwdbwd, step", "back"),
        (
            json!({ "phases": ["step"] }),
            "field phases: expected fwd, fwdbwd: this kind has no loss",
            "found step",
        ),
        (json!({ "tensors": 3 }), "field tensors: expected a list of tensors", "found 3"),
        (json!({ "tensors": [3] }), "field tensors[0]: expected an object", "found 3"),
        (json!({ "tensors": [] }), "field tensors: expected a tensor 'x'", "found"),
        (tensor("name", json!("y")), "field tensors: expected a tensor 'x'", "found y"),
        (tensor("shape", json!("2x3")), "field tensors.x.shape: expected a list", "found \"2x3\""),
        (tensor("scale", json!([])), "field tensors.x.scale: expected a number", "found []"),
        (tensor("grad", json!(1)), "field tensors.x.grad: expected true or false", "found 1"),
        (json!({ "flops_fwd": "many" }), "field flops_fwd: expected a number", "found \"many\""),
        (json!({ "kind": "dynconv1d" }), "field tensors: expected a tensor 'w'", "found x"),
        (json!({ "kind": "dcn" }), "field tensors: expected a tensor 'w'", "found x"),
        (json!({ "kind": "gemm" }), "field tensors: expected a tensor 'a'", "found x"),
        (image, "field tensors.x.shape: expected (N, C, H, W)", "found [2, 3]"),
        (causal, "field causal: expected true or false", "found \"yes\""),
        (heads, "field heads: expected a divisor of 3 channels", "found 2"),
    ];
    for (change, expected, found) in cases {
        let path = softmax_file(folder.path(), &change);
        let output = bench(&["--workloads", &path, "--budget", "0", "--threads", "1"]);
        contains(&error(&output), &["workloads.json: workload rows", expected, found]);
        let lines = lines(&output);
        assert!(!lines.is_empty(), "a line says what failed");
        for line in lines {
            assert_eq!((&line["peer"], &line["workload"]), (&"termwise".into(), &"rows".into()));
            contains(line["error"].as_str().expect("an error"), &[expected, found]);
        }
    }

    // What an operation itself refuses has its message, and what comes after it runs.
    let product = |name: &str, k: usize| {
        json!({ "name": name, "kind": "gemm", "out": [2, 4], "phases": ["fwd"], "tensors": [
            { "name": "a", "shape": [2, 3], "scale": 1.0 }, { "name": "b", "shape": [k, 4], "scale": 1.0 },
        ] })
    };
    let path = folder.path().join("two.json");
    fs::write(&path, json!({ "workloads": [product("odd", 5), product("even", 3)] }).to_string()).unwrap();
    let output = bench(&["--workloads", path.to_str().unwrap(), "--budget", "0", "--threads", "1"]);
    contains(&error(&output), &["two.json: workload odd fwd: matmul: ", "[2, 3]", "[5, 4]"]);
    let lines = lines(&output);
    assert_eq!((lines.len(), &lines[1]["workload"]), (2, &"even".into()));
    assert!(lines[0]["error"].is_string() && lines[1]["check"].is_array());
}

#[test]
fn a_wrong_argument_is_one_line_that_says_what_was_expected() {
    let cases: [(&[&str], &[&str]); 6] = [
        (&["--budget", "-1"], &["--budget", "0 or more"]),
        (&["--phases", "fwd,back"], &["'back'", "fwd, fwdbwd, step"]),
        (&["--filter", "("], &["'('", "--filter"]),
        (&["--filter", "no such workload"], &["--filter", "built-in workloads", "'no such workload'"]),
        (&["--simd", "neon"], &["--simd", "auto", "portable", "'neon'"]),
        (&["--threads", "0"], &["--threads", "1..=1024"]),
    ];
    for (arguments, parts) in cases {
        contains(&error(&bench(arguments)), parts);
    }
}
