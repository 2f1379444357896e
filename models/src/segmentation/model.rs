//! The segmenter: a small ResNet with attended residual blocks in its last two stages, and a decoder
//! that sums its stages from coarse to fine.

use serde::{Deserialize, Serialize};
use termwise_autograd::{Module, Parameters, Var};
use termwise_ops::attention::{AttentionCode, AttentionMaps};
use termwise_ops::spatial::{Interpolation, Resize, interpolate};
use termwise_ops::{Kernels, add};

use crate::Init;
use crate::layers::{AttentionInput, AttentionLayer, AttentionSpec, Backbone, Conv2d, ConvNormRelu, Mode};

/// Everything needed to build a [`Segmenter`] again and to use it: the architecture of a checkpoint.
///
/// ```
/// use termwise_models::segmentation::{SegmentationTask, SegmenterConfig};
/// let config = SegmenterConfig {
///     task: SegmentationTask::Segmentation,
///     attention: "0010+deformable".parse().unwrap(),
///     classes: vec!["sky".to_owned(), "sea".to_owned()],
///     ignore: 255,
///     size: (64, 96),
///     mean: [0.5; 3],
///     std: [0.25; 3],
///     width: 16,
///     num_heads: 4,
///     limit_range: false,
/// };
/// assert_eq!(config.check(), Ok(()));
/// let text = serde_json::to_value(&config).unwrap(); // what a checkpoint carries
/// assert_eq!((&text["task"], &text["attention"]), (&"segmentation".into(), &"0010+deformable".into()));
/// assert_eq!(serde_json::from_value::<SegmenterConfig>(text).unwrap(), config);
/// let error = SegmenterConfig { num_heads: 3, ..config }.check().unwrap_err();
/// assert_eq!(error, "num_heads: expected a divisor of the width 16, found 3");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmenterConfig {
    /// Always `"segmentation"`; tells the checkpoints of different tasks apart.
    pub task: SegmentationTask,
    /// The mechanism in the last two stages and after the backbone.
    pub attention: AttentionCode,
    /// Names of the classes, in the order of their ids.
    pub classes: Vec<String>,
    /// The label that marks pixels without a class.
    pub ignore: u8,
    /// Height and width of the images it is trained on.
    pub size: (usize, usize),
    /// Per-channel mean that is subtracted from images in [0, 1].
    pub mean: [f32; 3],
    /// Per-channel standard deviation that they are divided by.
    pub std: [f32; 3],
    /// Channels of the first convolution; the stages have 2, 4 and 6 times as many.
    pub width: usize,
    /// Heads of the attention modules.
    pub num_heads: usize,
    /// Whether Transformer attention sees no further than dynamic convolution would.
    #[serde(default)]
    pub limit_range: bool,
}

impl SegmenterConfig {
    /// The mechanism of its attention modules.
    pub(crate) fn attention_spec(&self) -> AttentionSpec {
        AttentionSpec { code: self.attention, num_heads: self.num_heads, limit_range: self.limit_range }
    }

    /// What is wrong with the first field that no segmenter can have: its name, what is expected there, what is found.
    ///
    /// # Errors
    /// The message, in one line.
    pub fn check(&self) -> Result<(), String> {
        let SegmenterConfig { classes, width, num_heads, std, mean, size, .. } = self;
        let wrong = |field: &str, expected: String, found: String| {
            Err(format!("{field}: expected {expected}, found {found}"))
        };
        if !(1..=255).contains(&classes.len()) {
            return wrong("classes", "1 to 255 names".into(), classes.len().to_string());
        }
        if !(1..=512).contains(width) {
            return wrong("width", "1 to 512".into(), width.to_string());
        }
        if *num_heads == 0 || !width.is_multiple_of(*num_heads) {
            return wrong("num_heads", format!("a divisor of the width {width}"), num_heads.to_string());
        }
        if !std.iter().all(|std| *std > 0.0 && std.is_finite()) {
            return wrong("std", "three numbers above 0".into(), format!("{std:?}"));
        }
        if !mean.iter().all(|mean| mean.is_finite()) {
            return wrong("mean", "three finite numbers".into(), format!("{mean:?}"));
        }
        if ![size.0, size.1].iter().all(|side| (32..=2048).contains(side)) {
            return wrong("size", "a height and a width of 32 to 2048".into(), format!("{size:?}"));
        }
        Ok(())
    }
}

/// The only value of [`SegmenterConfig::task`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SegmentationTask {
    /// Pixels to classes.
    #[serde(rename = "segmentation")]
    Segmentation,
}

/// Images to class scores for each pixel.
///
/// ```text
/// image -> stem (1/2) -> stage 1 (1/4) -> stage 2 (1/8, attended) -> stage 3 (1/16, attended) -> attention
/// scores <- x2 <- 3x3 <- (+) <--- 1x1 <-----(+)<--- 1x1 <---------------(+)<--- 1x1 <---------------'
/// ```
///
/// The attention after the backbone is one more module of the same kind, as in the paper's Fig. 2; a code without a
/// module has none there either.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::Init;
/// use termwise_models::layers::Mode;
/// use termwise_models::segmentation::{SegmentationTask, Segmenter, SegmenterConfig};
/// let config = SegmenterConfig {
///     task: SegmentationTask::Segmentation,
///     attention: "0110+dynamic".parse().unwrap(),
///     classes: vec!["sky".to_owned(), "sea".to_owned()],
///     ignore: 255,
///     size: (32, 32),
///     mean: [0.5; 3],
///     std: [0.25; 3],
///     width: 4,
///     num_heads: 2,
///     limit_range: false,
/// };
/// let segmenter = Segmenter::new(config, &mut Init::new(Cpu::<f32>::new(), 0));
/// for (name, param) in segmenter.parameters() {
///     match name.as_str() {
///         "classify.weight" => param.set(Array::zeros(&Cpu::new(), &param.shape())),
///         "classify.bias" => param.set(Array::host(&[2], vec![-1.0, 3.0])), // whatever is seen
///         _ => {}
///     }
/// }
/// let images = Tape::inference(Cpu::new()).constant(Array::full(&Cpu::new(), &[1, 3, 32, 40], 0.5));
/// let scores = segmenter.forward(&images, Mode::Eval); // (1, 2, 32, 40)
/// let [sky, sea] = [&scores.value().as_slice()[..32 * 40], &scores.value().as_slice()[32 * 40..]];
/// assert!(sky.iter().all(|score| *score == -1.0) && sea.iter().all(|score| *score == 3.0));
/// // Two blocks in each of two stages, and the one behind them; on maps of 1/8, 1/8 and three times 1/16.
/// let sizes: Vec<_> = segmenter.attention_maps(&images).into_iter().map(|maps| maps.size).collect();
/// assert_eq!(sizes, [(4, 5), (4, 5), (2, 3), (2, 3), (2, 3)]);
/// ```
pub struct Segmenter<B: Kernels> {
    config: SegmenterConfig,
    backend: B,
    backbone: Backbone<B>,
    attention: AttentionLayer<B>,
    laterals: Vec<Conv2d<B>>,
    smooth: ConvNormRelu<B>,
    classify: Conv2d<B>,
}

impl<B: Kernels> Segmenter<B> {
    /// A segmenter with fresh parameters.
    pub fn new(config: SegmenterConfig, init: &mut Init<B>) -> Self {
        let width = config.width;
        let attention = config.attention_spec();
        let backbone = Backbone::new(width, attention, init);
        let (widths, decoder) = (Backbone::<B>::widths(width), 2 * width);
        Segmenter {
            backend: init.backend().clone(),
            backbone,
            attention: AttentionLayer::new(attention, widths[3], init),
            laterals: widths.iter().map(|&w| Conv2d::new([w, decoder], 1, 1, init)).collect(),
            smooth: ConvNormRelu::new([decoder, decoder], 3, 1, init),
            classify: Conv2d::new([decoder, config.classes.len()], 1, 1, init).with_bias(init),
            config,
        }
    }

    /// Where it is computed.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// How it was built.
    pub fn config(&self) -> &SegmenterConfig {
        &self.config
    }

    /// Multiply-adds of all attention for one image of the configured size, forward; see
    /// [`attention_flops`](crate::layers::attention_flops).
    pub fn attention_flops(&self) -> f64 {
        let SegmenterConfig { width, size, .. } = self.config;
        let spec = self.config.attention_spec();
        let last = AttentionSpec { code: AttentionCode { deformable: false, ..spec.code }, ..spec };
        let coarsest = (size.0.div_ceil(16), size.1.div_ceil(16));
        Backbone::<B>::attention_flops(width, spec, size)
            + last.flops(coarsest, Backbone::<B>::widths(width)[3])
    }

    /// Normalised images (N, 3, H, W) to scores (N, classes, H, W).
    #[track_caller]
    pub fn forward(&self, images: &Var<B>, mode: Mode) -> Var<B> {
        let mut features = self.backbone.forward(images, mode);
        let coarsest = features.last_mut().expect("four levels");
        *coarsest = self.attention.forward(coarsest);
        let mut laterals = features.iter().zip(&self.laterals).rev().map(|(x, lateral)| lateral.forward(x));
        let coarsest = laterals.next().expect("four levels");
        let merged = laterals.fold(coarsest, |coarse, fine| add(&resize(&coarse, &fine), &fine));
        let scores = self.classify.forward(&self.smooth.forward(&merged, mode));
        resize(&scores, images)
    }

    /// The energies and weights of every Transformer attention module on the way of `images`, in
    /// evaluation mode.
    pub fn attention_maps(&self, images: &Var<B>) -> Vec<ModuleMaps<B>> {
        let mut all = Vec::new();
        let mut see = |name, layer: &AttentionLayer<B>, x: &Var<B>| {
            let (attended, maps) = layer.forward_with_maps(x);
            all.extend(maps.map(|maps| ModuleMaps::of(name, x, maps)));
            attended
        };
        let x = self.backbone.watched(images, &mut see);
        see(LAST.to_owned(), &self.attention, &x);
        all
    }

    /// Every Transformer attention on the way of `images`, and what it is given, in evaluation mode.
    pub fn attention_inputs(&self, images: &Var<B>) -> Vec<AttentionInput<'_, B>> {
        let (mut inputs, x) = self.backbone.attention_inputs(images);
        let last = self.attention.transformer(&x);
        inputs.extend(last.map(|(attention, queries)| AttentionInput {
            name: LAST.to_owned(),
            attention,
            queries,
            keys: None,
        }));
        inputs
    }
}

/// Where the last attention module is.
const LAST: &str = "after the backbone";

/// What one attention module did on the way of some images.
pub struct ModuleMaps<B: Kernels> {
    /// Where it is: stage and block, or after the backbone.
    pub name: String,
    /// Height and width of the module's map, which queries and keys fill row by row.
    pub size: (usize, usize),
    /// Energies, weights and output per head.
    pub maps: AttentionMaps<B>,
}

impl<B: Kernels> ModuleMaps<B> {
    /// Those of a module that was given `x` (N, C, H, W).
    fn of(name: String, x: &Var<B>, maps: AttentionMaps<B>) -> Self {
        ModuleMaps { name, size: (x.shape()[2], x.shape()[3]), maps }
    }
}

/// Bilinear resizing of `x` to the height and width of `like`.
fn resize<B: Kernels>(x: &Var<B>, like: &Var<B>) -> Var<B> {
    let (h, w) = (like.shape()[2], like.shape()[3]);
    if x.shape()[2..] == [h, w] {
        return x.clone();
    }
    interpolate(x, Resize::Size([h, w]), Interpolation::Bilinear { align_corners: false })
}

impl<B: Kernels> Module<B> for Segmenter<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        self.backbone.visit(parameters);
        parameters.module("attention", &self.attention);
        for (i, lateral) in self.laterals.iter().enumerate() {
            parameters.module(&format!("lateral{i}"), lateral);
        }
        parameters.module("smooth", &self.smooth);
        parameters.module("classify", &self.classify);
    }
}
