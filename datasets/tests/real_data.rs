//! The readers on real data sets, below the folder that the environment variable TERMWISE_DATA names: `bccd` (VOC and
//! COCO JSON), `coco128` (COCO JSON and YOLO), `multi30k_ende`, `mnist`. What is absent is left out with a line that
//! says so.

use std::collections::BTreeMap;
use std::path::PathBuf;

use termwise_datasets::bpe::Bpe;
use termwise_datasets::detection::{DetectionFolder, DetectionFormat, DetectionOptions, Problem, Strictness};
use termwise_datasets::mnist::Mnist;
use termwise_datasets::translation::{
    ParallelText, TokenBatches, TokenPair, TranslationBatch, TranslationOptions,
};

fn data(name: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("TERMWISE_DATA") else {
        println!("skipped: TERMWISE_DATA is not set, so there is no folder {name}");
        return None;
    };
    let folder = PathBuf::from(root).join(name);
    if !folder.is_dir() {
        println!("skipped: {} is no folder", folder.display());
        return None;
    }
    Some(folder)
}

fn open(root: &std::path::Path, split: &str, format: DetectionFormat) -> DetectionFolder {
    let options = DetectionOptions { format: Some(format), ..DetectionOptions::default() };
    DetectionFolder::open_with(root, split, &options).unwrap()
}

/// (file name, sorted boxes with class names), by file name.
fn contents(folder: &DetectionFolder) -> BTreeMap<String, Vec<(String, [f32; 4])>> {
    let of = |record: &termwise_datasets::detection::DetectionRecord| {
        let mut boxes: Vec<(String, [f32; 4])> = record
            .objects
            .iter()
            .map(|object| {
                let bounds = object.bounds;
                (folder.classes()[object.class].clone(), [bounds.x0, bounds.y0, bounds.x1, bounds.y1])
            })
            .collect();
        boxes.sort_by(|a, b| a.partial_cmp(b).unwrap());
        (record.path.file_name().unwrap().to_string_lossy().into_owned(), boxes)
    };
    folder.records().iter().map(of).collect()
}

#[test]
fn bccd_in_two_formats() {
    let Some(root) = data("bccd") else { return };
    for (split, pictures, boxes) in [("train", 205, 2804), ("val", 87, 1137)] {
        let (voc, coco) =
            (open(&root, split, DetectionFormat::Voc), open(&root, split, DetectionFormat::Coco));
        for folder in [&voc, &coco] {
            let count: usize = folder.records().iter().map(|record| record.objects.len()).sum();
            assert_eq!((folder.len(), count), (pictures, boxes));
        }
        assert_eq!(contents(&voc), contents(&coco));
        assert_eq!((voc.report().count(Problem::NoArea), voc.report().findings().count()), (1, 1));
        assert!(coco.report().is_clean());
        assert_eq!(voc.classes(), ["Platelets", "RBC", "WBC"]);
        assert_eq!(coco.classes(), ["RBC", "WBC", "Platelets"]);
        let voc = voc.with_classes(coco.classes()).unwrap();
        assert_eq!(voc.records()[0].objects[0].class, coco.records()[0].objects[0].class);
        let (a, b) = (voc.load(7).unwrap(), coco.load(7).unwrap());
        assert_eq!((a.size(), &a.image), ((480, 640), &b.image));
        assert!(DetectionFolder::open(&root, split, Strictness::Lenient).is_err()); // which of the two?
    }
}

#[test]
fn coco128_in_two_formats() {
    let Some(root) = data("coco128") else { return };
    for (split, boxes, empty) in [("train", 929, 2), ("val", 898, 0)] {
        let (coco, yolo) =
            (open(&root, split, DetectionFormat::Coco), open(&root, split, DetectionFormat::Yolo));
        assert_eq!((coco.classes().len(), &coco.classes()[79][..]), (80, "toothbrush"));
        let named = yolo.with_classes(coco.classes()).unwrap();
        let (coco_boxes, yolo_boxes) = (contents(&coco), contents(&named));
        assert_eq!((coco_boxes.len(), yolo_boxes.len()), (128, 128));
        assert_eq!(coco_boxes.values().map(Vec::len).sum::<usize>(), boxes);
        assert_eq!(coco_boxes.values().filter(|boxes| boxes.is_empty()).count(), empty);
        // The JSON was made from the text and rounded: nearest boxes, not sorted ones.
        for (name, expected) in &coco_boxes {
            let mut left = yolo_boxes[name].clone();
            for (class, sides) in expected {
                let distance = |other: &(String, [f32; 4])| {
                    let far = other.1.iter().zip(sides).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    if other.0 == *class { far } else { f32::INFINITY }
                };
                let nearest =
                    (0..left.len()).min_by(|&a, &b| distance(&left[a]).total_cmp(&distance(&left[b])));
                let nearest = nearest.unwrap();
                assert!(distance(&left[nearest]) < 0.02, "{name}: {class} {sides:?}, {:?}", left[nearest]);
                left.remove(nearest);
            }
            assert!(left.is_empty());
        }
        assert_eq!(coco.load_all().unwrap().len(), 128);
    }
}

#[test]
fn multi30k_lines_tokens_and_batches() {
    let Some(root) = data("multi30k_ende") else { return };
    let options = TranslationOptions { lowercase: true, ..TranslationOptions::default() };
    let counts = ["train", "val", "test_2016_flickr"]
        .map(|split| ParallelText::open(&root, split, &options).unwrap().len());
    assert_eq!(counts, [29000, 1014, 1000]);
    let train = ParallelText::open(&root, "train", &TranslationOptions::default()).unwrap();
    assert_eq!(train.languages(), ("en", "de"));
    assert!(train.target()[7365].contains('\t'));
    let words = |lines: &[String]| lines.iter().map(|line| line.split_whitespace().count()).sum::<usize>();
    assert_eq!((words(train.source()), words(train.target())), (345_020, 322_383));
    let start = std::time::Instant::now();
    let bpe = Bpe::learn(train.lines(), 8000);
    println!("{} tokens learned in {:?}", bpe.vocabulary_size(), start.elapsed());
    assert_eq!(bpe.vocabulary_size(), 8000);
    let start = std::time::Instant::now();
    let pairs = TokenPair::encode_all(&train, &bpe);
    println!("encoded in {:?}", start.elapsed());
    for (pair, (source, target)) in pairs.iter().zip(train.pairs()) {
        assert_eq!((bpe.decode(&pair.source).as_str(), bpe.decode(&pair.target).as_str()), (source, target));
    }
    let tokens: usize = pairs.iter().map(|pair| pair.source.len() + pair.target.len()).sum();
    let batches = TokenBatches::new(&pairs, 4096, 1).epoch(0);
    let padded = |indices: &Vec<usize>| {
        let batch = TranslationBatch::stack(indices.iter().map(|&index| &pairs[index]));
        batch.source.tokens.len() + batch.decoder_input.tokens.len()
    };
    let padded: usize = batches.iter().map(padded).sum();
    println!("{tokens} tokens, {} batches of 4096, {padded} with padding", batches.len());
    assert!((padded as f64) < 1.35 * tokens as f64);
    let val = ParallelText::open(&root, "val", &TranslationOptions::default()).unwrap();
    assert!(val.lines().all(|line| bpe.decode(&bpe.encode(line)) == line));
}

#[test]
fn mnist_counts() {
    let Some(root) = data("mnist") else { return };
    for (split, expected) in [
        ("train", [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        ("test", [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    ] {
        let images = Mnist::open(&root, split).unwrap();
        let mut counts = [0; 10];
        images.labels().iter().for_each(|&label| counts[usize::from(label)] += 1);
        assert_eq!((images.images().dim().1, images.images().dim().2, counts), (28, 28, expected));
        let mean =
            images.images().iter().map(|&value| f64::from(value)).sum::<f64>() / images.images().len() as f64;
        assert!((mean / 255.0 - 0.131).abs() < 0.002, "{mean}");
    }
}
