//! Products with a few rows or columns, where each number of the other operand is used a few times only
//! and memory sets the pace: dot products where the operands run along `k`, sums of rows where not.

use termwise_autograd::Scalar;
use termwise_autograd::simd::{Kernel, Vector};

/// `c[i * step_c.0 + j * step_c.1] = alpha dot(row i of a, row j of b) + beta c[..]`.
pub(super) struct Dots<'a, T> {
    pub k: usize,
    pub alpha: T,
    /// Rows of `k` contiguous elements, and the distance from one to the next.
    pub a: (&'a [T], usize),
    /// As `a`.
    pub b: (&'a [T], usize),
    pub rows_b: usize,
    pub beta: T,
    /// One row for each row of `a`, at a distance of the number.
    pub c: (&'a mut [T], usize),
}

impl<T: Scalar> Kernel<T> for Dots<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Dots { k, alpha, a: (a, stride_a), b: (b, stride_b), rows_b, beta, c: (c, stride_c) } = self;
        for (i, c) in c.chunks_mut(stride_c).enumerate() {
            let a = &a[i * stride_a..][..k];
            for (j, c) in c[..rows_b].iter_mut().enumerate() {
                let sum = alpha * dot::<V>(a, &b[j * stride_b..][..k]);
                *c = if beta == T::zero() { sum } else { beta * *c + sum };
            }
        }
    }
}

/// Four sums at once hide the latency of the additions.
#[inline(always)]
fn dot<V: Vector>(a: &[V::Element], b: &[V::Element]) -> V::Element {
    let mut sums = [V::zero(); 4];
    let step = 4 * V::LANES;
    for (a, b) in a.chunks_exact(step).zip(b.chunks_exact(step)) {
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = V::from_slice(&a[v * V::LANES..]).mul_add(V::from_slice(&b[v * V::LANES..]), *sum);
        }
    }
    let rest = a.len() / step * step;
    for (a, b) in a[rest..].chunks(V::LANES).zip(b[rest..].chunks(V::LANES)) {
        sums[0] = V::from_slice(a).mul_add(V::from_slice(b), sums[0]);
    }
    ((sums[0] + sums[1]) + (sums[2] + sums[3])).sum()
}

/// `c = alpha sum_p a[p] (row p of b) + beta c`: rows of `b` that are as long as `c`, at a distance of `stride`.
pub(super) struct RowSum<'a, T> {
    pub alpha: T,
    pub a: &'a [T],
    pub b: &'a [T],
    pub stride: usize,
    pub beta: T,
    pub c: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for RowSum<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let RowSum { alpha, a, b, stride, beta, c } = self;
        let mut beta = beta;
        // Eight rows at a time, so that c is read and written once for eight rows of b.
        for (a, b) in a.chunks(8).zip(b.chunks(8 * stride)) {
            if let Ok(a) = a.try_into() {
                add_rows::<V, 8>(alpha, a, b, stride, beta, c);
            } else {
                for (&a, b) in a.iter().zip(b.chunks(stride)) {
                    add_rows::<V, 1>(alpha, &[a], b, stride, beta, c);
                    beta = T::one();
                }
            }
            beta = T::one();
        }
    }
}

/// [`RowSum`] over `N` rows.
#[inline(always)]
fn add_rows<V: Vector, const N: usize>(
    alpha: V::Element,
    a: &[V::Element; N],
    b: &[V::Element],
    stride: usize,
    beta: V::Element,
    c: &mut [V::Element],
) {
    let keep = beta != V::Element::of(0.0);
    let factors = a.map(|a| V::splat(alpha * a));
    let rows: [&[V::Element]; N] = std::array::from_fn(|p| &b[p * stride..][..c.len()]);
    for (j, c) in c.chunks_mut(V::LANES).enumerate() {
        let mut sum = if keep { V::splat(beta) * V::from_slice(c) } else { V::zero() };
        for (&factor, row) in factors.iter().zip(&rows) {
            sum = factor.mul_add(V::from_slice(&row[j * V::LANES..]), sum);
        }
        sum.write_to(c);
    }
}
