//! The three formats of boxes: what is read and what is counted.

mod common;

use std::fs;

use common::{JSON, TXT, XML, coco, corpus, error_of, folder, open, voc, yolo};
use termwise_datasets::BoundingBox;
use termwise_datasets::detection::{
    DetectionFolder, DetectionFormat, DetectionObject, DetectionOptions, Problem, Strictness,
};

fn bounds(object: &DetectionObject) -> [f32; 4] {
    let BoundingBox { x0, y0, x1, y1 } = object.bounds;
    [x0, y0, x1, y1]
}

#[test]
fn voc_boxes_are_taken_as_they_are() {
    let folder = voc(XML);
    let train = open(&folder);
    assert_eq!(
        (train.format(), train.len(), train.classes()),
        (DetectionFormat::Voc, 1, &["cell".to_owned(), "disc".to_owned()][..])
    );
    let objects = &train.records()[0].objects;
    assert_eq!(
        objects.iter().map(bounds).collect::<Vec<_>>(),
        [[2.0, 3.0, 9.5, 12.0], [20.0, 0.0, 24.0, 16.0]]
    );
    assert_eq!(
        objects.iter().map(|o| (o.class, o.difficult, o.crowd, o.area)).collect::<Vec<_>>(),
        [(0, false, false, 67.5), (1, true, false, 64.0)]
    );
    assert!(train.report().is_clean());
    let sample = train.load(0).unwrap();
    assert_eq!((sample.size(), sample.name.as_str(), sample.image_id), ((16, 24), "JPEGImages/a.png", 0));
    assert_eq!(sample.image[[2, 15, 23]], 220.0 / 255.0);
}

#[test]
fn coco_ids_with_gaps_become_classes_without() {
    let folder = coco(JSON);
    let train = open(&folder);
    assert_eq!(train.classes(), ["cell", "rod", "disc"]); // ids 4, 13, 90
    assert_eq!(
        train.records().iter().map(|r| (r.image_id, r.name.as_str(), r.objects.len())).collect::<Vec<_>>(),
        [(7, "images/a.png", 0), (3, "images/b.png", 2)]
    );
    let objects = &train.records()[1].objects;
    assert_eq!(
        objects.iter().map(bounds).collect::<Vec<_>>(),
        [[2.0, 3.0, 9.5, 12.0], [20.0, 0.0, 24.0, 16.0]]
    );
    assert_eq!(
        objects.iter().map(|o| (o.class, o.crowd, o.area)).collect::<Vec<_>>(),
        [(2, false, 50.5), (0, true, 64.0)]
    );
}

#[test]
fn yolo_boxes_are_parts_of_the_picture() {
    let files = [
        ("images/train/a.png", "@rgb.png"),
        ("images/train/b.JPG", "@rgb.jpg"),
        ("labels/train/a.txt", "1 0.25 0.5 0.5 0.25\n0 0.9 0.9 0.2 0.2\r\n\n"),
    ];
    let folder = self::folder(&files);
    let train = open(&folder);
    assert_eq!(train.classes(), ["0", "1"]);
    assert_eq!(train.records().iter().map(|r| r.objects.len()).collect::<Vec<_>>(), [2, 0]);
    let objects = &train.records()[0].objects;
    assert_eq!(bounds(&objects[0]), [0.0, 6.0, 12.0, 10.0]);
    let (found, expected) = (bounds(&objects[1]), [19.2, 12.8, 24.0, 16.0]);
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
    assert!(train.report().is_clean(), "{}", train.report()); // the last bit of 0.9 + 0.1 does not count
    fs::write(folder.path().join("classes.txt"), "cell\n two words \n\n").unwrap();
    assert_eq!(open(&folder).classes(), ["cell", "two words"]);
}

#[test]
fn folders_of_each_layout_are_found() {
    for (json, picture, split) in [
        ("annotations/instances_train2017.json", "images/train2017", "train"),
        ("annotations/instances_train2017.json", "train2017", "train2017"),
        ("annotations/instances_train.json", "train", "train"),
        ("instances_train.json", "JPEGImages", "train"),
        ("instances_train_new.json", ".", "train"),
    ] {
        let (a, b) = (format!("{picture}/a.png"), format!("{picture}/b.png"));
        let folder = folder(&[(json, JSON), (&a, "@rgb.png"), (&b, "@rgb.png")]);
        let train = DetectionFolder::open(folder.path(), split, Strictness::Strict).unwrap();
        assert!(train.records()[0].path.ends_with(a.trim_start_matches("./")), "{picture}");
    }
    for (images, labels) in [
        ("images/train", "labels/train"),
        ("train/images", "train/labels"),
        ("images/train2017", "labels/train2017"),
    ] {
        let (image, label) = (format!("{images}/a.png"), format!("{labels}/a.txt"));
        assert_eq!(open(&folder(&[(&image, "@rgb.png"), (&label, TXT)])).records()[0].objects.len(), 2);
    }
}

#[test]
fn no_format_or_several_are_errors_that_list_them() {
    let error = error_of(&folder(&[("train.txt", "a b\n")]), Strictness::Lenient);
    for part in [
        "ImageSets/Main/train.txt",
        "annotations/instances_train*.json",
        "labels/train/",
        "found none of them",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let both = voc(XML);
    fs::write(both.path().join("instances_train.json"), JSON).unwrap();
    fs::copy(corpus("rgb.png"), both.path().join("JPEGImages/b.png")).unwrap();
    let error = error_of(&both, Strictness::Lenient);
    assert!(
        error.ends_with("found voc (ImageSets/Main/train.txt) and coco (instances_train.json)"),
        "{error}"
    );
    for format in [DetectionFormat::Voc, DetectionFormat::Coco] {
        let options = DetectionOptions { format: Some(format), ..DetectionOptions::default() };
        assert_eq!(DetectionFolder::open_with(both.path(), "train", &options).unwrap().format(), format);
    }
    let several =
        folder(&[("annotations/instances_train1.json", JSON), ("annotations/instances_train2.json", JSON)]);
    assert!(
        error_of(&several, Strictness::Lenient)
            .contains("\"instances_train1.json\", \"instances_train2.json\"")
    );
    for split in ["", "../train", "a/b", ".."] {
        assert!(
            DetectionFolder::open(both.path(), split, Strictness::Lenient)
                .unwrap_err()
                .to_string()
                .contains(": split: ")
        );
    }
}

/// Each kind of fault in each format: counted with its first place, skipped or clipped; refused under strict.
#[test]
fn questionable_boxes_are_counted_or_refused() {
    let xml = |name: &str, sides: [&str; 4]| {
        let [x0, y0, x1, y1] = sides;
        let object = format!(
            "</size>\n<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        );
        let folder = voc(&XML.replacen("</size>", &object, 1));
        fs::write(folder.path().join("classes.txt"), "cell\ndisc").unwrap();
        folder
    };
    let json = |category: &str, sides: &str| {
        let first = format!(
            "\"annotations\": [{{\"image_id\": 7, \"category_id\": {category}, \"bbox\": [{sides}]}},"
        );
        coco(&JSON.replacen("\"annotations\": [", &first, 1))
    };
    let text = |line: &str| {
        let folder = yolo(&format!("0 0.5 0.5 0.5 0.5\n{line}\n"));
        fs::write(folder.path().join("classes.txt"), "cell\ndisc").unwrap();
        folder
    };
    use Problem::{NoArea, Outside, PartlyOutside, UnknownClass};
    let (voc_place, coco_place, yolo_place) = (
        "Annotations/a.xml, line 8: ",
        "instances_train.json: annotations[0].",
        "labels/train/a.txt, line 2: ",
    );
    for (folder, problem, place, kept) in [
        (xml("cell", ["5", "5", "5", "9"]), NoArea, voc_place, 2),
        (xml("cell", ["9", "5", "5", "9"]), NoArea, voc_place, 2),
        (xml("cell", ["24", "5", "30", "9"]), Outside, voc_place, 2),
        (xml("cell", ["-3", "5", "0", "9"]), Outside, voc_place, 2),
        (xml("cell", ["20", "5", "24.5", "9"]), PartlyOutside, voc_place, 3),
        (xml("robot", ["2", "5", "4", "9"]), UnknownClass, voc_place, 2),
        (json("4", "1, 1, 0, 3"), NoArea, coco_place, 2),
        (json("4", "1, 1, 2, -3"), NoArea, coco_place, 2),
        (json("4", "1, 16, 2, 3"), Outside, coco_place, 2),
        (json("4", "-1e300, 1, 2e300, 3"), PartlyOutside, coco_place, 3),
        (json("5", "1, 1, 2, 3"), UnknownClass, coco_place, 2),
        (text("0 0.5 0.5 0 0.5"), NoArea, yolo_place, 1),
        (text("0 1.5 0.5 0.5 0.5"), Outside, yolo_place, 1),
        (text("0 0.1 0.5 0.5 0.5"), PartlyOutside, yolo_place, 2),
        (text("2 0.5 0.5 0.5 0.5"), UnknownClass, yolo_place, 1),
    ] {
        let train = open(&folder);
        assert_eq!(train.report().count(problem), 1, "{problem:?}: {}", train.report());
        assert_eq!(train.report().findings().count(), 1);
        let objects: Vec<_> = train.records().iter().flat_map(|record| &record.objects).collect();
        assert_eq!(objects.len(), kept, "{problem:?}");
        for object in objects {
            assert_eq!(object.bounds.clipped((16, 24)), Some(object.bounds), "{problem:?}");
        }
        let error = error_of(&folder, Strictness::Strict);
        assert!(error.starts_with(&format!("DIR/{place}")), "{error}");
        let (_, finding) = train.report().findings().next().unwrap();
        assert!(finding.first.ends_with(error.strip_prefix("DIR").unwrap()), "{finding:?} {error}");
    }
}

#[test]
fn a_missing_size_is_counted_and_another_size_is_an_error() {
    let folder = voc(&XML.replace("<width>24</width>", "<width>0</width>"));
    assert_eq!(open(&folder).report().count(Problem::NoSize), 1);
    assert_eq!(open(&folder).records()[0].size, (16, 24));
    assert!(error_of(&folder, Strictness::Strict).contains("a.xml: size: expected width 24 and height 16"));
    let error = error_of(&voc(&XML.replace("<width>24</width>", "<width>25</width>")), Strictness::Lenient);
    assert_eq!(
        error,
        "DIR/Annotations/a.xml: height x width: expected 16 x 24 as the image DIR/JPEGImages/a.png, found 16 x 25"
    );
    let error = error_of(&coco(&JSON.replacen("\"height\": 16", "\"height\": 24", 1)), Strictness::Lenient);
    assert!(error.contains("found 24 x 24"), "{error}");
}

#[test]
fn one_class_list_for_two_splits() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let folder = voc(XML);
    let other = names(&["rim", "disc", "cell"]);
    let moved = open(&folder).with_classes(&other).unwrap();
    assert_eq!(moved.records()[0].objects.iter().map(|o| o.class).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(moved.classes(), other);
    let error = open(&folder).with_classes(&names(&["cell", "rim"])).unwrap_err().to_string();
    assert!(error.ends_with("class list: expected only classes of the list that is used: \"cell\", \"rim\", found 1 boxes of \"disc\""), "{error}");
    assert!(
        open(&folder).with_classes(&[]).is_err()
            && open(&folder).with_classes(&names(&["disc", "cell", "disc"])).is_err()
    );
    // A class without boxes may be unknown.
    let gapped = open(&coco(JSON)).with_classes(&names(&["disc", "cell"])).unwrap();
    assert_eq!(gapped.records()[1].objects.iter().map(|o| o.class).collect::<Vec<_>>(), [0, 1]);
    // Given at once, boxes of other classes are counted.
    let options = DetectionOptions { classes: Some(names(&["disc"])), ..DetectionOptions::default() };
    let part = DetectionFolder::open_with(folder.path(), "train", &options).unwrap();
    assert_eq!((part.records()[0].objects.len(), part.records()[0].objects[0].class), (1, 0));
    assert_eq!(part.report().count(Problem::UnknownClass), 1);
    let strict = DetectionOptions { strictness: Strictness::Strict, ..options };
    let error = DetectionFolder::open_with(folder.path(), "train", &strict).unwrap_err().to_string();
    assert!(
        error.ends_with("line 11: name: expected a class of the list: \"disc\", found \"cell\""),
        "{error}"
    );
    // YOLO without names: by id.
    let ids = open(&yolo(TXT)).with_classes(&names(&["cell", "disc"])).unwrap();
    assert_eq!(ids.records()[0].objects.iter().map(|o| o.class).collect::<Vec<_>>(), [1, 0]);
    assert!(open(&yolo(TXT)).with_classes(&names(&["cell"])).is_err());
}
