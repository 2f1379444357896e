//! Two-dimensional convolution (cross-correlation, as the field says).
//!
//! `y[n, o, q] = b[o] + sum_{c, m} W[o, c, m] x[n, c, q * stride - padding + m * dilation]`, `c` over the channels of
//! the group of `o`, `m` over the taps, `x` zero outside the image.
//!
//! Three ways to compute it: a plain matrix product for 1x1 kernels, direct loops for depthwise
//! kernels ([`depthwise`]), columns and a matrix product for the rest ([`lowering`]).

use termwise_autograd::simd;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::cpu;
use super::{Conv2dOptions, ConvGeometry};
use crate::par;

/// Two-dimensional convolution.
///
/// # Formula
/// `y[n, o, q] = b[o] + sum_{c, m} W[o, c, m] x[n, c, q * stride - padding + m * dilation]`
///
/// # Shapes
/// `x` (N, C, H, W), `weight` (O, C / groups, kh, kw), `bias` (O,); `y` (N, O, Ho, Wo) with
/// `Ho = (H + 2 padding - dilation (kh - 1) - 1) / stride + 1`, rounded down.
/// Output channels fall into `groups` runs, each of which sees its own run of input channels.
///
/// # Gradient
/// `dx` is the transposed convolution of `dy`, `dW[o, c, m] = sum_{n, q} dy[n, o, q] x[n, c, q + p_m]`,
/// `db[o] = sum_{n, q} dy[n, o, q]`.
///
/// # Saved for backward
/// `x` and `weight`; the columns are made anew.
///
/// # Edge cases
/// A kernel larger than the image is fine as long as the padding makes room for it. An empty batch
/// gives an empty output and zero parameter gradients.
///
/// # Panics
/// If the shapes do not fit each other, the groups do not divide the channels, or the kernel does
/// not fit into the padded image.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Conv2dOptions, conv2d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]));
/// let weight = tape.leaf(Array::host(&[1, 1, 1, 2], vec![10.0, 1.0]));
/// let y = conv2d(&x, &weight, None, Conv2dOptions::new());
/// assert_eq!(y.value().as_slice(), [12.0, 34.0]);
/// ```
///
/// # Source
/// LeCun et al., "Backpropagation Applied to Handwritten Zip Code Recognition", 1989; semantics of
/// PyTorch's `conv2d`.
#[track_caller]
pub fn conv2d<B: Conv2dKernel>(
    x: &Var<B>,
    weight: &Var<B>,
    bias: Option<&Var<B>>,
    options: Conv2dOptions,
) -> Var<B> {
    let geometry = ConvGeometry::new("conv2d", x.shape(), weight.shape(), bias.map(Var::shape), &options);
    apply(Conv2d { geometry }, [x, weight, &x.optional(bias)])
}

struct Conv2d {
    geometry: ConvGeometry,
}

impl<B: Conv2dKernel> Op<B, 3> for Conv2d {
    type Saved = (Array<B>, Array<B>);

    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn forward(&self, [x, weight, bias]: [&Array<B>; 3]) -> (Array<B>, Self::Saved) {
        (B::conv2d_forward(&self.geometry, x, weight, bias.present()), (x.clone(), weight.clone()))
    }

    fn backward(
        &self,
        (x, weight): &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 3],
    ) -> [Option<Array<B>>; 3] {
        // y = W columns(x) + b  =>  dx = columns^T(W^T dy), dW = dy columns(x)^T, db = sum dy
        B::conv2d_backward(&self.geometry, x, weight, grad_output, needs)
    }
}

/// Kernels of [`conv2d`], which are those of its transpose and its one-dimensional form too.
pub trait Conv2dKernel: Backend {
    /// The convolution. // (N, O, Ho, Wo)
    fn conv2d_forward(
        geometry: &ConvGeometry,
        x: &Array<Self>,
        weight: &Array<Self>,
        bias: Option<&Array<Self>>,
    ) -> Array<Self>;

    /// Gradient in the input. // (N, C, H, W)
    fn conv2d_backward_input(
        geometry: &ConvGeometry,
        weight: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self>;

    /// Gradient in the weight. // (O, C / groups, kh, kw)
    fn conv2d_backward_weight(
        geometry: &ConvGeometry,
        x: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self>;

    /// Sum of a (N, O, ..) array over all axes but the second. // (O,)
    fn conv2d_backward_bias(grad_output: &Array<Self>) -> Array<Self>;

    /// All gradients that are needed, of input, weight and bias; for backends that make some of them at once.
    fn conv2d_backward(
        geometry: &ConvGeometry,
        x: &Array<Self>,
        weight: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 3],
    ) -> [Option<Array<Self>>; 3] {
        [
            needs[0].then(|| Self::conv2d_backward_input(geometry, weight, grad_output)),
            needs[1].then(|| Self::conv2d_backward_weight(geometry, x, grad_output)),
            needs[2].then(|| Self::conv2d_backward_bias(grad_output)),
        ]
    }

    /// Adds `bias` (O,) to each channel of `y` (N, O, ..).
    fn conv2d_add_bias(y: Array<Self>, bias: &Array<Self>) -> Array<Self>;
}

impl<T: Scalar> Conv2dKernel for Cpu<T> {
    fn conv2d_forward(
        geometry: &ConvGeometry,
        x: &Array<Self>,
        weight: &Array<Self>,
        bias: Option<&Array<Self>>,
    ) -> Array<Self> {
        let (x, weight, bias) = (x.as_slice(), weight.as_slice(), bias.map(Array::as_slice));
        let y = cpu::forward(simd::isa(), geometry, x, weight, bias);
        Array::from_buffer(&geometry.output_shape(), y)
    }

    fn conv2d_backward_input(
        geometry: &ConvGeometry,
        weight: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let grad = cpu::input_gradient(simd::isa(), geometry, weight.as_slice(), grad_output.as_slice());
        Array::from_buffer(&geometry.input_shape(), grad)
    }

    fn conv2d_backward_weight(
        geometry: &ConvGeometry,
        x: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let grad = cpu::weight_gradient(simd::isa(), geometry, x.as_slice(), grad_output.as_slice());
        Array::from_buffer(&geometry.weight_shape(), grad)
    }

    fn conv2d_backward(
        geometry: &ConvGeometry,
        x: &Array<Self>,
        weight: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 3],
    ) -> [Option<Array<Self>>; 3] {
        if let [true, true, needs_bias] = needs
            && let (x, weight, grad_output) = (x.as_slice(), weight.as_slice(), grad_output.as_slice())
            && let Some([grad_x, grad_weight, grad_bias]) =
                cpu::all_gradients(simd::isa(), geometry, x, weight, grad_output)
        {
            return [
                Some(Array::from_buffer(&geometry.input_shape(), grad_x)),
                Some(Array::from_buffer(&geometry.weight_shape(), grad_weight)),
                needs_bias.then(|| Array::from_buffer(&[geometry.out_channels], grad_bias)),
            ];
        }
        [
            needs[0].then(|| Self::conv2d_backward_input(geometry, weight, grad_output)),
            needs[1].then(|| Self::conv2d_backward_weight(geometry, x, grad_output)),
            needs[2].then(|| Self::conv2d_backward_bias(grad_output)),
        ]
    }

    fn conv2d_backward_bias(grad_output: &Array<Self>) -> Array<Self> {
        let (out_channels, positions) = (grad_output.shape()[1], grad_output.shape()[2..].iter().product());
        let grad = cpu::bias_gradient(grad_output.as_slice(), out_channels, positions);
        Array::from_buffer(&[out_channels], grad)
    }

    fn conv2d_add_bias(mut y: Array<Self>, bias: &Array<Self>) -> Array<Self> {
        let (channels, positions) = (y.shape()[1], y.shape()[2..].iter().product());
        par::for_each_chunk(y.as_mut_slice(), positions, positions, |plane, values| {
            let bias = bias.as_slice()[plane % channels];
            values.iter_mut().for_each(|v| *v += bias);
        });
        y
    }
}
