//! Why the public implementation is wrong for four of its fifteen configurations.
//!
//! mmcv's `GeneralizedAttention` computes the relative-position energy E2 from an x-part and a y-part,
//!
//! ```text
//! E2(q, k) = Q_q . X[x_q, x_k] + Q_q . Y[y_q, y_k]        X, Y: embedded, projected offsets
//! ```
//!
//! For the x-part it moves the query map from (height, width) to (width, height) order, so that one batched
//! product per column serves all queries of that column. When E4 is on as well, the y-part takes the query map
//! afresh, plus E4's bias. When E4 is off (types 0100, 0110, 1100, 1110) the y-part reuses the map that was
//! already transposed for the x-part. Its row y and column x then hold the query of row x and column y:
//!
//! ```text
//! wrong(q, k) = Q_(y_q, x_q) . X[x_q, x_k] + Q_(x_q, y_q) . Y[y_q, y_k]
//! ```
//!
//! On a non-square map the shapes do not fit and it crashes; on a square one, the usual case in training, it
//! silently answers with another query's content. The paper's key configuration 0110 is among the four.
//! Reported as mmdetection#8179; a fix (mmcv#2742) was never merged.
//!
//! These tests hold *both* formulas against the definition: ours equals it for all four types, the literal one
//! does not, and the two agree exactly where the mistake cannot show.

use ndarray::{Array2, Array3};
use termwise_autograd::gradcheck::Samples;
use termwise_ops::attention::definition::{equation_1, transformer_weights};
use termwise_ops::attention::{TransformerSettings, attention_2d, sinusoidal_embedding};

use super::harness::{d2, image, tokens, value};
use super::transformer::{parameters, projections};

const SIDE: usize = 3;
const CHANNELS: usize = 4;
const HEADS: usize = 2;
const DIM: usize = CHANNELS / HEADS;

/// One attention layer of `terms` in plain loops, with the y-part's query read at (y, x), as it should be, or
/// at (x, y), as mmcv does. Also returns our fast result for the same numbers.
fn both(
    terms: &str,
    transposed: bool,
    symmetric_content: bool,
) -> (ndarray::ArrayD<f64>, ndarray::ArrayD<f64>) {
    let settings = TransformerSettings::mmcv(terms.parse().unwrap(), HEADS, 8);
    let mut samples = Samples::new(11);
    let inputs = parameters(&settings, CHANNELS, true, &mut samples);
    let mut x = samples.normal(&[1, CHANNELS, SIDE, SIDE]);
    if symmetric_content {
        let mirrored = x.view().permuted_axes(vec![0, 1, 3, 2]).to_owned();
        x = x + mirrored;
    }
    let get = |name: &str| inputs.iter().find(|(n, _)| *n == name).map(|(_, v)| d2(v));
    let z = tokens(&x);
    let project = |name: &str| get(name).map(|weight| z.dot(&weight.t())); // (N, M d)
    let (query, key) = (project("query").unwrap(), project("key"));
    // X[x_q, x_k] and Y[y_q, y_k]: query minus key, each over sqrt 2. (offset + SIDE - 1, M d)
    let offsets: Vec<f64> = (0..2 * SIDE - 1).map(|i| i as f64 - (SIDE as f64 - 1.0)).collect();
    let embedding = d2(&sinusoidal_embedding(&offsets, 4, 1000.0)) / f64::sqrt(2.0);
    let table = |name: &str| embedding.dot(&get(name).unwrap().t());
    let (table_x, table_y) = (table("position_x"), table("position_y"));
    let row = |a: usize, b: usize| a + SIDE - 1 - b;
    let head = |matrix: &Array2<f64>, i: usize, m: usize| {
        matrix.slice(ndarray::s![i, m * DIM..(m + 1) * DIM]).to_owned()
    };

    let energies = Array3::from_shape_fn((HEADS, SIDE * SIDE, SIDE * SIDE), |(m, q, k)| {
        let ((qy, qx), (ky, kx)) = ((q / SIDE, q % SIDE), (k / SIDE, k % SIDE));
        let query_y = if transposed { qx * SIDE + qy } else { q };
        let mut e = head(&query, q, m).dot(&head(&table_x, row(qx, kx), m))
            + head(&query, query_y, m).dot(&head(&table_y, row(qy, ky), m));
        if let (true, Some(key)) = (settings.terms.query_key, &key) {
            e += head(&query, q, m).dot(&head(key, k, m));
        }
        if let (Some(key), Some(bias)) = (&key, get("key_bias")) {
            e += bias.row(m).dot(&head(key, k, m));
        }
        e
    });
    let by_head = |name: &str| {
        let matrix = get(name).unwrap();
        let rows = matrix.nrows() / HEADS;
        Array3::from_shape_fn((HEADS, rows, CHANNELS), |(m, i, c)| matrix[[m * rows + i, c]])
    };
    let output = get("output").unwrap();
    let width = output.ncols() / HEADS;
    let output = Array3::from_shape_fn((HEADS, CHANNELS, width), |(m, o, i)| output[[o, m * width + i]]);
    let weights = transformer_weights(&energies, &|_, _| true);
    let loops = image(&equation_1(&weights, &z, Some(&by_head("value")), &output), SIDE, SIDE);

    let mut operands: Vec<_> = inputs.iter().map(|(_, v)| v).collect();
    operands.push(&x);
    let fast = value(&operands, |v| attention_2d(v.last().unwrap(), &projections(&inputs, v), &settings));
    (loops, fast)
}

fn largest_difference((a, b): (ndarray::ArrayD<f64>, ndarray::ArrayD<f64>)) -> f64 {
    (a - b).iter().fold(0.0, |m: f64, d| m.max(d.abs()))
}

#[test]
fn ours_equals_the_definition_for_the_four_types() {
    for terms in ["0100", "0110", "1100", "1110"] {
        let difference = largest_difference(both(terms, false, false));
        assert!(difference < 1e-12, "{terms}: {difference}");
    }
}

#[test]
fn the_public_implementation_fails_against_the_definition_for_the_four_types() {
    for terms in ["0100", "0110", "1100", "1110"] {
        let difference = largest_difference(both(terms, true, false));
        assert!(
            difference > 0.1,
            "{terms}: the transposed query must show, the difference is only {difference}"
        );
    }
}

/// Content that is its own transpose hides the mistake: this is why it went unnoticed for so long.
#[test]
fn the_mistake_is_invisible_on_symmetric_content() {
    for terms in ["0100", "0110", "1100", "1110"] {
        let difference = largest_difference(both(terms, true, true));
        assert!(difference < 1e-12, "{terms}: {difference}");
    }
}
