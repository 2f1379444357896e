use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn idx(numbers: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    bytes.extend(values);
    bytes
}

/// Two images of 2 x 3.
fn images() -> Vec<u8> {
    idx(&[0x0803, 2, 2, 3], &[0, 51, 255, 3, 4, 5, 10, 11, 12, 13, 14, 15])
}

fn labels() -> Vec<u8> {
    idx(&[0x0801, 2], &[9, 0])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn folder(images: &[u8], labels: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t10k-images-idx3-ubyte"), images).unwrap();
    fs::write(folder.path().join("t10k-labels.idx1-ubyte.gz"), gzip(labels)).unwrap();
    folder
}

fn error_of(images: &[u8], labels: &[u8]) -> String {
    let folder = folder(images, labels);
    let error = Mnist::open(folder.path(), "test").unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error.replace(&*folder.path().to_string_lossy(), "DIR")
}

#[test]
fn images_and_labels_are_read() {
    let test = Mnist::open(folder(&images(), &labels()).path(), "t10k").unwrap();
    assert_eq!((test.len(), test.labels(), test.images().dim()), (2, &[9, 0][..], (2, 2, 3)));
    assert_eq!(test.image(0), ndarray::array![[0.0, 0.2, 1.0], [3.0 / 255.0, 4.0 / 255.0, 5.0 / 255.0]]);
    assert_eq!(test.images()[[1, 1, 0]], 13);
}

#[test]
fn every_number_of_the_header_is_checked() {
    let values = [0; 12];
    for (images, labels, expected) in [
        (
            idx(&[0x0801, 2, 2, 3], &values),
            labels(),
            "images-idx3-ubyte: magic number: expected 0x00000803 (unsigned bytes in 3 dimensions), found 0x00000801",
        ),
        (
            idx(&[0x0803, 3, 2, 3], &values),
            labels(),
            "length: expected 3 x 2 x 3 bytes behind the header, found 12 bytes",
        ),
        (
            idx(&[0x0803, 2, 2, 2], &values),
            labels(),
            "length: expected 2 x 2 x 2 bytes behind the header, found 12 bytes",
        ),
        (idx(&[0x0803, u32::MAX, u32::MAX, u32::MAX], &values), labels(), "length: expected 4294967295 x"),
        (idx(&[0x0803, 0, 2, 3], &[]), labels(), "number of items: expected at least one, found 0"),
        (idx(&[0x0803, 2, 0, 3], &[]), labels(), "rows: expected 1 to 4096, found 0"),
        (idx(&[0x0803, 1, 5000, 1], &[0; 5000]), labels(), "rows: expected 1 to 4096, found 5000"),
        (idx(&[0x0803, 1, 1, 5000], &[0; 5000]), labels(), "columns: expected 1 to 4096, found 5000"),
        (images()[..15].to_vec(), labels(), "header: expected 16 bytes, found 15 bytes"),
        (images(), idx(&[0x0801, 2], &[9, 10]), "ubyte.gz: label 1: expected 0 to 9, found 10"),
        (images(), idx(&[0x0801, 1], &[9]), "number of labels: expected 2, as there are images, found 1"),
        (images(), idx(&[0x0803, 2], &[9, 0]), "magic number: expected 0x00000801"),
        (images(), vec![], "header: expected 8 bytes, found 0 bytes"),
    ] {
        let error = error_of(&images, &labels);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn files_are_found_or_named() {
    let folder = folder(&images(), &labels());
    let error = |split| Mnist::open(folder.path(), split).unwrap_err().to_string();
    assert!(error("train").contains(
        "train-images-idx3-ubyte: IDX file: expected this file, or the same with .gz, found neither"
    ));
    assert!(error("val").contains("split: expected train or test, found \"val\""));
    fs::write(folder.path().join("t10k-images-idx3-ubyte.gz"), gzip(&images())).unwrap();
    assert!(error("test").contains("expected one file of these contents, found several"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        at in 0usize..28,
        value: u8,
        cut in 0usize..40,
        more in prop::collection::vec(any::<u8>(), 0..5),
    ) {
        let mut images = images();
        images[at] = value;
        images.truncate(28usize.saturating_sub(cut / 2));
        images.extend(more);
        if let Ok(test) = Mnist::open(folder(&images, &labels()).path(), "test") {
            prop_assert_eq!(test.len(), test.images().dim().0);
            prop_assert_eq!(test.images().len() + 16, images.len());
        }
    }
}
