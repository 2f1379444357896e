//! One-dimensional convolution: [`conv2d`](super::conv2d) of images one pixel high.
//!
//! `y[n, o, q] = b[o] + sum_{c, m} W[o, c, m] x[n, c, q * stride - padding + m * dilation]`

use termwise_autograd::{Array, Op, Var, apply};

use super::{Conv2dKernel, Conv2dOptions, ConvGeometry};

/// Hyper-parameters of a one-dimensional convolution.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Conv1dOptions, conv1d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 2, 4], vec![1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0]));
/// let weight = tape.leaf(Array::host(&[2, 1, 2], vec![1.0; 4])); // sums of two steps
/// let options = Conv1dOptions::new().groups(2).dilation(2); // each channel for itself, the steps two apart
/// let y = conv1d(&x, &weight, None, options);
/// assert_eq!(y.value().as_slice(), [1.0 + 3.0, 2.0 + 4.0, 10.0 + 30.0, 20.0 + 40.0]);
/// assert_eq!(conv1d(&x, &weight, None, options.stride(2)).value().as_slice(), [4.0, 40.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv1dOptions {
    /// Step between neighbouring outputs.
    pub stride: usize,
    /// Zeros on either side of the sequence.
    pub padding: usize,
    /// Step between neighbouring taps.
    pub dilation: usize,
    /// Number of channel groups that are convolved apart.
    pub groups: usize,
}

impl Default for Conv1dOptions {
    fn default() -> Self {
        Conv1dOptions::new()
    }
}

impl Conv1dOptions {
    /// Stride 1, no padding, dilation 1, one group.
    pub const fn new() -> Self {
        Conv1dOptions { stride: 1, padding: 0, dilation: 1, groups: 1 }
    }

    /// With another stride.
    pub const fn stride(self, stride: usize) -> Self {
        Conv1dOptions { stride, ..self }
    }

    /// With another padding.
    pub const fn padding(self, padding: usize) -> Self {
        Conv1dOptions { padding, ..self }
    }

    /// With another dilation.
    pub const fn dilation(self, dilation: usize) -> Self {
        Conv1dOptions { dilation, ..self }
    }

    /// With another number of groups.
    pub const fn groups(self, groups: usize) -> Self {
        Conv1dOptions { groups, ..self }
    }

    /// The same along the width of an image of height 1.
    pub(crate) fn of_rows(self) -> Conv2dOptions {
        Conv2dOptions {
            stride: [1, self.stride],
            padding: [0, self.padding],
            dilation: [1, self.dilation],
            groups: self.groups,
        }
    }
}

/// One-dimensional convolution over sequences (N, C, T).
///
/// # Formula
/// `y[n, o, q] = b[o] + sum_{c, m} W[o, c, m] x[n, c, q * stride - padding + m * dilation]`
///
/// # Shapes
/// `x` (N, C, T), `weight` (O, C / groups, K), `bias` (O,); `y` (N, O, To) with
/// `To = (T + 2 padding - dilation (K - 1) - 1) / stride + 1`, rounded down.
///
/// # Gradient
/// As [`conv2d`](super::conv2d).
///
/// # Panics
/// If the shapes do not fit, the groups do not divide the channels, or the kernel does not fit into
/// the padded sequence.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Conv1dOptions, conv1d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 1, 3], vec![1.0, 2.0, 3.0]));
/// let weight = tape.leaf(Array::host(&[1, 1, 3], vec![100.0, 10.0, 1.0]));
/// let y = conv1d(&x, &weight, None, Conv1dOptions::new().padding(1));
/// assert_eq!(y.value().as_slice(), [12.0, 123.0, 230.0]);
/// ```
#[track_caller]
pub fn conv1d<B: Conv2dKernel>(
    x: &Var<B>,
    weight: &Var<B>,
    bias: Option<&Var<B>>,
    options: Conv1dOptions,
) -> Var<B> {
    let (&[n, c, t], &[o, group_channels, k]) = (x.shape(), weight.shape()) else {
        panic!(
            "conv1d: x must be (N, C, T) and weight (O, C / groups, K); x is {:?}, weight is {:?}",
            x.shape(),
            weight.shape()
        );
    };
    let (images, kernels, bias_shape) = ([n, c, 1, t], [o, group_channels, 1, k], bias.map(Var::shape));
    let geometry = ConvGeometry::new("conv1d", &images, &kernels, bias_shape, &options.of_rows());
    apply(Conv1d { geometry }, [x, weight, &x.optional(bias)])
}

struct Conv1d {
    geometry: ConvGeometry,
}

/// The same elements without the axis of extent 1 that makes rows of a sequence.
fn squeezed<B: Conv2dKernel>(array: &Array<B>) -> Array<B> {
    let &[a, b, 1, t] = array.shape() else { unreachable!("conv1d works on images of height 1") };
    array.reshape(&[a, b, t])
}

impl<B: Conv2dKernel> Op<B, 3> for Conv1d {
    type Saved = (Array<B>, Array<B>);

    fn name(&self) -> &'static str {
        "conv1d"
    }

    fn forward(&self, [x, weight, bias]: [&Array<B>; 3]) -> (Array<B>, Self::Saved) {
        let (x, weight) =
            (x.reshape(&self.geometry.input_shape()), weight.reshape(&self.geometry.weight_shape()));
        let y = B::conv2d_forward(&self.geometry, &x, &weight, bias.present());
        (squeezed(&y), (x, weight))
    }

    fn backward(
        &self,
        (x, weight): &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 3],
    ) -> [Option<Array<B>>; 3] {
        let (geometry, grad_output) = (&self.geometry, grad_output.reshape(&self.geometry.output_shape()));
        [
            needs[0].then(|| squeezed(&B::conv2d_backward_input(geometry, weight, &grad_output))),
            needs[1].then(|| squeezed(&B::conv2d_backward_weight(geometry, x, &grad_output))),
            needs[2].then(|| B::conv2d_backward_bias(&grad_output)),
        ]
    }
}
