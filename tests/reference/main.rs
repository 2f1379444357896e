//! Golden values: every case of a folder of reference outputs and gradients, through the public
//! operations.
//!
//! The folder is the one that `TERMWISE_FIXTURES` names, or `tests/fixtures`, whose README describes
//! the format. A case is one file: an operation, its attributes, inputs and parameters, and what
//! another library computed from them. It passes when every tensor in it was used, every attribute
//! understood, and every output and gradient agrees within the tolerance of `tolerance.rs`.
//!
//! One adapter per operation (folder `adapters/`) reads the attributes and calls the public
//! function, in `f64` or `f32` as the case says: on the host, and on an OpenCL device where there is one.

mod adapters;
mod attrs;
mod case;
mod entry;
mod folder;
mod report;
#[cfg(test)]
mod self_test;
mod tolerance;

use std::io::Write;
use std::path::PathBuf;

use termwise_autograd::Cpu;
use termwise_opencl::{Device, DeviceChoice, OpenCl};
use termwise_ops::Kernels;

/// The folder of cases: `TERMWISE_FIXTURES`, else the one of this repository.
fn fixtures() -> PathBuf {
    match std::env::var_os("TERMWISE_FIXTURES") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"),
    }
}

/// Runs every case on a pair of backends, and shows the table of what passed.
fn all_agree<S: Kernels, D: Kernels>(on: &str, single: S, double: D) {
    let folder = fixtures();
    let report = folder::run(&folder, &adapters::Adapters::all(single, double));
    // Not println!, which the test harness would swallow when all is well.
    let _ = write!(std::io::stdout().lock(), "\n{} on {on}\n{report}", folder.display());
    assert!(report.is_success(), "{} failures in {}, listed above", report.num_failures(), folder.display());
}

#[test]
fn every_golden_case_agrees() {
    all_agree("the host", Cpu::<f32>::new(), Cpu::<f64>::new());
}

/// Skipped, with a line that says why, where there is no device that computes in `f64`; `REQUIRE_OPENCL=1` makes that a
/// failure, `TERMWISE_TEST_DEVICE` names another device than the best one.
#[test]
fn every_golden_case_agrees_on_a_device() {
    let choice =
        std::env::var("TERMWISE_TEST_DEVICE").map_or(Ok(DeviceChoice::OpenCl(None)), |text| text.parse());
    let opened = choice.and_then(Device::open).and_then(|device| {
        let device = device.expect("no choice of the host");
        Ok((OpenCl::<f32>::new(&device)?, OpenCl::<f64>::new(&device)?))
    });
    match opened {
        Ok((single, double)) => all_agree(&single.device().info().name.clone(), single, double),
        Err(error) => {
            assert!(std::env::var("REQUIRE_OPENCL").as_deref() != Ok("1"), "REQUIRE_OPENCL=1, but {error}");
            println!("skipped: {error}");
        }
    }
}
