//! `termwise gradcheck --device opencl`: every operation on the device beside the host.

use std::time::Instant;

use serde_json::json;
use termwise_opencl::Device;
use termwise_opencl::parity::{CaseParity, compare_all};

use crate::cli::fault::Fault;
use crate::cli::output::{columns, say};
use crate::cli::progress::Progress;

/// Values and gradients of all cases, of those of `op`, on the device and in `f64` on the host.
pub fn run(device: &Device, op: Option<&str>, chosen: usize, as_json: bool) -> Result<(), Fault> {
    let start = Instant::now();
    let types = if device.info().double { 2 } else { 1 };
    let progress = Progress::start("parity", (types * chosen) as u64);
    let mut cases: Vec<CaseParity> = Vec::new();
    let compared = compare_all(device, op, &mut |case| {
        progress.advance(1);
        if let Err(what) = &case.result {
            progress.line(&format!("{} in {}: {what}", case.case, case.scalar));
        }
        cases.push(case);
    });
    drop(progress);
    compared.map_err(|error| Fault::Input(error.to_string()))?;
    let failed = cases.iter().filter(|case| case.result.is_err()).count();
    if as_json {
        for CaseParity { op, case, scalar, result } in &cases {
            let (of_bound, error) = (result.as_ref().ok(), result.as_ref().err());
            let line =
                json!({ "op": op, "case": case, "type": scalar, "of_bound": of_bound, "error": error });
            say(&line.to_string())?;
        }
    } else {
        say(&table(&cases))?;
        let seconds = start.elapsed().as_secs_f64();
        say(&format!("{} cases, {failed} fail; {seconds:.1} s on {}", cases.len(), device.info()))?;
    }
    if failed > 0 { Err(Fault::Verdict) } else { Ok(()) }
}

/// One line an operation: how many cases pass, and how near to its bound the worst one came.
fn table(cases: &[CaseParity]) -> String {
    let mut ops: Vec<&str> = Vec::new();
    for case in cases {
        if !ops.contains(&case.op) {
            ops.push(case.op);
        }
    }
    let cell = |op: &str, scalar: &str| {
        let of: Vec<_> = cases.iter().filter(|case| case.op == op && case.scalar == scalar).collect();
        let near: Vec<f64> = of.iter().filter_map(|case| case.result.as_ref().ok().copied()).collect();
        let worst = near.iter().copied().fold(0.0, f64::max);
        match of.is_empty() {
            true => ["-".to_owned(), String::new()],
            false => [format!("{}/{}", near.len(), of.len()), format!("{worst:.2}")],
        }
    };
    let row =
        |op: &&str| [vec![(*op).to_owned()], cell(op, "f32").to_vec(), cell(op, "f64").to_vec()].concat();
    let rows: Vec<Vec<String>> = ops.iter().map(row).collect();
    columns(&["operation", "f32 pass", "of bound", "f64 pass", "of bound"], &rows)
}
