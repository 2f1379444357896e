//! [`transformer_attention`](super::transformer_attention) on the CPU, the simple form: every product a
//! GEMM, the energies and weights of a head in full.
//!
//! Faster forms are held to this one; attention maps, which are the weights in full, come from it.
//! Forward and backward of one head stand next to each other; their steps carry the same numbers.

use ndarray::{ArrayView2, Axis, s};
use rayon::prelude::*;
use termwise_autograd::{Array, Cpu, Scalar};

use super::transformer::AttentionSpec;
use crate::gemm::{gemm, matrix, matrix_mut};

/// The operands of one head of one sample.
struct Head<'a, T> {
    query: Option<ArrayView2<'a, T>>,         // (Q, d)
    key: Option<ArrayView2<'a, T>>,           // (K, d)
    value: ArrayView2<'a, T>,                 // (K, d_v)
    tables: Vec<ArrayView2<'a, T>>,           // (rows, d) each
    key_bias: Option<ArrayView2<'a, T>>,      // (1, d)
    position_bias: Option<ArrayView2<'a, T>>, // (1, d)
}

/// Gradients of one head of one sample, row-major, in the shapes of [`Head`]; empty where unused.
#[derive(Default)]
struct HeadGradients<T> {
    query: Vec<T>,
    key: Vec<T>,
    value: Vec<T>,
    tables: Vec<Vec<T>>,
    key_bias: Vec<T>,
    position_bias: Vec<T>,
}

impl<'a, T: Scalar> Head<'a, T> {
    /// Sample `n`, head `m` as strided views of the operands: no copies.
    fn of(spec: &AttentionSpec, inputs: &[&'a Array<Cpu<T>>; 7], n: usize, m: usize) -> Self {
        let columns = |array: &'a Array<Cpu<T>>, n: usize, rows: usize, dim: usize| {
            let channels = spec.num_heads * dim;
            let start = n * rows * channels;
            matrix(&array.as_slice()[start..start + rows * channels], rows, channels)
                .slice_move(s![.., m * dim..(m + 1) * dim])
        };
        let d = spec.head_dim;
        let bias = |array: &'a Array<Cpu<T>>| {
            array.present().map(|b| matrix(&b.as_slice()[m * d..(m + 1) * d], 1, d))
        };
        Head {
            query: inputs[0].present().map(|q| columns(q, n, spec.queries, d)),
            key: inputs[1].present().map(|k| columns(k, n, spec.keys, d)),
            value: columns(inputs[2], n, spec.keys, spec.value_dim),
            tables: spec.relative.iter().zip(&inputs[3..5]).map(|(i, t)| columns(t, 0, i.rows, d)).collect(),
            key_bias: bias(inputs[5]),
            position_bias: bias(inputs[6]),
        }
    }

    /// `energies += scale * (the terms that are on)`. (rows, K)
    fn add_energies(&self, spec: &AttentionSpec, energies: &mut [T]) {
        let (terms, keys, scale) = (spec.terms, spec.keys, T::of(spec.scale));
        let rows = energies.len() / keys.max(1);
        // (1) E1 = Q K^T
        if let (true, Some(query), Some(key)) = (terms.query_key, &self.query, &self.key) {
            let mut energies = matrix_mut(energies, rows, keys);
            gemm(scale, query.view(), key.t(), T::one(), &mut energies);
        }
        // (2) E3 = u K^T, the same for every query
        if let (Some(key), Some(bias)) = (&self.key, &self.key_bias) {
            let mut row = vec![T::zero(); keys];
            gemm(scale, bias.view(), key.t(), T::zero(), &mut matrix_mut(&mut row, 1, keys));
            for energies in energies.chunks_mut(keys.max(1)) {
                energies.iter_mut().zip(&row).for_each(|(e, &r)| *e += r);
            }
        }
        // (3) E2 + E4 = (b2 Q + b4 v) P^T for each distinct offset, then read for each pair
        if let Some(query) = self.position_query(spec) {
            for (table, index) in self.tables.iter().zip(&spec.relative) {
                let strip_rows = query.nrows();
                let mut strip = vec![T::zero(); strip_rows * index.rows];
                gemm(
                    scale,
                    query.view(),
                    table.t(),
                    T::zero(),
                    &mut matrix_mut(&mut strip, strip_rows, index.rows),
                );
                for (q, energies) in energies.chunks_mut(keys.max(1)).enumerate() {
                    let strip = &strip[if strip_rows == 1 { 0 } else { q * index.rows }..][..index.rows];
                    // Hidden pairs may have no row.
                    let strip = |k: usize| strip.get(index.row(q, k)).copied().unwrap_or(T::zero());
                    energies.iter_mut().zip(0..).for_each(|(e, k)| *e += strip(k));
                }
            }
        }
    }

    /// `b2 Q + b4 v`: (Q, d), or (1, d) where E2 is off and all queries share `v`.
    fn position_query(&self, spec: &AttentionSpec) -> Option<ndarray::Array2<T>> {
        match (self.query.as_ref().filter(|_| spec.terms.query_position), &self.position_bias) {
            (Some(query), Some(bias)) => Some(query + bias),
            (Some(query), None) => Some(query.to_owned()),
            (None, Some(bias)) => Some(bias.to_owned()),
            (None, None) => None,
        }
    }

    /// Weights (rows, K) of this head, and of each row the logarithm of its normaliser (rows).
    fn weights(&self, spec: &AttentionSpec, n: usize, weights: &mut [T], normalisers: &mut [T]) {
        // (1)-(3) energies
        weights.fill(T::zero());
        self.add_energies(spec, weights);
        // (4) A = softmax over the visible keys
        let padding = spec.visibility.key_padding.as_ref();
        let by_position = spec.visibility.by_position();
        for (q, row) in weights.chunks_mut(spec.keys.max(1)).enumerate() {
            for (k, energy) in row.iter_mut().enumerate() {
                let padded = padding.is_some_and(|padding| padding[[n, k]]);
                if padded || (by_position && spec.visibility.hides(&spec.lattice, q, k)) {
                    *energy = T::neg_infinity();
                }
            }
            normalisers[q] = softmax_in_place(row);
        }
    }

    /// Output (rows, d_v) of this head.
    fn output(&self, spec: &AttentionSpec, weights: &[T], output: &mut [T]) {
        let rows = spec.rows();
        // (5) o = A V
        let weights = matrix(weights, rows, spec.keys);
        gemm(T::one(), weights, self.value.view(), T::zero(), &mut matrix_mut(output, rows, spec.value_dim));
    }

    /// Gradients of this head from `grad_output` (rows, d_v).
    fn backward(&self, spec: &AttentionSpec, weights: &[T], grad_output: &[T]) -> HeadGradients<T> {
        let (keys, rows, d, scale) = (spec.keys, spec.rows(), spec.head_dim, T::of(spec.scale));
        let terms = spec.terms;
        let mut grads = HeadGradients::default();
        let (a, g) = (matrix(weights, rows, keys), matrix(grad_output, rows, spec.value_dim));
        // (5) o = A V  =>  dV = A^T do,  dA = do V^T
        grads.value = vec![T::zero(); keys * spec.value_dim];
        gemm(T::one(), a.t(), g, T::zero(), &mut matrix_mut(&mut grads.value, keys, spec.value_dim));
        let mut ds = vec![T::zero(); rows * keys];
        gemm(T::one(), g, self.value.t(), T::zero(), &mut matrix_mut(&mut ds, rows, keys));
        // (4) A = softmax(S)  =>  dS = A (dA - <dA, A>); hidden pairs have A = 0, so dS = 0
        for (ds, a) in ds.chunks_mut(keys.max(1)).zip(weights.chunks(keys.max(1))) {
            let dot: T = ds.iter().zip(a).map(|(&ds, &a)| ds * a).sum();
            ds.iter_mut().zip(a).for_each(|(ds, &a)| *ds = a * (*ds - dot));
        }
        let ds = matrix(&ds, rows, keys);
        if terms.uses_query() {
            grads.query = vec![T::zero(); spec.queries * d];
        }
        if let Some(key) = &self.key {
            grads.key = vec![T::zero(); keys * d];
            let mut grad_key = matrix_mut(&mut grads.key, keys, d);
            // (1) S += c Q K^T  =>  dQ += c dS K,  dK += c dS^T Q
            if let (true, Some(query)) = (terms.query_key, &self.query) {
                gemm(scale, ds, key.view(), T::one(), &mut matrix_mut(&mut grads.query, rows, d));
                gemm(scale, ds.t(), query.view(), T::one(), &mut grad_key);
            }
            // (2) S += c u K^T  =>  du = c (sum_q dS) K,  dK += c (sum_q dS)^T u
            if let Some(bias) = &self.key_bias {
                let column_sums = ds.sum_axis(Axis(0)).insert_axis(Axis(0)); // (1, K)
                grads.key_bias = vec![T::zero(); d];
                let mut grad_bias = matrix_mut(&mut grads.key_bias, 1, d);
                gemm(scale, column_sums.view(), key.view(), T::zero(), &mut grad_bias);
                gemm(scale, column_sums.t(), bias.view(), T::one(), &mut grad_key);
            }
        }
        // (3) S += c (b2 Q + b4 v) P^T, read by pair  =>  dstrip sums dS over the pairs of a row,
        //     d(b2 Q + b4 v) = c dstrip P,  dP = c dstrip^T (b2 Q + b4 v)
        if let Some(query) = self.position_query(spec) {
            let strip_rows = query.nrows();
            let mut grad_query = vec![T::zero(); strip_rows * d];
            for (table, index) in self.tables.iter().zip(&spec.relative) {
                let mut strip = vec![T::zero(); strip_rows * index.rows];
                for (q, ds) in ds.rows().into_iter().enumerate() {
                    let strip = &mut strip[if strip_rows == 1 { 0 } else { q * index.rows }..][..index.rows];
                    for (k, &ds) in ds.iter().enumerate() {
                        if let Some(sum) = strip.get_mut(index.row(q, k)) {
                            *sum += ds;
                        }
                    }
                }
                let strip = matrix(&strip, strip_rows, index.rows);
                gemm(scale, strip, table.view(), T::one(), &mut matrix_mut(&mut grad_query, strip_rows, d));
                let mut grad_table = vec![T::zero(); index.rows * d];
                gemm(
                    scale,
                    strip.t(),
                    query.view(),
                    T::zero(),
                    &mut matrix_mut(&mut grad_table, index.rows, d),
                );
                grads.tables.push(grad_table);
            }
            if terms.position {
                let sums = matrix(&grad_query, strip_rows, d).sum_axis(Axis(0));
                grads.position_bias = sums.to_vec();
            }
            if terms.query_position {
                grads.query.iter_mut().zip(&grad_query).for_each(|(sum, &g)| *sum += g);
            }
        }
        grads
    }
}

/// Output and logarithms of the normalisers; see the kernel trait.
pub(super) fn forward<T: Scalar>(
    spec: &AttentionSpec,
    inputs: [&Array<Cpu<T>>; 7],
) -> (Array<Cpu<T>>, Array<Cpu<T>>) {
    let (heads, rows, dv) = (spec.num_heads, spec.rows(), spec.value_dim);
    let mut normalisers = vec![T::neg_infinity(); spec.batch * heads * rows];
    let mut outputs = vec![T::zero(); spec.batch * heads * rows * dv];
    // Every (sample, head) is one task with its own slice of the results; max(1): no rows, no channels.
    normalisers
        .par_chunks_mut(rows.max(1))
        .zip(outputs.par_chunks_mut((rows * dv).max(1)))
        .enumerate()
        .for_each(|(i, (normalisers, output))| {
            let (n, m) = (i / heads, i % heads);
            let head = Head::of(spec, &inputs, n, m);
            let mut weights = vec![T::zero(); rows * spec.keys];
            head.weights(spec, n, &mut weights, normalisers);
            head.output(spec, &weights, output);
        });
    let output = merge_heads(spec, &outputs);
    (
        Array::host(&[spec.batch, spec.queries, heads * dv], output),
        Array::host(&[spec.batch, heads, rows], normalisers),
    )
}

/// The gradient of each input that needs one; see the kernel trait.
pub(super) fn backward<T: Scalar>(
    spec: &AttentionSpec,
    inputs: [&Array<Cpu<T>>; 7],
    grad_output: &Array<Cpu<T>>,
    needs: [bool; 7],
) -> [Option<Array<Cpu<T>>>; 7] {
    let (heads, rows) = (spec.num_heads, spec.rows());
    let grad_heads = split_heads(spec, grad_output.as_slice());
    let per_head = rows * spec.value_dim;
    let grads: Vec<HeadGradients<T>> = (0..spec.batch * heads)
        .into_par_iter()
        .map(|i| {
            let (n, m) = (i / heads, i % heads);
            let head = Head::of(spec, &inputs, n, m);
            let mut weights = vec![T::zero(); rows * spec.keys];
            head.weights(spec, n, &mut weights, &mut vec![T::zero(); rows]);
            head.backward(spec, &weights, &grad_heads[i * per_head..(i + 1) * per_head])
        })
        .collect();
    let assemble = |input: usize, per_sample: bool, part: &dyn Fn(&HeadGradients<T>) -> &[T]| {
        let input = inputs[input].present().filter(|_| needs[input])?;
        Some(assemble(input.shape(), spec, &grads, per_sample, part))
    };
    let bias = |input: usize, part: &dyn Fn(&HeadGradients<T>) -> &[T]| {
        sum_biases(inputs[input].present().filter(|_| needs[input])?, heads, &grads, part)
    };
    [
        assemble(0, true, &|g| &g.query),
        assemble(1, true, &|g| &g.key),
        assemble(2, true, &|g| &g.value),
        assemble(3, false, &|g| &g.tables[0]),
        assemble(4, false, &|g| &g.tables[1]),
        bias(5, &|g| &g.key_bias),
        bias(6, &|g| &g.position_bias),
    ]
}

/// The weights in full. (N, M, rows, K)
pub(super) fn weights<T: Scalar>(spec: &AttentionSpec, inputs: [&Array<Cpu<T>>; 7]) -> Array<Cpu<T>> {
    let (heads, rows, keys) = (spec.num_heads, spec.rows(), spec.keys);
    let mut weights = vec![T::zero(); spec.batch * heads * rows * keys];
    weights.par_chunks_mut((rows * keys).max(1)).enumerate().for_each(|(i, weights)| {
        let (n, m) = (i / heads, i % heads);
        Head::of(spec, &inputs, n, m).weights(spec, n, weights, &mut vec![T::zero(); rows]);
    });
    Array::host(&[spec.batch, heads, rows, keys], weights)
}

/// Scaled energies of each term that is on, masks not applied. (N, M, rows, K)
pub(super) fn energies<T: Scalar>(
    spec: &AttentionSpec,
    inputs: [&Array<Cpu<T>>; 7],
) -> [Option<Array<Cpu<T>>>; 4] {
    let (heads, rows, keys) = (spec.num_heads, spec.rows(), spec.keys);
    std::array::from_fn(|term| {
        spec.terms.flags()[term].then(|| {
            // The same code with one term on; operands of the others go unread.
            let alone = super::Terms::from_flags(std::array::from_fn(|i| i == term));
            let spec = AttentionSpec { terms: alone, ..spec.clone() };
            let mut energies = vec![T::zero(); spec.batch * heads * rows * keys];
            for (i, energies) in energies.chunks_mut((rows * keys).max(1)).enumerate() {
                let mut head = Head::of(&spec, &inputs, i / heads, i % heads);
                head.key_bias = head.key_bias.filter(|_| alone.key);
                head.position_bias = head.position_bias.filter(|_| alone.position);
                head.add_energies(&spec, energies);
            }
            Array::host(&[spec.batch, heads, rows, keys], energies)
        })
    })
}

/// Softmax of one row; returns the logarithm of its normaliser. A row that is `-inf` throughout (a query
/// that sees nothing) becomes zeros.
fn softmax_in_place<T: Scalar>(row: &mut [T]) -> T {
    let max = row.iter().fold(T::neg_infinity(), |m, &e| m.max(e));
    if max == T::neg_infinity() {
        row.fill(T::zero());
        return max;
    }
    let mut sum = T::zero();
    for e in row.iter_mut() {
        *e = (*e - max).exp();
        sum += *e;
    }
    let inverse = T::one() / sum;
    row.iter_mut().for_each(|e| *e *= inverse);
    max + sum.ln()
}

/// (N, M, rows, d_v) to (N, Q, M d_v); the one row that all queries may share is repeated.
fn merge_heads<T: Scalar>(spec: &AttentionSpec, heads: &[T]) -> Vec<T> {
    let (m_count, rows, dv) = (spec.num_heads, spec.rows(), spec.value_dim);
    let mut merged = Vec::with_capacity(spec.batch * spec.queries * m_count * dv);
    for n in 0..spec.batch {
        for q in 0..spec.queries {
            for m in 0..m_count {
                let start = ((n * m_count + m) * rows + q.min(rows - 1)) * dv;
                merged.extend_from_slice(&heads[start..start + dv]);
            }
        }
    }
    merged
}

/// The transpose of [`merge_heads`]: (N, Q, M d_v) to (N, M, rows, d_v), summed over queries that
/// share a row.
fn split_heads<T: Scalar>(spec: &AttentionSpec, merged: &[T]) -> Vec<T> {
    let (m_count, rows, dv) = (spec.num_heads, spec.rows(), spec.value_dim);
    let mut heads = vec![T::zero(); spec.batch * m_count * rows * dv];
    for (i, from) in merged.chunks(dv.max(1)).enumerate() {
        let (n, q, m) = (i / (m_count * spec.queries), i / m_count % spec.queries, i % m_count);
        let start = ((n * m_count + m) * rows + q.min(rows - 1)) * dv;
        heads[start..start + dv].iter_mut().zip(from).for_each(|(sum, &g)| *sum += g);
    }
    heads
}

/// Puts heads side by side into an array of `shape` (.., L, M d), one per sample or, for what all
/// samples share, summed over them in order.
fn assemble<T: Scalar>(
    shape: &[usize],
    spec: &AttentionSpec,
    grads: &[HeadGradients<T>],
    per_sample: bool,
    part: &dyn Fn(&HeadGradients<T>) -> &[T],
) -> Array<Cpu<T>> {
    let channels = shape[shape.len() - 1];
    let (length, dim) = (shape[shape.len() - 2], channels / spec.num_heads);
    let mut all = vec![T::zero(); shape.iter().product()];
    for (i, grad) in grads.iter().enumerate() {
        let (n, m) = (if per_sample { i / spec.num_heads } else { 0 }, i % spec.num_heads);
        for (l, from) in part(grad).chunks(dim.max(1)).enumerate() {
            let start = (n * length + l) * channels + m * dim;
            all[start..start + dim].iter_mut().zip(from).for_each(|(sum, &g)| *sum += g);
        }
    }
    Array::host(shape, all)
}

/// Gradient (M, d) of a bias, summed over the samples in order.
fn sum_biases<T: Scalar>(
    bias: &Array<Cpu<T>>,
    heads: usize,
    grads: &[HeadGradients<T>],
    part: &dyn Fn(&HeadGradients<T>) -> &[T],
) -> Option<Array<Cpu<T>>> {
    let mut sum = vec![T::zero(); bias.len()];
    let dim = bias.len() / heads;
    for (i, grad) in grads.iter().enumerate() {
        let m = i % heads;
        sum[m * dim..(m + 1) * dim].iter_mut().zip(part(grad)).for_each(|(sum, &g)| *sum += g);
    }
    Some(Array::host(bias.shape(), sum))
}
