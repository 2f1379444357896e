//! Elements added around an array, or cut off it.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Op, Var, apply};

use super::index_select::IndexSelectKernel;
use super::strided::{StridedKernel, Window};

/// What the added elements hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// One number.
    Constant(f64),
    /// The array mirrored at its edge, the edge itself not repeated: `c b | a b c | b a`.
    Reflect,
    /// The element at the edge: `a a | a b c | c c`.
    Replicate,
}

/// `x` with elements added before and after each axis, or removed where the number is negative.
///
/// `padding` is, for the last axis first, how many to add before and after: `[left, right, top, bottom]` for
/// an image. Axes that are not mentioned stay as they are.
///
/// # Formula
/// `y[i] = x[i - before]` along each axis, and what [`PadMode`] says where that is outside `x`.
///
/// # Shapes
/// `x`: any. `y`: `before + extent + after` along each axis.
///
/// # Gradient
/// `dx` is the sum of `dy` over the elements that hold the same one of `x`; a constant takes none.
///
/// # Panics
/// If `padding` has an odd length or more pairs than `x` has axes, more is removed than there is, or a mode
/// other than constant has nothing to take from: reflection adds fewer elements than the extent,
/// replication needs one.
///
/// # Examples
/// ```
/// use ndarray::arr1;
/// use termwise_autograd::{Cpu, Tape};
/// use termwise_ops::{PadMode, pad};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr1(&[1.0, 2.0, 3.0]).into());
/// assert_eq!(pad(&x, &[1, -1], PadMode::Constant(9.0)).value().as_slice(), [9.0, 1.0, 2.0]);
/// assert_eq!(pad(&x, &[2, 0], PadMode::Replicate).value().as_slice(), [1.0, 1.0, 1.0, 2.0, 3.0]);
/// let y = pad(&x, &[1, 1], PadMode::Reflect);
/// assert_eq!(y.value().as_slice(), [2.0, 1.0, 2.0, 3.0, 2.0]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[1.0, 2.0, 3.0, 4.0, 5.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [2.0, 9.0, 4.0]);
/// ```
#[track_caller]
pub fn pad<B: StridedKernel + IndexSelectKernel>(x: &Var<B>, padding: &[isize], mode: PadMode) -> Var<B> {
    let shape = x.shape();
    assert!(
        padding.len().is_multiple_of(2) && padding.len() / 2 <= shape.len(),
        "pad: padding {padding:?} must be pairs, at most one for each axis of shape {shape:?}"
    );
    // (before, after) of each axis, first axis first.
    let mut amounts = vec![(0, 0); shape.len()];
    for (from_last, pair) in padding.chunks_exact(2).enumerate() {
        amounts[shape.len() - 1 - from_last] = (pair[0], pair[1]);
    }
    for (axis, &(before, after)) in amounts.iter().enumerate() {
        let extent = shape[axis] as isize;
        assert!(
            before.min(0) + extent + after.min(0) >= 0,
            "pad: {before} and {after} remove more than axis {axis} of shape {shape:?} has"
        );
        let enough = match mode {
            PadMode::Constant(_) => true,
            PadMode::Reflect => before.max(after) < extent.max(1),
            PadMode::Replicate => before.max(after) <= 0 || extent > 0,
        };
        assert!(
            enough,
            "pad: axis {axis} of shape {shape:?} is too short for {mode:?} by {before} and {after}"
        );
    }
    match mode {
        PadMode::Constant(value) => apply(PadConstant::new(shape, &amounts, value), [x]),
        PadMode::Reflect => apply(PadFromWithin::new(shape, &amounts, reflected), [x]),
        PadMode::Replicate => {
            apply(PadFromWithin::new(shape, &amounts, |i, extent| i.clamp(0, extent - 1)), [x])
        }
    }
}

/// The place in `0 .. extent` that place `i` mirrors.
fn reflected(i: isize, extent: isize) -> isize {
    if i < 0 {
        -i
    } else if i >= extent {
        2 * (extent - 1) - i
    } else {
        i
    }
}

struct PadConstant {
    value: f64,
    input: Vec<usize>,
    output: Vec<usize>,
    /// The part of `x` that is left.
    from: Window,
    /// Where it lies in `y`.
    to: Window,
}

impl PadConstant {
    fn new(shape: &[usize], amounts: &[(isize, isize)], value: f64) -> Self {
        let output: Vec<usize> = shape
            .iter()
            .zip(amounts)
            .map(|(&n, &(before, after))| (n as isize + before + after) as usize)
            .collect();
        let (mut from, mut to) = (Window::whole(shape), Window::whole(&output));
        for (axis, &(before, after)) in amounts.iter().enumerate() {
            let left = (shape[axis] as isize + before.min(0) + after.min(0)) as usize;
            // Of an empty rest every place lies outside; the window must not.
            let place = |start: isize| if left == 0 { 0 } else { start.max(0) as usize };
            from = from.narrow(axis, place(-before), left, 1);
            to = to.narrow(axis, place(before), left, 1);
        }
        PadConstant { value, input: shape.to_vec(), output, from, to }
    }
}

/// What the window shows of `x`; not a copy where that is all.
fn read<B: StridedKernel>(x: &Array<B>, window: &Window) -> Array<B> {
    if *window == Window::whole(x.shape()) { x.clone() } else { B::read_window(x, window) }
}

impl<B: StridedKernel> Op<B, 1> for PadConstant {
    type Saved = ();

    fn name(&self) -> &'static str {
        "pad"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        let left = read(x, &self.from);
        (B::write_windows(&self.output, self.value, &[(&left, self.to.clone())]), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // window `to` of y is window `from` of x  =>  window `from` of dx is window `to` of dy
        let left = read(grad_output, &self.to);
        [Some(B::write_windows(&self.input, 0.0, &[(&left, self.from.clone())]))]
    }
}

struct PadFromWithin {
    /// For each axis that changes: the axis, its extent in `x`, and where each element comes from.
    axes: Vec<(usize, usize, Vec<usize>)>,
}

impl PadFromWithin {
    fn new(shape: &[usize], amounts: &[(isize, isize)], source: fn(isize, isize) -> isize) -> Self {
        let changed = amounts.iter().enumerate().filter(|(_, amount)| **amount != (0, 0));
        let axes = changed.map(|(axis, &(before, after))| {
            let extent = shape[axis] as isize;
            let places = (-before..extent + after).map(|i| source(i, extent) as usize);
            (axis, shape[axis], places.collect())
        });
        PadFromWithin { axes: axes.collect() }
    }
}

impl<B: IndexSelectKernel> Op<B, 1> for PadFromWithin {
    type Saved = ();

    fn name(&self) -> &'static str {
        "pad"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        let y = self
            .axes
            .iter()
            .fold(x.clone(), |x, (axis, _, places)| B::index_select_forward(&x, places, *axis));
        (y, ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // each axis: y_i = x[place_i]  =>  dx[place_i] += dy_i, the last axis first
        let grad = self.axes.iter().rev().fold(grad_output.clone(), |grad, (axis, extent, places)| {
            B::index_select_backward(&grad, places, *axis, *extent)
        });
        [Some(grad)]
    }
}

/// Test cases of [`pad`].
pub fn cases<B: StridedKernel + IndexSelectKernel>() -> Vec<Case<B>> {
    let case = |padding: &'static [isize], mode: PadMode, shape: &[usize]| {
        Case::new("pad", format!("{padding:?}, {mode:?}"), shape, move |shape, samples| {
            let most = padding.iter().map(|n| n.unsigned_abs()).max().unwrap_or(0);
            let fits = padding.len() / 2 <= shape.len() && shape.iter().all(|&n| n > 2 * most);
            let constant_growth = matches!(mode, PadMode::Constant(_)) && padding.iter().all(|&n| n >= 0);
            (fits || constant_growth && padding.len() / 2 <= shape.len()).then_some(())?;
            Built::new([("x", samples.normal(shape))], move |v| pad(&v[0], padding, mode))
        })
    };
    vec![
        case(&[2, 1], PadMode::Constant(1.5), &[1]),
        case(&[1, 2, 0, 3], PadMode::Constant(0.0), &[1, 2, 3, 4]),
        case(&[1, 2], PadMode::Constant(-1.0), &[3, 0]),
        case(&[-1, 2, 1, -2], PadMode::Constant(0.0), &[5, 6]),
        case(&[1, 2, 2, 1], PadMode::Reflect, &[5, 6]),
        case(&[-1, 2], PadMode::Reflect, &[5, 7]),
        case(&[1, 0, 2, 2], PadMode::Replicate, &[5, 6]),
        case(&[0, 0, 2, -1], PadMode::Replicate, &[5, 5]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    fn pad_zeros(shape: &[usize], padding: &[isize], mode: PadMode) -> Vec<usize> {
        let tape = Tape::new(Cpu::<f32>::new());
        pad(&tape.leaf(Array::zeros(&Cpu::new(), shape)), padding, mode).shape().to_vec()
    }

    #[test]
    #[should_panic(expected = "pad: axis 1 of shape [2, 3] is too short for Reflect by 3 and 0")]
    fn reflection_beyond_the_other_edge_is_refused() {
        pad_zeros(&[2, 3], &[3, 0], PadMode::Reflect);
    }

    #[test]
    #[should_panic(expected = "pad: -2 and -2 remove more than axis 1 of shape [2, 3] has")]
    fn removing_more_than_there_is_is_refused() {
        pad_zeros(&[2, 3], &[-2, -2], PadMode::Constant(0.0));
    }

    #[test]
    fn removing_everything_and_adding_to_nothing_are_legal() {
        assert_eq!(pad_zeros(&[2, 3], &[-2, -1], PadMode::Constant(0.0)), [2, 0]);
        assert_eq!(pad_zeros(&[2, 3], &[-3, 2], PadMode::Constant(0.0)), [2, 2]);
        assert_eq!(pad_zeros(&[2, 0], &[2, 2, 1, 1], PadMode::Constant(0.0)), [4, 4]);
    }
}
