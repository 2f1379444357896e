//! Reducing an array over some of its axes.

use termwise_autograd::Scalar;

use super::Layout;
use crate::par;

/// A reduction of many numbers to one that may be taken in parts.
///
/// Each step sees a *pivot* besides the element: the number at the same place of an array of the
/// result's shape (the maximum in a log-sum-exp, the mean in a variance), or 0 where there is none.
pub trait Fold: Sync {
    /// The result of reducing nothing.
    fn start<T: Scalar>(&self) -> T;

    /// Takes in one element.
    fn step<T: Scalar>(&self, so_far: T, x: T, pivot: T) -> T;

    /// Joins the results of two parts.
    fn merge<T: Scalar>(&self, a: T, b: T) -> T;
}

/// The sum.
pub struct Sum;

impl Fold for Sum {
    fn start<T: Scalar>(&self) -> T {
        T::zero()
    }

    fn step<T: Scalar>(&self, so_far: T, x: T, _: T) -> T {
        so_far + x
    }

    fn merge<T: Scalar>(&self, a: T, b: T) -> T {
        a + b
    }
}

/// The maximum, NaN if there is one.
pub struct Max;

impl Fold for Max {
    fn start<T: Scalar>(&self) -> T {
        T::neg_infinity()
    }

    fn step<T: Scalar>(&self, so_far: T, x: T, _: T) -> T {
        self.merge(so_far, x)
    }

    fn merge<T: Scalar>(&self, a: T, b: T) -> T {
        // False for NaN on either side: a NaN already found stays, a new one is taken.
        if a >= b || a.is_nan() { a } else { b }
    }
}

/// The sum of exponentials of differences from the pivot.
pub struct SumExp;

impl Fold for SumExp {
    fn start<T: Scalar>(&self) -> T {
        T::zero()
    }

    fn step<T: Scalar>(&self, so_far: T, x: T, pivot: T) -> T {
        so_far + (x - pivot).exp()
    }

    fn merge<T: Scalar>(&self, a: T, b: T) -> T {
        a + b
    }
}

/// Independent partial results along contiguous elements: they fill a vector register, and shorter
/// chains of additions lose fewer digits.
const LANES: usize = 8;
/// Elements above which one result is computed in parts of this size.
const PART: usize = 1 << 15;
/// Results from which on there is enough to do without such parts.
const ENOUGH: usize = 16;

/// Reduces `x` of shape `shape` over the axes along which `to` would be repeated to give `shape`.
/// `pivot`, where given, has shape `to`.
///
/// The order of the additions depends on the shapes alone.
pub fn fold<T: Scalar, F: Fold>(
    f: &F,
    x: &[T],
    shape: &[usize],
    to: &[usize],
    pivot: Option<&[T]>,
) -> Vec<T> {
    let plan = Plan::new(shape, to);
    let mut out = vec![f.start(); to.iter().product()];
    if out.is_empty() || x.is_empty() {
        return out;
    }
    let (width, depth) = (plan.width, plan.reduced.len());
    let pivot = |o: usize| pivot.map(|pivot| &pivot[o * width..][..width]);
    if out.len() / width >= ENOUGH || width * depth <= PART {
        par::for_each_chunk(&mut out, width, width * depth, |o, out| {
            plan.row(f, x, o, 0, depth, pivot(o), out)
        });
        return out;
    }
    let part = (PART / width).max(1);
    let parts = depth.div_ceil(part);
    let partial = par::map(out.len() / width * parts, width * part, |task| {
        let (o, first) = (task / parts, task % parts * part);
        let mut row = vec![f.start(); width];
        plan.row(f, x, o, first, part.min(depth - first), pivot(o), &mut row);
        row
    });
    for (out, partial) in out.chunks_mut(width).zip(partial.chunks(parts)) {
        for row in partial {
            out.iter_mut().zip(row).for_each(|(out, &v)| *out = f.merge(*out, v));
        }
    }
    out
}

/// Which loops of a reduction run over results and which over the elements of one result.
struct Plan {
    /// Axes that stay, without the innermost one where that stays.
    kept: Layout<1>,
    reduced: Layout<1>,
    /// Results computed together: the extent of the innermost axis where it stays, else 1.
    width: usize,
}

impl Plan {
    fn new(shape: &[usize], to: &[usize]) -> Self {
        let missing = shape.len() - to.len();
        let own = |axis: usize| if axis < missing { 1 } else { to[axis - missing] };
        let mut stride = 1;
        // (extent, stride in x, stays), innermost first; neighbours of one kind are joined.
        let mut axes: Vec<(usize, usize, bool)> = Vec::new();
        for (axis, &extent) in shape.iter().enumerate().rev() {
            let stays = own(axis) == extent;
            match axes.last_mut() {
                _ if extent == 1 => {}
                Some((len, _, kind)) if *kind == stays => *len *= extent,
                _ => axes.push((extent, stride, stays)),
            }
            stride *= extent;
        }
        let inner_stays = axes.first().is_some_and(|axis| axis.2);
        let width = if inner_stays { axes.remove(0).0 } else { 1 };
        let layout = |stays: bool| {
            Layout::from_axes(axes.iter().rev().filter(|axis| axis.2 == stays).map(|axis| (axis.0, [axis.1])))
        };
        Plan { kept: layout(true), reduced: layout(false), width }
    }

    /// Takes the elements `first .. first + len` of row `o` of results into `out`.
    #[allow(clippy::too_many_arguments)]
    fn row<T: Scalar, F: Fold>(
        &self,
        f: &F,
        x: &[T],
        o: usize,
        first: usize,
        len: usize,
        pivot: Option<&[T]>,
        out: &mut [T],
    ) {
        let [base] = self.kept.offsets(o);
        let [step] = self.reduced.steps();
        if self.width > 1 {
            let zeros;
            let pivot = match pivot {
                Some(pivot) => pivot,
                None => {
                    zeros = vec![T::zero(); self.width];
                    &zeros
                }
            };
            self.reduced.for_each_run(first, len, |_, count, [offset]| {
                for i in 0..count {
                    let row = &x[base + offset + i * step..][..out.len()];
                    for ((out, &x), &pivot) in out.iter_mut().zip(row).zip(pivot) {
                        *out = f.step(*out, x, pivot);
                    }
                }
            });
            return;
        }
        let pivot = pivot.map_or(T::zero(), |pivot| pivot[0]);
        let mut lanes = [f.start::<T>(); LANES];
        self.reduced.for_each_run(first, len, |_, count, [offset]| {
            let blocks = x[base + offset..][..count].chunks_exact(LANES);
            let rest = blocks.remainder();
            for block in blocks {
                for (lane, &x) in lanes.iter_mut().zip(block) {
                    *lane = f.step(*lane, x, pivot);
                }
            }
            for (lane, &x) in lanes.iter_mut().zip(rest) {
                *lane = f.step(*lane, x, pivot);
            }
        });
        out[0] = lanes.into_iter().fold(out[0], |sum, lane| f.merge(sum, lane));
    }
}
