//! What there is to ask for.

use serde_json::{Value, json};
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

/// The file that computes what a panel shows, and the one that its gradient is checked with.
fn files() -> Value {
    let attention = "ops/src/attention";
    let of = |source: &str, check: &str| json!({"source": source, "check": check});
    let transformer =
        of(&format!("{attention}/transformer.rs"), &format!("{attention}/transformer_cases.rs"));
    json!({
        "attention": transformer,
        "compare": transformer,
        "cards": transformer,
        "backward": of(&format!("{attention}/transformer_simple.rs"), "ops/tests/gradients.rs"),
        "deformable": of(&format!("{attention}/deformable_conv.rs"), &format!("{attention}/deformable_conv_cases.rs")),
        "dynamic": of(&format!("{attention}/dynamic_conv_2d.rs"), &format!("{attention}/dynamic_conv_cases.rs")),
        "matrix": of(&format!("{attention}/definition.rs"), "ops/tests/definition/main.rs"),
        "training": of("models/src/probe/train.rs", "ops/tests/gradients.rs"),
        "text": of("models/src/translation/layer.rs", &format!("{attention}/transformer_cases.rs")),
        "checkpoint": of("models/src/segmentation/model.rs", &format!("{attention}/transformer_cases.rs")),
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
        "limits": {
            "size": SIZE,
            "picture_size": PICTURE,
            "matrix_size": 12,
            "upload_bytes": UPLOAD_BYTES,
            "question_bytes": JSON_BYTES,
        },
    })
}
