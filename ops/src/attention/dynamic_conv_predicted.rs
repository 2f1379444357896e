//! Prediction, softmax and convolution of two-dimensional dynamic convolution in one operation, so that the
//! predicted kernels need not be stored.

use termwise_autograd::pool::Buffer;
use termwise_autograd::simd;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::conv_cpu::position::{self, Sources};
use super::conv_cpu::position_backward;
use super::dynamic_conv_per_position::PositionGeometry;

/// `y[n, c, q] = sum_j K[n, g(c), j, q] x[n, c, q + p_j]`, `K[n, g, j, q] = softmax_j(sum_c d[g, j, c] x[n, c, q * stride])`.
///
/// Shapes as in [`dynamic_conv_2d`](super::dynamic_conv_2d), which checks them.
#[track_caller]
pub(super) fn predicted_conv2d<B: PredictedConvKernel>(
    x: &Var<B>,
    d: &Var<B>,
    geometry: PositionGeometry,
) -> Var<B> {
    apply(PredictedConv { geometry }, [x, d])
}

struct PredictedConv {
    geometry: PositionGeometry,
}

impl<B: PredictedConvKernel> Op<B, 2> for PredictedConv {
    type Saved = [Array<B>; 3];

    fn name(&self) -> &'static str {
        "dynamic_conv_2d"
    }

    fn forward(&self, [x, d]: [&Array<B>; 2]) -> (Array<B>, Self::Saved) {
        let (y, kept) = B::predicted_conv_forward(&self.geometry, x, d);
        (y, [x.clone(), d.clone(), kept])
    }

    fn backward(
        &self,
        [x, d, kept]: &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 2],
    ) -> [Option<Array<B>>; 2] {
        // y_q = sum_j w_jq x_{q+j}      =>  dx_{q+j} += w_jq dy_q, dw_jq = <dy_q, x_{q+j}>
        // w = softmax(s)                =>  ds_j = w_j (dw_j - sum_i w_i dw_i)
        // s_jq = d_j x_q                =>  dx_q += d^T ds_q, dd += ds_q x_q^T
        B::predicted_conv_backward(&self.geometry, x, d, kept, grad_output, needs)
    }
}

/// Kernels of two-dimensional dynamic convolution.
pub trait PredictedConvKernel: Backend {
    /// The convolution, (N, C, Ho, Wo), and what the backend wants back for backward.
    fn predicted_conv_forward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        d: &Array<Self>,
    ) -> (Array<Self>, Array<Self>);

    /// Gradients in `x` and `d`, those that are needed.
    fn predicted_conv_backward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        d: &Array<Self>,
        kept: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2];
}

impl<T: Scalar> PredictedConvKernel for Cpu<T> {
    fn predicted_conv_forward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        d: &Array<Self>,
    ) -> (Array<Self>, Array<Self>) {
        let mut kept = Buffer::arbitrary(position::kept_len(geometry));
        let sources = Sources::Predicted(d.as_slice(), None);
        let y = position::forward(simd::isa(), geometry, x.as_slice(), sources, &mut kept);
        (Array::from_buffer(&geometry.output_shape(), y), Array::from_buffer(&[kept.len()], kept))
    }

    fn predicted_conv_backward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        d: &Array<Self>,
        kept: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let kept = (!kept.is_empty()).then(|| kept.as_slice());
        let (sources, cotangent) = (Sources::Predicted(d.as_slice(), kept), grad_output.as_slice());
        let [grad_x, grad_d] =
            position_backward::backward(simd::isa(), geometry, x.as_slice(), sources, cotangent, needs);
        [
            grad_x.map(|grad| Array::from_buffer(x.shape(), grad)),
            grad_d.map(|grad| Array::from_buffer(d.shape(), grad)),
        ]
    }
}
