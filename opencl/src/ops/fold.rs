//! Reducing an array over some axes: `kernels/common/fold.cl` around the reduction of each op.

use termwise_autograd::Array;

use crate::layout::Strides;
use crate::program::{Source, source};
use crate::{OpenCl, Real};

/// Work-items that keep a large device busy.
const ENOUGH_ITEMS: usize = 1 << 16;
/// Work-groups that do.
const ENOUGH_GROUPS: usize = 1 << 10;
/// Elements that are worth a part of their own, for a work-item and for a work-group.
const PART: [usize; 2] = [64, 1024];

/// The kernels of a fold: per item, per group, and joining parts.
fn kernels(source: Source) -> [&'static str; 3] {
    macro_rules! names {
        ($op:literal) => {
            [concat!($op, "_fold_items"), concat!($op, "_fold_groups"), concat!($op, "_fold_parts")]
        };
    }
    match source.file {
        "tensor/sum.cl" => names!("sum"),
        "tensor/amax.cl" => names!("amax"),
        "tensor/logsumexp.cl" => names!("logsumexp"),
        "tensor/var.cl" => names!("var"),
        file => panic!("OpenCL: {file} is no fold"),
    }
}

/// `factor` times `x` reduced over the axes along which `to` would be repeated to give its shape. `pivot`, where
/// given, has shape `to`.
///
/// The order in which elements are joined depends on the shapes alone.
pub(crate) fn fold<T: Real>(
    source: Source,
    x: &Array<OpenCl<T>>,
    to: &[usize],
    pivot: Option<&Array<OpenCl<T>>>,
    factor: f64,
) -> Array<OpenCl<T>> {
    let (backend, shape) = (x.backend(), x.shape());
    let (mut kept, mut reduced, mut step) = (vec![], vec![], 1);
    for (from_last, &extent) in shape.iter().rev().enumerate() {
        let own = to.iter().rev().nth(from_last).copied().unwrap_or(1);
        if own == extent {
            kept.push((extent, [step]))
        } else {
            reduced.push((extent, [step]))
        }
        step *= extent;
    }
    // Results that are neighbours in x are each a work-item's.
    let neighbours = kept.iter().find(|(extent, _)| *extent > 1).is_some_and(|(_, [step])| *step == 1);
    let kept = Strides::from_axes(kept.into_iter().rev());
    let reduced = Strides::from_axes(reduced.into_iter().rev());
    let (results, count) = (kept.len(), reduced.len());
    let out = backend.arbitrary(to);
    if results == 0 {
        return out;
    }
    let by_items = (neighbours && results >= 8) || count < 8;
    let (parts, length) = if by_items { item_parts(results, count) } else { group_parts(results, count) };
    let [items, groups, join] = kernels(source);
    let first = if parts == 1 { out.clone() } else { backend.arbitrary(&[parts, results]) };
    let launch = backend.launch(source, if by_items { items } else { groups });
    let launch = launch.array(x).optional(pivot).array(&first).strides(&kept).strides(&reduced);
    let launch = launch.int(results).int(count).int(parts).int(length);
    let launch = launch.real(if parts == 1 { factor } else { 1.0 });
    if by_items {
        launch.items(results * parts)
    } else {
        launch.groups(results * parts)
    }
    if parts > 1 {
        let launch = backend.launch(source, join).array(&first).array(&out);
        launch.int(results).int(parts).real(factor).items(results);
    }
    out
}

/// The number of parts that sums of `count` terms are taken in, and the terms of each, where a work-item computes one
/// part of one of `results`.
pub(crate) fn item_parts(results: usize, count: usize) -> (usize, usize) {
    parts(results, count, PART[0], ENOUGH_ITEMS)
}

/// The same where a work-group does.
pub(crate) fn group_parts(results: usize, count: usize) -> (usize, usize) {
    parts(results, count, PART[1], ENOUGH_GROUPS)
}

fn parts(results: usize, count: usize, part: usize, enough: usize) -> (usize, usize) {
    let parts = count.div_ceil(part).min(enough.div_ceil(results.max(1))).max(1);
    (parts, count.div_ceil(parts))
}

/// The sum, in order, of the `parts` arrays of a shape that lie one after another in `partial`.
pub(crate) fn sum_parts<T: Real>(
    partial: Array<OpenCl<T>>,
    shape: &[usize],
    parts: usize,
) -> Array<OpenCl<T>> {
    if parts == 1 {
        return partial.reshape(shape);
    }
    let backend = partial.backend();
    if parts == 0 {
        return Array::zeros(backend, shape);
    }
    let sum = backend.arbitrary(shape);
    let launch = backend.launch(source!("tensor/sum", "fold"), "sum_fold_parts").array(&partial).array(&sum);
    launch.int(sum.len()).int(parts).real(1.0).items(sum.len());
    sum
}
