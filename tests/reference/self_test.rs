//! The runner itself: everything that it must not let pass, on folders made for the purpose.

use std::collections::HashMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use termwise_autograd::Cpu;

use crate::adapters::Adapters;
use crate::folder::run;
use crate::report::Report;
use crate::tolerance::Tolerance;

/// The good case that each test spoils: y = relu(x) on [[0.5, -1], [2, -3]].
struct Made {
    op: &'static str,
    attrs: Value,
    dtype: &'static str,
    tensors: Vec<(&'static str, Vec<f64>)>,
}

impl Made {
    fn relu() -> Self {
        let tensors = vec![
            ("in.x", vec![0.5, -1.0, 2.0, -3.0]),
            ("out.y", vec![0.5, 0.0, 2.0, 0.0]),
            ("cot.y", vec![3.0, 4.0, 5.0, 6.0]),
            ("grad.in.x", vec![3.0, 0.0, 5.0, 0.0]),
        ];
        Made { op: "relu", attrs: json!({}), dtype: "f64", tensors }
    }

    fn set(mut self, tensor: &str, index: usize, value: f64) -> Self {
        let (_, values) = self.tensors.iter_mut().find(|(name, _)| *name == tensor).expect("there");
        values[index] = value;
        self
    }

    fn without(mut self, tensor: &str) -> Self {
        self.tensors.retain(|(name, _)| *name != tensor);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let data: Vec<Vec<u8>> = self
            .tensors
            .iter()
            .map(|(_, values)| match self.dtype {
                "f32" => values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
                _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            })
            .collect();
        let dtype = if self.dtype == "f32" { Dtype::F32 } else { Dtype::F64 };
        let views = self.tensors.iter().zip(&data).map(|((name, values), data)| {
            let shape = if values.len() == 4 { vec![2, 2] } else { vec![values.len()] };
            (*name, TensorView::new(dtype, shape, data).expect("a valid tensor"))
        });
        let metadata = HashMap::from([
            ("format".to_string(), "1".to_string()),
            ("op".to_string(), self.op.to_string()),
            ("attrs".to_string(), self.attrs.to_string()),
            ("dtype".to_string(), self.dtype.to_string()),
        ]);
        safetensors::serialize(views, Some(metadata)).expect("serialisable")
    }
}

/// A folder of these files, and a manifest if it says so.
fn folder(files: &[(&str, Vec<u8>)], manifest: Option<Value>) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).expect("writable");
    }
    if let Some(manifest) = manifest {
        std::fs::write(folder.path().join("manifest.json"), manifest.to_string()).expect("writable");
    }
    folder
}

fn report_of(path: &Path) -> Report {
    run(path, &Adapters::all(Cpu::<f32>::new(), Cpu::<f64>::new()))
}

/// Runs one case in a folder without a manifest.
fn outcome(made: Made) -> Report {
    report_of(folder(&[("case__000.safetensors", made.bytes())], None).path())
}

#[track_caller]
fn assert_fails(report: &Report, tensor: &str, message: &str) {
    assert!(!report.is_success(), "this must fail");
    assert!(
        report.failures().iter().any(|f| f.tensor == tensor && f.message.contains(message)),
        "no failure of {tensor:?} with {message:?} in\n{report}"
    );
}

#[test]
fn a_good_case_passes_and_is_counted() {
    let report = outcome(Made::relu());
    assert!(report.is_success(), "{report}");
    assert_eq!(report.totals(), (1, 1));
    assert!(report.to_string().contains("relu"), "{report}");
}

#[test]
fn an_unread_tensor_fails() {
    let mut made = Made::relu();
    made.tensors.push(("in.extra", vec![1.0]));
    assert_fails(&outcome(made), "in.extra", "never read");
    // Also an output that the operation does not have, and a gradient of what is no input.
    for name in ["out.z", "grad.in.z", "grad.param.weight", "cot.z"] {
        let mut made = Made::relu();
        made.tensors.push((name, vec![1.0]));
        assert_fails(&outcome(made), name, "never read");
    }
}

#[test]
fn a_missing_tensor_fails() {
    assert_fails(&outcome(Made::relu().without("in.x")), "", "the case has no tensor `in.x`");
    assert_fails(&outcome(Made::relu().without("out.y")), "", "the case has no tensor `out.y`");
    // A gradient without a cotangent cannot be met by back-propagating nothing.
    assert!(!outcome(Made::relu().without("cot.y")).is_success());
}

#[test]
fn an_unknown_operation_fails() {
    let report = outcome(Made { op: "relu7", ..Made::relu() });
    assert_fails(&report, "op", "`relu7` is not known");
    assert_eq!(report.totals(), (0, 1));
}

#[test]
fn an_unknown_attribute_fails() {
    let report = outcome(Made { attrs: json!({"inplace": true}), ..Made::relu() });
    assert_fails(&report, "inplace", "attribute that the test does not know");
}

#[test]
fn an_attribute_of_the_wrong_type_fails() {
    let report = outcome(Made { op: "softmax", attrs: json!({"dim": "last"}), ..Made::relu() });
    assert_fails(&report, "", "attribute `dim`: expected a whole number in range, found \"last\"");
}

#[test]
fn an_empty_or_absent_folder_fails() {
    let empty = folder(&[], None);
    let report = report_of(empty.path());
    assert!(!report.is_success() && report.failures()[0].message == "holds no case", "{report}");
    // Other files do not make it less empty, an empty manifest neither.
    let report = report_of(folder(&[("README.md", b"no cases".to_vec())], Some(json!([]))).path());
    assert!(!report.is_success(), "{report}");
    let report = report_of(&empty.path().join("nowhere"));
    assert!(report.failures()[0].message.contains("cannot be read"), "{report}");
}

#[test]
fn twice_the_tolerance_fails_and_half_of_it_passes() {
    for (dtype, tolerance, max) in [("f64", 1e-10 + 1e-9 * 2.0, 0.0), ("f32", 1e-7 + 1e-5 * 2.0, 1e-5 * 2.0)]
    {
        let off = |by: f64| Made { dtype, ..Made::relu().set("out.y", 2, 2.0 + by * (tolerance + max)) };
        assert!(outcome(off(0.5)).is_success(), "{dtype}");
        assert_fails(&outcome(off(2.0)), "out.y", "at [1, 0]: got 2e0, expected 2.0");
        assert_fails(&outcome(off(-2.0)), "out.y", "1 of 4 elements are off");
    }
    let tolerance = 1e-10 + 1e-9 * 5.0;
    assert!(outcome(Made::relu().set("grad.in.x", 2, 5.0 + 0.5 * tolerance)).is_success());
    assert_fails(&outcome(Made::relu().set("grad.in.x", 2, 5.0 + 2.0 * tolerance)), "grad.in.x", "at [1, 0]");
}

#[test]
fn nan_fails_on_either_side() {
    assert_fails(&outcome(Made::relu().set("out.y", 1, f64::NAN)), "out.y", "expected NaN");
    assert_fails(&outcome(Made::relu().set("in.x", 0, f64::NAN)), "out.y", "got NaN");
    // The same NaN on both sides is no agreement, an infinity neither.
    let both = Made::relu().set("in.x", 0, f64::NAN).set("out.y", 0, f64::NAN);
    assert_fails(&outcome(both), "out.y", "got NaN, expected NaN");
    let both = Made::relu().set("in.x", 0, f64::INFINITY).set("out.y", 0, f64::INFINITY);
    assert_fails(&outcome(both), "out.y", "got inf, expected inf");
}

#[test]
fn a_wrong_shape_or_type_fails() {
    let mut made = Made::relu().without("out.y");
    made.tensors.push(("out.y", vec![0.5, 0.0]));
    assert_fails(&outcome(made), "out.y", "shape: got [2, 2], expected [2]");
    let bytes = Made::relu().bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let at = text.find("\"f64\"").expect("the metadata is plain text");
    let mut lying = bytes.clone();
    lying[at..at + 5].copy_from_slice(b"\"f32\"");
    let report = report_of(folder(&[("case__000.safetensors", lying)], None).path());
    assert!(report.to_string().contains("a tensor of F64 in a case of f32"), "{report}");
    let report = report_of(folder(&[("case__000.safetensors", bytes[..40].to_vec())], None).path());
    assert!(report.to_string().contains("not safetensors"), "{report}");
}

#[test]
fn one_bad_case_does_not_hide_the_others() {
    let files = [
        ("a__000.safetensors", Made::relu().without("in.x").bytes()),
        ("b__001.safetensors", Made::relu().set("out.y", 0, 1.0).bytes()),
        ("c__002.safetensors", Made::relu().bytes()),
    ];
    let report = report_of(folder(&files, None).path());
    assert_eq!((report.totals(), report.num_failures()), ((1, 3), 2), "{report}");
}

/// A manifest entry that fits the case.
fn entry(file: &str, made: &Made, bytes: &[u8]) -> Value {
    let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let tensors: serde_json::Map<String, Value> =
        made.tensors.iter().map(|(name, _)| (name.to_string(), json!(["F64", [2, 2]]))).collect();
    json!({
        "file": file, "op": made.op, "attrs": made.attrs, "dtype": made.dtype,
        "sha256": hash, "bytes": bytes.len(), "tensors": tensors, "source": "made up",
    })
}

#[test]
fn the_manifest_and_the_folder_must_agree() {
    let made = Made::relu();
    let file = "case__000.safetensors";
    let bytes = made.bytes(); // once: the order of the metadata is not fixed
    let good = entry(file, &made, &bytes);
    let with = |manifest: Value| report_of(folder(&[(file, bytes.clone())], Some(manifest)).path());
    assert!(with(json!([good])).is_success(), "{}", with(json!([good])));
    // Only what the manifest states is checked.
    assert!(with(json!([{"file": file}])).is_success());

    let report = with(json!([]));
    assert!(report.failures()[0].message.contains("but not in the manifest"), "{report}");
    let report = with(json!([good, entry("gone__001.safetensors", &made, &bytes)]));
    assert!(report.failures()[0].message.contains("but not in the folder"), "{report}");
    assert_eq!(report.totals(), (1, 1), "the case that is there still runs");
    let report = with(json!([good, good]));
    assert!(report.failures()[0].message.contains("listed twice"), "{report}");
    assert!(!with(json!({"file": file})).is_success(), "a manifest is a list");

    let spoilt = [
        ("sha256", json!("00")),
        ("bytes", json!(1)),
        ("op", json!("gelu")),
        ("attrs", json!({"dim": 1})),
        ("dtype", json!("f32")),
        ("tensors", json!({"in.x": ["F64", [4]]})),
    ];
    for (key, value) in spoilt {
        let mut bad = good.clone();
        bad[key] = value;
        assert_fails(&with(json!([bad])), &format!("manifest {key}"), "the file has");
    }
}

/// A JSON case of BLEU on one sentence that is its own reference.
fn bleu(edit: impl Fn(&mut Value)) -> Report {
    let line = "the cat sat on the mat";
    let mut case = json!({
        "format": "1", "op": "bleu", "attrs": {"tokenize": "13a"}, "source": "by hand",
        "in": {"hypotheses": [line], "references": [[line]]},
        "out": {"score": 100.0, "counts": [6, 5, 4, 3], "tokenized_hypotheses": [line]},
    });
    edit(&mut case);
    report_of(folder(&[("bleu__000.json", case.to_string().into_bytes())], None).path())
}

#[test]
fn json_cases_are_as_strict() {
    assert!(bleu(|_| {}).is_success(), "{}", bleu(|_| {}));
    assert!(bleu(|case| case["out"]["score"] = json!(100.0 + 5e-10)).is_success());
    assert_fails(&bleu(|case| case["out"]["score"] = json!(100.0 + 2e-9)), "out.score", "expected 1.0000000");
    assert_fails(&bleu(|case| case["out"]["counts"][2] = json!(5)), "out.counts[2]", "got 4e0, expected 5e0");
    assert_fails(&bleu(|case| case["out"]["counts"] = json!([6, 5, 4])), "out.counts", "expected [6,5,4]");
    assert_fails(
        &bleu(|case| case["out"]["tokenized_hypotheses"][0] = json!("the")),
        "out.tokenized_hypotheses[0]",
        "",
    );
    assert_fails(&bleu(|case| case["out"]["chrf"] = json!(1.0)), "out.chrf", "never read");
    assert_fails(&bleu(|case| case["in"]["sources"] = json!([])), "in.sources", "never read");
    assert_fails(&bleu(|case| case["attrs"]["tokenize"] = json!("zh")), "", "unknown tokenizer zh");
}

#[test]
fn looser_tolerances_hold_where_they_are_named_and_nowhere_else() {
    let tight = Tolerance { absolute: 1e-10, relative: 1e-9 };
    let of = |op, large, tensor| Tolerance::of(op, large, tensor, false, 50.0);
    assert_eq!(of("conv2d", true, "grad.in.x"), tight);
    assert_eq!(of("generalized_attention", false, "grad.in.x"), tight);
    assert_eq!(of("generalized_attention", true, "out.y"), tight);
    assert_eq!(of("generalized_attention", true, "grad.in.x").absolute, 1e-8 * 50.0);
    assert_eq!(of("transformer_attention_1d", false, "out.y"), tight);
    assert_eq!(of("transformer_attention_1d", false, "grad.param.u").absolute, 1e-10 * 50.0);
    assert_eq!(Tolerance::of("transformer_attention_1d", false, "grad.param.u", false, 0.1), tight);
    let f32_of = |op, tensor| Tolerance::of(op, false, tensor, true, 2.0).absolute;
    assert_eq!(f32_of("conv2d", "grad.param.weight"), 1e-7 + 1e-5 * 2.0);
    assert_eq!(f32_of("generalized_attention", "grad.in.x"), 1e-7 + 1e-5 * 2.0);
    assert_eq!(f32_of("generalized_attention", "grad.param.u"), 1e-7 + 3e-5 * 2.0);
}
