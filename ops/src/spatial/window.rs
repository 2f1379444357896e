//! Geometry of sliding windows, one axis at a time.

use std::ops::Range;

/// Settings of a sliding window over (H, W); each is given as `[vertical, horizontal]`.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Window, max_pool2d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 5], vec![1.0, 2.0, 3.0, 4.0, 5.0]));
/// let max = |window: Window| max_pool2d(&x, &window).value().as_slice().to_vec();
/// let pairs = Window { kernel_size: [1, 2], stride: [1, 2], ..Window::new(1) };
/// assert_eq!(max(pairs), [2.0, 4.0]);
/// assert_eq!(max(Window { ceil_mode: true, ..pairs }), [2.0, 4.0, 5.0]);
/// assert_eq!(max(Window { padding: [0, 1], ..pairs }), [1.0, 3.0, 5.0]);
/// assert_eq!(max(Window { dilation: [1, 3], stride: [1, 1], ..pairs }), [4.0, 5.0]); // of 1 and 4, of 2 and 5
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Taps per axis.
    pub kernel_size: [usize; 2],
    /// Distance between neighbouring windows.
    pub stride: [usize; 2],
    /// How far the first window reaches over the edge; the same at the end.
    pub padding: [usize; 2],
    /// Distance between neighbouring taps of a window.
    pub dilation: [usize; 2],
    /// Whether a last window that does not fit entirely counts, as long as it starts inside the image
    /// or its leading padding.
    pub ceil_mode: bool,
}

impl Window {
    /// Square windows of `size` that tile the image.
    pub fn new(size: usize) -> Self {
        Window {
            kernel_size: [size; 2],
            stride: [size; 2],
            padding: [0; 2],
            dilation: [1; 2],
            ceil_mode: false,
        }
    }

    /// The same window at another stride.
    pub fn stride(self, stride: usize) -> Self {
        Window { stride: [stride; 2], ..self }
    }

    /// The same window with padding.
    pub fn padding(self, padding: usize) -> Self {
        Window { padding: [padding; 2], ..self }
    }

    /// The windows along both axes of an image of `size`.
    ///
    /// # Panics
    /// If a size is 0, the padding exceeds half of the dilated kernel, or no window fits; the message
    /// names `op`, the shape and the settings.
    #[track_caller]
    pub(super) fn axes(&self, op: &str, shape: &[usize]) -> [WindowAxis; 2] {
        assert!(shape.len() >= 2, "{op}: x must be (.., H, W), its shape is {shape:?}");
        [0, 1].map(|axis| {
            let input = shape[shape.len() - 2 + axis];
            let (kernel, stride) = (self.kernel_size[axis], self.stride[axis]);
            let (padding, dilation) = (self.padding[axis], self.dilation[axis]);
            assert!(
                kernel > 0 && stride > 0 && dilation > 0,
                "{op}: kernel size, stride and dilation must be at least 1, they are {self:?}"
            );
            let extent = (kernel - 1) * dilation + 1;
            assert!(
                2 * padding <= extent,
                "{op}: padding {padding} must be at most half of the {extent} that a window spans, {self:?}"
            );
            let Some(room) = (input + 2 * padding).checked_sub(extent).filter(|_| input > 0) else {
                panic!("{op}: no window fits x {shape:?}, {self:?}");
            };
            let mut output = room / stride + 1;
            // One more where some is left over, unless it would start in the trailing padding.
            if self.ceil_mode && room % stride != 0 && output * stride < input + padding {
                output += 1;
            }
            WindowAxis { input, output, kernel, stride, padding, dilation }
        })
    }
}

/// The windows along one axis.
#[derive(Clone, Copy, Debug)]
pub struct WindowAxis {
    /// Extent of the input.
    pub input: usize,
    /// Number of windows.
    pub output: usize,
    /// Taps per window.
    pub kernel: usize,
    /// Distance between neighbouring windows.
    pub stride: usize,
    /// Reach of the first window over the edge.
    pub padding: usize,
    /// Distance between neighbouring taps.
    pub dilation: usize,
}

impl WindowAxis {
    /// The first and the end of the input positions under window `o`, which are `dilation` apart; taps
    /// outside the input are left out.
    pub fn taps(self, o: usize) -> Range<usize> {
        let start = o * self.stride;
        // The first taps may lie in the padding; skip as many as it takes to get out of it.
        let skipped = self.padding.saturating_sub(start).div_ceil(self.dilation);
        let first = start + skipped * self.dilation - self.padding;
        let end = (start + (self.kernel - 1) * self.dilation + 1).saturating_sub(self.padding);
        first..end.min(self.input)
    }
}

/// A stretch of the input that is averaged, and the number of positions that it counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bin {
    /// First position.
    pub start: usize,
    /// One past the last position.
    pub end: usize,
    /// What the sum is divided by.
    pub count: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(window: Window, size: usize) -> usize {
        window.axes("pool", &[size, size])[0].output
    }

    #[test]
    fn ceil_mode_adds_a_window_only_where_it_starts_inside() {
        let window = Window { ceil_mode: true, ..Window::new(3).stride(2) };
        assert_eq!(outputs(window, 6), 3); // starts 0, 2, 4
        assert_eq!(outputs(Window { ceil_mode: false, ..window }, 6), 2);
        assert_eq!(outputs(window, 5), 2); // nothing left over
        // One more would start at 4 = size + padding of the padded axis: dropped.
        let skipping = Window { ceil_mode: true, ..Window::new(2).stride(4).padding(1) };
        assert_eq!(outputs(skipping, 3), 1);
        assert_eq!(outputs(skipping, 4), 2);
    }

    #[test]
    fn taps_keep_to_the_input() {
        let window = Window { dilation: [2; 2], ..Window::new(3).stride(1).padding(2) };
        let [axis, _] = window.axes("pool", &[6, 6]);
        assert_eq!(axis.output, 6);
        assert_eq!([0, 1, 2, 5].map(|o| axis.taps(o)), [0..3, 1..4, 0..5, 3..6]);
        // Taps -1, 1, 3: the first one inside is 1.
        let window = Window { dilation: [2; 2], ..Window::new(3).stride(1).padding(1) };
        let [axis, _] = window.axes("pool", &[6, 6]);
        assert_eq!([0, 1, 3].map(|o| axis.taps(o)), [1..4, 0..5, 2..6]);
    }

    #[test]
    #[should_panic(expected = "pool: padding 2 must be at most half of the 3 that a window spans")]
    fn too_much_padding_is_refused() {
        Window::new(3).padding(2).axes("pool", &[6, 6]);
    }

    #[test]
    #[should_panic(expected = "pool: no window fits x [1, 2, 2, 9]")]
    fn a_window_larger_than_the_image_is_refused() {
        Window::new(3).axes("pool", &[1, 2, 2, 9]);
    }
}
