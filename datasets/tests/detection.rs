//! The three formats of boxes: what is read, what is counted, what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use termwise_datasets::BoundingBox;
use termwise_datasets::detection::{
    DetectionFolder, DetectionFormat, DetectionObject, DetectionOptions, Problem, Strictness,
};

const XML: &str = include_str!("corpus/voc/plain.xml");
const JSON: &str = include_str!("corpus/coco/plain.json");
const TXT: &str = include_str!("corpus/yolo/plain.txt");

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/pictures").join(name)
}

/// A folder with these files; a content that starts with `@` is a picture of the corpus.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content.strip_prefix('@') {
            Some(picture) => drop(fs::copy(corpus(picture), path).unwrap()),
            None => fs::write(path, content).unwrap(),
        }
    }
    folder
}

fn voc(xml: &str) -> TempDir {
    folder(&[
        ("ImageSets/Main/train.txt", "a\n"),
        ("JPEGImages/a.png", "@rgb.png"),
        ("Annotations/a.xml", xml),
    ])
}

fn coco(json: &str) -> TempDir {
    folder(&[("instances_train.json", json), ("images/a.png", "@rgb.png"), ("images/b.png", "@rgb.png")])
}

fn yolo(text: &str) -> TempDir {
    folder(&[("images/train/a.png", "@rgb.png"), ("labels/train/a.txt", text)])
}

fn open(folder: &TempDir) -> DetectionFolder {
    DetectionFolder::open(folder.path(), "train", Strictness::Lenient).unwrap()
}

/// The error without the path of the temporary folder; one line.
fn error_of(folder: &TempDir, strictness: Strictness) -> String {
    let error = DetectionFolder::open(folder.path(), "train", strictness).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error.replace(&*folder.path().to_string_lossy(), "DIR")
}

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

/// (what is replaced, by what, what the error has)
type Cases<'a> = &'a [(&'a str, &'a str, &'a str)];

fn refused(make: impl Fn(&str) -> TempDir, plain: &str, cases: Cases) {
    for (from, to, expected) in cases {
        assert!(plain.contains(from), "{from}");
        let error = error_of(&make(&plain.replacen(from, to, 1)), Strictness::Lenient);
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
}

#[test]
fn what_voc_refuses() {
    refused(
        voc,
        XML,
        &[
            (
                "<xmin>2<",
                "<xmin>two<",
                "a.xml, line 12: bndbox: expected a finite number in <xmin>, found \"two\"",
            ),
            ("<xmin>2<", "<xmin>nan<", "found \"nan\""),
            ("<xmin>2<", "<xmin>1e999<", "found \"1e999\""),
            ("<xmin>2</xmin>", "", "line 11: annotation: expected an element <xmin>, found none in <bndbox>"),
            (
                "<xmin>2</xmin>",
                "<xmin>2</xmin><xmin>3</xmin>",
                "expected each element once, found a second <xmin>",
            ),
            ("<name>cell</name>", "<name> </name>", "line 8: name: expected the name of a class, found none"),
            ("<width>24<", "<width>24.5<", "line 4: size: expected a whole number of pixels, found 24.5"),
            ("<difficult>0<", "<difficult>no<", "difficult: expected 0 or 1, found \"no\""),
            ("</annotation>", "", "expected well-formed XML without a DTD"),
            (
                "<annotation>",
                "<!DOCTYPE a [<!ENTITY b \"c\">]><annotation>",
                "expected well-formed XML without a DTD",
            ),
            ("annotation>", "notes>", "expected well-formed XML"),
        ],
    );
    let lists: [(&str, &str); 5] = [
        (
            "a\na\n",
            "train.txt, line 2: picture name: expected each name once, found \"a\" again, as in line 1",
        ),
        (
            "a\n../a\n",
            "line 2: picture name: expected a name without extension, inside the data folder, found \"../a\"",
        ),
        ("\n \n", "list of the split: expected at least one picture name, found none"),
        ("b\n", "line 1: picture name: expected a picture in JPEGImages/, one of .jpg .jpeg .png"),
        ("c\n", "Annotations/c.xml: annotation: expected a file, found nothing there"),
    ];
    for (list, expected) in lists {
        let folder = voc(XML);
        fs::write(folder.path().join("ImageSets/Main/train.txt"), list).unwrap();
        fs::copy(corpus("rgb.png"), folder.path().join("JPEGImages/c.png")).unwrap();
        let error = error_of(&folder, Strictness::Lenient);
        assert!(error.contains(expected), "{error}");
    }
    let nothing = voc("<annotation><size><width>24</width><height>16</height></size></annotation>");
    assert!(
        error_of(&nothing, Strictness::Lenient)
            .contains("class list: expected an object in at least one annotation")
    );
}

#[test]
fn what_coco_refuses() {
    refused(
        coco,
        JSON,
        &[
            ("\"id\": 7", "\"id\": 3", "images[1].id: expected each id once, found 3 again"),
            ("\"id\": 7", "\"id\": -7", "images[0].id: expected a whole number from 0, found \"-7\""),
            ("\"id\": 7", "\"id\": 7.5", "images[0].id: expected a whole number from 0, found \"7.5\""),
            ("\"id\": 7, ", "", "missing field `id` at line 2"),
            (
                "\"a.png\"",
                "\"../a.png\"",
                "images[0].file_name: expected a path inside the folder of the pictures",
            ),
            ("\"a.png\"", "5", "images[0].file_name: expected a text, found \"5\""),
            (
                "\"a.png\"",
                "\"x.png\"",
                "pictures of the split: expected the first picture of instances_train.json in images/train/, train/, images/, JPEGImages/, the folder itself, found \"x.png\" in none of them",
            ),
            ("\"b.png\"", "\"x.png\"", "images/x.png: picture: expected a file, found nothing there"),
            ("\"width\": 24", "\"width\": \"24\"", "images[0].width: expected a whole number from 0"),
            (
                "\"image_id\": 3",
                "\"image_id\": 4",
                "annotations[0].image_id: expected the id of an image, found 4, which no image has",
            ),
            ("\"id\": 9", "\"id\": 1", "annotations[1].id: expected each id once, found 1 again"),
            (
                "[2, 3, 7.5, 9]",
                "[2, 3, 7.5]",
                "annotations[0].bbox: expected four numbers [x, y, width, height], found \"[2,3,7.5]\"",
            ),
            (
                "[2, 3, 7.5, 9]",
                "[2, 3, null, 9]",
                "annotations[0].bbox[2]: expected a finite number, found \"null\"",
            ),
            ("7.5", "1e999", "number out of range"),
            ("50.5", "-1", "annotations[0].area: expected a number from 0, found -1"),
            ("\"iscrowd\": 1", "\"iscrowd\": 2", "annotations[1].iscrowd: expected 0 or 1, found 2"),
            ("\"id\": 13", "\"id\": 4", "categories[2].id: expected each id once, found 4 again"),
            ("\"rod\"", "\"cell\"", "categories[2].name: expected each name once, found \"cell\" again"),
            ("\"categories\"", "\"kinds\"", "missing field `categories`"),
            ("{\"info\"", "[{\"info\"", "expected JSON with the lists images, annotations and categories"),
        ],
    );
    let without = |name: &str| {
        let mut json: serde_json::Value = serde_json::from_str(JSON).unwrap();
        json["annotations"] = serde_json::json!([]);
        json[name] = serde_json::json!([]);
        error_of(&coco(&json.to_string()), Strictness::Lenient)
    };
    assert!(without("images").contains("images: expected at least one image, found none"));
    assert!(without("categories").contains("categories: expected at least one category, found none"));
}

#[test]
fn what_yolo_refuses() {
    refused(
        yolo,
        TXT,
        &[
            (
                "1 0.25",
                "1 x",
                "a.txt, line 1: centre x: expected a finite number, a part of the picture, found \"x\"",
            ),
            ("0.9 0.9", "0.9 inf", "line 2: centre y: expected a finite number"),
            ("1 0.25", "-1 0.25", "line 1: class: expected a whole number 0..=65535, found \"-1\""),
            ("1 0.25", "99999999999 0.25", "line 1: class: expected a whole number 0..=65535"),
            (
                "0.5 0.25",
                "0.5",
                "line 1: columns: expected 5, \"class centre-x centre-y width height\", found 4",
            ),
            (
                "0.5 0.25",
                "0.5 0.25 0.9",
                "line 1: columns: expected 5, \"class centre-x centre-y width height\", found 6",
            ),
            ("0.25 0.5", "120 0.5", "line 1: box: expected parts of the picture, from 0 to 1, found 120"),
        ],
    );
    let lonely = yolo(TXT);
    fs::write(lonely.path().join("labels/train/b.txt"), TXT).unwrap();
    assert!(
        error_of(&lonely, Strictness::Lenient)
            .contains("labels/train/b.txt: labels: expected a picture of this name")
    );
    let twins = yolo(TXT);
    fs::copy(corpus("rgb.jpg"), twins.path().join("images/train/a.jpg")).unwrap();
    assert!(
        error_of(&twins, Strictness::Lenient)
            .contains("expected one picture for each file of labels, found \"a.jpg\" and \"a.png\"")
    );
    let bitmap = yolo(TXT);
    fs::write(bitmap.path().join("images/train/c.bmp"), "BM").unwrap();
    assert!(error_of(&bitmap, Strictness::Lenient).contains("expected JPEG or PNG files, found \"c.bmp\""));
    for (names, expected) in [
        ("cell\ncell\n", "classes.txt, line 2: class name: expected each name once"),
        (
            "cell\n\ndisc\n",
            "classes.txt, line 2: class name: expected a class name: the line gives the id, found an empty line",
        ),
        (" \n", "classes.txt: class list: expected at least one class name"),
    ] {
        let folder = yolo(TXT);
        fs::write(folder.path().join("classes.txt"), names).unwrap();
        let error = error_of(&folder, Strictness::Lenient);
        assert!(error.contains(expected), "{error}");
    }
    assert!(
        error_of(&yolo(""), Strictness::Lenient).contains("class list: expected a box in at least one file")
    );
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

/// Every pixel format is converted to the same picture: (200, 40, 60) left, (30, 120, 220) right.
#[test]
fn pictures_of_every_kind_become_rgb() {
    let (colour, grey) = ([[200, 40, 60], [30, 120, 220]], [[90; 3], [104; 3]]);
    for (name, expected, tolerance) in [
        ("rgb.png", colour, 0),
        ("palette.png", colour, 0),
        ("rgba.png", colour, 0),
        ("grey.png", grey, 0),
        ("grey16.png", grey, 0),
        ("la.png", grey, 0),
        ("rgb.jpg", colour, 4),
        ("progressive.jpg", colour, 4),
        ("subsampled.jpg", colour, 4),
        ("cmyk.jpg", colour, 6),
        ("grey.jpg", grey, 3),
    ] {
        // The extension does not decide: everything is called .png or .jpg here.
        let folder = folder(&[("images/train/a.jpg", &format!("@{name}")), ("labels/train/a.txt", TXT)]);
        let sample = open(&folder).load(0).unwrap();
        assert_eq!(sample.image.dim(), (3, 16, 24), "{name}");
        for (column, expected) in [(3, expected[0]), (20, expected[1])] {
            for (channel, expected) in expected.into_iter().enumerate() {
                let value = (sample.image[[channel, 5, column]] * 255.0).round() as i32;
                assert!(
                    (value - expected).abs() <= tolerance,
                    "{name}, column {column}, channel {channel}: {value}"
                );
            }
        }
    }
}

/// A picture cut anywhere is an error when it is decoded, never a picture with a grey end.
#[test]
fn cut_pictures_are_errors() {
    for name in ["rgb.jpg", "progressive.jpg", "rgb.png", "palette.png"] {
        let bytes = fs::read(corpus(name)).unwrap();
        for end in (0..bytes.len() - 2).step_by(7) {
            let folder = yolo(TXT);
            fs::write(folder.path().join("images/train/a.png"), &bytes[..end]).unwrap();
            let loaded = DetectionFolder::open(folder.path(), "train", Strictness::Lenient)
                .and_then(|train| train.load(0));
            let error = loaded
                .map(|sample| sample.size())
                .expect_err(&format!("{name} cut at {end} of {}", bytes.len()));
            assert!(error.to_string().contains("a.png: picture: expected a JPEG or PNG picture"), "{error}");
        }
    }
}
