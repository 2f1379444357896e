//! Properties that every gradient has, whatever its value.

use super::Samples;
use super::diagnose::say;
use super::examine::random;
use super::options::Check;
use super::problem::{Gradient, Problem, gradient_of};
use super::report::{DiagnosisKind, InputReport, Law, LawReport, Verdict};
use super::threads;
use crate::{Array, Cpu, Tape};

/// Two ways to the same gradient differ by rounding only; this, relative to the largest element.
const ROUNDING: f64 = 1e-9;

pub(super) fn check(options: &Check, problem: &Problem<'_>, inputs: &mut [InputReport]) -> Vec<LawReport> {
    let mut samples = Samples::new(options.seed ^ 0x1A35);
    let cotangents = [0; 2].map(|_| random(&mut samples, problem.outputs()));
    let [first, second] = cotangents.each_ref().map(|cotangent| problem.gradient(cotangent));
    let sums = first.iter().zip(&second).map(|(a, b)| combine(1.0, a, 1.0, b)).collect::<Vec<_>>();

    let mut laws = vec![linear(problem, &cotangents, &first, &second)];
    laws.push(twice(problem, &cotangents, &sums, [&first, &second], inputs));
    if problem.inputs.len() > 1 {
        laws.push(needs(problem, &cotangents[0], &first));
    }
    laws.push(unchanged(problem, &cotangents[0]));
    let repeatable = threads::repeatable(problem, &cotangents[0]);
    // Where two runs differ anyway, threads are not the cause.
    if options.threads && repeatable.holds {
        laws.extend(threads::same_bits(problem, &cotangents[0]));
    }
    laws.push(repeatable);
    laws
}

fn report(law: Law, broken: Option<String>, kept: &str) -> LawReport {
    LawReport { law, holds: broken.is_none(), detail: broken.unwrap_or_else(|| kept.into()) }
}

fn linear(
    problem: &Problem<'_>,
    cotangents: &[Vec<f64>; 2],
    first: &[Gradient],
    second: &[Gradient],
) -> LawReport {
    let combined: Vec<f64> =
        cotangents[0].iter().zip(&cotangents[1]).map(|(a, b)| 2.0 * a - 3.0 * b).collect();
    let expected: Vec<Vec<f64>> = first.iter().zip(second).map(|(a, b)| combine(2.0, a, -3.0, b)).collect();
    let broken = differs(problem, &problem.gradient(&combined), &expected)
        .map(|input| format!("backward of 2a - 3b is not 2 backward(a) - 3 backward(b), for input {input}"));
    report(Law::Linear, broken, "linear in grad_output")
}

fn twice(
    problem: &Problem<'_>,
    cotangents: &[Vec<f64>; 2],
    sums: &[Vec<f64>],
    parts: [&[Gradient]; 2],
    inputs: &mut [InputReport],
) -> LawReport {
    let tape = problem.tape();
    let leaves = problem.leaves(&tape);
    let outputs = [0; 2].map(|_| (problem.function)(&leaves));
    let seeds = [0, 1].map(|i| (&outputs[i], Array::host(outputs[i].shape(), cotangents[i].clone())));
    let swept = tape.backward_with(&seeds);
    let found: Vec<Gradient> = leaves.iter().map(|leaf| gradient_of(swept.of(leaf), leaf)).collect();
    let broken = differs(problem, &found, sums)
        .map(|input| format!("used twice is not twice the gradient, for input {input}"));
    if broken.is_some() {
        for (position, input) in inputs.iter_mut().enumerate() {
            let differ = |other: &[f64]| differ(problem, position, &found[position].values, other);
            if !differ(&sums[position]) {
                continue;
            }
            input.verdict = Verdict::Fail;
            if parts.iter().any(|part| !differ(&part[position].values)) {
                let text = "overwritten: of two uses of this input only one contributes, the gradients are not added";
                input.diagnoses.insert(0, say(DiagnosisKind::Overwritten, None, text));
            }
        }
    }
    report(Law::Twice, broken, "used twice is twice the gradient")
}

fn needs(problem: &Problem<'_>, cotangent: &[f64], all: &[Gradient]) -> LawReport {
    let broken = (0..problem.inputs.len()).find(|&alone| {
        let tape = problem.tape();
        let vars: Vec<_> = problem
            .leaves(&tape)
            .into_iter()
            .enumerate()
            .map(|(input, leaf)| if input == alone { leaf } else { leaf.detach() })
            .collect();
        let output = (problem.function)(&vars);
        let swept = tape.backward_with(&[(&output, Array::host(output.shape(), cotangent.to_vec()))]);
        let found = gradient_of(swept.of(&vars[alone]), &vars[alone]);
        differ(problem, alone, &found.values, &all[alone].values)
    });
    let broken = broken.map(|input| {
        format!("the gradient of input {} changes when no other input needs one", problem.inputs[input].name)
    });
    report(Law::Needs, broken, "each input's gradient is the same when it alone needs one")
}

fn unchanged(problem: &Problem<'_>, cotangent: &[f64]) -> LawReport {
    let tape: Tape<Cpu<f64>> = problem.tape();
    let leaves = problem.leaves(&tape);
    let output = (problem.function)(&leaves);
    let before = output.value().as_slice().to_vec();
    let grad_output = Array::host(output.shape(), cotangent.to_vec());
    let swept = tape.backward_with(&[(&output, grad_output.clone())]);
    drop(swept);
    let mut broken = None;
    for (leaf, input) in leaves.iter().zip(&problem.inputs) {
        if !same_bits(leaf.value().as_slice(), &input.values) {
            broken = Some(format!("input {} was written to", input.name));
        }
    }
    if !same_bits(output.value().as_slice(), &before) {
        broken = Some("the output was written to during the sweep".into());
    }
    if !same_bits(grad_output.as_slice(), cotangent) {
        broken = Some("grad_output was written to during the sweep".into());
    }
    report(Law::Unchanged, broken, "inputs, output and grad_output keep their bits")
}

fn combine(a: f64, first: &Gradient, b: f64, second: &Gradient) -> Vec<f64> {
    first.values.iter().zip(&second.values).map(|(x, y)| a * x + b * y).collect()
}

/// The name of the first input whose gradient is not as expected.
fn differs(problem: &Problem<'_>, found: &[Gradient], expected: &[Vec<f64>]) -> Option<String> {
    let input =
        (0..expected.len()).find(|&input| differ(problem, input, &found[input].values, &expected[input]))?;
    Some(problem.inputs[input].name.clone())
}

fn differ(problem: &Problem<'_>, input: usize, found: &[f64], expected: &[f64]) -> bool {
    let largest = expected.iter().chain(found).map(|v| v.abs()).fold(0.0, f64::max);
    // What rounding may leave of a gradient that cancels to zero: that of an output of its own size,
    // or of size 1 where the output is rounding, too.
    let reach = problem.base.iter().map(|v| v * v).sum::<f64>().sqrt();
    let reach = if reach > 1e-14 * problem.inputs[input].scale() { reach } else { 1.0 };
    let tolerance = ROUNDING * largest + 1e3 * f64::EPSILON * reach / problem.inputs[input].scale();
    // Not `>`: a NaN on one side differs.
    found.iter().zip(expected).any(|(a, b)| {
        let same = (a - b).abs() <= tolerance || (a.is_nan() && b.is_nan());
        !same
    })
}

pub(super) fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
