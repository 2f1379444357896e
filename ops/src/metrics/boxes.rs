//! Arithmetic on axis-aligned boxes `(x1, y1, x2, y2)` with `x1 <= x2`, `y1 <= y2`: overlap and
//! non-maximum suppression. Forward only: the differentiable overlap is the GIoU loss.
//!
//! Sources: the definitions of torchvision's `box_iou`, `generalized_box_iou`, `nms` and
//! `batched_nms`; GIoU is Rezatofighi et al., CVPR 2019.

use std::collections::HashMap;

use ndarray::{Array2, ArrayRef2, NdFloat};

#[cfg(test)]
mod tests;

/// Intersection over union of every pair of boxes.
///
/// # Formula
/// `iou[i, j] = |a_i n b_j| / |a_i u b_j|`, in [0, 1].
///
/// # Shapes
/// `boxes1` (N, 4), `boxes2` (M, 4) -> (N, M)
///
/// # Edge cases
/// Two boxes without area have an empty union: their IoU is 0 (torchvision gives NaN).
///
/// # Panics
/// If the boxes do not have four columns.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use termwise_ops::metrics::box_iou;
///
/// let iou = box_iou(&array![[0.0, 0.0, 2.0, 2.0]], &array![[1.0, 0.0, 3.0, 2.0], [2.0, 0.0, 3.0, 2.0]]);
/// assert_eq!(iou, array![[1.0 / 3.0, 0.0]]); // 2 of 6, and boxes that touch
/// ```
#[track_caller]
pub fn box_iou<T: NdFloat>(boxes1: &ArrayRef2<T>, boxes2: &ArrayRef2<T>) -> Array2<T> {
    pairwise("box_iou", boxes1, boxes2, iou)
}

/// Generalized intersection over union of every pair of boxes.
///
/// # Formula
/// `giou[i, j] = iou[i, j] - (|c| - |a_i u b_j|) / |c|`, in [-1, 1], with c the smallest box around
/// both: it tells how far apart two boxes are that do not meet.
///
/// # Shapes
/// `boxes1` (N, 4), `boxes2` (M, 4) -> (N, M)
///
/// # Edge cases
/// Where the enclosing box has no area GIoU is IoU, that is 0 (torchvision gives NaN).
///
/// # Panics
/// If the boxes do not have four columns.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use termwise_ops::metrics::generalized_box_iou;
///
/// // Two unit squares with a unit gap: IoU 0, union 2, enclosing box 3.
/// let giou = generalized_box_iou(&array![[0.0, 0.0, 1.0, 1.0]], &array![[2.0, 0.0, 3.0, 1.0]]);
/// assert_eq!(giou, array![[-1.0 / 3.0]]);
/// ```
#[track_caller]
pub fn generalized_box_iou<T: NdFloat>(boxes1: &ArrayRef2<T>, boxes2: &ArrayRef2<T>) -> Array2<T> {
    pairwise("generalized_box_iou", boxes1, boxes2, |a, b| {
        let enclosing = area([a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]);
        if enclosing <= T::zero() {
            return iou(a, b);
        }
        let (_, union) = intersection_and_union(a, b);
        iou(a, b) - (enclosing - union) / enclosing
    })
}

/// Non-maximum suppression: greedily keeps the best-scored box and drops the boxes whose IoU with
/// it is greater than `iou_threshold`. Returns the indices kept, by descending score.
///
/// # Shapes
/// `boxes` (N, 4), `scores` N -> at most N indices
///
/// # Edge cases
/// Of equal scores the lower index goes first. An IoU equal to the threshold does not suppress.
///
/// # Panics
/// If `boxes` does not have four columns, `scores` another length, or a score is NaN.
///
/// # Cost
/// O(N log N + N K) for K boxes kept.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use termwise_ops::metrics::nms;
///
/// let boxes = array![[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 5.0], [5.0, 5.0, 9.0, 9.0]];
/// assert_eq!(nms(&boxes, &[0.6, 0.9, 0.7], 0.5), [1, 2]); // boxes 0 and 1 overlap by 16 / 20
/// ```
#[track_caller]
pub fn nms<T: NdFloat>(boxes: &ArrayRef2<T>, scores: &[T], iou_threshold: f64) -> Vec<usize> {
    check_scored("nms", boxes, scores);
    // One class: every box competes with every box kept.
    suppress(boxes, scores, iou_threshold, |_| 0)
}

/// [`nms`] within each class: boxes of different classes do not suppress each other. Returns the
/// indices kept of all classes, by descending score.
///
/// # Shapes
/// `boxes` (N, 4), `scores` N, `classes` N -> at most N indices
///
/// # Edge cases
/// As [`nms`]. Class ids may be any integers.
///
/// # Panics
/// As [`nms`], and if `classes` has another length.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use termwise_ops::metrics::batched_nms;
///
/// let boxes = array![[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 5.0], [0.0, 0.0, 4.0, 4.0]];
/// assert_eq!(batched_nms(&boxes, &[0.6, 0.9, 0.7], &[7, 7, 3], 0.5), [1, 2]);
/// ```
#[track_caller]
pub fn batched_nms<T: NdFloat>(
    boxes: &ArrayRef2<T>,
    scores: &[T],
    classes: &[i64],
    iou_threshold: f64,
) -> Vec<usize> {
    check_scored("batched_nms", boxes, scores);
    assert!(
        classes.len() == scores.len(),
        "batched_nms: classes has length {}, scores {}",
        classes.len(),
        scores.len()
    );
    suppress(boxes, scores, iou_threshold, |i| classes[i])
}

fn suppress<T: NdFloat>(
    boxes: &ArrayRef2<T>,
    scores: &[T],
    iou_threshold: f64,
    class_of: impl Fn(usize) -> i64,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).expect("no score is NaN"));

    let mut keep = Vec::new();
    let mut kept_boxes: HashMap<i64, Vec<[T; 4]>> = HashMap::new();
    for i in order {
        let candidate = row(boxes, i);
        let rivals = kept_boxes.entry(class_of(i)).or_default();
        // Compared in f64, so that a threshold is the same number for f32 boxes.
        let is_suppressed =
            rivals.iter().any(|&rival| iou(rival, candidate).to_f64().expect("a float") > iou_threshold);
        if !is_suppressed {
            rivals.push(candidate);
            keep.push(i);
        }
    }
    keep
}

fn iou<T: NdFloat>(a: [T; 4], b: [T; 4]) -> T {
    let (intersection, union) = intersection_and_union(a, b);
    if union > T::zero() { intersection / union } else { T::zero() }
}

fn intersection_and_union<T: NdFloat>(a: [T; 4], b: [T; 4]) -> (T, T) {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(T::zero());
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(T::zero());
    let intersection = width * height;
    (intersection, area(a) + area(b) - intersection)
}

fn area<T: NdFloat>([x1, y1, x2, y2]: [T; 4]) -> T {
    (x2 - x1) * (y2 - y1)
}

fn row<T: NdFloat>(boxes: &ArrayRef2<T>, i: usize) -> [T; 4] {
    [boxes[[i, 0]], boxes[[i, 1]], boxes[[i, 2]], boxes[[i, 3]]]
}

#[track_caller]
fn pairwise<T: NdFloat>(
    name: &str,
    boxes1: &ArrayRef2<T>,
    boxes2: &ArrayRef2<T>,
    overlap: impl Fn([T; 4], [T; 4]) -> T,
) -> Array2<T> {
    assert!(
        boxes1.ncols() == 4 && boxes2.ncols() == 4,
        "{name}: boxes need 4 columns: boxes1 is {:?}, boxes2 is {:?}",
        boxes1.dim(),
        boxes2.dim()
    );
    Array2::from_shape_fn((boxes1.nrows(), boxes2.nrows()), |(i, j)| overlap(row(boxes1, i), row(boxes2, j)))
}

#[track_caller]
fn check_scored<T: NdFloat>(name: &str, boxes: &ArrayRef2<T>, scores: &[T]) {
    assert!(
        boxes.ncols() == 4 && boxes.nrows() == scores.len(),
        "{name}: boxes must be (N, 4) with N scores: boxes is {:?}, scores has length {}",
        boxes.dim(),
        scores.len()
    );
    if let Some(i) = scores.iter().position(|score| score.is_nan()) {
        panic!("{name}: scores[{i}] is NaN");
    }
}
