//! The gradients: the weights of a block of queries made again, and products of that block.

use std::ops::Range;

use termwise_autograd::{Array, Backend};
use termwise_ops::attention::AttentionSpec;

use super::blocks;
use super::operands::{KEY, Operands, POSITION_BIAS, QUERY, Table, VALUE, rows};
use crate::layout::Strides;
use crate::ops::fold::fold;
use crate::ops::tensor::matmul::{Extents, Operand, product};
use crate::program::{Source, source};
use crate::{Buffer, OpenCl, Real};

/// A sum over blocks of queries, empty before the first.
struct Total<T: Real>(Option<Array<OpenCl<T>>>);

impl<T: Real> Total<T> {
    fn add(&mut self, backend: &OpenCl<T>, term: Array<OpenCl<T>>) {
        self.0 = Some(match self.0.take() {
            None => term,
            Some(sum) => backend.accumulate(sum, &term),
        });
    }
}

/// The keys at each place of a table: where those of each begin in `sources`, and at the end where they end.
struct Keys {
    starts: Buffer<i32>,
    sources: Buffer<i32>,
    places: usize,
}

impl Keys {
    fn of<T: Real>(backend: &OpenCl<T>, place_of: &[usize]) -> Self {
        let places = place_of.iter().max().map_or(0, |last| last + 1);
        let mut sources: Vec<usize> = (0..place_of.len()).collect();
        // Stable: the keys of a place stay in order.
        sources.sort_by_key(|&key| place_of[key]);
        let start = |place: usize| sources.partition_point(|&key| place_of[key] < place);
        let starts: Vec<usize> = (0..=places).map(start).collect();
        Keys { starts: backend.indices(&starts), sources: backend.indices(&sources), places }
    }
}

/// The sum of `x` over the axes along which `to` has extent 1.
fn sum<T: Real>(x: &Array<OpenCl<T>>, to: &[usize]) -> Array<OpenCl<T>> {
    fold(source!("tensor/sum", "fold"), x, to, None, 1.0)
}

/// Heads (N, M, count, dim) of up to three terms side by side, written to the rows of a block of `y` (N, rows, M dim).
fn merge<T: Real>(kernels: Source, parts: &[Array<OpenCl<T>>], y: &Array<OpenCl<T>>, block: &Range<usize>) {
    let &[_, heads, count, dim] = parts[0].shape() else { unreachable!("heads have four axes") };
    let launch = y.backend().launch(kernels, "transformer_merge").array(&parts[0]);
    let launch = launch.optional(parts.get(1)).optional(parts.get(2)).array(y).int(heads).int(dim);
    let launch = launch.int(y.shape()[1]).int(block.start).int(count);
    launch.int(parts[0].len()).items(parts[0].len());
}

/// Heads (N, M, L, dim), or (M, L, dim) for one sample, side by side: an array of `shape`.
fn merged<T: Real>(kernels: Source, heads: &Array<OpenCl<T>>, shape: &[usize]) -> Array<OpenCl<T>> {
    let extents = heads.shape();
    let (length, dim) = (extents[extents.len() - 2], extents[extents.len() - 1]);
    let (batch, count) = if extents.len() == 4 { (extents[0], extents[1]) } else { (1, extents[0]) };
    let y = heads.backend().arbitrary(&[batch, length, count * dim]);
    merge(kernels, &[heads.reshape(&[batch, count, length, dim])], &y, &(0..length));
    y.reshape(shape)
}

/// The gradient of the strips of one table. (N, M, count, rows)
fn strip_gradient<T: Real>(
    operands: &Operands<T>,
    table: &Table<T>,
    keys: &Keys,
    grad_energies: &Array<OpenCl<T>>,
    block: &Range<usize>,
) -> Array<OpenCl<T>> {
    let &AttentionSpec { batch, num_heads, keys: key_count, .. } = operands.spec;
    let backend = grad_energies.backend();
    let grad = backend.arbitrary(&[batch, num_heads, block.len(), table.rows]);
    let launch = backend.launch(operands.tiles.kernels(), "transformer_strip_gradient").array(grad_energies);
    let launch = launch.buffer(&table.places).buffer(&keys.starts).buffer(&keys.sources).array(&grad);
    let launch = launch.int(key_count).int(block.start).int(block.len()).int(table.rows).int(keys.places);
    launch.int(grad.len()).items(grad.len());
    grad
}

/// The gradient of each input that needs one; see the kernel trait. Blocks of queries are so long that they need at
/// most `budget` numbers.
pub(super) fn backward<T: Real>(
    spec: &AttentionSpec,
    inputs: [&Array<OpenCl<T>>; 7],
    (output, normalisers): (&Array<OpenCl<T>>, &Array<OpenCl<T>>),
    grad_output: &Array<OpenCl<T>>,
    needs: [bool; 7],
    budget: usize,
) -> [Option<Array<OpenCl<T>>>; 7] {
    let &AttentionSpec { batch, num_heads: heads, queries, keys, head_dim: d, value_dim: dv, .. } = spec;
    let (backend, row_count, terms) = (output.backend(), spec.rows(), spec.terms);
    let zeros = |place: usize| Array::zeros(backend, inputs[place].shape());
    if queries == 0 {
        let needed = |place: usize| needs[place] && inputs[place].present().is_some();
        return std::array::from_fn(|place| needed(place).then(|| zeros(place)));
    }
    let operands = Operands::new(spec, inputs, row_count);
    let (tiles, kernels) = (operands.tiles.of_pairs(), operands.tiles.kernels());
    let (channels, value_channels) = (heads * d, heads * dv);
    // Queries that share a row share its gradient.
    let shared = row_count != queries;
    let shape = [batch, row_count, value_channels];
    let grad_output = if shared { sum(grad_output, &shape) } else { grad_output.clone() };
    let output = if shared { rows(output, &(0..row_count)) } else { output.clone() };
    let dots = backend.arbitrary(&[batch, heads, row_count]);
    let launch = backend.launch(kernels, "transformer_dots").array(&output).array(&grad_output);
    let launch = launch.array(&dots).int(heads).int(row_count).int(dv);
    launch.int(dots.len()).items(dots.len());

    let keys_of: Vec<Keys> =
        spec.relative[..operands.tables.len()].iter().map(|index| Keys::of(backend, &index.key)).collect();
    let grad_query =
        (needs[QUERY] && terms.uses_query()).then(|| backend.arbitrary(&[batch, queries, channels]));
    let new = || Total::<T>(None);
    let (mut grad_value, mut grad_key, mut key_sums, mut position_bias) = (new(), new(), new(), new());
    let mut tables: Vec<Total<T>> = operands.tables.iter().map(|_| new()).collect();
    let table_rows: usize = operands.tables.iter().map(|table| table.rows).sum();
    let per_query = batch * heads * (2 * keys + 2 * table_rows);
    for block in blocks(row_count, per_query, budget) {
        let count = block.len();
        let strips = operands.strips(&block);
        // A, and the gradient of the sum of energies
        let weights = backend.arbitrary(&[batch, heads, count, keys]);
        let grad = backend.arbitrary(weights.shape());
        let launch = backend.launch(kernels, "transformer_pairs");
        let launch = operands.arguments(launch, &strips, &block).array(inputs[VALUE]).array(&grad_output);
        let launch = launch.array(normalisers).array(&dots).array(&weights).array(&grad).int(dv);
        launch.groups(tiles.cover(count, keys) * heads * batch);
        // o = A V  =>  dV = A^T do
        let pairs = [heads * count * keys, count * keys];
        let to_rows = |channels: usize, dim: usize, right: usize| {
            let axes = [(batch, [pairs[0], right * channels]), (heads, [pairs[1], dim])];
            Strides::from_axes(axes)
        };
        if needs[VALUE] {
            let extents =
                Extents { batches: to_rows(value_channels, dv, count), ..Extents::one(keys, count, dv) };
            let (left, right) = (Operand::transposed(&weights, keys), rows(&grad_output, &block));
            let right = Operand::rows(&right, value_channels);
            grad_value.add(backend, product(&extents, left, right, None, &[batch, heads, keys, dv]));
        }
        let mut grad_queries = vec![];
        if let (Some(query), Some(key)) = (&operands.query, operands.key) {
            // E1 + E3 = (Q + u) K^T  =>  dQ = dS K,  dK = dS^T (Q + u)
            if grad_query.is_some() {
                let extents = Extents { batches: to_rows(channels, d, keys), ..Extents::one(count, keys, d) };
                let (left, right) = (Operand::rows(&grad, keys), Operand::rows(key, channels));
                grad_queries.push(product(&extents, left, right, None, &[batch, heads, count, d]));
            }
            if needs[KEY] {
                let extents =
                    Extents { batches: to_rows(channels, d, count), ..Extents::one(keys, count, d) };
                let (left, right) = (Operand::transposed(&grad, keys), rows(query, &block));
                let right = Operand::rows(&right, channels);
                grad_key.add(backend, product(&extents, left, right, None, &[batch, heads, keys, d]));
            }
        }
        if terms.key {
            key_sums.add(backend, sum(&grad, &[batch, heads, 1, keys]));
        }
        for ((table, keys_of), total) in operands.tables.iter().zip(&keys_of).zip(&mut tables) {
            let strip = strip_gradient(&operands, table, keys_of, &grad, &block);
            if !operands.by_query() {
                total.add(backend, sum(&strip, &[1, heads, 1, table.rows]));
                continue;
            }
            // P' = Q' P^T  =>  dQ' = dP' P,  dP = dP'^T Q'
            let strips = [heads * count * table.rows, count * table.rows];
            let batches = Strides::from_axes([(batch, [strips[0], 0]), (heads, [strips[1], d])]);
            let extents = Extents { batches, ..Extents::one(count, table.rows, d) };
            let (left, right) = (Operand::rows(&strip, table.rows), Operand::rows(table.array, channels));
            let grad_position = product(&extents, left, right, None, &[batch, heads, count, d]);
            if terms.position {
                position_bias.add(backend, sum(&grad_position, &[1, heads, 1, d]));
            }
            grad_queries.push(grad_position);
            let query = operands.position_query.as_ref().expect("there are tables");
            let extents = Extents {
                batches: Strides::from_axes([(heads, [strips[1], d])]),
                summed: Strides::from_axes([(batch, [strips[0], count * channels])]),
                ..Extents::one(table.rows, count, d)
            };
            let (left, right) = (Operand::transposed(&strip, table.rows), rows(query, &block));
            let right = Operand::rows(&right, channels);
            total.add(backend, product(&extents, left, right, None, &[heads, table.rows, d]));
        }
        if let Some(grad_query) = &grad_query {
            merge(kernels, &grad_queries, grad_query, &block);
        }
    }

    let grad_value = grad_value.0.map(|heads| merged(kernels, &heads, inputs[VALUE].shape()));
    let (mut grad_key, mut key_bias) = (grad_key.0, None);
    if let (Some(key), Some(bias), Some(sums)) = (operands.key, operands.key_bias, &key_sums.0) {
        // E3 = u . K  =>  du = sum_q dS K,  dK = (sum_q dS)^T u
        let extents = Extents {
            batches: Strides::from_axes([(heads, [keys, d])]),
            summed: Strides::from_axes([(batch, [heads * keys, keys * channels])]),
            ..Extents::one(1, keys, d)
        };
        let (left, right) = (Operand::rows(sums, keys), Operand::rows(key, channels));
        key_bias = Some(product(&extents, left, right, None, &[heads, d]));
        if operands.query.is_none() {
            let batches = Strides::from_axes([(batch, [heads * keys, 0]), (heads, [keys, d])]);
            let extents = Extents { batches, ..Extents::one(keys, 1, d) };
            let (left, right) = (Operand::rows(sums, 1), Operand::rows(bias, d));
            grad_key = Some(product(&extents, left, right, None, &[batch, heads, keys, d]));
        }
    }
    let grad_key = grad_key.map(|heads| merged(kernels, &heads, inputs[KEY].shape()));
    let mut grad_tables = [None, None];
    for (t, (table, total)) in operands.tables.iter().zip(tables).enumerate() {
        let Some(mut total) = total.0 else { continue };
        if !operands.by_query() {
            // P' = v P^T for all queries  =>  dv = dP' P,  dP = dP'^T v
            let batches = || Strides::from_axes([(heads, [table.rows, d])]);
            let extents = Extents { batches: batches(), ..Extents::one(1, table.rows, d) };
            let (left, right) = (Operand::rows(&total, table.rows), Operand::rows(table.array, channels));
            position_bias.add(backend, product(&extents, left, right, None, &[heads, d]));
            let extents = Extents { batches: batches(), ..Extents::one(table.rows, 1, d) };
            let bias = Operand::rows(inputs[POSITION_BIAS], d);
            total = product(&extents, Operand::rows(&total, 1), bias, None, &[heads, table.rows, d]);
        }
        grad_tables[t] = Some(merged(kernels, &total, table.array.shape()));
    }
    let [first, second] = grad_tables;
    let position_bias = position_bias.0.map(|sum| sum.reshape(&[heads, d]));
    let grads = [grad_query, grad_key, grad_value, first, second, key_bias, position_bias];
    let mut needs = needs.into_iter();
    grads.map(|grad| {
        let needed = needs.next() == Some(true);
        grad.filter(|_| needed)
    })
}
