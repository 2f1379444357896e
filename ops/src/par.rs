//! Splitting work over threads so that the result does not depend on how many there are.
//!
//! Every partition here is fixed by the shape of the data, never by the number of threads, and each
//! piece of output is written by one task: the same bits come out for any number of threads.

use rayon::prelude::*;

/// Work (in elementary operations) below which a task is not worth handing to another thread.
const MIN_TASK_WORK: usize = 1 << 16;

/// Calls `f(index, chunk)` for each chunk of `chunk_len` elements of `out`, in parallel where the
/// total work is large enough. `work_per_chunk` is a rough count of operations in one call.
pub fn for_each_chunk<T: Send>(
    out: &mut [T],
    chunk_len: usize,
    work_per_chunk: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    if out.is_empty() || chunk_len == 0 {
        return;
    }
    let chunks = out.len().div_ceil(chunk_len);
    if chunks.saturating_mul(work_per_chunk) < 2 * MIN_TASK_WORK {
        out.chunks_mut(chunk_len).enumerate().for_each(|(i, chunk)| f(i, chunk));
    } else {
        let per_task = (MIN_TASK_WORK / work_per_chunk.max(1)).max(1);
        out.par_chunks_mut(chunk_len).enumerate().with_min_len(per_task).for_each(|(i, chunk)| f(i, chunk));
    }
}

/// Computes `f(0), .., f(count - 1)` in parallel where the work is large enough, results in order.
///
/// For sums over tasks: reduce the returned partial results in order, so that rounding does not
/// depend on scheduling.
pub fn map<R: Send>(count: usize, work_per_item: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    if count.saturating_mul(work_per_item) < 2 * MIN_TASK_WORK {
        (0..count).map(f).collect()
    } else {
        (0..count).into_par_iter().map(f).collect()
    }
}
