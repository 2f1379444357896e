use termwise_autograd::{Module, Parameters, Var};
use termwise_ops::{Kernels, relu};

use super::{
    AttentionInput, AttentionLayer, AttentionSpec, BatchNorm2d, Bottleneck, BottleneckConfig, Conv2d, Mode,
};
use crate::Init;

/// Blocks of a stage.
const BLOCKS: usize = 2;

/// A convolution, its normalisation and a ReLU.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::{ConvNormRelu, Mode}};
/// let layer = ConvNormRelu::new([1, 1], 1, 1, &mut Init::new(Cpu::<f64>::new(), 0));
/// layer.parameters()[0].1.set(Array::host(&[1, 1, 1, 1], vec![2.0])); // the convolution
/// let x = Tape::new(Cpu::new()).constant(Array::host(&[1, 1, 1, 2], vec![1.0, 3.0]));
/// let y = layer.forward(&x, Mode::Train); // 2 and 6, normalised to -1 and 1
/// assert!(y.value().as_slice().iter().zip([0.0, 1.0]).all(|(y, e)| (y - e).abs() < 1e-5));
/// ```
pub struct ConvNormRelu<B: Kernels> {
    conv: Conv2d<B>,
    norm: BatchNorm2d<B>,
}

impl<B: Kernels> ConvNormRelu<B> {
    /// From `channels[0]` to `channels[1]` channels; see [`Conv2d::new`].
    pub fn new(channels: [usize; 2], kernel: usize, stride: usize, init: &mut Init<B>) -> Self {
        ConvNormRelu {
            conv: Conv2d::new(channels, kernel, stride, init),
            norm: BatchNorm2d::new(channels[1], init),
        }
    }

    /// Applies the layers: (N, C, H, W) to (N, O, H / stride, W / stride), rounded up.
    #[track_caller]
    pub fn forward(&self, x: &Var<B>, mode: Mode) -> Var<B> {
        relu(&self.norm.forward(&self.conv.forward(x), mode))
    }
}

impl<B: Kernels> Module<B> for ConvNormRelu<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.module("conv", &self.conv);
        parameters.module("norm", &self.norm);
    }
}

/// What stands in the place of an attention module: it is told where the module is, gets the module and its input, and gives
/// its output.
pub type Attend<'s, 'a, B> = &'s mut dyn FnMut(String, &'a AttentionLayer<B>, &Var<B>) -> Var<B>;

/// A small ResNet with attended residual blocks in its last two stages.
///
/// ```text
/// image -> stem (1/2) -> stage 1 (1/4) -> stage 2 (1/8, attended) -> stage 3 (1/16, attended)
/// ```
///
/// Each stage has two [`Bottleneck`]s, the first of them with stride 2.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_models::{Init, layers::{AttentionSpec, Backbone, Mode}};
/// let spec = AttentionSpec { code: "0000".parse().unwrap(), num_heads: 2, limit_range: false };
/// let backbone = Backbone::new(2, spec, &mut Init::new(Cpu::<f32>::new(), 0));
/// let images = Tape::inference(Cpu::new()).constant(Array::full(&Cpu::new(), &[1, 3, 32, 48], 0.5));
/// let maps = backbone.forward(&images, Mode::Eval);
/// let shapes: Vec<&[usize]> = maps.iter().map(|map| map.shape()).collect();
/// assert_eq!(shapes, [[1, 2, 16, 24], [1, 4, 8, 12], [1, 8, 4, 6], [1, 12, 2, 3]]);
/// let (inputs, last) = backbone.attention_inputs(&images);
/// let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
/// assert_eq!(names, ["stage 2 block 1", "stage 2 block 2", "stage 3 block 1", "stage 3 block 2"]);
/// assert_eq!(last.value().as_slice(), maps[3].value().as_slice());
/// // Two modules each on 4 x 6 positions of 4 channels and on 2 x 3 of 6: values, output, one sum.
/// let count = |n: f64, c: f64| 2.0 * (2.0 * n * c * c + n * c);
/// assert_eq!(Backbone::<Cpu<f32>>::attention_flops(2, spec, (32, 48)), count(24.0, 4.0) + count(6.0, 6.0));
/// ```
pub struct Backbone<B: Kernels> {
    stem: ConvNormRelu<B>,
    stages: Vec<Vec<Bottleneck<B>>>,
}

impl<B: Kernels> Backbone<B> {
    /// Fresh parameters; the stem has `width` channels.
    pub fn new(width: usize, attention: AttentionSpec, init: &mut Init<B>) -> Self {
        let widths = Self::widths(width);
        let mut stages = Vec::new();
        for stage in 1..widths.len() {
            // The last two stages are attended.
            let attention = (stage >= 2).then_some(attention);
            let blocks = (0..BLOCKS).map(|block| {
                let input = if block == 0 { widths[stage - 1] } else { widths[stage] };
                let stride = if block == 0 { 2 } else { 1 };
                let inner = widths[stage] / 2;
                let output = widths[stage];
                Bottleneck::new(BottleneckConfig { input, inner, output, stride, attention }, init)
            });
            stages.push(blocks.collect());
        }
        Backbone { stem: ConvNormRelu::new([3, width], 3, 2, init), stages }
    }

    /// Channels of the stem and of the three stages.
    pub fn widths(width: usize) -> [usize; 4] {
        [width, 2 * width, 4 * width, 6 * width]
    }

    /// What `attention` adds to the multiply-adds of one image of H x W, forward; see [`attention_flops`].
    ///
    /// [`attention_flops`]: super::attention_flops
    pub fn attention_flops(width: usize, attention: AttentionSpec, size: (usize, usize)) -> f64 {
        let halved = |stage: usize| (size.0.div_ceil(2 << stage), size.1.div_ceil(2 << stage));
        let stage = |s: usize| BLOCKS as f64 * attention.flops(halved(s), Self::widths(width)[s] / 2);
        (2..4).map(stage).sum()
    }

    /// The stem.
    pub fn stem(&self) -> &ConvNormRelu<B> {
        &self.stem
    }

    /// The blocks of each stage.
    pub fn stages(&self) -> &[Vec<Bottleneck<B>>] {
        &self.stages
    }

    /// The last map, in evaluation mode, with `attend` in the place of each attention module.
    pub fn watched<'a>(&'a self, images: &Var<B>, attend: Attend<'_, 'a, B>) -> Var<B> {
        let mut x = self.stem.forward(images, Mode::Eval);
        for (s, stage) in self.stages.iter().enumerate() {
            for (b, block) in stage.iter().enumerate() {
                let o = block.before_attention(&x, Mode::Eval);
                let attended = attend(format!("stage {} block {}", s + 1, b + 1), block.attention(), &o);
                x = block.after_attention(&x, &attended, Mode::Eval);
            }
        }
        x
    }

    /// Every Transformer attention on the way of `images`, and what it is given; and the last map.
    pub fn attention_inputs(&self, images: &Var<B>) -> (Vec<AttentionInput<'_, B>>, Var<B>) {
        let mut inputs = Vec::new();
        let last = self.watched(images, &mut |name, layer, x| {
            if let Some((attention, queries)) = layer.transformer(x) {
                inputs.push(AttentionInput { name, attention, queries, keys: None });
            }
            layer.forward(x)
        });
        (inputs, last)
    }

    /// Normalised images (N, 3, H, W) to the maps of the stem and of the stages, from fine to coarse.
    #[track_caller]
    pub fn forward(&self, images: &Var<B>, mode: Mode) -> Vec<Var<B>> {
        let mut features = vec![self.stem.forward(images, mode)];
        for stage in &self.stages {
            let x = stage
                .iter()
                .fold(features.last().expect("the stem").clone(), |x, block| block.forward(&x, mode));
            features.push(x);
        }
        features
    }
}

impl<B: Kernels> Module<B> for Backbone<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.module("stem", &self.stem);
        for (s, stage) in self.stages.iter().enumerate() {
            for (b, block) in stage.iter().enumerate() {
                parameters.module(&format!("stage{}.{b}", s + 1), block);
            }
        }
    }
}
