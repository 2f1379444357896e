//! Transposed convolution: the linear map that carries a convolution's output gradient to its input.
//!
//! `y[n, o, q * stride - padding + m * dilation] += W[c, o, m] x[n, c, q]`, summed over `c`, `q` and `m`, plus `b[o]`.
//!
//! It *is* the input gradient of [`conv2d`](super::conv2d), so its kernels are that operation's, in
//! other roles.

use termwise_autograd::{Array, Op, Var, apply};

use super::geometry::{IntoPair, check_bias};
use super::{Conv2dKernel, Conv2dOptions, ConvGeometry, Window};

/// Transposed two-dimensional convolution, for learned upsampling.
///
/// # Formula
/// `y[n, o, p] = b[o] + sum W[c, o, m] x[n, c, q]` over all `c`, `q`, `m` with
/// `p = q * stride - padding + m * dilation`
///
/// # Shapes
/// `x` (N, C, H, W), `weight` (C, O / groups, kh, kw), `bias` (O,); `y` (N, O, Ho, Wo) with
/// `Ho = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1`. `output_padding` adds
/// rows and columns at the end, to choose among the sizes that a strided convolution maps to H.
///
/// # Gradient
/// `dx` is the [`conv2d`](super::conv2d) of `dy` with the same weight; `dW` and `db` as there, with
/// the roles of `x` and `dy` exchanged.
///
/// # Edge cases
/// Outputs that no input reaches hold the bias alone.
///
/// # Panics
/// If the shapes do not fit, the groups do not divide the channels, the padding leaves no output, or
/// `output_padding` is not smaller than the stride or the dilation.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Conv2dOptions, conv_transpose2d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 1, 1, 2], vec![1.0, 2.0]));
/// let weight = tape.leaf(Array::host(&[1, 1, 1, 2], vec![10.0, 1.0]));
/// let y = conv_transpose2d(&x, &weight, None, Conv2dOptions::new().stride((1, 2)), 0);
/// assert_eq!(y.value().as_slice(), [10.0, 1.0, 20.0, 2.0]);
/// ```
///
/// # Source
/// Zeiler et al., "Deconvolutional Networks", CVPR 2010; semantics of PyTorch's `conv_transpose2d`.
#[track_caller]
pub fn conv_transpose2d<B: Conv2dKernel>(
    x: &Var<B>,
    weight: &Var<B>,
    bias: Option<&Var<B>>,
    options: Conv2dOptions,
    output_padding: impl IntoPair,
) -> Var<B> {
    let geometry = transposed_geometry(x.shape(), weight.shape(), &options, output_padding.into_pair());
    check_bias("conv_transpose2d", bias.map(Var::shape), geometry.in_channels);
    apply(ConvTranspose2d { geometry }, [x, weight, &x.optional(bias)])
}

/// The geometry of the convolution that this one transposes: it maps `y` to `x`.
#[track_caller]
fn transposed_geometry(
    x: &[usize],
    weight: &[usize],
    options: &Conv2dOptions,
    output_padding: [usize; 2],
) -> ConvGeometry {
    let (&[batch, channels, height, width], &[weight_channels, group_outputs, kh, kw]) = (x, weight) else {
        panic!(
            "conv_transpose2d: x must be (N, C, H, W) and weight (C, O / groups, kh, kw); x is {x:?}, weight is {weight:?}"
        );
    };
    let Conv2dOptions { stride, padding, dilation, groups } = *options;
    assert!(
        groups > 0 && weight_channels == channels && channels.is_multiple_of(groups),
        "conv_transpose2d: channels and groups differ: x is {x:?}, weight is {weight:?}, groups is {groups}"
    );
    let (image, kernel) = ([height, width], [kh, kw]);
    assert!(
        [kernel, stride, dilation].iter().flatten().all(|&v| v > 0),
        "conv_transpose2d: kernel {kernel:?}, stride {stride:?} and dilation {dilation:?} must be at least 1"
    );
    let output = std::array::from_fn(|axis| {
        assert!(
            output_padding[axis] < stride[axis].max(dilation[axis]),
            "conv_transpose2d: output_padding {output_padding:?} must be smaller than stride {stride:?} or dilation {dilation:?}"
        );
        let full = (image[axis].max(1) - 1) * stride[axis]
            + dilation[axis] * (kernel[axis] - 1)
            + 1
            + output_padding[axis];
        assert!(
            image[axis] > 0 && full > 2 * padding[axis],
            "conv_transpose2d: no output is left: x is {x:?}, kernel {kernel:?}, padding {padding:?}"
        );
        full - 2 * padding[axis]
    });
    let window = Window { image: output, kernel, stride, padding, dilation, output: image };
    ConvGeometry { batch, in_channels: group_outputs * groups, out_channels: channels, groups, window }
}

struct ConvTranspose2d {
    geometry: ConvGeometry,
}

impl<B: Conv2dKernel> Op<B, 3> for ConvTranspose2d {
    type Saved = (Array<B>, Array<B>);

    fn name(&self) -> &'static str {
        "conv_transpose2d"
    }

    fn forward(&self, [x, weight, bias]: [&Array<B>; 3]) -> (Array<B>, Self::Saved) {
        let y = B::conv2d_backward_input(&self.geometry, weight, x);
        let y = match bias.present() {
            Some(bias) => B::conv2d_add_bias(y, bias),
            None => y,
        };
        (y, (x.clone(), weight.clone()))
    }

    fn backward(
        &self,
        (x, weight): &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 3],
    ) -> [Option<Array<B>>; 3] {
        let geometry = &self.geometry;
        [
            // y = C(W)^T x + b  =>  dx = C(W) dy; <dy, C(W)^T x> = <C(W) dy, x>, so dW is that of the
            // convolution of dy with output gradient x; db = sum dy
            needs[0].then(|| B::conv2d_forward(geometry, grad_output, weight, None)),
            needs[1].then(|| B::conv2d_backward_weight(geometry, grad_output, x)),
            needs[2].then(|| B::conv2d_backward_bias(grad_output)),
        ]
    }
}
