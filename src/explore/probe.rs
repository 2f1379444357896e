//! Probes that are trained while one looks: sessions, their samples, and the maps of their layer.

use std::sync::{Arc, Mutex};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use termwise_autograd::{Array, Cpu, Tape};
use termwise_datasets::probe::{PROBE_GRID, PROBE_VALUES, ProbeBatch, ProbeTask};
use termwise_models::probe::{ProbeConfig, ProbeLayer, ProbeMechanism, ProbeTraining};
use termwise_models::{Init, copy_parameters};
use termwise_ops::attention::projected_2d;

use super::fields::Fields;
use super::http::Failure;
use super::layer::HeadLayer;
use super::scene::{PALETTE, Scene};
use super::worker::Worker;

/// The most trainings that are kept; the one that was not asked for longest goes.
const SESSIONS: usize = 4;
/// The most steps that a question may ask for.
const STEPS: u64 = 50;
/// Samples that can be looked at.
pub const SAMPLES: u64 = 1000;
/// Streams of a seed's random numbers from here on are those of samples to look at; training uses the first few.
const STREAM: u64 = 1000;
/// Where the channels of a token's own symbol begin, after its value,
const SYMBOL: usize = PROBE_VALUES;
/// those of the symbol that it asks for,
const QUESTION: usize = SYMBOL + 16;
/// those of the direction that it asks for, and the one that says whether it is lit.
const DIRECTION: usize = QUESTION + 16;
const LIT: usize = DIRECTION + 4;

/// A training, on a thread of its own.
struct Session {
    mechanism: ProbeMechanism,
    task: ProbeTask,
    seed: u64,
    training: ProbeTraining,
}

/// The trainings that are kept.
#[derive(Default)]
pub struct Sessions {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// How many were begun.
    begun: u64,
    /// The sessions by their numbers, the one that was asked for last at the end.
    sessions: Vec<(u64, Arc<Worker<Session>>)>,
}

impl Sessions {
    /// The session of a number, which is then the last to go.
    fn get(&self, fields: &Fields) -> Result<Arc<Worker<Session>>, Failure> {
        let number = fields.whole("session", 0..=u64::MAX)?;
        let mut kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let sessions = &mut kept.sessions;
        let Some(at) = sessions.iter().position(|(other, _)| *other == number) else {
            let expected =
                format!("one that is kept (at most {SESSIONS} are; the one not used for longest goes)");
            return Err(Failure::new(404, fields.wrong("session", expected).sentence));
        };
        let session = sessions.remove(at);
        let worker = Arc::clone(&session.1);
        sessions.push(session);
        Ok(worker)
    }

    fn begin(&self, fields: &Fields) -> Result<Value, Failure> {
        let (task, mechanism) = (fields.parsed("task")?, fields.parsed("mechanism")?);
        let seed = fields.whole_or("seed", 0..=u64::MAX, 0)?;
        let config = ProbeConfig::default();
        let steps = config.steps;
        let worker = Worker::new(move || {
            let training = ProbeTraining::new(mechanism, task, seed, &config);
            Ok(Session { mechanism, task, seed, training })
        })?;
        let mut kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        kept.begun += 1;
        let number = kept.begun;
        kept.sessions.push((number, Arc::new(worker)));
        if kept.sessions.len() > SESSIONS {
            kept.sessions.remove(0);
        }
        Ok(json!({"session": number, "step": 0, "steps": steps}))
    }

    /// Answers `train`.
    pub fn train(&self, value: &Value) -> Result<Value, Failure> {
        let fields = Fields::of(value, "", &["action", "session", "count", "task", "mechanism", "seed"])?;
        match fields.text("action")? {
            "new" => self.begin(&fields),
            "step" => {
                let number = fields.whole("session", 0..=u64::MAX)?;
                let count = fields.whole("count", 1..=STEPS)?;
                self.get(&fields)?.ask(move |session| Ok(session.step(number, count)))
            }
            _ => Err(fields.wrong("action", "new or step")),
        }
    }

    /// Answers `sample`.
    pub fn sample(&self, value: &Value) -> Result<Value, Failure> {
        let fields = Fields::of(value, "", &["session", "index"])?;
        let index = fields.whole_or("index", 0..=SAMPLES - 1, 0)?;
        self.get(&fields)?.ask(move |session| Ok(session.sample(index)))
    }

    /// A head of the layer that a session trains, over a sample.
    pub fn layer(&self, source: &Fields, head: u64) -> Result<HeadLayer, Failure> {
        let index = source.whole_or("sample", 0..=SAMPLES - 1, 0)?;
        self.get(source)?.ask(move |session| session.layer(index, head as usize))
    }
}

impl Session {
    fn step(&mut self, number: u64, count: u64) -> Value {
        let (mut losses, mut accuracies) = (Vec::new(), Vec::new());
        while !self.training.finished() && (losses.len() as u64) < count {
            let step = self.training.step();
            losses.push(step.loss);
            accuracies.push(step.accuracy);
        }
        json!({
            "session": number,
            "step": self.training.steps(),
            "losses": losses,
            "accuracies": accuracies,
            "finished": self.training.finished(),
        })
    }

    /// A sample that training does not see.
    fn drawn(&self, index: u64) -> ProbeBatch {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(STREAM + index * ProbeTask::ALL.len() as u64 + self.task as u64);
        self.task.sample(1, &mut rng)
    }

    fn sample(&self, index: u64) -> Value {
        let batch = self.drawn(index);
        let cells = PROBE_GRID * PROBE_GRID;
        let tape = Tape::inference(Cpu::<f32>::new());
        let logits = self.training.layer().forward(&tape.constant(batch.tokens.clone().into()));
        let logits = logits.value().as_slice();
        let best = |cell: usize| {
            (0..PROBE_VALUES).fold(0, |best, v| {
                if logits[v * cells + cell] > logits[best * cells + cell] { v } else { best }
            })
        };
        // Which of some channels is set in a cell.
        let set = |first: usize, count: usize, cell: usize| {
            let at = |c: usize| batch.tokens[[0, c, cell / PROBE_GRID, cell % PROBE_GRID]] == 1.0;
            (0..count).find(|c| at(first + c))
        };
        let signed = |found: Option<usize>| found.map_or(-1, |number| number as i64);
        let over = |what: &dyn Fn(usize) -> i64| (0..cells).map(what).collect::<Vec<i64>>();
        let values = over(&|cell| signed(set(0, PROBE_VALUES, cell)));
        let scene = Scene {
            height: PROBE_GRID,
            width: PROBE_GRID,
            rgb: values.iter().map(|value| PALETTE[*value as usize]).collect(),
            arrows: (0..cells).map(|cell| set(DIRECTION, 4, cell).map_or(0, |d| d as u8 + 1)).collect(),
        };
        let lit = (0..cells).find(|&cell| set(LIT, 1, cell).is_some());
        let marks = match (self.task, lit) {
            (ProbeTask::Match, _) => "16 cells have a symbol each, and every cell asks for one".to_owned(),
            (ProbeTask::PointNear | ProbeTask::PointFar, _) => "every cell has an arrow".to_owned(),
            (_, Some(cell)) => {
                format!("lit: row {}, column {}", cell / PROBE_GRID + 1, cell % PROBE_GRID + 1)
            }
            _ => "colours alone".to_owned(),
        };
        json!({
            "height": PROBE_GRID,
            "width": PROBE_GRID,
            "scene": scene.json(),
            "values": values,
            "targets": batch.targets.iter().map(|target| (*target).max(-1)).collect::<Vec<i64>>(),
            "predictions": (0..cells).map(best).collect::<Vec<usize>>(),
            "marks": marks,
            "symbols": over(&|cell| signed(set(SYMBOL, QUESTION - SYMBOL, cell))),
            "questions": over(&|cell| signed(set(QUESTION, DIRECTION - QUESTION, cell))),
            "lit": lit,
        })
    }

    /// The layer as it is now, in `f64`.
    fn layer(&self, index: u64, head: usize) -> Result<HeadLayer, Failure> {
        let layer = ProbeLayer::new(self.mechanism, &mut Init::new(Cpu::<f64>::new(), 0));
        copy_parameters(self.training.layer(), &layer);
        let Some(attention) = layer.attention() else {
            let expected = "a session that trains Transformer attention, which alone has maps";
            return Err(Failure::field("source.session", expected, self.mechanism));
        };
        let settings = attention.settings();
        if head >= settings.num_heads {
            return Err(Failure::field("head", format!("0 to {}", settings.num_heads - 1), head));
        }
        let tokens = self.drawn(index).tokens.mapv(f64::from);
        let tape = Tape::inference(Cpu::<f64>::new());
        let x = layer.embed(&tape.constant(Array::from_f64(tape.backend(), &tokens)));
        let projections = attention.projections(&tape);
        let projected = projected_2d(&x, &projections, settings);
        Ok(HeadLayer::of(&projected, &projections, settings, head, None))
    }
}
