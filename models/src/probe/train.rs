//! Training of one cell and of the whole table.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use termwise_autograd::{Array, Cpu, Module, Tape};
use termwise_datasets::probe::{PROBE_IGNORE, ProbeBatch, ProbeTask};
use termwise_ops::Kernels;
use termwise_ops::losses::{CrossEntropy, cross_entropy};
use termwise_ops::optim::{Adam, AdamConfig, Optimizer};
use termwise_ops::schedule::Schedule;

use super::layer::ProbeLayer;
use super::{ProbeCell, ProbeMechanism};
use crate::Init;

/// How a probe is trained. The default is what the table uses.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeConfig {
    /// Most steps for a cell; training ends earlier once the task is solved.
    pub steps: usize,
    /// Samples per step.
    pub batch: usize,
    /// Peak learning rate of Adam, after a linear warm-up and before a cosine to zero.
    pub lr: f64,
    /// Fresh samples on which the final accuracy is measured.
    pub evaluation: usize,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        ProbeConfig { steps: 800, batch: 16, lr: 1e-2, evaluation: 64 }
    }
}

/// Steps between two points of the curve, and between two looks at whether the task is solved.
const REPORT_EVERY: usize = 20;
/// Mean accuracy over the last [`REPORT_EVERY`] batches at which training ends early.
const SOLVED: f64 = 0.999;

/// What one step of training saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeStep {
    /// The mean loss over the batch, before the step.
    pub loss: f64,
    /// Share of the batch's tokens that were answered right.
    pub accuracy: f64,
}

/// The training of one mechanism on one task, to be taken step by step. What it does is a function of the arguments of
/// [`new`](Self::new) alone.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module};
/// use termwise_datasets::probe::ProbeTask;
/// use termwise_models::probe::{ProbeConfig, ProbeTraining};
/// let config = ProbeConfig { steps: 2, batch: 2, evaluation: 1, ..ProbeConfig::default() };
/// let mut training = ProbeTraining::new("0000".parse().unwrap(), ProbeTask::Match, 0, &config);
/// for (name, param) in training.layer().parameters() {
///     if name.starts_with("readout") {
///         param.set(Array::zeros(&Cpu::new(), &param.shape())); // no preference among the 8 values
///     }
/// }
/// assert!((training.step().loss - 8f64.ln()).abs() < 1e-6);
/// assert!(!training.finished());
/// training.step();
/// assert!(training.finished() && training.steps() == 2);
/// assert!(training.curve().is_empty()); // its points are 20 steps apart
/// ```
pub struct ProbeTraining<B: Kernels<Scalar = f32> = Cpu<f32>> {
    task: ProbeTask,
    config: ProbeConfig,
    backend: B,
    layer: ProbeLayer<B>,
    rng: ChaCha8Rng,
    optimizer: Adam<B>,
    schedule: Schedule,
    /// Sums of loss and accuracy since the last point of the curve.
    window: (f64, f64),
    curve: Vec<(usize, f64, f64)>,
    steps: usize,
    solved: bool,
}

impl ProbeTraining {
    /// A training on the host that begins.
    pub fn new(mechanism: ProbeMechanism, task: ProbeTask, seed: u64, config: &ProbeConfig) -> Self {
        ProbeTraining::on(Cpu::new(), mechanism, task, seed, config)
    }
}

impl<B: Kernels<Scalar = f32>> ProbeTraining<B> {
    /// A training on any backend that begins.
    pub fn on(
        backend: B,
        mechanism: ProbeMechanism,
        task: ProbeTask,
        seed: u64,
        config: &ProbeConfig,
    ) -> Self {
        let layer = ProbeLayer::new(mechanism, &mut Init::new(backend.clone(), seed));
        // One stream of data per task and seed, the same for every mechanism.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1 + task as u64);
        let warmup = (config.steps / 10).max(1);
        let schedule = Schedule::WarmupCosine {
            base_lr: config.lr,
            warmup_steps: warmup as u64,
            total_steps: config.steps as u64,
            warmup_init_lr: 0.0,
            min_lr: 0.0,
        };
        ProbeTraining {
            task,
            config: config.clone(),
            backend,
            layer,
            rng,
            optimizer: Adam::new(AdamConfig::adam()),
            schedule,
            window: (0.0, 0.0),
            curve: Vec::new(),
            steps: 0,
            solved: false,
        }
    }

    /// The network as it is now.
    pub fn layer(&self) -> &ProbeLayer<B> {
        &self.layer
    }

    /// Steps taken.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Whether all steps are taken, or the task is solved.
    pub fn finished(&self) -> bool {
        self.solved || self.steps >= self.config.steps
    }

    /// `(step, loss, accuracy on the training batches)` along the way.
    pub fn curve(&self) -> &[(usize, f64, f64)] {
        &self.curve
    }

    /// Takes one step.
    pub fn step(&mut self) -> ProbeStep {
        let batch = self.task.sample(self.config.batch, &mut self.rng);
        let tape = Tape::new(self.backend.clone());
        let logits = self.layer.forward(&tape.constant(self.tokens(&batch)));
        let targets = batch.targets.clone().into_dyn();
        let settings = CrossEntropy { ignore_index: Some(PROBE_IGNORE), ..CrossEntropy::default() };
        let loss = cross_entropy(&logits, &targets, None, &settings);
        let seen =
            ProbeStep { loss: f64::from(loss.value().item()), accuracy: accuracy(logits.value(), &batch) };
        self.window.0 += seen.loss;
        self.window.1 += seen.accuracy;
        let gradients = tape.backward(&loss);
        let lr = self.schedule.lr(self.steps as f64);
        self.optimizer.step(&self.layer.parameters(), &gradients, lr);
        self.steps += 1;
        if self.steps.is_multiple_of(REPORT_EVERY) {
            let mean = self.window.1 / REPORT_EVERY as f64;
            self.curve.push((self.steps, self.window.0 / REPORT_EVERY as f64, mean));
            self.window = (0.0, 0.0);
            self.solved = mean >= SOLVED;
        }
        seen
    }

    /// The accuracy on fresh samples, as many as the configuration says.
    pub fn evaluate(&mut self) -> f64 {
        let test = self.task.sample(self.config.evaluation, &mut self.rng);
        let tape = Tape::inference(self.backend.clone());
        let logits = self.layer.forward(&tape.constant(self.tokens(&test)));
        accuracy(logits.value(), &test)
    }

    fn tokens(&self, batch: &ProbeBatch) -> Array<B> {
        Array::from_ndarray(&self.backend, batch.tokens.clone())
    }
}

/// Trains one mechanism on one task. The result is a function of the arguments alone.
///
/// `progress(done, total)` is called along the way; early success jumps to the end.
///
/// [`ProbeTraining`] takes the same steps one by one.
pub fn train_cell<B: Kernels<Scalar = f32>>(
    backend: &B,
    mechanism: ProbeMechanism,
    task: ProbeTask,
    seed: u64,
    config: &ProbeConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> ProbeCell {
    let start = Instant::now();
    let mut training = ProbeTraining::on(backend.clone(), mechanism, task, seed, config);
    while !training.finished() {
        training.step();
        if training.steps.is_multiple_of(REPORT_EVERY) {
            progress(training.steps, config.steps);
        }
    }
    let accuracy = training.evaluate();
    progress(config.steps, config.steps);
    let ProbeTraining { curve, steps, .. } = training;
    ProbeCell { mechanism, task, seed, accuracy, steps, curve, seconds: start.elapsed().as_secs_f64() }
}

/// Share of the tokens with a target whose largest logit is that target. `logits` (N, 8, 8, 8).
fn accuracy<B: Kernels<Scalar = f32>>(logits: &Array<B>, batch: &ProbeBatch) -> f64 {
    let logits = logits.to_ndarray();
    let (mut right, mut counted) = (0usize, 0usize);
    for ((n, y, x), &target) in batch.targets.indexed_iter().filter(|(_, target)| **target != PROBE_IGNORE) {
        let values = logits.slice(ndarray::s![n, .., y, x]);
        let best = (0..values.len()).fold(0, |best, v| if values[v] > values[best] { v } else { best });
        counted += 1;
        right += usize::from(best as i64 == target);
    }
    right as f64 / counted.max(1) as f64
}

/// Trains cells on the host side by side, one per thread, and returns them in the given order. Each cell runs
/// on one thread, so the numbers do not depend on how many there are.
///
/// `on_step(cell index, done, total)` and `on_cell(cell index, cell)` are called from the workers.
///
/// ```
/// use termwise_datasets::probe::ProbeTask;
/// use termwise_models::probe::{ProbeConfig, train_cells};
/// let cells = [("0001", ProbeTask::ShiftFar), ("regular", ProbeTask::ShiftNear)];
/// let cells = cells.map(|(mechanism, task)| (mechanism.parse().unwrap(), task, 3));
/// let config = ProbeConfig { steps: 1, batch: 1, evaluation: 1, ..ProbeConfig::default() };
/// let train = |threads| {
///     let trained = train_cells(&cells, threads, &config, &|_, _, _| {}, &|_, _| {});
///     trained.into_iter().map(|cell| (cell.mechanism, cell.task, cell.steps, cell.accuracy)).collect::<Vec<_>>()
/// };
/// let (one, two) = (train(1), train(2));
/// assert_eq!((one[1].0.to_string().as_str(), one[1].1, one[1].2), ("regular", ProbeTask::ShiftNear, 1));
/// assert_eq!(one, two);
/// ```
pub fn train_cells(
    cells: &[(ProbeMechanism, ProbeTask, u64)],
    threads: usize,
    config: &ProbeConfig,
    on_step: &(dyn Fn(usize, usize, usize) + Sync),
    on_cell: &(dyn Fn(usize, &ProbeCell) + Sync),
) -> Vec<ProbeCell> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(vec![None; cells.len()]);
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, cells.len().max(1)) {
            scope.spawn(|| {
                // A pool of one keeps kernels of this cell on this thread.
                let pool =
                    rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread pool of one");
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&(mechanism, task, seed)) = cells.get(index) else { break };
                    let mut progress = |done, total| on_step(index, done, total);
                    let cell = pool
                        .install(|| train_cell(&Cpu::new(), mechanism, task, seed, config, &mut progress));
                    on_cell(index, &cell);
                    results.lock().expect("no worker panicked")[index] = Some(cell);
                }
            });
        }
    });
    let results = results.into_inner().expect("no worker panicked");
    results.into_iter().map(|cell| cell.expect("every cell was trained")).collect()
}
