//! Trained networks, from checkpoints: each of their Transformer attentions over a picture or a sentence.

use std::path::Path;

use serde_json::{Value, json};
use termwise_autograd::{Array, Cpu, Tape, Var};
use termwise_datasets::batch::{Batch, Normalisation};
use termwise_datasets::bpe::Bpe;
use termwise_datasets::resize::resize_image;
use termwise_datasets::{DataError, Sample, picture_of_bytes};
use termwise_models::Init;
use termwise_models::checkpoint::{Checkpoint, CheckpointError};
use termwise_models::detection::{Detector, DetectorConfig};
use termwise_models::layers::AttentionInput;
use termwise_models::segmentation::{Segmenter, SegmenterConfig};
use termwise_models::translation::{SearchOptions, TranslationConfig, Translator, translate_text};
use termwise_ops::attention::{projected_1d, projected_2d};

use super::fields::shortened;
use super::http::Failure;
use super::layer::{HeadLayer, Words};
use super::scene::Scene;

type B = Cpu<f64>;

/// The most pixels of a picture that is shrunk to a scene.
const PIXELS: u64 = 4096 * 4096;
/// The most tokens of a sentence.
const TOKENS: usize = 64;
/// The most characters of a sentence.
const CHARACTERS: usize = 400;

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        Failure::new(400, error.to_string())
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Failure::new(400, error.to_string())
    }
}

/// The heads of the attentions of a network over one sample, by their names.
type Blocks = Vec<(String, Vec<HeadLayer>)>;

/// All heads of an attention.
fn heads(input: &AttentionInput<B>, words: Option<&Words>) -> Vec<HeadLayer> {
    let (settings, tape) = (input.attention.settings(), input.queries.tape());
    let projections = input.attention.projections(tape);
    let projected = match input.queries.ndim() {
        4 => projected_2d(&input.queries, &projections, settings),
        _ => projected_1d(&input.queries, input.keys.as_ref(), &projections, settings, None),
    };
    let head = |m| HeadLayer::of(&projected, &projections, settings, m, words.cloned());
    (0..settings.num_heads).map(head).collect()
}

/// A head of a block.
fn pick(blocks: &Blocks, block: &str, head: usize) -> Result<HeadLayer, Failure> {
    let Some((_, heads)) = blocks.iter().find(|(name, _)| name == block) else {
        let names: Vec<&str> = blocks.iter().map(|(name, _)| name.as_str()).collect();
        let expected = match names.as_slice() {
            [] => "a network with Transformer attention".to_owned(),
            names => format!("one of {}", names.join(", ")),
        };
        return Err(Failure::field("source.block", expected, format!("'{}'", shortened(block))));
    };
    let expected = || format!("0 to {}", heads.len() - 1);
    heads.get(head).cloned().ok_or_else(|| Failure::field("head", expected(), head))
}

/// A file says anything: a network that could not be in it is not built.
fn within(checkpoint: &Checkpoint, parameters: usize) -> Result<(), Failure> {
    if parameters.saturating_mul(4) <= checkpoint.size() {
        return Ok(());
    }
    let expected = format!("a network that is in {} bytes", checkpoint.size());
    Err(checkpoint.fault("architecture", expected, format!("one of {parameters} parameters or more")).into())
}

/// The task that a checkpoint is of.
pub fn task(checkpoint: &Checkpoint) -> Result<String, Failure> {
    let architecture: Value = checkpoint.architecture()?;
    match architecture["task"].as_str() {
        Some(task @ ("segmentation" | "detection" | "translation")) => Ok(task.to_owned()),
        _ => Err(checkpoint
            .fault("architecture.task", "segmentation, detection or translation", "another")
            .into()),
    }
}

enum Model {
    Segmenter(Box<Segmenter<B>>),
    Detector(Box<Detector<B>>),
}

/// A network that looks at pictures.
pub struct Pictures {
    model: Model,
    /// What it made of the last picture.
    last: Option<(Scene, Blocks)>,
}

impl Pictures {
    /// The network of a checkpoint.
    pub fn load(checkpoint: &Checkpoint) -> Result<Self, Failure> {
        let mut init = Init::new(Cpu::new(), 0);
        let wrong = |error: String| {
            Failure::new(400, format!("{}: architecture.{error}", checkpoint.path().display()))
        };
        // Fewer than the parameters of the stages alone.
        let stages = |width: usize| 162 * width * width;
        let model = if task(checkpoint)? == "segmentation" {
            let config: SegmenterConfig = checkpoint.architecture()?;
            config.check().map_err(wrong)?;
            within(checkpoint, stages(config.width))?;
            let model = Segmenter::new(config, &mut init);
            checkpoint.load(&model)?;
            Model::Segmenter(Box::new(model))
        } else {
            let config: DetectorConfig = checkpoint.architecture()?;
            config.check().map_err(wrong)?;
            within(
                checkpoint,
                stages(config.width).saturating_add(config.channels.saturating_mul(config.hidden)),
            )?;
            let model = Detector::new(config, &mut init);
            checkpoint.load(&model)?;
            Model::Detector(Box::new(model))
        };
        Ok(Pictures { model, last: None })
    }

    /// What the page is told of it.
    pub fn json(&mut self, file: &str) -> Result<Value, Failure> {
        let (task, attention, size) = match &self.model {
            Model::Segmenter(model) => {
                let config = model.config();
                ("segmentation", config.attention, [config.size.0, config.size.1])
            }
            Model::Detector(model) => {
                let config = model.config();
                ("detection", config.attention, [config.side, config.side])
            }
        };
        let grey = Scene { height: 32, width: 32, rgb: vec![[128; 3]; 1024], arrows: vec![0; 1024] };
        let block = |(name, heads): &(String, Vec<HeadLayer>)| {
            let terms = heads.first().map(|head| head.terms.to_string());
            json!({"name": name, "title": name, "heads": heads.len(), "terms": terms})
        };
        let blocks: Vec<Value> = self.blocks(&grey).iter().map(block).collect();
        Ok(
            json!({"file": file, "task": task, "attention": attention.to_string(), "size": size, "blocks": blocks}),
        )
    }

    /// A head of one of its attentions over a picture.
    pub fn layer(&mut self, scene: &Scene, block: &str, head: usize) -> Result<HeadLayer, Failure> {
        pick(self.blocks(scene), block, head)
    }

    fn blocks(&mut self, scene: &Scene) -> &Blocks {
        if self.last.as_ref().is_none_or(|(other, _)| other != scene) {
            let blocks = self.look(scene);
            self.last = Some((scene.clone(), blocks));
        }
        &self.last.as_ref().expect("just looked").1
    }

    fn look(&self, scene: &Scene) -> Blocks {
        let (mean, std) = match &self.model {
            Model::Segmenter(model) => (model.config().mean, model.config().std),
            Model::Detector(model) => (model.config().mean, model.config().std),
        };
        let size = (scene.height, scene.width);
        let image = ndarray::Array3::from_shape_fn((3, size.0, size.1), |(c, row, column)| {
            f32::from(scene.rgb[row * size.1 + column][c]) / 255.0
        });
        let labels = ndarray::Array2::zeros(size);
        let sample = Sample { name: String::new(), image, labels, objects: Vec::new() };
        let images = Batch::stack(std::slice::from_ref(&sample), &Normalisation { mean, std }, 255).images;
        let tape = Tape::inference(Cpu::new());
        let images: Var<B> = tape.constant(Array::from_f64(tape.backend(), &images.mapv(f64::from)));
        let inputs = match &self.model {
            Model::Segmenter(model) => model.attention_inputs(&images),
            Model::Detector(model) => model.attention_inputs(&images),
        };
        inputs.iter().map(|input| (input.name.clone(), heads(input, None))).collect()
    }
}

/// A picture file as a scene whose longer side has at most `size` cells.
pub fn picture(bytes: &[u8], size: usize) -> Result<Scene, Failure> {
    let image = picture_of_bytes(Path::new("picture"), bytes, PIXELS)?;
    let (_, height, width) = image.dim();
    let longest = height.max(width);
    let fit = |side: usize| if longest <= size { side } else { (side * size + longest / 2) / longest }.max(1);
    let (height, width) = (fit(height), fit(width));
    let image = resize_image(&image, (height, width));
    let byte = |c: usize, cell: usize| (image[[c, cell / width, cell % width]] * 255.0).round() as u8;
    let rgb = (0..height * width).map(|cell| [byte(0, cell), byte(1, cell), byte(2, cell)]).collect();
    Ok(Scene { height, width, rgb, arrows: vec![0; height * width] })
}

/// The tokens of a source with its `EOS`, and of a target behind its `BOS`.
type Pair = (Vec<u32>, Vec<u32>);

/// A network that translates: once to translate, and once in `f64` to look into.
pub struct Texts {
    config: TranslationConfig,
    single: Translator<Cpu<f32>>,
    double: Translator<B>,
    /// What it made of the last sentence and its translation.
    last: Option<(Pair, Blocks)>,
}

impl Texts {
    /// The network of a checkpoint.
    pub fn load(checkpoint: &Checkpoint) -> Result<Self, Failure> {
        let config: TranslationConfig = checkpoint.architecture()?;
        let model = &config.model;
        model.check().map_err(|error| {
            Failure::from(checkpoint.fault(
                &format!("architecture.{}", error.field),
                error.expected,
                error.found,
            ))
        })?;
        if model.vocabulary != config.bpe.vocabulary_size() {
            let expected = format!("{} as there are tokens", config.bpe.vocabulary_size());
            return Err(checkpoint.fault("architecture.vocabulary", expected, model.vocabulary).into());
        }
        let layers = model.encoder_layers + model.decoder_layers;
        within(checkpoint, model.channels * (model.vocabulary + layers * 2 * model.feed_forward))?;
        let single = Translator::new(model.clone(), &mut Init::new(Cpu::new(), 0));
        checkpoint.load(&single)?;
        let double = Translator::new(model.clone(), &mut Init::new(Cpu::new(), 0));
        checkpoint.load(&double)?;
        Ok(Texts { config, single, double, last: None })
    }

    /// What the page is told of it; `example` is a sentence that it should know.
    pub fn json(&mut self, file: Option<&str>, example: &str) -> Result<Value, Failure> {
        let (source, target) = self.tokens(example, None)?;
        let block = |(name, heads): &(String, Vec<HeadLayer>)| {
            let terms = heads.first().map(|head| head.terms.to_string());
            let kind = if name.ends_with(".cross") { "cross" } else { "self" };
            json!({"name": name, "title": title(name), "kind": kind, "heads": heads.len(), "terms": terms})
        };
        let blocks: Vec<Value> = self.blocks(source, target).iter().map(block).collect();
        let (attention, cross) =
            (self.config.model.attention.to_string(), self.config.model.cross.to_string());
        Ok(json!({
            "file": file,
            "task": "translation",
            "attention": attention,
            "cross": cross,
            "languages": [self.config.languages.0, self.config.languages.1],
            "example": example,
            "blocks": blocks,
        }))
    }

    /// Answers `sentence`.
    pub fn sentence(&self, text: &str) -> Result<Value, Failure> {
        let (source, target) = self.tokens(text, None)?;
        Ok(json!({
            "source": self.words(&source),
            "target": self.words(&target[1..]),
            "translation": self.config.bpe.decode(&target),
        }))
    }

    /// A head of one of its attentions over a sentence and a translation: its own one where none is given.
    pub fn layer(
        &mut self,
        text: &str,
        translation: Option<&str>,
        block: &str,
        head: usize,
    ) -> Result<HeadLayer, Failure> {
        let (source, target) = self.tokens(text, translation)?;
        pick(self.blocks(source, target), block, head)
    }

    /// The source with its `EOS`, and the target behind its `BOS`.
    fn tokens(&self, text: &str, translation: Option<&str>) -> Result<Pair, Failure> {
        let encode = |name: &str, text: &str| {
            if text.chars().count() > CHARACTERS {
                return Err(Failure::field(
                    name,
                    format!("at most {CHARACTERS} characters"),
                    text.chars().count(),
                ));
            }
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let text = if self.config.lowercase { text.to_lowercase() } else { text };
            let tokens = if text.is_empty() { Vec::new() } else { self.config.bpe.encode(&text) };
            match tokens.len() {
                0 => Err(Failure::field(name, "a sentence", "nothing")),
                count if count > TOKENS => {
                    Err(Failure::field(name, format!("at most {TOKENS} pieces of words"), count))
                }
                _ => Ok(tokens),
            }
        };
        let source = encode("text", text)?;
        let mut target = vec![Bpe::BOS];
        match translation {
            Some(translation) => target.extend(encode("translation", translation)?),
            None => {
                let options = SearchOptions::default();
                let lines =
                    translate_text(&self.single, &self.config, &[self.config.bpe.decode(&source)], &options);
                let line = lines.first().map_or("", String::as_str);
                if !line.trim().is_empty() {
                    target.extend(self.config.bpe.encode(line).into_iter().take(TOKENS));
                }
            }
        }
        Ok(([source, vec![Bpe::EOS]].concat(), target))
    }

    /// Tokens as they are shown: a piece that goes on with a word begins with a dot.
    fn words(&self, tokens: &[u32]) -> Vec<String> {
        let word = |(i, &token): (usize, &u32)| {
            let text = self.config.bpe.token(token);
            match text.strip_prefix(' ') {
                Some(word) => word.to_owned(),
                None if i == 0 || token <= Bpe::UNK || !text.starts_with(char::is_alphabetic) => text,
                None => format!("\u{b7}{text}"),
            }
        };
        tokens.iter().enumerate().map(word).collect()
    }

    fn blocks(&mut self, source: Vec<u32>, target: Vec<u32>) -> &Blocks {
        let key = (source, target);
        if self.last.as_ref().is_none_or(|(other, _)| *other != key) {
            let tape = Tape::inference(Cpu::new());
            let (source, target) = (self.words(&key.0), self.words(&key.1));
            let words = |input: &AttentionInput<B>| {
                let encoder = input.name.starts_with("encoder");
                Words {
                    queries: if encoder { source.clone() } else { target.clone() },
                    keys: if encoder || input.keys.is_some() { source.clone() } else { target.clone() },
                }
            };
            let inputs = self.double.attention_inputs(&tape, &key.0, &key.1);
            let blocks =
                inputs.iter().map(|input| (input.name.clone(), heads(input, Some(&words(input))))).collect();
            self.last = Some((key, blocks));
        }
        &self.last.as_ref().expect("just looked").1
    }
}

/// `decoder.1.cross` in words.
fn title(name: &str) -> String {
    let mut parts = name.split('.');
    let (side, layer) =
        (parts.next().unwrap_or_default(), parts.next().and_then(|i| i.parse::<usize>().ok()));
    let what = match (side, parts.next()) {
        (_, Some(_)) => "the translation looks at the sentence",
        ("encoder", None) => "the sentence looks at itself",
        (_, None) => "the translation looks back at itself",
    };
    format!("{side} layer {}: {what}", layer.unwrap_or_default() + 1)
}
