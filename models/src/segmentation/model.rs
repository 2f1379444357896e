//! The segmenter: a small ResNet with attended residual blocks in its last two stages, and a decoder
//! that sums its stages from coarse to fine.

use serde::{Deserialize, Serialize};
use termwise_autograd::{Module, Parameters, Var};
use termwise_ops::attention::{AttentionCode, AttentionMaps};
use termwise_ops::spatial::{Interpolation, Resize, interpolate};
use termwise_ops::{Kernels, add};

use crate::Init;
use crate::layers::{AttentionLayer, Backbone, Conv2d, ConvNormRelu, Mode};

/// Everything needed to build a [`Segmenter`] again and to use it: the architecture of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmenterConfig {
    /// Always `"segmentation"`; tells the checkpoints of different tasks apart.
    pub task: SegmentationTask,
    /// The mechanism in the last two stages.
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
/// image -> stem (1/2) -> stage 1 (1/4) -> stage 2 (1/8, attended) -> stage 3 (1/16, attended)
/// scores <- x2 <- 3x3 <- (+) <--- 1x1 <-----(+)<--- 1x1 <---------------(+)<--- 1x1
/// ```
pub struct Segmenter<B: Kernels> {
    config: SegmenterConfig,
    backbone: Backbone<B>,
    laterals: Vec<Conv2d<B>>,
    smooth: ConvNormRelu<B>,
    classify: Conv2d<B>,
}

impl<B: Kernels> Segmenter<B> {
    /// A segmenter with fresh parameters.
    pub fn new(config: SegmenterConfig, init: &mut Init<B>) -> Self {
        let width = config.width;
        let backbone = Backbone::new(width, config.attention, config.num_heads, init);
        let decoder = 2 * width;
        Segmenter {
            backbone,
            laterals: Backbone::<B>::widths(width)
                .iter()
                .map(|&w| Conv2d::new([w, decoder], 1, 1, init))
                .collect(),
            smooth: ConvNormRelu::new([decoder, decoder], 3, 1, init),
            classify: Conv2d::new([decoder, config.classes.len()], 1, 1, init).with_bias(init),
            config,
        }
    }

    /// How it was built.
    pub fn config(&self) -> &SegmenterConfig {
        &self.config
    }

    /// Normalised images (N, 3, H, W) to scores (N, classes, H, W).
    #[track_caller]
    pub fn forward(&self, images: &Var<B>, mode: Mode) -> Var<B> {
        let features = self.backbone.forward(images, mode);
        let mut laterals = features.iter().zip(&self.laterals).rev().map(|(x, lateral)| lateral.forward(x));
        let coarsest = laterals.next().expect("four levels");
        let merged = laterals.fold(coarsest, |coarse, fine| add(&resize(&coarse, &fine), &fine));
        let scores = self.classify.forward(&self.smooth.forward(&merged, mode));
        resize(&scores, images)
    }

    /// The energies and weights of every Transformer attention module on the way of `images`, in
    /// evaluation mode.
    pub fn attention_maps(&self, images: &Var<B>) -> Vec<ModuleMaps<B>> {
        let mut x = self.backbone.stem().forward(images, Mode::Eval);
        let mut all = Vec::new();
        for (s, stage) in self.backbone.stages().iter().enumerate() {
            for (b, block) in stage.iter().enumerate() {
                let o = block.before_attention(&x, Mode::Eval);
                let attended = match block.attention() {
                    AttentionLayer::Transformer(module) => {
                        let (attended, maps) = module.forward_with_maps(&o);
                        let (name, size) =
                            (format!("stage {} block {}", s + 1, b + 1), (o.shape()[2], o.shape()[3]));
                        all.push(ModuleMaps { name, size, maps });
                        attended
                    }
                    module => module.forward(&o),
                };
                x = block.after_attention(&x, &attended, Mode::Eval);
            }
        }
        all
    }
}

/// What one attention module did on the way of some images.
pub struct ModuleMaps<B: Kernels> {
    /// Stage and block.
    pub name: String,
    /// Height and width of the module's map, which queries and keys fill row by row.
    pub size: (usize, usize),
    /// Energies, weights and output per head.
    pub maps: AttentionMaps<B>,
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
        for (i, lateral) in self.laterals.iter().enumerate() {
            parameters.module(&format!("lateral{i}"), lateral);
        }
        parameters.module("smooth", &self.smooth);
        parameters.module("classify", &self.classify);
    }
}
