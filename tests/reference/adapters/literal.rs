//! What mmcv computes for query-position attention without the position-only term.
//!
//! In that branch mmcv's `GeneralizedAttention` multiplies the y part of the relative position with the
//! query map *transposed*: the energy of the query at (y, x) takes `Q(x, y) . Y[y, i]`, where the formula
//! has `Q(y, x) . Y[y, i]`. It only runs on square maps at all. The cases of
//! `generalized_attention_mmcv_literal` hold its outputs and gradients.
//!
//! This adapter builds both from generic tensor operations, apart from the attention operation: with the
//! transposition it must reproduce the case, without it our attention, and the two must differ.

use ndarray::{Array2, ArrayD};
use termwise_autograd::{Array, Tape, Var};
use termwise_ops::Kernels;
use termwise_ops::{add, linear, matmul, mul, permute, reshape, slice, softmax};

use super::Table;
use super::attention::Image;
use crate::case::Case;

pub fn table<B: Kernels>() -> Table<B> {
    vec![("generalized_attention_mmcv_literal", literal)]
}

fn literal<B: Kernels>(case: &mut Case<B>) {
    let image = Image::read(case);
    let terms = image.settings.terms;
    assert!(terms.query_position && !terms.position, "mmcv is literal for 01x0 and 11x0 alone, not {terms}");
    assert!(
        image.settings.query_stride == 1 && image.settings.range.is_none(),
        "not among mmcv's literal cases"
    );
    let (formula, formula_weights) = by_hand(&image, false);
    let (as_mmcv, mmcv_weights) = by_hand(&image, true);

    // The file is the literal behaviour, outputs and gradients.
    case.output("y", &as_mmcv);
    case.value("attention", &mmcv_weights.value().to_f64());
    // Ours is the formula.
    let (ours, maps) = image.attend();
    case.agree("our out.y against the formula", &ours.value().to_f64(), &formula.value().to_f64());
    case.agree(
        "our out.attention against the formula",
        &maps.weights.to_f64(),
        &formula_weights.value().to_f64(),
    );
    // And the formula is not what mmcv computes: weights differ by far more than any tolerance.
    let differs = |a: &Var<B>, b: &Var<B>| {
        let (a, b) = (a.value().to_f64(), b.value().to_f64());
        (&a - &b).iter().fold(0.0, |max: f64, v| max.max(v.abs()))
    };
    let (outputs, weights) = (differs(&formula, &as_mmcv), differs(&formula_weights, &mmcv_weights));
    if !(outputs > 1e-3 && weights > 1e-3) {
        let found = format!("differ by {outputs:e} in the output and {weights:e} in the weights");
        case.fail("out.y", format!("mmcv's literal output should not be the formula; they {found}"));
    }
}

/// The formula in generic operations, or mmcv's reading of it where `transposed`.
fn by_hand<B: Kernels>(image: &Image<B>, transposed: bool) -> (Var<B>, Var<B>) {
    let (settings, projections) = (&image.settings, &image.projections);
    let &[n, c, h, w] = image.x.shape() else { panic!("x is (N, C, H, W)") };
    let (heads, stride) = (settings.num_heads, settings.key_stride);
    let step = stride as isize;
    let x_kv = slice(
        &image.x,
        &[[0, n as isize, 1], [0, c as isize, 1], [0, h as isize, step], [0, w as isize, step]],
    );
    let (hk, wk) = (x_kv.shape()[2], x_kv.shape()[3]);
    // (N, C, H, W) through a (M d, C) matrix to (N, M, H W, d)
    let project = |map: &Var<B>, weight: &Var<B>| {
        let pixels = map.shape()[2] * map.shape()[3];
        let tokens = permute(&reshape(map, &[n, c, pixels]), &[0, 2, 1]);
        let d = weight.shape()[0] / heads;
        permute(&reshape(&linear(&tokens, weight, None), &[n, pixels, heads, d]), &[0, 2, 1, 3])
    };
    let query = project(&image.x, projections.query.as_ref().expect("E2 has queries"));
    let d = query.shape()[3];
    let query_map = reshape(&query, &[n, heads, h, w, d]);
    let value = project(&x_kv, &projections.value);

    // x part: Q(y, x) . X[x, j], as a product for each column x
    let x_table = position(image, w, wk, stride, &projections.positions[0]); // (1, M, W, d, Wk)
    let by_column = permute(&query_map, &[0, 1, 3, 2, 4]); // (N, M, W, H, d)
    let x_part = permute(&matmul(&by_column, &x_table), &[0, 1, 3, 2, 4]); // (N, M, H, W, Wk)
    // y part: Q(y, x) . Y[y, i] for each row y; mmcv hands over Q(x, y)
    let y_table = position(image, h, hk, stride, &projections.positions[1]); // (1, M, H, d, Hk)
    let by_row = if transposed { &by_column } else { &query_map };
    let y_part = matmul(by_row, &y_table); // (N, M, H, W, Hk)
    let mut energy = reshape(
        &add(&reshape(&x_part, &[n, heads, h * w, 1, wk]), &reshape(&y_part, &[n, heads, h * w, hk, 1])),
        &[n, heads, h * w, hk * wk],
    );
    if let Some(key) = &projections.key {
        let key = permute(&project(&x_kv, key), &[0, 1, 3, 2]); // (N, M, d, K)
        if settings.terms.query_key {
            energy = add(&energy, &matmul(&query, &key));
        }
        if let Some(bias) = &projections.key_bias {
            energy = add(&energy, &matmul(&reshape(bias, &[1, heads, 1, d]), &key));
        }
    }
    let weights = softmax(&energy, -1); // (N, M, Q, K)
    let mixed = permute(&matmul(&weights, &value), &[0, 2, 1, 3]); // (N, Q, M, d)
    let tokens = reshape(&mixed, &[n, h * w, heads * value.shape()[3]]);
    let out = linear(&tokens, &projections.output, projections.output_bias.as_ref()); // (N, Q, C)
    let out = reshape(&permute(&out, &[0, 2, 1]), &[n, c, h, w]);
    (add(&mul(&out, &image.gamma), &image.x), weights)
}

/// Projected embeddings of all offsets between `queries` and `keys` on one axis: (1, M, queries, d, keys).
fn position<B: Kernels>(
    image: &Image<B>,
    queries: usize,
    keys: usize,
    stride: usize,
    weight: &Var<B>,
) -> Var<B> {
    let settings = &image.settings;
    let (half, pairs) = (settings.position_dim / 2, queries * keys);
    let embedding: ArrayD<f64> = Array2::from_shape_fn((pairs, half), |(pair, t)| {
        let offset = (pair / keys) as f64 - (pair % keys * stride) as f64; // query minus key
        let frequency = 1000f64.powf(-((t % (half / 2)) as f64) / (half / 2) as f64);
        let angle = offset * settings.position_magnitude * frequency;
        (if t < half / 2 { angle.sin() } else { angle.cos() }) / 2f64.sqrt()
    })
    .into_dyn();
    let tape: &Tape<B> = image.x.tape();
    let projected = linear(&tape.constant(Array::from_f64(tape.backend(), &embedding)), weight, None);
    let d = projected.shape()[1] / settings.num_heads;
    permute(&reshape(&projected, &[1, queries, keys, settings.num_heads, d]), &[0, 3, 1, 4, 2])
}
