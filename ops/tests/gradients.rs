//! The gradient check over every operation, and the check of the checker: every planted fault is caught.

use std::collections::BTreeMap;

use rayon::prelude::*;
use termwise_autograd::Cpu;
use termwise_autograd::gradcheck::{Case, Check, Verdict, check_case_and_f32, kill_rate};
use termwise_ops::{cases_f32, cases_f64};

/// Indices of the cases of each op: cases hold closures that stay on one thread, numbers travel.
fn by_op() -> BTreeMap<&'static str, Vec<usize>> {
    let mut ops = BTreeMap::<_, Vec<usize>>::new();
    for (i, case) in cases_f64().iter().enumerate() {
        ops.entry(case.op()).or_default().push(i);
    }
    ops
}

fn pick(indices: &[usize]) -> Vec<Case<Cpu<f64>>> {
    let cases = cases_f64();
    indices.iter().map(|&i| Case::clone(&cases[i])).collect()
}

#[test]
fn every_case_of_every_op_passes() {
    let ops: Vec<_> = by_op().into_iter().collect();
    let failures: Vec<String> = ops
        .par_iter()
        .flat_map_iter(|(_, indices)| {
            let singles = cases_f32();
            let check = |case: Case<Cpu<f64>>, i: usize| {
                let report = check_case_and_f32(&case, &singles[i], &Check::new());
                (report.verdict() != Verdict::Pass).then(|| format!("{case:?}\n{report}"))
            };
            pick(indices).into_iter().zip(indices).filter_map(|(case, &i)| check(case, i)).collect::<Vec<_>>()
        })
        .collect();
    println!(
        "gradient checks of {} ops, {} cases",
        ops.len(),
        ops.iter().map(|(_, i)| i.len()).sum::<usize>()
    );
    assert!(failures.is_empty(), "{} cases do not pass:\n\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_planted_fault_is_caught_and_named() {
    let ops: Vec<_> = by_op().into_iter().collect();
    let rates: Vec<_> = ops.par_iter().map(|(op, indices)| (*op, kill_rate(&pick(indices)))).collect();
    let (mut planted, mut caught, mut missed) = (0, 0, Vec::new());
    for (op, rate) in &rates {
        let total = rate.total();
        println!("{op:26} {:5} of {:5} planted faults caught", total.caught, total.planted);
        planted += total.planted;
        caught += total.caught;
        missed.extend(rate.missed.iter().map(|outcome| format!("{op}: {outcome:?}")));
        missed.extend(rate.skipped.iter().map(|(case, verdict)| format!("{case}: skipped, {verdict:?}")));
    }
    println!("kill rate: {caught} of {planted}");
    assert!(missed.is_empty(), "{} missed, unnamed or skipped:\n{}", missed.len(), missed.join("\n"));
    assert!(planted > 1000, "only {planted} faults were planted");
}
