use termwise_autograd::{Module, Param, Parameters, Tape, Var};
use termwise_ops::Kernels;
use termwise_ops::attention::{
    AttentionMaps, Projections, TransformerSettings, attention_1d, attention_2d, attention_2d_with_maps,
};
use termwise_ops::tensor::{add, mul};

use crate::Init;

/// The learned numbers of a Transformer attention on images or on sequences; only those that its terms
/// need exist.
///
/// | parameter | shape | where |
/// |---|---|---|
/// | `query`, `key` | (M d, C) | E1 or E2; E1 or E3 |
/// | `position_x`, `position_y`; `position` | (M d, columns of the embedding) | E2 or E4 |
/// | `key_bias`, `position_bias` | (M, d) | E3; E4 |
/// | `value`; `output`, `output_bias` | (M d, C); (C, M d), (C) | always |
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::{KeyValueCache, TransformerAttention}};
/// use termwise_ops::attention::TransformerSettings;
/// let settings = TransformerSettings::transformer_xl("0010".parse().unwrap(), 1, 2); // causal
/// let layer = TransformerAttention::new(1, settings, false, &mut Init::new(Cpu::<f64>::new(), 0));
/// let names: Vec<String> = layer.parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["key", "key_bias", "value", "output", "output_bias"]);
/// for (i, value) in [1.0, 0.0, 1.0, 1.0].into_iter().enumerate() {
///     let param = layer.parameters()[i].1; // a bias of 0: all keys count the same
///     param.set(Array::full(&Cpu::new(), &param.shape(), value));
/// }
/// let tape = Tape::new(Cpu::new());
/// let x = tape.constant(Array::host(&[1, 3, 1], vec![1.0, 2.0, 6.0]));
/// let means = [1.0, 1.5, 3.0]; // of all steps so far
/// let y = layer.forward_1d(&x, None);
/// assert!(y.value().as_slice().iter().zip(means).all(|(y, mean)| (y - mean).abs() < 1e-12));
/// let mut cache = KeyValueCache::default(); // step by step
/// for (x, mean) in [1.0, 2.0, 6.0].into_iter().zip(means) {
///     let y = layer.step(&tape.constant(Array::host(&[1, 1, 1], vec![x])), &mut cache);
///     assert!((y.value().item() - mean).abs() < 1e-12);
/// }
/// ```
pub struct TransformerAttention<B: Kernels> {
    settings: TransformerSettings,
    query: Option<Param<B>>,
    key: Option<Param<B>>,
    positions: Vec<Param<B>>,
    key_bias: Option<Param<B>>,
    position_bias: Option<Param<B>>,
    value: Param<B>,
    output: Param<B>,
    output_bias: Option<Param<B>>,
}

/// A Transformer attention inside of a network, and what it is given there: for figures.
pub struct AttentionInput<'a, B: Kernels> {
    /// Where it is.
    pub name: String,
    /// The attention.
    pub attention: &'a TransformerAttention<B>,
    /// What the queries come from: (N, C, H, W) on images, (N, Q, C) on sequences.
    pub queries: Var<B>,
    /// What the keys come from, where that is another sequence. (N, K, C)
    pub keys: Option<Var<B>>,
}

impl<B: Kernels> TransformerAttention<B> {
    /// For `channels` in and out, in heads of `channels / num_heads` (rounded down); `image` tells
    /// the layout of the relative positions.
    pub fn new(channels: usize, settings: TransformerSettings, image: bool, init: &mut Init<B>) -> Self {
        let (terms, heads) = (settings.terms, settings.num_heads);
        let head_dim = channels / heads;
        let inner = heads * head_dim;
        let (tables, columns) = settings.position_projections(image);
        let tables = if terms.uses_position() { tables } else { 0 };
        TransformerAttention {
            query: terms.uses_query().then(|| init.xavier(&[inner, channels])),
            key: terms.uses_key().then(|| init.xavier(&[inner, channels])),
            positions: (0..tables).map(|_| init.xavier(&[inner, columns])).collect(),
            key_bias: terms.key.then(|| init.normal(&[heads, head_dim], 1.0 / (head_dim as f64).sqrt())),
            position_bias: terms
                .position
                .then(|| init.normal(&[heads, head_dim], 1.0 / (head_dim as f64).sqrt())),
            value: init.xavier(&[inner, channels]),
            output: init.xavier(&[channels, inner]),
            output_bias: Some(init.constant(&[channels], 0.0)),
            settings,
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &TransformerSettings {
        &self.settings
    }

    /// The parameters as leaves on `tape`.
    pub fn projections(&self, tape: &Tape<B>) -> Projections<B> {
        let var = |param: &Option<Param<B>>| param.as_ref().map(|param| param.var(tape));
        Projections {
            query: var(&self.query),
            key: var(&self.key),
            positions: self.positions.iter().map(|param| param.var(tape)).collect(),
            key_bias: var(&self.key_bias),
            position_bias: var(&self.position_bias),
            value: self.value.var(tape),
            output: self.output.var(tape),
            output_bias: var(&self.output_bias),
        }
    }

    /// Attention over an image (N, C, H, W), without residual: [`attention_2d`].
    #[track_caller]
    pub fn forward_2d(&self, x: &Var<B>) -> Var<B> {
        attention_2d(x, &self.projections(x.tape()), &self.settings)
    }

    /// Attention within a sequence (N, T, C), without residual: [`attention_1d`]. `key_padding` (N, T) is true at keys
    /// that nobody sees.
    #[track_caller]
    pub fn forward_1d(&self, x: &Var<B>, key_padding: Option<&ndarray::Array2<bool>>) -> Var<B> {
        attention_1d(x, None, &self.projections(x.tape()), &self.settings, key_padding)
    }

    /// Attention from a sequence `z` (N, Q, C) to another `x` (N, K, C), without residual. `key_padding` (N, K) as in
    /// [`forward_1d`](Self::forward_1d).
    #[track_caller]
    pub fn forward_cross(
        &self,
        z: &Var<B>,
        x: &Var<B>,
        key_padding: Option<&ndarray::Array2<bool>>,
    ) -> Var<B> {
        attention_1d(z, Some(x), &self.projections(z.tape()), &self.settings, key_padding)
    }
}

impl<B: Kernels> Module<B> for TransformerAttention<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        let named = [("query", &self.query), ("key", &self.key)];
        let biases = [("key_bias", &self.key_bias), ("position_bias", &self.position_bias)];
        for (name, param) in named {
            param.iter().for_each(|param| parameters.param(name, param));
        }
        let names: &[&str] =
            if self.positions.len() == 2 { &["position_x", "position_y"] } else { &["position"] };
        for (name, param) in names.iter().zip(&self.positions) {
            parameters.param(name, param);
        }
        for (name, param) in biases {
            param.iter().for_each(|param| parameters.param(name, param));
        }
        parameters.param("value", &self.value);
        parameters.param("output", &self.output);
        self.output_bias.iter().for_each(|param| parameters.param("output_bias", param));
    }
}

/// The attention module of an attended residual block: `y = gamma * attention(x) + x`, with `gamma` a
/// learned number that starts at 0, so that the module starts as the identity.
///
/// ```
/// use termwise_autograd::{Cpu, Module, Tape, gradcheck::Samples};
/// use termwise_models::{Init, layers::TransformerAttention2d};
/// use termwise_ops::attention::TransformerSettings;
/// let settings = TransformerSettings::paper("0110".parse().unwrap(), 2, 8);
/// let layer = TransformerAttention2d::new(8, settings, &mut Init::new(Cpu::<f64>::new(), 0));
/// let names: Vec<String> = layer.parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["query", "key", "position_x", "position_y", "key_bias", "value", "output", "output_bias", "gamma"]);
/// let tape = Tape::new(Cpu::new());
/// let x = tape.leaf(Samples::new(1).normal(&[1, 8, 3, 5]).into());
/// assert_eq!(layer.forward(&x).value().as_slice(), x.value().as_slice()); // gamma is 0
/// let (_, maps) = layer.forward_with_maps(&x);
/// assert_eq!(maps.weights.shape(), [1, 2, 15, 15]); // heads, queries, keys
/// for row in maps.weights.as_slice().chunks(15) {
///     assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
/// }
/// ```
pub struct TransformerAttention2d<B: Kernels> {
    attention: TransformerAttention<B>,
    gamma: Param<B>,
}

impl<B: Kernels> TransformerAttention2d<B> {
    /// For `channels` in and out.
    pub fn new(channels: usize, settings: TransformerSettings, init: &mut Init<B>) -> Self {
        let attention = TransformerAttention::new(channels, settings, true, init);
        TransformerAttention2d { attention, gamma: init.constant(&[1], 0.0) }
    }

    /// Its attention, without `gamma` and the residual.
    pub fn attention(&self) -> &TransformerAttention<B> {
        &self.attention
    }

    /// Applies the module: (N, C, H, W) to the same shape.
    #[track_caller]
    pub fn forward(&self, x: &Var<B>) -> Var<B> {
        add(&mul(&self.attention.forward_2d(x), &self.gamma.var(x.tape())), x)
    }

    /// [`forward`](Self::forward) that also captures the energies and weights per head.
    #[track_caller]
    pub fn forward_with_maps(&self, x: &Var<B>) -> (Var<B>, AttentionMaps<B>) {
        let projections = self.attention.projections(x.tape());
        let (o, maps) = attention_2d_with_maps(x, &projections, self.attention.settings());
        (add(&mul(&o, &self.gamma.var(x.tape())), x), maps)
    }
}

impl<B: Kernels> Module<B> for TransformerAttention2d<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        self.attention.visit(parameters);
        parameters.param("gamma", &self.gamma);
    }
}
