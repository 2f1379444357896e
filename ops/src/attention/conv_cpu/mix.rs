//! Inner loops of convolution of sequences: weighted sums of rows, products of rows, softmax of a kernel.

use termwise_autograd::Scalar;
use termwise_autograd::simd::{Vector, math};

/// Most outputs that [`Mix`] computes at a time.
pub(super) const OUTPUTS: usize = 8;
/// Zeros on either side of a kernel, so that neighbouring outputs can go through their rows together.
pub(super) const MARGIN: usize = OUTPUTS - 1;

/// Sums `out_r = sum_i w(i, r) row_i`, `w(i, r)` at `weights + i * row_step + r * output_step`.
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
    /// The sums of `R` outputs of `NV` vectors, over the rows that any of them reads.
    ///
    /// # Safety
    /// `taps + R - 1` rows of that many vectors and a weight for each and every output must be readable.
    #[inline(always)]
    pub unsafe fn sum<V: Vector<Element = T>, const NV: usize, const R: usize>(&self) -> [[V; NV]; R] {
        let mut sums = [[V::zero(); NV]; R];
        let (mut row, mut weights) = (self.rows, self.weights);
        for _ in 0..self.taps + R - 1 {
            let mut x = [V::zero(); NV];
            for (v, x) in x.iter_mut().enumerate() {
                // SAFETY: the caller vouches for the rows.
                *x = unsafe { V::load(row.add(v * V::LANES)) };
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the caller vouches for the weights.
                let w = V::splat(unsafe { *weights.offset(r as isize * self.output_step) });
                for (sum, &x) in sums.iter_mut().zip(&x) {
                    *sum = w.mul_add(x, *sum);
                }
            }
            row = row.wrapping_add(self.pitch);
            weights = weights.wrapping_offset(self.row_step);
        }
        sums
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
        let mut products = [V::zero(); 16];
        // SAFETY: the caller vouches for these rows and results.
        unsafe {
            let mut row = rows.add(first * pitch);
            for product in &mut products[..V::LANES] {
                let mut sum = V::load(a) * V::load(row);
                for at in (V::LANES..len).step_by(V::LANES) {
                    sum = V::load(a.add(at)).mul_add(V::load(row.add(at)), sum);
                }
                *product = sum;
                row = row.add(pitch);
            }
            V::sums(&products[..V::LANES]).store(out.add(first));
        }
    }
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
