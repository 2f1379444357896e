//! Writes a sheet of pictures with their boxes: fitted into one size above, augmented below. Without a folder, of
//! generated scenes.
//!
//! ```text
//! cargo run --release -p termwise-datasets --example detection_sheet -- sheet.png [DIR SPLIT [voc|coco|yolo]]
//! ```

use std::path::Path;
use std::process::ExitCode;

use termwise_datasets::augment::{AugmentOptions, Letterbox, Padding};
use termwise_datasets::detection::{DetectionFolder, DetectionFormat, DetectionOptions, DetectionSample};
use termwise_datasets::png_out::{
    Picture, class_colour, draw_box, enlarged, image_to_picture, side_by_side, stacked, write_picture,
};
use termwise_datasets::scenes::{SceneOptions, Scenes};
use termwise_datasets::{DataError, Split};

const SIZE: (usize, usize) = (192, 192);
const PICTURES: usize = 6;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let path = words.first().map_or("detection_sheet.png", String::as_str);
    let written = samples(words.get(1..).unwrap_or_default())
        .and_then(|samples| write_picture(Path::new(path), &enlarged(&sheet(&samples), 2)));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn samples(words: &[String]) -> Result<Vec<DetectionSample>, DataError> {
    let [folder, split, format @ ..] = words else {
        let options = SceneOptions { height: 120, width: 160, ..SceneOptions::default() };
        return Ok(Scenes::new(options, 1).detection_samples(Split::Train, 0..PICTURES as u64));
    };
    let named = |name: &String| DetectionFormat::ALL.into_iter().find(|format| format.name() == name);
    let options = DetectionOptions { format: format.first().and_then(named), ..DetectionOptions::default() };
    let folder = DetectionFolder::open_with(Path::new(folder), split, &options)?;
    (0..folder.len().min(PICTURES)).map(|index| folder.load(index)).collect()
}

fn sheet(samples: &[DetectionSample]) -> Picture {
    let padding = Padding { colour: [0.5; 3], label: 255 };
    let options = AugmentOptions::new(padding);
    let fitted = samples
        .iter()
        .map(|sample| drawn(&Letterbox::new(sample.size(), SIZE).sample(sample, padding.colour)));
    let augmented = samples.iter().zip(0..).map(|(sample, index)| {
        drawn(&options.sample_fitted(sample.size(), SIZE, 1, 0, index).apply_detection(sample, 0.2))
    });
    let rows = [fitted.collect::<Vec<_>>(), augmented.collect()];
    stacked(&rows.map(|row| side_by_side(&row)))
}

fn drawn(sample: &DetectionSample) -> Picture {
    let mut picture = image_to_picture(&sample.image);
    for object in &sample.objects {
        draw_box(&mut picture, object.bounds, class_colour((object.class + 1) as u8), 1);
    }
    picture
}
