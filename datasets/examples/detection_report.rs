//! Prints what a folder with boxes holds: classes, pictures, sizes, boxes of each class, what was skipped.
//!
//! ```text
//! cargo run --release -p termwise-datasets --example detection_report -- DIR SPLIT [voc|coco|yolo] [--strict] [--decode]
//! ```

use std::path::Path;
use std::process::ExitCode;

use termwise_datasets::DataError;
use termwise_datasets::detection::{DetectionFolder, DetectionFormat, DetectionOptions, Strictness};

fn main() -> ExitCode {
    let (flags, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let [folder, split, format @ ..] = words.as_slice() else {
        eprintln!("usage: detection_report DIR SPLIT [voc|coco|yolo] [--strict] [--decode]");
        return ExitCode::FAILURE;
    };
    let is_named = |name: &String| DetectionFormat::ALL.into_iter().find(|format| format.name() == name);
    let options = DetectionOptions {
        format: format.first().and_then(is_named),
        strictness: match flags.iter().any(|flag| flag == "--strict") {
            true => Strictness::Strict,
            false => Strictness::Lenient,
        },
        classes: None,
    };
    let decode = flags.iter().any(|flag| flag == "--decode");
    match print_report(Path::new(folder), split, &options, decode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn print_report(
    folder: &Path,
    split: &str,
    options: &DetectionOptions,
    decode: bool,
) -> Result<(), DataError> {
    let folder = DetectionFolder::open_with(folder, split, options)?;
    let records = folder.records();
    let objects: usize = records.iter().map(|record| record.objects.len()).sum();
    let empty = records.iter().filter(|record| record.objects.is_empty()).count();
    println!(
        "{} {split}: {} pictures ({empty} without boxes), {objects} boxes",
        folder.format(),
        folder.len()
    );
    let sides = |side: fn(&(usize, usize)) -> usize| {
        let sides = records.iter().map(move |record| side(&record.size));
        (sides.clone().min().unwrap_or(0), sides.max().unwrap_or(0))
    };
    let (heights, widths) = (sides(|size| size.0), sides(|size| size.1));
    println!("height {} to {}, width {} to {}", heights.0, heights.1, widths.0, widths.1);
    for (class, name) in folder.classes().iter().enumerate() {
        let of_class =
            records.iter().flat_map(|record| &record.objects).filter(|object| object.class == class);
        let mut side: Vec<f32> = of_class.map(|object| object.bounds.area().sqrt()).collect();
        side.sort_by(f32::total_cmp);
        let median = side.get(side.len() / 2).copied().unwrap_or(0.0);
        println!("{class:5} {name:16} {:7} boxes, typical side {median:6.1}", side.len());
    }
    if !folder.report().is_clean() {
        println!("{}", folder.report());
    }
    if decode {
        let samples = folder.load_all()?;
        let mean = samples.iter().map(|sample| sample.image.mean().unwrap_or(0.0)).sum::<f32>();
        println!("{} pictures decoded, mean value {:.4}", samples.len(), mean / samples.len() as f32);
    }
    Ok(())
}
