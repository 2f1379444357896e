//! Convolution of images with a kernel of its own at every position: the sum in two-dimensional
//! dynamic convolution.
//!
//! `y[n, c, q] = sum_j w[n, g(c), j, q] x[n, c, q * stride - padding + p_j * dilation]`, `g(c) = c / (C / G)`, `x` zero
//! outside the image.

use std::ops::Range;

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use crate::conv::vector::multiply_add;
use crate::conv::{Conv2dOptions, IntoPair, Window};
use crate::par;

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
    /// Calls `f(tap, outputs, inputs)` for each run of outputs along a row under one tap: where the
    /// outputs lie in a plane and where the first of their inputs does.
    fn for_each_run(&self, mut f: impl FnMut(usize, Range<usize>, usize)) {
        let window = &self.window;
        for tap in 0..window.taps() {
            let (i, j) = (tap / window.kernel[1], tap % window.kernel[1]);
            let inside = window.inside(1, j);
            let Some(col) = window.input(1, j, inside.start).filter(|_| !inside.is_empty()) else { continue };
            for oh in window.inside(0, i) {
                let Some(row) = window.input(0, i, oh) else { continue };
                let start = oh * window.output[1];
                f(tap, start + inside.start..start + inside.end, row * window.image[1] + col);
            }
        }
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
        let geometry = &self.geometry;
        [
            // y_q = sum_j w_jq x_{q+j}  =>  dx_{q+j} += w_jq dy_q, dw_jq = <dy_q, x_{q+j}>
            needs[0].then(|| B::per_position_conv_backward_input(geometry, weights, grad_output)),
            needs[1].then(|| B::per_position_conv_backward_weights(geometry, x, grad_output)),
        ]
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

    /// Gradient in the input. // (N, C, H, W)
    fn per_position_conv_backward_input(
        geometry: &PositionGeometry,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self>;

    /// Gradient in the kernels. // (N, G, taps, Ho, Wo)
    fn per_position_conv_backward_weights(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self>;
}

impl<T: Scalar> PerPositionConvKernel for Cpu<T> {
    fn per_position_conv_forward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
    ) -> Array<Self> {
        let (x, weights) = (x.as_slice(), weights.as_slice());
        let PositionGeometry { batch, channels, groups, window } = *geometry;
        let (positions, pixels, stride) = (window.positions(), window.pixels(), window.stride[1]);
        let mut y = vec![T::zero(); batch * channels * positions];
        par::for_each_chunk(&mut y, positions, positions * window.taps(), |plane, y| {
            let x = &x[plane * pixels..][..pixels];
            let kernel = &weights[plane / (channels / groups) * window.taps() * positions..];
            geometry.for_each_run(|tap, outputs, start| {
                let weights = &kernel[tap * positions..][outputs.clone()];
                if stride == 1 {
                    multiply_add(weights, &x[start..], &mut y[outputs]);
                } else {
                    for ((y, &w), &x) in
                        y[outputs].iter_mut().zip(weights).zip(x[start..].iter().step_by(stride))
                    {
                        *y += w * x;
                    }
                }
            });
        });
        Array::host(&[batch, channels, window.output[0], window.output[1]], y)
    }

    fn per_position_conv_backward_input(
        geometry: &PositionGeometry,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (weights, grad_output) = (weights.as_slice(), grad_output.as_slice());
        let PositionGeometry { batch, channels, groups, window } = *geometry;
        let (positions, pixels, stride) = (window.positions(), window.pixels(), window.stride[1]);
        let mut grad = vec![T::zero(); batch * channels * pixels];
        par::for_each_chunk(&mut grad, pixels, positions * window.taps(), |plane, grad| {
            let grad_output = &grad_output[plane * positions..][..positions];
            let kernel = &weights[plane / (channels / groups) * window.taps() * positions..];
            geometry.for_each_run(|tap, outputs, start| {
                let (weights, from) = (&kernel[tap * positions..][outputs.clone()], &grad_output[outputs]);
                if stride == 1 {
                    multiply_add(weights, from, &mut grad[start..]);
                } else {
                    for ((x, &w), &g) in grad[start..].iter_mut().step_by(stride).zip(weights).zip(from) {
                        *x += w * g;
                    }
                }
            });
        });
        Array::host(&[batch, channels, window.image[0], window.image[1]], grad)
    }

    fn per_position_conv_backward_weights(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (x, grad_output) = (x.as_slice(), grad_output.as_slice());
        let PositionGeometry { batch, channels, groups, window } = *geometry;
        let (positions, pixels, stride) = (window.positions(), window.pixels(), window.stride[1]);
        let (taps, group_channels) = (window.taps(), channels / groups);
        let mut grad = vec![T::zero(); batch * groups * taps * positions];
        // Each task owns the kernels of one group of one image.
        par::for_each_chunk(&mut grad, taps * positions, group_channels * taps * positions, |group, grad| {
            for plane in group * group_channels..(group + 1) * group_channels {
                let x = &x[plane * pixels..][..pixels];
                let grad_output = &grad_output[plane * positions..][..positions];
                geometry.for_each_run(|tap, outputs, start| {
                    let (grad, from) = (&mut grad[tap * positions..][outputs.clone()], &grad_output[outputs]);
                    if stride == 1 {
                        multiply_add(from, &x[start..], grad);
                    } else {
                        for ((grad, &g), &x) in
                            grad.iter_mut().zip(from).zip(x[start..].iter().step_by(stride))
                        {
                            *grad += g * x;
                        }
                    }
                });
            }
        });
        Array::host(&[batch, groups, taps, window.output[0], window.output[1]], grad)
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
