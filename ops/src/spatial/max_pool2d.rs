//! Max pooling: the largest element under each window.
//!
//! `y[i, j] = max over taps (k, l) of x[i stride - pad + k dilation, j stride - pad + l dilation]`;
//! padding is `-inf`, so it never wins.

use ndarray::{ArrayD, IxDyn};
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply, apply_saving};

use super::window::{Window, WindowAxis};
use crate::par;

/// Max pooling over (H, W).
///
/// # Formula
/// `y[.., i, j] = max over the window of x`, padding is `-inf`.
///
/// # Shapes
/// `x`: (.., H, W); `y`: (.., H', W') with `H' = floor((H + 2 pad - dilation (kernel - 1) - 1) / stride) + 1`,
/// in ceil mode rounded up as long as the last window starts inside the image or its leading padding.
///
/// # Gradient
/// Each `dy` goes to the element that was the largest.
///
/// # Edge cases
/// Of equal elements the first one, by rows, is taken. NaN counts as larger than every number.
///
/// # Panics
/// If no window fits, the padding exceeds half of what a window spans, or a dilated window has no tap
/// inside the image.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Window, max_pool2d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[2, 4], vec![1.0, 5.0, 2.0, 0.0, 3.0, 4.0, 7.0, 6.0]));
/// let y = max_pool2d(&x, &Window::new(2));
/// assert_eq!(y.shape(), [1, 2]);
/// assert_eq!(y.value().as_slice(), [5.0, 7.0]);
/// ```
#[track_caller]
pub fn max_pool2d<B: MaxPool2dKernel>(x: &Var<B>, window: &Window) -> Var<B> {
    apply(MaxPool2d { axes: checked_axes(x.shape(), window) }, [x])
}

/// [`max_pool2d`], and where each maximum was: `row * W + column` in its plane of `x`.
///
/// # Panics
/// As [`max_pool2d`].
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{max_pool2d_with_indices, spatial::Window};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 1, 2, 2], vec![1.0, 2.0, 8.0, 4.0]));
/// let (y, at) = max_pool2d_with_indices(&x, &Window::new(2));
/// assert_eq!((y.value().item(), at[[0, 0, 0, 0]]), (8.0, 2));
/// ```
#[track_caller]
pub fn max_pool2d_with_indices<B: MaxPool2dKernel>(x: &Var<B>, window: &Window) -> (Var<B>, ArrayD<i64>) {
    let (y, saved) = apply_saving(MaxPool2d { axes: checked_axes(x.shape(), window) }, [x]);
    let indices = B::max_pool2d_indices(&saved.indices);
    let indices = ArrayD::from_shape_vec(IxDyn(y.shape()), indices).expect("one index per output");
    (y, indices)
}

#[track_caller]
fn checked_axes(shape: &[usize], window: &Window) -> [WindowAxis; 2] {
    let axes = window.axes("max_pool2d", shape);
    for axis in axes {
        if let Some(o) = (0..axis.output).find(|&o| axis.taps(o).is_empty()) {
            panic!("max_pool2d: window {o} has no tap inside the image, x is {shape:?}, {window:?}");
        }
    }
    axes
}

struct MaxPool2d {
    axes: [WindowAxis; 2],
}

struct MaxPool2dSaved<B: MaxPool2dKernel> {
    x_shape: Vec<usize>,
    indices: B::Indices,
}

impl<B: MaxPool2dKernel> Op<B, 1> for MaxPool2d {
    type Saved = MaxPool2dSaved<B>;

    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        let (y, indices) = B::max_pool2d_forward(x, self.axes);
        (y, MaxPool2dSaved { x_shape: x.shape().to_vec(), indices })
    }

    fn backward(&self, saved: &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = x[index]  =>  dx[index] += dy
        [Some(B::max_pool2d_backward(&saved.indices, grad_output, &saved.x_shape))]
    }
}

/// Kernels of [`max_pool2d`].
pub trait MaxPool2dKernel: Backend {
    /// Where the maxima were, on the device.
    type Indices: 'static;

    /// The maxima and where they were.
    fn max_pool2d_forward(x: &Array<Self>, axes: [WindowAxis; 2]) -> (Array<Self>, Self::Indices);

    /// Gradient in `x`.
    fn max_pool2d_backward(
        indices: &Self::Indices,
        grad_output: &Array<Self>,
        x_shape: &[usize],
    ) -> Array<Self>;

    /// `row * W + column` of each maximum, on the host.
    fn max_pool2d_indices(indices: &Self::Indices) -> Vec<i64>;
}

impl<T: Scalar> MaxPool2dKernel for Cpu<T> {
    type Indices = Vec<u32>;

    fn max_pool2d_forward(x: &Array<Self>, [rows, cols]: [WindowAxis; 2]) -> (Array<Self>, Vec<u32>) {
        let x_plane = rows.input * cols.input;
        let y_plane = rows.output * cols.output;
        assert!(u32::try_from(x_plane).is_ok(), "max_pool2d: a plane of {x_plane} elements is too large");
        let data = x.as_slice();
        let mut y = Buffer::arbitrary(x.len() / x_plane * y_plane);
        let mut indices = vec![0; y.len()];
        let first_column: Vec<u32> = (0..cols.output).map(|j| cols.taps(j).start as u32).collect();
        let first_column = &first_column;
        let work = 2 * y_plane * rows.kernel * cols.kernel;
        par::for_each_pair((&mut y, y_plane), (&mut indices, y_plane), work, |plane, y, indices| {
            let x = &data[plane * x_plane..][..x_plane];
            simd::run(Plane { x, rows, cols, first_column, y, indices });
        });
        let leading = &x.shape()[..x.ndim() - 2];
        (Array::from_buffer(&[leading, &[rows.output, cols.output]].concat(), y), indices)
    }

    fn max_pool2d_backward(indices: &Vec<u32>, grad_output: &Array<Self>, x_shape: &[usize]) -> Array<Self> {
        let x_plane: usize = x_shape[x_shape.len() - 2..].iter().product();
        let y_plane: usize = grad_output.shape()[x_shape.len() - 2..].iter().product();
        let g = grad_output.as_slice();
        let mut grad = Buffer::arbitrary(x_shape.iter().product());
        // Windows overlap: a plane belongs to one task, which adds in order.
        par::for_each_chunk(&mut grad, x_plane, 4 * x_plane + 16 * y_plane, |plane, grad| {
            let y = plane * y_plane..(plane + 1) * y_plane;
            grad.fill(T::zero());
            for (&index, &g) in indices[y.clone()].iter().zip(&g[y]) {
                grad[index as usize] += g;
            }
        });
        Array::from_buffer(x_shape, grad)
    }

    fn max_pool2d_indices(indices: &Vec<u32>) -> Vec<i64> {
        indices.iter().map(|&index| i64::from(index)).collect()
    }
}

/// The maxima of one plane.
struct Plane<'a, T> {
    x: &'a [T],
    rows: WindowAxis,
    cols: WindowAxis,
    /// Where the first tap of each window of a row is.
    first_column: &'a [u32],
    y: &'a mut [T],
    indices: &'a mut [u32],
}

impl<T: Scalar> Kernel<T> for Plane<'_, T> {
    type Output = ();

    // Plain loops over a row of windows, which the compiler turns into the vectors of the caller's
    // instruction set.
    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Plane { x, rows, cols, first_column, y, indices } = self;
        let width = cols.input;
        let outputs = y.chunks_exact_mut(cols.output).zip(indices.chunks_exact_mut(cols.output));
        for (i, (max, indices)) in outputs.enumerate() {
            let lines = rows.taps(i);
            // The first tap, so that a window of -inf has an index too.
            max.fill(T::neg_infinity());
            let line = (lines.start * width) as u32;
            indices.iter_mut().zip(first_column).for_each(|(index, &column)| *index = line + column);
            for line in lines.step_by(rows.dilation) {
                for tap in 0..cols.kernel {
                    // The windows whose tap is inside: j stride + offset - padding in 0 .. width.
                    let offset = tap * cols.dilation;
                    let first = cols.padding.saturating_sub(offset).div_ceil(cols.stride);
                    let end = (width + cols.padding).saturating_sub(offset).div_ceil(cols.stride);
                    let windows = first..end.min(cols.output);
                    if windows.is_empty() {
                        continue;
                    }
                    let column = first * cols.stride + offset - cols.padding;
                    let x = &x[line * width + column..(line + 1) * width];
                    let at = (line * width + column) as u32;
                    let (max, indices) = (&mut max[windows.clone()], &mut indices[windows]);
                    match cols.stride {
                        1 => raise::<T, 1>(x, at, max, indices),
                        2 => raise::<T, 2>(x, at, max, indices),
                        stride => {
                            for (k, (max, index)) in max.iter_mut().zip(indices).enumerate() {
                                (*max, *index) =
                                    larger(x[k * stride], at + (k * stride) as u32, *max, *index);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Raises maxima to the elements `x[0]`, `x[STRIDE]`, .. where these are larger.
#[inline(always)]
fn raise<T: Scalar, const STRIDE: usize>(x: &[T], at: u32, max: &mut [T], indices: &mut [u32]) {
    let count = max.len();
    assert!(count > 0 && indices.len() == count && x.len() > (count - 1) * STRIDE);
    for k in 0..count {
        // SAFETY: k is below the lengths of max and indices, k STRIDE below that of x. Checked indices
        // keep the loop from being turned into vectors.
        unsafe {
            let (max, index) = (max.get_unchecked_mut(k), indices.get_unchecked_mut(k));
            let candidate = *x.get_unchecked(k * STRIDE);
            (*max, *index) = larger(candidate, at + (k * STRIDE) as u32, *max, *index);
        }
    }
}

#[inline(always)]
fn larger<T: Scalar>(candidate: T, at: u32, max: T, index: u32) -> (T, u32) {
    // Selects, not a branch: which tap wins cannot be predicted.
    let better = (candidate > max) | candidate.is_nan();
    (if better { candidate } else { max }, if better { at } else { index })
}

/// Test cases of [`max_pool2d`]: no two elements are equal.
pub fn cases<B: MaxPool2dKernel>() -> Vec<Case<B>> {
    let case = |window: Window, shape: &[usize]| {
        let Window { kernel_size, stride, padding, dilation, ceil_mode } = window;
        let label = format!(
            "kernel {kernel_size:?}, stride {stride:?}, padding {padding:?}, dilation {dilation:?}, ceil {ceil_mode}"
        );
        Case::new("max_pool2d", label, shape, move |shape, samples| {
            let fits = |axis: usize| {
                let extent = (kernel_size[axis] - 1) * dilation[axis] + 1;
                shape.len() >= 2 && shape[shape.len() - 2 + axis] >= extent
            };
            if !fits(0) || !fits(1) {
                return None;
            }
            Built::new([("x", samples.distinct(shape))], move |v| max_pool2d(&v[0], &window))
        })
    };
    let uneven =
        Window { kernel_size: [2, 3], stride: [1, 2], padding: [0, 1], dilation: [2, 1], ceil_mode: false };
    vec![
        case(Window::new(1), &[1, 1, 1, 1]),
        case(Window::new(2), &[2, 3, 4, 5]),
        case(Window::new(3).stride(2).padding(1), &[1, 2, 7, 5]),
        case(Window { ceil_mode: true, ..Window::new(3).stride(2) }, &[2, 1, 6, 4]),
        case(uneven, &[1, 2, 5, 7]),
        case(Window::new(3).stride(1).padding(1), &[3, 4]),
        case(Window::new(2), &[0, 2, 4, 4]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn an_element_that_wins_twice_collects_both_gradients() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(Array::host(&[1, 3], vec![1.0, 9.0, 2.0]));
        let window = Window { kernel_size: [1, 2], ..Window::new(1) };
        let (y, indices) = max_pool2d_with_indices(&x, &window);
        assert_eq!(indices.as_slice().unwrap(), [1, 1]);
        let gradients = tape.backward_with(&[(&y, Array::host(&[1, 2], vec![3.0, 4.0]))]);
        assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.0, 7.0, 0.0]);
    }

    #[test]
    fn padding_never_wins_even_over_negative_numbers() {
        let tape = Tape::new(Cpu::<f32>::new());
        let x = tape.leaf(Array::host(&[2, 2], vec![-5.0, f32::NEG_INFINITY, -7.0, -6.0]));
        let (y, indices) = max_pool2d_with_indices(&x, &Window::new(2).padding(1));
        assert_eq!(y.value().as_slice(), [-5.0, f32::NEG_INFINITY, -7.0, -6.0]);
        assert_eq!(indices.as_slice().unwrap(), [0, 1, 2, 3]);
    }

    #[test]
    fn ties_go_to_the_first_and_nan_is_not_hidden() {
        let tape = Tape::new(Cpu::<f32>::new());
        let x = tape.leaf(Array::host(&[1, 2, 2], vec![4.0; 4]));
        assert_eq!(max_pool2d_with_indices(&x, &Window::new(2)).1.as_slice().unwrap(), [0]);
        let x = tape.leaf(Array::host(&[2, 2], vec![4.0, f32::NAN, 5.0, 1.0]));
        assert!(max_pool2d(&x, &Window::new(2)).value().item().is_nan());
    }

    #[test]
    #[should_panic(expected = "max_pool2d: window 0 has no tap inside the image, x is [1, 3]")]
    fn a_window_that_sees_nothing_is_refused() {
        let tape = Tape::new(Cpu::<f32>::new());
        let x = tape.leaf(Array::host(&[1, 3], vec![0.0; 3]));
        max_pool2d(&x, &Window { dilation: [2, 1], padding: [1, 0], kernel_size: [2, 1], ..Window::new(1) });
    }
}
