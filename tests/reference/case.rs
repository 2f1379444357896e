//! One case while its adapter runs: what it hands out, what it compares, what was left unread.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{ArrayD, Dimension, IxDyn};
use serde_json::Value;
use termwise_autograd::{Array, Scalar, Tape, Var};
use termwise_ops::Kernels;

use crate::attrs::Attrs;
use crate::entry::{CaseFile, Entry};
use crate::tolerance::{Tolerance, index_of};

/// A case in progress, in the number type that it asks for.
pub struct Case<B: Kernels> {
    /// Its attributes.
    pub attrs: Attrs,
    op: String,
    number: String,
    large: bool,
    backend: B,
    tape: Tape<B>,
    entries: BTreeMap<String, Entry>,
    read: BTreeSet<String>,
    leaves: Vec<(String, Var<B>)>,
    outputs: Vec<(Var<B>, Array<B>)>,
    outcome: Outcome,
}

/// What came of a case.
#[derive(Default)]
pub struct Outcome {
    /// Tensor (or attribute) and what is wrong with it.
    pub failures: Vec<(String, String)>,
    /// Tensors compared.
    pub compared: usize,
    /// Largest error as a share of its tolerance.
    pub worst: f64,
    /// The tensor that has it.
    pub worst_at: String,
}

impl<B: Kernels> Case<B> {
    /// A case before its adapter; `tags` are the words of the file name after the number.
    pub fn new(backend: B, file: CaseFile, tags: &[&str]) -> Self {
        Case {
            attrs: Attrs::new(file.attrs),
            op: file.op,
            number: tags.first().map_or(String::new(), |number| number.to_string()),
            large: tags.contains(&"large"),
            tape: Tape::new(backend.clone()),
            backend,
            entries: file.entries,
            read: BTreeSet::new(),
            leaves: Vec::new(),
            outputs: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    /// The tape that everything of this case is on.
    pub fn tape(&self) -> &Tape<B> {
        &self.tape
    }

    /// What it runs on.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Whether there is a tensor of this full name, such as `in.xk`.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Names of the entries that start with `prefix`, without it.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.entries.keys().filter_map(|name| name.strip_prefix(prefix)).map(str::to_string).collect()
    }

    fn entry(&mut self, name: &str) -> Entry {
        self.read.insert(name.to_string());
        self.entries.get(name).unwrap_or_else(|| panic!("the case has no tensor `{name}`")).clone()
    }

    /// `in.<name>`: a leaf if the case has a gradient for it, else a constant.
    pub fn input(&mut self, name: &str) -> Var<B> {
        self.leaf(&format!("in.{name}"))
    }

    /// `param.<name>`, likewise.
    pub fn param(&mut self, name: &str) -> Var<B> {
        self.leaf(&format!("param.{name}"))
    }

    /// `param.<name>` where `there` says so, as an attribute does for a bias.
    pub fn param_if(&mut self, there: bool, name: &str) -> Option<Var<B>> {
        there.then(|| self.param(name))
    }

    /// `param.<name>` where the attribute is true; without that attribute, where the case has it.
    pub fn optional_param(&mut self, attribute: &str, name: &str) -> Option<Var<B>> {
        let there = self.attrs.flag_or(attribute, self.has(&format!("param.{name}")));
        self.param_if(there, name)
    }

    fn leaf(&mut self, name: &str) -> Var<B> {
        if let Some((_, var)) = self.leaves.iter().find(|(leaf, _)| leaf == name) {
            return var.clone();
        }
        let value = self.array(name);
        if !self.has(&format!("grad.{name}")) {
            return self.tape.constant(value);
        }
        let var = self.tape.leaf(value);
        self.leaves.push((name.to_string(), var.clone()));
        var
    }

    /// The floats of a tensor given by its full name, off the tape.
    pub fn numbers(&mut self, name: &str) -> ArrayD<f64> {
        match self.entry(name) {
            Entry::Float(array) => array,
            _ => panic!("tensor `{name}`: expected floating-point numbers"),
        }
    }

    /// The same where the case runs.
    pub fn array(&mut self, name: &str) -> Array<B> {
        let numbers = self.numbers(name);
        self.place(&numbers)
    }

    /// Numbers, brought to where the case runs.
    pub fn place(&self, numbers: &ArrayD<f64>) -> Array<B> {
        Array::from_f64(&self.backend, numbers)
    }

    /// `in.<name>` as whole numbers (I64 or U8).
    pub fn whole(&mut self, name: &str) -> ArrayD<i64> {
        match self.entry(&format!("in.{name}")) {
            Entry::Whole(array) => array,
            Entry::Byte(array) => array.mapv(i64::from),
            _ => panic!("tensor `in.{name}`: expected whole numbers"),
        }
    }

    /// `in.<name>` as a mask (U8, 0 or 1).
    pub fn mask(&mut self, name: &str) -> ArrayD<bool> {
        match self.entry(&format!("in.{name}")) {
            Entry::Byte(array) if array.iter().all(|&b| b <= 1) => array.mapv(|b| b == 1),
            _ => panic!("tensor `in.{name}`: expected a mask of U8, 0 or 1"),
        }
    }

    /// `in.<name>` as a mask where `there` says so.
    pub fn mask_if(&mut self, there: bool, name: &str) -> Option<ArrayD<bool>> {
        there.then(|| self.mask(name))
    }

    /// A member of a JSON case by its full name, such as `in.gt`.
    pub fn json(&mut self, name: &str) -> Value {
        match self.entry(name) {
            Entry::Json(value) => value,
            _ => panic!("`{name}`: expected a JSON value"),
        }
    }

    /// Compares a differentiable output with `out.<name>`, and back-propagates `cot.<name>` from it
    /// where the case has one.
    pub fn output(&mut self, name: &str, var: &Var<B>) {
        self.value(name, &var.value().to_f64());
        let cotangent = format!("cot.{name}");
        if self.has(&cotangent) {
            let cotangent = self.array(&cotangent);
            self.outputs.push((var.clone(), cotangent));
        }
    }

    /// Compares `out.y` with `f` of the input `name`.
    pub fn map(&mut self, name: &str, f: impl Fn(&Var<B>) -> Var<B>) {
        let y = f(&self.input(name));
        self.output("y", &y);
    }

    /// Compares `out.<name>`, which has no cotangent.
    pub fn value<D: Dimension>(&mut self, name: &str, found: &ndarray::Array<f64, D>) {
        self.compare(&format!("out.{name}"), &found.clone().into_dyn(), None);
    }

    /// Compares `out.<name>` within an absolute tolerance of its own.
    pub fn value_within<D: Dimension>(&mut self, name: &str, found: &ndarray::Array<f64, D>, absolute: f64) {
        let tolerance = Tolerance { absolute, relative: 0.0 };
        self.compare(&format!("out.{name}"), &found.clone().into_dyn(), Some(tolerance));
    }

    /// Compares whole numbers `out.<name>` (I64 or U8): all must be equal.
    pub fn exact<D: Dimension>(&mut self, name: &str, found: &ndarray::Array<i64, D>) {
        let name = format!("out.{name}");
        let expected = match self.entry(&name) {
            Entry::Whole(array) => array,
            Entry::Byte(array) => array.mapv(i64::from),
            _ => return self.fail(&name, "expected whole numbers in the file".to_string()),
        };
        self.outcome.compared += 1;
        if found.shape() != expected.shape() {
            return self
                .fail(&name, format!("shape: got {:?}, expected {:?}", found.shape(), expected.shape()));
        }
        if let Some(i) = found.iter().zip(&expected).position(|(f, e)| f != e) {
            let (index, pick) = (index_of(i, expected.shape()), |a: Option<&i64>| a.copied().unwrap_or(0));
            let (got, expected) = (pick(found.iter().nth(i)), pick(expected.iter().nth(i)));
            self.fail(&name, format!("at {index:?}: got {got}, expected {expected}, exactly"));
        }
    }

    /// Compares `out.<name>` of a JSON case: the same members and lengths, equal strings, numbers
    /// within an absolute tolerance.
    pub fn json_value(&mut self, name: &str, found: &Value, absolute: f64) {
        let name = format!("out.{name}");
        let expected = self.json(&name);
        self.outcome.compared += 1;
        self.json_tree(&name, found, &expected, absolute);
    }

    fn json_tree(&mut self, path: &str, found: &Value, expected: &Value, absolute: f64) {
        match (found, expected) {
            (Value::Number(f), Value::Number(e)) => {
                let values = f.as_f64().zip(e.as_f64());
                let (f, e) = values.unwrap_or((f64::NAN, f64::NAN));
                let tolerance = Tolerance { absolute, relative: 0.0 };
                let share = tolerance.worst(&[f], &[e]).expect("one").1;
                self.note_share(path, share);
                if share > 1.0 {
                    self.fail(path, format!("got {f:e}, expected {e:e}, error {share:.3e} x tolerance"));
                }
            }
            (Value::Array(f), Value::Array(e)) if f.len() == e.len() => {
                for (i, (f, e)) in f.iter().zip(e).enumerate() {
                    self.json_tree(&format!("{path}[{i}]"), f, e, absolute);
                }
            }
            (Value::Object(f), Value::Object(e)) if f.keys().eq(e.keys()) => {
                for ((key, f), e) in f.iter().zip(e.values()) {
                    self.json_tree(&format!("{path}.{key}"), f, e, absolute);
                }
            }
            (f, e) if f == e => {}
            (f, e) => self.fail(path, format!("got {f}, expected {e}")),
        }
    }

    /// Requires that an attribute agrees with what it describes.
    pub fn expect<V: PartialEq + std::fmt::Debug>(&mut self, attribute: &str, stated: V, found: V) {
        if stated != found {
            self.fail(attribute, format!("attribute says {stated:?}, the tensors {found:?}"));
        }
    }

    /// Records that something is wrong.
    pub fn fail(&mut self, tensor: &str, message: String) {
        self.outcome.failures.push((tensor.to_string(), message));
    }

    /// Compares two arrays that the adapter made itself, at the tolerance of outputs.
    pub fn agree(&mut self, what: &str, found: &ArrayD<f64>, expected: &ArrayD<f64>) {
        self.compare_with(what, found, expected, None);
    }

    fn note_share(&mut self, name: &str, share: f64) {
        if share > self.outcome.worst {
            (self.outcome.worst, self.outcome.worst_at) = (share, name.to_string());
        }
    }

    fn compare(&mut self, name: &str, found: &ArrayD<f64>, tolerance: Option<Tolerance>) {
        let expected = self.numbers(name);
        self.compare_with(name, found, &expected, tolerance);
    }

    fn compare_with(
        &mut self,
        name: &str,
        found: &ArrayD<f64>,
        expected: &ArrayD<f64>,
        tolerance: Option<Tolerance>,
    ) {
        self.outcome.compared += 1;
        if found.shape() != expected.shape() {
            return self
                .fail(name, format!("shape: got {:?}, expected {:?}", found.shape(), expected.shape()));
        }
        let max = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let tolerance = tolerance.unwrap_or_else(|| {
            let is_f32 = <B::Scalar as Scalar>::NAME == "f32";
            Tolerance::of(&self.op, self.large, name, is_f32, max).of_inexact(&self.op, &self.number, name)
        });
        let found: Vec<f64> = found.iter().copied().collect();
        let expected_values: Vec<f64> = expected.iter().copied().collect();
        let Some((i, share)) = tolerance.worst(&found, &expected_values) else { return };
        self.note_share(name, share);
        if share > 1.0 {
            let shares = found.iter().zip(&expected_values);
            let wrong = shares.filter(|(f, e)| tolerance.worst(&[**f], &[**e]).expect("one").1 > 1.0);
            let (got, expected, index) = (found[i], expected_values[i], index_of(i, expected.shape()));
            let message = format!(
                "at {index:?}: got {got:e}, expected {expected:e}, error {share:.3e} x tolerance; {} of {} elements are off",
                wrong.count(),
                found.len()
            );
            self.fail(name, message);
        }
    }

    /// Back-propagates all cotangents together, compares every gradient, and lists what nobody read.
    pub fn finish(mut self) -> Outcome {
        if !self.outputs.is_empty() {
            let outputs: Vec<_> = self.outputs.iter().map(|(var, cot)| (var, cot.clone())).collect();
            let gradients = self.tape.backward_with(&outputs);
            for (name, leaf) in std::mem::take(&mut self.leaves) {
                // A leaf that no output depends on has the gradient 0.
                let zeros = || ArrayD::zeros(IxDyn(leaf.shape()));
                let found = gradients.of(&leaf).map_or_else(zeros, Array::to_f64);
                self.compare(&format!("grad.{name}"), &found, None);
            }
        }
        let unread: Vec<String> = self.entries.keys().filter(|n| !self.read.contains(*n)).cloned().collect();
        for name in unread {
            self.fail(&name, "is in the case, but the test never read it".to_string());
        }
        for key in self.attrs.unread() {
            self.fail(&key, "is an attribute that the test does not know".to_string());
        }
        if self.outcome.compared == 0 {
            self.fail("out", "nothing was compared".to_string());
        }
        self.outcome
    }
}
