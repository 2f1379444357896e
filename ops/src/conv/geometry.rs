//! Hyper-parameters of a convolution, and the geometry that follows from them.

use std::ops::Range;

/// A height and a width: one number for both, or a pair.
pub trait IntoPair {
    /// `[height, width]`.
    fn into_pair(self) -> [usize; 2];
}

impl IntoPair for usize {
    fn into_pair(self) -> [usize; 2] {
        [self; 2]
    }
}

impl IntoPair for (usize, usize) {
    fn into_pair(self) -> [usize; 2] {
        [self.0, self.1]
    }
}

impl IntoPair for [usize; 2] {
    fn into_pair(self) -> [usize; 2] {
        self
    }
}

/// Hyper-parameters of a two-dimensional convolution, each as `[height, width]`.
///
/// ```
/// use termwise_ops::Conv2dOptions;
/// let options = Conv2dOptions::new().stride(2).padding((1, 0));
/// assert_eq!((options.stride, options.padding, options.groups), ([2, 2], [1, 0], 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Step between neighbouring outputs, in input positions.
    pub stride: [usize; 2],
    /// Zeros on either side of the image.
    pub padding: [usize; 2],
    /// Step between neighbouring taps, in input positions.
    pub dilation: [usize; 2],
    /// Number of channel groups that are convolved apart.
    pub groups: usize,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Conv2dOptions::new()
    }
}

impl Conv2dOptions {
    /// Stride 1, no padding, dilation 1, one group.
    pub const fn new() -> Self {
        Conv2dOptions { stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1 }
    }

    /// With another stride.
    pub fn stride(self, stride: impl IntoPair) -> Self {
        Conv2dOptions { stride: stride.into_pair(), ..self }
    }

    /// With another padding.
    pub fn padding(self, padding: impl IntoPair) -> Self {
        Conv2dOptions { padding: padding.into_pair(), ..self }
    }

    /// With another dilation.
    pub fn dilation(self, dilation: impl IntoPair) -> Self {
        Conv2dOptions { dilation: dilation.into_pair(), ..self }
    }

    /// With another number of groups.
    pub const fn groups(self, groups: usize) -> Self {
        Conv2dOptions { groups, ..self }
    }
}

/// How the taps of a kernel fall on an image: tap `i` of output `q` reads input
/// `q * stride + i * dilation - padding`, on each axis.
///
/// ```
/// use termwise_ops::Conv2dOptions;
/// use termwise_ops::conv::Window;
/// let window = Window::new("example", [1, 5], [1, 3], &Conv2dOptions::new().stride(2).padding((0, 1)));
/// assert_eq!((window.output, window.taps()), ([1, 3], 3));
/// // Outputs 0, 1, 2 have their first tap at -1, 1, 3.
/// assert_eq!([0, 1, 2].map(|q| window.input(1, 0, q)), [None, Some(1), Some(3)]);
/// assert_eq!((window.origin(1, 0), window.inside(1, 0)), (-1, 1..3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Size of the input.
    pub image: [usize; 2],
    /// Taps on each axis.
    pub kernel: [usize; 2],
    /// Step between outputs.
    pub stride: [usize; 2],
    /// Zeros on either side of the image.
    pub padding: [usize; 2],
    /// Step between taps.
    pub dilation: [usize; 2],
    /// Size of the output.
    pub output: [usize; 2],
}

impl Window {
    /// The window of `kernel` taps over `image`.
    ///
    /// # Panics
    /// If the stride or dilation is 0, the kernel is empty or does not fit into the padded image;
    /// the message names `op`.
    #[track_caller]
    pub fn new(op: &str, image: [usize; 2], kernel: [usize; 2], options: &Conv2dOptions) -> Self {
        let Conv2dOptions { stride, padding, dilation, .. } = *options;
        let positive = |pair: [usize; 2]| pair.iter().all(|&v| v > 0);
        assert!(
            positive(kernel) && positive(stride) && positive(dilation),
            "{op}: kernel {kernel:?}, stride {stride:?} and dilation {dilation:?} must be at least 1"
        );
        let output = std::array::from_fn(|axis| {
            let extent = dilation[axis] * (kernel[axis] - 1) + 1;
            let padded = image[axis] + 2 * padding[axis];
            assert!(
                padded >= extent,
                "{op}: the kernel does not fit: image {image:?} with padding {padding:?} is smaller than \
                 kernel {kernel:?} with dilation {dilation:?}"
            );
            (padded - extent) / stride[axis] + 1
        });
        Window { image, kernel, stride, padding, dilation, output }
    }

    /// Number of taps.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Number of outputs in a plane.
    pub fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Number of inputs in a plane.
    pub fn pixels(&self) -> usize {
        self.image[0] * self.image[1]
    }

    /// Where tap `tap` of output 0 falls on `axis`; negative in the padding.
    pub fn origin(&self, axis: usize, tap: usize) -> isize {
        (tap * self.dilation[axis]) as isize - self.padding[axis] as isize
    }

    /// The outputs along `axis` whose tap `tap` falls inside the image.
    pub fn inside(&self, axis: usize, tap: usize) -> Range<usize> {
        let (origin, stride) = (self.origin(axis, tap), self.stride[axis] as isize);
        let first_at_least =
            |bound: isize| (bound - origin).max(0).unsigned_abs().div_ceil(stride.unsigned_abs());
        let end = first_at_least(self.image[axis] as isize).min(self.output[axis]);
        first_at_least(0).min(end)..end
    }

    /// The input that tap `tap` of output `q` reads on `axis`, or `None` in the padding.
    pub fn input(&self, axis: usize, tap: usize, q: usize) -> Option<usize> {
        let at = (q * self.stride[axis]) as isize + self.origin(axis, tap);
        usize::try_from(at).ok().filter(|&at| at < self.image[axis])
    }
}

/// A convolution's sizes, complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Images in the batch.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Channel groups.
    pub groups: usize,
    /// Positions of inputs, taps and outputs.
    pub window: Window,
}

impl ConvGeometry {
    /// The geometry of `x` (N, C, H, W) under `weight` (O, C / groups, kh, kw).
    ///
    /// # Panics
    /// If the shapes do not fit; the message names `op` and all of them.
    #[track_caller]
    pub fn new(
        op: &str,
        x: &[usize],
        weight: &[usize],
        bias: Option<&[usize]>,
        options: &Conv2dOptions,
    ) -> Self {
        let (&[batch, in_channels, height, width], &[out_channels, group_channels, kh, kw]) = (x, weight)
        else {
            panic!(
                "{op}: x must be (N, C, H, W) and weight (O, C / groups, kh, kw); x is {x:?}, weight is {weight:?}"
            );
        };
        let groups = options.groups;
        assert!(
            groups > 0 && group_channels * groups == in_channels && out_channels.is_multiple_of(groups),
            "{op}: channels and groups differ: x is {x:?} so C = {in_channels}, weight is {weight:?} so \
             C / groups = {group_channels} and O = {out_channels}, groups is {groups}"
        );
        check_bias(op, bias, out_channels);
        let window = Window::new(op, [height, width], [kh, kw], options);
        ConvGeometry { batch, in_channels, out_channels, groups, window }
    }

    /// Input channels of one group.
    pub fn group_inputs(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of one group.
    pub fn group_outputs(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Shape of the input (N, C, H, W).
    pub fn input_shape(&self) -> [usize; 4] {
        [self.batch, self.in_channels, self.window.image[0], self.window.image[1]]
    }

    /// Shape of the output (N, O, Ho, Wo).
    pub fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.out_channels, self.window.output[0], self.window.output[1]]
    }

    /// Shape of the weight (O, C / groups, kh, kw).
    pub fn weight_shape(&self) -> [usize; 4] {
        [self.out_channels, self.group_inputs(), self.window.kernel[0], self.window.kernel[1]]
    }
}

/// Panics unless a bias, where there is one, has one number per output channel.
#[track_caller]
pub(crate) fn check_bias(op: &str, bias: Option<&[usize]>, out_channels: usize) {
    if let Some(bias) = bias
        && bias != [out_channels]
    {
        panic!("{op}: bias must be ({out_channels},), one number per output channel; it is {bias:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_agrees_with_input_at_every_output() {
        for (image, kernel, stride, padding, dilation) in
            [(5, 3, 1, 1, 1), (7, 3, 2, 3, 2), (1, 5, 1, 2, 1), (4, 2, 3, 0, 1), (3, 3, 2, 5, 2)]
        {
            let options = Conv2dOptions::new().stride(stride).padding(padding).dilation(dilation);
            let window = Window::new("test", [1, image], [1, kernel], &options.padding((0, padding)));
            for tap in 0..kernel {
                let inside = window.inside(1, tap);
                for q in 0..window.output[1] {
                    assert_eq!(
                        inside.contains(&q),
                        window.input(1, tap, q).is_some(),
                        "{window:?} {tap} {q}"
                    );
                }
            }
        }
    }

    #[test]
    #[should_panic(
        expected = "conv2d: the kernel does not fit: image [2, 9] with padding [0, 1] is smaller than kernel [3, 3]"
    )]
    fn a_kernel_that_does_not_fit_is_refused() {
        Window::new("conv2d", [2, 9], [3, 3], &Conv2dOptions::new().padding((0, 1)));
    }
}
