//! `termwise gradcheck`: every operation's gradient against finite differences, or a device beside the host.

mod faults;
mod parity;
mod selection;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use termwise_autograd::Cpu;
use termwise_autograd::gradcheck::{Case, Check, Report, Verdict, check_case_and_f32};
use termwise_opencl::DeviceChoice;
use termwise_ops::{cases_f32, cases_f64};

use super::device;
use super::fault::Fault;
use super::output::{columns, say};
use super::progress::Progress;
use selection::{Chosen, Shape};

/// Arguments of `termwise gradcheck`.
#[derive(clap::Args)]
pub struct Args {
    /// The operation to check, with every case of it in full [default: a table of all]
    op: Option<String>,
    /// Check the operation at this shape instead of those of its cases
    #[arg(long, value_name = "A,B,C", requires = "op")]
    shape: Option<Shape>,
    /// Print one JSON object a line, for each case
    #[arg(long)]
    json: bool,
    /// Seed of inputs, cotangents and directions
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Check the checker: plant mistakes in every backward and count those that are caught
    #[arg(long, conflicts_with_all = ["shape", "seed"])]
    faults: bool,
}

/// Runs the command. On a device, where one is named, values and gradients are compared with the host's; `auto` is the
/// host, whose gradients are checked against finite differences.
pub fn run(args: &Args, threads: usize, choice: DeviceChoice) -> Result<(), Fault> {
    let chosen = selection::choose(args.op.as_deref(), args.shape.as_ref())?;
    if let DeviceChoice::OpenCl(_) = choice {
        if args.faults || args.shape.is_some() {
            let option = if args.faults { "--faults" } else { "--shape" };
            return Err(Fault::Input(format!("--device: expected cpu with {option}, found {choice}")));
        }
        let device = device::open(choice)?.expect("a device was asked for");
        return parity::run(&device, args.op.as_deref(), chosen.len(), args.json);
    }
    if args.faults {
        return faults::run(&chosen, args.json, threads);
    }
    let start = Instant::now();
    let options = Check::new().seed(args.seed);
    let progress = Progress::start("gradcheck", chosen.len() as u64);
    let reports = side_by_side(chosen.len(), threads, |cases, index| {
        let Chosen { case, shape } = &chosen[index];
        let report = cases.check(*case, shape.as_deref(), &options);
        progress.advance(1);
        if report.verdict() != Verdict::Pass {
            progress.line(&format!("{} [{}]: {}", report.op, report.label, report.verdict()));
        }
        report
    });
    drop(progress);
    if args.json {
        for report in &reports {
            say(&report.to_json())?;
        }
    } else {
        for report in reports.iter().filter(|report| args.op.is_some() || !report.passed()) {
            say(&format!("{report}\n"))?;
        }
        say(&table(&reports))?;
        say(&format!("{}; {:.1} s on {threads} threads", tally(&reports), start.elapsed().as_secs_f64()))?;
    }
    match reports.iter().any(|report| report.verdict() == Verdict::Fail) {
        true => Err(Fault::Verdict),
        false => Ok(()),
    }
}

/// The cases of all operations, in double and in single precision, at the same positions.
///
/// A case stays on the thread that made it, so each thread makes its own list; the lists are equal.
struct Cases {
    double: Vec<Case<Cpu<f64>>>,
    single: Vec<Case<Cpu<f32>>>,
}

impl Cases {
    fn new() -> Self {
        Cases { double: cases_f64(), single: cases_f32() }
    }

    fn check(&self, case: usize, shape: Option<&[usize]>, options: &Check) -> Report {
        let (double, single) = (&self.double[case], &self.single[case]);
        match shape {
            None => check_case_and_f32(double, single, options),
            Some(shape) => {
                let (double, single) = (double.at_shape(shape), single.at_shape(shape));
                let fits = "the shape was found to fit";
                check_case_and_f32(&double.expect(fits), &single.expect(fits), options)
            }
        }
    }
}

/// Does `work` for each of `count` items on several threads; the results are in order.
fn side_by_side<R: Send>(count: usize, threads: usize, work: impl Fn(&Cases, usize) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new((0..count).map(|_| None).collect::<Vec<Option<R>>>());
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count.max(1)) {
            scope.spawn(|| {
                let cases = Cases::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    let result = work(&cases, index);
                    results.lock().expect("no worker panicked")[index] = Some(result);
                }
            });
        }
    });
    let results = results.into_inner().expect("no worker panicked");
    results.into_iter().map(|result| result.expect("every item was worked on")).collect()
}

/// One line an operation.
fn table(reports: &[Report]) -> String {
    let mut rows = Vec::new();
    for (op, reports) in by_op(reports) {
        let worst = reports.iter().map(|report| report.verdict()).max().unwrap_or(Verdict::Pass);
        let inputs = || reports.iter().flat_map(|report| &report.inputs);
        let error = inputs().map(|input| input.largest_error).fold(0.0, f64::max);
        let units = inputs().flat_map(|input| &input.worst).map(|cell| cell.units).fold(0.0, f64::max);
        let cells: usize = inputs().map(|input| input.cells).sum();
        let laws = reports.iter().flat_map(|report| &report.laws);
        let held = laws.clone().filter(|law| law.holds).count();
        rows.push(vec![
            op.to_owned(),
            reports.len().to_string(),
            cells.to_string(),
            worst.to_string(),
            format!("{error:.1e}"),
            if units > 0.0 { format!("{units:.1e}") } else { "-".into() },
            format!("{held}/{}", laws.count()),
        ]);
    }
    columns(&["operation", "cases", "derivatives", "verdict", "error/scale", "error/FD error", "laws"], &rows)
}

/// The reports of each operation, operations in order of appearance.
fn by_op(reports: &[Report]) -> Vec<(&str, Vec<&Report>)> {
    let mut groups: Vec<(&str, Vec<&Report>)> = Vec::new();
    for report in reports {
        match groups.iter_mut().find(|(op, _)| *op == report.op) {
            Some((_, group)) => group.push(report),
            None => groups.push((&report.op, vec![report])),
        }
    }
    groups
}

/// How many cases had which verdict, in words.
fn tally(reports: &[Report]) -> String {
    let count = |verdict| reports.iter().filter(|report| report.verdict() == verdict).count();
    let verdicts = [Verdict::Pass, Verdict::Kink, Verdict::Inconclusive, Verdict::Fail];
    let counts: Vec<String> = verdicts
        .into_iter()
        .filter(|verdict| *verdict == Verdict::Pass || count(*verdict) > 0)
        .map(|verdict| format!("{} {verdict}", count(verdict)))
        .collect();
    format!("{} operations, {} cases: {}", by_op(reports).len(), reports.len(), counts.join(", "))
}
