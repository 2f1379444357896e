use super::*;
use ndarray::{Array1, array, concatenate};
use proptest::prelude::*;

#[test]
fn figures_of_a_matrix_worked_by_hand() {
    let mut confusion = ConfusionMatrix::new(4, Some(255));
    // Class 3 is neither labelled nor predicted; class 2 is predicted but never labelled.
    confusion.update(&array![0u8, 0, 0, 0, 1, 1, 255], &array![0u8, 0, 0, 1, 1, 2, 3]);
    let metrics = confusion.metrics();
    assert_eq!(metrics.iou, [3.0 / 4.0, 1.0 / 3.0, 0.0, -1.0]);
    assert_eq!(metrics.valid, [true, true, true, false]);
    assert_eq!(metrics.miou, (3.0 / 4.0 + 1.0 / 3.0) / 3.0);
    assert_eq!(metrics.class_acc, [0.75, 0.5, -1.0, -1.0]);
    assert_eq!(metrics.mean_acc, 0.625);
    assert_eq!(metrics.pixel_acc, 4.0 / 6.0);
}

#[test]
fn an_ignored_class_still_counts_as_a_wrong_prediction() {
    let mut confusion = ConfusionMatrix::new(2, Some(0));
    confusion.update(&array![[0i64, 1], [1, 1]], &array![[1i64, 0], [1, 1]]);
    assert_eq!(confusion.counts(), array![[0, 0], [1, 2]]);
    assert_eq!(confusion.metrics().iou, [0.0, 2.0 / 3.0]);
    assert_eq!(confusion.metrics().class_acc, [-1.0, 2.0 / 3.0]);
}

#[test]
fn nothing_counted_leaves_every_figure_undefined() {
    let mut confusion = ConfusionMatrix::new(2, Some(-1));
    confusion.update(&array![-1i32, -1], &array![0i32, 9]);
    let metrics = confusion.metrics();
    assert_eq!((metrics.miou, metrics.pixel_acc, metrics.mean_acc), (-1.0, -1.0, -1.0));
    assert_eq!((metrics.iou, metrics.valid), (vec![-1.0; 2], vec![false; 2]));
}

#[test]
#[should_panic(expected = "label is [2], prediction is [3]")]
fn label_and_prediction_have_one_shape() {
    ConfusionMatrix::new(2, None).update(&array![0u8, 1], &array![0u8, 1, 1]);
}

#[test]
#[should_panic(expected = "a pixel has label 255, prediction 1; expected classes 0 to 1")]
fn a_label_is_a_class() {
    ConfusionMatrix::new(2, None).update(&array![0u8, 255], &array![0i64, 1]);
}

#[test]
#[should_panic(expected = "a pixel has label 1, prediction -3")]
fn a_prediction_is_a_class() {
    ConfusionMatrix::new(2, Some(255)).update(&array![0u8, 1], &array![0i64, -3]);
}

#[test]
#[should_panic(expected = "2 classes, ignoring None, and 3 classes, ignoring None")]
fn only_like_matrices_merge() {
    ConfusionMatrix::new(2, None).merge(&ConfusionMatrix::new(3, None));
}

fn pixels() -> impl Strategy<Value = (Array1<u8>, Array1<u8>)> {
    prop::collection::vec((0u8..5, 0u8..4), 1..60)
        .prop_map(|pairs| pairs.into_iter().unzip::<_, _, Vec<_>, Vec<_>>())
        .prop_map(|(label, prediction)| (label.into(), prediction.into()))
}

fn count(label: &Array1<u8>, prediction: &Array1<u8>) -> ConfusionMatrix {
    let mut confusion = ConfusionMatrix::new(4, Some(4));
    confusion.update(label, prediction);
    confusion
}

proptest! {
    #[test]
    fn merging_is_concatenating(a in pixels(), b in pixels()) {
        let mut merged = count(&a.0, &a.1);
        merged.merge(&count(&b.0, &b.1));
        let label = concatenate![Axis(0), a.0, b.0];
        let prediction = concatenate![Axis(0), a.1, b.1];
        prop_assert_eq!(&merged, &count(&label, &prediction));
    }

    #[test]
    fn a_perfect_prediction_scores_one((label, _) in pixels()) {
        let perfect = label.mapv(|class| class % 4);
        let metrics = count(&perfect, &perfect).metrics();
        prop_assert_eq!((metrics.miou, metrics.pixel_acc, metrics.mean_acc), (1.0, 1.0, 1.0));
    }

    /// IoU never exceeds the accuracy of the class, and every count is one pixel that was kept.
    #[test]
    fn bounds((label, prediction) in pixels()) {
        let confusion = count(&label, &prediction);
        let kept = label.iter().filter(|&&class| class != 4).count() as u64;
        prop_assert_eq!(confusion.counts().sum(), kept);
        let metrics = confusion.metrics();
        for (iou, acc) in metrics.iou.iter().zip(&metrics.class_acc) {
            prop_assert!(*acc < 0.0 || iou <= acc);
        }
    }
}
