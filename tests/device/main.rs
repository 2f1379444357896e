//! The OpenCL backend as users of the command meet it: trainings beside those of the host, what moves between host and
//! device in a step, and a device that fails.
//!
//! Without an OpenCL driver each test says why it is skipped; `REQUIRE_OPENCL=1` makes that a failure.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod training;

use std::process::{Command, Output};

/// The device that is tested: `TERMWISE_TEST_DEVICE`, or the best there is.
fn device() -> String {
    std::env::var("TERMWISE_TEST_DEVICE").unwrap_or_else(|_| "opencl".into())
}

/// Whether there is a device; if not, a line that says why.
fn present() -> bool {
    let output = command(&["devices", "--device", &device()]).output().expect("the command runs");
    if output.status.success() {
        return true;
    }
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(std::env::var("REQUIRE_OPENCL").as_deref() != Ok("1"), "REQUIRE_OPENCL=1, but {reason}");
    println!("skipped: {}", reason.trim_end());
    false
}

/// The command, with PoCL's compiled kernels kept where they are found again.
fn command(arguments: &[&str]) -> Command {
    let mut command = common::command(arguments);
    if std::env::var_os("POCL_CACHE_DIR").is_none() {
        command.env("POCL_CACHE_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/target/pocl"));
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the command runs")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
