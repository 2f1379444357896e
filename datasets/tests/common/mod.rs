//! Small folders of each format, for the tests of detection.
#![allow(dead_code, missing_docs, reason = "each test file uses a part")]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use termwise_datasets::detection::{DetectionFolder, Strictness};

pub const XML: &str = include_str!("../corpus/voc/plain.xml");
pub const JSON: &str = include_str!("../corpus/coco/plain.json");
pub const TXT: &str = include_str!("../corpus/yolo/plain.txt");

pub fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/pictures").join(name)
}

/// A folder with these files; a content that starts with `@` is a picture of the corpus.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
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

pub fn voc(xml: &str) -> TempDir {
    folder(&[
        ("ImageSets/Main/train.txt", "a\n"),
        ("JPEGImages/a.png", "@rgb.png"),
        ("Annotations/a.xml", xml),
    ])
}

pub fn coco(json: &str) -> TempDir {
    folder(&[("instances_train.json", json), ("images/a.png", "@rgb.png"), ("images/b.png", "@rgb.png")])
}

pub fn yolo(text: &str) -> TempDir {
    folder(&[("images/train/a.png", "@rgb.png"), ("labels/train/a.txt", text)])
}

pub fn open(folder: &TempDir) -> DetectionFolder {
    DetectionFolder::open(folder.path(), "train", Strictness::Lenient).unwrap()
}

/// The error without the path of the temporary folder; one line.
pub fn error_of(folder: &TempDir, strictness: Strictness) -> String {
    let error = DetectionFolder::open(folder.path(), "train", strictness).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error.replace(&*folder.path().to_string_lossy(), "DIR")
}
