//! Sources that go to the same target, brought together, so that each target is one work-item's and is added to in
//! a fixed order.

use crate::{Buffer, OpenCl, Real};

/// Lists on the device: the distinct targets, where the sources of each begin in `sources` (and, at the end, where
/// they end), and the sources of one target after another, each in order.
pub(crate) struct Groups {
    pub count: usize,
    pub targets: Buffer<i32>,
    pub starts: Buffer<i32>,
    pub sources: Buffer<i32>,
}

/// Groups the sources `0..` by the target that each names.
pub(crate) fn groups<T: Real>(backend: &OpenCl<T>, target_of: &[usize], skip: Option<usize>) -> Groups {
    let (targets, starts, sources) = group(target_of, skip);
    Groups {
        count: targets.len(),
        targets: backend.indices(&targets),
        starts: backend.indices(&starts),
        sources: backend.indices(&sources),
    }
}

fn group(target_of: &[usize], skip: Option<usize>) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    let mut sources: Vec<usize> =
        (0..target_of.len()).filter(|&source| Some(target_of[source]) != skip).collect();
    // Stable: sources of one target stay in order.
    sources.sort_by_key(|&source| target_of[source]);
    let (mut targets, mut starts) = (vec![], vec![]);
    for (place, &source) in sources.iter().enumerate() {
        if targets.last() != Some(&target_of[source]) {
            targets.push(target_of[source]);
            starts.push(place);
        }
    }
    starts.push(sources.len());
    (targets, starts, sources)
}

#[cfg(test)]
mod tests {
    use super::group;

    #[test]
    fn sources_of_a_target_stay_in_order() {
        let (targets, starts, sources) = group(&[5, 2, 5, 0, 2, 5], Some(0));
        assert_eq!((targets, starts, sources), (vec![2, 5], vec![0, 2, 5], vec![1, 4, 0, 2, 5]));
        assert_eq!(group(&[], None), (vec![], vec![0], vec![]));
    }
}
