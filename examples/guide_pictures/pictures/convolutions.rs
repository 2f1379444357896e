//! The three convolutions as attention: which key each tap looks at.

use ndarray::{Array2, Array3, Array4};
use termwise::ops::attention::Lattice;
use termwise::ops::attention::definition::{deformable_weights, dynamic_weights, regular_weights, taps};

use super::draw::{Align, Drawing, Grid, neutral, term};
use super::theme::{INK, MUTED};

const LENGTH: usize = 7;
const CELL: f64 = 26.0;

/// Rows are queries, columns are keys.
fn matrix(drawing: &mut Drawing, at: [f64; 2], heading: &str, weights: &[f64], colour: usize) {
    let grid = Grid { at, cell: CELL, columns: LENGTH };
    drawing.heading([at[0], at[1] - 24.0], heading);
    for i in 0..LENGTH {
        let ([x, _], [_, y]) = (grid.middle(0, i), grid.middle(i, 0));
        drawing.text([x, at[1] - 6.0], 10.0, Align::Middle, MUTED.light, &i.to_string());
        drawing.text([at[0] - 9.0, y + 3.5], 10.0, Align::Middle, MUTED.light, &i.to_string());
    }
    drawing.weights(grid, weights, if colour < 4 { term(colour) } else { neutral() });
}

/// The taps of a kernel of three on a sequence.
fn three_taps() -> Vec<(i64, i64)> {
    taps((1, 3), (1, 1), (0, 1))
}

pub fn regular() -> String {
    let lattice = Lattice::Sequence { queries: LENGTH, keys: LENGTH };
    let weights: Array4<f64> = regular_weights(&lattice, &three_taps());
    let size = LENGTH as f64 * CELL;
    let mut drawing = Drawing::new(3.0 * (size + 40.0) + 10.0, size + 90.0);
    for (m, name) in ["tap 0: p = -1", "tap 1: p = 0", "tap 2: p = +1"].into_iter().enumerate() {
        let one: Vec<f64> = weights.index_axis(ndarray::Axis(0), m).iter().copied().collect();
        matrix(&mut drawing, [32.0 + m as f64 * (size + 40.0), 50.0], name, &one, 4);
    }
    drawing.remark([32.0, size + 76.0], "rows: queries; columns: keys; in percent. The same at every query.");
    drawing.file("Regular convolution: each tap is a head that looks at one fixed offset")
}

/// How far each tap of a 3x3 kernel is moved, `(dy, dx)`: widened, and turned a little.
const OFFSETS: [(f64, f64); 9] = [
    (-1.2, -0.3),
    (-0.9, 0.3),
    (-0.6, 1.4),
    (-0.3, -0.8),
    (0.0, 0.0),
    (0.4, 0.9),
    (0.7, -1.3),
    (1.1, -0.2),
    (1.3, 0.4),
];

pub fn deformable() -> String {
    const SIDE: usize = 7;
    const QUERY: (usize, usize) = (3, 3);
    let lattice = Lattice::Image { height: SIDE, width: SIDE, query_stride: 1, key_stride: 1 };
    let taps = taps((3, 3), (1, 1), (1, 1));
    let queries = SIDE * SIDE;
    let offsets =
        Array4::from_shape_fn(
            (queries, 1, 9, 2),
            |(_, _, m, axis)| {
                if axis == 0 { OFFSETS[m].0 } else { OFFSETS[m].1 }
            },
        );
    let weights: Array4<f64> = deformable_weights(&lattice, &taps, &offsets, None, 1);
    let size = SIDE as f64 * 30.0;
    let mut drawing = Drawing::new(2.0 * (size + 40.0) + 10.0, size + 80.0);

    let grid = Grid { at: [24.0, 40.0], cell: 30.0, columns: SIDE };
    drawing.heading([grid.at[0], 25.0], "where the nine taps look");
    drawing.weights(grid, &[0.0; SIDE * SIDE], neutral());
    drawing.frame(grid.corner(QUERY.0, QUERY.1), [30.0, 30.0], 2.5, INK.light);
    for (&(dy, dx), &(moved_y, moved_x)) in taps.iter().zip(&OFFSETS) {
        let tap = (QUERY.0 as f64 + dy as f64, QUERY.1 as f64 + dx as f64);
        let (from, to) = (grid.point(tap.0, tap.1), grid.point(tap.0 + moved_y, tap.1 + moved_x));
        drawing.disc(from, 3.0, MUTED.light, false);
        if (moved_y, moved_x) != (0.0, 0.0) {
            drawing.arrow(from, to, term(1));
        }
        drawing.disc(to, 3.0, term(1), true);
    }
    drawing.remark([grid.at[0], size + 62.0], "hollow: regular; full: moved by o(q)");

    let grid = Grid { at: [24.0 + size + 40.0, 40.0], ..grid };
    drawing.heading([grid.at[0], 25.0], "the keys they read, by G");
    let query = QUERY.0 * SIDE + QUERY.1;
    let all: Vec<f64> =
        (0..queries).map(|k| (0..9).map(|m| weights[[m, query, k, 0]]).sum::<f64>()).collect();
    drawing.weights(grid, &all, term(1));
    drawing.frame(grid.corner(QUERY.0, QUERY.1), [30.0, 30.0], 2.5, INK.light);
    drawing.remark([grid.at[0], size + 62.0], "in percent, added up over the taps");
    drawing
        .file("Deformable convolution: the taps of one query, moved, and the bilinear weights of the pixels")
}

/// The contents of a sequence of seven: how strongly each asks for its left, itself and its right.
const ASKS: [[f64; 3]; LENGTH] = [
    [0.0, 2.0, 0.0],
    [2.5, 0.0, 0.0],
    [2.5, 0.0, 0.0],
    [0.0, 0.0, 0.0],
    [0.0, 0.0, 2.5],
    [1.2, 0.0, 1.2],
    [0.0, 0.0, 2.5],
];

pub fn dynamic() -> String {
    let lattice = Lattice::Sequence { queries: LENGTH, keys: LENGTH };
    let content = Array2::from_shape_fn((LENGTH, 3), |(q, c)| ASKS[q][c]);
    // d_j reads channel j: the content says itself what the kernel should be.
    let d = Array3::from_shape_fn((1, 3, 3), |(_, j, c)| f64::from(u8::from(j == c)));
    let weights: Array4<f64> = dynamic_weights(&lattice, &three_taps(), &d, &content, 1);
    let size = LENGTH as f64 * CELL;
    let mut drawing = Drawing::new(2.0 * (size + 70.0) + 60.0, size + 90.0);
    drawing.heading([32.0, 26.0], "the kernel that each query writes");
    let most = 20.0;
    for q in 0..LENGTH {
        let kernel: f64 = ASKS[q].iter().map(|logit| logit.exp()).sum();
        let bars: Vec<f64> = ASKS[q].iter().map(|logit| most * logit.exp() / kernel).collect();
        let y = 50.0 + (q as f64 + 1.0) * CELL - 3.0;
        drawing.text([23.0, y - 7.0], 10.0, Align::Middle, MUTED.light, &q.to_string());
        drawing.bars([36.0, y], 26.0, &bars, term(1));
        let percent: Vec<String> = bars.iter().map(|bar| format!("{:.0}", 100.0 * bar / most)).collect();
        drawing.text([126.0, y - 5.0], 10.0, Align::Start, MUTED.light, &percent.join(" / "));
    }
    let one: Vec<f64> = weights.iter().copied().collect();
    matrix(&mut drawing, [size + 110.0, 50.0], "A(q, k): its row", &one, 1);
    drawing.remark(
        [32.0, size + 76.0],
        "left: taps -1 / 0 / +1 in percent; right: rows are queries, columns keys.",
    );
    drawing.file("Dynamic convolution: every query predicts a kernel of three taps, a row of the matrix")
}
