//! Matrix products: the one place that every operation's GEMM goes through.
//!
//! The arithmetic is that of `matrixmultiply`, through ndarray. Operands are views, so transposes and
//! the columns of one head are strides, not copies.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;
use termwise_autograd::Scalar;

/// Rows of the output that one task computes.
const PANEL_ROWS: usize = 64;
/// Floating-point operations below which a product is not split over threads.
const MIN_SPLIT_FLOPS: usize = 1 << 20;

/// `c = alpha a b + beta c` for `a` (m, k), `b` (k, n), `c` (m, n).
///
/// Large products are split over row panels of fixed height, so the bits do not depend on the
/// number of threads.
pub fn gemm<T: Scalar>(alpha: T, a: ArrayView2<T>, b: ArrayView2<T>, beta: T, c: &mut ArrayViewMut2<T>) {
    let ((m, k), n) = (a.dim(), b.ncols());
    if k == 0 {
        // ndarray leaves c untouched by an empty product; beta still applies.
        c.mapv_inplace(|v| if beta == T::zero() { T::zero() } else { beta * v });
        return;
    }
    if m <= PANEL_ROWS || 2 * m * n * k < MIN_SPLIT_FLOPS {
        general_mat_mul(alpha, &a, &b, beta, c);
        return;
    }
    let panels: Vec<_> =
        a.axis_chunks_iter(Axis(0), PANEL_ROWS).zip(c.axis_chunks_iter_mut(Axis(0), PANEL_ROWS)).collect();
    panels.into_par_iter().for_each(|(a, mut c)| general_mat_mul(alpha, &a, &b, beta, &mut c));
}

/// A row-major `(rows, cols)` view of a slice.
///
/// # Panics
/// If the slice does not hold `rows * cols` elements.
pub fn matrix<T>(data: &[T], rows: usize, cols: usize) -> ArrayView2<'_, T> {
    ArrayView2::from_shape((rows, cols), data).expect("matrix: rows * cols elements")
}

/// A mutable row-major `(rows, cols)` view of a slice.
///
/// # Panics
/// If the slice does not hold `rows * cols` elements.
pub fn matrix_mut<T>(data: &mut [T], rows: usize, cols: usize) -> ArrayViewMut2<'_, T> {
    ArrayViewMut2::from_shape((rows, cols), data).expect("matrix: rows * cols elements")
}
