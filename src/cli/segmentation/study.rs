//! Segmentation as a part of a study.

use serde_json::{Map, Value, json};
use termwise_models::segmentation::{SegmentationTraining, evaluate};
use termwise_models::training::Task;
use termwise_ops::Kernels;

use super::train::Settings;
use crate::cli::fault::Fault;
use crate::cli::settings::Origin;
use crate::cli::study::Worker;
use crate::study::{Evidence, PixelCounts, Run, RunId, TaskPlan};

/// The settings of a run, or what is wrong with those of the plan.
pub fn settings(plan: &TaskPlan, id: &RunId, origin: Origin) -> Result<Settings, Fault> {
    let own = json!({
        "data": plan.data,
        "attention": id.configuration.attention,
        "limit_range": id.configuration.limit_range,
        "seed": id.seed,
    });
    Settings::of_table(origin, plan.settings.clone(), &own)
}

/// Whether the data can be read.
pub fn check_data(plan: &TaskPlan, id: &RunId, origin: Origin) -> Result<Map<String, Value>, Fault> {
    let data = settings(plan, id, origin)?.data()?;
    let (height, width) = data.train[0].size();
    let facts = json!({
        "training": data.train.len(), "validation": data.validation.len(),
        "size": format!("{height}x{width}"), "classes": data.classes.num_classes(),
    });
    Ok(facts.as_object().expect("an object").clone())
}

/// One run.
pub fn run<B: Kernels<Scalar = f32>>(
    backend: B,
    plan: &TaskPlan,
    worker: &Worker,
    origin: Origin,
) -> Result<Run, Fault> {
    let settings = settings(plan, &worker.id, origin)?;
    let data = settings.data()?;
    let config = settings.config;
    let task =
        SegmentationTraining::new(backend, config.clone(), &data.classes, &data.train, &data.validation);
    let flops = task.model().attention_flops();
    worker.train(
        task,
        &config.recipe,
        flops,
        |score| 100.0 * score.miou,
        |task| {
            let segmenter = task.model();
            let predicted = evaluate(segmenter, &data.validation, config.batch);
            let architecture = segmenter.config();
            let count = |(sample, map): (&termwise_datasets::Sample, &ndarray::Array2<u8>)| {
                PixelCounts::new(&sample.labels, map, architecture.classes.len(), architecture.ignore)
            };
            let pictures = data.validation.iter().zip(&predicted.predictions).map(count).collect();
            let figures = [("pixel accuracy", 100.0 * predicted.metrics.pixel_acc)];
            (Evidence::Segmentation(pictures), figures.into())
        },
    )
}
