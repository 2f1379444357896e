//! Transformer attention in which one row of weights serves all queries: E3 alone, or no term at all, and
//! no mask by position.
//!
//! ```text
//! a = softmax over the visible k of c u . K_k        o_q = sum_k a_k V_k, the same for each q
//! ```
//!
//! Backward, with `G = sum_q g_q`: `dV_k = a_k G`, `dA_k = G . V_k`, `dS = a (dA - <a, dA>)`,
//! `dK_k = c dS_k u`, `du = c sum_k dS_k K_k`.

use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector};
use termwise_autograd::{Array, Cpu, Scalar};

use super::key_rows::{dot_rows, exp_minus, largest, sum, sum_rows};
use super::transformer::AttentionSpec;
use crate::par;

/// Output (N, Q, M d_v) and logarithm of the normaliser (N, M, 1).
pub(super) fn forward<T: Scalar>(
    isa: Isa,
    spec: &AttentionSpec,
    inputs: [&Array<Cpu<T>>; 7],
) -> (Array<Cpu<T>>, Array<Cpu<T>>) {
    let (heads, dim, keys) = (spec.num_heads, spec.value_dim, spec.keys);
    let rows = par::map(spec.batch * heads, keys * (dim + spec.head_dim), |head| {
        simd::run_on(isa, Forward(Row::of(spec, inputs, head / heads, head % heads)))
    });
    let mut output = Buffer::arbitrary(spec.batch * spec.queries * heads * dim);
    let mut log_sums = Buffer::arbitrary(spec.batch * heads);
    rows.iter().zip(log_sums.iter_mut()).for_each(|((_, log_sum), into)| *into = *log_sum);
    par::for_each_chunk(&mut output, (heads * dim).max(1), heads * dim, |row, output| {
        let rows = &rows[row / spec.queries * heads..];
        output.chunks_exact_mut(dim).zip(rows).for_each(|(output, (row, _))| output.copy_from_slice(row));
    });
    (
        Array::from_buffer(&[spec.batch, spec.queries, heads * dim], output),
        Array::from_buffer(&[spec.batch, heads, 1], log_sums),
    )
}

/// The gradient of each input that needs one.
pub(super) fn backward<T: Scalar>(
    isa: Isa,
    spec: &AttentionSpec,
    inputs: [&Array<Cpu<T>>; 7],
    log_sums: &Array<Cpu<T>>,
    grad_output: &Array<Cpu<T>>,
    needs: [bool; 7],
) -> [Option<Array<Cpu<T>>>; 7] {
    let (heads, dim, keys) = (spec.num_heads, spec.value_dim, spec.keys);
    let work = (spec.queries + 2 * keys) * dim + 3 * keys * spec.head_dim;
    let rows = par::map(spec.batch * heads, work, |head| {
        let row = Row::of(spec, inputs, head / heads, head % heads);
        let grad_output = grad_output.as_slice();
        simd::run_on(
            isa,
            Backward { row, log_sum: log_sums.as_slice()[head], grad_output, queries: spec.queries },
        )
    });
    // Each head's columns side by side in the rows of a sample.
    let merge = |input: usize, dim: usize, rows_of: fn(&RowGradients<T>) -> &[T]| {
        let shape = inputs[input].present().filter(|_| needs[input])?.shape();
        let mut merged = Buffer::arbitrary(spec.batch * keys * heads * dim);
        par::for_each_chunk(&mut merged, (heads * dim).max(1), heads * dim, |row, into| {
            for (m, into) in into.chunks_exact_mut(dim).enumerate() {
                let rows = rows_of(&rows[row / keys * heads + m]);
                into.copy_from_slice(&rows[row % keys * dim..][..dim]);
            }
        });
        Some(Array::from_buffer(shape, merged))
    };
    let key = merge(1, spec.head_dim, |row| &row.key);
    let value = merge(2, dim, |row| &row.value);
    let bias = inputs[5].present().filter(|_| needs[5]).map(|bias| {
        let mut sum = Buffer::zeros(bias.len());
        for (head, row) in rows.iter().enumerate() {
            let into = &mut sum[head % heads * spec.head_dim..][..spec.head_dim];
            into.iter_mut().zip(&*row.bias).for_each(|(sum, &d)| *sum += d);
        }
        Array::from_buffer(bias.shape(), sum)
    });
    [None, key, value, None, None, bias, None]
}

/// The operands of one head of one sample.
struct Row<'a, T> {
    scale: T,
    keys: usize,
    /// Which rows of the output are this sample's, and which columns this head's.
    at: (usize, usize),
    /// Rows of K (stride, d), first that of this head's first key, and u.
    key: Option<(&'a [T], usize, &'a [T])>,
    /// Rows of V: first that of this head's first key, stride, d_v.
    value: (&'a [T], usize, usize),
    padding: Option<ndarray::ArrayView1<'a, bool>>,
}

impl<'a, T: Scalar> Row<'a, T> {
    fn of(spec: &'a AttentionSpec, inputs: [&'a Array<Cpu<T>>; 7], n: usize, m: usize) -> Self {
        let rows = |array: &'a Array<Cpu<T>>, dim: usize| {
            let stride = spec.num_heads * dim;
            (&array.as_slice()[n * spec.keys * stride + m * dim..], stride)
        };
        let d = spec.head_dim;
        let key = inputs[1].present().zip(inputs[5].present()).map(|(key, bias)| {
            let (key, stride) = rows(key, d);
            (key, stride, &bias.as_slice()[m * d..][..d])
        });
        let (value, stride) = rows(inputs[2], spec.value_dim);
        let padding = spec.visibility.key_padding.as_ref().map(|padding| padding.row(n));
        Row {
            scale: T::of(spec.scale),
            keys: spec.keys,
            at: (n, m),
            key,
            value: (value, stride, spec.value_dim),
            padding,
        }
    }

    /// Energies of the keys, `-inf` where they are padding.
    #[inline(always)]
    fn energies<V: Vector<Element = T>>(&self) -> Buffer<T> {
        let mut energies = Buffer::zeros(self.keys);
        if let Some((key, stride, bias)) = self.key {
            let scaled: Vec<T> = bias.iter().map(|&u| self.scale * u).collect();
            dot_rows::<V>(key, stride, &scaled, &mut energies);
        }
        if let Some(padding) = &self.padding {
            let pairs = energies.iter_mut().zip(padding);
            pairs.filter(|(_, hidden)| **hidden).for_each(|(energy, _)| *energy = T::neg_infinity());
        }
        energies
    }
}

/// The output of one head and the logarithm of its normaliser.
struct Forward<'a, T>(Row<'a, T>);

impl<T: Scalar> Kernel<T> for Forward<'_, T> {
    type Output = (Vec<T>, T);

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> (Vec<T>, T) {
        let row = self.0;
        let (value, stride, dim) = row.value;
        let mut output = vec![T::zero(); dim];
        // (1) S
        let mut weights = row.energies::<V>();
        // (2) a = softmax S
        let Some(largest) = largest::<V>(&weights) else { return (output, T::neg_infinity()) };
        exp_minus::<V>(&mut weights, largest);
        let sum = sum::<V>(&weights);
        // (3) o = sum_k a_k V_k
        sum_rows::<V>(value, stride, row.keys, Some(&weights), &mut output);
        output.iter_mut().for_each(|o| *o /= sum);
        (output, largest + sum.ln())
    }
}

/// Gradients of one head of one sample.
struct RowGradients<T: Scalar> {
    key: Buffer<T>,   // (K, d)
    value: Buffer<T>, // (K, d_v)
    bias: Vec<T>,     // (d)
}

struct Backward<'a, T> {
    row: Row<'a, T>,
    log_sum: T,
    /// (N, Q, M d_v)
    grad_output: &'a [T],
    queries: usize,
}

impl<T: Scalar> Kernel<T> for Backward<'_, T> {
    type Output = RowGradients<T>;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> RowGradients<T> {
        let (row, (n, m)) = (&self.row, self.row.at);
        let (value, stride, dim) = row.value;
        // One row for all queries  =>  the sum over them
        let mut grad = vec![T::zero(); dim];
        let from = &self.grad_output[n * self.queries * stride + m * dim..];
        sum_rows::<V>(from, stride, self.queries, None, &mut grad);
        // (2) a = softmax S
        let mut weights = row.energies::<V>();
        if self.log_sum == T::neg_infinity() {
            weights.fill(T::zero());
        } else {
            exp_minus::<V>(&mut weights, self.log_sum);
        }
        // (3) o = sum_k a_k V_k  =>  dV_k = a_k g,  dA_k = g . V_k
        let mut d_value = Buffer::arbitrary(row.keys * dim);
        for (d_value, &weight) in d_value.chunks_exact_mut(dim).zip(&*weights) {
            for (d, g) in d_value.chunks_mut(V::LANES).zip(grad.chunks(V::LANES)) {
                (V::splat(weight) * V::from_slice(g)).write_to(d);
            }
        }
        let Some((key, stride_key, bias)) = row.key else {
            return RowGradients { key: Buffer::zeros(0), value: d_value, bias: Vec::new() };
        };
        let mut d_energies = Buffer::arbitrary(row.keys);
        dot_rows::<V>(value, stride, &grad, &mut d_energies);
        // (2) a = softmax S  =>  dS = a (dA - <a, dA>)
        let mean: T = weights.iter().zip(&*d_energies).map(|(&a, &d)| a * d).sum();
        d_energies.iter_mut().zip(&*weights).for_each(|(d, &a)| *d = row.scale * a * (*d - mean));
        // (1) S = c u . K  =>  dK_k = c dS_k u,  du = c sum_k dS_k K_k
        let mut d_key = Buffer::arbitrary(row.keys * bias.len());
        for (d_key, &d) in d_key.chunks_exact_mut(bias.len()).zip(&*d_energies) {
            for (d_key, u) in d_key.chunks_mut(V::LANES).zip(bias.chunks(V::LANES)) {
                (V::splat(d) * V::from_slice(u)).write_to(d_key);
            }
        }
        let mut d_bias = vec![T::zero(); bias.len()];
        sum_rows::<V>(key, stride_key, row.keys, Some(&d_energies), &mut d_bias);
        RowGradients { key: d_key, value: d_value, bias: d_bias }
    }
}
