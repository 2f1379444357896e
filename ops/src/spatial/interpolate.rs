//! Resizing of images: bilinear or nearest neighbour.
//!
//! Each output position reads one place of the input per axis: `src = (dst + 0.5) s - 0.5`, not below 0,
//! for bilinear with unaligned corners; `src = dst (in - 1) / (out - 1)` with aligned corners; and
//! `floor(dst s)` for nearest. `s` is `in / out` where the size is given, `1 / factor` where a factor is.
//! The two axes are independent, so an image is resized along its rows first, then along its columns.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

pub use super::resize::{Interpolation, Resize, ResizeAxis};
use crate::lanes::{self, Pointwise};
use crate::{par, rows};

/// Resizes (H, W) by interpolation.
///
/// # Formula
/// With the source position `src` of an output position along each axis (see [`Interpolation`]),
/// `low = floor(src)`, `high = min(low + 1, in - 1)`, `w = src - low`:
/// `y = (1 - w) x[low] + w x[high]`, along both axes.
///
/// # Shapes
/// `x`: (.., H, W); `y`: (.., H', W') as given, or `floor(H factor)`, `floor(W factor)`.
///
/// # Gradient
/// The transpose: `dx[low] += (1 - w) dy`, `dx[high] += w dy`, along both axes.
///
/// # Edge cases
/// Resizing to the same size copies. An image of one pixel becomes a constant one. Going to a smaller size
/// does not average over the pixels between (no antialiasing).
///
/// # Panics
/// If `x` has fewer than two axes or no pixel, the new size is 0, or a factor is not positive and finite.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Interpolation, Resize, interpolate};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 2], vec![0.0, 4.0]));
/// let bilinear = |align_corners| Interpolation::Bilinear { align_corners };
/// let y = interpolate(&x, Resize::Size([1, 4]), bilinear(false));
/// assert_eq!(y.value().as_slice(), [0.0, 1.0, 3.0, 4.0]);
/// let y = interpolate(&x, Resize::Size([1, 5]), bilinear(true));
/// assert_eq!(y.value().as_slice(), [0.0, 1.0, 2.0, 3.0, 4.0]);
/// let y = interpolate(&x, Resize::Scale([1.0, 2.0]), Interpolation::Nearest);
/// assert_eq!(y.value().as_slice(), [0.0, 0.0, 4.0, 4.0]);
/// ```
#[track_caller]
pub fn interpolate<B: InterpolateKernel>(x: &Var<B>, resize: Resize, mode: Interpolation) -> Var<B> {
    let [rows, cols] = resize.axes("interpolate", x.shape(), mode);
    apply(Interpolate { rows, cols }, [x])
}

struct Interpolate {
    rows: ResizeAxis,
    cols: ResizeAxis,
}

impl<B: InterpolateKernel> Op<B, 1> for Interpolate {
    type Saved = ();

    fn name(&self) -> &'static str {
        "interpolate"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::interpolate_forward(x, &self.rows, &self.cols), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = R x C^T with sparse matrices R, C  =>  dx = R^T dy C
        [Some(B::interpolate_backward(grad_output, &self.rows, &self.cols))]
    }
}

/// Kernels of [`interpolate`].
pub trait InterpolateKernel: Backend {
    /// The resized image.
    fn interpolate_forward(x: &Array<Self>, rows: &ResizeAxis, cols: &ResizeAxis) -> Array<Self>;

    /// Gradient in the image.
    fn interpolate_backward(grad_output: &Array<Self>, rows: &ResizeAxis, cols: &ResizeAxis) -> Array<Self>;
}

/// Low and high neighbour of each output position and the weight of the high one.
struct Neighbours<T> {
    /// Extent of the input.
    input: usize,
    each: Vec<(usize, usize, T)>,
    /// Whether every output position reads one neighbour only.
    nearest: bool,
}

impl<T: Scalar> Neighbours<T> {
    fn new(axis: &ResizeAxis) -> Self {
        let each = axis.sources.iter().map(|source| (source.low, source.high, T::of(source.weight)));
        Neighbours {
            input: axis.input,
            each: each.collect(),
            nearest: axis.sources.iter().all(|source| source.weight == 0.0),
        }
    }
}

impl<T: Scalar> InterpolateKernel for Cpu<T> {
    fn interpolate_forward(x: &Array<Self>, rows: &ResizeAxis, cols: &ResizeAxis) -> Array<Self> {
        let (rows, cols) = (&Neighbours::new(rows), &Neighbours::new(cols));
        let (x_plane, y_plane) = (rows.input * cols.input, rows.each.len() * cols.each.len());
        let data = x.as_slice();
        let mut y = Buffer::arbitrary(x.len() / x_plane * y_plane);
        let work = 8 * (rows.input * cols.each.len() + y_plane);
        par::for_each_chunk(&mut y, y_plane, work, |plane, y| {
            simd::run(Plane { x: &data[plane * x_plane..][..x_plane], rows, cols, y });
        });
        let leading = &x.shape()[..x.ndim() - 2];
        Array::from_buffer(&[leading, &[rows.each.len(), cols.each.len()]].concat(), y)
    }

    fn interpolate_backward(grad_output: &Array<Self>, rows: &ResizeAxis, cols: &ResizeAxis) -> Array<Self> {
        let (rows, cols) = (&Neighbours::new(rows), &Neighbours::new(cols));
        let (x_plane, y_plane) = (rows.input * cols.input, rows.each.len() * cols.each.len());
        let g = grad_output.as_slice();
        let mut grad = Buffer::arbitrary(grad_output.len() / y_plane * x_plane);
        let work = 8 * (rows.input * cols.each.len() + y_plane);
        par::for_each_chunk(&mut grad, x_plane, work, |plane, grad| {
            simd::run(PlaneGradient { g: &g[plane * y_plane..][..y_plane], rows, cols, grad });
        });
        let leading = &grad_output.shape()[..grad_output.ndim() - 2];
        Array::from_buffer(&[leading, &[rows.input, cols.input]].concat(), grad)
    }
}

/// One plane, resized.
struct Plane<'a, T> {
    x: &'a [T],
    rows: &'a Neighbours<T>,
    cols: &'a Neighbours<T>,
    y: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Plane<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Plane { x, rows, cols, y } = self;
        let width = cols.each.len();
        // Lines of x stretched along the rows, (H, W) -> (H, W'), each when it is first asked for.
        let mut stretched = vec![T::zero(); rows.input * width];
        let mut done = vec![false; rows.input];
        for (y, &(low, high, weight)) in y.chunks_exact_mut(width).zip(&rows.each) {
            for line in [low, high] {
                if !done[line] && (line == low || weight != T::zero()) {
                    let x = &x[line * cols.input..][..cols.input];
                    stretch(x, cols, &mut stretched[line * width..][..width]);
                    done[line] = true;
                }
            }
            // Then along the columns, whole rows at once: (H, W') -> (H', W')
            let low = &stretched[low * width..][..width];
            if weight == T::zero() {
                y.copy_from_slice(low);
            } else {
                let f = Mix { weight: weight.as_f64() };
                lanes::Map { f, x: [low, &stretched[high * width..][..width]], y }.run::<V>();
            }
        }
    }
}

/// `(1 - weight) low + weight high`
#[derive(Clone, Copy)]
struct Mix {
    weight: f64,
}

impl Pointwise<2> for Mix {
    #[inline(always)]
    fn at<V: Vector>(&self, [low, high]: [V; 2]) -> V {
        low * (V::of(1.0) - V::of(self.weight)) + high * V::of(self.weight)
    }
}

/// One line; weight 0 does not look at the high neighbour, which may be infinite.
#[inline(always)]
fn stretch<T: Scalar>(x: &[T], cols: &Neighbours<T>, out: &mut [T]) {
    if cols.nearest {
        out.iter_mut().zip(&cols.each).for_each(|(out, &(low, ..))| *out = x[low]);
        return;
    }
    for (out, &(low, high, weight)) in out.iter_mut().zip(&cols.each) {
        let mixed = (T::one() - weight) * x[low] + weight * x[high];
        *out = if weight == T::zero() { x[low] } else { mixed };
    }
}

/// Gradient of one plane.
struct PlaneGradient<'a, T> {
    g: &'a [T],
    rows: &'a Neighbours<T>,
    cols: &'a Neighbours<T>,
    grad: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for PlaneGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let PlaneGradient { g, rows, cols, grad } = self;
        let width = cols.each.len();
        // y = (1 - w) stretched[low] + w stretched[high]
        let mut stretched = vec![T::zero(); rows.input * width];
        for (g, &(low, high, weight)) in g.chunks_exact(width).zip(&rows.each) {
            if weight == T::zero() {
                rows::add::<V>(&mut stretched[low * width..][..width], g);
            } else {
                rows::add_scaled::<V>(&mut stretched[low * width..][..width], g, T::one() - weight);
                rows::add_scaled::<V>(&mut stretched[high * width..][..width], g, weight);
            }
        }
        // stretched = (1 - w) x[low] + w x[high]
        grad.fill(T::zero());
        for (grad, g) in grad.chunks_exact_mut(cols.input).zip(stretched.chunks_exact(width)) {
            if cols.nearest {
                g.iter().zip(&cols.each).for_each(|(&g, &(low, ..))| grad[low] += g);
                continue;
            }
            for (&g, &(low, high, weight)) in g.iter().zip(&cols.each) {
                grad[low] += (T::one() - weight) * g;
                grad[high] += weight * g;
            }
        }
    }
}

/// Test cases of [`interpolate`].
pub fn cases<B: InterpolateKernel>() -> Vec<Case<B>> {
    let case = |resize: Resize, mode: Interpolation, shape: &[usize]| {
        Case::new("interpolate", format!("{mode:?} to {resize:?}"), shape, move |shape, samples| {
            if shape.len() < 2 || !resize.fits(shape) {
                return None;
            }
            Built::new([("x", samples.normal(shape))], move |v| interpolate(&v[0], resize, mode))
        })
    };
    let bilinear = |align_corners: bool| Interpolation::Bilinear { align_corners };
    vec![
        case(Resize::Size([3, 2]), bilinear(false), &[1, 1, 1, 1]),
        case(Resize::Size([7, 9]), bilinear(false), &[2, 2, 4, 5]),
        case(Resize::Size([7, 9]), bilinear(true), &[1, 2, 4, 5]),
        case(Resize::Size([1, 3]), bilinear(true), &[1, 2, 3, 5]),
        case(Resize::Size([3, 4]), bilinear(false), &[1, 2, 7, 9]),
        case(Resize::Scale([1.7, 0.6]), bilinear(false), &[1, 2, 5, 6]),
        case(Resize::Scale([2.5, 1.5]), bilinear(true), &[3, 4]),
        case(Resize::Size([7, 4]), Interpolation::Nearest, &[1, 2, 5, 6]),
        case(Resize::Scale([2.0, 3.0]), Interpolation::Nearest, &[1, 2, 2, 3]),
        case(Resize::Size([4, 4]), bilinear(false), &[0, 2, 3, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    fn resized(x: &[f64], shape: [usize; 2], resize: Resize, mode: Interpolation) -> Vec<f64> {
        let tape = Tape::inference(Cpu::<f64>::new());
        let x = tape.constant(Array::host(&shape, x.to_vec()));
        interpolate(&x, resize, mode).value().as_slice().to_vec()
    }

    #[test]
    fn a_linear_ramp_stays_linear_with_aligned_corners() {
        let ramp: Vec<f64> = (0..3 * 4).map(|i| (i / 4) as f64 * 10.0 + (i % 4) as f64).collect();
        let mode = Interpolation::Bilinear { align_corners: true };
        for (i, y) in resized(&ramp, [3, 4], Resize::Size([5, 10]), mode).into_iter().enumerate() {
            let expected = (i / 10) as f64 * 5.0 + (i % 10) as f64 / 3.0;
            assert!((y - expected).abs() < 1e-13, "{i}: {y} {expected}");
        }
    }

    #[test]
    fn an_infinite_neighbour_of_weight_zero_does_not_matter() {
        let x = [1.0, f64::INFINITY, 2.0, 3.0];
        for mode in [Interpolation::Nearest, Interpolation::Bilinear { align_corners: false }] {
            assert_eq!(resized(&x, [2, 2], Resize::Size([2, 2]), mode), x);
        }
    }

    #[test]
    fn a_constant_image_stays_constant_and_its_gradient_keeps_its_sum() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(Array::host(&[3, 4], vec![2.5; 12]));
        let mode = Interpolation::Bilinear { align_corners: false };
        let y = interpolate(&x, Resize::Size([8, 5]), mode);
        assert!(y.value().as_slice().iter().all(|y| (y - 2.5).abs() < 1e-15));
        let gradients = tape.backward_with(&[(&y, Array::host(&[8, 5], vec![1.0; 40]))]);
        assert!((gradients.of(&x).unwrap().as_slice().iter().sum::<f64>() - 40.0).abs() < 1e-13);
    }
}
