//! Matrix products: the one place that every operation's GEMM goes through.
//!
//! Operands are views, so transposes and the columns of one head are strides, not copies.
//!
//! | shapes | how |
//! |---|---|
//! | a few rows or columns | dot products or sums of rows (`dots`) |
//! | small `m n`, long `k` | parts of `k` in parallel, summed in order |
//! | the rest | blocks of register tiles (`blocked`, `tile`, `pack`) |
//!
//! On the portable instruction set `matrixmultiply` does the arithmetic: it has kernels of its own for machines
//! other than x86-64. It is also what the tests hold all of this to.

mod blocked;
mod dots;
mod pack;
#[cfg(test)]
mod tests;
pub(crate) mod tile;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa};

use blocked::Product;
use dots::{Dots, RowSum};
use tile::{AddTo, Output, Strided};

/// Rows or columns up to which dot products are faster than tiles.
const FEW: usize = 4;
/// Steps of `k` in a part, where `k` is split.
const PART: usize = 512;
/// Most parts of `k`.
const MAX_PARTS: usize = 8;

/// `c = alpha a b + beta c` for `a` (m, k), `b` (k, n), `c` (m, n).
///
/// The bits do not depend on the number of threads.
///
/// # Panics
/// If the shapes do not fit each other.
///
/// # Examples
/// ```
/// use ndarray::arr2;
/// use termwise_ops::gemm::gemm;
/// let (a, b) = (arr2(&[[1.0, 2.0]]), arr2(&[[3.0, 4.0], [5.0, 6.0]]));
/// let mut c = arr2(&[[1000.0, 1000.0]]);
/// gemm(10.0, a.view(), b.view(), 1.0, &mut c.view_mut());
/// assert_eq!(c, arr2(&[[1130.0, 1160.0]])); // 10 (1 3 + 2 5) and 10 (1 4 + 2 6) on top
/// gemm(1.0, a.view(), b.t(), 0.0, &mut c.view_mut()); // a transpose is a view
/// assert_eq!(c, arr2(&[[11.0, 17.0]]));
/// ```
#[track_caller]
pub fn gemm<T: Scalar>(alpha: T, a: ArrayView2<T>, b: ArrayView2<T>, beta: T, c: &mut ArrayViewMut2<T>) {
    gemm_on(simd::isa(), alpha, a, b, beta, c);
}

#[track_caller]
fn gemm_on<T: Scalar>(
    isa: Isa,
    alpha: T,
    a: ArrayView2<T>,
    b: ArrayView2<T>,
    beta: T,
    c: &mut ArrayViewMut2<T>,
) {
    let ((m, k), n) = (a.dim(), b.ncols());
    assert!(
        b.nrows() == k && c.dim() == (m, n),
        "gemm: a is ({m}, {k}), b is {:?}, c is {:?}: expected (m, k), (k, n), (m, n)",
        b.dim(),
        c.dim()
    );
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        c.mapv_inplace(|v| if beta == T::zero() { T::zero() } else { beta * v });
        return;
    }
    let row_major = |c: &ArrayViewMut2<T>| c.strides()[1] == 1 && c.strides()[0] > 0 || c.dim() == (1, 1);
    if !(row_major(c) || n == 1 && c.strides()[0] > 0) && c.strides()[0] == 1 && c.strides()[1] > 0 {
        // C is row-major when transposed: C^T = B^T A^T.
        let mut transposed = c.view_mut().reversed_axes();
        return gemm_on(isa, alpha, b.reversed_axes(), a.reversed_axes(), beta, &mut transposed);
    }
    if isa == Isa::Portable || !(row_major(c) || n == 1 && c.strides()[0] > 0) {
        return panels(alpha, a, b, beta, c);
    }
    if n <= FEW && a.strides()[1] == 1 && a.strides()[0] >= k as isize && k >= 16 {
        return few_columns(isa, alpha, a, b, beta, c);
    }
    if m <= FEW && n >= 64 && b.strides()[1] == 1 && b.strides()[0] >= n as isize && c.strides()[1] == 1 {
        return few_rows_of_b(isa, alpha, a, b, beta, c);
    }
    if m <= FEW && b.strides()[0] == 1 && b.strides()[1] >= k as isize && k >= 16 && c.strides()[1] == 1 {
        return few_rows(isa, alpha, a, b, beta, c);
    }
    let parts = (k / PART).min(MAX_PARTS);
    if parts >= 2 && m * n <= 1 << 14 && 2 * m * n * k >= 1 << 22 {
        return split_k(isa, parts, alpha, a, b, beta, c);
    }
    product(isa, alpha, a, b, add_to(beta), c);
}

fn add_to<T: Scalar>(beta: T) -> AddTo<T> {
    if beta == T::zero() { AddTo::Nothing } else { AddTo::Output(beta) }
}

/// `c = a b + bias`, `bias` (n,) added to every row.
///
/// # Panics
/// If the shapes do not fit each other.
///
/// # Examples
/// ```
/// use ndarray::arr2;
/// use termwise_ops::gemm::gemm_bias;
/// let (a, b) = (arr2(&[[1.0], [2.0]]), arr2(&[[3.0, 4.0]]));
/// let mut c = arr2(&[[f64::NAN; 2]; 2]); // written, never read
/// gemm_bias(a.view(), b.view(), &[10.0, 20.0], &mut c.view_mut());
/// assert_eq!(c, arr2(&[[13.0, 24.0], [16.0, 28.0]]));
/// ```
#[track_caller]
pub fn gemm_bias<T: Scalar>(a: ArrayView2<T>, b: ArrayView2<T>, bias: &[T], c: &mut ArrayViewMut2<T>) {
    let ((m, k), n) = (a.dim(), b.ncols());
    assert!(
        b.nrows() == k && c.dim() == (m, n) && bias.len() == n,
        "gemm: a is ({m}, {k}), b is {:?}, bias ({},), c is {:?}: expected (m, k), (k, n), (n,), (m, n)",
        b.dim(),
        bias.len(),
        c.dim()
    );
    let isa = simd::isa();
    if isa == Isa::Portable || m <= FEW || n <= FEW || k == 0 || c.strides()[1] != 1 || c.strides()[0] <= 0 {
        c.rows_mut().into_iter().for_each(|mut row| row.assign(&ArrayView1::from(bias)));
        return gemm_on(isa, T::one(), a, b, T::one(), c);
    }
    product(isa, T::one(), a, b, AddTo::Row(bias.as_ptr()), c);
}

/// Tiles. `c` must be row-major.
fn product<T: Scalar>(
    isa: Isa,
    alpha: T,
    a: ArrayView2<T>,
    b: ArrayView2<T>,
    add_to: AddTo<T>,
    c: &mut ArrayViewMut2<T>,
) {
    let ((m, k), n) = (a.dim(), b.ncols());
    let strided = |view: &ArrayView2<T>| Strided {
        data: view.as_ptr(),
        rows: view.strides()[0],
        // A single column is contiguous whatever its stride.
        cols: if view.ncols() == 1 { 1 } else { view.strides()[1] },
    };
    let c = Output { data: c.as_mut_ptr(), rows: c.strides()[0].unsigned_abs() };
    let product = Product { m, k, n, alpha, a: strided(&a), b: strided(&b), add_to, c };
    // SAFETY: pointers and strides are those of borrowed views of these extents; c is borrowed mutably,
    // so it overlaps with neither.
    unsafe { product.compute(isa) };
}

/// Row panels by `matrixmultiply`.
fn panels<T: Scalar>(alpha: T, a: ArrayView2<T>, b: ArrayView2<T>, beta: T, c: &mut ArrayViewMut2<T>) {
    const ROWS: usize = 64;
    let ((m, k), n) = (a.dim(), b.ncols());
    if m <= ROWS || 2 * m * n * k < 1 << 20 {
        return general_mat_mul(alpha, &a, &b, beta, c);
    }
    let panels: Vec<_> =
        a.axis_chunks_iter(Axis(0), ROWS).zip(c.axis_chunks_iter_mut(Axis(0), ROWS)).collect();
    panels.into_par_iter().for_each(|(a, mut c)| general_mat_mul(alpha, &a, &b, beta, &mut c));
}

/// `n <= FEW`, rows of `a` contiguous.
fn few_columns<T: Scalar>(
    isa: Isa,
    alpha: T,
    a: ArrayView2<T>,
    b: ArrayView2<T>,
    beta: T,
    c: &mut ArrayViewMut2<T>,
) {
    let ((m, k), n) = (a.dim(), b.ncols());
    let mut columns = Buffer::arbitrary(n * k);
    for (column, from) in columns.chunks_mut(k).zip(b.columns()) {
        column.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
    }
    let rows = ((1 << 16) / k).clamp(1, m);
    let tasks: Vec<_> =
        a.axis_chunks_iter(Axis(0), rows).zip(c.axis_chunks_iter_mut(Axis(0), rows)).collect();
    tasks.into_par_iter().for_each(|(a, mut c)| {
        let (stride_a, stride_c) = (a.strides()[0].unsigned_abs(), c.strides()[0].unsigned_abs());
        let (a_span, c_span) = ((a.nrows() - 1) * stride_a + k, (c.nrows() - 1) * stride_c + n);
        // SAFETY: rows are contiguous and increasing, so the views span this much; c's rows that lie
        // between belong to the same task, since the strides of c are at least n.
        let (a, c) = unsafe {
            (
                std::slice::from_raw_parts(a.as_ptr(), a_span),
                std::slice::from_raw_parts_mut(c.as_mut_ptr(), c_span),
            )
        };
        simd::run_on(
            isa,
            Dots { k, alpha, a: (a, stride_a), b: (&columns, k), rows_b: n, beta, c: (c, stride_c.max(n)) },
        );
    });
}

/// `m <= FEW`, columns of `b` contiguous.
fn few_rows<T: Scalar>(
    isa: Isa,
    alpha: T,
    a: ArrayView2<T>,
    b: ArrayView2<T>,
    beta: T,
    c: &mut ArrayViewMut2<T>,
) {
    let (k, n) = b.dim();
    let stride_b = if n == 1 { k } else { b.strides()[1].unsigned_abs() };
    // SAFETY: columns are contiguous and increasing, so the view spans this much.
    let b = unsafe { std::slice::from_raw_parts(b.as_ptr(), (n - 1) * stride_b + k) };
    let columns = ((1 << 16) / k).clamp(1, n);
    for (a, mut c) in a.rows().into_iter().zip(c.rows_mut()) {
        let a = a.to_vec();
        let c = c.as_slice_mut().expect("a row of c is contiguous");
        c.par_chunks_mut(columns).enumerate().for_each(|(i, c)| {
            let b = &b[i * columns * stride_b..];
            let width = c.len();
            simd::run_on(
                isa,
                Dots { k, alpha, a: (&a, k), b: (b, stride_b), rows_b: width, beta, c: (c, width) },
            );
        });
    }
}

/// `m <= FEW`, rows of `b` contiguous.
fn few_rows_of_b<T: Scalar>(
    isa: Isa,
    alpha: T,
    a: ArrayView2<T>,
    b: ArrayView2<T>,
    beta: T,
    c: &mut ArrayViewMut2<T>,
) {
    let (k, n) = b.dim();
    let stride = if k == 1 { n } else { b.strides()[0].unsigned_abs() };
    // SAFETY: rows are contiguous and increasing, so the view spans this much.
    let b = unsafe { std::slice::from_raw_parts(b.as_ptr(), (k - 1) * stride + n) };
    // At least a page of each row, so that reading runs on.
    let columns = ((1 << 18) / k).next_multiple_of(1024).min(n);
    for (a, mut c) in a.rows().into_iter().zip(c.rows_mut()) {
        let a = a.to_vec();
        let c = c.as_slice_mut().expect("a row of c is contiguous");
        c.par_chunks_mut(columns).enumerate().for_each(|(i, c)| {
            simd::run_on(isa, RowSum { alpha, a: &a, b: &b[i * columns..], stride, beta, c });
        });
    }
}

/// Parts of `k` in parallel, each with a sum of its own.
fn split_k<T: Scalar>(
    isa: Isa,
    parts: usize,
    alpha: T,
    a: ArrayView2<T>,
    b: ArrayView2<T>,
    beta: T,
    c: &mut ArrayViewMut2<T>,
) {
    let ((m, k), n) = (a.dim(), b.ncols());
    let steps = k.div_ceil(parts);
    let sums: Vec<Buffer<T>> = (0..parts)
        .into_par_iter()
        .map(|part| {
            let range = part * steps..((part + 1) * steps).min(k);
            let mut sum = Buffer::arbitrary(m * n);
            let (a, b) = (a.slice(s![.., range.clone()]), b.slice(s![range, ..]));
            product(isa, alpha, a, b, AddTo::Nothing, &mut matrix_mut(&mut sum, m, n));
            sum
        })
        .collect();
    for (i, mut row) in c.rows_mut().into_iter().enumerate() {
        for (j, c) in row.iter_mut().enumerate() {
            let sum = sums.iter().fold(T::zero(), |total, sum| total + sum[i * n + j]);
            *c = if beta == T::zero() { sum } else { beta * *c + sum };
        }
    }
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
