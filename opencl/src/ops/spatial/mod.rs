//! Operations of `termwise_ops::spatial`.

mod avg_pool2d;
mod interpolate;
pub(crate) mod max_pool2d;
mod roi_align;

use std::ops::Range;

use crate::{Buffer, OpenCl, Real};

/// For each of `inputs` positions the stretch of outputs that may look at it: the first ones, then the ends (not
/// included). `reach` is the stretch of positions that an output looks at.
fn users<T: Real>(
    backend: &OpenCl<T>,
    inputs: usize,
    reach: impl Iterator<Item = Range<usize>>,
) -> Buffer<i32> {
    let (mut first, mut end) = (vec![usize::MAX; inputs], vec![0; inputs]);
    for (output, positions) in reach.enumerate() {
        for position in positions {
            first[position] = first[position].min(output);
            end[position] = output + 1;
        }
    }
    first.iter_mut().zip(&end).for_each(|(first, &end)| *first = (*first).min(end));
    backend.indices(&[first, end].concat())
}

/// A shape with other last two extents.
fn with_size(shape: &[usize], size: [usize; 2]) -> Vec<usize> {
    [&shape[..shape.len() - 2], &size].concat()
}
