//! Translation as a part of a study.

use serde_json::{Map, Value, json};
use termwise_datasets::translation::TokenPair;
use termwise_models::training::Task;
use termwise_models::translation::TranslationTask;
use termwise_ops::Kernels;
use termwise_ops::metrics::{BleuOptions, sentence_statistics};

use super::train::Settings;
use crate::cli::fault::Fault;
use crate::cli::settings::Origin;
use crate::cli::study::Worker;
use crate::study::{Evidence, Run, RunId, TaskPlan};

/// The settings of a run, or what is wrong with those of the plan.
pub fn settings(plan: &TaskPlan, id: &RunId, origin: Origin) -> Result<Settings, Fault> {
    let own = json!({
        "data": plan.data,
        "translation": {
            "seed": id.seed,
            "model": {
                "attention": id.configuration.attention,
                "limit_range": id.configuration.limit_range,
                "cross": id.configuration.cross,
            },
        },
    });
    Settings::of_table(origin, plan.settings.clone(), &own)
}

/// Whether the data can be read.
pub fn check_data(plan: &TaskPlan, id: &RunId, origin: Origin) -> Result<Map<String, Value>, Fault> {
    let settings = settings(plan, id, origin)?;
    let (train, validation) = settings.texts()?;
    let (source, target) = train.languages();
    let facts = json!({
        "training": train.len(), "validation": validation.len(),
        "languages": format!("{source}-{target}"),
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
    let (train, validation) = settings.texts()?;
    let search = settings.translation.search;
    let task = TranslationTask::new(backend, &train, &validation, settings.translation)
        .map_err(|error| Fault::Input(error.to_string()))?;
    // A sentence of mean length stands for all.
    let pairs = TokenPair::encode_all(&validation, &task.config().bpe);
    let mean = |of: fn(&TokenPair) -> usize| pairs.iter().map(of).sum::<usize>().div_ceil(pairs.len());
    let flops = task.model().attention_flops(mean(|pair| pair.source.len()), mean(|pair| pair.target.len()));
    worker.train(
        task,
        &settings.recipe,
        flops,
        |score| score.bleu,
        |task| {
            let (score, translations) = task.evaluate_on(&validation, &search);
            let options = BleuOptions { lowercase: true, ..BleuOptions::default() };
            let sentences = sentence_statistics(&translations, validation.target(), &options);
            let figures = [("cased BLEU", score.bleu_cased), ("negative log-likelihood", score.nll)];
            (Evidence::Translation(sentences), figures.into())
        },
    )
}
