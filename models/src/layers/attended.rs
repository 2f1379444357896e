use termwise_autograd::{Module, Parameters, Var};
use termwise_ops::attention::{AttentionCode, AttentionMaps, AttentionModule, Range, TransformerSettings};
use termwise_ops::tensor::add;
use termwise_ops::{Kernels, relu};

use super::{
    BatchNorm2d, Conv2d, DeformConv2d, DynamicAttention2d, Extent, Mode, TransformerAttention,
    TransformerAttention2d, attention_flops,
};
use crate::Init;

/// The spatial convolution of a residual block: regular or deformable.
pub enum SpatialConv<B: Kernels> {
    /// Regular convolution.
    Regular(Conv2d<B>),
    /// Deformable convolution in its place.
    Deformable(DeformConv2d<B>),
}

impl<B: Kernels> SpatialConv<B> {
    fn forward(&self, x: &Var<B>) -> Var<B> {
        match self {
            SpatialConv::Regular(conv) => conv.forward(x),
            SpatialConv::Deformable(conv) => conv.forward(x),
        }
    }
}

impl<B: Kernels> Module<B> for SpatialConv<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        match self {
            SpatialConv::Regular(conv) => conv.visit(parameters),
            SpatialConv::Deformable(conv) => conv.visit(parameters),
        }
    }
}

/// The module of an attended residual block: `y = gamma * attention(x) + x`, or nothing at all.
///
/// `gamma` starts at 0, so that a fresh module is the identity.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::{AttentionLayer, AttentionSpec}};
/// let layer = |code: &str| {
///     let spec = AttentionSpec { code: code.parse().unwrap(), num_heads: 2, limit_range: false };
///     AttentionLayer::new(spec, 4, &mut Init::new(Cpu::<f64>::new(), 0))
/// };
/// let x = Tape::new(Cpu::new()).constant(Array::full(&Cpu::new(), &[1, 4, 2, 3], 7.0));
/// let seen = |code: &str| {
///     let layer = layer(code);
///     let (y, maps) = layer.forward_with_maps(&x);
///     assert_eq!(y.value().as_slice(), [7.0; 24], "{code}");
///     maps.map(|maps| maps.weights.as_slice().to_vec())
/// };
/// assert_eq!(seen("w/o"), None);
/// assert_eq!(seen("dynamic"), None);
/// // Of equal keys each gets a sixth: in two heads, one row of six for all queries.
/// for code in ["0010", "0010+dynamic"] {
///     let weights = seen(code).unwrap();
///     assert!(weights.len() == 12 && weights.iter().all(|weight| (weight - 1.0 / 6.0).abs() < 1e-12));
/// }
/// ```
pub enum AttentionLayer<B: Kernels> {
    /// No module ("w/o").
    None,
    /// Transformer attention.
    Transformer(TransformerAttention2d<B>),
    /// Dynamic convolution.
    Dynamic(DynamicAttention2d<B>),
    /// Dynamic convolution, and Transformer attention behind it.
    DynamicTransformer(Box<(DynamicAttention2d<B>, TransformerAttention2d<B>)>),
}

/// The attention of a network of images: which, in how many heads, how far.
///
/// ```
/// use termwise_models::layers::AttentionSpec;
/// let spec = AttentionSpec { code: "0000".parse().unwrap(), num_heads: 4, limit_range: false };
/// // Twelve positions of eight channels: values and output, and one sum over the keys for all queries.
/// assert_eq!(spec.flops((3, 4), 8), 2.0 * 12.0 * 64.0 + 12.0 * 8.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSpec {
    /// The mechanism.
    pub code: AttentionCode,
    /// Heads of Transformer attention, kernel groups of dynamic convolution.
    pub num_heads: usize,
    /// Whether Transformer attention sees no further than dynamic convolution would.
    pub limit_range: bool,
}

/// Taps of dynamic convolution on images, in each direction.
const DYNAMIC_KERNEL: usize = 3;

impl AttentionSpec {
    /// See [`attention_flops`], on a map of H x W with `channels`.
    pub fn flops(&self, (height, width): (usize, usize), channels: usize) -> f64 {
        let sizes = [channels, self.num_heads, DYNAMIC_KERNEL];
        attention_flops(self.code, Extent::Image(height, width), sizes, self.limit_range)
    }
}

impl<B: Kernels> AttentionLayer<B> {
    /// The module that `spec` names, for `channels`; a deformable convolution is not part of it.
    ///
    /// # Panics
    /// If the code has Transformer attention and there is no head.
    pub fn new(spec: AttentionSpec, channels: usize, init: &mut Init<B>) -> Self {
        let AttentionSpec { code, num_heads, limit_range } = spec;
        let transformer = |terms, init: &mut _| {
            let settings = TransformerSettings {
                range: limit_range.then_some(Range::Symmetric(DYNAMIC_KERNEL / 2)),
                ..TransformerSettings::mmcv(terms, num_heads, channels.next_multiple_of(4))
            };
            TransformerAttention2d::new(channels, settings, init)
        };
        let dynamic = |init: &mut _| DynamicAttention2d::new(channels, num_heads, DYNAMIC_KERNEL, init);
        match code.module {
            AttentionModule::None => AttentionLayer::None,
            AttentionModule::Transformer(terms) => AttentionLayer::Transformer(transformer(terms, init)),
            AttentionModule::Dynamic => AttentionLayer::Dynamic(dynamic(init)),
            AttentionModule::DynamicTransformer(terms) => {
                AttentionLayer::DynamicTransformer(Box::new((dynamic(init), transformer(terms, init))))
            }
        }
    }

    /// Applies the module: (N, C, H, W) to the same shape.
    #[track_caller]
    pub fn forward(&self, x: &Var<B>) -> Var<B> {
        match self {
            AttentionLayer::None => x.clone(),
            AttentionLayer::Transformer(module) => module.forward(x),
            AttentionLayer::Dynamic(module) => module.forward(x),
            AttentionLayer::DynamicTransformer(both) => both.1.forward(&both.0.forward(x)),
        }
    }

    /// Its Transformer attention, where it has one, and what that is given where the module is given `x`.
    pub fn transformer(&self, x: &Var<B>) -> Option<(&TransformerAttention<B>, Var<B>)> {
        match self {
            AttentionLayer::Transformer(module) => Some((module.attention(), x.clone())),
            AttentionLayer::DynamicTransformer(both) => Some((both.1.attention(), both.0.forward(x))),
            AttentionLayer::None | AttentionLayer::Dynamic(_) => None,
        }
    }

    /// As [`forward`](Self::forward), with what its Transformer attention did, where it has one.
    #[track_caller]
    pub fn forward_with_maps(&self, x: &Var<B>) -> (Var<B>, Option<AttentionMaps<B>>) {
        let (y, maps) = match self {
            AttentionLayer::Transformer(module) => module.forward_with_maps(x),
            AttentionLayer::DynamicTransformer(both) => both.1.forward_with_maps(&both.0.forward(x)),
            AttentionLayer::None | AttentionLayer::Dynamic(_) => return (self.forward(x), None),
        };
        (y, Some(maps))
    }
}

impl<B: Kernels> Module<B> for AttentionLayer<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        match self {
            AttentionLayer::None => {}
            AttentionLayer::Transformer(module) => module.visit(parameters),
            AttentionLayer::Dynamic(module) => module.visit(parameters),
            AttentionLayer::DynamicTransformer(both) => {
                parameters.module("dynamic", &both.0);
                parameters.module("transformer", &both.1);
            }
        }
    }
}

/// Widths and mechanism of a [`Bottleneck`].
#[derive(Clone, Copy, Debug)]
pub struct BottleneckConfig {
    /// Channels in.
    pub input: usize,
    /// Channels between the two 1x1 convolutions, where the attention works.
    pub inner: usize,
    /// Channels out.
    pub output: usize,
    /// Stride of the 3x3 convolution.
    pub stride: usize,
    /// Its attention, or `None` for a plain block.
    pub attention: Option<AttentionSpec>,
}

/// The attended residual block of the paper's Fig. 2: a ResNet bottleneck with the attention module
/// after its 3x3 convolution, which may be deformable.
///
/// ```text
/// x -> 1x1 -> 3x3 (or deformable) -> [o -> gamma attention(o) + o] -> 1x1 -> (+ x) -> ReLU
/// ```
///
/// Each convolution is followed by batch normalisation; x is projected where its shape changes.
///
/// The last normalisation starts with a scale of 0: a fresh block of one shape is `relu(x)`.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_models::{Init, layers::{AttentionSpec, Bottleneck, BottleneckConfig, Mode}};
/// let code = "0110+deformable".parse().unwrap();
/// let attention = Some(AttentionSpec { code, num_heads: 2, limit_range: false });
/// let config = BottleneckConfig { input: 2, inner: 4, output: 2, stride: 1, attention };
/// let block = Bottleneck::new(config, &mut Init::new(Cpu::<f64>::new(), 0));
/// let x = Tape::new(Cpu::new()).constant(Array::host(&[1, 2, 1, 2], vec![1.0, -2.0, -3.0, 4.0]));
/// assert_eq!(block.forward(&x, Mode::Eval).value().as_slice(), [1.0, 0.0, 0.0, 4.0]);
/// ```
pub struct Bottleneck<B: Kernels> {
    reduce: (Conv2d<B>, BatchNorm2d<B>),
    spatial: (SpatialConv<B>, BatchNorm2d<B>),
    attention: AttentionLayer<B>,
    expand: (Conv2d<B>, BatchNorm2d<B>),
    shortcut: Option<(Conv2d<B>, BatchNorm2d<B>)>,
}

impl<B: Kernels> Bottleneck<B> {
    /// A block with fresh parameters.
    pub fn new(config: BottleneckConfig, init: &mut Init<B>) -> Self {
        let BottleneckConfig { input, inner, output, stride, attention } = config;
        let deformable = attention.is_some_and(|spec| spec.code.deformable);
        let spatial = if deformable {
            SpatialConv::Deformable(DeformConv2d::new([inner, inner], 3, stride, init))
        } else {
            SpatialConv::Regular(Conv2d::new([inner, inner], 3, stride, init))
        };
        let reshaped = stride != 1 || input != output;
        Bottleneck {
            reduce: (Conv2d::new([input, inner], 1, 1, init), BatchNorm2d::new(inner, init)),
            spatial: (spatial, BatchNorm2d::new(inner, init)),
            attention: attention.map_or(AttentionLayer::None, |spec| AttentionLayer::new(spec, inner, init)),
            expand: (Conv2d::new([inner, output], 1, 1, init), BatchNorm2d::new(output, init).zeroed(init)),
            shortcut: reshaped
                .then(|| (Conv2d::new([input, output], 1, stride, init), BatchNorm2d::new(output, init))),
        }
    }

    /// The attention module.
    pub fn attention(&self) -> &AttentionLayer<B> {
        &self.attention
    }

    /// Applies the block: (N, C, H, W) to (N, O, H / stride, W / stride).
    #[track_caller]
    pub fn forward(&self, x: &Var<B>, mode: Mode) -> Var<B> {
        let o = self.attention.forward(&self.before_attention(x, mode));
        self.after_attention(x, &o, mode)
    }

    /// What the attention module gets to see.
    pub fn before_attention(&self, x: &Var<B>, mode: Mode) -> Var<B> {
        let o = relu(&self.reduce.1.forward(&self.reduce.0.forward(x), mode));
        relu(&self.spatial.1.forward(&self.spatial.0.forward(&o), mode))
    }

    /// The block's output from its input `x` and the output `o` of its attention module.
    pub fn after_attention(&self, x: &Var<B>, o: &Var<B>, mode: Mode) -> Var<B> {
        let o = self.expand.1.forward(&self.expand.0.forward(o), mode);
        let shortcut = match &self.shortcut {
            Some((conv, norm)) => norm.forward(&conv.forward(x), mode),
            None => x.clone(),
        };
        relu(&add(&o, &shortcut))
    }
}

impl<B: Kernels> Module<B> for Bottleneck<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.module("reduce", &self.reduce.0);
        parameters.module("reduce_norm", &self.reduce.1);
        parameters.module("spatial", &self.spatial.0);
        parameters.module("spatial_norm", &self.spatial.1);
        parameters.module("attention", &self.attention);
        parameters.module("expand", &self.expand.0);
        parameters.module("expand_norm", &self.expand.1);
        if let Some((conv, norm)) = &self.shortcut {
            parameters.module("shortcut", conv);
            parameters.module("shortcut_norm", norm);
        }
    }
}
