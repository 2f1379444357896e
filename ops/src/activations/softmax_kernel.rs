//! The kernels of the softmaxes. An axis lies in memory either as rows, element beside element, or as
//! columns: then neighbouring columns fill the lanes of a vector.

use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector, math};
use termwise_autograd::{Array, Cpu, Scalar};

use crate::lanes::{self, Pointwise};
use crate::{par, rows, shape};

/// Which softmax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `exp(x_i) / sum_j exp(x_j)`; NaN where there is nothing but `-inf`.
    Plain,
    /// The same, but 0 where there is nothing but `-inf`.
    OrZero,
    /// The logarithm of the first.
    Log,
}

/// Softmax of `x` of a shape along an axis.
pub(super) fn forward<T: Scalar>(kind: Kind, x: &[T], shape: &[usize], axis: usize) -> Array<Cpu<T>> {
    let (_, len, inner) = shape::split_at_axis(shape, axis);
    let mut y = Buffer::arbitrary(x.len());
    par::for_each_rows(&mut y, len * inner, 24 * len * inner, |slab, y| {
        let x = &x[slab * len * inner..][..y.len()];
        simd::run(Forward { kind, len, inner, x, y });
    });
    Array::from_buffer(shape, y)
}

/// Gradient of a softmax in its argument, from its output `y`.
pub(super) fn backward<T: Scalar>(
    kind: Kind,
    y: &Array<Cpu<T>>,
    grad_output: &Array<Cpu<T>>,
    axis: usize,
) -> Array<Cpu<T>> {
    let (_, len, inner) = shape::split_at_axis(y.shape(), axis);
    let mut grad = Buffer::arbitrary(y.len());
    par::for_each_rows(&mut grad, len * inner, 8 * len * inner, |slab, grad| {
        let part = slab * len * inner..slab * len * inner + grad.len();
        let (y, g) = (&y.as_slice()[part.clone()], &grad_output.as_slice()[part]);
        simd::run(Backward { kind, len, inner, y, g, grad });
    });
    Array::from_buffer(y.shape(), grad)
}

/// Columns that are worked on together.
const TILE: usize = 256;

/// Slabs of `len` rows of `inner` elements, softmax along the rows' index.
pub(super) struct Forward<'a, T> {
    pub kind: Kind,
    pub len: usize,
    pub inner: usize,
    pub x: &'a [T],
    pub y: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Forward { kind, len, inner, x, y } = self;
        for (x, y) in x.chunks_exact(len * inner).zip(y.chunks_exact_mut(len * inner)) {
            if inner == 1 {
                forward_row::<T, V>(kind, x, y);
            } else {
                for first in (0..inner).step_by(TILE) {
                    let tile = first..inner.min(first + TILE);
                    forward_columns::<V>(kind, x, y, inner, tile);
                }
            }
        }
    }
}

#[inline(always)]
fn forward_row<T: Scalar, V: Vector<Element = T>>(kind: Kind, x: &[T], y: &mut [T]) {
    let max = rows::max::<V>(x);
    match kind {
        Kind::OrZero if max == T::neg_infinity() => y.fill(T::zero()),
        Kind::Plain | Kind::OrZero => {
            let sum = rows::exp_shifted::<V>(x, max, y);
            rows::scale::<V>(y, sum.recip());
        }
        Kind::Log => {
            let log_sum = rows::sum_exp::<V>(x, max).ln();
            let f = Log { max: max.as_f64(), log_sum: log_sum.as_f64() };
            lanes::Map { f, x: [x], y }.run::<V>();
        }
    }
}

/// The logarithm of the softmax.
#[derive(Clone, Copy)]
struct Log {
    max: f64,
    log_sum: f64,
}

impl Pointwise<1> for Log {
    #[inline(always)]
    fn at<V: Vector>(&self, [x]: [V; 1]) -> V {
        // The maximum first: it is of the size of x, the logarithm is not.
        x - V::of(self.max) - V::of(self.log_sum)
    }
}

#[inline(always)]
fn forward_columns<V: Vector>(
    kind: Kind,
    x: &[V::Element],
    y: &mut [V::Element],
    inner: usize,
    tile: std::ops::Range<usize>,
) {
    let zero = V::Element::of(0.0);
    let width = tile.len();
    let (mut max, mut sum) = ([V::Element::of(f64::NEG_INFINITY); TILE], [zero; TILE]);
    let (max, sum) = (&mut max[..width], &mut sum[..width]);
    for x in x.chunks_exact(inner) {
        for (max, x) in max.chunks_mut(V::LANES).zip(x[tile.clone()].chunks(V::LANES)) {
            V::from_slice(x).max(V::from_slice(max)).write_to(max);
        }
    }
    if kind == Kind::OrZero {
        // Where there is nothing but -inf: exp(-inf - 0) = 0, over a sum that counts as 1.
        for max in max.iter_mut().filter(|max| **max == V::Element::of(f64::NEG_INFINITY)) {
            *max = zero;
        }
    }
    for (x, y) in x.chunks_exact(inner).zip(y.chunks_exact_mut(inner)) {
        let columns = x[tile.clone()].chunks(V::LANES).zip(y[tile.clone()].chunks_mut(V::LANES));
        for ((x, y), (max, sum)) in columns.zip(max.chunks(V::LANES).zip(sum.chunks_mut(V::LANES))) {
            let shifted = V::from_slice(x) - V::from_slice(max);
            let e = math::exp_nonpositive(shifted);
            (V::from_slice(sum) + e).write_to(sum);
            if kind == Kind::Log { shifted } else { e }.write_to(y);
        }
    }
    for sum in sum.chunks_mut(V::LANES) {
        let total = V::from_slice(sum);
        let finish = match kind {
            Kind::Log => math::ln(total),
            Kind::Plain => V::of(1.0) / total,
            Kind::OrZero => V::of(1.0) / V::select(total.eq(V::zero()), V::of(1.0), total),
        };
        finish.write_to(sum);
    }
    for y in y.chunks_exact_mut(inner) {
        for (y, finish) in y[tile.clone()].chunks_mut(V::LANES).zip(sum.chunks(V::LANES)) {
            let (before, finish) = (V::from_slice(y), V::from_slice(finish));
            if kind == Kind::Log { before - finish } else { before * finish }.write_to(y);
        }
    }
}

/// As [`Forward`].
pub(super) struct Backward<'a, T> {
    pub kind: Kind,
    pub len: usize,
    pub inner: usize,
    pub y: &'a [T],
    pub g: &'a [T],
    pub grad: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Backward { kind, len, inner, y, g, grad } = self;
        let slab = len * inner;
        for ((y, g), grad) in y.chunks_exact(slab).zip(g.chunks_exact(slab)).zip(grad.chunks_exact_mut(slab))
        {
            if inner == 1 {
                backward_row::<V>(kind, y, g, grad);
            } else {
                for first in (0..inner).step_by(TILE) {
                    let tile = first..inner.min(first + TILE);
                    backward_columns::<V>(kind, y, g, grad, inner, tile);
                }
            }
        }
    }
}

/// What is summed up over the axis: `<dy, y>`, or for the logarithm `sum dy`.
#[inline(always)]
fn term<V: Vector>(kind: Kind, y: V, g: V) -> V {
    if kind == Kind::Log { g } else { y * g }
}

/// `dx` from that sum: `y (dy - <dy, y>)`, or `dy - exp(y) sum dy`.
#[inline(always)]
fn gradient<V: Vector>(kind: Kind, y: V, g: V, sum: V) -> V {
    if kind == Kind::Log { math::exp_nonpositive(y).neg_mul_add(sum, g) } else { y * (g - sum) }
}

#[inline(always)]
fn backward_row<V: Vector>(kind: Kind, y: &[V::Element], g: &[V::Element], grad: &mut [V::Element]) {
    let mut sums = [V::zero(); 4];
    let (mut ys, mut gs) = (y.chunks_exact(4 * V::LANES), g.chunks_exact(4 * V::LANES));
    for (y, g) in (&mut ys).zip(&mut gs) {
        for (sum, (y, g)) in sums.iter_mut().zip(y.chunks_exact(V::LANES).zip(g.chunks_exact(V::LANES))) {
            *sum += term(kind, V::from_slice(y), V::from_slice(g));
        }
    }
    let rest = ys.remainder().chunks(V::LANES).zip(gs.remainder().chunks(V::LANES));
    for (sum, (y, g)) in sums.iter_mut().zip(rest) {
        // Lanes that are not there are 0.
        *sum += term(kind, V::from_slice(y), V::from_slice(g));
    }
    let sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])).sum();
    lanes::Map { f: Gradient { kind, sum: sum.as_f64() }, x: [y, g], y: grad }.run::<V>();
}

/// [`gradient`] with one sum for all.
#[derive(Clone, Copy)]
struct Gradient {
    kind: Kind,
    sum: f64,
}

impl Pointwise<2> for Gradient {
    #[inline(always)]
    fn at<V: Vector>(&self, [y, g]: [V; 2]) -> V {
        gradient(self.kind, y, g, V::of(self.sum))
    }
}

#[inline(always)]
fn backward_columns<V: Vector>(
    kind: Kind,
    y: &[V::Element],
    g: &[V::Element],
    grad: &mut [V::Element],
    inner: usize,
    tile: std::ops::Range<usize>,
) {
    let mut sum = [V::Element::of(0.0); TILE];
    let sum = &mut sum[..tile.len()];
    for (y, g) in y.chunks_exact(inner).zip(g.chunks_exact(inner)) {
        let columns = y[tile.clone()].chunks(V::LANES).zip(g[tile.clone()].chunks(V::LANES));
        for ((y, g), sum) in columns.zip(sum.chunks_mut(V::LANES)) {
            (V::from_slice(sum) + term(kind, V::from_slice(y), V::from_slice(g))).write_to(sum);
        }
    }
    let rows = y.chunks_exact(inner).zip(g.chunks_exact(inner)).zip(grad.chunks_exact_mut(inner));
    for ((y, g), grad) in rows {
        let columns = y[tile.clone()].chunks(V::LANES).zip(g[tile.clone()].chunks(V::LANES));
        for (((y, g), sum), grad) in
            columns.zip(sum.chunks(V::LANES)).zip(grad[tile.clone()].chunks_mut(V::LANES))
        {
            gradient(kind, V::from_slice(y), V::from_slice(g), V::from_slice(sum)).write_to(grad);
        }
    }
}
