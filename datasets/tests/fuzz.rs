//! Every reader on damaged files: the files of the corpus with random changes. Whatever the bytes, the answer is a
//! result within its bounds, or an error of one line; never a panic. PROPTEST_CASES=100000 looks longer.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;
use termwise_datasets::DataError;
use termwise_datasets::bpe::Bpe;
use termwise_datasets::detection::{DetectionFolder, Strictness};
use termwise_datasets::mnist::Mnist;
use termwise_datasets::translation::{ParallelText, TranslationOptions};

const XML: &[u8] = include_bytes!("corpus/voc/plain.xml");
const JSON: &[u8] = include_bytes!("corpus/coco/plain.json");
const TXT: &[u8] = include_bytes!("corpus/yolo/plain.txt");
const PNG: &[u8] = include_bytes!("corpus/pictures/rgb.png");
const PICTURES: [&[u8]; 8] = [
    include_bytes!("corpus/pictures/rgb.jpg"),
    include_bytes!("corpus/pictures/progressive.jpg"),
    include_bytes!("corpus/pictures/subsampled.jpg"),
    include_bytes!("corpus/pictures/cmyk.jpg"),
    include_bytes!("corpus/pictures/grey.jpg"),
    PNG,
    include_bytes!("corpus/pictures/palette.png"),
    include_bytes!("corpus/pictures/grey16.png"),
];

/// What hand-made files of this kind tend to break on.
const WORDS: [&[u8]; 16] = [
    b"-1",
    b"nan",
    b"1e999",
    b"99999999999999999999",
    b"0.5",
    b"null",
    b"{}",
    b"[",
    b"\"",
    b"<",
    b"</",
    b"&",
    b"\n",
    b"\xff",
    b"\0",
    b" ",
];

#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, usize),
    Delete(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        4 => (any::<Index>(), 0..WORDS.len()).prop_map(|(at, word)| Change::Insert(at, word)),
        2 => (any::<Index>(), 1usize..20).prop_map(|(at, length)| Change::Delete(at, length)),
        2 => (any::<Index>(), 1usize..200).prop_map(|(at, length)| Change::Repeat(at, length)),
        1 => any::<Index>().prop_map(Change::Cut),
    ];
    prop::collection::vec(change, 0..5)
}

fn changed(original: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for change in changes {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match change {
            Change::Set(at, byte) => {
                let at = place(at).min(bytes.len().saturating_sub(1));
                bytes.iter_mut().skip(at).take(1).for_each(|old| *old = *byte);
            }
            Change::Insert(at, word) => {
                let at = place(at);
                drop(bytes.splice(at..at, WORDS[*word].iter().copied()));
            }
            Change::Delete(at, length) => {
                let at = place(at);
                let end = (at + length).min(bytes.len());
                drop(bytes.drain(at..end));
            }
            Change::Repeat(at, length) => {
                let at = place(at);
                let part = bytes[at..(at + length).min(bytes.len())].to_vec();
                drop(bytes.splice(at..at, part));
            }
            Change::Cut(at) => {
                let end = place(at);
                bytes.truncate(end);
            }
        }
    }
    bytes
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn one_line(error: &DataError) {
    let text = error.to_string();
    assert!(text.lines().count() == 1 && text.len() < 2000, "{text}");
}

/// Opens and decodes; what is read must keep its promises.
fn check_detection(files: &[(&str, &[u8])]) {
    let folder = folder(files);
    for strictness in [Strictness::Lenient, Strictness::Strict] {
        match DetectionFolder::open(folder.path(), "train", strictness) {
            Err(error) => one_line(&error),
            Ok(train) => {
                assert!(strictness == Strictness::Lenient || train.report().is_clean());
                for record in train.records() {
                    for object in &record.objects {
                        assert!(object.class < train.classes().len());
                        assert_eq!(object.bounds.clipped(record.size), Some(object.bounds));
                        assert!(object.area >= 0.0 && object.area.is_finite(), "{object:?}");
                    }
                }
                match train.load_all() {
                    Err(error) => one_line(&error),
                    Ok(samples) => assert_eq!(samples.len(), train.len()),
                }
            }
        }
    }
}

fn check_text(files: &[(&str, &[u8])]) {
    let folder = folder(files);
    let options = TranslationOptions { max_bytes: 4096, ..TranslationOptions::default() };
    match ParallelText::open(folder.path(), "train", &options) {
        Err(error) => one_line(&error),
        Ok(text) => assert!(text.lines().map(str::len).sum::<usize>() <= 8192),
    }
}

fn check_mnist(images: &[u8], labels: &[u8]) {
    let folder = folder(&[("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte.gz", labels)]);
    match Mnist::open(folder.path(), "train") {
        Err(error) => one_line(&error),
        Ok(train) => assert!(train.images().len() <= images.len() && train.len() == train.images().dim().0),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

proptest! {
    #[test]
    fn voc(xml in changes(), list in changes(), classes in changes()) {
        check_detection(&[
            ("ImageSets/Main/train.txt", &changed(b"a\n", &list[..list.len().min(1)])),
            ("JPEGImages/a.png", PNG),
            ("Annotations/a.xml", &changed(XML, &xml)),
            ("classes.txt", &changed(b"cell\ndisc\n", &classes[..classes.len().min(1)])),
        ]);
    }

    #[test]
    fn coco(json in changes()) {
        check_detection(&[("instances_train.json", &changed(JSON, &json)), ("a.png", PNG), ("b.png", PNG)]);
    }

    #[test]
    fn yolo(text in changes()) {
        check_detection(&[("images/train/a.png", PNG), ("labels/train/a.txt", &changed(TXT, &text))]);
    }

    #[test]
    fn pictures(which in 0..PICTURES.len(), picture in changes()) {
        let picture = changed(PICTURES[which], &picture);
        check_detection(&[("images/train/a.png", &picture), ("labels/train/a.txt", TXT)]);
    }

    #[test]
    fn parallel_text(source in changes(), packed in changes()) {
        let text = "Ein Hund läuft.\nZwei Hunde\n\nnoch einer\r\n".as_bytes();
        check_text(&[("train.en", &changed(text, &source)), ("train.de.gz", &changed(&gzip(text), &packed))]);
    }

    #[test]
    fn mnist(images in changes(), labels in changes()) {
        let mut plain = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3];
        plain.extend(0..12);
        let packed = gzip(&[0, 0, 8, 1, 0, 0, 0, 2, 9, 0]);
        check_mnist(&changed(&plain, &images), &changed(&packed, &labels[..labels.len().min(1)]));
    }

    #[test]
    fn byte_pairs(json in changes()) {
        let bpe = serde_json::to_vec(&Bpe::learn(["ab ab abab", "ein Hund, ein Hund"], 300)).unwrap();
        if let Ok(bpe) = serde_json::from_slice::<Bpe>(&changed(&bpe, &json)) {
            let text = "ab Hund abab ☂";
            assert_eq!(bpe.decode(&bpe.encode(text)), text);
        }
    }
}

/// Nesting must not grow the stack.
#[test]
fn deep_nesting_is_refused() {
    let deep = 200_000;
    check_detection(&[
        ("ImageSets/Main/train.txt", b"a\n"),
        ("JPEGImages/a.png", PNG),
        (
            "Annotations/a.xml",
            format!("<annotation>{}{}</annotation>", "<a>".repeat(deep), "</a>".repeat(deep)).as_bytes(),
        ),
    ]);
    check_detection(&[("instances_train.json", "[".repeat(deep).as_bytes()), ("a.png", PNG)]);
    check_detection(&[
        ("instances_train.json", format!("{{\"info\": {}", "[".repeat(deep)).as_bytes()),
        ("a.png", PNG),
    ]);
}

/// A header may claim 65535 x 65535 pixels: refused before anything is allocated.
#[test]
fn claims_beyond_the_file_are_refused() {
    for picture in &PICTURES[..6] {
        let mut bytes = picture.to_vec();
        if bytes.starts_with(b"\x89PNG") {
            bytes[16..24].fill(0x7f);
        } else {
            let frame = bytes.windows(2).position(|pair| matches!(pair, [0xff, 0xc0..=0xc2])).unwrap();
            bytes[frame + 5..frame + 9].fill(0xff); // height and width
        }
        let folder = folder(&[("images/train/a.png", &bytes), ("labels/train/a.txt", TXT)]);
        let error =
            DetectionFolder::open(folder.path(), "train", Strictness::Lenient).unwrap_err().to_string();
        assert!(error.contains("picture: expected a JPEG or PNG picture"), "{error}");
    }
}
