//! The course of trainings as figures.

use termwise_models::training::{EpochRecord, StepRecord};

use crate::report::{Axis, LineChart, Series, Svg};

/// Steps over which the loss is averaged in a curve.
const SMOOTH: usize = 8;

/// A training as its curves show it: seconds and numbers.
pub struct Course {
    name: String,
    losses: Vec<(f64, f64)>,
    scores: Vec<(f64, f64)>,
}

impl Course {
    /// The course of a training with a name, and one number of each epoch's score.
    pub fn new<S>(
        name: String,
        steps: &[StepRecord],
        epochs: &[EpochRecord<S>],
        score: impl Fn(&S) -> f64,
    ) -> Self {
        let mean = |chunk: &[StepRecord]| {
            let sum: f64 = chunk.iter().map(|step| step.loss).sum();
            (chunk[chunk.len() - 1].seconds, sum / chunk.len() as f64)
        };
        Course {
            name,
            losses: steps.chunks(SMOOTH).map(mean).collect(),
            scores: epochs.iter().map(|epoch| (epoch.seconds, score(&epoch.score))).collect(),
        }
    }
}

/// The loss of each training over time, and its score after each epoch, which has a name.
pub fn curves(courses: &[Course], score: &str) -> [Svg; 2] {
    let draw = |title: String, y: Axis, points: fn(&Course) -> &Vec<(f64, f64)>| {
        let series = courses.iter().enumerate().map(|(style, course)| Series {
            name: if courses.len() > 1 { course.name.clone() } else { String::new() },
            style,
            points: points(course).clone(),
        });
        LineChart { title, x: Axis::new("seconds of training"), y, series: series.collect(), small: false }
            .draw()
    };
    let best = courses.iter().flat_map(|course| &course.scores).map(|&(_, score)| score).fold(1e-3, f64::max);
    [
        draw(format!("Loss, mean over {SMOOTH} steps"), Axis::new("loss"), |course| &course.losses),
        draw(format!("{score} on validation data"), Axis::between(score, 0.0, 1.1 * best), |course| {
            &course.scores
        }),
    ]
}

/// Both figures as the content of one SVG file.
pub fn curves_file(course: Course, score: &str) -> String {
    Svg::stacked("The course of training", &curves(&[course], score)).file()
}
