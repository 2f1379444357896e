//! Convolution of sequences with a kernel of its own at every step: the sum that dynamic and
//! lightweight convolution share.
//!
//! `y[t, b, c] = sum_k w[t, b, h(c), k] x[t + k - padding_l, b, c]`, `h(c) = c / (C / H)`, `x` zero outside the sequence.

use std::ops::Range;

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::conv_cpu::steps::{self, StepKernels};
use super::conv_cpu::steps_backward;

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

    /// Shape of the output (T, B, C).
    pub fn output_shape(&self) -> [usize; 3] {
        [self.steps, self.batch, self.channels]
    }

    /// Channels of one head.
    pub fn head_channels(&self) -> usize {
        self.channels / self.heads
    }

    /// The taps of output `step` that lie within the sequence.
    pub fn taps_inside(&self, step: usize) -> Range<usize> {
        let origin = step as isize + self.first_tap;
        let before = |bound: usize| (bound as isize - origin).clamp(0, self.taps as isize).unsigned_abs();
        before(0)..before(self.inputs).max(before(0))
    }

    /// Where the kernel of one head at one step of one sequence lies in all of them.
    pub(super) fn kernel_at(&self, step: usize, b: usize, head: usize) -> usize {
        let row = if self.shared { 0 } else { step * self.batch + b };
        (row * self.heads + head) * self.taps
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
        // y_t = sum_k w_tk x_{t+k}  =>  dx_s = sum_k w_{s-k,k} dy_{s-k}, dw_tk = <dy_t, x_{t+k}>
        B::per_step_conv_backward(&self.geometry, x, weights, grad_output, needs)
    }
}

/// Kernels of [`per_step_conv`], and of lightweight convolution where `geometry.shared`.
pub trait PerStepConvKernel: Backend {
    /// The convolution. // (T, B, C)
    fn per_step_conv_forward(geometry: &StepGeometry, x: &Array<Self>, weights: &Array<Self>) -> Array<Self>;

    /// Gradients in input and kernel, those that are needed.
    fn per_step_conv_backward(
        geometry: &StepGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2];
}

impl<T: Scalar> PerStepConvKernel for Cpu<T> {
    fn per_step_conv_forward(geometry: &StepGeometry, x: &Array<Self>, weights: &Array<Self>) -> Array<Self> {
        let kernels = StepKernels::Given(weights.as_slice());
        let (y, _) = steps::forward(simd::isa(), geometry, x.as_slice(), kernels);
        Array::from_buffer(&geometry.output_shape(), y)
    }

    fn per_step_conv_backward(
        geometry: &StepGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let (kernels, cotangent) = (weights.as_slice(), grad_output.as_slice());
        let [grad_x, grad_weights] =
            steps_backward::backward(simd::isa(), geometry, x.as_slice(), kernels, false, cotangent, needs);
        [
            grad_x.map(|grad| Array::from_buffer(x.shape(), grad)),
            grad_weights.map(|grad| Array::from_buffer(weights.shape(), grad)),
        ]
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
