//! The questions and who answers them.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use termwise_autograd::{Array, Cpu, Tape};
use termwise_models::checkpoint::Checkpoint;
use termwise_ops::attention::{Terms, projected_2d};

use super::fields::{Fields, shortened};
use super::http::Failure;
use super::layer::HeadLayer;
use super::networks::{Pictures, Texts};
use super::probe::Sessions;
use super::scene::{PICTURE, SCENES, SIZE, Scene};
use super::worker::Worker;
use super::{check, convolution, info, lesson, matrix, networks};

/// The most bytes of a question in JSON.
pub const JSON_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes of a picture or a checkpoint.
pub const UPLOAD_BYTES: usize = 64 * 1024 * 1024;

/// A sentence of the built-in grammar.
const EXAMPLE: &str = "Her old grandmother gives the doctor the suitcase.";

/// The translator that is there where no other one is given: trained for two minutes on the built-in sentences by
/// `termwise train translation --device cpu --config small.toml --time-limit 150 --out DIR`, where `small.toml` says
/// `epochs = 20` and under `[translation]` `dropout = 0.0`, `label_smoothing = 0.05`, `model = { vocabulary = 1000,
/// channels = 32, num_heads = 4, feed_forward = 64, encoder_layers = 2, decoder_layers = 1 }`. Of its checkpoint the
/// tensors `training/...` and the entry `training`, which only going on with the training needs, are left out.
const TRANSLATOR: &[u8] = include_bytes!("translator.safetensors");

/// A network on its thread, and what the page is told of it.
type Loaded<T> = Mutex<Option<(Value, Arc<Worker<T>>)>>;

/// Answers questions.
pub struct Engine {
    sessions: Sessions,
    pictures: Loaded<Pictures>,
    texts: Loaded<Texts>,
}

fn current<T>(loaded: &Loaded<T>) -> Option<(Value, Arc<Worker<T>>)> {
    loaded.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
}

impl Engine {
    /// An engine that knows the lesson, a small translator, and the network of a file where one is given: a checkpoint,
    /// or the folder of a training.
    pub fn new(given: Option<&Path>) -> Result<Self, Failure> {
        let engine =
            Engine { sessions: Sessions::default(), pictures: Mutex::default(), texts: Mutex::default() };
        engine.load(None, Checkpoint::of_bytes(Path::new("built-in translator"), TRANSLATOR.to_vec())?)?;
        if let Some(path) = given {
            let file = if path.is_dir() { path.join("checkpoint.safetensors") } else { path.to_owned() };
            let name = file.display().to_string();
            engine.load(Some(name), Checkpoint::read(&file)?)?;
        }
        Ok(engine)
    }

    /// Makes a checkpoint's network the one that is looked into, and says what the page is told of it.
    fn load(&self, file: Option<String>, checkpoint: Checkpoint) -> Result<Value, Failure> {
        if networks::task(&checkpoint)? == "translation" {
            let worker = Worker::new(move || Texts::load(&checkpoint))?;
            let info = worker.ask(move |texts| texts.json(file.as_deref(), EXAMPLE))?;
            *self.texts.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) =
                Some((info.clone(), Arc::new(worker)));
            return Ok(info);
        }
        let worker = Worker::new(move || Pictures::load(&checkpoint))?;
        let info = worker.ask(move |pictures| pictures.json(&file.unwrap_or_default()))?;
        *self.pictures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) =
            Some((info.clone(), Arc::new(worker)));
        Ok(info)
    }

    /// What there is to ask for.
    pub fn info(&self) -> Value {
        let mut info = info::fixed();
        info["checkpoint"] = current(&self.pictures).map_or(Value::Null, |(info, _)| info);
        info["translator"] = current(&self.texts).map_or(Value::Null, |(info, _)| info);
        info
    }

    /// The most bytes that the body of a question may have; `None` where there is no such question.
    pub fn limit(name: &str) -> Option<usize> {
        match name {
            "picture" | "checkpoint" => Some(UPLOAD_BYTES),
            "scene" | "layer" | "attend" | "gradcheck" | "deformable" | "deformable_scan" | "dynamic"
            | "matrix" | "train" | "sample" | "sentence" => Some(JSON_BYTES),
            _ => None,
        }
    }

    /// Answers the question `name`; `query` is what followed `?`.
    pub fn answer(&self, name: &str, query: &str, body: Vec<u8>) -> Result<Value, Failure> {
        match name {
            "picture" => return picture(query, &body),
            "checkpoint" => {
                let name = "uploaded file";
                return self.load(Some(name.to_owned()), Checkpoint::of_bytes(Path::new(name), body)?);
            }
            _ => {}
        }
        let value: Value =
            serde_json::from_slice(&body).map_err(|error| Failure::field("question", "JSON", error))?;
        match name {
            "scene" => scene(&value),
            "layer" => self.layer(&value),
            "attend" => self.attend(&value),
            "gradcheck" => self.gradcheck(&value),
            "deformable" => convolution::deformable(&value),
            "deformable_scan" => convolution::deformable_scan(&value),
            "dynamic" => convolution::dynamic(&value),
            "matrix" => matrix::matrix(&value),
            "train" => self.sessions.train(&value),
            "sample" => self.sessions.sample(&value),
            "sentence" => {
                let fields = Fields::of(&value, "", &["text"])?;
                let text = fields.text("text")?.to_owned();
                self.texts()?.ask(move |texts| texts.sentence(&text))
            }
            _ => Err(Failure::new(404, "path: expected a question under /api/, found another")),
        }
    }

    fn texts(&self) -> Result<Arc<Worker<Texts>>, Failure> {
        let missing = || Failure::field("source.kind", "a translator to be loaded", "none");
        Ok(current(&self.texts).ok_or_else(missing)?.1)
    }

    /// The head that `source`, `scene` and `head` of a question name; and whether it is the lesson's, whose output is a
    /// colour.
    fn head(&self, fields: &Fields) -> Result<(HeadLayer, bool), Failure> {
        let source = fields.value("source")?;
        let names = ["kind", "session", "sample", "block", "text", "translation"];
        let source = Fields::of(source, "source", &names)?;
        let head = fields.whole_or("head", 0..=1023, 0)?;
        let layer = match source.text("kind")? {
            "lesson" => {
                let scene = Scene::read(fields.value("scene")?, SIZE)?;
                fields.whole_or("head", 0..=0, 0)?;
                return Ok((lesson_layer(&scene), true));
            }
            "probe" => self.sessions.layer(&source, head)?,
            "checkpoint" => {
                let (scene, block) =
                    (Scene::read(fields.value("scene")?, PICTURE)?, source.text("block")?.to_owned());
                let missing = || Failure::field("source.kind", "a checkpoint to be loaded", "none");
                let (_, worker) = current(&self.pictures).ok_or_else(missing)?;
                worker.ask(move |pictures| pictures.layer(&scene, &block, head as usize))?
            }
            "text" => {
                let (text, block) = (source.text("text")?.to_owned(), source.text("block")?.to_owned());
                let translation = match source.get("translation") {
                    None => None,
                    Some(_) => Some(source.text("translation")?.to_owned()),
                };
                let ask = move |texts: &mut Texts| {
                    texts.layer(&text, translation.as_deref(), &block, head as usize)
                };
                self.texts()?.ask(ask)?
            }
            _ => return Err(source.wrong("kind", "lesson, probe, checkpoint or text")),
        };
        Ok((layer, false))
    }

    fn layer(&self, value: &Value) -> Result<Value, Failure> {
        let fields = Fields::of(value, "", &["source", "scene", "head"])?;
        let (layer, colours) = self.head(&fields)?;
        let mut answer = layer.json();
        if colours {
            // Bytes to the units of values, and what a page without an engine makes the layer of another scene with.
            answer["colour"] = json!({"scale": 1.0 / 255.0, "shift": 0.0});
            answer["lesson"] = lesson::json();
        }
        Ok(answer)
    }

    fn gradcheck(&self, value: &Value) -> Result<Value, Failure> {
        let fields = Fields::of(value, "", &["source", "scene", "head", "terms"])?;
        let (layer, _) = self.head(&fields)?;
        Ok(check::gradcheck(&layer, terms_within(&fields, layer.terms)?))
    }

    fn attend(&self, value: &Value) -> Result<Value, Failure> {
        let names = ["source", "scene", "head", "terms", "query", "target"];
        let fields = Fields::of(value, "", &names)?;
        let (layer, colours) = self.head(&fields)?;
        let terms = terms_within(&fields, layer.terms)?;
        let q = match &layer.words {
            None => {
                let (height, width) = layer.query_grid();
                Scene { height, width, rgb: Vec::new(), arrows: Vec::new() }.cell(&fields, "query")?
            }
            Some(words) => {
                let last = words.queries.len().saturating_sub(1) as u64;
                let expected = format!("[word, 0] with a word from 0 to {last}");
                let at = fields.wholes("query", 2, last).map_err(|_| fields.wrong("query", expected))?;
                at[0] as usize
            }
        };
        // A colour is a target for colours alone.
        let target = target(&fields)?.filter(|_| colours);
        Ok(layer.attend(q, terms, target.as_ref().map(<[f64; 3]>::as_slice)))
    }
}

/// The colour that the output should be; `None` where it is not said.
pub fn target(fields: &Fields) -> Result<Option<[f64; 3]>, Failure> {
    if fields.get("target").is_none() {
        return Ok(None);
    }
    let rgb = fields.wholes("target", 3, 255)?;
    Ok(Some(lesson::colour([rgb[0] as u8, rgb[1] as u8, rgb[2] as u8])))
}

/// Terms of which the layer has all; all that it has where they are not said.
fn terms_within(fields: &Fields, of: Terms) -> Result<Terms, Failure> {
    if fields.get("terms").is_none() {
        return Ok(of);
    }
    let terms: Terms = fields.parsed("terms")?;
    if terms.flags().into_iter().zip(of.flags()).any(|(asked, there)| asked && !there) {
        return Err(fields.wrong("terms", format!("some of those that the layer has, {of}")));
    }
    Ok(terms)
}

/// Answers `picture`.
fn picture(query: &str, body: &[u8]) -> Result<Value, Failure> {
    let sizes: Vec<&str> = query.split('&').filter_map(|part| part.strip_prefix("size=")).collect();
    let expected = format!("a whole number from 1 to {PICTURE}");
    let size = match sizes.as_slice() {
        [] => Ok(SIZE),
        [text] => text
            .parse()
            .ok()
            .filter(|size| (1..=PICTURE).contains(size))
            .ok_or_else(|| Failure::field("size", &expected, format!("'{}'", shortened(text)))),
        _ => Err(Failure::field("size", &expected, "several")),
    }?;
    Ok(networks::picture(body, size)?.json())
}

fn scene(value: &Value) -> Result<Value, Failure> {
    let fields = Fields::of(value, "", &["name", "size", "seed"])?;
    let size = fields.whole_or("size", 1..=SIZE as u64, 16)? as usize;
    let seed = fields.whole_or("seed", 0..=u64::MAX, 0)?;
    let names = || SCENES.map(|(name, _)| name).join(", ");
    let scene = Scene::named(fields.text("name")?, size, seed);
    Ok(scene.ok_or_else(|| fields.wrong("name", format!("one of {}", names())))?.json())
}

/// The lesson layer over a scene.
pub fn lesson_layer(scene: &Scene) -> HeadLayer {
    let tape = Tape::inference(Cpu::<f64>::new());
    let x = tape.constant(Array::from_f64(tape.backend(), &lesson::content(scene)));
    let projections = lesson::projections(&lesson::leaves(&tape));
    let settings = lesson::settings();
    let projected = projected_2d(&x, &projections, &settings);
    HeadLayer::of(&projected, &projections, &settings, 0, None)
}
