//! mmcv's state dicts, loaded by mmcv's names: every golden case of its module gives mmcv's output, or the formula's where
//! mmcv departs from it.

#[allow(dead_code, reason = "the example's own main")]
#[path = "../examples/mmcv_weights.rs"]
mod mmcv_weights;

use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;
use termwise::models::layers::{MmcvAttention, TransformerAttention2d};
use termwise::prelude::*;

use mmcv_weights::{case, largest_difference};

/// The names of the golden cases of an operation, and the configuration that each file states.
fn cases(op: &str) -> Vec<(String, MmcvAttention, bool)> {
    let folder = case("x").parent().expect("a folder").to_owned();
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the fixtures are there") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned();
        if !name.starts_with(&format!("{op}__")) {
            continue;
        }
        let bytes = std::fs::read(&path).expect("it can be read");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a whole file");
        let metadata = header.metadata().as_ref().expect("it has attributes");
        let attributes: Value = serde_json::from_str(&metadata["attrs"]).expect("JSON");
        let whole = |key: &str| attributes[key].as_i64().unwrap_or_else(|| panic!("{name}: no {key}"));
        let positive = |key: &str| usize::try_from(whole(key)).ok().filter(|_| whole(key) > 0);
        let mmcv = MmcvAttention {
            in_channels: whole("in_channels") as usize,
            position_embedding_dim: positive("position_embedding_dim"),
            position_magnitude: attributes["position_magnitude"].as_f64().expect("a number"),
            num_heads: whole("num_heads") as usize,
            kv_stride: whole("kv_stride") as usize,
            q_stride: whole("q_stride") as usize,
            spatial_range: usize::try_from(whole("spatial_range")).ok(),
            attention_type: attributes["attention_type"].as_str().expect("a code").parse().expect("a code"),
        };
        cases.push((name, mmcv, metadata["dtype"] == "f64"));
    }
    cases
}

#[test]
fn every_golden_case_gives_the_output_of_mmcv() {
    let cases = cases("generalized_attention");
    assert!(cases.len() >= 55, "{}", cases.len());
    for (name, mmcv, double) in cases {
        let (difference, allowed) = match double {
            true => (largest_difference::<f64>(&case(&name), &mmcv), 1e-10),
            false => (largest_difference::<f32>(&case(&name), &mmcv), 2e-5),
        };
        let difference = difference.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(difference < allowed, "{name}: differs by {difference:e}");
    }
}

#[test]
fn what_mmcv_computes_without_the_position_only_term_is_not_the_formula() {
    let cases = cases("generalized_attention_mmcv_literal");
    assert_eq!(cases.len(), 2);
    for (name, mmcv, _) in cases {
        let difference = largest_difference::<f64>(&case(&name), &mmcv).expect("it loads");
        assert!(difference > 0.01, "{name}: differs by {difference:e}");
    }
}

fn refusal(path: &Path, prefix: &str, mmcv: &MmcvAttention) -> String {
    let loaded = TransformerAttention2d::from_mmcv(path, prefix, mmcv, &Cpu::<f32>::new());
    loaded.err().expect("it does not fit").to_string()
}

#[test]
fn what_does_not_fit_is_named() {
    let (path, mmcv) = (case("generalized_attention__055_1111_f32"), |code: &str| MmcvAttention {
        num_heads: 2,
        ..MmcvAttention::new(8, code.parse().expect("a code"))
    });
    let all = mmcv("1111");
    let wide = MmcvAttention { in_channels: 16, ..all.clone() };
    for (refused, expected) in [
        (
            refusal(&path, "param.", &mmcv("1010")),
            "field param.appr_geom_fc_x.weight: expected no such tensor in a module 1010, found one",
        ),
        (
            refusal(&path, "head.", &all),
            "field head.query_conv.weight: expected F32 or F64, 64 elements for [8, 8], found no such tensor",
        ),
        (
            refusal(&path, "param.", &wide),
            "field param.query_conv.weight: expected F32 or F64, 256 elements for [16, 16], found F32 [8, 8, 1, 1]",
        ),
        (
            refusal(Path::new("absent"), "", &all),
            "absent: cannot read: No such file or directory (os error 2)",
        ),
    ] {
        assert!(refused.ends_with(expected), "{refused}");
    }
}
