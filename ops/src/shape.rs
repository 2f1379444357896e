//! Shape arithmetic that several operations share.

/// An axis given as in NumPy: negative counts from the end.
///
/// # Panics
/// If it is outside `-ndim .. ndim`; the message names `op`, the axis and the shape.
///
/// # Examples
/// ```
/// use termwise_ops::shape::axis;
/// assert_eq!((axis("sum", 1, &[2, 3, 4]), axis("sum", -1, &[2, 3, 4])), (1, 2));
/// ```
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
///
/// # Panics
/// If there is no such axis.
///
/// # Examples
/// ```
/// let (outer, len, inner) = termwise_ops::shape::split_at_axis(&[2, 3, 4, 5], 1);
/// assert_eq!((outer, len, inner), (2, 3, 20));
/// ```
pub fn split_at_axis(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

/// The common shape of two operands under NumPy broadcasting, or `None` where they do not fit.
///
/// # Examples
/// ```
/// use termwise_ops::shape::broadcast;
/// assert_eq!(broadcast(&[3, 1], &[5, 1, 4]), Some(vec![5, 3, 4]));
/// assert_eq!(broadcast(&[2, 3], &[2]), None);
/// ```
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
