//! `termwise gradcheck --faults`: does the checker notice?

use std::time::Instant;

use serde::Serialize;
use termwise_autograd::gradcheck::{FaultOutcome, KillRate, Verdict, kill_rate};
use termwise_ops::cases_f64;

use super::selection::Chosen;
use super::side_by_side;
use crate::cli::fault::Fault;
use crate::cli::output::{columns, say};
use crate::cli::progress::Progress;

/// What `--json` prints of an operation.
#[derive(Serialize)]
struct Line<'a> {
    op: &'a str,
    planted: usize,
    caught: usize,
    nameable: usize,
    named: usize,
    missed: &'a [FaultOutcome],
    skipped: &'a [(String, Verdict)],
}

/// Plants faults in the chosen cases and prints how many are caught, operation by operation.
pub fn run(chosen: &[Chosen], json: bool, threads: usize) -> Result<(), Fault> {
    let start = Instant::now();
    let progress = Progress::start("planting faults", chosen.len() as u64);
    let names: Vec<&str> = cases_f64().iter().map(|case| case.op()).collect();
    let rates = side_by_side(chosen.len(), threads, |cases, index| {
        let rate = kill_rate(std::slice::from_ref(&cases.double[chosen[index].case]));
        progress.advance(1);
        rate
    });
    drop(progress);
    let mut ops: Vec<(&str, KillRate)> = Vec::new();
    for (chosen, rate) in chosen.iter().zip(rates) {
        let name = names[chosen.case];
        match ops.iter_mut().find(|(op, _)| *op == name) {
            Some((_, sum)) => add(sum, rate),
            None => ops.push((name, rate)),
        }
    }
    let mut all = KillRate::default();
    let mut rows = Vec::new();
    for (op, rate) in ops {
        let total = rate.total();
        if json {
            let (missed, skipped) = (&rate.missed[..], &rate.skipped[..]);
            let line = Line {
                op,
                planted: total.planted,
                caught: total.caught,
                nameable: total.nameable,
                named: total.named,
                missed,
                skipped,
            };
            say(&serde_json::to_string(&line).expect("plain data"))?;
        }
        rows.push(vec![
            op.to_owned(),
            total.planted.to_string(),
            total.caught.to_string(),
            format!("{:.1}", 100.0 * total.caught as f64 / total.planted.max(1) as f64),
            format!("{} of {}", total.named, total.nameable),
        ]);
        add(&mut all, rate);
    }
    if !json {
        say(&columns(&["operation", "planted", "caught", "%", "called by its name"], &rows))?;
        say(&format!("\n{}{:.1} s on {threads} threads", all, start.elapsed().as_secs_f64()))?;
    }
    if all.is_perfect() { Ok(()) } else { Err(Fault::Verdict) }
}

fn add(sum: &mut KillRate, rate: KillRate) {
    for count in rate.faults {
        match sum.faults.iter_mut().find(|line| line.fault == count.fault) {
            Some(line) => {
                line.planted += count.planted;
                line.caught += count.caught;
                line.nameable += count.nameable;
                line.named += count.named;
            }
            None => sum.faults.push(count),
        }
    }
    sum.missed.extend(rate.missed);
    sum.skipped.extend(rate.skipped);
}
