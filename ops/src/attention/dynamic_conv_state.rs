//! Incremental decoding with causal dynamic and lightweight convolution.

use ndarray::Array1;
use termwise_autograd::{Array, Tape, Var};

use super::dynamic_conv::{DynamicConvKernels, DynamicConvOptions, convolve, predict};
use super::lightweight_conv::lightweight_conv_after;
use crate::{cat, index_select, narrow};

/// What a causal convolution remembers between the steps of incremental decoding: the last
/// `padding_l` steps of its input.
///
/// Feed it the sequence in pieces of any length, one step each as a rule: the outputs, taken
/// together, are those of [`dynamic_conv`](fn@super::dynamic_conv) or
/// [`lightweight_conv`](super::lightweight_conv) on the whole sequence, also for kernels longer than what was
/// fed so far. What is remembered takes no part in differentiation.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::DynamicConvState;
/// let tape = Tape::inference(Cpu::<f64>::new());
/// let weight = tape.constant(Array::host(&[1, 1, 2], vec![10.0, 1.0]));
/// let mut state = DynamicConvState::new();
/// let mut step = |x: f64| {
///     let x = tape.constant(Array::host(&[1, 1, 1], vec![x]));
///     state.lightweight_conv(&x, &weight, None, 1, false).value().item()
/// };
/// assert_eq!([step(1.0), step(2.0), step(3.0)], [1.0, 12.0, 23.0]);
/// ```
pub struct DynamicConvState<B: DynamicConvKernels> {
    /// The last steps of the convolved input, at most `padding_l`. // (.., B, C)
    history: Option<Array<B>>,
}

impl<B: DynamicConvKernels> Default for DynamicConvState<B> {
    fn default() -> Self {
        DynamicConvState::new()
    }
}

impl<B: DynamicConvKernels> DynamicConvState<B> {
    /// The state before the first step.
    pub fn new() -> Self {
        DynamicConvState { history: None }
    }

    /// [`dynamic_conv`](fn@super::dynamic_conv) of the next steps.
    ///
    /// # Panics
    /// If the convolution is not causal (`padding_l < kernel_size - 1`: it would need steps that are
    /// not there yet), the batch or channels differ from those before, or as `dynamic_conv`.
    #[track_caller]
    pub fn dynamic_conv(
        &mut self,
        x: &Var<B>,
        query: Option<&Var<B>>,
        weight_linear: &Var<B>,
        bias: Option<&Var<B>>,
        conv_bias: Option<&Var<B>>,
        options: DynamicConvOptions,
    ) -> Var<B> {
        let (input, logits) = predict(x, query, weight_linear, bias, &options);
        let (input, before) = self.extend(&input, options.kernel_size, options.padding_l);
        convolve(&input, &logits, conv_bias, before, &options)
    }

    /// [`lightweight_conv`](super::lightweight_conv) of the next steps.
    ///
    /// # Panics
    /// As [`dynamic_conv`](DynamicConvState::dynamic_conv).
    #[track_caller]
    pub fn lightweight_conv(
        &mut self,
        x: &Var<B>,
        weight: &Var<B>,
        bias: Option<&Var<B>>,
        padding_l: usize,
        weight_softmax: bool,
    ) -> Var<B> {
        let taps = weight.shape().last().copied().unwrap_or(0);
        let (input, before) = self.extend(x, taps, padding_l);
        lightweight_conv_after(&input, weight, bias, before, padding_l, weight_softmax)
    }

    /// Rearranges the sequences of the batch, as a beam search does: sequence `i` goes on from what
    /// sequence `order[i]` has seen. `order` may repeat, leave out and change the number.
    ///
    /// # Panics
    /// If an entry of `order` is no sequence of the batch.
    #[track_caller]
    pub fn reorder(&mut self, order: &[usize]) {
        let Some(history) = &self.history else { return };
        let history = Tape::inference(history.backend().clone()).constant(history.clone());
        let order = order.iter().map(|&b| b as i64).collect::<Array1<i64>>().into_dyn();
        self.history = Some(index_select(&history, &order, 1).value().clone());
    }

    /// Puts what is remembered in front of `input`, says how many steps that is, and remembers on.
    #[track_caller]
    fn extend(&mut self, input: &Var<B>, taps: usize, padding_l: usize) -> (Var<B>, usize) {
        assert!(
            padding_l + 1 >= taps,
            "DynamicConvState: the convolution must be causal, padding_l >= kernel_size - 1: padding_l is {padding_l}, \
             kernel_size {taps}"
        );
        assert!(input.ndim() == 3, "DynamicConvState: x must be (T, B, C), it is {:?}", input.shape());
        let (extended, before) = match &self.history {
            None => (input.clone(), 0),
            Some(history) => {
                assert!(
                    history.shape()[1..] == input.shape()[1..],
                    "DynamicConvState: batch and channels must stay: x is {:?}, the steps before were (.., {}, {})",
                    input.shape(),
                    history.shape()[1],
                    history.shape()[2]
                );
                (cat(&[&input.tape().constant(history.clone()), input], 0), history.shape()[0])
            }
        };
        let steps = extended.shape()[0];
        let kept = steps.min(padding_l);
        self.history = Some(narrow(&extended.detach(), 0, steps - kept, kept).value().clone());
        (extended, before)
    }
}
