//! Queries taken in blocks give what they give at once. The cases of the operation are too small for a second block.

use ndarray::Array2;
use termwise_autograd::Array;
use termwise_autograd::gradcheck::Samples;
use termwise_ops::attention::{AttentionSpec, Lattice, Range, Terms, Visibility};

use super::{BUDGET, backward, blocks, forward};
use crate::OpenCl;
use crate::program::tests::backend;

type Arrays = Vec<Option<Array<OpenCl<f32>>>>;

const IMAGE: Lattice = Lattice::Image { height: 5, width: 7, query_stride: 1, key_stride: 2 };
const SEQUENCE: Lattice = Lattice::Sequence { queries: 37, keys: 37 };

fn spec(terms: Terms, lattice: Lattice, visibility: Visibility) -> AttentionSpec {
    let count = |(rows, columns): (usize, usize)| rows * columns;
    let relative = match lattice {
        _ if !terms.uses_position() => vec![],
        Lattice::Image { .. } => vec![lattice.x_index(), lattice.y_index()],
        Lattice::Sequence { .. } => vec![lattice.x_index()],
    };
    AttentionSpec {
        terms,
        num_heads: 2,
        scale: 0.5,
        batch: 2,
        queries: count(lattice.query_grid()),
        keys: count(lattice.key_grid()),
        head_dim: 3,
        value_dim: 5,
        relative,
        lattice,
        visibility,
    }
}

/// Output, normalisers and every gradient, where a block of queries may need `budget` numbers.
fn computed(backend: &OpenCl<f32>, spec: &AttentionSpec, budget: usize) -> Arrays {
    let &AttentionSpec { batch, num_heads, queries, keys, head_dim, value_dim, terms, .. } = spec;
    let (channels, mut samples) = (num_heads * head_dim, Samples::new(3));
    let mut normal = |used: bool, shape: &[usize]| {
        let values = samples.normal(shape);
        if used { Array::from_f64(backend, &values) } else { Array::absent(backend) }
    };
    let rows = |t: usize| spec.relative.get(t).map_or(0, |index| index.rows);
    let inputs = [
        normal(terms.uses_query(), &[batch, queries, channels]),
        normal(terms.uses_key(), &[batch, keys, channels]),
        normal(true, &[batch, keys, num_heads * value_dim]),
        normal(rows(0) > 0, &[rows(0), channels]),
        normal(rows(1) > 0, &[rows(1), channels]),
        normal(terms.key, &[num_heads, head_dim]),
        normal(terms.position, &[num_heads, head_dim]),
    ];
    let grad_output = normal(true, &[batch, queries, num_heads * value_dim]);
    let needs = inputs.each_ref().map(|input| input.present().is_some());
    let inputs = inputs.each_ref();
    let (output, normalisers) = forward(spec, inputs, budget);
    let grads = backward::backward(spec, inputs, (&output, &normalisers), &grad_output, needs, budget);
    [Some(output), Some(normalisers)].into_iter().chain(grads).collect()
}

#[test]
fn blocks_cover_all_queries_once() {
    let starts = |queries, per_query, budget| blocks(queries, per_query, budget).collect::<Vec<_>>();
    assert_eq!(starts(7, 10, 29), [0..2, 2..4, 4..6, 6..7]);
    assert_eq!(starts(3, 10, 5), [0..1, 1..2, 2..3]); // one at least
    assert_eq!(starts(70, 1, 40), [0..32, 32..64, 64..70]); // whole tiles
    assert_eq!(starts(0, 1, 40), []);
}

#[test]
fn queries_in_blocks_give_what_they_give_at_once() {
    let Some(backend) = backend() else { return };
    let padding = Array2::from_shape_fn((2, 37), |(n, k)| n == 1 && k > 30);
    let seen = [
        (IMAGE, Visibility::default()),
        (IMAGE, Visibility { range: Some(Range::Symmetric(2)), ..Visibility::default() }),
        (SEQUENCE, Visibility { causal: true, key_padding: Some(padding), ..Visibility::default() }),
    ];
    for (lattice, visibility) in &seen {
        for code in ["1000", "0100", "0001", "0110", "0011", "1111"] {
            let terms: Terms = code.parse().unwrap();
            let spec = spec(terms, *lattice, visibility.clone());
            // Numbers that a query needs, of all samples and heads: five queries to a block, and some.
            let rows: usize = spec.relative.iter().map(|index| index.rows).sum();
            let budget = 5 * 4 * (2 * spec.keys + 2 * rows) + 3;
            let (whole, cut) = (computed(&backend, &spec, BUDGET), computed(&backend, &spec, budget));
            for (place, (whole, cut)) in whole.iter().zip(&cut).enumerate() {
                let (Some(whole), Some(cut)) = (whole, cut) else {
                    assert!(whole.is_none() && cut.is_none(), "{terms} {lattice:?}: {place} is missing");
                    continue;
                };
                let (whole, cut) = (whole.to_ndarray(), cut.to_ndarray());
                let largest = whole.iter().filter(|x| x.is_finite()).fold(1.0, |m: f32, x| m.max(x.abs()));
                for (position, (a, b)) in whole.iter().zip(&cut).enumerate() {
                    assert!(
                        a == b || (a - b).abs() <= 1e-5 * largest,
                        "{terms} {lattice:?} {visibility:?}: number {position} of {place}: {a} at once, {b} in blocks"
                    );
                }
            }
        }
    }
}
