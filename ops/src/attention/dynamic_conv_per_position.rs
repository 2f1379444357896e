//! Convolution of images with a kernel of its own at every position: the sum in two-dimensional
//! dynamic convolution.
//!
//! `y[n, c, q] = sum_j w[n, g(c), j, q] x[n, c, q * stride - padding + p_j * dilation]`, `g(c) = c / (C / G)`, `x` zero
//! outside the image.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::conv_cpu::position::{self, Sources};
use super::conv_cpu::position_backward;
use crate::conv::{Conv2dOptions, IntoPair, Window};

/// Convolution of `x` with the kernel `weights` given for every position and channel group.
///
/// # Formula
/// `y[n, c, q] = sum_j w[n, g(c), j, q] x[n, c, q * stride - padding + p_j * dilation]`, `g(c) = c / (C / G)`
///
/// # Shapes
/// `x` (N, C, H, W), `weights` (N, G, kh kw, Ho, Wo) with G dividing C and row-major taps; `y` (N, C, Ho, Wo)
/// with Ho, Wo as in [`conv2d`](crate::conv2d).
///
/// # Gradient
/// `dw[n, g, j, q] = sum_{c in g} dy[n, c, q] x[n, c, q + p_j]`, `dx[n, c, q + p_j] += w[n, g(c), j, q] dy[n, c, q]`
///
/// # Panics
/// If the shapes do not fit, or `options.groups` is not 1 (the groups are those of `weights`).
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Conv2dOptions, per_position_conv2d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 1, 1, 3], vec![1.0, 2.0, 3.0]));
/// // The first output takes its left tap, the second its right one.
/// let weights = tape.leaf(Array::host(&[1, 1, 2, 1, 2], vec![1.0, 0.0, 0.0, 1.0]));
/// let y = per_position_conv2d(&x, &weights, (1, 2), Conv2dOptions::new());
/// assert_eq!(y.value().as_slice(), [1.0, 3.0]);
/// ```
#[track_caller]
pub fn per_position_conv2d<B: PerPositionConvKernel>(
    x: &Var<B>,
    weights: &Var<B>,
    kernel: impl IntoPair,
    options: Conv2dOptions,
) -> Var<B> {
    let kernel = kernel.into_pair();
    let (&[batch, channels, height, width], &[n, groups, taps, rows, cols]) = (x.shape(), weights.shape())
    else {
        panic!(
            "per_position_conv2d: x must be (N, C, H, W) and the kernels (N, G, taps, Ho, Wo); x is {:?}, the kernels \
             are {:?}",
            x.shape(),
            weights.shape()
        );
    };
    let window = Window::new("per_position_conv2d", [height, width], kernel, &options);
    assert!(
        n == batch
            && groups > 0
            && channels.is_multiple_of(groups)
            && taps == window.taps()
            && [rows, cols] == window.output
            && options.groups == 1,
        "per_position_conv2d: the kernels must be (N, G, taps, Ho, Wo) with G dividing C and options.groups 1: x is \
         {:?}, the kernel size {kernel:?}, the output {:?}, the kernels are {:?}, {options:?}",
        x.shape(),
        window.output,
        weights.shape()
    );
    apply(PerPositionConv { geometry: PositionGeometry { batch, channels, groups, window } }, [x, weights])
}

/// Sizes of a convolution with a kernel per position.
#[derive(Clone, Copy, Debug)]
pub struct PositionGeometry {
    /// Images in the batch.
    pub batch: usize,
    /// Channels, in and out.
    pub channels: usize,
    /// Runs of channels with a kernel of their own.
    pub groups: usize,
    /// Positions of inputs, taps and outputs.
    pub window: Window,
}

impl PositionGeometry {
    /// Shape of the output (N, C, Ho, Wo).
    pub fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.channels, self.window.output[0], self.window.output[1]]
    }
}

struct PerPositionConv {
    geometry: PositionGeometry,
}

impl<B: PerPositionConvKernel> Op<B, 2> for PerPositionConv {
    type Saved = (Array<B>, Array<B>);

    fn name(&self) -> &'static str {
        "per_position_conv2d"
    }

    fn forward(&self, [x, weights]: [&Array<B>; 2]) -> (Array<B>, Self::Saved) {
        (B::per_position_conv_forward(&self.geometry, x, weights), (x.clone(), weights.clone()))
    }

    fn backward(
        &self,
        (x, weights): &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 2],
    ) -> [Option<Array<B>>; 2] {
        // y_q = sum_j w_jq x_{q+j}  =>  dx_{q+j} += w_jq dy_q, dw_jq = <dy_q, x_{q+j}>
        B::per_position_conv_backward(&self.geometry, x, weights, grad_output, needs)
    }
}

/// Kernels of [`per_position_conv2d`].
pub trait PerPositionConvKernel: Backend {
    /// The convolution. // (N, C, Ho, Wo)
    fn per_position_conv_forward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
    ) -> Array<Self>;

    /// Gradients in input and kernels, those that are needed.
    fn per_position_conv_backward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2];
}

impl<T: Scalar> PerPositionConvKernel for Cpu<T> {
    fn per_position_conv_forward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
    ) -> Array<Self> {
        let sources = Sources::Given(weights.as_slice());
        let y = position::forward(simd::isa(), geometry, x.as_slice(), sources, &mut []);
        Array::from_buffer(&geometry.output_shape(), y)
    }

    fn per_position_conv_backward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let (sources, cotangent) = (Sources::Given(weights.as_slice()), grad_output.as_slice());
        let [grad_x, grad_weights] =
            position_backward::backward(simd::isa(), geometry, x.as_slice(), sources, cotangent, needs);
        [
            grad_x.map(|grad| Array::from_buffer(x.shape(), grad)),
            grad_weights.map(|grad| Array::from_buffer(weights.shape(), grad)),
        ]
    }
}

/// Test cases of [`per_position_conv2d`]. Shapes are (batch, groups, channels per group, height, width).
pub fn cases<B: PerPositionConvKernel>() -> Vec<Case<B>> {
    let case = |label: &str, shape: [usize; 5], kernel: [usize; 2], options: Conv2dOptions| {
        Case::new("per_position_conv2d", label, &shape, move |shape, samples| {
            let &[batch, groups, per_group, h, w] = shape else { return None };
            let image = [h, w];
            let fits =
                (0..2).all(|a| image[a] + 2 * options.padding[a] > options.dilation[a] * (kernel[a] - 1));
            if groups == 0 || !fits {
                return None;
            }
            let [rows, cols] = Window::new("per_position_conv2d", image, kernel, &options).output;
            let x = ("x", samples.normal(&[batch, groups * per_group, h, w]));
            let weights = ("weights", samples.normal(&[batch, groups, kernel[0] * kernel[1], rows, cols]));
            Built::new([x, weights], move |v| per_position_conv2d(&v[0], &v[1], kernel, options))
        })
    };
    let new = Conv2dOptions::new;
    vec![
        case("1x1", [1, 1, 1, 1, 1], [1, 1], new()),
        case("3x3", [2, 2, 2, 3, 4], [3, 3], new().padding(1)),
        case(
            "3x2, stride (2, 3), dilation (1, 2)",
            [1, 2, 1, 5, 7],
            [3, 2],
            new().padding(1).stride((2, 3)).dilation((1, 2)),
        ),
        case("kernel larger than the image", [1, 1, 2, 2, 3], [5, 3], new().padding((2, 1))),
        case("empty batch", [0, 1, 2, 3, 3], [3, 3], new().padding(1)),
    ]
}
