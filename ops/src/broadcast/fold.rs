//! Reducing an array over some of its axes.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Lanes, Vector, math};

use super::Layout;
use crate::par;

/// A reduction of many numbers to one that may be taken in parts, written once for vectors of any width.
///
/// Each step sees a *pivot* besides the element: the number at the same place of an array of the
/// result's shape (the maximum in a log-sum-exp, the mean in a variance), or 0 where there is none.
///
/// Its methods must be marked `#[inline(always)]`.
pub trait Fold: Sync {
    /// The result of reducing nothing.
    fn start<V: Vector>(&self) -> V;

    /// Takes in one element in each lane.
    fn step<V: Vector>(&self, so_far: V, x: V, pivot: V) -> V;

    /// Joins the results of two parts in each lane.
    fn merge<V: Vector>(&self, a: V, b: V) -> V;
}

/// The sum.
pub struct Sum;

impl Fold for Sum {
    #[inline(always)]
    fn start<V: Vector>(&self) -> V {
        V::zero()
    }

    #[inline(always)]
    fn step<V: Vector>(&self, so_far: V, x: V, _: V) -> V {
        so_far + x
    }

    #[inline(always)]
    fn merge<V: Vector>(&self, a: V, b: V) -> V {
        a + b
    }
}

/// The maximum, NaN if there is one.
pub struct Max;

impl Fold for Max {
    #[inline(always)]
    fn start<V: Vector>(&self) -> V {
        V::of(f64::NEG_INFINITY)
    }

    #[inline(always)]
    fn step<V: Vector>(&self, so_far: V, x: V, _: V) -> V {
        self.merge(so_far, x)
    }

    #[inline(always)]
    fn merge<V: Vector>(&self, a: V, b: V) -> V {
        // False for NaN on either side: a NaN already found stays, a new one is taken.
        V::select(a.is_nan(), a, V::select(b.lt(a), a, b))
    }
}

/// The sum of exponentials of differences from the pivot.
pub struct SumExp;

impl Fold for SumExp {
    #[inline(always)]
    fn start<V: Vector>(&self) -> V {
        V::zero()
    }

    #[inline(always)]
    fn step<V: Vector>(&self, so_far: V, x: V, pivot: V) -> V {
        so_far + math::exp(x - pivot)
    }

    #[inline(always)]
    fn merge<V: Vector>(&self, a: V, b: V) -> V {
        a + b
    }
}

/// Elements above which one result is computed in parts of this size.
const PART: usize = 1 << 15;
/// Results from which on there is enough to do without such parts.
const ENOUGH: usize = 16;
/// Neighbouring results that one task takes through all rows, where there are many.
const COLUMNS: usize = 512;

/// Reduces `x` of shape `shape` over the axes along which `to` would be repeated to give `shape`.
/// `pivot`, where given, has shape `to`.
///
/// The order of the additions depends on the shapes alone.
///
/// # Examples
/// ```
/// use termwise_ops::broadcast::{Max, Sum, fold};
/// let x = [1.0, 2.0, 3.0, 10.0, 20.0, 30.0];
/// assert_eq!(fold(&Sum, &x, &[2, 3], &[2, 1], None)[..], [6.0, 60.0]);
/// assert_eq!(fold(&Sum, &x, &[2, 3], &[3], None)[..], [11.0, 22.0, 33.0]);
/// assert_eq!(fold(&Max, &x, &[2, 3], &[], None)[..], [30.0]);
/// ```
pub fn fold<T: Scalar, F: Fold>(
    f: &F,
    x: &[T],
    shape: &[usize],
    to: &[usize],
    pivot: Option<&[T]>,
) -> Buffer<T> {
    let plan = &Plan::new(shape, to);
    let mut out = Buffer::arbitrary(to.iter().product());
    let (width, depth) = (plan.width, plan.reduced.len());
    let zeros;
    let pivot = match pivot {
        Some(pivot) => pivot,
        None => {
            zeros = Buffer::zeros(out.len());
            &zeros
        }
    };
    let reduce = |first, rows: std::ops::Range<usize>, out: &mut [T]| {
        simd::run(Rows { f, plan, x, pivot, first, rows, out });
    };
    if out.is_empty() || width == 0 {
        return out;
    }
    let results = out.len() / width;
    if width >= 2 * COLUMNS || results >= ENOUGH || width * depth <= PART {
        // A task takes some columns of a row of results, or, where rows are short, some rows.
        let chunk =
            if width >= 2 * COLUMNS { COLUMNS } else { width * (PART / 4 / (width * depth).max(1)).max(1) };
        let per_row = width.div_ceil(chunk).max(1);
        if per_row == 1 {
            par::for_each_chunk(&mut out, chunk, chunk * depth, |i, out| reduce(i * chunk, 0..depth, out));
        } else {
            for (row, out) in out.chunks_mut(width).enumerate() {
                par::for_each_chunk(out, chunk, chunk * depth, |i, out| {
                    reduce(row * width + i * chunk, 0..depth, out);
                });
            }
        }
        return out;
    }
    let part = (PART / width).max(1);
    let parts = depth.div_ceil(part);
    let mut partial = Buffer::arbitrary(results * parts * width);
    par::for_each_chunk(&mut partial, width, width * part, |task, partial| {
        let first = task % parts * part;
        reduce(task / parts * width, first..depth.min(first + part), partial);
    });
    for (out, partial) in out.chunks_mut(width).zip(partial.chunks(parts * width)) {
        simd::run(Merge { f, partial, out });
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
}

/// Reduces the elements `rows` of the results `first ..` of a plan. The results are some columns of one
/// row of results, or whole rows.
struct Rows<'a, F, T> {
    f: &'a F,
    plan: &'a Plan,
    x: &'a [T],
    pivot: &'a [T],
    first: usize,
    rows: std::ops::Range<usize>,
    out: &'a mut [T],
}

impl<T: Scalar, F: Fold> Kernel<T> for Rows<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Rows { f, plan, x, pivot, first, rows, out } = self;
        let width = plan.width;
        let pivot = &pivot[first..first + out.len()];
        for (i, (out, pivot)) in out.chunks_mut(width).zip(pivot.chunks(width)).enumerate() {
            let ([base], column) = (plan.kept.offsets(first / width + i), first % width);
            let x = &x[(base + column).min(x.len())..];
            if width == 1 {
                out[0] = along::<V, F>(f, plan, x, V::splat(pivot[0]), rows.clone());
            } else {
                across::<V, F>(f, plan, x, pivot, rows.clone(), out);
            }
        }
    }
}

/// One result, whose elements lie in contiguous runs.
#[inline(always)]
fn along<V: Vector, F: Fold>(
    f: &F,
    plan: &Plan,
    x: &[V::Element],
    pivot: V,
    elements: std::ops::Range<usize>,
) -> V::Element {
    // Independent partial results hide the latency of a step, and shorter chains lose fewer digits.
    let mut sums = [f.start::<V>(); 4];
    let mut place = elements.start;
    while place < elements.end {
        let (len, [offset]) = plan.reduced.run_at(place, elements.end - place);
        place += len;
        let run = &x[offset..][..len];
        let mut blocks = run.chunks_exact(4 * V::LANES);
        for block in &mut blocks {
            for (sum, x) in sums.iter_mut().zip(block.chunks_exact(V::LANES)) {
                *sum = f.step(*sum, V::from_slice(x), pivot);
            }
        }
        for (sum, x) in sums.iter_mut().zip(blocks.remainder().chunks(V::LANES)) {
            *sum = f.step(*sum, V::from_slice(x), pivot).with_rest(x.len(), *sum);
        }
    }
    let sum = f.merge(f.merge(sums[0], sums[1]), f.merge(sums[2], sums[3]));
    // Halves onto each other, then quarters, ..
    let mut lanes = Lanes::of(sum);
    let mut half = V::LANES / 2;
    while half > 0 {
        let lanes = lanes.as_mut_slice();
        let folded = f.merge(V::from_slice(&lanes[..half]), V::from_slice(&lanes[half..2 * half]));
        folded.write_to(&mut lanes[..half]);
        half /= 2;
    }
    lanes.as_mut_slice()[0]
}

/// Neighbouring results, each row of elements as wide as they.
#[inline(always)]
fn across<V: Vector, F: Fold>(
    f: &F,
    plan: &Plan,
    x: &[V::Element],
    pivot: &[V::Element],
    rows: std::ops::Range<usize>,
    out: &mut [V::Element],
) {
    for out in out.chunks_mut(V::LANES) {
        f.start::<V>().write_to(out);
    }
    let ([step], mut place) = (plan.reduced.steps(), rows.start);
    while place < rows.end {
        let (count, [offset]) = plan.reduced.run_at(place, rows.end - place);
        place += count;
        for i in 0..count {
            let row = &x[offset + i * step..][..out.len()];
            let columns = out.chunks_mut(V::LANES).zip(row.chunks(V::LANES)).zip(pivot.chunks(V::LANES));
            for ((out, x), pivot) in columns {
                let sum = f.step(V::from_slice(out), V::from_slice(x), V::from_slice(pivot));
                sum.write_to(out);
            }
        }
    }
}

/// Merges rows of partial results in order.
struct Merge<'a, F, T> {
    f: &'a F,
    partial: &'a [T],
    out: &'a mut [T],
}

impl<T: Scalar, F: Fold> Kernel<T> for Merge<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let width = self.out.len();
        self.out.copy_from_slice(&self.partial[..width]);
        for row in self.partial[width..].chunks(width) {
            for (out, x) in self.out.chunks_mut(V::LANES).zip(row.chunks(V::LANES)) {
                self.f.merge(V::from_slice(out), V::from_slice(x)).write_to(out);
            }
        }
    }
}
