//! From what the region proposal network predicts to boxes worth a second look.

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use termwise_ops::metrics::nms;

use super::boxes::{BoxCoder, Corners, clip, extent};

/// How many proposals are made, and which.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposalConfig {
    /// Of each level, so many with the highest scores are looked at.
    pub per_level: usize,
    /// IoU above which the lower-scored of two of a level is dropped.
    pub nms_iou: f64,
    /// So many of all levels remain.
    pub count: usize,
    /// The least width and height after clipping, in pixels.
    pub min_side: f64,
}

/// What the network says about one level of one picture.
pub struct LevelPrediction<'a> {
    /// The anchors.
    pub anchors: &'a [Corners],
    /// The logit of each being an object.
    pub logits: &'a [f64],
    /// What [`BoxCoder::PROPOSALS`] decodes, four numbers an anchor.
    pub deltas: &'a [f64],
}

/// A box that may hold an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposal {
    /// Its logit.
    pub logit: f64,
    /// The box, inside of the picture.
    pub bounds: Corners,
}

/// The proposals of a picture of (height, width), by descending logit: of each level the highest-scored, decoded,
/// clipped, the tiny ones left out, without those that overlap a better one of their level; then the best of all.
///
/// Predictions that are not finite make no proposal.
///
/// # Panics
/// If a level has fewer logits than anchors, or an anchor that is looked at lacks its four deltas.
///
/// # Examples
/// ```
/// use termwise_models::detection::{LevelPrediction, ProposalConfig, propose};
/// let config = ProposalConfig { per_level: 10, nms_iou: 0.5, count: 10, min_side: 2.0 };
/// let anchors = [
///     [0.0, 0.0, 8.0, 8.0],
///     [1.0, 0.0, 9.0, 8.0],   // overlaps the first by 7 / 9
///     [12.0, 0.0, 20.0, 8.0], // clipped to four columns
///     [15.0, 0.0, 23.0, 8.0], // one column remains
/// ];
/// let level = LevelPrediction { anchors: &anchors, logits: &[2.0, 1.0, 3.0, 4.0], deltas: &[0.0; 16] };
/// let found: Vec<_> = propose(&[level], (16.0, 16.0), &config).iter().map(|p| (p.logit, p.bounds)).collect();
/// assert_eq!(found, [(3.0, [12.0, 0.0, 16.0, 8.0]), (2.0, [0.0, 0.0, 8.0, 8.0])]);
/// ```
pub fn propose(levels: &[LevelPrediction], size: (f64, f64), config: &ProposalConfig) -> Vec<Proposal> {
    let mut proposals = Vec::new();
    for LevelPrediction { anchors, logits, deltas } in levels {
        let mut order: Vec<usize> = (0..anchors.len()).filter(|&i| logits[i].is_finite()).collect();
        // Of equal logits the earlier anchor goes first, so that the result is one.
        let better = |&a: &usize, &b: &usize| logits[b].total_cmp(&logits[a]).then(a.cmp(&b));
        if order.len() > config.per_level {
            order.select_nth_unstable_by(config.per_level, better);
            order.truncate(config.per_level);
        }
        order.sort_unstable_by(better);
        let decode = |i: usize| {
            let deltas = [deltas[4 * i], deltas[4 * i + 1], deltas[4 * i + 2], deltas[4 * i + 3]];
            let bounds = clip(&BoxCoder::PROPOSALS.decode(&anchors[i], deltas), size);
            let (w, h) = extent(&bounds);
            // NaN is not at least the least side.
            (w >= config.min_side && h >= config.min_side).then_some(Proposal { logit: logits[i], bounds })
        };
        let decoded: Vec<Proposal> = order.into_iter().filter_map(decode).collect();
        let boxes: Array2<f64> = Array2::from(decoded.iter().map(|p| p.bounds).collect::<Vec<_>>());
        let scores: Vec<f64> = decoded.iter().map(|p| p.logit).collect();
        proposals.extend(nms(&boxes, &scores, config.nms_iou).into_iter().map(|i| decoded[i]));
    }
    // Stable: of equal logits the finer level goes first.
    proposals.sort_by(|a, b| b.logit.total_cmp(&a.logit));
    proposals.truncate(config.count);
    proposals
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: ProposalConfig = ProposalConfig { per_level: 4, nms_iou: 0.5, count: 10, min_side: 2.0 };

    #[test]
    fn proposals_of_a_map_by_hand() {
        let fine = [
            [0.0, 0.0, 8.0, 8.0],   // decoded to [2, 0, 10, 8]
            [0.0, 0.0, 8.0, 8.0],   // dropped: IoU 6 / 10 with the better one
            [28.0, 0.0, 36.0, 8.0], // clipped to [28, 0, 32, 8]
            [31.0, 0.0, 39.0, 8.0], // dropped: one pixel remains
            [0.0, 16.0, 8.0, 24.0], // dropped: the fifth best
        ];
        let deltas = [[0.25, 0.0, 0.0, 0.0], [0.0; 4], [0.0; 4], [0.0; 4], [0.0; 4]].concat();
        let coarse = [[0.0, 0.0, 8.0, 8.0], [0.0, 8.0, 8.0, 16.0]];
        let grown = [[0.0; 4], [0.0, 0.0, 2f64.ln(), 0.0]].concat(); // [-4, 8, 12, 16], clipped
        let levels = [
            LevelPrediction { anchors: &fine, logits: &[3.0, 2.0, 1.0, 0.5, -1.0], deltas: &deltas },
            LevelPrediction { anchors: &coarse, logits: &[2.5, 4.0], deltas: &grown },
        ];
        let proposals = propose(&levels, (32.0, 32.0), &CONFIG);
        let expected = [
            (4.0, [0.0, 8.0, 12.0, 16.0]),
            (3.0, [2.0, 0.0, 10.0, 8.0]),
            (2.5, [0.0, 0.0, 8.0, 8.0]), // overlaps one of the other level only
            (1.0, [28.0, 0.0, 32.0, 8.0]),
        ];
        assert_eq!(proposals.len(), expected.len(), "{proposals:?}");
        for (proposal, (logit, bounds)) in proposals.iter().zip(expected) {
            assert_eq!(proposal.logit, logit);
            assert!(proposal.bounds.iter().zip(bounds).all(|(a, b)| (a - b).abs() < 1e-12), "{proposal:?}");
        }
        let two = propose(&levels, (32.0, 32.0), &ProposalConfig { count: 2, ..CONFIG });
        assert_eq!(two, proposals[..2]);
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        let anchors = [[0.0, 0.0, 8.0, 8.0], [8.0, 0.0, 16.0, 8.0], [16.0, 0.0, 24.0, 8.0]];
        let deltas = [[0.0; 4], [f64::NAN; 4], [0.0; 4]].concat();
        let levels = [LevelPrediction { anchors: &anchors, logits: &[f64::NAN, 1.0, 0.0], deltas: &deltas }];
        let proposals = propose(&levels, (32.0, 32.0), &CONFIG);
        assert_eq!(proposals, [Proposal { logit: 0.0, bounds: anchors[2] }]);
        assert!(propose(&[], (32.0, 32.0), &CONFIG).is_empty());
    }
}
