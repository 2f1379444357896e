//! Every error is provoked by a folder that differs in one thing from a valid one.

use std::fs;

use ndarray::{Array2, array, s};
use png::{BitDepth, ColorType, Encoder};
use tempfile::TempDir;

use super::*;
use crate::png_out::{write_labels, write_picture};

/// Two samples of 4 x 6; label = row, image red = 10 * row, green = column.
fn valid() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["train", "trainannot"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    for name in ["b", "a"] {
        let picture = ndarray::Array3::from_shape_fn((4, 6, 3), |(row, column, channel)| {
            [10 * row, column, 0][channel] as u8
        });
        write_picture(&root.join(format!("train/{name}.png")), &picture).unwrap();
        let labels = Array2::from_shape_fn((4, 6), |(row, _)| row as u8);
        write_labels(&root.join(format!("trainannot/{name}.png")), &labels).unwrap();
    }
    fs::write(root.join("train.txt"), "train/b.png trainannot/b.png\n\ntrain/a.png\ttrainannot/a.png\r\n")
        .unwrap();
    fs::write(root.join("classes.txt"), "0 sky\n1 traffic light\n3 Void\n2 car\n").unwrap();
    folder
}

fn read(root: &Path) -> Result<Vec<Sample>, DataError> {
    SegmentationFolder::open(root, SegmentationOptions::default())?.split("train")?.load_all()
}

/// Changes one thing in a valid folder; the error is one line with each of the parts.
#[track_caller]
fn fails(change: impl FnOnce(&Path), parts: &[&str]) {
    let folder = valid();
    change(folder.path());
    let error = read(folder.path()).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    for part in parts {
        assert!(error.contains(part), "expected {part:?} in: {error}");
    }
}

/// A PNG file of any pixel format; `rows` are packed as the file has them.
fn write_raw(path: &Path, size: (u32, u32), color: ColorType, depth: BitDepth, rows: &[u8]) {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, size.1, size.0);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ColorType::Indexed {
        encoder.set_palette(vec![9; 3 * 16]);
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(rows).unwrap();
    writer.finish().unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_valid_folder_reads_in_the_order_of_its_list() {
    let folder = valid();
    let opened = SegmentationFolder::open(folder.path(), SegmentationOptions::default()).unwrap();
    assert_eq!(opened.classes().names(), ["sky", "traffic light", "car", "Void"]);
    assert_eq!((opened.classes().ignore(), opened.classes().num_classes()), (3, 3));
    let samples = opened.split("train").unwrap().load_all().unwrap();
    assert_eq!(samples.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["train/b.png", "train/a.png"]);
    assert_eq!(samples[1].image.dim(), (3, 4, 6));
    assert_eq!(samples[1].image[[0, 2, 5]], 20.0 / 255.0);
    assert_eq!(samples[1].image[[1, 2, 5]], 5.0 / 255.0);
    assert_eq!(samples[1].labels.column(3), array![0, 1, 2, 3]);
}

#[test]
fn a_pair_of_folders_stands_in_for_the_list() {
    let folder = valid();
    fs::remove_file(folder.path().join("train.txt")).unwrap();
    fs::write(folder.path().join("train/notes.md"), "not a picture").unwrap();
    let samples = read(folder.path()).unwrap();
    assert_eq!(samples.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["train/a.png", "train/b.png"]);
}

#[test]
fn images_are_averaged_and_labels_are_picked() {
    let folder = valid();
    let options = SegmentationOptions { size: Some((2, 3)), ignore: None };
    let sample =
        SegmentationFolder::open(folder.path(), options).unwrap().split("train").unwrap().load(0).unwrap();
    assert_eq!(sample.labels, array![[1, 1, 1], [3, 3, 3]]);
    let red = sample.image.slice(s![0, .., 1]).mapv(|value| (value * 255.0).round());
    assert_eq!(red, array![5.0, 25.0]);
}

#[test]
fn palette_labels_give_their_index() {
    let folder = valid();
    let path = folder.path().join("trainannot/a.png");
    for (depth, row) in [
        (BitDepth::Two, vec![0b00_01_10_11, 0b11_10_00_00]),
        (BitDepth::Four, vec![0x01, 0x23, 0x32]),
        (BitDepth::Eight, vec![0, 1, 2, 3, 3, 2]),
    ] {
        write_raw(&path, (4, 6), ColorType::Indexed, depth, &row.repeat(4));
        assert_eq!(read(folder.path()).unwrap()[1].labels.row(3), array![0, 1, 2, 3, 3, 2], "{depth:?}");
    }
    write_raw(&path, (4, 6), ColorType::Indexed, BitDepth::One, &[0b0110_1000].repeat(4));
    assert_eq!(read(folder.path()).unwrap()[1].labels.row(0), array![0, 1, 1, 0, 1, 0]);
}

#[test]
fn the_ignore_id_is_the_option_then_the_name_then_255() {
    let folder = valid();
    let ignore = |option| {
        let options = SegmentationOptions { size: None, ignore: option };
        SegmentationFolder::open(folder.path(), options).map(|folder| folder.classes().ignore())
    };
    assert_eq!(ignore(Some(1)).unwrap(), 1);
    assert_eq!(ignore(None).unwrap(), 3);
    fs::write(folder.path().join("classes.txt"), "0 a\n1 b\n2 c\n3 d\n").unwrap();
    assert_eq!(ignore(None).unwrap(), 255);
    let labels = Array2::from_elem((4, 6), 255);
    write_labels(&folder.path().join("trainannot/a.png"), &labels).unwrap();
    assert_eq!(read(folder.path()).unwrap()[1].labels, labels);
    fs::write(folder.path().join("classes.txt"), "0 a\n1 void\n2 ignore\n3 d\n").unwrap();
    let error = ignore(None).unwrap_err().to_string();
    assert!(
        error.contains("ignore class: expected at most one") && error.contains("\"void\" and \"ignore\"")
    );
}

#[test]
fn absent_things_are_named() {
    fails(|root| fs::remove_dir_all(root).unwrap(), &["data folder: expected a folder, found nothing there"]);
    fails(
        |root| fs::remove_file(root.join("classes.txt")).unwrap(),
        &["classes.txt: class list: expected a file"],
    );
    fails(
        |root| {
            fs::remove_file(root.join("train.txt")).unwrap();
            fs::remove_dir_all(root.join("trainannot")).unwrap();
        },
        &["train.txt: list of the split", "found neither"],
    );
    fails(
        |root| fs::remove_file(root.join("train/a.png")).unwrap(),
        &["train.txt, line 3: image path: expected an existing file", "\"train/a.png\", which is absent"],
    );
    fails(
        |root| fs::remove_file(root.join("trainannot/b.png")).unwrap(),
        &["line 1: label path", "trainannot/b.png"],
    );
    for (lonely, field) in [("trainannot/a.png", "label map"), ("train/a.png", "image")] {
        fails(
            |root| {
                fs::remove_file(root.join("train.txt")).unwrap();
                fs::remove_file(root.join(lonely)).unwrap();
            },
            &[lonely, field, "the other folder of the pair has one of this name"],
        );
    }
}

#[test]
fn a_file_in_place_of_the_folder() {
    let folder = valid();
    let error = read(&folder.path().join("classes.txt")).unwrap_err().to_string();
    assert!(error.contains("classes.txt: data folder: expected a folder, found a file"), "{error}");
}

#[test]
fn malformed_lists() {
    let list = |text: &'static str| move |root: &Path| fs::write(root.join("train.txt"), text).unwrap();
    fails(list(" \n\n"), &["train.txt: list of the split: expected at least one line", "found none"]);
    fails(list("train/a.png\n"), &["train.txt, line 1: columns: expected 2", "found 1: \"train/a.png\""]);
    fails(list("train/a.png b c\n"), &["line 1: columns: expected 2", "found 3"]);
    fails(list("../a.png trainannot/a.png"), &["line 1: image path: expected a path inside", "\"../a.png\""]);
    fails(list("train/a.png /etc/hosts"), &["line 1: label path: expected a path inside", "\"/etc/hosts\""]);
    fails(list("train/a.png train/../../x.png"), &["label path: expected a path inside the data folder"]);
    fails(list("train/a.png trainannot"), &["label path: expected an existing file"]);
    fails(
        |root| fs::write(root.join("train.txt"), b"a \xff").unwrap(),
        &["train.txt", "UTF-8 text", "offset 2"],
    );
    fails(
        |root| {
            for name in ["train.txt", "train/a.png", "train/b.png", "trainannot/a.png", "trainannot/b.png"] {
                fs::remove_file(root.join(name)).unwrap();
            }
        },
        &["train: images of the split: expected at least one file *.png, found none"],
    );
}

/// Ids such as those of Cityscapes, where classes are left out.
#[test]
fn ids_with_gaps_are_numbered_without() {
    let folder = valid();
    let write = |rows: [u8; 4]| {
        for name in ["a", "b"] {
            let labels = Array2::from_shape_fn((4, 6), |(row, _)| rows[row]);
            write_labels(&folder.path().join(format!("trainannot/{name}.png")), &labels).unwrap();
        }
    };
    fs::write(folder.path().join("classes.txt"), "7 road\n21 sky\n3 void\n33 car\n").unwrap();
    write([33, 3, 7, 21]);
    let opened = SegmentationFolder::open(folder.path(), SegmentationOptions::default()).unwrap();
    let classes = opened.classes();
    assert_eq!((classes.names().join(" "), classes.ignore()), ("void road sky car".to_owned(), 0));
    assert_eq!(read(folder.path()).unwrap()[0].labels.column(0), array![3, 0, 1, 2]);
    // An ignore id that is no class: 2 would be one when numbered without gaps.
    let ignored = |id, rows| {
        write(rows);
        let options = SegmentationOptions { size: None, ignore: Some(id) };
        let opened = SegmentationFolder::open(folder.path(), options).unwrap();
        let samples = opened.split("train").unwrap().load_all();
        samples.map(|samples| (opened.classes().ignore(), samples[0].labels.column(0).to_vec()))
    };
    assert_eq!(ignored(2, [33, 3, 2, 21]).unwrap(), (255, vec![3, 0, 255, 2]));
    assert_eq!(ignored(200, [33, 200, 7, 21]).unwrap(), (200, vec![3, 200, 1, 2]));
    let error = ignored(200, [33, 3, 8, 21]).unwrap_err().to_string();
    let expected =
        "label at row 2, column 0: expected one of the class ids 3, 7, 21, 33 or the ignore id 200, found 8";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn malformed_class_lists() {
    let classes = |text: &'static str| move |root: &Path| fs::write(root.join("classes.txt"), text).unwrap();
    fails(classes("\n"), &["classes.txt: class list: expected at least one line \"id name\", found none"]);
    fails(classes("0 a\nroad\n"), &["classes.txt, line 2: columns: expected \"id name\"", "\"road\""]);
    fails(classes("0 a\nx b\n"), &["line 2: class id: expected a whole number", "\"x\""]);
    fails(classes("0 a\n-1 b\n"), &["line 2: class id", "\"-1\""]);
    fails(classes("0 a\n255 b\n"), &["line 2: class id: expected a whole number 0..=254", "\"255\""]);
    fails(
        classes("0 a\n1 b\n0 c\n"),
        &["line 3: class id: expected each id once, found id 0 again, as in line 1"],
    );
    fails(
        classes("0 a\n1 a\n"),
        &["line 2: class name: expected each name once, found \"a\" again, as in line 1"],
    );
    fails(classes("0 void\n"), &["class list: expected a class other than the ignore id 0, found none"]);
}

#[test]
fn damaged_and_foreign_pictures() {
    let cut = |name: &'static str, from_end: usize| {
        move |root: &Path| {
            let bytes = fs::read(root.join(name)).unwrap();
            fs::write(root.join(name), &bytes[..bytes.len() - from_end]).unwrap();
        }
    };
    for from_end in [1, 12, 20, 40] {
        fails(
            cut("train/a.png", from_end),
            &["train/a.png: image: expected an 8-bit RGB PNG", "cut off after"],
        );
    }
    fails(cut("trainannot/b.png", 20), &["trainannot/b.png: label map", "cut off after"]);
    fails(|root| fs::write(root.join("train/a.png"), b"").unwrap(), &["train/a.png", "found an empty file"]);
    fails(
        |root| fs::write(root.join("trainannot/a.png"), b"P5 4 6 255").unwrap(),
        &["trainannot/a.png: label map", "without the PNG signature"],
    );
    fails(|root| fs::write(root.join("train/a.png"), b"\xff\xd8\xff\xe0..").unwrap(), &["found a JPEG file"]);
    fails(
        |root| {
            let mut bytes = fs::read(root.join("train/a.png")).unwrap();
            let middle = bytes.len() - 25;
            bytes[middle] ^= 0x55;
            fs::write(root.join("train/a.png"), bytes).unwrap();
        },
        &["train/a.png", "a damaged PNG file"],
    );
    fails(
        |root| {
            let (path, pixels) = (root.join("train/a.png"), [0; 96]);
            write_raw(&path, (4, 6), ColorType::Rgba, BitDepth::Eight, &pixels);
        },
        &["train/a.png: image: expected an 8-bit RGB PNG, found 8-bit RGB with alpha"],
    );
    fails(
        |root| {
            write_raw(
                &root.join("trainannot/a.png"),
                (4, 6),
                ColorType::Grayscale,
                BitDepth::Sixteen,
                &[0; 48],
            )
        },
        &[
            "trainannot/a.png: label map: expected an 8-bit greyscale or a palette PNG, found 16-bit greyscale",
        ],
    );
    fails(
        |root| fs::copy(root.join("train/a.png"), root.join("trainannot/a.png")).map(drop).unwrap(),
        &["trainannot/a.png: label map", "found 8-bit RGB"],
    );
}

/// Every cut is noticed. A changed byte is an error, or harmless (in a chunk that says nothing about pixels): no panic.
#[test]
fn every_cut_and_every_changed_byte() {
    let folder = valid();
    let path = folder.path().join("trainannot/a.png");
    let whole = fs::read(&path).unwrap();
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(read_labels(&path).is_err(), "cut after {end} of {}", whole.len());
    }
    let labels = Array2::from_shape_fn((4, 6), |(row, _)| row as u8);
    for (at, bit) in (0..whole.len()).flat_map(|at| [(at, 1), (at, 0x80)]) {
        let mut changed = whole.clone();
        changed[at] ^= bit;
        fs::write(&path, changed).unwrap();
        if let Ok(read) = read_labels(&path) {
            assert_eq!(read, labels, "byte {at}");
        }
    }
}

/// The header claims 60000 x 60000 pixels, with a right checksum: refused before 10 GB are allocated.
#[test]
fn a_picture_that_claims_to_be_huge() {
    let mut header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\x02\0\0\0".to_vec();
    header.extend([0x0f, 0xb0, 0xe2, 0x15]);
    header.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    fails(
        |root| fs::write(root.join("train/a.png"), &header).unwrap(),
        &["train/a.png", "too large a picture"],
    );
}

#[test]
fn labels_out_of_range_and_sizes_that_differ() {
    fails(
        |root| {
            let mut labels = Array2::zeros((4, 6));
            labels[[2, 5]] = 37;
            labels[[3, 0]] = 99;
            write_labels(&root.join("trainannot/a.png"), &labels).unwrap();
        },
        &[
            "trainannot/a.png: label at row 2, column 5: expected a class id 0..=3 (4 classes) or the ignore id 3",
            "found 37",
        ],
    );
    fails(
        |root| write_labels(&root.join("trainannot/b.png"), &Array2::zeros((4, 5))).unwrap(),
        &["trainannot/b.png: height x width: expected 4 x 6 as the image", "train/b.png, found 4 x 5"],
    );
}

#[test]
fn the_first_error_of_the_list_is_reported() {
    for _ in 0..10 {
        fails(
            |root| {
                for name in ["a", "b"] {
                    fs::write(root.join(format!("train/{name}.png")), b"").unwrap();
                }
            },
            &["train/b.png: image"],
        );
    }
}
