//! Shape arithmetic that several operations share.

/// An axis given as in NumPy: negative counts from the end.
///
/// # Panics
/// If it is outside `-ndim .. ndim`; the message names `op`, the axis and the shape.
#[track_caller]
pub fn axis(op: &str, axis: isize, shape: &[usize]) -> usize {
    let ndim = shape.len() as isize;
    if !(-ndim..ndim).contains(&axis) {
        panic!("{op}: axis {axis} is out of range for shape {shape:?}");
    }
    axis.rem_euclid(ndim) as usize
}

/// `(outer, len, inner)`: the product of the extents before `axis`, its own, and of those after it.
/// Element `(o, i, j)` of the array lies at `(o * len + i) * inner + j`.
pub fn split_at_axis(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

/// The common shape of two operands under NumPy broadcasting, or `None` where they do not fit.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let ndim = a.len().max(b.len());
    let extent = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(ndim).map_or(1, |j| shape[j]);
    (0..ndim)
        .map(|i| match (extent(a, i), extent(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}
