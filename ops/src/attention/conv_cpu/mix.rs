//! Inner loops of convolution of sequences: weighted sums of rows, products of rows, softmax of a kernel.

use termwise_autograd::Scalar;
use termwise_autograd::simd::{Vector, math};

/// Most outputs that [`Mix`] computes at a time.
pub(super) const OUTPUTS: usize = 8;

/// Sums `out_r = sum_i w(i, r) row_i` over the `taps` rows from row `r` on, `w(i, r)` at
/// `weights + i * row_step + r * output_step`.
#[derive(Clone, Copy)]
pub(super) struct Mix<T> {
    pub rows: *const T,
    pub pitch: usize,
    pub weights: *const T,
    pub row_step: isize,
    pub output_step: isize,
    pub taps: usize,
}

impl<T: Scalar> Mix<T> {
    /// The sums of `R` outputs of `NV` vectors; `R` is at most `taps`.
    ///
    /// # Safety
    /// `taps + R - 1` rows of that many vectors and the weights must be readable.
    #[inline(always)]
    pub unsafe fn sum<V: Vector<Element = T>, const NV: usize, const R: usize>(&self) -> [[V; NV]; R] {
        let mut sums = [[V::zero(); NV]; R];
        // SAFETY: the caller vouches for the rows and weights.
        unsafe {
            // Rows that only the first outputs read, those that all of them do, those that only the last do.
            for i in 0..R - 1 {
                self.add::<V, NV, R>(i, 0, i + 1, &mut sums);
            }
            for i in R - 1..self.taps {
                self.add::<V, NV, R>(i, 0, R, &mut sums);
            }
            for i in 0..R - 1 {
                self.add::<V, NV, R>(self.taps + i, i + 1, R, &mut sums);
            }
        }
        sums
    }

    /// Adds row `i` to the outputs `from .. to`.
    #[inline(always)]
    unsafe fn add<V: Vector<Element = T>, const NV: usize, const R: usize>(
        &self,
        i: usize,
        from: usize,
        to: usize,
        sums: &mut [[V; NV]; R],
    ) {
        let mut x = [V::zero(); NV];
        let weights = self.weights.wrapping_offset(i as isize * self.row_step);
        for (v, x) in x.iter_mut().enumerate() {
            // SAFETY: the caller vouches for the rows.
            *x = unsafe { V::load(self.rows.add(i * self.pitch + v * V::LANES)) };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            if r >= from && r < to {
                // SAFETY: the caller vouches for the weights.
                let w = V::splat(unsafe { *weights.wrapping_offset(r as isize * self.output_step) });
                for (sum, &x) in sums.iter_mut().zip(&x) {
                    *sum = w.mul_add(x, *sum);
                }
            }
        }
    }
}

/// `out_j = <a, row_j>` for `count` rows of `len` numbers, `pitch` apart.
///
/// # Safety
/// `len` must be a whole number of vectors; as many rows must be readable as make whole vectors of results, and as
/// many results writable.
#[inline(always)]
pub(super) unsafe fn dots<T: Scalar, V: Vector<Element = T>>(
    a: *const T,
    rows: *const T,
    (len, pitch): (usize, usize),
    count: usize,
    out: *mut T,
) {
    for first in (0..count).step_by(V::LANES) {
        // SAFETY: the caller vouches for these rows and results.
        unsafe {
            let rows = rows.add(first * pitch);
            let mut products = [V::zero(); 16];
            let mut at = 0;
            while at < len {
                let (a, rows) = (a.add(at), rows.add(at));
                at += match (len - at) / V::LANES {
                    4.. => add_products::<T, V, 4>(a, rows, pitch, &mut products),
                    2.. => add_products::<T, V, 2>(a, rows, pitch, &mut products),
                    _ => add_products::<T, V, 1>(a, rows, pitch, &mut products),
                };
            }
            V::sums(&products[..V::LANES]).store(out.add(first));
        }
    }
}

/// Adds the products of `NV` vectors with those of each of `LANES` rows.
///
/// # Safety
/// They must be readable.
#[inline(always)]
unsafe fn add_products<T: Scalar, V: Vector<Element = T>, const NV: usize>(
    a: *const T,
    rows: *const T,
    pitch: usize,
    products: &mut [V; 16],
) -> usize {
    let mut factors = [V::zero(); NV];
    for (v, factor) in factors.iter_mut().enumerate() {
        // SAFETY: the caller vouches for the numbers.
        *factor = unsafe { V::load(a.add(v * V::LANES)) };
    }
    for (j, product) in products.iter_mut().enumerate() {
        if j < V::LANES {
            for (v, factor) in factors.iter().enumerate() {
                // SAFETY: the caller vouches for the rows.
                *product = factor.mul_add(unsafe { V::load(rows.add(j * pitch + v * V::LANES)) }, *product);
            }
        }
    }
    NV * V::LANES
}

/// Softmax of a row, which must be filled up with -inf to whole vectors.
#[inline(always)]
pub(super) fn softmax_row<T: Scalar, V: Vector<Element = T>>(row: &mut [T]) {
    let (mut max, mut broken) = (V::splat(T::neg_infinity()), V::zero());
    for chunk in row.chunks_exact(V::LANES) {
        let logit = V::from_slice(chunk);
        max = max.max(logit);
        broken = V::select(logit.is_nan(), logit, broken);
    }
    let max = max.max_lane();
    let mut sum = broken;
    for chunk in row.chunks_exact_mut(V::LANES) {
        let value = math::exp_nonpositive(V::from_slice(chunk) - V::splat(max));
        sum += value;
        value.write_to(chunk);
    }
    // NaN where the largest is infinite: there is no distribution.
    let scale = V::splat(T::one() / sum.sum() + max * T::zero());
    for chunk in row.chunks_exact_mut(V::LANES) {
        (V::from_slice(chunk) * scale).write_to(chunk);
    }
}

/// `grad = w (grad - <w, grad>)` in place, for rows filled up with zeros in `w` to whole vectors.
#[inline(always)]
pub(super) fn softmax_row_backward<T: Scalar, V: Vector<Element = T>>(weights: &[T], grad: &mut [T]) {
    let mut sum = V::zero();
    for (w, grad) in weights.chunks_exact(V::LANES).zip(grad.chunks_exact(V::LANES)) {
        sum = V::from_slice(w).mul_add(V::from_slice(grad), sum);
    }
    let sum = V::splat(sum.sum());
    for (w, grad) in weights.chunks_exact(V::LANES).zip(grad.chunks_exact_mut(V::LANES)) {
        (V::from_slice(w) * (V::from_slice(grad) - sum)).write_to(grad);
    }
}

/// Copies a row, too short for a call.
#[inline(always)]
pub(super) fn copy_row<T: Scalar, V: Vector<Element = T>>(from: &[T], into: &mut [T]) {
    for (into, from) in into.chunks_mut(V::LANES).zip(from.chunks(V::LANES)) {
        V::from_slice(from).write_to(into);
    }
}

/// Copies a row and fills up with `rest`, whole vectors only: one that a masked store wrote in part could not be read
/// again before it has left for the cache.
#[inline(always)]
pub(super) fn copy_row_filled<T: Scalar, V: Vector<Element = T>>(from: &[T], into: &mut [T], rest: T) {
    for (i, into) in into.chunks_exact_mut(V::LANES).enumerate() {
        let from = from.get(i * V::LANES..).unwrap_or(&[]);
        V::from_slice(from).with_rest(from.len().min(V::LANES), V::splat(rest)).write_to(into);
    }
}
