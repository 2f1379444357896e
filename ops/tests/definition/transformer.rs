//! Transformer attention, all sixteen switch patterns, on images and sequences.

use ndarray::{Array2, Array3, ArrayD};
use termwise_autograd::gradcheck::Samples;
use termwise_autograd::{Cpu, Var};
use termwise_ops::attention::definition::{
    Number, TransformerParts, equation_1, transformer_energies, transformer_weights,
};
use termwise_ops::attention::{
    Lattice, OffsetSign, Position, Projections, Range, Scale, Terms, TransformerSettings, attention_1d,
    attention_2d,
};

use super::harness::{Input, assert_equal, d2, d3, image, tokens};

/// Inputs of one attention over `channels`, by name; those of terms that are off are left out.
pub(crate) fn parameters(
    settings: &TransformerSettings,
    channels: usize,
    image: bool,
    samples: &mut Samples,
) -> Vec<Input> {
    let (terms, heads) = (settings.terms, settings.num_heads);
    let (dim, value_dim) = (channels / heads, channels / heads + 1);
    let mut inputs = vec![
        ("value", samples.normal(&[heads * value_dim, channels])),
        ("output", samples.normal(&[channels, heads * value_dim])),
    ];
    if terms.uses_query() {
        inputs.push(("query", samples.normal(&[heads * dim, channels]) * 0.5));
    }
    if terms.uses_key() {
        inputs.push(("key", samples.normal(&[heads * dim, channels]) * 0.5));
    }
    if terms.uses_position() {
        let (tables, columns) = settings.position_projections(image);
        for name in ["position_x", "position_y"].into_iter().take(tables) {
            inputs.push((name, samples.normal(&[heads * dim, columns]) * 0.5));
        }
    }
    if terms.key {
        inputs.push(("key_bias", samples.normal(&[heads, dim])));
    }
    if terms.position {
        inputs.push(("position_bias", samples.normal(&[heads, dim])));
    }
    inputs
}

fn find<'a, T>(inputs: &[Input], values: &'a [T], name: &str) -> Option<&'a T> {
    inputs.iter().position(|(n, _)| *n == name).map(|i| &values[i])
}

/// The learned numbers among `vars`, which stand in the order of `inputs`.
pub(crate) fn projections(inputs: &[Input], vars: &[Var<Cpu<f64>>]) -> Projections<Cpu<f64>> {
    let var = |name: &str| find(inputs, vars, name).cloned();
    Projections {
        query: var("query"),
        key: var("key"),
        positions: ["position_x", "position_y"].into_iter().filter_map(var).collect(),
        key_bias: var("key_bias"),
        position_bias: var("position_bias"),
        value: var("value").expect("always there"),
        output: var("output").expect("always there"),
        output_bias: None,
    }
}

/// Eq. 1 to 3 in plain loops. `z` (Q, C), `x` (K, C).
fn by_definition<N: Number>(
    inputs: &[Input],
    values: &[ArrayD<N>],
    z: Array2<N>,
    x: Array2<N>,
    settings: &TransformerSettings,
    lattice: Lattice,
    visible: &dyn Fn(usize, usize) -> bool,
) -> Array2<N> {
    let (terms, heads) = (settings.terms, settings.num_heads);
    let channels = x.ncols();
    let dim = channels / heads;
    // (M d, columns) to (M, d, columns); what is off is never read.
    let split = |name: &str| match find(inputs, values, name) {
        None => Array3::from_elem((heads, dim, 0), N::from(0.0)),
        Some(matrix) => {
            let matrix = d2(matrix);
            let rows = matrix.nrows() / heads;
            Array3::from_shape_fn((heads, rows, matrix.ncols()), |(m, i, j)| matrix[[m * rows + i, j]])
        }
    };
    let bias =
        |name: &str| find(inputs, values, name).map_or(Array2::from_elem((heads, dim), N::from(0.0)), d2);
    let (position_projection, r) = relative(&split("position_x"), &split("position_y"), settings, lattice);
    let parts = TransformerParts {
        r,
        u_projection: split("query"),
        key_projection: split("key"),
        position_projection,
        u: bias("key_bias"),
        v: bias("position_bias"),
        z,
        x,
    };
    let energies = transformer_energies(&parts, terms, heads, settings.scale.value(dim));
    let weights = transformer_weights(&energies, visible);
    let output = d2(find(inputs, values, "output").expect("always there"));
    let value_dim = output.ncols() / heads;
    let output =
        Array3::from_shape_fn((heads, output.nrows(), value_dim), |(m, o, i)| output[[o, m * value_dim + i]]);
    equation_1(&weights, &parts.x, Some(&split("value")), &output)
}

/// `V^R` and `R_{k-q}` (Q, K, D) written out from the formulas, without tables of distinct offsets.
fn relative<N: Number>(
    x: &Array3<N>,
    y: &Array3<N>,
    settings: &TransformerSettings,
    lattice: Lattice,
) -> (Array3<N>, Array3<f64>) {
    let (queries, keys) = (lattice.queries(), lattice.keys());
    let is_image = matches!(lattice, Lattice::Image { .. });
    let joint = settings.position == Position::Joint;
    let dim = if is_image { settings.position_dim / 2 } else { settings.position_dim };
    let factor = match settings.position {
        Position::Separable(factor) if is_image => factor,
        _ => 1.0,
    };
    let columns = if is_image { 2 * dim } else { dim };
    let r = Array3::from_shape_fn((queries.len(), keys.len(), columns), |(q, k, j)| {
        let ((qy, qx), (ky, kx)) = (queries[q], keys[k]);
        let offset = if j < dim { kx as f64 - qx as f64 } else { ky as f64 - qy as f64 };
        let sign = if settings.offset_sign == OffsetSign::KeyMinusQuery { 1.0 } else { -1.0 };
        let (i, half) = (j % dim, dim / 2);
        let angle = sign * offset * settings.position_magnitude
            / settings.wavelength.powf(2.0 * (i % half) as f64 / dim as f64);
        factor * if i < half { angle.sin() } else { angle.cos() }
    });
    if !is_image || joint {
        return (x.clone(), r);
    }
    let (heads, rows, _) = x.dim();
    let columns_of = |(m, i, j): (usize, usize, usize)| {
        if j < x.dim().2 { x[[m, i, j]] } else { y[[m, i, j - x.dim().2]] }
    };
    (Array3::from_shape_fn((heads, rows, x.dim().2 + y.dim().2), columns_of), r)
}

fn check_image(what: &str, settings: &TransformerSettings, channels: usize, h: usize, w: usize) {
    let mut samples = Samples::new(3);
    let mut inputs = parameters(settings, channels, true, &mut samples);
    inputs.push(("x", samples.normal(&[1, channels, h, w])));
    let key_stride = settings.key_stride;
    let lattice = Lattice::Image { height: h, width: w, query_stride: 1, key_stride };
    let (queries, keys) = (lattice.queries(), lattice.keys());
    let visible = |q: usize, k: usize| {
        let ((qy, qx), (ky, kx)) = (queries[q], keys[k]);
        match settings.range {
            Some(Range::Symmetric(r)) => qy.abs_diff(ky) <= r && qx.abs_diff(kx) <= r,
            _ => true,
        }
    };
    assert_equal(
        what,
        &inputs,
        |v| attention_2d(v.last().unwrap(), &projections(&inputs, v), settings),
        |v| {
            let z = tokens(v.last().unwrap());
            let x = Array2::from_shape_fn((keys.len(), channels), |(k, c)| z[[keys[k].0 * w + keys[k].1, c]]);
            image(&by_definition(&inputs, v, z, x, settings, lattice, &visible), h, w)
        },
    );
}

#[test]
fn all_patterns_on_an_image() {
    for terms in Terms::all() {
        let settings =
            TransformerSettings { scale: Scale::Factor(0.6), ..TransformerSettings::paper(terms, 2, 4) };
        check_image(&format!("{terms}"), &settings, 4, 2, 3);
    }
}

#[test]
fn settings_on_an_image() {
    let all = Terms::from_flags([true; 4]);
    let paper = TransformerSettings::paper(all, 2, 8);
    check_image("mmcv", &TransformerSettings::mmcv(all, 2, 8), 4, 3, 2);
    check_image("head dimension rounded down", &TransformerSettings::mmcv(all, 2, 8), 5, 1, 3);
    check_image("magnitude", &TransformerSettings { position_magnitude: 2.5, ..paper.clone() }, 4, 2, 2);
    check_image("joint", &TransformerSettings { position: Position::Joint, ..paper.clone() }, 4, 2, 3);
    for terms in ["1111", "0010", "0000", "0001", "0110"] {
        let paper = TransformerSettings { terms: terms.parse().unwrap(), ..paper.clone() };
        check_image(
            &format!("{terms} key stride"),
            &TransformerSettings { key_stride: 2, ..paper.clone() },
            4,
            3,
            3,
        );
        check_image(
            &format!("{terms} range"),
            &TransformerSettings { range: Some(Range::Symmetric(1)), ..paper },
            4,
            3,
            3,
        );
    }
}

#[test]
fn all_patterns_on_sequences() {
    for (i, terms) in Terms::all().enumerate() {
        for causal in [false, true] {
            let settings = TransformerSettings {
                causal,
                scale: if i % 2 == 0 { Scale::InverseSqrtHeadDim } else { Scale::One },
                offset_sign: if i % 3 == 0 { OffsetSign::QueryMinusKey } else { OffsetSign::KeyMinusQuery },
                ..TransformerSettings::paper(terms, 2, 6)
            };
            let mut samples = Samples::new(i as u64);
            let mut inputs = parameters(&settings, 4, false, &mut samples);
            inputs.push(("x", samples.normal(&[1, 4, 4])));
            let padding = Array2::from_shape_fn((1, 4), |(_, k)| k == 2);
            let lattice = Lattice::Sequence { queries: 4, keys: 4 };
            assert_equal(
                &format!("{terms} causal {causal}"),
                &inputs,
                |v| {
                    attention_1d(v.last().unwrap(), None, &projections(&inputs, v), &settings, Some(&padding))
                },
                |v| {
                    let x = d3(v.last().unwrap()).index_axis_move(ndarray::Axis(0), 0);
                    let visible = |q: usize, k: usize| k != 2 && (!causal || k <= q);
                    let y = by_definition(&inputs, v, x.clone(), x, &settings, lattice, &visible);
                    y.insert_axis(ndarray::Axis(0)).into_dyn()
                },
            );
        }
    }
}

#[test]
fn encoder_decoder_attention_reads_another_sequence() {
    for terms in ["1000", "0010", "1010", "0000", "1111"] {
        let settings = TransformerSettings::paper(terms.parse().unwrap(), 2, 4);
        let mut samples = Samples::new(5);
        let mut inputs = parameters(&settings, 4, false, &mut samples);
        inputs.push(("z", samples.normal(&[1, 3, 4])));
        inputs.push(("x", samples.normal(&[1, 5, 4])));
        let n = inputs.len();
        let lattice = Lattice::Sequence { queries: 3, keys: 5 };
        assert_equal(
            terms,
            &inputs,
            |v| attention_1d(&v[n - 2], Some(&v[n - 1]), &projections(&inputs, v), &settings, None),
            |v| {
                let take = |i: usize| d3(&v[i]).index_axis_move(ndarray::Axis(0), 0);
                let y = by_definition(&inputs, v, take(n - 2), take(n - 1), &settings, lattice, &|_, _| true);
                y.insert_axis(ndarray::Axis(0)).into_dyn()
            },
        );
    }
}
