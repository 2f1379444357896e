//! What follows from the formulas: identities between terms and mechanisms, exact up to rounding.

use ndarray::{Array2, ArrayD, Axis, IxDyn, s};
use termwise_autograd::gradcheck::Samples;
use termwise_autograd::{Cpu, Tape};
use termwise_ops::attention::{Terms, TransformerSettings, attention_2d, attention_2d_with_maps};

use super::harness::{Input, close, value};
use super::transformer::{parameters, projections};

/// Energies `[E1, E2, E3, E4]` (N, M, Q, K) of an image under settings with all terms on.
fn energies(settings: &TransformerSettings, inputs: &[Input], x: &ArrayD<f64>) -> [ArrayD<f64>; 4] {
    let tape = Tape::inference(Cpu::<f64>::new());
    let vars: Vec<_> = inputs.iter().map(|(_, v)| tape.constant(v.clone().into())).collect();
    let x = tape.constant(x.clone().into());
    let (_, maps) = attention_2d_with_maps(&x, &projections(inputs, &vars), settings);
    maps.energies.map(|e| e.expect("all terms are on").to_ndarray())
}

fn full() -> (TransformerSettings, Vec<Input>, ArrayD<f64>) {
    let settings = TransformerSettings::paper(Terms::from_flags([true; 4]), 2, 8);
    let mut samples = Samples::new(21);
    let inputs = parameters(&settings, 6, true, &mut samples);
    let x = samples.normal(&[1, 6, 3, 4]);
    (settings, inputs, x)
}

fn run(settings: &TransformerSettings, inputs: &[Input], x: &ArrayD<f64>) -> ArrayD<f64> {
    let mut operands: Vec<_> = inputs.iter().map(|(_, v)| v).collect();
    operands.push(x);
    value(&operands, |v| attention_2d(v.last().unwrap(), &projections(inputs, v), settings))
}

fn get(inputs: &[Input], name: &str) -> Array2<f64> {
    let found = inputs.iter().find(|(n, _)| *n == name).unwrap();
    found.1.clone().into_dimensionality().unwrap()
}

/// Rows of `x` W^T as (M, N, d).
fn heads(x: &Array2<f64>, weight: &Array2<f64>, m: usize) -> Array2<f64> {
    let dim = weight.nrows() / 2;
    x.dot(&weight.slice(s![m * dim..(m + 1) * dim, ..]).t())
}

#[test]
fn e1_plus_e3_is_one_product() {
    let (settings, inputs, x) = full();
    let [e1, _, e3, _] = energies(&settings, &inputs, &x);
    let tokens = x.to_shape((6, 12)).unwrap().t().to_owned();
    for m in 0..2 {
        // (U z + u) . (V^C x)
        let query = heads(&tokens, &get(&inputs, "query"), m) + get(&inputs, "key_bias").row(m);
        let expected = query.dot(&heads(&tokens, &get(&inputs, "key"), m).t()).into_dyn();
        let sum = (&e1 + &e3).index_axis(Axis(0), 0).index_axis(Axis(0), m).to_owned();
        close("E1 + E3", &sum, &expected);
    }
}

#[test]
fn e2_plus_e4_is_e2_of_a_query_moved_by_the_bias() {
    let (settings, inputs, x) = full();
    let [_, e2, _, e4] = energies(&settings, &inputs, &x);
    // With x all zero U z + v = v, so E2 vanishes; E4 does not depend on content at all.
    let zero = ArrayD::zeros(x.raw_dim());
    let [_, e2_zero, _, e4_zero] = energies(&settings, &inputs, &zero);
    close("E2 of nothing", &e2_zero, &ArrayD::zeros(e2.raw_dim()));
    close("E4 of another image", &e4_zero, &e4);
    // E2 is linear in the query and E4 is E2 with v in the query's place: choose x so that U z = v.
    let query = get(&inputs, "query");
    let bias = get(&inputs, "position_bias").to_shape(6).unwrap().to_owned();
    let content = solve(&query, &bias);
    let same = ArrayD::from_shape_fn(x.raw_dim(), |at| content[at[1]]);
    let [_, e2_same, _, _] = energies(&settings, &inputs, &same);
    let worst = (&e2_same - &e4).iter().fold(0.0f64, |m, d| m.max(d.abs()));
    assert!(worst < 1e-9, "E2 with U z = v differs from E4 by {worst}");
}

/// Solves a small square system by Gauss-Jordan elimination with row pivots.
fn solve(a: &Array2<f64>, b: &ndarray::Array1<f64>) -> Vec<f64> {
    let n = b.len();
    let mut rows: Vec<Vec<f64>> = (0..n).map(|i| a.row(i).iter().copied().chain([b[i]]).collect()).collect();
    for i in 0..n {
        let pivot = (i..n).max_by(|&p, &q| rows[p][i].abs().total_cmp(&rows[q][i].abs())).unwrap();
        rows.swap(i, pivot);
        let scale = rows[i][i];
        rows[i].iter_mut().for_each(|v| *v /= scale);
        let row = rows[i].clone();
        for (j, other) in rows.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let factor = other[i];
            debug_assert!(j != i);
            other.iter_mut().zip(&row).for_each(|(v, r)| *v -= factor * r);
        }
    }
    rows.into_iter().map(|row| row[n]).collect()
}

#[test]
fn key_content_alone_is_the_same_for_every_query() {
    for terms in ["0010", "0000"] {
        let settings = TransformerSettings::paper(terms.parse().unwrap(), 2, 8);
        let mut samples = Samples::new(4);
        let inputs = parameters(&settings, 6, true, &mut samples);
        let y = run(&settings, &inputs, &samples.normal(&[2, 6, 3, 4]));
        for pixel in y.lanes(Axis(1)).into_iter().zip(0..) {
            let (lane, i) = (pixel.0, pixel.1 / 12);
            let first = y.slice(s![i, .., 0, 0]).to_owned();
            assert_eq!(lane.to_owned(), first.into_dimensionality().unwrap(), "{terms}");
        }
    }
}

#[test]
fn position_alone_gives_weights_independent_of_content() {
    let settings = TransformerSettings::paper("0001".parse().unwrap(), 2, 8);
    let mut samples = Samples::new(5);
    let inputs = parameters(&settings, 6, true, &mut samples);
    let (a, b) = (samples.normal(&[1, 6, 3, 4]), samples.normal(&[1, 6, 3, 4]));
    // Weights that ignore content make the module linear in x.
    let sum = run(&settings, &inputs, &(&a * 2.0 + &b));
    close("0001 is linear", &sum, &(run(&settings, &inputs, &a) * 2.0 + run(&settings, &inputs, &b)));
    // With a query term it is not.
    let settings = TransformerSettings { terms: "0101".parse().unwrap(), ..settings };
    let inputs = parameters(&settings, 6, true, &mut samples);
    let sum = run(&settings, &inputs, &(&a * 2.0 + &b));
    let parts = run(&settings, &inputs, &a) * 2.0 + run(&settings, &inputs, &b);
    assert!((sum - parts).iter().any(|d| d.abs() > 1e-3), "0101 must not be linear");
}

#[test]
fn without_position_a_permutation_of_the_pixels_permutes_the_output() {
    let order = [5, 3, 9, 0, 11, 7, 2, 10, 1, 8, 6, 4];
    let permuted = |x: &ArrayD<f64>| {
        ArrayD::from_shape_fn(IxDyn(&[1, 6, 3, 4]), |at| {
            let from = order[at[2] * 4 + at[3]];
            x[[0, at[1], from / 4, from % 4]]
        })
    };
    for terms in Terms::all() {
        let settings = TransformerSettings::paper(terms, 2, 8);
        let mut samples = Samples::new(6);
        let inputs = parameters(&settings, 6, true, &mut samples);
        let x = samples.normal(&[1, 6, 3, 4]);
        let (moved, expected) =
            (run(&settings, &inputs, &permuted(&x)), permuted(&run(&settings, &inputs, &x)));
        if terms.uses_position() {
            assert!((moved - expected).iter().any(|d| d.abs() > 1e-3), "{terms} must tell places apart");
        } else {
            close(&format!("{terms}"), &moved, &expected);
        }
    }
}

#[test]
fn shifting_all_energies_of_a_query_changes_nothing() {
    // E2 and E4 of a constant table add the same to every key of a query: softmax does not see it.
    let settings = TransformerSettings::paper("1110".parse().unwrap(), 2, 8);
    let mut samples = Samples::new(7);
    let mut inputs = parameters(&settings, 6, true, &mut samples);
    let x = samples.normal(&[1, 6, 2, 3]);
    for (name, value) in &mut inputs {
        if name.starts_with("position") {
            value.fill(0.0);
        }
    }
    let without = TransformerSettings { terms: "1010".parse().unwrap(), ..settings.clone() };
    let kept: Vec<Input> = inputs.iter().filter(|(name, _)| !name.starts_with("position")).cloned().collect();
    close("a table of zeros", &run(&settings, &inputs, &x), &run(&without, &kept, &x));
}

#[test]
fn the_separable_position_equals_the_joint_one_with_stacked_projections() {
    let (mut settings, mut inputs, x) = full();
    settings.position = termwise_ops::attention::Position::Separable(1.0);
    let separable = run(&settings, &inputs, &x);
    let stacked = ndarray::concatenate![Axis(1), get(&inputs, "position_x"), get(&inputs, "position_y")];
    inputs.retain(|(name, _)| *name != "position_y");
    for (name, value) in &mut inputs {
        if *name == "position_x" {
            *value = stacked.clone().into_dyn();
        }
    }
    settings.position = termwise_ops::attention::Position::Joint;
    close("joint", &run(&settings, &inputs, &x), &separable);
}
