//! Detection as a part of a study.

use serde_json::{Map, Value, json};
use termwise_models::detection::{DetectionTask, detect, judge};
use termwise_models::training::Task;
use termwise_ops::Kernels;

use super::train::Settings;
use crate::cli::fault::Fault;
use crate::cli::settings::Origin;
use crate::cli::study::Worker;
use crate::study::{Evidence, Run, RunId, TaskPlan};

/// The settings of a run, or what is wrong with those of the plan.
pub fn settings(plan: &TaskPlan, id: &RunId, origin: Origin) -> Result<Settings, Fault> {
    let own = json!({
        "data": plan.data,
        "detection": {
            "attention": id.configuration.attention,
            "limit_range": id.configuration.limit_range,
            "seed": id.seed,
        },
    });
    Settings::of_table(origin, plan.settings.clone(), &own)
}

/// Whether the data can be read.
pub fn check_data(plan: &TaskPlan, id: &RunId, origin: Origin) -> Result<Map<String, Value>, Fault> {
    let settings = settings(plan, id, origin)?;
    let (classes, [train, validation]) = settings.data()?;
    let facts = json!({
        "training": train.len(), "validation": validation.len(),
        "side": settings.detection.side, "classes": classes.len(),
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
    let (classes, [train, validation]) = settings.data()?;
    let size = validation[0].size();
    let task = DetectionTask::new(backend, settings.detection, classes, train, validation);
    let flops = task.model().attention_flops(size);
    worker.train(
        task,
        &settings.recipe,
        flops,
        |score| 100.0 * score.stats.ap,
        |task| {
            let detector = task.model();
            let judged =
                judge(&detector.config().classes, task.validation(), &detect(detector, task.validation()));
            let figures = [("AP50", 100.0 * judged.ap50(&vec![1; judged.num_images()]))];
            (Evidence::Detection(judged), figures.into())
        },
    )
}
