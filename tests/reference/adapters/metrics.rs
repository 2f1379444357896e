//! BLEU, COCO average precision, mean IoU, box overlaps and suppression.

use ndarray::{Array0, Array1, Array2, Ix1, Ix2};
use serde_json::{Value, json};
use termwise_ops::Kernels;
use termwise_ops::metrics::{
    BleuOptions, CocoDetection, CocoGroundTruth, ConfusionMatrix, Smoothing, Tokenizer, batched_nms, box_iou,
    corpus_bleu, evaluate_bbox, generalized_box_iou, nms,
};

use super::Table;
use crate::case::Case;

/// Absolute, for scores of text and boxes.
const SCORE_TOLERANCE: f64 = 1e-9;

pub fn table<B: Kernels>() -> Table<B> {
    vec![
        ("bleu", bleu),
        ("coco_ap", coco_ap),
        ("mean_iou", mean_iou),
        ("box_iou", overlaps),
        ("nms", suppression),
        ("batched_nms", batched_suppression),
    ]
}

fn bleu<B: Kernels>(case: &mut Case<B>) {
    case.attrs.note("name");
    let method = case.attrs.text("smooth_method").unwrap_or("exp");
    let smoothing = Smoothing::from_name(method, case.attrs.number("smooth_value"));
    let options = BleuOptions {
        tokenizer: match case.attrs.text("tokenize").unwrap_or("13a") {
            "13a" => Tokenizer::V13a,
            "none" => Tokenizer::None,
            other => panic!("unknown tokenizer {other}"),
        },
        smoothing: smoothing.unwrap_or_else(|| panic!("unknown smoothing {method}")),
        lowercase: case.attrs.flag("lowercase"),
        effective_order: case.attrs.flag("effective_order"),
        max_order: case.attrs.whole("max_ngram_order").unwrap_or(4),
    };
    let hypotheses: Vec<String> = parse(case.json("in.hypotheses"));
    let references: Vec<Vec<String>> = parse(case.json("in.references"));
    if let Some(stated) = case.attrs.whole::<usize>("n_refs") {
        case.expect("n_refs", stated, references.len());
    }
    let found = corpus_bleu(&hypotheses, &references, &options);
    let tokenized: Vec<String> = hypotheses.iter().map(|line| options.tokenize(line)).collect();
    assert!(case.has("out.score"), "the case has no `out.score`");
    let outputs = json!({
        "score": found.score,
        "counts": found.counts,
        "totals": found.totals,
        "precisions": found.precisions,
        "bp": found.bp,
        "sys_len": found.sys_len,
        "ref_len": found.ref_len,
        "tokenized_hypotheses": tokenized,
    });
    compare_members(case, &outputs);
}

fn coco_ap<B: Kernels>(case: &mut Case<B>) {
    case.attrs.note("name");
    case.attrs.note("score_ties");
    assert_eq!(case.attrs.text("iou_type").unwrap_or("bbox"), "bbox", "iou_type");
    let ground_truth: CocoGroundTruth = parse(case.json("in.gt"));
    let detections: Vec<CocoDetection> = parse(case.json("in.dt"));
    let found = evaluate_bbox(&ground_truth, &detections).unwrap_or_else(|error| panic!("{error}"));
    assert!(case.has("out.stats"), "the case has no `out.stats`");
    let outputs = serde_json::to_value(found).expect("plain numbers");
    compare_members(case, &outputs);
}

fn parse<V: serde::de::DeserializeOwned>(value: Value) -> V {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("the case's JSON: {error}"))
}

/// Compares each output of a JSON case with the member of `found` of that name.
fn compare_members<B: Kernels>(case: &mut Case<B>, found: &Value) {
    for name in case.names("out.") {
        if let Some(found) = found.get(&name) {
            case.json_value(&name, found, SCORE_TOLERANCE);
        }
    }
}

fn mean_iou<B: Kernels>(case: &mut Case<B>) {
    case.attrs.note("note");
    let num_classes: usize = case.attrs.whole("num_classes").expect("num_classes");
    let mut confusion = ConfusionMatrix::new(num_classes, case.attrs.whole("ignore_index"));
    let (label, prediction) = (case.whole("label"), case.whole("pred"));
    confusion.update(&label, &prediction);
    let found = confusion.metrics();
    case.exact("confusion", &confusion.counts().mapv(|count| count as i64));
    case.exact("valid", &found.valid.iter().map(|&valid| i64::from(valid)).collect::<Array1<_>>());
    case.value("iou", &Array1::from(found.iou));
    case.value("class_acc", &Array1::from(found.class_acc));
    for (name, value) in [("miou", found.miou), ("mean_acc", found.mean_acc), ("pixel_acc", found.pixel_acc)]
    {
        case.value(name, &Array0::from_elem((), value));
    }
}

fn boxes<B: Kernels>(case: &mut Case<B>, name: &str) -> Array2<f64> {
    case.numbers(name).into_dimensionality::<Ix2>().expect("boxes are (n, 4)")
}

fn overlaps<B: Kernels>(case: &mut Case<B>) {
    let (a, b) = (boxes(case, "in.boxes1"), boxes(case, "in.boxes2"));
    case.value("iou", &box_iou(&a, &b));
    case.value("giou", &generalized_box_iou(&a, &b));
}

fn suppression<B: Kernels>(case: &mut Case<B>) {
    let threshold = case.attrs.number("iou_threshold").expect("iou_threshold");
    let (boxes, scores) = (boxes(case, "in.boxes"), case.numbers("in.scores"));
    let keep = nms(&boxes, scores.as_slice().expect("contiguous"), threshold);
    case.exact("keep", &keep.into_iter().map(|i| i as i64).collect::<Array1<_>>());
}

fn batched_suppression<B: Kernels>(case: &mut Case<B>) {
    let threshold = case.attrs.number("iou_threshold").expect("iou_threshold");
    let (boxes, scores) = (boxes(case, "in.boxes"), case.numbers("in.scores"));
    let classes = case.whole("idxs").into_dimensionality::<Ix1>().expect("idxs is (n)").to_vec();
    let keep = batched_nms(&boxes, scores.as_slice().expect("contiguous"), &classes, threshold);
    case.exact("keep", &keep.into_iter().map(|i| i as i64).collect::<Array1<_>>());
}
