//! Golden values: every case of a folder of reference outputs and gradients, through the public
//! operations.
//!
//! The folder is the one that `TERMWISE_FIXTURES` names, or `tests/fixtures`, whose README describes
//! the format. A case is one file: an operation, its attributes, inputs and parameters, and what
//! another library computed from them. It passes when every tensor in it was used, every attribute
//! understood, and every output and gradient agrees within the tolerance of `tolerance.rs`.
//!
//! One adapter per operation (folder `adapters/`) reads the attributes and calls the public
//! function; it runs on `Cpu<f64>` or `Cpu<f32>` as the case says.

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

/// The folder of cases: `TERMWISE_FIXTURES`, else the one of this repository.
fn fixtures() -> PathBuf {
    match std::env::var_os("TERMWISE_FIXTURES") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"),
    }
}

#[test]
fn every_golden_case_agrees() {
    let folder = fixtures();
    let report = folder::run(&folder, &adapters::Adapters::all());
    // Not println!, which the test harness would swallow when all is well.
    let _ = write!(std::io::stdout().lock(), "\n{}\n{report}", folder.display());
    assert!(report.is_success(), "{} failures in {}, listed above", report.num_failures(), folder.display());
}
