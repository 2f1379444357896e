//! Figures of trainings: curves, classes, predictions, attention maps.

use termwise_datasets::Sample;
use termwise_datasets::png_out::{
    Picture, class_colour, colour_labels, comparison, enlarged, image_to_picture, stacked,
};
use termwise_models::segmentation::{QueryMaps, predict, query_maps};

use super::data::Data;
use super::run::Run;
use crate::cli::curves::Course;
use crate::report::{BarChart, Heatmap, Svg, heatmap, png_bytes, swatches};

/// The loss of each training, and the mean IoU, over time.
pub fn curves(runs: &[Run]) -> [Svg; 2] {
    let course = |run: &Run| Course::new(run.name(), &run.steps, &run.epochs, |score| score.miou);
    crate::cli::curves::curves(&runs.iter().map(course).collect::<Vec<_>>(), "mean IoU")
}

/// The IoU of each class at the end of each training.
pub fn class_bars(runs: &[Run], data: &Data) -> Svg {
    let classes = &data.classes.names()[..data.classes.num_classes()];
    BarChart {
        title: "IoU of each class".into(),
        label: "intersection over union".into(),
        groups: classes.to_vec(),
        series: runs.iter().map(|run| (run.name(), run.last().score.iou.clone())).collect(),
    }
    .draw()
}

/// Which colour is which class.
pub fn legend(data: &Data) -> Svg {
    let classes = data.classes.names()[..data.classes.num_classes()].iter().enumerate();
    let entries: Vec<_> = classes.map(|(id, name)| (class_colour(id as u8), name.as_str())).collect();
    swatches("Colours of the classes", &entries)
}

/// Some samples, spread evenly.
pub fn spread(samples: &[Sample], count: usize) -> Vec<Sample> {
    let count = count.min(samples.len());
    (0..count).map(|i| samples[i * samples.len() / count].clone()).collect()
}

/// image | truth | prediction, a row for each sample.
pub fn predictions(run: &Run, samples: &[Sample]) -> Picture {
    comparisons(samples, &predict(&run.segmenter, samples), run.segmenter.config().ignore)
}

/// The same for predictions at hand.
pub fn comparisons(samples: &[Sample], predictions: &[ndarray::Array2<u8>], ignore: u8) -> Picture {
    let rows: Vec<Picture> = samples
        .iter()
        .zip(predictions)
        .map(|(sample, prediction)| comparison(&sample.image, &sample.labels, prediction, ignore))
        .collect();
    let sheet = stacked(&rows);
    // Small pictures are enlarged, so that the file is worth opening.
    enlarged(&sheet, (640 / sheet.dim().1.max(1)).max(1))
}

/// One picture as a PNG file.
pub fn png(picture: &Picture) -> Vec<u8> {
    let (height, width, _) = picture.dim();
    png_bytes(width, height, &picture.iter().copied().collect::<Vec<u8>>())
}

/// Sample by sample: image, truth, and what each training predicts, with names for the columns.
pub fn gallery(runs: &[Run], samples: &[Sample], data: &Data) -> Vec<(String, Vec<u8>)> {
    let ignore = data.classes.ignore();
    let column = |name: &str, pictures: Vec<Picture>| (name.to_owned(), png(&stacked(&pictures)));
    let mut columns = vec![
        column("picture", samples.iter().map(|sample| image_to_picture(&sample.image)).collect()),
        column("truth", samples.iter().map(|sample| colour_labels(&sample.labels, ignore)).collect()),
    ];
    for run in runs {
        let predicted = predict(&run.segmenter, samples);
        let pictures = predicted.iter().map(|labels| colour_labels(labels, ignore)).collect();
        columns.push(column(&run.name(), pictures));
    }
    columns
}

/// A place worth asking about: the middle of the frontmost object, or of the picture; (y, x) as shares.
pub fn query_point(sample: &Sample) -> (f64, f64) {
    let (height, width) = sample.size();
    let middle = |low: f32, high: f32, side: usize| f64::from(low + high) / 2.0 / side as f64;
    sample.objects.last().map_or((0.5, 0.5), |object| {
        let bounds = object.bounds;
        (middle(bounds.y0, bounds.y1, height), middle(bounds.x0, bounds.x1, width))
    })
}

/// The picture with a cross at the place that is asked about.
pub fn marked(sample: &Sample, (y, x): (f64, f64)) -> Picture {
    const ENLARGE: usize = 4;
    const ARM: isize = 9;
    let mut picture = enlarged(&image_to_picture(&sample.image), ENLARGE);
    let (height, width, _) = picture.dim();
    let centre = ((y * height as f64) as isize, (x * width as f64) as isize);
    // A black cross with a white edge shows on every ground.
    for (colour, thickness, arm) in [([255; 3], 2, ARM + 1), ([0; 3], 1, ARM)] {
        for along in -arm..=arm {
            for across in -thickness..=thickness {
                for (row, column) in [(along, across), (across, along)] {
                    let (row, column) = (centre.0 + row, centre.1 + column);
                    if (0..height as isize).contains(&row) && (0..width as isize).contains(&column) {
                        for (channel, value) in colour.into_iter().enumerate() {
                            picture[[row as usize, column as usize, channel]] = value;
                        }
                    }
                }
            }
        }
    }
    picture
}

/// What the finest attention modules of a training look at: the last module of the largest map.
pub fn finest_maps(run: &Run, sample: &Sample, point: (f64, f64)) -> Option<QueryMaps> {
    let maps = query_maps(&run.segmenter, sample, point);
    let largest = maps.iter().map(|maps| maps.size.0 * maps.size.1).max()?;
    maps.into_iter().rfind(|maps| maps.size.0 * maps.size.1 == largest)
}

/// The maps of one module as pictures with their labels: each term that is on, and the weights.
pub fn map_panels(maps: &QueryMaps) -> Vec<(String, Heatmap)> {
    let pixels = (160 / maps.size.1.max(1)).max(1);
    let terms =
        maps.energies.iter().enumerate().filter_map(|(i, map)| Some((format!("E{}", i + 1), map.as_ref()?)));
    terms
        .chain([("weights".to_owned(), &maps.weights)])
        .map(|(name, map)| {
            let drawn = heatmap(&map.view(), None, pixels);
            (format!("{name}: {:.3} to {:.3}", drawn.min, drawn.max), drawn)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_and_a_cross_marks_the_middle_of_the_front_object() {
        let data = Data::of_scenes(Some((32, 48)), 1, [1, 10]);
        let names: Vec<String> = spread(&data.validation, 3).iter().map(|s| s.name.clone()).collect();
        assert_eq!(names, ["val/000000", "val/000003", "val/000006"]);
        assert_eq!(spread(&data.validation[..2], 3).len(), 2);

        let sample = &data.validation[0];
        let (y, x) = query_point(sample);
        let bounds = sample.objects.last().unwrap().bounds;
        let (row, column) = (y * 32.0, x * 48.0);
        assert!(row > f64::from(bounds.y0) && row < f64::from(bounds.y1));
        assert!(column > f64::from(bounds.x0) && column < f64::from(bounds.x1));
        let picture = marked(sample, (y, x));
        assert_eq!(picture.dim(), (128, 192, 3));
        assert_eq!(picture[[(y * 128.0) as usize, (x * 192.0) as usize, 1]], 0);
        let _ = marked(sample, (0.0, 0.999)); // at the edge, a part of the cross is off the picture
    }
}
