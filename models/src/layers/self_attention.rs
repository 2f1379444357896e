use ndarray::Array2;
use termwise_autograd::{Array, Module, Parameters, Var};
use termwise_ops::{DynamicConvState, Kernels};

use super::transformer_cache::rows_of;
use super::{DeformConv1d, Dropout, DynamicAttention1d, KeyValueCache, LayerNorm, TransformerAttention};

/// How the steps of a sentence look at each other.
pub enum SelfAttention<B: Kernels> {
    /// Transformer attention.
    Transformer(TransformerAttention<B>),
    /// Dynamic convolution.
    Dynamic(DynamicAttention1d<B>),
}

/// What self-attention and the deformable unit before it remember between the steps of decoding.
pub struct SelfAttentionState<B: Kernels> {
    deformable: Option<Array<B>>, // (N, t, C)
    keys: KeyValueCache<B>,
    dynamic: DynamicConvState<B>,
}

impl<B: Kernels> Default for SelfAttentionState<B> {
    fn default() -> Self {
        SelfAttentionState {
            deformable: None,
            keys: KeyValueCache::default(),
            dynamic: DynamicConvState::new(),
        }
    }
}

impl<B: Kernels> SelfAttentionState<B> {
    /// Rearranges the sentences: sentence `i` goes on from what sentence `order[i]` has seen.
    pub fn reorder(&mut self, order: &[usize]) {
        self.deformable = self.deformable.take().map(|array| rows_of(&array, order));
        self.keys.reorder(order);
        self.dynamic.reorder(order);
    }
}

/// Self-attention of a layer with its residuals, normalised before each part:
///
/// ```text
/// x <- x + deformable(norm(x))     where there is a deformable unit
/// x <- x + attention(norm(x))      where there is attention
/// ```
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::Init;
/// use termwise_models::layers::{
///     Dropout, LayerNorm, SelfAttention, SelfAttentionBlock, SelfAttentionState, TransformerAttention,
/// };
/// use termwise_ops::attention::TransformerSettings;
/// let init = &mut Init::new(Cpu::<f64>::new(), 0);
/// let settings = TransformerSettings::transformer_xl("0000".parse().unwrap(), 1, 2);
/// let attention = TransformerAttention::new(2, settings, false, init);
/// for (_, param) in attention.parameters().into_iter().take(2) {
///     param.set(Array::host(&[2, 2], vec![1.0, 0.0, 0.0, 1.0])); // value, output: the mean of the steps so far
/// }
/// let attention = vec![(LayerNorm::new(2, init), SelfAttention::Transformer(attention))];
/// let block = SelfAttentionBlock { deformable: None, attention };
/// // Normalised [-1, 1] and [1, -1], whose means so far are [-1, 1] and [0, 0].
/// let expected = [[1.0 - 1.0, 3.0 + 1.0], [9.0, 5.0]];
/// let tape = Tape::inference(Cpu::new());
/// let near = |y: &[f64], expected: &[f64]| y.iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-4);
/// let x = tape.constant(Array::host(&[1, 2, 2], vec![1.0, 3.0, 9.0, 5.0]));
/// assert!(near(block.forward(&x, None, &Dropout::off()).value().as_slice(), expected.as_flattened()));
/// let mut state = SelfAttentionState::default(); // the same, step by step
/// for (x, expected) in [[1.0, 3.0], [9.0, 5.0]].into_iter().zip(&expected) {
///     let y = block.step(&tape.constant(Array::host(&[1, 1, 2], x.to_vec())), &mut state);
///     assert!(near(y.value().as_slice(), expected));
/// }
/// ```
pub struct SelfAttentionBlock<B: Kernels> {
    /// The deformable unit before it.
    pub deformable: Option<(LayerNorm<B>, DeformConv1d<B>)>,
    /// The attention, one after the other where there are two.
    pub attention: Vec<(LayerNorm<B>, SelfAttention<B>)>,
}

impl<B: Kernels> SelfAttentionBlock<B> {
    /// Applies the block: (N, T, C) to the same shape. `padding` (N, T) is true at what is behind the end of a
    /// sentence.
    #[track_caller]
    pub fn forward(&self, x: &Var<B>, padding: Option<&Array2<bool>>, dropout: &Dropout) -> Var<B> {
        self.watched(x, padding, dropout, &mut |_, _| {})
    }

    /// [`forward`](Self::forward) that shows each Transformer attention and what it is given.
    #[track_caller]
    pub fn watched<'a>(
        &'a self,
        x: &Var<B>,
        padding: Option<&Array2<bool>>,
        dropout: &Dropout,
        see: &mut dyn FnMut(&'a TransformerAttention<B>, &Var<B>),
    ) -> Var<B> {
        self.parts(
            x,
            |unit, x| dropout.apply(&unit.forward(x, padding)),
            |attention, x| {
                dropout.apply(&match attention {
                    SelfAttention::Transformer(attention) => {
                        see(attention, x);
                        attention.forward_1d(x, padding)
                    }
                    SelfAttention::Dynamic(dynamic) => dynamic.forward(x, padding),
                })
            },
        )
    }

    /// The next step (N, 1, C) of sentences of which `state` holds what came before; all steps together give what
    /// [`forward`](Self::forward) gives on the whole. Causal blocks only.
    #[track_caller]
    pub fn step(&self, x: &Var<B>, state: &mut SelfAttentionState<B>) -> Var<B> {
        let SelfAttentionState { deformable, keys, dynamic } = state;
        self.parts(
            x,
            |unit, x| unit.step(x, deformable),
            |attention, x| match attention {
                SelfAttention::Transformer(attention) => attention.step(x, keys),
                SelfAttention::Dynamic(convolution) => convolution.step(x, dynamic),
            },
        )
    }

    fn parts<'a>(
        &'a self,
        x: &Var<B>,
        deform: impl FnOnce(&DeformConv1d<B>, &Var<B>) -> Var<B>,
        mut attend: impl FnMut(&'a SelfAttention<B>, &Var<B>) -> Var<B>,
    ) -> Var<B> {
        let mut x = x.clone();
        if let Some((norm, unit)) = &self.deformable {
            x = termwise_ops::add(&x, &deform(unit, &norm.forward(&x)));
        }
        for (norm, attention) in &self.attention {
            x = termwise_ops::add(&x, &attend(attention, &norm.forward(&x)));
        }
        x
    }
}

impl<B: Kernels> Module<B> for SelfAttentionBlock<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        if let Some((norm, unit)) = &self.deformable {
            parameters.module("deformable_norm", norm);
            parameters.module("deformable", unit);
        }
        let single = self.attention.len() == 1;
        for (norm, attention) in &self.attention {
            let name = match attention {
                SelfAttention::Dynamic(_) if !single => "dynamic",
                _ => "attention",
            };
            parameters.module(&format!("{name}_norm"), norm);
            match attention {
                SelfAttention::Transformer(attention) => parameters.module(name, attention),
                SelfAttention::Dynamic(dynamic) => parameters.module(name, dynamic),
            }
        }
    }
}
