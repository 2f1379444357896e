//! Every `step`-th element of a range along each axis.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Op, Var, apply};

use super::strided::{StridedKernel, Window};
use crate::shape;

/// The part of `x` that `ranges`, one `[start, stop, step]` for each of the first axes, picks out.
///
/// As in Python, `start` and `stop` count from the end where negative and are cut to the extent.
/// Axes without a range stay whole.
///
/// # Formula
/// `y[i, j, ..] = x[start_0 + i step_0, start_1 + j step_1, ..]`
///
/// # Shapes
/// `x`: any. `y`: `ceil((stop - start) / step)` along each axis, 0 where `stop <= start`.
///
/// # Gradient
/// `dx` is `dy` where elements were picked, 0 elsewhere.
///
/// # Panics
/// If there are more ranges than axes or a step is below 1.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[2, 5], (0..10).map(f64::from).collect()));
/// let y = termwise_ops::slice(&x, &[[1, 2, 1], [0, -1, 2]]);
/// assert_eq!((y.shape(), y.value().as_slice()), (&[1, 2][..], &[5.0, 7.0][..]));
/// ```
#[track_caller]
pub fn slice<B: StridedKernel>(x: &Var<B>, ranges: &[[isize; 3]]) -> Var<B> {
    let shape = x.shape();
    assert!(ranges.len() <= shape.len(), "slice: {} ranges for shape {shape:?}", ranges.len());
    let mut window = Window::whole(shape);
    for (axis, &[start, stop, step]) in ranges.iter().enumerate() {
        assert!(step >= 1, "slice: step {step} along axis {axis} of shape {shape:?} must be at least 1");
        let extent = shape[axis] as isize;
        let place = |i: isize| (if i < 0 { i + extent } else { i }).clamp(0, extent) as usize;
        let (start, stop) = (place(start), place(stop));
        let len = stop.saturating_sub(start).div_ceil(step as usize);
        window = window.narrow(axis, if len == 0 { 0 } else { start }, len, step as usize);
    }
    apply(Slice { window, input: shape.to_vec() }, [x])
}

/// The elements `start .. start + len` of `x` along `axis`; see [`slice()`].
///
/// # Panics
/// If the axis or the range is outside the shape.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[2, 3], (0..6).map(f64::from).collect()));
/// assert_eq!(termwise_ops::narrow(&x, 1, 1, 2).value().as_slice(), [1.0, 2.0, 4.0, 5.0]);
/// ```
#[track_caller]
pub fn narrow<B: StridedKernel>(x: &Var<B>, axis: isize, start: usize, len: usize) -> Var<B> {
    let shape = x.shape();
    let axis = shape::axis("narrow", axis, shape);
    assert!(
        start + len <= shape[axis],
        "narrow: {start} .. {} exceeds axis {axis} of shape {shape:?}",
        start + len
    );
    // Every element of an empty range lies outside; the window must not.
    let window = Window::whole(shape).narrow(axis, if len == 0 { 0 } else { start }, len, 1);
    apply(Slice { window, input: shape.to_vec() }, [x])
}

struct Slice {
    window: Window,
    input: Vec<usize>,
}

impl<B: StridedKernel> Op<B, 1> for Slice {
    type Saved = ();

    fn name(&self) -> &'static str {
        "slice"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::read_window(x, &self.window), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y is a window of x  =>  dx is 0 but for that window, which is dy
        [Some(B::write_windows(&self.input, 0.0, &[(grad_output, self.window.clone())]))]
    }
}

/// Test cases of [`slice()`].
pub fn cases<B: StridedKernel>() -> Vec<Case<B>> {
    let case = |ranges: &'static [[isize; 3]], shape: &[usize]| {
        Case::new("slice", format!("{ranges:?}"), shape, move |shape, samples| {
            (ranges.len() <= shape.len()).then_some(())?;
            Built::new([("x", samples.normal(shape))], move |v| slice(&v[0], ranges))
        })
    };
    vec![
        case(&[[0, 1, 1]], &[1]),
        case(&[[1, 4, 1], [0, 6, 2]], &[5, 6]),
        case(&[[0, 3, 2], [1, 3, 1], [2, 5, 1]], &[3, 4, 5]),
        case(&[[-3, -1, 1]], &[5, 3]),
        case(&[[0, 2, 1], [-100, 100, 3]], &[2, 7]),
        case(&[[2, 2, 1]], &[4, 3]),
        case(&[[0, 9, 1]], &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    #[test]
    #[should_panic(expected = "slice: step 0 along axis 1 of shape [2, 3] must be at least 1")]
    fn a_step_of_zero_is_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        slice(&tape.leaf(Array::zeros(&Cpu::new(), &[2, 3])), &[[0, 2, 1], [0, 3, 0]]);
    }

    #[test]
    fn empty_ranges_at_the_end_are_legal() {
        let tape = Tape::new(Cpu::<f32>::new());
        let x = tape.leaf(Array::zeros(&Cpu::new(), &[2, 3]));
        assert_eq!(slice(&x, &[[2, 2, 1], [3, 1, 1]]).shape(), [0, 0]);
        assert_eq!(narrow(&x, 1, 3, 0).shape(), [2, 0]);
    }
}
