//! The page in one file that works without the engine: what it asks first is answered in it.

use serde_json::{Map, Value, json};
use termwise_ops::attention::Terms;

use super::http::Failure;
use super::page::Assets;
use super::scene::SCENES;
use super::{Engine, info};

/// The side of the lesson's scene and the seed that the page begins with.
const SCENE: [u64; 2] = [16, 1];
/// The corner and the side of the part of it whose matrices are drawn: the one that the page cuts out around the query
/// that it begins with.
const PART: ([usize; 2], usize) = ([0, 4], 8);
/// The probe that is trained: task, mechanism, seed.
const PROBE: (&str, &str, u64) = ("point_near", "0100", 1);
/// Its heads.
const PROBE_HEADS: u64 = 4;

/// Answers by the question they are to.
struct Answers<'a> {
    engine: &'a Engine,
    layers: Map<String, Value>,
    answers: Map<String, Value>,
}

impl Answers<'_> {
    /// Asks, and keeps the answer under the question, its fields in the order of their names.
    fn keep(&mut self, name: &str, question: &Value) -> Result<Value, Failure> {
        let answer = self.engine.answer(name, "", question.to_string().into_bytes())?;
        let kept = if name == "layer" { &mut self.layers } else { &mut self.answers };
        kept.insert(format!("{name} {question}"), answer.clone());
        Ok(answer)
    }
}

/// The document: the lesson, every mechanism's matrix, a trained probe and a sentence.
pub fn export(engine: &Engine, assets: &Assets) -> Result<String, Failure> {
    let mut answers = Answers { engine, layers: Map::new(), answers: Map::new() };
    let mut scenes = Vec::new();
    for (name, _) in SCENES {
        scenes.push(answers.keep("scene", &json!({"name": name, "size": SCENE[0], "seed": SCENE[1]}))?);
    }
    let scene = &scenes[0];
    let lesson = json!({"kind": "lesson"});
    answers.keep("layer", &json!({"source": lesson, "scene": scene, "head": 0}))?;
    for terms in Terms::all() {
        answers.keep("gradcheck", &json!({"source": lesson, "scene": scene, "terms": terms.to_string()}))?;
    }
    let info = engine.info();
    let part = part(scene);
    for mechanism in info["mechanisms"].as_array().into_iter().flatten() {
        answers.keep("matrix", &json!({"scene": part, "mechanism": mechanism["code"]}))?;
    }
    let run = probe(&mut answers, scene)?;
    text(&mut answers, &info["translator"])?;
    let (task, learner, seed) = PROBE;
    let Answers { layers, answers, .. } = answers;
    let embedded = json!({
        "info": info,
        "state": {"task": task, "learner": learner, "trainSeed": seed},
        "layers": layers,
        "answers": answers,
        "kept": {"training": {"runs": [run]}},
        "sources": info::sources(),
    });
    Ok(assets.document(Some(&embedded.to_string())).map_err(|error| Failure::new(500, error))?.html)
}

/// The part of a scene whose matrices are drawn.
fn part(scene: &Value) -> Value {
    let ([top, left], side) = PART;
    let width = SCENE[0] as usize;
    let cells = (top..top + side).flat_map(|row| (left..left + side).map(move |column| row * width + column));
    let rgb: Vec<&Value> =
        cells.clone().flat_map(|cell| (0..3).map(move |c| &scene["rgb"][3 * cell + c])).collect();
    let arrows: Vec<&Value> = cells.map(|cell| &scene["arrows"][cell]).collect();
    json!({"height": side, "width": side, "rgb": rgb, "arrows": arrows})
}

/// Trains the probe to its end, and keeps its layer over a sample. The page's record of the training.
fn probe(answers: &mut Answers, scene: &Value) -> Result<Value, Failure> {
    let (task, learner, seed) = PROBE;
    let question = json!({"action": "new", "task": task, "mechanism": learner, "seed": seed});
    let engine = answers.engine;
    let ask = |question: &Value| engine.answer("train", "", question.to_string().into_bytes());
    let begun = ask(&question)?;
    let (session, steps) = (&begun["session"], &begun["steps"]);
    let (mut losses, mut accuracies) = (Vec::new(), Vec::new());
    loop {
        let step = ask(&json!({"action": "step", "session": session, "count": 50}))?;
        losses.extend(step["losses"].as_array().into_iter().flatten().cloned());
        accuracies.extend(step["accuracies"].as_array().into_iter().flatten().cloned());
        if step["finished"] == true {
            break;
        }
    }
    answers.keep("sample", &json!({"session": session, "index": 0}))?;
    let source = json!({"kind": "probe", "session": session, "sample": 0});
    for head in 0..PROBE_HEADS {
        answers.keep("layer", &json!({"source": source, "scene": scene, "head": head}))?;
    }
    Ok(json!({
        "number": 1,
        "task": task,
        "learner": learner,
        "seed": seed,
        "session": session,
        "steps": steps,
        "losses": losses,
        "accuracies": accuracies,
        "finished": true,
    }))
}

/// Keeps the example sentence and every head of every attention over it.
fn text(answers: &mut Answers, translator: &Value) -> Result<(), Failure> {
    let text = &translator["example"];
    let sentence = answers.keep("sentence", &json!({"text": text}))?;
    for block in translator["blocks"].as_array().into_iter().flatten() {
        let source = json!({"kind": "text", "block": block["name"], "text": text, "translation": sentence["translation"]});
        for head in 0..block["heads"].as_u64().unwrap_or_default() {
            answers.keep("layer", &json!({"source": source, "scene": null, "head": head}))?;
        }
    }
    Ok(())
}
