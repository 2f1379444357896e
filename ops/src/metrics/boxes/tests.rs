use super::*;
use ndarray::{Axis, array};
use proptest::prelude::*;

#[test]
fn overlaps_of_nested_touching_and_equal_boxes() {
    let one = array![[0.0, 0.0, 4.0, 4.0]];
    let others = array![
        [0.0, 0.0, 4.0, 4.0],
        [1.0, 1.0, 3.0, 3.0],
        [4.0, 0.0, 8.0, 4.0],
        [2.0, 2.0, 6.0, 6.0],
        [6.0, 0.0, 8.0, 2.0],
    ];
    assert_eq!(box_iou(&one, &others), array![[1.0, 0.25, 0.0, 4.0 / 28.0, 0.0]]);
    // Enclosing areas 16, 16, 32, 36, 32; unions 16, 16, 32, 28, 20.
    let giou = array![[1.0, 0.25, 0.0, 4.0 / 28.0 - 8.0 / 36.0, -12.0 / 32.0]];
    assert_eq!(generalized_box_iou(&one, &others), giou);
}

#[test]
fn boxes_without_area_have_finite_overlaps() {
    let point = array![[1.0_f32, 1.0, 1.0, 1.0]];
    let boxes = array![[1.0_f32, 1.0, 1.0, 1.0], [0.0, 0.0, 2.0, 2.0], [1.0, 3.0, 1.0, 3.0]];
    assert_eq!(box_iou(&point, &boxes), array![[0.0, 0.0, 0.0]]);
    assert_eq!(generalized_box_iou(&point, &boxes), array![[0.0, 0.0, 0.0]]);
}

#[test]
fn no_boxes() {
    let none = Array2::<f64>::zeros((0, 4));
    let some = Array2::<f64>::zeros((3, 4));
    assert_eq!(box_iou(&none, &some).dim(), (0, 3));
    assert_eq!(generalized_box_iou(&some, &none).dim(), (3, 0));
    assert!(nms(&none, &[], 0.5).is_empty());
    assert!(batched_nms(&none, &[], &[], 0.5).is_empty());
}

#[test]
fn the_threshold_itself_does_not_suppress() {
    // IoU 1/2 exactly.
    let boxes = array![[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0]];
    assert_eq!(nms(&boxes, &[0.9, 0.8], 0.5), [0, 1]);
    assert_eq!(nms(&boxes, &[0.9, 0.8], 0.5 - 1e-12), [0]);
}

#[test]
fn a_suppressed_box_suppresses_nothing() {
    // A row of boxes, each overlapping the next by 1/3: the middle one goes, the last one stays.
    let boxes = array![[0.0, 0.0, 2.0, 1.0], [1.0, 0.0, 3.0, 1.0], [2.0, 0.0, 4.0, 1.0]];
    assert_eq!(nms(&boxes, &[0.9, 0.8, 0.7], 0.3), [0, 2]);
    assert_eq!(nms(&boxes, &[0.8, 0.9, 0.7], 0.3), [1]);
}

#[test]
fn ties_go_to_the_lower_index() {
    let boxes = array![[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]];
    assert_eq!(nms(&boxes, &[0.5, 0.5, 0.5], 0.5), [0, 2]);
}

#[test]
fn classes_are_kept_apart_and_sorted_together() {
    let boxes = array![[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]];
    assert_eq!(batched_nms(&boxes, &[0.1, 0.3, 0.2], &[-1, 5, -1], 0.5), [1, 2]);
}

#[test]
#[should_panic(expected = "boxes must be (N, 4) with N scores: boxes is (2, 4), scores has length 3")]
fn as_many_scores_as_boxes() {
    nms(&Array2::<f64>::zeros((2, 4)), &[0.0; 3], 0.5);
}

#[test]
#[should_panic(expected = "scores[1] is NaN")]
fn a_score_is_a_number() {
    nms(&Array2::<f64>::zeros((2, 4)), &[0.0, f64::NAN], 0.5);
}

#[test]
#[should_panic(expected = "boxes1 is (1, 4), boxes2 is (2, 5)")]
fn boxes_have_four_columns() {
    box_iou(&Array2::<f64>::zeros((1, 4)), &Array2::<f64>::zeros((2, 5)));
}

/// Boxes on a coarse grid, so that ties, equal boxes and touching ones are common.
fn scored_boxes() -> impl Strategy<Value = (Array2<f64>, Vec<f64>, Vec<i64>)> {
    let one = ((0u8..8, 0u8..8, 0u8..5, 0u8..5), 0u8..6, 0i64..3);
    prop::collection::vec(one, 0..24).prop_map(|rows| {
        let mut boxes = Array2::zeros((rows.len(), 4));
        for (mut out, ((x, y, w, h), _, _)) in boxes.outer_iter_mut().zip(&rows) {
            let [x, y, w, h] = [x, y, w, h].map(|&v| f64::from(v));
            out.assign(&array![x, y, x + w, y + h]);
        }
        let scores = rows.iter().map(|row| f64::from(row.1) / 5.0).collect();
        (boxes, scores, rows.iter().map(|row| row.2).collect())
    })
}

fn pick(scores: &[f64], keep: &[usize]) -> Vec<f64> {
    keep.iter().map(|&i| scores[i]).collect()
}

proptest! {
    /// What defines the result: kept boxes do not overlap beyond the threshold, and each dropped
    /// one does so with a kept box that goes before it.
    #[test]
    fn kept_boxes_are_apart_and_cover_the_dropped((boxes, scores, _) in scored_boxes(), t in 0.0..1.0) {
        let keep = nms(&boxes, &scores, t);
        let iou = box_iou(&boxes, &boxes);
        for i in 0..scores.len() {
            let beaten = keep.iter().any(|&k| {
                iou[[k, i]] > t && (scores[k], i) > (scores[i], k)
            });
            prop_assert_eq!(keep.contains(&i), !beaten, "box {}", i);
        }
        prop_assert!(keep.is_sorted_by(|&a, &b| (scores[a], b) > (scores[b], a)));
    }

    #[test]
    fn nms_is_idempotent((boxes, scores, _) in scored_boxes(), t in 0.0..1.0) {
        let keep = nms(&boxes, &scores, t);
        let again = nms(&boxes.select(Axis(0), &keep), &pick(&scores, &keep), t);
        prop_assert_eq!(again, (0..keep.len()).collect::<Vec<_>>());
    }

    /// Moving and scaling by powers of two changes no bit of an IoU on the grid.
    #[test]
    fn nms_does_not_depend_on_place_or_scale((boxes, scores, _) in scored_boxes(), t in 0.0..1.0) {
        prop_assert_eq!(nms(&((&boxes + 16.0) * 4.0), &scores, t), nms(&boxes, &scores, t));
    }

    #[test]
    fn batched_nms_is_nms_of_each_class((boxes, scores, classes) in scored_boxes(), t in 0.0..1.0) {
        let keep = batched_nms(&boxes, &scores, &classes, t);
        for class in 0..3 {
            let members: Vec<usize> = (0..classes.len()).filter(|&i| classes[i] == class).collect();
            let alone = nms(&boxes.select(Axis(0), &members), &pick(&scores, &members), t);
            let alone: Vec<usize> = alone.iter().map(|&i| members[i]).collect();
            let among: Vec<usize> = keep.iter().copied().filter(|&i| classes[i] == class).collect();
            prop_assert_eq!(among, alone);
        }
        prop_assert!(keep.is_sorted_by(|&a, &b| (scores[a], b) > (scores[b], a)));
    }

    #[test]
    fn giou_is_at_most_iou((boxes, _, _) in scored_boxes()) {
        let (iou, giou) = (box_iou(&boxes, &boxes), generalized_box_iou(&boxes, &boxes));
        prop_assert_eq!(&iou, &iou.t());
        for (&iou, &giou) in iou.iter().zip(&giou) {
            prop_assert!((0.0..=1.0).contains(&iou) && giou >= -1.0 && giou <= iou);
        }
    }
}
