//! Devices that are not there, too small, or fail while they compute: one line, exit code 2, and nothing lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::common::{contains, text};
use crate::{command, device, errors, present};

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
    "--batch",
    "2",
    "--save-every",
    "0.001",
];

/// The one line of a command that fails as commands do, after what it says of its device.
#[track_caller]
fn fault(output: &Output) -> String {
    let errors = errors(output);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    let faults: Vec<&str> = errors.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert_eq!(faults.len(), 1, "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    faults[0].to_owned()
}

#[test]
fn without_a_library_a_device_is_refused_and_auto_takes_the_host() {
    let train = |device: &str| {
        let arguments = [&TRAIN[..], &["--epochs", "1", "--device", device]].concat();
        command(&arguments).env("TERMWISE_OPENCL_LIBRARY", "none").output().unwrap()
    };
    let refused = fault(&train("opencl"));
    assert_eq!(refused, "--device opencl: OpenCL: no library found, looked for none");
    let auto = train("auto");
    assert!(auto.status.success(), "{}", errors(&auto));
    let listing = command(&["devices"]).env("TERMWISE_OPENCL_LIBRARY", "none").output().unwrap();
    assert!(listing.status.success());
    contains(
        &String::from_utf8_lossy(&listing.stdout),
        &["host: taken for --device auto", "no library found"],
    );
}

#[test]
fn a_word_or_number_that_names_no_device_is_refused() {
    let train = |device: &str| command(&[&TRAIN[..], &["--device", device]].concat()).output().unwrap();
    contains(&fault(&train("gpu")), &["gpu", "auto, cpu, opencl, opencl:N"]);
    if present() {
        contains(&fault(&train("opencl:99")), &["there is no device 99; the devices are opencl:0 "]);
    }
}

#[test]
fn too_little_memory_is_told_with_what_was_asked_and_what_there_is() {
    if !present() {
        return;
    }
    let train = |mebibytes: &str| {
        let device = device();
        let sizes = ["--scenes", "4", "--size", "64x64", "--width", "16", "--batch", "4", "--epochs", "1"];
        let arguments =
            [&["train", "segmentation", "--attention", "0010", "--device", &device], &sizes[..]].concat();
        command(&arguments).env("TERMWISE_OPENCL_MEMORY", mebibytes).output().unwrap()
    };
    let told = fault(&train("1"));
    contains(
        &told,
        &["OpenCL: out of memory on ", ": asked for ", " of 1.0 MiB are in use, one buffer may have "],
    );
    contains(
        &fault(&train("much")),
        &["TERMWISE_OPENCL_MEMORY: expected a number of MiB above 0, found \"much\""],
    );
    assert!(train("512").status.success());
}

/// A driver in front of the true one that fails from some call on, built by the compiler that built this test.
fn failing_driver(folder: &Path) -> Option<PathBuf> {
    let library = folder.join("libfailing.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device/failing_driver.rs");
    let build = std::process::Command::new("rustc")
        .args(["--edition", "2024", "--crate-type", "cdylib", "-O", source, "-o", text(&library)])
        .output();
    match build {
        Ok(output) if output.status.success() => Some(library),
        Ok(output) => panic!("{}", errors(&output)),
        Err(error) => {
            println!("skipped: no rustc: {error}");
            None
        }
    }
}

#[test]
fn a_driver_that_dies_in_a_training_ends_it_with_its_checkpoint_kept() {
    if !present() || !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let Some(library) = failing_driver(root.path()) else { return };
    let train = |out: &Path, call: &str, after: &str| {
        let arguments = [&TRAIN[..], &["--epochs", "3", "--device", "opencl", "--out", text(out)]].concat();
        let mut command = command(&arguments);
        command
            .env("TERMWISE_OPENCL_LIBRARY", &library)
            .env("FAILING_CALL", call)
            .env("FAILING_AFTER", after);
        command.output().unwrap()
    };
    let whole = root.path().join("whole");
    assert!(train(&whole, "none", "0").status.success());
    let cases = [
        (
            "clEnqueueNDRangeKernel",
            "9000",
            ["running ", "clEnqueueNDRangeKernel answers DEVICE_NOT_AVAILABLE (-2)"],
        ),
        (
            "clEnqueueReadBuffer",
            "3000",
            ["copying from the device", "clEnqueueReadBuffer answers DEVICE_NOT_AVAILABLE (-2)"],
        ),
        (
            "clEnqueueWriteBuffer",
            "500",
            ["copying to the device", "clEnqueueWriteBuffer answers DEVICE_NOT_AVAILABLE (-2)"],
        ),
    ];
    for (call, after, said) in cases {
        let out = root.path().join(call);
        contains(&fault(&train(&out, call, after)), &said);
        // What was saved before is whole, nothing half-written lies beside it, and the training goes on from it.
        assert!(out.join("checkpoint.safetensors").exists(), "{call}");
        let names =
            fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let left: Vec<String> =
            names.filter(|name| name.contains("tmp") || name.contains("partial")).collect();
        assert!(left.is_empty(), "{left:?}");
        let resume = ["train", "segmentation", "--resume", text(&out), "--device", &device()];
        let output = command(&resume).output().unwrap();
        assert!(output.status.success(), "{}", errors(&output));
        let lines = |folder: &Path| fs::read_to_string(folder.join("metrics.jsonl")).unwrap().lines().count();
        assert_eq!(lines(&out), lines(&whole), "{call}");
    }
}

#[test]
fn a_kernel_that_does_not_build_and_a_queue_that_does_not_open_are_named() {
    if !present() || !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let Some(library) = failing_driver(root.path()) else { return };
    let train = |call: &str, after: &str| {
        let mut command = command(&[&TRAIN[..], &["--epochs", "1", "--device", "opencl"]].concat());
        command
            .env("TERMWISE_OPENCL_LIBRARY", &library)
            .env("FAILING_CALL", call)
            .env("FAILING_AFTER", after);
        fault(&command.output().unwrap())
    };
    contains(&train("clBuildProgram", "3"), &["OpenCL: ", ".cl does not build on "]);
    contains(&train("clCreateContext", "0"), &["opening it on ", "DEVICE_NOT_AVAILABLE (-2)"]);
    contains(&train("clGetPlatformIDs", "0"), &["knows no platform"]);
}
