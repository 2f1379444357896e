//! Going over a slab: the rows of one softmax axis, each of as many elements as the axes after it hold.

/// Calls `f(element, stat)` for each element of the slab in order, `stat` being the number that belongs
/// to its column: the running maximum or sum along the axis.
///
/// Rows are contiguous, so this is fast along the last axis (one column) and along an earlier one
/// (many columns, all advanced together).
pub(super) fn sweep<T: Copy, E>(
    slab: impl Iterator<Item = E> + ExactSizeIterator,
    stats: &mut [T],
    mut f: impl FnMut(E, &mut T),
) {
    if let [stat] = stats {
        // In a register rather than behind the slice.
        let mut only = *stat;
        slab.for_each(|element| f(element, &mut only));
        *stat = only;
        return;
    }
    let (rows, mut slab) = (slab.len() / stats.len().max(1), slab);
    for _ in 0..rows {
        stats.iter_mut().zip(&mut slab).for_each(|(stat, element)| f(element, stat));
    }
}
