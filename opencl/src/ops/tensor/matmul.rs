//! Matrix products: one tiled kernel for all operands, transposed or not.

use termwise_autograd::Array;
use termwise_ops::broadcast::Layout;
use termwise_ops::tensor::{MatmulKernel, MatmulPlan};

use crate::layout::Strides;
use crate::ops::fold::sum_parts;
use crate::program::{Source, source};
use crate::tiles::Tiles;
use crate::tuning::UNIT;
use crate::{OpenCl, Real};

/// Rows and columns that a large device has a work-group for; sums are cut into parts by it.
const TILE: usize = 64;
/// Work-groups that keep a large device busy.
const ENOUGH_GROUPS: usize = 256;
/// Columns of the left operand that are worth a part of their own.
const PART: usize = 128;

/// An operand of a product: where its elements lie.
pub(crate) struct Operand<'a, T: Real> {
    /// The array; each batch begins somewhere in it.
    pub array: &'a Array<OpenCl<T>>,
    /// Step from one row to the next.
    pub row: usize,
    /// Step from one column to the next.
    pub column: usize,
}

impl<'a, T: Real> Operand<'a, T> {
    /// Row-major matrices of so many columns.
    pub fn rows(array: &'a Array<OpenCl<T>>, columns: usize) -> Self {
        Operand { array, row: columns, column: 1 }
    }

    /// The transposes of row-major matrices of so many columns.
    pub fn transposed(array: &'a Array<OpenCl<T>>, columns: usize) -> Self {
        Operand { array, row: 1, column: columns }
    }
}

/// The extents of a product `(m, k) (k, n)`, and its batches.
pub(crate) struct Extents {
    /// Rows of the result.
    pub m: usize,
    /// What is summed over.
    pub k: usize,
    /// Columns of the result.
    pub n: usize,
    /// Where each batch's operands begin: left, right.
    pub batches: Strides,
    /// Where the terms of each batch's sum begin, counted from there. One term at 0 where nothing is summed.
    pub summed: Strides,
}

impl Extents {
    /// One product.
    pub fn one(m: usize, k: usize, n: usize) -> Self {
        let single = Strides::from_axes::<2>([]);
        Extents { m, k, n, batches: single.clone(), summed: single }
    }
}

/// `a b + bias` for each batch, row-major, under `shape`; the bias has `n` elements.
///
/// The order of the additions depends on the extents alone.
pub(crate) fn product<T: Real>(
    extents: &Extents,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    bias: Option<&Array<OpenCl<T>>>,
    shape: &[usize],
) -> Array<OpenCl<T>> {
    let work = extents.m * extents.n * extents.k * extents.batches.len() * extents.summed.len();
    let tiles = Tiles::of(a.array.backend(), work).fitted(extents.m, extents.n);
    product_with(tiles, extents, a, b, bias, shape)
}

/// The same with tiles of given sizes.
pub(crate) fn product_with<T: Real>(
    tiles: Tiles,
    extents: &Extents,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    bias: Option<&Array<OpenCl<T>>>,
    shape: &[usize],
) -> Array<OpenCl<T>> {
    let (backend, &Extents { m, k, n, .. }) = (a.array.backend(), extents);
    let (batches, terms) = (extents.batches.len(), extents.summed.len());
    let (groups, links) = (m.div_ceil(TILE) * n.div_ceil(TILE) * batches, terms * k.div_ceil(UNIT));
    if groups == 0 {
        return backend.arbitrary(shape);
    }
    // Few tiles and a long sum: it is taken in parts, which are added in order.
    let parts =
        if bias.is_some() { 1 } else { ENOUGH_GROUPS.div_ceil(groups).min(links * UNIT / PART).max(1) };
    let length = links.div_ceil(parts);
    let out = backend.arbitrary(&[&[parts], shape].concat());
    let source = Source { defines: tiles.defines(), ..source!("tensor/matmul") };
    let launch = backend.launch(source, "matmul").array(a.array).array(b.array);
    let launch = launch.optional(bias).array(&out).int(m).int(n).int(k);
    let launch = launch.int(a.row).int(a.column).int(b.row).int(b.column);
    let launch = launch.strides(&extents.batches).int(batches).strides(&extents.summed).int(terms);
    launch.int(length).groups(tiles.cover(m, n) * batches * parts);
    sum_parts(out, shape, parts)
}

/// The batches of a product, seen from one operand whose gradient is wanted: those that are its own, and those that
/// use the same matrix and are summed. Steps are those of the gradient of the output and of the other operand, in
/// matrices of the given sizes.
fn batches_of(
    plan: &MatmulPlan,
    own: &[usize],
    other: &[usize],
    [grad_size, other_size]: [usize; 2],
) -> (Strides, Strides) {
    let (mut kept, mut summed) = (vec![], vec![]);
    let (mut grad_step, mut other_step) = (grad_size, other_size);
    for (from_last, &extent) in plan.batch.iter().rev().enumerate() {
        let at = |shape: &[usize]| shape.iter().rev().nth(from_last).copied().unwrap_or(1);
        let axis = (extent, [grad_step, if at(other) == 1 { 0 } else { other_step }]);
        if at(own) == extent {
            kept.push(axis)
        } else {
            summed.push(axis)
        }
        grad_step *= extent;
        other_step *= at(other);
    }
    (Strides::from_axes(kept.into_iter().rev()), Strides::from_axes(summed.into_iter().rev()))
}

impl<T: Real> MatmulKernel for OpenCl<T> {
    fn matmul_forward(a: &Array<Self>, b: &Array<Self>, plan: &MatmulPlan) -> Array<Self> {
        let &MatmulPlan { m, k, n, .. } = plan;
        let layout = Layout::broadcast(&plan.batch, [&plan.batch_a, &plan.batch_b]);
        let steps = layout.axes().map(|(extent, [a, b])| (extent, [a * m * k, b * k * n]));
        let extents = Extents { batches: Strides::from_axes(steps), ..Extents::one(m, k, n) };
        product(&extents, Operand::rows(a, k), Operand::rows(b, n), None, &plan.output)
    }

    fn matmul_backward_a(
        grad_output: &Array<Self>,
        b: &Array<Self>,
        shape_a: &[usize],
        plan: &MatmulPlan,
    ) -> Array<Self> {
        let &MatmulPlan { m, k, n, .. } = plan;
        let (batches, summed) = batches_of(plan, &plan.batch_a, &plan.batch_b, [m * n, k * n]);
        let extents = Extents { m, k: n, n: k, batches, summed };
        product(&extents, Operand::rows(grad_output, n), Operand::transposed(b, n), None, shape_a)
    }

    fn matmul_backward_b(
        a: &Array<Self>,
        grad_output: &Array<Self>,
        shape_b: &[usize],
        plan: &MatmulPlan,
    ) -> Array<Self> {
        let &MatmulPlan { m, k, n, .. } = plan;
        let (batches, summed) = batches_of(plan, &plan.batch_b, &plan.batch_a, [m * n, m * k]);
        let extents = Extents { m: k, k: m, n, batches: batches.swap(), summed: summed.swap() };
        product(&extents, Operand::transposed(a, k), Operand::rows(grad_output, n), None, shape_b)
    }
}
