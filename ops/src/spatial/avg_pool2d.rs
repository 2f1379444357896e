//! Average pooling: the mean under each window.
//!
//! `y[i, j] = 1 / n sum of x over rows i stride - pad .. + kernel, columns likewise`; padding is 0, and
//! `n` is the number of positions under the window, with or without the padding.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::window::{Bin, Window};
use crate::{par, rows};

/// Settings of [`avg_pool2d`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AvgPool2d {
    /// The windows; dilation must be 1.
    pub window: Window,
    /// Whether positions in the padding count in what the sum is divided by. (What reaches beyond the
    /// padding, in ceil mode, never does.)
    pub count_include_pad: bool,
    /// What every sum is divided by instead of its number of positions.
    pub divisor_override: Option<f64>,
}

impl AvgPool2d {
    /// Averages under these windows, the padding included.
    pub fn new(window: Window) -> Self {
        AvgPool2d { window, count_include_pad: true, divisor_override: None }
    }
}

/// Average pooling over (H, W).
///
/// # Formula
/// `y[.., i, j] = 1 / n sum over the window of x`; padding is 0; `n` by the settings.
///
/// # Shapes
/// `x`: (.., H, W); `y`: (.., H', W'), sizes as in [`max_pool2d`](super::max_pool2d()).
///
/// # Gradient
/// Each `dy / n` goes to all elements under the window.
///
/// # Panics
/// If no window fits, the padding exceeds half of the kernel, the dilation is not 1, or the divisor is 0.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{AvgPool2d, Window, avg_pool2d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[2, 2], vec![1.0, 2.0, 3.0, 6.0]));
/// let y = avg_pool2d(&x, &AvgPool2d::new(Window::new(2)));
/// assert_eq!(y.value().as_slice(), [3.0]);
/// let padded = AvgPool2d { count_include_pad: false, ..AvgPool2d::new(Window::new(2).padding(1)) };
/// assert_eq!(avg_pool2d(&x, &padded).value().as_slice(), [1.0, 2.0, 3.0, 6.0]);
/// ```
#[track_caller]
pub fn avg_pool2d<B: AvgPoolKernel>(x: &Var<B>, settings: &AvgPool2d) -> Var<B> {
    let AvgPool2d { window, count_include_pad, divisor_override } = *settings;
    assert!(window.dilation == [1, 1], "avg_pool2d: the dilation must be 1, {window:?}");
    assert!(divisor_override != Some(0.0), "avg_pool2d: divisor_override must not be 0");
    let bins = window.axes("avg_pool2d", x.shape()).map(|axis| {
        let bin = |o: usize| {
            // In padded coordinates, clipped to the padded image before counting.
            let start = o * axis.stride;
            let end = (start + axis.kernel).min(axis.input + 2 * axis.padding);
            let inside = |i: usize| i.saturating_sub(axis.padding).min(axis.input);
            let counted = if count_include_pad { end - start } else { inside(end) - inside(start) };
            Bin { start: inside(start), end: inside(end), count: counted }
        };
        (0..axis.output).map(bin).collect()
    });
    average_bins("avg_pool2d", x, bins, divisor_override)
}

/// Averages `x` (.., H, W) over the products of vertical and horizontal bins.
#[track_caller]
pub(super) fn average_bins<B: AvgPoolKernel>(
    name: &'static str,
    x: &Var<B>,
    [rows, cols]: [Vec<Bin>; 2],
    divisor: Option<f64>,
) -> Var<B> {
    apply(AverageBins { name, rows, cols, divisor }, [x])
}

struct AverageBins {
    name: &'static str,
    rows: Vec<Bin>,
    cols: Vec<Bin>,
    divisor: Option<f64>,
}

impl<B: AvgPoolKernel> Op<B, 1> for AverageBins {
    /// Shape of `x`.
    type Saved = Vec<usize>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::avg_pool_forward(x, &self.rows, &self.cols, self.divisor), x.shape().to_vec())
    }

    fn backward(&self, x_shape: &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = sum x / n  =>  dx += dy / n
        [Some(B::avg_pool_backward(grad_output, x_shape, &self.rows, &self.cols, self.divisor))]
    }
}

/// Kernels of [`avg_pool2d`] and [`adaptive_avg_pool2d`](super::adaptive_avg_pool2d()).
pub trait AvgPoolKernel: Backend {
    /// The mean over each product of a vertical and a horizontal bin.
    fn avg_pool_forward(x: &Array<Self>, rows: &[Bin], cols: &[Bin], divisor: Option<f64>) -> Array<Self>;

    /// Gradient in `x`.
    fn avg_pool_backward(
        grad_output: &Array<Self>,
        x_shape: &[usize],
        rows: &[Bin],
        cols: &[Bin],
        divisor: Option<f64>,
    ) -> Array<Self>;
}

/// What the sum over a pair of bins is divided by.
fn count<T: Scalar>(row: &Bin, col: &Bin, divisor: Option<f64>) -> T {
    T::of(divisor.unwrap_or((row.count * col.count) as f64))
}

impl<T: Scalar> AvgPoolKernel for Cpu<T> {
    fn avg_pool_forward(x: &Array<Self>, rows: &[Bin], cols: &[Bin], divisor: Option<f64>) -> Array<Self> {
        let (leading, size) = x.shape().split_at(x.ndim() - 2);
        let (width, x_plane, y_plane) = (size[1], size[0] * size[1], rows.len() * cols.len());
        let data = x.as_slice();
        let mut y = Buffer::arbitrary(leading.iter().product::<usize>() * y_plane);
        par::for_each_chunk(&mut y, y_plane, 2 * x_plane + 8 * y_plane, |plane, y| {
            simd::run(Average { x: &data[plane * x_plane..][..x_plane], width, rows, cols, divisor, y });
        });
        Array::from_buffer(&[leading, &[rows.len(), cols.len()]].concat(), y)
    }

    fn avg_pool_backward(
        grad_output: &Array<Self>,
        x_shape: &[usize],
        rows: &[Bin],
        cols: &[Bin],
        divisor: Option<f64>,
    ) -> Array<Self> {
        let size = &x_shape[x_shape.len() - 2..];
        let (width, x_plane, y_plane) = (size[1], size[0] * size[1], rows.len() * cols.len());
        let g = grad_output.as_slice();
        let mut grad = Buffer::arbitrary(x_shape.iter().product());
        // Windows may overlap: a plane belongs to one task, which adds in order.
        par::for_each_chunk(&mut grad, x_plane, 2 * x_plane + 8 * y_plane, |plane, grad| {
            simd::run(Spread { g: &g[plane * y_plane..][..y_plane], width, rows, cols, divisor, grad });
        });
        Array::from_buffer(x_shape, grad)
    }
}

/// The means of one plane.
struct Average<'a, T> {
    x: &'a [T],
    width: usize,
    rows: &'a [Bin],
    cols: &'a [Bin],
    divisor: Option<f64>,
    y: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Average<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Average { x, width, rows, cols, divisor, y } = self;
        let mut column_sums = vec![T::zero(); width];
        for (y, row) in y.chunks_exact_mut(cols.len()).zip(rows) {
            column_sums.fill(T::zero());
            for x in x[row.start * width..row.end * width].chunks_exact(width) {
                rows::add::<V>(&mut column_sums, x);
            }
            for (y, col) in y.iter_mut().zip(cols) {
                let sum: T = column_sums[col.start..col.end].iter().copied().sum();
                *y = sum / count(row, col, divisor);
            }
        }
    }
}

/// The gradient in one plane.
struct Spread<'a, T> {
    g: &'a [T],
    width: usize,
    rows: &'a [Bin],
    cols: &'a [Bin],
    divisor: Option<f64>,
    grad: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Spread<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Spread { g, width, rows, cols, divisor, grad } = self;
        let mut line = vec![T::zero(); width];
        grad.fill(T::zero());
        for (g, row) in g.chunks_exact(cols.len()).zip(rows) {
            line.fill(T::zero());
            for (&g, col) in g.iter().zip(cols) {
                let share = g / count(row, col, divisor);
                line[col.start..col.end].iter_mut().for_each(|sum| *sum += share);
            }
            for grad in grad[row.start * width..row.end * width].chunks_exact_mut(width) {
                rows::add::<V>(grad, &line);
            }
        }
    }
}

/// Test cases of [`avg_pool2d`].
pub fn cases<B: AvgPoolKernel>() -> Vec<Case<B>> {
    let case = |settings: AvgPool2d, shape: &[usize]| {
        let AvgPool2d { window, count_include_pad, divisor_override } = settings;
        let label = format!(
            "kernel {:?}, stride {:?}, padding {:?}, ceil {}, count padding {count_include_pad}, divisor {divisor_override:?}",
            window.kernel_size, window.stride, window.padding, window.ceil_mode
        );
        Case::new("avg_pool2d", label, shape, move |shape, samples| {
            let fits = |axis: usize| {
                let padded = shape.iter().rev().nth(1 - axis)? + 2 * window.padding[axis];
                (padded >= window.kernel_size[axis] && padded > 2 * window.padding[axis]).then_some(())
            };
            fits(0).and(fits(1))?;
            Built::new([("x", samples.normal(shape))], move |v| avg_pool2d(&v[0], &settings))
        })
    };
    let padded = Window::new(3).stride(2).padding(1);
    let uneven =
        Window { kernel_size: [2, 3], stride: [1, 2], padding: [1, 0], dilation: [1; 2], ceil_mode: false };
    vec![
        case(AvgPool2d::new(Window::new(1)), &[1, 1, 1, 1]),
        case(AvgPool2d::new(Window::new(2)), &[2, 3, 4, 5]),
        case(AvgPool2d::new(padded), &[1, 2, 5, 7]),
        case(AvgPool2d { count_include_pad: false, ..AvgPool2d::new(padded) }, &[1, 2, 6, 4]),
        case(AvgPool2d::new(Window { ceil_mode: true, ..Window::new(3).stride(2) }), &[2, 6, 4]),
        case(AvgPool2d { divisor_override: Some(5.0), ..AvgPool2d::new(uneven) }, &[1, 2, 3, 6]),
        case(AvgPool2d::new(Window::new(1).stride(2)), &[5, 7]),
        case(AvgPool2d::new(Window::new(2)), &[0, 2, 4, 4]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn only_the_part_within_the_padding_is_counted_in_ceil_mode() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(Array::host(&[1, 4], vec![1.0, 2.0, 3.0, 12.0]));
        let window = Window { kernel_size: [1, 3], stride: [1, 3], padding: [0, 1], ..Window::new(1) };
        let window = Window { ceil_mode: true, ..window };
        // Windows over padded [0 1 2 | 3 12 0]: both fit, padding counted or not.
        let counted = AvgPool2d::new(window);
        assert_eq!(avg_pool2d(&x, &counted).value().as_slice(), [1.0, 5.0]);
        let uncounted = AvgPool2d { count_include_pad: false, ..counted };
        assert_eq!(avg_pool2d(&x, &uncounted).value().as_slice(), [1.5, 7.5]);
        // Without padding the last window [12] reaches beyond the image and counts one position.
        let window = Window { padding: [0, 0], ..window };
        assert_eq!(avg_pool2d(&x, &AvgPool2d::new(window)).value().as_slice(), [2.0, 12.0]);
    }
}
