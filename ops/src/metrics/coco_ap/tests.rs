use super::*;
use proptest::prelude::*;

const SQUARE: [f64; 4] = [0.0, 0.0, 10.0, 10.0];
const ELSEWHERE: [f64; 4] = [500.0, 500.0, 10.0, 10.0];

fn object(image_id: i64, bbox: [f64; 4]) -> CocoAnnotation {
    CocoAnnotation { id: 0, image_id, category_id: 1, bbox, area: bbox[2] * bbox[3], iscrowd: 0 }
}

fn crowd(image_id: i64, bbox: [f64; 4]) -> CocoAnnotation {
    CocoAnnotation { iscrowd: 1, ..object(image_id, bbox) }
}

fn detection(image_id: i64, bbox: [f64; 4], score: f64) -> CocoDetection {
    CocoDetection { image_id, category_id: 1, bbox, score }
}

/// Pictures 1 to 3, class 1.
fn ground_truth(annotations: Vec<CocoAnnotation>) -> CocoGroundTruth {
    CocoGroundTruth {
        images: (1..=3).map(|id| CocoImage { id, ..CocoImage::default() }).collect(),
        annotations,
        categories: vec![CocoCategory { id: 1, name: String::new() }],
    }
}

fn evaluate(objects: Vec<CocoAnnotation>, detections: &[CocoDetection]) -> CocoStats {
    evaluate_bbox(&ground_truth(objects), detections).unwrap().stats
}

/// A row of squares that do not touch.
fn row(count: usize) -> Vec<[f64; 4]> {
    (0..count).map(|i| [20.0 * i as f64, 0.0, 10.0, 10.0]).collect()
}

#[track_caller]
fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "found {found}, expected {expected}");
}

#[test]
fn a_curve_worked_by_hand() {
    let objects = vec![object(1, SQUARE), object(2, SQUARE)];
    let detections = [detection(2, SQUARE, 0.7), detection(3, SQUARE, 0.8), detection(1, SQUARE, 0.9)];
    // Hit, miss, hit: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1; the 1/2 is raised to 2/3.
    let found = evaluate(objects, &detections);
    assert_close(found.ap, (51.0 + 50.0 * 2.0 / 3.0) / 101.0);
    assert_eq!((found.ar1, found.ar100), (1.0, 1.0));
}

#[test]
fn a_recall_point_is_a_product() {
    // 57 of 100 found, but 57 * .01 rounds to above .57: the points 0 to 56 are reached.
    let boxes = row(100);
    let objects = boxes.iter().map(|&b| object(1, b)).collect();
    let detections: Vec<_> = boxes[..57].iter().map(|&b| detection(1, b, 0.5)).collect();
    assert_close(evaluate(objects, &detections).ap, 57.0 / 101.0);
}

#[test]
fn thresholds_include_the_iou_itself() {
    // IoU 1/2 exactly: found at .50 alone.
    let found = evaluate(vec![object(1, SQUARE)], &[detection(1, [0.0, 0.0, 10.0, 5.0], 0.9)]);
    assert_close(found.ap50, 1.0);
    assert_close(found.ap75, 0.0);
    assert_close(found.ap, 0.1);
    // IoU 3/4 exactly.
    let found = evaluate(vec![object(1, SQUARE)], &[detection(1, [0.0, 0.0, 10.0, 7.5], 0.9)]);
    assert_close(found.ap75, 1.0);
    assert_close(found.ap, 0.6);
}

#[test]
fn an_object_is_found_once() {
    let detections = [detection(1, SQUARE, 0.9), detection(1, SQUARE, 0.8)];
    let objects = vec![object(1, SQUARE), object(1, ELSEWHERE)];
    assert_close(evaluate(objects.clone(), &detections).ap, 51.0 / 101.0);
    // The second one is a miss, which a third one that hits has to pay for.
    let third = [&detections[..], &[detection(1, ELSEWHERE, 0.7)]].concat();
    assert_close(evaluate(objects, &third).ap, (51.0 + 50.0 * 2.0 / 3.0) / 101.0);
}

#[test]
fn a_crowd_is_neither_required_nor_wrong() {
    let objects = vec![object(1, ELSEWHERE), crowd(1, [0.0, 0.0, 100.0, 100.0])];
    let mut detections = vec![
        detection(1, SQUARE, 0.9), // a hundredth of the crowd, but wholly in it
        detection(1, [0.0, 0.0, 100.0, 100.0], 0.8),
        detection(1, ELSEWHERE, 0.7),
    ];
    assert_close(evaluate(objects.clone(), &detections).ap, 1.0);
    // Without the crowd both were misses.
    assert_close(evaluate(vec![object(1, ELSEWHERE)], &detections).ap, 1.0 / 3.0);
    // Less than half inside: a miss.
    detections.truncate(0);
    detections.extend([detection(1, [94.0, 0.0, 20.0, 10.0], 0.9), detection(1, ELSEWHERE, 0.7)]);
    assert_close(evaluate(objects, &detections).ap, 0.5);
}

#[test]
fn an_object_goes_before_a_crowd_that_fits_better() {
    let objects = vec![crowd(1, [0.0, 0.0, 100.0, 100.0]), object(1, [0.0, 0.0, 10.0, 6.0])];
    let found = evaluate(objects, &[detection(1, SQUARE, 0.9)]);
    assert_close(found.ap50, 1.0); // IoU 0.6 with the object, 1 with the crowd
    assert_close(found.ap75, 0.0);
}

/// AP50 is no upper bound: there the first detection takes the object of the second, which is a
/// miss then; at .75 it falls to the crowd and the object is left to the second.
#[test]
fn a_stricter_threshold_can_score_higher() {
    let objects = vec![object(1, SQUARE), crowd(1, [0.0, 5.25, 10.0, 20.0]), object(2, SQUARE)];
    let detections = [
        detection(1, [0.0, 3.0, 10.0, 10.0], 0.9), // 7/13 with the object, .775 of it in the crowd
        detection(1, SQUARE, 0.8),                 // .475 of it in the crowd
        detection(2, SQUARE, 0.7),
    ];
    let found = evaluate(objects, &detections);
    assert_close(found.ap50, (51.0 + 50.0 * 2.0 / 3.0) / 101.0);
    assert_close(found.ap75, 1.0);
}

#[test]
fn sizes_are_those_of_the_outline() {
    // A box of 40 x 40 around an outline of 900 square pixels: small.
    let bbox = [0.0, 0.0, 40.0, 40.0];
    let small = CocoAnnotation { area: 900.0, ..object(1, bbox) };
    let found = evaluate(vec![small], &[detection(1, bbox, 0.9)]);
    assert_eq!((found.ap_medium, found.ap_large), (-1.0, -1.0));
    assert_eq!((found.ar_small, found.ar_medium, found.ar_large), (1.0, -1.0, -1.0));
    assert_close(found.ap_small, 1.0);
    // Both ends of a range belong to it.
    let edge = CocoAnnotation { area: 1024.0, ..object(1, bbox) };
    let found = evaluate(vec![edge], &[detection(1, bbox, 0.9)]);
    assert_eq!((found.ar_small, found.ar_medium, found.ar_large), (1.0, 1.0, -1.0));
    let edge = CocoAnnotation { area: 9216.0, ..object(1, bbox) };
    let found = evaluate(vec![edge], &[detection(1, bbox, 0.9)]);
    assert_eq!((found.ar_small, found.ar_medium, found.ar_large), (-1.0, 1.0, 1.0));
}

#[test]
fn a_detection_of_another_size_is_no_miss() {
    // A large stray detection counts for AP, not for AP_small; a small one counts for both.
    let large = detection(2, [0.0, 0.0, 200.0, 200.0], 0.95);
    let found = evaluate(vec![object(1, SQUARE)], &[large, detection(1, SQUARE, 0.9)]);
    assert_close(found.ap, 0.5);
    assert_close(found.ap_small, 1.0);
    let small = detection(2, ELSEWHERE, 0.95);
    let found = evaluate(vec![object(1, SQUARE)], &[small, detection(1, SQUARE, 0.9)]);
    assert_close(found.ap_small, 0.5);
}

#[test]
fn detections_per_picture_are_limited() {
    let boxes = row(101);
    let objects: Vec<_> = boxes.iter().map(|&b| object(1, b)).collect();
    let detections: Vec<_> = boxes.iter().map(|&b| detection(1, b, 0.5)).collect();
    let found = evaluate(objects, &detections);
    assert_close(found.ar1, 1.0 / 101.0);
    assert_close(found.ar10, 10.0 / 101.0);
    assert_close(found.ar100, 100.0 / 101.0);
    // The limit holds for each picture alone, and the best go first.
    let objects = vec![object(1, SQUARE), object(2, SQUARE)];
    let detections = [detection(1, ELSEWHERE, 0.3), detection(1, SQUARE, 0.4), detection(2, SQUARE, 0.1)];
    assert_close(evaluate(objects, &detections).ar1, 1.0);
}

#[test]
fn equal_scores_go_by_place_then_by_picture() {
    let (hit, miss) = (detection(2, SQUARE, 0.5), detection(2, ELSEWHERE, 0.5));
    let objects = || vec![object(2, SQUARE)];
    assert_close(evaluate(objects(), &[hit.clone(), miss.clone()]).ap, 1.0);
    assert_close(evaluate(objects(), &[miss, hit.clone()]).ap, 0.5);
    // Over pictures the id decides, wherever the detection stands.
    let (before, after) = (detection(1, SQUARE, 0.5), detection(3, SQUARE, 0.5));
    assert_close(evaluate(objects(), &[hit.clone(), before]).ap, 0.5);
    assert_close(evaluate(objects(), &[after, hit]).ap, 1.0);
}

#[test]
fn of_equal_overlaps_the_later_object_is_taken() {
    let objects = vec![object(1, SQUARE), object(1, [2.0, 0.0, 10.0, 10.0])];
    // The first overlaps both by 9/11 and takes the later one; the second fits that one exactly and
    // is left with 8/12 of the other, enough up to .65.
    let detections = [detection(1, [1.0, 0.0, 10.0, 10.0], 0.9), detection(1, [2.0, 0.0, 10.0, 10.0], 0.8)];
    let found = evaluate_bbox(&ground_truth(objects), &detections).unwrap();
    let recalls = [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5];
    assert_eq!(found.per_class[&1].ar_per_iou, recalls);
}

#[test]
fn nothing_to_find_and_nothing_found() {
    let stats = evaluate(vec![crowd(1, SQUARE)], &[detection(1, SQUARE, 0.9)]);
    assert_eq!(
        (stats.ap, stats.ap50, stats.ar1, stats.ar100, stats.ap_small),
        (-1.0, -1.0, -1.0, -1.0, -1.0)
    );
    let stats = evaluate(vec![object(1, SQUARE)], &[]);
    assert_eq!((stats.ap, stats.ar100, stats.ap_small, stats.ap_large), (0.0, 0.0, 0.0, -1.0));
    let empty = evaluate_bbox(&CocoGroundTruth::default(), &[]).unwrap();
    assert_eq!((empty.stats.ap, empty.per_class.len()), (-1.0, 0));
}

#[test]
fn a_class_without_objects_is_left_out_of_the_mean() {
    let mut truth = ground_truth(vec![object(1, SQUARE)]);
    truth.categories.push(CocoCategory { id: 5, name: "absent".into() });
    let detections = [
        detection(1, SQUARE, 0.5),
        CocoDetection { category_id: 5, ..detection(1, SQUARE, 0.9) },
        CocoDetection { category_id: 77, ..detection(1, ELSEWHERE, 0.9) }, // not listed
    ];
    let found = evaluate_bbox(&truth, &detections).unwrap();
    assert_close(found.stats.ap, 1.0);
    assert_eq!(found.per_class.keys().collect::<Vec<_>>(), [&1, &5]);
    assert_eq!((found.per_class[&5].ap, found.per_class[&5].ar_per_iou), (-1.0, [-1.0; 10]));
}

#[test]
fn files_are_read_and_figures_carry_their_names() {
    let truth: CocoGroundTruth = serde_json::from_str(
        r#"{"info": {}, "licenses": [], "images": [{"id": 4, "coco_url": "", "height": 3}],
            "annotations": [{"id": 9, "image_id": 4, "category_id": 2, "bbox": [1, 2, 3.5, 4],
                             "area": 9, "segmentation": [[1, 2, 3, 4]], "iscrowd": 0}],
            "categories": [{"id": 2, "name": "cup", "supercategory": "kitchen"}]}"#,
    )
    .unwrap();
    assert_eq!(truth.annotations[0].bbox, [1.0, 2.0, 3.5, 4.0]);
    let results = r#"[{"image_id": 4, "category_id": 2, "bbox": [1, 2, 3.5, 4], "score": 1}]"#;
    let detections: Vec<CocoDetection> = serde_json::from_str(results).unwrap();
    let found = serde_json::to_value(evaluate_bbox(&truth, &detections).unwrap()).unwrap();
    assert!(found["stats"]["AP"].as_f64().unwrap() > 0.999);
    assert_eq!(found["stats"]["AR_large"], -1.0);
    assert_eq!(found["per_class"]["2"]["AR_per_iou"][9], 1.0);
}

#[test]
fn bad_numbers_and_pictures_are_named() {
    let message =
        |objects, detection| evaluate_bbox(&ground_truth(objects), &[detection]).unwrap_err().to_string();
    assert_eq!(
        message(vec![], detection(8, SQUARE, 0.5)),
        "detections[0].image_id is 8, expected an id of images"
    );
    assert_eq!(
        message(vec![], detection(1, SQUARE, f64::NAN)),
        "detections[0].score has NaN, expected a finite number"
    );
    assert_eq!(
        message(vec![object(1, [0.0, 0.0, f64::INFINITY, 1.0])], detection(1, SQUARE, 0.5)),
        "annotations[0].bbox has inf, expected a finite number"
    );
}

/// Objects and detections on a coarse grid in three pictures; every score is another.
fn scenes() -> impl Strategy<Value = (Vec<CocoAnnotation>, Vec<CocoDetection>)> {
    let place = || (1i64..4, 0u8..4, 0u8..4, 1u8..5, 1u8..5);
    let bbox = |(_, x, y, w, h): (i64, u8, u8, u8, u8)| [x, y, w, h].map(|v| 16.0 * f64::from(v));
    let objects = prop::collection::vec((place(), 0u8..6), 1..14);
    (objects, prop::collection::vec(place(), 0..30)).prop_map(move |(objects, detections)| {
        let objects = objects
            .into_iter()
            .map(|(p, kind)| CocoAnnotation { iscrowd: u8::from(kind == 0), ..object(p.0, bbox(p)) });
        let detections =
            detections.into_iter().enumerate().map(|(i, p)| detection(p.0, bbox(p), i as f64 / 100.0));
        (objects.collect(), detections.collect())
    })
}

proptest! {
    #[test]
    fn finding_everything_scores_one((objects, _) in scenes()) {
        let objects: Vec<_> = objects.into_iter().filter(|object| object.iscrowd == 0).collect();
        let detections: Vec<_> = objects.iter().map(|o| detection(o.image_id, o.bbox, 0.5)).collect();
        let expected = if objects.is_empty() { -1.0 } else { 1.0 };
        let found = evaluate(objects, &detections);
        prop_assert!((found.ap - expected).abs() < 1e-12 && found.ar100 == expected, "{:?}", found);
    }

    #[test]
    fn scores_count_by_their_order_alone((objects, detections) in scenes()) {
        let mut others: Vec<_> = detections.iter().rev().cloned().collect();
        others.iter_mut().for_each(|detection| detection.score = detection.score.exp() - 7.0);
        prop_assert_eq!(evaluate(objects.clone(), &detections), evaluate(objects, &others));
    }

    #[test]
    fn a_last_miss_changes_nothing((objects, mut detections) in scenes()) {
        let before = evaluate(objects.clone(), &detections);
        detections.push(detection(2, ELSEWHERE, -1.0));
        prop_assert_eq!(before, evaluate(objects, &detections));
    }

    /// A picture that counts k times is as good as k pictures, and one that counts no times as none.
    #[test]
    fn weights_stand_for_copies_of_pictures((objects, detections) in scenes(), weights in [0u32..4, 0u32..4, 0u32..4]) {
        let copies = |image: i64| (0..i64::from(weights[image as usize - 1])).map(move |copy| 10 * image + copy);
        let mut copied = CocoGroundTruth {
            images: (1..=3).flat_map(copies).map(|id| CocoImage { id, ..CocoImage::default() }).collect(),
            ..ground_truth(Vec::new())
        };
        for object in &objects {
            let copy = |image_id| CocoAnnotation { image_id, ..object.clone() };
            copied.annotations.extend(copies(object.image_id).map(copy));
        }
        let copy = |d: &CocoDetection| {
            let d = d.clone();
            copies(d.image_id).map(move |image_id| CocoDetection { image_id, ..d.clone() })
        };
        let many: Vec<_> = detections.iter().flat_map(copy).collect();
        let expected = evaluate_bbox(&copied, &many).unwrap().stats;
        let judged = judge_bbox(&ground_truth(objects), &detections).unwrap();
        prop_assert!((judged.ap(&weights) - expected.ap).abs() < 1e-12, "{judged:?} {expected:?}");
        prop_assert!((judged.ap50(&weights) - expected.ap50).abs() < 1e-12);
    }

    #[test]
    fn recall_grows_with_the_detections_looked_at((objects, detections) in scenes()) {
        let found = evaluate(objects, &detections);
        prop_assert!(found.ar1 <= found.ar10 && found.ar10 <= found.ar100);
    }
}
