//! One query before a row of keys: what the terms add up to, and what comes back through the softmax.

use ndarray::{Array2, Array3};
use termwise::ops::attention::definition::{TransformerParts, transformer_energies, transformer_weights};
use termwise::ops::attention::{Terms, sinusoidal_embedding};
use termwise::prelude::gradcheck::Samples;

use super::draw::{Align, Drawing, neutral, term};
use super::theme::{INK, MUTED};

const KEYS: usize = 7;
const QUERY: usize = 3;
const STEP: f64 = 22.0;

/// Random contents and projections: C = 4, d = 4, D = 8, one head; the query is the fourth of seven places.
fn parts() -> TransformerParts<f64> {
    let mut samples = Samples::new(11);
    let mut matrix = |rows: usize, columns: usize| -> Array2<f64> {
        samples.normal(&[rows, columns]).into_dimensionality().expect("two axes") * 0.45
    };
    let head = |matrix: Array2<f64>| -> Array3<f64> { matrix.insert_axis(ndarray::Axis(0)) };
    let embedded: Vec<_> =
        (0..KEYS).map(|k| sinusoidal_embedding(&[k as f64 - QUERY as f64], 8, 10.0)).collect();
    TransformerParts {
        z: matrix(1, 4),
        x: matrix(KEYS, 4),
        r: Array3::from_shape_fn((1, KEYS, 8), |(_, k, d)| embedded[k][[0, d]]),
        u_projection: head(matrix(4, 4)),
        key_projection: head(matrix(4, 4)),
        position_projection: head(matrix(4, 8)),
        u: matrix(1, 4),
        v: matrix(1, 4),
    }
}

fn energies(terms: [bool; 4]) -> Array3<f64> {
    transformer_energies(&parts(), Terms::from_flags(terms), 1, 1.0)
}

fn weights(energies: &Array3<f64>) -> Vec<f64> {
    transformer_weights(energies, &|_, _| true).iter().copied().collect()
}

/// The four terms of one query, and what three codes make of them.
pub fn combinations() -> String {
    let width = KEYS as f64 * STEP;
    let mut drawing = Drawing::new(4.0 * (width + 26.0) + 22.0, 400.0);
    let scaled = |values: &[f64], factor: f64| values.iter().map(|v| factor * v).collect::<Vec<_>>();
    let x = |i: usize| 24.0 + i as f64 * (width + 26.0);
    for i in 0..4 {
        let alone = energies(std::array::from_fn(|term| term == i));
        let alone: Vec<f64> = alone.iter().copied().collect();
        drawing.heading([x(i), 24.0], &format!("energy E{}", i + 1));
        drawing.bars([x(i), 92.0], STEP, &scaled(&alone, 26.0), term(i));
    }
    for (i, code) in ["1111", "0110", "0010", "0000"].into_iter().enumerate() {
        let terms: Terms = code.parse().expect("four switches");
        let sum = energies(terms.flags());
        let weights = weights(&sum);
        let sum: Vec<f64> = sum.iter().copied().collect();
        drawing.heading([x(i), 160.0], &format!("{code}: the sum"));
        drawing.bars([x(i), 220.0], STEP, &scaled(&sum, 26.0), neutral());
        drawing.heading([x(i), 295.0], "softmax, in percent");
        drawing.bars([x(i), 370.0], STEP, &scaled(&weights, 90.0), INK.light);
        for (k, weight) in weights.iter().enumerate() {
            let at = [x(i) + (k as f64 + 0.5) * STEP, 384.0];
            drawing.text(at, 10.0, Align::Middle, MUTED.light, &format!("{:.0}", 100.0 * weight));
        }
    }
    drawing.file("The energies of the four terms, their sums under four codes, and the softmax of each sum")
}

/// A, dA and dS of the same query under 1111: what is better than the average gains.
pub fn softmax_backward() -> String {
    let width = KEYS as f64 * STEP;
    let mut drawing = Drawing::new(3.0 * (width + 34.0) + 12.0, 200.0);
    let a = weights(&energies([true; 4]));
    let da: Vec<f64> = Samples::new(6).normal(&[KEYS]).iter().copied().collect();
    let average: f64 = a.iter().zip(&da).map(|(a, da)| a * da).sum();
    let ds: Vec<f64> = a.iter().zip(&da).map(|(a, da)| a * (da - average)).collect();
    let columns = [
        ("weights A", &a, 120.0, neutral()),
        ("dA", &da, 32.0, term(1)),
        ("dS = A (dA - average)", &ds, 260.0, term(0)),
    ];
    for (i, (heading, values, factor, colour)) in columns.into_iter().enumerate() {
        let x = 24.0 + i as f64 * (width + 34.0);
        let bars: Vec<f64> = values.iter().map(|v| factor * v).collect();
        drawing.heading([x, 24.0], heading);
        drawing.bars([x, 100.0], STEP, &bars, colour);
        if i == 1 {
            let y = 100.0 - factor * average;
            drawing.line([x - 4.0, y], [x + width + 4.0, y], 1.5, INK.light);
            drawing.text([x, 180.0], 12.0, Align::Start, MUTED.light, "line: their average under A");
        }
    }
    drawing.file(
        "The backward pass of one softmax row: weights, their gradient, and the gradient of the energies",
    )
}
