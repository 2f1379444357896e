//! One workload in one phase: run, timed, and reported as a line of JSON.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use termwise_autograd::{Array, Gradients, Param, Tape};
use termwise_ops::optim::{Adam, AdamConfig, Optimizer};

use super::cost::Cost;
use super::fill::fill;
use super::graph::{Graph, Single};
use super::measure::{least, load, median, reset_peak_mb, resident_mb, timed};
use super::place::{DeviceFigures, Place};
use super::workload::{Phase, Problem, Workload};

/// The seed of the cotangent.
const COTANGENT_SEED: u32 = 1000;

/// What a line says of the program and the row; with it, either [`Figures`] or what went wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The program.
    pub peer: String,
    /// Its version.
    pub version: String,
    /// The workload's name.
    pub workload: String,
    /// Threads that computed.
    pub threads: usize,
    /// What was timed.
    pub phase: Option<String>,
    /// The instruction set of the kernels.
    pub simd: String,
    /// What was measured.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a row.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// It ran.
    Ran(Box<Figures>),
    /// It could not.
    Failed {
        /// The reason.
        error: String,
    },
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Shape of the output.
    pub shape: String,
    /// The middle repetition, wall time.
    pub median_ms: f64,
    /// The fastest one.
    pub min_ms: f64,
    /// The middle repetition, processor time.
    pub cpu_ms: Option<f64>,
    /// The fastest one.
    pub cpu_min_ms: Option<f64>,
    /// How busy the machine was.
    pub load: Option<f64>,
    /// Repetitions that were timed.
    pub iters: usize,
    /// Peak of resident memory.
    pub peak_rss_mb: Option<f64>,
    /// The same above what was resident before the inputs were made.
    pub peak_delta_mb: Option<f64>,
    /// Rate of the operations that the workload counts, in the fastest repetition: of processor time on one
    /// thread, of wall time on several.
    pub gflops: f64,
    /// Operations of the workload in this phase.
    pub flops: f64,
    /// Exponentials.
    pub exps: f64,
    /// Bytes.
    pub bytes: f64,
    /// Sums of absolute values: of the output, or of each gradient; or the first three losses.
    pub check: Vec<f64>,
    /// What a device did for one repetition, where it was not the host that computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceFigures>,
}

impl Line {
    /// The line of a row that could not run.
    pub fn failed(workload: &str, phase: Option<Phase>, threads: usize, simd: &str, error: String) -> Self {
        Line::new(workload, phase, threads, simd, Outcome::Failed { error })
    }

    fn new(workload: &str, phase: Option<Phase>, threads: usize, simd: &str, outcome: Outcome) -> Self {
        Line {
            peer: "termwise".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            workload: workload.into(),
            threads,
            phase: phase.map(|phase| phase.name().into()),
            simd: simd.into(),
            outcome,
        }
    }
}

/// Runs one workload in one phase. Whatever goes wrong is in the line.
pub fn run<P: Place>(
    place: &P,
    workload: &Workload,
    phase: Phase,
    budget: f64,
    threads: usize,
    simd: &str,
) -> Line {
    // On a worker of the pool, so that no thread but its `threads` ever computes or waits for another.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut result = None;
        rayon::scope(|_| result = Some(figures(place, workload, phase, budget, threads)));
        result.expect("the scope ran")
    }));
    let outcome = match result {
        Ok(Ok(figures)) => Outcome::Ran(Box::new(figures)),
        Ok(Err(problem)) => Outcome::Failed { error: problem.to_string() },
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text =
                text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message");
            Outcome::Failed { error: text.to_owned() }
        }
    };
    Line::new(&workload.name, Some(phase), threads, simd, outcome)
}

fn figures<P: Place>(
    place: &P,
    workload: &Workload,
    phase: Phase,
    budget: f64,
    threads: usize,
) -> Result<Figures, Problem> {
    let cost = Cost::of(workload)?.phase(phase);
    let before = reset_peak_mb();
    let mut repetition = Repetition::of(place.backend(), workload, phase)?;
    let check = repetition.check(workload)?;
    let times = timed(budget, || {
        repetition.run();
        place.finish();
    });
    let device = place.figures(&mut || repetition.run(), &|backend| {
        let mut repetition = Repetition::of(backend, workload, phase)?;
        Ok(Box::new(move || repetition.run()))
    })?;
    let peak = resident_mb("VmHWM");
    let (min_ms, cpu_min_ms) = (least(&times.wall).unwrap_or(f64::NAN), least(&times.cpu));
    // A device's work is no time of this processor.
    let fastest = if threads == 1 && device.is_none() { cpu_min_ms.unwrap_or(min_ms) } else { min_ms };
    let shape: Vec<String> = workload.out.iter().map(usize::to_string).collect();
    Ok(Figures {
        shape: shape.join("x"),
        median_ms: median(&times.wall).unwrap_or(f64::NAN),
        min_ms,
        cpu_ms: median(&times.cpu),
        cpu_min_ms,
        load: load(),
        iters: times.wall.len(),
        peak_rss_mb: peak,
        peak_delta_mb: peak.zip(before).map(|(peak, before)| peak - before),
        gflops: cost.flops / (fastest + 1e-6) / 1e6,
        flops: cost.flops,
        exps: cost.exps,
        bytes: cost.bytes,
        check,
        device,
    })
}

/// What is repeated: a workload in one phase, with its inputs.
enum Repetition<B: Single> {
    Forward(Graph<B>, B),
    ForwardBackward(Graph<B>, Array<B>),
    Step { graph: Graph<B>, backend: B, adam: Box<Adam<B>>, lr: f64 },
}

impl<B: Single> Repetition<B> {
    fn of(backend: &B, workload: &Workload, phase: Phase) -> Result<Self, Problem> {
        let graph = Graph::of(backend, workload)?;
        Ok(match phase {
            Phase::Forward => Repetition::Forward(graph, backend.clone()),
            Phase::ForwardBackward => {
                let shape = (graph.forward)(&Tape::inference(backend.clone())).shape().to_vec();
                check_shape(workload, &shape)?;
                let values = fill(COTANGENT_SEED, workload.out.iter().product(), 1.0, 0.0);
                Repetition::ForwardBackward(graph, Array::from_vec(backend, &shape, values))
            }
            Phase::Step => {
                let (adam, lr) = (Box::new(Adam::new(AdamConfig::adam())), workload.number("lr")?);
                Repetition::Step { graph, backend: backend.clone(), adam, lr }
            }
        })
    }

    /// Once, for time; nothing is read back but the loss of a step.
    fn run(&mut self) {
        match self {
            Repetition::Forward(graph, backend) => drop((graph.forward)(&Tape::inference(backend.clone()))),
            Repetition::ForwardBackward(graph, cotangent) => drop(gradients(graph, cotangent)),
            Repetition::Step { graph, backend, adam, lr } => {
                step(graph, backend, adam, *lr);
            }
        }
    }

    /// Once or thrice, for what comes out.
    fn check(&mut self, workload: &Workload) -> Result<Vec<f64>, Problem> {
        match self {
            Repetition::Forward(graph, backend) => {
                let output = (graph.forward)(&Tape::inference(backend.clone()));
                check_shape(workload, output.shape())?;
                Ok(vec![absolute_sum(output.value())])
            }
            Repetition::ForwardBackward(graph, cotangent) => {
                let gradients = gradients(graph, cotangent);
                let of = |(name, param): &(String, Param<B>)| {
                    let unused = || {
                        let expected = "false: the output does not depend on it";
                        Problem::new(format!("tensors.{name}.grad"), expected, true)
                    };
                    Ok(absolute_sum(gradients.param(param).ok_or_else(unused)?))
                };
                graph.wanted.iter().map(of).collect()
            }
            Repetition::Step { graph, backend, adam, lr } => {
                Ok((0..3).map(|_| step(graph, backend, adam, *lr)).collect())
            }
        }
    }
}

fn gradients<B: Single>(graph: &Graph<B>, cotangent: &Array<B>) -> Gradients<B> {
    let tape = Tape::new(cotangent.backend().clone());
    let output = (graph.forward)(&tape);
    tape.backward_with(&[(&output, cotangent.clone())])
}

/// A training step; the loss before it.
fn step<B: Single>(graph: &Graph<B>, backend: &B, adam: &mut Adam<B>, lr: f64) -> f64 {
    let params: Vec<(String, &Param<B>)> =
        graph.wanted.iter().map(|(name, param)| (name.clone(), param)).collect();
    let tape = Tape::new(backend.clone());
    let loss = (graph.forward)(&tape);
    let gradients = tape.backward(&loss);
    adam.step(&params, &gradients, lr);
    f64::from(loss.value().item())
}

/// A loss is one number, whether that is written `[]` or `[1]`.
fn check_shape(workload: &Workload, found: &[usize]) -> Result<(), Problem> {
    let out = workload.out.as_slice();
    let one_number = |shape: &[usize]| shape.iter().product::<usize>() == 1;
    match found == out || (one_number(found) && one_number(out)) {
        true => Ok(()),
        false => Err(Problem::new("out", format!("{found:?}, the shape of the output"), format!("{out:?}"))),
    }
}

fn absolute_sum<B: Single>(array: &Array<B>) -> f64 {
    array.to_f64().iter().fold(0.0, |sum, value| sum + value.abs())
}
