//! Writes a sheet of generated scenes beside their label maps, and of augmented ones below.
//!
//! ```text
//! cargo run --release -p termwise-datasets --example scene_sheet -- sheet.png
//! ```

use std::path::Path;
use std::process::ExitCode;

use termwise_datasets::augment::{AugmentOptions, Padding};
use termwise_datasets::png_out::{
    Picture, colour_labels, enlarged, image_to_picture, side_by_side, stacked, write_picture,
};
use termwise_datasets::scenes::{IGNORE, SceneOptions, Scenes, Shape};
use termwise_datasets::{Sample, Split};

fn main() -> ExitCode {
    let path = std::env::args().nth(1).unwrap_or_else(|| "scene_sheet.png".to_owned());
    let options =
        SceneOptions { height: 96, width: 96, shapes: Shape::ALL.to_vec(), ..SceneOptions::default() };
    let generator = Scenes::new(options, 1);
    let scenes = generator.samples(Split::Train, 0..24);
    let augment = AugmentOptions::new(Padding::grey(generator.classes()));
    let augmented: Vec<Sample> =
        (0..6).map(|index| augment.sample((96, 96), 1, 0, index).apply(&scenes[index as usize])).collect();
    let rows: Vec<Picture> = scenes.chunks(6).chain([augmented.as_slice()]).map(row).collect();
    match write_picture(Path::new(&path), &enlarged(&stacked(&rows), 2)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn row(samples: &[Sample]) -> Picture {
    let pictures: Vec<Picture> = samples
        .iter()
        .map(|sample| stacked(&[image_to_picture(&sample.image), colour_labels(&sample.labels, IGNORE)]))
        .collect();
    side_by_side(&pictures)
}
