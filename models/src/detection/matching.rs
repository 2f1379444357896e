//! Which object an anchor or a proposal is trained on, and which of them are.

use ndarray::Array2;
use rand::{Rng, RngExt};
use termwise_ops::metrics::box_iou;

use super::boxes::{Corners, covered};

/// What a box is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// On there being no object.
    Background,
    /// Not at all.
    Ignored,
    /// On the object of this index.
    Object(usize),
}

/// The rule by which boxes are matched to objects.
///
/// A box belongs to the object it overlaps most if their IoU is at least `foreground`, is background if it is below
/// `background`, and is ignored in between. With `low_quality`, the boxes that overlap an object more than (or as
/// much as) all others do belong to the object that they overlap most, however little: so that no object is left
/// without a box. A background box that lies by half or more in a crowd is ignored.
///
/// Source: Ren et al., "Faster R-CNN", NeurIPS 2015, section 3.1.2, in the form of torchvision.
///
/// ```
/// use termwise_models::detection::{Match, Matcher};
/// let matcher = Matcher { foreground: 0.7, background: 0.3, low_quality: false };
/// let objects = [[0.0, 0.0, 10.0, 10.0]];
/// let boxes = [
///     [0.0, 0.0, 10.0, 8.0],   // IoU 0.8
///     [0.0, 0.0, 10.0, 5.0],   // 0.5
///     [0.0, 0.0, 10.0, 2.0],   // 0.2
///     [20.0, 0.0, 30.0, 10.0], // 0, and half in a crowd
/// ];
/// let crowds = [[25.0, 0.0, 60.0, 10.0]];
/// let expected = [Match::Object(0), Match::Ignored, Match::Background, Match::Ignored];
/// assert_eq!(matcher.assign(&boxes, &objects, &crowds), expected);
/// // Without the first box the second is the best of the object.
/// assert_eq!(matcher.assign(&boxes[1..3], &objects, &[]), [Match::Ignored, Match::Background]);
/// let generous = Matcher { low_quality: true, ..matcher };
/// assert_eq!(generous.assign(&boxes[1..3], &objects, &[]), [Match::Object(0), Match::Background]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matcher {
    /// The least IoU of a match.
    pub foreground: f64,
    /// The IoU below which there is no match.
    pub background: f64,
    /// Whether the best boxes of every object match.
    pub low_quality: bool,
}

impl Matcher {
    /// Matches `boxes`. Of equal overlaps the object of lower index counts.
    pub fn assign(&self, boxes: &[Corners], objects: &[Corners], crowds: &[Corners]) -> Vec<Match> {
        let iou = box_iou(&Array2::from(boxes.to_vec()), &Array2::from(objects.to_vec()));
        // For each object, the largest IoU of any box.
        let mut most = vec![0.0f64; objects.len()];
        for row in iou.outer_iter() {
            most.iter_mut().zip(&row).for_each(|(most, &iou)| *most = most.max(iou));
        }
        let assign = |(b, overlaps): (&Corners, ndarray::ArrayView1<f64>)| {
            let mut best = (0, f64::NEG_INFINITY);
            let mut is_best_of_an_object = false;
            for (object, &iou) in overlaps.iter().enumerate() {
                if iou > best.1 {
                    best = (object, iou);
                }
                is_best_of_an_object |= iou > 0.0 && iou == most[object];
            }
            if best.1 >= self.foreground || (self.low_quality && is_best_of_an_object) {
                Match::Object(best.0)
            } else if best.1 >= self.background || crowds.iter().any(|crowd| covered(b, crowd) >= 0.5) {
                Match::Ignored
            } else {
                Match::Background
            }
        };
        boxes.iter().zip(iou.outer_iter()).map(assign).collect()
    }
}

/// The boxes that are trained on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// Indices of boxes matched to an object, ascending.
    pub positives: Vec<usize>,
    /// Indices of background boxes, ascending.
    pub negatives: Vec<usize>,
}

/// Draws at most `count` boxes, of which at most `count * positive_share` are matched to an object; background fills
/// up what these leave.
///
/// # Examples
/// ```
/// use rand::SeedableRng;
/// use termwise_models::detection::{Match, Sampled, sample};
/// let matches = [Match::Background, Match::Object(0), Match::Ignored, Match::Background, Match::Object(3)];
/// let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let all = Sampled { positives: vec![1, 4], negatives: vec![0, 3] };
/// assert_eq!(sample(&matches, 4, 0.5, rng), all);
/// let drawn = sample(&matches, 3, 0.5, rng); // at most one and a half matched, rounded down
/// assert_eq!((drawn.positives.len(), drawn.negatives), (1, vec![0, 3]));
/// ```
pub fn sample(matches: &[Match], count: usize, positive_share: f64, rng: &mut impl Rng) -> Sampled {
    let of = |wanted: fn(&Match) -> bool| -> Vec<usize> {
        (0..matches.len()).filter(|&i| wanted(&matches[i])).collect()
    };
    let positives = of(|m| matches!(m, Match::Object(_)));
    let negatives = of(|m| *m == Match::Background);
    let positives = draw(positives, (count as f64 * positive_share) as usize, rng);
    let negatives = draw(negatives, count - positives.len(), rng);
    Sampled { positives, negatives }
}

/// `count` of `items`, each equally likely, in ascending order; all where there are no more.
fn draw(mut items: Vec<usize>, count: usize, rng: &mut impl Rng) -> Vec<usize> {
    if items.len() > count {
        for place in 0..count {
            let other = rng.random_range(place as u64..items.len() as u64); // u64: the same on every machine
            items.swap(place, other as usize);
        }
        items.truncate(count);
        items.sort_unstable();
    }
    items
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const RPN: Matcher = Matcher { foreground: 0.7, background: 0.3, low_quality: true };
    /// 10 x 10 boxes side by side overlap by their shared part of 20 - shared.
    const OBJECT: Corners = [0.0, 0.0, 10.0, 10.0];

    fn shifted(by: f64) -> Corners {
        [by, 0.0, 10.0 + by, 10.0]
    }

    #[test]
    fn thresholds() {
        let matcher = Matcher { low_quality: false, ..RPN };
        // IoU 9/11, 5/15, 4/16, 0.
        let matches =
            matcher.assign(&[shifted(1.0), shifted(5.0), shifted(6.0), shifted(20.0)], &[OBJECT], &[]);
        assert_eq!(matches, [Match::Object(0), Match::Ignored, Match::Background, Match::Background]);
        // Both thresholds include their own value.
        let exact = Matcher { foreground: 0.6, background: 0.25, low_quality: false };
        let matches = exact.assign(&[shifted(2.5), shifted(6.0)], &[OBJECT], &[]);
        assert_eq!(matches, [Match::Object(0), Match::Ignored], "IoU 7.5 / 12.5 and 4 / 16");
    }

    #[test]
    fn the_best_boxes_of_an_object_match_however_little_they_overlap() {
        let boxes = [shifted(6.0), shifted(-6.0), shifted(7.0), shifted(30.0)];
        let matches = RPN.assign(&boxes, &[OBJECT], &[]);
        assert_eq!(matches, [Match::Object(0), Match::Object(0), Match::Background, Match::Background]);
        // Not so an object that no box touches: an overlap of nothing is not the best one.
        let matches = RPN.assign(&[shifted(20.0)], &[OBJECT], &[]);
        assert_eq!(matches, [Match::Background]);
    }

    #[test]
    fn the_low_quality_rule_gives_a_box_the_object_that_it_overlaps_most() {
        // The only box is the best of both; it overlaps the second more.
        let matches = RPN.assign(&[shifted(4.0)], &[OBJECT, shifted(5.0)], &[]);
        assert_eq!(matches, [Match::Object(1)]);
    }

    #[test]
    fn of_equal_overlaps_the_first_object_counts() {
        let matches = RPN.assign(&[OBJECT], &[shifted(1.0), shifted(-1.0)], &[]);
        assert_eq!(matches, [Match::Object(0)]);
    }

    #[test]
    fn without_objects_all_is_background() {
        assert_eq!(RPN.assign(&[OBJECT, shifted(3.0)], &[], &[]), [Match::Background; 2]);
        assert_eq!(RPN.assign(&[], &[OBJECT], &[]), []);
    }

    #[test]
    fn what_lies_in_a_crowd_is_no_background_and_no_object() {
        let crowd = [0.0, 0.0, 100.0, 100.0];
        let boxes = [shifted(1.0), shifted(50.0), shifted(96.0)];
        let matches = RPN.assign(&boxes, &[OBJECT], &[crowd]);
        assert_eq!(matches, [Match::Object(0), Match::Ignored, Match::Background], "4 of 10 columns inside");
    }

    #[test]
    fn samples_are_balanced_and_a_function_of_the_seed() {
        let matches: Vec<Match> = (0..1000)
            .map(|i| match i % 10 {
                0 => Match::Object(i),
                1 => Match::Ignored,
                _ => Match::Background,
            })
            .collect();
        let draw = |seed, count, share| sample(&matches, count, share, &mut ChaCha8Rng::seed_from_u64(seed));
        let drawn = draw(1, 64, 0.5);
        assert_eq!((drawn.positives.len(), drawn.negatives.len()), (32, 32));
        assert!(drawn.positives.iter().all(|i| i % 10 == 0) && drawn.negatives.iter().all(|i| i % 10 > 1));
        assert!(drawn.negatives.windows(2).all(|pair| pair[0] < pair[1]), "each once");
        assert_eq!(drawn, draw(1, 64, 0.5));
        assert_ne!(drawn, draw(2, 64, 0.5));
        // There are 100 positives: background fills up; and 800 negatives: nothing does.
        let drawn = draw(1, 512, 0.5);
        assert_eq!((drawn.positives.len(), drawn.negatives.len()), (100, 412));
        let drawn = draw(1, 2000, 0.5);
        assert_eq!((drawn.positives.len(), drawn.negatives.len()), (100, 800));
        let none = sample(&[Match::Ignored; 3], 5, 0.5, &mut ChaCha8Rng::seed_from_u64(0));
        assert_eq!(none, Sampled::default());
    }

    /// Each of 8 boxes is drawn in half of the samples of 4: 4000 draws, expected 2000, standard deviation 32.
    #[test]
    fn every_box_is_equally_likely() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut counts = [0i32; 8];
        for _ in 0..4000 {
            sample(&[Match::Background; 8], 4, 0.5, &mut rng).negatives.iter().for_each(|&i| counts[i] += 1);
        }
        assert!(counts.iter().all(|count| (count - 2000).abs() < 5 * 32), "{counts:?}");
    }
}
