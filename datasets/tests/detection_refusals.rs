//! The three formats of boxes and their pictures: what is an error whatever the strictness, and its words.

mod common;

use std::fs;

use common::{JSON, TXT, XML, coco, corpus, error_of, folder, open, voc, yolo};
use tempfile::TempDir;
use termwise_datasets::detection::{DetectionFolder, Strictness};

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
