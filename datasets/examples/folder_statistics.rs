//! Prints what a segmentation folder holds: images, the share of each class, mean and deviation of the channels.
//!
//! ```text
//! cargo run --release -p termwise-datasets --example folder_statistics -- DIR
//! ```

use std::path::Path;
use std::process::ExitCode;

use termwise_datasets::DataError;
use termwise_datasets::batch::{Normalisation, class_pixels};
use termwise_datasets::segmentation::{SegmentationFolder, SegmentationOptions};

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: folder_statistics DIR");
        return ExitCode::FAILURE;
    };
    match print_statistics(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn print_statistics(folder: &Path) -> Result<(), DataError> {
    let folder = SegmentationFolder::open(folder, SegmentationOptions::default())?;
    let classes = folder.classes();
    println!("{} classes, ignore id {}", classes.num_classes(), classes.ignore());
    for name in ["train", "val"] {
        let samples = folder.split(name)?.load_all()?;
        let counts = class_pixels(&samples);
        let total: u64 = counts.iter().sum();
        println!("\n{name}: {} images, the first {:?}", samples.len(), samples[0].size());
        for (id, class) in classes.names().iter().enumerate() {
            println!("{id:4} {class:16} {:6.2} %", 100.0 * counts[id] as f64 / total as f64);
        }
        let Normalisation { mean, std } = Normalisation::measure(&samples);
        println!("     mean {mean:.3?}, standard deviation {std:.3?}");
    }
    Ok(())
}
