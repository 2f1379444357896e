//! The questions and who answers them.

use serde_json::Value;
use termwise_autograd::{Array, Cpu, Tape};
use termwise_ops::attention::{Terms, projected_2d};

use super::fields::Fields;
use super::http::Failure;
use super::layer::HeadLayer;
use super::scene::{SCENES, SIZE, Scene};
use super::{check, convolution, info, lesson, matrix};

/// The most bytes of a question in JSON.
pub const JSON_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes of a picture or a checkpoint.
pub const UPLOAD_BYTES: usize = 64 * 1024 * 1024;

/// Answers questions.
pub struct Engine {}

impl Engine {
    /// An engine that knows the lesson.
    pub fn new() -> Self {
        Engine {}
    }

    /// What there is to ask for.
    pub fn info(&self) -> Value {
        let mut info = info::fixed();
        info["checkpoint"] = Value::Null;
        info["translator"] = Value::Null;
        info
    }

    /// The most bytes that the body of a question may have; `None` where there is no such question.
    pub fn limit(name: &str) -> Option<usize> {
        match name {
            "picture" | "checkpoint" => Some(UPLOAD_BYTES),
            "scene" | "layer" | "attend" | "gradcheck" | "deformable" | "deformable_scan" | "dynamic" | "matrix" => Some(JSON_BYTES),
            _ => None,
        }
    }

    /// Answers the question `name`.
    pub fn answer(&self, name: &str, _query: &str, body: &[u8]) -> Result<Value, Failure> {
        let value: Value = serde_json::from_slice(body).map_err(|error| Failure::field("question", "JSON", error))?;
        match name {
            "scene" => scene(&value),
            "layer" => self.layer(&value),
            "attend" => self.attend(&value),
            "gradcheck" => self.gradcheck(&value),
            "deformable" => convolution::deformable(&value),
            "deformable_scan" => convolution::deformable_scan(&value),
            "dynamic" => convolution::dynamic(&value),
            "matrix" => matrix::matrix(&value),
            _ => Err(Failure::new(404, "path: expected a question under /api/, found another")),
        }
    }

    /// The head that `source`, `scene` and `head` of a question name, with the picture of the lesson.
    fn head(&self, fields: &Fields) -> Result<HeadLayer, Failure> {
        let source = Fields::of(fields.value("source")?, "source", &["kind"])?;
        match source.text("kind")? {
            "lesson" => {
                let scene = Scene::read(fields.value("scene")?, SIZE)?;
                fields.whole_or("head", 0..=0, 0)?;
                Ok(lesson_layer(&scene))
            }
            _ => Err(source.wrong("kind", "lesson, probe, checkpoint or text")),
        }
    }

    fn layer(&self, value: &Value) -> Result<Value, Failure> {
        let fields = Fields::of(value, "", &["source", "scene", "head"])?;
        Ok(self.head(&fields)?.json())
    }

    fn gradcheck(&self, value: &Value) -> Result<Value, Failure> {
        let fields = Fields::of(value, "", &["source", "scene", "head", "terms"])?;
        let layer = self.head(&fields)?;
        Ok(check::gradcheck(&layer, terms_within(&fields, layer.terms)?))
    }

    fn attend(&self, value: &Value) -> Result<Value, Failure> {
        let names = ["source", "scene", "head", "terms", "query", "target"];
        let fields = Fields::of(value, "", &names)?;
        let layer = self.head(&fields)?;
        let terms = terms_within(&fields, layer.terms)?;
        let (height, width) = layer.query_grid();
        let cells = Scene { height, width, rgb: Vec::new(), arrows: Vec::new() };
        let q = cells.cell(&fields, "query")?;
        let target = target(&fields)?;
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

