//! Convolution of sequences with a kernel of its own at every step: the sum that dynamic and
//! lightweight convolution share.
//!
//! `y[t, b, c] = sum_k w[t, b, h(c), k] x[t + k - padding_l, b, c]`, `h(c) = c / (C / H)`, `x` zero outside the sequence.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use crate::conv::vector::{axpy, dot};
use crate::par;

/// Convolution of `x` with the kernel `weights` given for every step, sample and head.
///
/// # Formula
/// `y[t, b, c] = sum_k w[t, b, h(c), k] x[t + k - padding_l, b, c]`, `h(c) = c / (C / H)`
///
/// # Shapes
/// `x` (T, B, C), `weights` (T, B, H, K) with H dividing C; `y` (T, B, C). The channels of a head are
/// contiguous. `padding_l` is how many steps back the first tap looks: `K / 2` is centred, `K - 1`
/// causal.
///
/// # Gradient
/// `dw[t, b, h, k] = sum_{c in h} dy[t, b, c] x[t + k - padding_l, b, c]`,
/// `dx[s, b, c] = sum_k w[s - k + padding_l, b, h(c), k] dy[s - k + padding_l, b, c]`
///
/// # Edge cases
/// Taps outside the sequence contribute nothing, also where the kernel is longer than the sequence.
///
/// # Panics
/// If the shapes do not fit.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[2, 1, 1], vec![1.0, 2.0]));
/// let weights = tape.leaf(Array::host(&[2, 1, 1, 2], vec![10.0, 1.0, 30.0, 3.0]));
/// let y = termwise_ops::per_step_conv(&x, &weights, 1);
/// assert_eq!(y.value().as_slice(), [1.0, 36.0]);
/// ```
#[track_caller]
pub fn per_step_conv<B: PerStepConvKernel>(x: &Var<B>, weights: &Var<B>, padding_l: usize) -> Var<B> {
    per_step_conv_after("per_step_conv", x, weights, 0, padding_l)
}

/// [`per_step_conv`] whose outputs start at step `before` of `x`, for kernels (T - before, B, H, K), or
/// one kernel (H, 1, K) for all.
#[track_caller]
pub(super) fn per_step_conv_after<B: PerStepConvKernel>(
    op: &'static str,
    x: &Var<B>,
    weights: &Var<B>,
    before: usize,
    padding_l: usize,
) -> Var<B> {
    let geometry = StepGeometry::new(op, x.shape(), weights.shape(), before, padding_l);
    apply(PerStepConv { op, geometry }, [x, weights])
}

/// Sizes of a convolution of sequences.
#[derive(Clone, Copy, Debug)]
pub struct StepGeometry {
    /// Steps of the output.
    pub steps: usize,
    /// Steps of the input.
    pub inputs: usize,
    /// Sequences.
    pub batch: usize,
    /// Channels, in and out.
    pub channels: usize,
    /// Runs of channels with a kernel of their own.
    pub heads: usize,
    /// Taps of the kernel.
    pub taps: usize,
    /// Step of the input under the first tap of output 0.
    pub first_tap: isize,
    /// Whether all steps and sequences share one kernel (H, 1, K) in place of (T, B, H, K).
    pub shared: bool,
}

impl StepGeometry {
    #[track_caller]
    pub(super) fn new(op: &str, x: &[usize], weights: &[usize], before: usize, padding_l: usize) -> Self {
        let first_tap = before as isize - padding_l as isize;
        let fitting = match (x, weights) {
            (&[inputs, batch, channels], &[steps, b, heads, taps])
                if b == batch && steps + before == inputs =>
            {
                Some(StepGeometry { steps, inputs, batch, channels, heads, taps, first_tap, shared: false })
            }
            (&[inputs, batch, channels], &[heads, 1, taps]) => {
                let steps = inputs - before;
                Some(StepGeometry { steps, inputs, batch, channels, heads, taps, first_tap, shared: true })
            }
            _ => None,
        };
        let whole = |g: &StepGeometry| g.heads > 0 && g.taps > 0 && g.channels.is_multiple_of(g.heads);
        fitting.filter(whole).unwrap_or_else(|| {
            panic!(
                "{op}: x must be (T, B, C) and the kernel (T, B, H, K), or (H, 1, K) for all steps, with H dividing C; \
                 x is {x:?}, the kernel is {weights:?}"
            )
        })
    }

    /// The step of the input under tap `tap` of output `step`, or `None` outside the sequence.
    pub fn input(&self, step: usize, tap: usize) -> Option<usize> {
        step.checked_add_signed(self.first_tap + tap as isize).filter(|&at| at < self.inputs)
    }

    /// The output whose tap `tap` lies on step `input`, or `None` where there is none.
    pub fn output(&self, input: usize, tap: usize) -> Option<usize> {
        input.checked_add_signed(-self.first_tap - tap as isize).filter(|&step| step < self.steps)
    }

    /// Channels of one head.
    pub fn head_channels(&self) -> usize {
        self.channels / self.heads
    }

    /// The kernels of all heads at one step of one sequence. // (H, K)
    fn kernel<'a, T>(&self, weights: &'a [T], step: usize, b: usize) -> &'a [T] {
        let row = if self.shared { 0 } else { step * self.batch + b };
        &weights[row * self.heads * self.taps..][..self.heads * self.taps]
    }

    /// The channels of one head at one step of one sequence.
    fn head<'a, T>(&self, values: &'a [T], step: usize, b: usize, head: usize) -> &'a [T] {
        let len = self.head_channels();
        &values[(step * self.batch + b) * self.channels + head * len..][..len]
    }

    /// Multiplications of one row of outputs.
    fn row_work(&self) -> usize {
        self.batch * self.channels * self.taps
    }
}

struct PerStepConv {
    op: &'static str,
    geometry: StepGeometry,
}

impl<B: PerStepConvKernel> Op<B, 2> for PerStepConv {
    type Saved = (Array<B>, Array<B>);

    fn name(&self) -> &'static str {
        self.op
    }

    fn forward(&self, [x, weights]: [&Array<B>; 2]) -> (Array<B>, Self::Saved) {
        (B::per_step_conv_forward(&self.geometry, x, weights), (x.clone(), weights.clone()))
    }

    fn backward(
        &self,
        (x, weights): &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 2],
    ) -> [Option<Array<B>>; 2] {
        let geometry = &self.geometry;
        [
            // y_t = sum_k w_tk x_{t+k}  =>  dx_s = sum_k w_{s-k,k} dy_{s-k}, dw_tk = <dy_t, x_{t+k}>
            needs[0].then(|| B::per_step_conv_backward_input(geometry, weights, grad_output)),
            needs[1].then(|| {
                B::per_step_conv_backward_weights(geometry, x, grad_output).reshape(weights.shape())
            }),
        ]
    }
}

/// Kernels of [`per_step_conv`], and of lightweight convolution where `geometry.shared`.
pub trait PerStepConvKernel: Backend {
    /// The convolution. // (T, B, C)
    fn per_step_conv_forward(geometry: &StepGeometry, x: &Array<Self>, weights: &Array<Self>) -> Array<Self>;

    /// Gradient in the input.
    fn per_step_conv_backward_input(
        geometry: &StepGeometry,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self>;

    /// Gradient in the kernel, its elements in order. // (T, B, H, K) or (H, K)
    fn per_step_conv_backward_weights(
        geometry: &StepGeometry,
        x: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self>;
}

impl<T: Scalar> PerStepConvKernel for Cpu<T> {
    fn per_step_conv_forward(geometry: &StepGeometry, x: &Array<Self>, weights: &Array<Self>) -> Array<Self> {
        let (x, weights) = (x.as_slice(), weights.as_slice());
        let StepGeometry { steps, batch, channels, heads, taps, .. } = *geometry;
        let len = geometry.head_channels();
        let mut y = vec![T::zero(); steps * batch * channels];
        par::for_each_chunk(&mut y, batch * channels, geometry.row_work(), |step, y| {
            for (tap, input) in (0..taps).filter_map(|tap| Some((tap, geometry.input(step, tap)?))) {
                for (row, y) in y.chunks_mut(len.max(1)).enumerate() {
                    let (b, head) = (row / heads, row % heads);
                    let weight = geometry.kernel(weights, step, b)[head * taps + tap];
                    axpy(weight, geometry.head(x, input, b, head), y);
                }
            }
        });
        Array::host(&[steps, batch, channels], y)
    }

    fn per_step_conv_backward_input(
        geometry: &StepGeometry,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (weights, grad_output) = (weights.as_slice(), grad_output.as_slice());
        let StepGeometry { inputs, batch, channels, heads, taps, .. } = *geometry;
        let len = geometry.head_channels();
        let mut grad = vec![T::zero(); inputs * batch * channels];
        par::for_each_chunk(&mut grad, batch * channels, geometry.row_work(), |input, grad| {
            for (tap, step) in (0..taps).filter_map(|tap| Some((tap, geometry.output(input, tap)?))) {
                for (row, grad) in grad.chunks_mut(len.max(1)).enumerate() {
                    let (b, head) = (row / heads, row % heads);
                    let weight = geometry.kernel(weights, step, b)[head * taps + tap];
                    axpy(weight, geometry.head(grad_output, step, b, head), grad);
                }
            }
        });
        Array::host(&[inputs, batch, channels], grad)
    }

    fn per_step_conv_backward_weights(
        geometry: &StepGeometry,
        x: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (x, grad_output) = (x.as_slice(), grad_output.as_slice());
        let StepGeometry { steps, batch, heads, taps, .. } = *geometry;
        let product = |step: usize, input: usize, b: usize, head: usize| {
            dot(geometry.head(grad_output, step, b, head), geometry.head(x, input, b, head))
        };
        if geometry.shared {
            let mut grad = vec![T::zero(); heads * taps];
            par::for_each_chunk(&mut grad, taps, steps * geometry.row_work() / heads, |head, grad| {
                for step in 0..steps {
                    for (tap, grad) in grad.iter_mut().enumerate() {
                        let Some(input) = geometry.input(step, tap) else { continue };
                        *grad += (0..batch).map(|b| product(step, input, b, head)).sum();
                    }
                }
            });
            return Array::host(&[heads, taps], grad);
        }
        let mut grad = vec![T::zero(); steps * batch * heads * taps];
        par::for_each_chunk(&mut grad, batch * heads * taps, geometry.row_work(), |step, grad| {
            for (row, grad) in grad.chunks_mut(taps).enumerate() {
                for (tap, grad) in grad.iter_mut().enumerate() {
                    if let Some(input) = geometry.input(step, tap) {
                        *grad = product(step, input, row / heads, row % heads);
                    }
                }
            }
        });
        Array::host(&[steps, batch, heads, taps], grad)
    }
}

/// Test cases of [`per_step_conv`]. Shapes are (steps, batch, heads, channels per head, taps).
pub fn cases<B: PerStepConvKernel>() -> Vec<Case<B>> {
    let case = |padding_l: usize, shape: [usize; 5]| {
        Case::new("per_step_conv", format!("padding_l {padding_l}"), &shape, move |shape, samples| {
            let &[steps, batch, heads, per_head, taps] = shape else { return None };
            if heads == 0 || taps == 0 {
                return None;
            }
            let x = ("x", samples.normal(&[steps, batch, heads * per_head]));
            let weights = ("weights", samples.normal(&[steps, batch, heads, taps]));
            Built::new([x, weights], move |v| per_step_conv(&v[0], &v[1], padding_l))
        })
    };
    vec![
        case(0, [1, 1, 1, 1, 1]),
        case(1, [5, 2, 2, 3, 3]),
        case(4, [4, 1, 3, 2, 5]),
        case(3, [2, 2, 1, 3, 7]),
        case(6, [3, 1, 2, 1, 3]),
        case(1, [0, 2, 2, 3, 3]),
    ]
}
