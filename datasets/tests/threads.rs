//! What is made or read by several threads is the same to the last bit as by one.

use std::fs;
use std::path::Path;

use termwise_datasets::Split;
use termwise_datasets::bpe::Bpe;
use termwise_datasets::detection::{DetectionFolder, DetectionSample, Strictness};
use termwise_datasets::grammar::Grammar;
use termwise_datasets::scenes::{SceneOptions, Scenes};
use termwise_datasets::translation::{TokenBatches, TokenPair};

fn with_threads<T: Send>(threads: usize, make: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(make)
}

#[derive(PartialEq)]
struct Everything {
    scenes: Vec<DetectionSample>,
    read: Vec<DetectionSample>,
    bpe: Bpe,
    pairs: Vec<TokenPair>,
    batches: Vec<Vec<usize>>,
}

fn everything(folder: &Path) -> Everything {
    let scenes = Scenes::new(SceneOptions::default(), 5).detection_samples(Split::Test, 0..20);
    let read = DetectionFolder::open(folder, "train", Strictness::Strict).unwrap().load_all().unwrap();
    let text = Grammar::new(3).text(Split::Train, 300);
    let bpe = Bpe::learn(text.lines(), 600);
    let pairs = TokenPair::encode_all(&text, &bpe);
    let batches = TokenBatches::new(&pairs, 200, 9).epoch(2);
    Everything { scenes, read, bpe, pairs, batches }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/pictures");
    for part in ["images/train", "labels/train"] {
        fs::create_dir_all(folder.path().join(part)).unwrap();
    }
    for (index, name) in
        ["rgb.jpg", "grey.png", "progressive.jpg", "palette.png"].into_iter().cycle().take(24).enumerate()
    {
        let (stem, extension) = name.split_once('.').unwrap();
        let stem = format!("{index:02}{stem}");
        fs::copy(pictures.join(name), folder.path().join(format!("images/train/{stem}.{extension}")))
            .unwrap();
        fs::write(
            folder.path().join(format!("labels/train/{stem}.txt")),
            format!("{} 0.5 0.5 0.2 0.{}", index % 5, index + 10),
        )
        .unwrap();
    }
    let one = with_threads(1, || everything(folder.path()));
    for threads in [2, 7] {
        assert!(with_threads(threads, || everything(folder.path())) == one, "{threads} threads");
    }
}
