//! What there is to ask for.

use serde_json::{Map, Value, json};
use termwise_datasets::probe::ProbeTask;
use termwise_models::probe::ProbeMechanism;

use super::engine::{JSON_BYTES, UPLOAD_BYTES};
use super::scene::{PICTURE, SCENES, SIZE};

/// What a mechanism does, in a few words.
fn mechanism(mechanism: &ProbeMechanism) -> Value {
    let (code, explanation) = (mechanism.to_string(), mechanism.explanation());
    let (kind, name) = match mechanism {
        ProbeMechanism::Transformer(terms) => {
            let on = terms.flags().into_iter().zip(["E1", "E2", "E3", "E4"]);
            let on: Vec<&str> = on.filter(|(on, _)| *on).map(|(_, name)| name).collect();
            ("transformer", if on.is_empty() { "uniform averaging".to_owned() } else { on.join(" + ") })
        }
        ProbeMechanism::Regular => ("regular", "regular convolution".to_owned()),
        ProbeMechanism::Deformable => ("deformable", "deformable convolution".to_owned()),
        ProbeMechanism::Dynamic => ("dynamic", "dynamic convolution".to_owned()),
    };
    json!({"code": code, "name": name, "kind": kind, "explanation": explanation})
}

fn task(task: ProbeTask) -> Value {
    let title = match task {
        ProbeTask::Match => "Find the cell whose symbol the query asks for",
        ProbeTask::PointNear => "Look one cell away where the query points",
        ProbeTask::PointFar => "Look three cells away where the query points",
        ProbeTask::Spotlight => "Find the one cell that is lit",
        ProbeTask::ShiftNear => "Copy from one up and one right",
        ProbeTask::ShiftFar => "Copy from three down and two left",
    };
    json!({"name": task.name(), "title": title})
}

/// The files that compute what the panels show and those that check them, as they were built in, by path.
fn built_in() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let own = &("src/explore/lesson.rs", include_str!("lesson.rs"));
    termwise_ops::sources::SOURCES.iter().chain(termwise_models::sources::SOURCES).chain([own])
}

/// The text of one of the files that [`fixed`] names.
pub fn source(path: &str) -> Option<&'static str> {
    built_in().find(|(other, _)| *other == path).map(|(_, text)| *text)
}

/// All of these files by their paths.
pub fn sources() -> Value {
    built_in().map(|(path, text)| ((*path).to_owned(), Value::from(*text))).collect::<Map<_, _>>().into()
}

/// The file that computes what a panel shows, and the one that its gradient is checked with.
fn files() -> Value {
    let of = |source: &str, check: &str| json!({"source": source, "check": check});
    let attention = |source: &str, check: &str| {
        of(&format!("ops/src/attention/{source}.rs"), &format!("ops/src/attention/{check}_cases.rs"))
    };
    json!({
        "attention": attention("transformer", "transformer"),
        "formula": attention("definition", "transformer"),
        "sixteen": attention("transformer", "transformer"),
        "compare": attention("transformer", "transformer"),
        "cards": attention("transformer", "transformer"),
        "input": of("src/explore/lesson.rs", "ops/src/attention/transformer_cases.rs"),
        "backward": of("ops/src/attention/transformer_simple.rs", "ops/tests/gradients.rs"),
        "deformable": attention("deformable_conv", "deformable_conv"),
        "dynamic": attention("dynamic_conv_2d", "dynamic_conv"),
        "matrix": of("ops/src/attention/definition.rs", "ops/tests/definition/main.rs"),
        "training": of("models/src/probe/train.rs", "ops/tests/gradients.rs"),
        "text": of("models/src/translation/layer.rs", "ops/src/attention/transformer_cases.rs"),
        "checkpoint": attention("transformer", "transformer"),
    })
}

/// What does not change while the server runs.
pub fn fixed() -> Value {
    let combinations = [
        ("dynamic+deformable", "dynamic and deformable convolution"),
        ("0010+deformable", "E3 and deformable convolution"),
        ("0010+dynamic", "E3 and dynamic convolution"),
        ("1111+deformable", "all terms and deformable convolution"),
    ];
    let combinations =
        combinations.map(|(code, name)| json!({"code": code, "name": name, "kind": "combination"}));
    let mechanisms: Vec<Value> = ProbeMechanism::all().iter().map(mechanism).chain(combinations).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "address_of_source": null,
        "mechanisms": mechanisms,
        "scenes": SCENES.map(|(name, title)| json!({"name": name, "title": title})),
        "tasks": ProbeTask::ALL.map(task),
        "files": files(),
        "sources": true,
        "limits": {
            "size": SIZE,
            "picture_size": PICTURE,
            "matrix_size": 12,
            "upload_bytes": UPLOAD_BYTES,
            "question_bytes": JSON_BYTES,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_is_named_is_there() {
        for (panel, files) in files().as_object().unwrap() {
            for path in files.as_object().unwrap().values() {
                assert!(source(path.as_str().unwrap()).is_some(), "{panel}: {path}");
            }
        }
    }
}
