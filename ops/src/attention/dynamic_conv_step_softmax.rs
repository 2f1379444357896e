//! Softmax of predicted kernels and convolution of sequences with them, in one operation.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

pub use super::conv_cpu::steps::TapRange;
use super::conv_cpu::steps::{self, StepKernels};
use super::conv_cpu::steps_backward;
use super::dynamic_conv_per_step::StepGeometry;

/// `y[t, b, c] = sum_k w[t, b, h(c), k] x[t + k - padding_l, b, c]`, `w = softmax_k(logits)`, the outputs starting at
/// step `before` of `x`.
///
/// # Shapes
/// `x` (T, B, C), `logits` (T - before, B, H, K) with H dividing C; `y` (T - before, B, C).
///
/// # Gradient
/// That of [`per_step_conv`](super::per_step_conv) and of the softmax, `ds_k = w_k (dw_k - sum_j w_j dw_j)`.
///
/// # Edge cases
/// With [`TapRange::Inside`] the softmax runs over the taps with `0 <= t + k - padding_l < T`; where there is none
/// all weights are 0.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub(super) fn softmax_conv_after<B: SoftmaxConvKernel>(
    op: &'static str,
    x: &Var<B>,
    logits: &Var<B>,
    before: usize,
    padding_l: usize,
    range: TapRange,
) -> Var<B> {
    assert!(logits.ndim() == 4, "{op}: logits must be (T, B, H, K), they are {:?}", logits.shape());
    let geometry = StepGeometry::new(op, x.shape(), logits.shape(), before, padding_l);
    apply(SoftmaxConv { op, geometry, range }, [x, logits])
}

struct SoftmaxConv {
    op: &'static str,
    geometry: StepGeometry,
    range: TapRange,
}

impl<B: SoftmaxConvKernel> Op<B, 2> for SoftmaxConv {
    /// The input and the weights.
    type Saved = [Array<B>; 2];

    fn name(&self) -> &'static str {
        self.op
    }

    fn forward(&self, [x, logits]: [&Array<B>; 2]) -> (Array<B>, Self::Saved) {
        let (y, weights) = B::softmax_conv_forward(&self.geometry, x, logits, self.range);
        (y, [x.clone(), weights])
    }

    fn backward(
        &self,
        [x, weights]: &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 2],
    ) -> [Option<Array<B>>; 2] {
        // y_t = sum_k w_tk x_{t+k}  =>  dx_s = sum_k w_{s-k,k} dy_{s-k}, dw_tk = <dy_t, x_{t+k}>
        // w = softmax(s)            =>  ds_k = w_k (dw_k - sum_j w_j dw_j), and w_k = 0 outside
        B::softmax_conv_backward(&self.geometry, x, weights, grad_output, needs)
    }
}

/// Kernels of dynamic convolution of sequences.
pub trait SoftmaxConvKernel: Backend {
    /// The convolution (T, B, C) and the weights (T, B, H, K).
    fn softmax_conv_forward(
        geometry: &StepGeometry,
        x: &Array<Self>,
        logits: &Array<Self>,
        range: TapRange,
    ) -> (Array<Self>, Array<Self>);

    /// Gradients in input and logits, those that are needed.
    fn softmax_conv_backward(
        geometry: &StepGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2];
}

impl<T: Scalar> SoftmaxConvKernel for Cpu<T> {
    fn softmax_conv_forward(
        geometry: &StepGeometry,
        x: &Array<Self>,
        logits: &Array<Self>,
        range: TapRange,
    ) -> (Array<Self>, Array<Self>) {
        let kernels = StepKernels::Softmax(logits.as_slice(), range);
        let (y, weights) = steps::forward(simd::isa(), geometry, x.as_slice(), kernels);
        let weights = weights.expect("kernels are made from logits");
        (Array::from_buffer(&geometry.output_shape(), y), Array::from_buffer(logits.shape(), weights))
    }

    fn softmax_conv_backward(
        geometry: &StepGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let (kernels, cotangent) = (weights.as_slice(), grad_output.as_slice());
        let [grad_x, grad_logits] =
            steps_backward::backward(simd::isa(), geometry, x.as_slice(), kernels, true, cotangent, needs);
        [
            grad_x.map(|grad| Array::from_buffer(x.shape(), grad)),
            grad_logits.map(|grad| Array::from_buffer(weights.shape(), grad)),
        ]
    }
}

/// Test cases. Shapes are (steps, batch, heads, channels per head, taps).
pub fn cases<B: SoftmaxConvKernel>() -> Vec<Case<B>> {
    let case = |padding_l: usize, before: usize, range: TapRange, scale: f64, shape: [usize; 5]| {
        let label = format!("padding_l {padding_l}, before {before}, {range:?}, scale {scale}");
        Case::new("softmax_conv", label, &shape, move |shape, samples| {
            let &[steps, batch, heads, per_head, taps] = shape else { return None };
            if heads == 0 || taps == 0 {
                return None;
            }
            let x = ("x", samples.normal(&[before + steps, batch, heads * per_head]));
            let logits = ("logits", samples.normal(&[steps, batch, heads, taps]) * scale);
            Built::new([x, logits], move |v| {
                softmax_conv_after("softmax_conv", &v[0], &v[1], before, padding_l, range)
            })
        })
    };
    vec![
        case(0, 0, TapRange::All, 1.0, [1, 1, 1, 1, 1]),
        case(1, 0, TapRange::All, 1.0, [5, 2, 2, 3, 3]),
        case(3, 2, TapRange::All, 1.0, [4, 2, 1, 2, 4]),
        case(1, 0, TapRange::Inside, 1.0, [4, 2, 2, 1, 3]),
        case(4, 0, TapRange::Inside, 30.0, [3, 1, 2, 2, 5]),
        case(7, 0, TapRange::Inside, 1.0, [4, 1, 1, 2, 3]),
        case(1, 0, TapRange::All, 1.0, [0, 2, 2, 3, 3]),
    ]
}
