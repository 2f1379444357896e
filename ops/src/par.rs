//! Splitting work over threads so that the result does not depend on how many there are.
//!
//! Every partition here is fixed by the shape of the data, never by the number of threads, and each
//! piece of output is written by one task: the same bits come out for any number of threads.

use rayon::prelude::*;

/// Work (in elementary operations on a vector's lanes) below which a task is not worth handing to another
/// thread: some ten microseconds. In this crate's own tests small arrays are split too.
const MIN_TASK_WORK: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// Elements in a block of rows: large enough that starting a kernel is nothing beside it, small enough
/// for the first caches.
const BLOCK: usize = 1 << 13;

/// Whether so many tasks of so much work are worth more than one thread.
fn pays(tasks: usize, work: usize) -> bool {
    tasks > 1 && tasks.saturating_mul(work) >= 4 * MIN_TASK_WORK && rayon::current_num_threads() > 1
}

/// Calls `f(index, chunk)` for each chunk of `chunk_len` elements of `out`, in parallel where the
/// total work is large enough. `work_per_chunk` is a rough count of operations in one call.
pub fn for_each_chunk<T: Send>(
    out: &mut [T],
    chunk_len: usize,
    work_per_chunk: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    for_each_chunks([(out, chunk_len)], work_per_chunk, |index, [chunk]| f(index, chunk));
}

/// [`for_each_chunk`] for several slices of as many chunks each, of which each call gets one.
///
/// # Panics
/// If the numbers of chunks differ.
pub fn for_each_chunks<T: Send, const K: usize>(
    outs: [(&mut [T], usize); K],
    work_per_chunk: usize,
    f: impl Fn(usize, [&mut [T]; K]) + Sync,
) {
    let count = |(out, len): &(&mut [T], usize)| if *len == 0 { 0 } else { out.len().div_ceil(*len) };
    let chunks = outs.iter().map(count).max().unwrap_or(0);
    assert!(outs.iter().all(|out| count(out) == chunks), "par: the slices have as many chunks each");
    let per_task =
        if pays(chunks, work_per_chunk) { (MIN_TASK_WORK / work_per_chunk.max(1)).max(1) } else { chunks };
    let lens = std::array::from_fn(|k| outs[k].1);
    halve(outs.map(|(out, _)| out), lens, 0, chunks, per_task, &f);
}

/// Calls `f` for the chunks `first .. first + count`, each half by a task of its own until they are small.
fn halve<T: Send, const K: usize>(
    outs: [&mut [T]; K],
    lens: [usize; K],
    first: usize,
    count: usize,
    per_task: usize,
    f: &(impl Fn(usize, [&mut [T]; K]) + Sync),
) {
    if count <= per_task.max(1) {
        let mut chunks = outs.map(Some);
        for index in first..first + count {
            let chunk = std::array::from_fn(|k| {
                let rest = chunks[k].take().expect("one chunk a call");
                let (chunk, rest) = rest.split_at_mut(lens[k].min(rest.len()));
                chunks[k] = Some(rest);
                chunk
            });
            f(index, chunk);
        }
        return;
    }
    let half = count / 2;
    let (mut left, mut right) = ([const { None }; K], [const { None }; K]);
    for (k, out) in outs.into_iter().enumerate() {
        let (a, b) = out.split_at_mut(half * lens[k]);
        (left[k], right[k]) = (Some(a), Some(b));
    }
    let [left, right] = [left, right].map(|side| side.map(|half| half.expect("every slice was halved")));
    rayon::join(
        || halve(left, lens, first, half, per_task, f),
        || halve(right, lens, first + half, count - half, per_task, f),
    );
}

/// [`for_each_chunk`] for two slices of different types and as many chunks each, of which each call gets one.
///
/// # Panics
/// If one has more chunks than the other.
pub fn for_each_pair<T: Send, U: Send>(
    (a, a_len): (&mut [T], usize),
    (b, b_len): (&mut [U], usize),
    work_per_chunk: usize,
    f: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    if a.is_empty() && b.is_empty() {
        return;
    }
    let [chunks, others] = [a.len().div_ceil(a_len), b.len().div_ceil(b_len)];
    assert!(chunks == others, "par::for_each_pair: {chunks} chunks of one slice, {others} of the other");
    if pays(chunks, work_per_chunk) {
        let per_task = (MIN_TASK_WORK / work_per_chunk.max(1)).max(1);
        let chunks = a.par_chunks_mut(a_len).zip(b.par_chunks_mut(b_len)).enumerate();
        chunks.with_min_len(per_task).for_each(|(i, (a, b))| f(i, a, b));
    } else {
        let chunks = a.chunks_mut(a_len).zip(b.chunks_mut(b_len)).enumerate();
        chunks.for_each(|(i, (a, b))| f(i, a, b));
    }
}

/// How many rows of `row_len` elements one call of a kernel handles.
pub fn rows_per_block(row_len: usize) -> usize {
    (BLOCK / row_len.max(1)).max(1)
}

/// Calls `f(first_row, rows)` for blocks of rows of `row_len` elements of `out`, in parallel where the work
/// is large enough. `work_per_row` is a rough count of operations.
///
/// ```
/// let mut out = vec![0; 6];
/// termwise_ops::par::for_each_rows(&mut out, 2, 1, |first, rows| {
///     for (i, row) in rows.chunks_exact_mut(2).enumerate() {
///         row.fill(first + i);
///     }
/// });
/// assert_eq!(out, [0, 0, 1, 1, 2, 2]);
/// ```
pub fn for_each_rows<T: Send>(
    out: &mut [T],
    row_len: usize,
    work_per_row: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    let rows = rows_per_block(row_len);
    for_each_chunk(out, rows * row_len, rows * work_per_row, |block, out| f(block * rows, out));
}

/// Computes `f(0), .., f(count - 1)` in parallel where the work is large enough, results in order.
///
/// For sums over tasks: reduce the returned partial results in order, so that rounding does not
/// depend on scheduling.
///
/// ```
/// let squares = termwise_ops::par::map(4, 1, |i| i * i);
/// assert_eq!(squares, [0, 1, 4, 9]);
/// ```
pub fn map<R: Send>(count: usize, work_per_item: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    if pays(count, work_per_item) {
        let per_task = (MIN_TASK_WORK / work_per_item.max(1)).max(1);
        (0..count).into_par_iter().with_min_len(per_task).map(f).collect()
    } else {
        (0..count).map(f).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chunk_is_seen_once_beside_its_partners() {
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for (len, work) in [(0, 1), (1, 1), (10, 1), (1003, 1), (1003, MIN_TASK_WORK / 5)] {
                let (mut a, mut b) = (vec![0; 3 * len], vec![0; len]);
                pool.install(|| {
                    for_each_chunks([(&mut a, 6), (&mut b, 2)], work, |i, [a, b]| {
                        assert_eq!(a.len(), 3 * b.len());
                        a.iter_mut().for_each(|a| *a += i + 1);
                        b.iter_mut().for_each(|b| *b += i + 1);
                    });
                });
                assert!(a.iter().enumerate().all(|(i, &a)| a == i / 6 + 1), "{len} {threads}");
                assert!(b.iter().enumerate().all(|(i, &b)| b == i / 2 + 1), "{len} {threads}");
                let squares = pool.install(|| map(len, work, |i| i * i));
                assert!(squares.into_iter().eq((0..len).map(|i| i * i)));
            }
        }
    }

    #[test]
    fn blocks_hold_whole_rows() {
        for row_len in [1, 7, BLOCK + 1] {
            let mut rows = vec![0; 5 * row_len];
            for_each_rows(&mut rows, row_len, 1, |first, rows| {
                assert!(rows.len().is_multiple_of(row_len));
                for (i, row) in rows.chunks_mut(row_len).enumerate() {
                    row.fill(first + i);
                }
            });
            assert!(rows.iter().enumerate().all(|(i, &row)| row == i / row_len));
        }
    }
}
