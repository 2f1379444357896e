//! Transformer attention of content in which one row of weights serves all queries, reassociated so that no key
//! is ever projected.

use ndarray::{Array2, ArrayView1, s};
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::key_rows::{exp_minus, largest, sum};
use crate::gemm::{gemm, matrix, matrix_mut};
use crate::par;

/// What every query gets from Transformer attention with E3 alone, or with no term at all: the weights do
/// not depend on the query.
///
/// # Formula
/// `o_m = W'_m sum_k a_mk x_k` with `a_m = softmax_k(c w_m . x_k)` and `w_m = V^C_m^T u_m`
///
/// That is `sum_k a_mk W'_m x_k` with the energies `c u_m . V^C_m x_k`, reassociated: each is linear in
/// `x_k`, so the projections act once on a vector for each head instead of on every key.
///
/// # Shapes
/// `x` (N, C, K), channels first, as an image is; `key` the projection `V^C` (M d, C) and `u` (M, d), or
/// none for weights that are equal; `value` the projection `W'` (M `d_v`, C); `key_padding` (N, K), true
/// where a key is padding. The result (N, M `d_v`).
///
/// # Gradient
/// With `z_m = sum_k a_mk x_k` and `dz_m = W'_m^T do_m`: `dW'_m = do_m z_m^T`, `da_mk = dz_m . x_k`,
/// `dS = a (da - <a, da>)`, `dw_m = c sum_k dS_mk x_k`, `dx_k = sum_m a_mk dz_m + c dS_mk w_m`,
/// `du_m = V^C_m dw_m`, `dV^C_m = u_m dw_m^T`.
///
/// # Saved for backward
/// The operands, the weights a (N, M, K), z (N, M, C) and c w (M, C).
///
/// # Cost
/// `2 N M K C` multiply-adds forward, `4 N M K C` backward.
///
/// # Edge cases
/// A sample all of whose keys are padding gets 0 and passes no gradient.
///
/// # Panics
/// If the shapes do not fit; the message names them.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::attention::shared_row_attention;
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 1, 2], vec![0.0, 1.0])); // one channel, two keys
/// let [key, value] = [2.0, 10.0].map(|weight| tape.leaf(Array::host(&[1, 1], vec![weight])));
/// let u = tape.leaf(Array::host(&[1, 1], vec![3f64.ln() / 2.0]));
/// let o = shared_row_attention(&x, Some((&key, &u)), &value, 1, 1.0, None);
/// assert!((o.value().item() - 7.5).abs() < 1e-12); // energies 0 and ln 3, weights 1/4 and 3/4
/// ```
///
/// # Source
/// Zhu et al., ICCV 2019, Eq. 2 with `beta = (0, 0, 1, 0)`.
#[track_caller]
pub fn shared_row_attention<B: SharedRowKernel>(
    x: &Var<B>,
    key: Option<(&Var<B>, &Var<B>)>,
    value: &Var<B>,
    num_heads: usize,
    scale: f64,
    key_padding: Option<&Array2<bool>>,
) -> Var<B> {
    let &[batch, channels, keys] = x.shape() else {
        panic!("shared_row_attention: x must be (N, C, K), its shape is {:?}", x.shape());
    };
    let shape = value.shape();
    assert!(
        num_heads > 0 && shape.len() == 2 && shape[0].is_multiple_of(num_heads) && shape[1] == channels,
        "shared_row_attention: value is {shape:?}, expected (a multiple of {num_heads} heads, {channels}); x is {:?}",
        x.shape()
    );
    if let Some((key, bias)) = key {
        let (key, bias) = (key.shape(), bias.shape());
        let fits =
            matches!((key, bias), (&[rows, c], &[m, d]) if rows == m * d && c == channels && m == num_heads);
        assert!(
            fits,
            "shared_row_attention: key is {key:?} and u is {bias:?}, expected ({num_heads} d, {channels}) and \
             ({num_heads}, d)"
        );
    }
    if let Some(padding) = key_padding {
        assert!(
            padding.dim() == (batch, keys),
            "shared_row_attention: key_padding is {:?}, expected ({batch}, {keys})",
            padding.dim()
        );
    }
    let (key, bias) = (x.optional(key.map(|(key, _)| key)), x.optional(key.map(|(_, bias)| bias)));
    apply(SharedRow { num_heads, scale, key_padding: key_padding.cloned() }, [x, &key, &bias, value])
}

/// What the kernels of [`shared_row_attention`] need to know besides the operands.
pub struct SharedRow {
    /// M.
    pub num_heads: usize,
    /// c.
    pub scale: f64,
    /// Keys hidden in each sample. (N, K)
    pub key_padding: Option<Array2<bool>>,
}

/// What forward of [`shared_row_attention`] finds on its way.
pub struct SharedRowParts<B: Backend> {
    /// a. (N, M, K)
    pub weights: Array<B>,
    /// `z_m = sum_k a_mk x_k`. (N, M, C)
    pub means: Array<B>,
    /// `c w_m`, absent where there is no key. (M, C)
    pub directions: Array<B>,
}

impl<B: SharedRowKernel> Op<B, 4> for SharedRow {
    type Saved = ([Array<B>; 4], SharedRowParts<B>);

    fn name(&self) -> &'static str {
        "shared_row_attention"
    }

    fn forward(&self, inputs: [&Array<B>; 4]) -> (Array<B>, Self::Saved) {
        let (output, parts) = B::shared_row_forward(self, inputs);
        (output, (inputs.map(Array::clone), parts))
    }

    fn backward(
        &self,
        (inputs, parts): &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 4],
    ) -> [Option<Array<B>>; 4] {
        B::shared_row_backward(self, inputs.each_ref(), parts, grad_output, needs)
    }
}

/// Kernels of [`shared_row_attention`]. `inputs` are x, key, u, value; key and u may be absent.
pub trait SharedRowKernel: Backend {
    /// The output (N, M d_v) and what backward needs.
    fn shared_row_forward(op: &SharedRow, inputs: [&Array<Self>; 4]) -> (Array<Self>, SharedRowParts<Self>);

    /// The gradient of each input that `needs` one.
    fn shared_row_backward(
        op: &SharedRow,
        inputs: [&Array<Self>; 4],
        parts: &SharedRowParts<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 4],
    ) -> [Option<Array<Self>>; 4];
}

/// Extents of one call.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    heads: usize,
    channels: usize,
    keys: usize,
    head_dim: usize,
    value_dim: usize,
}

impl Sizes {
    fn of<T: Scalar>(op: &SharedRow, [x, key, _, value]: [&Array<Cpu<T>>; 4]) -> Self {
        let heads = op.num_heads;
        Sizes {
            batch: x.shape()[0],
            heads,
            channels: x.shape()[1],
            keys: x.shape()[2],
            head_dim: key.present().map_or(0, |key| key.shape()[0] / heads),
            value_dim: value.shape()[0] / heads,
        }
    }
}

impl<T: Scalar> SharedRowKernel for Cpu<T> {
    fn shared_row_forward(op: &SharedRow, inputs: [&Array<Self>; 4]) -> (Array<Self>, SharedRowParts<Self>) {
        let [x, key, bias, value] = inputs;
        let Sizes { batch, heads, channels, keys, head_dim, value_dim } = Sizes::of(op, inputs);
        let (one, zero) = (T::one(), T::zero());
        // (1) c w_m = c V^C_m^T u_m
        let directions = key.present().map(|key| {
            let mut directions = Buffer::zeros(heads * channels);
            for (i, (row, &u)) in
                key.as_slice().chunks_exact(channels.max(1)).zip(bias.as_slice()).enumerate()
            {
                add_row(&mut directions[i / head_dim * channels..], T::of(op.scale) * u, row);
            }
            Array::from_buffer(&[heads, channels], directions)
        });
        let mut weights = Buffer::zeros(batch * heads * keys);
        let mut means = Buffer::arbitrary(batch * heads * channels);
        for n in 0..batch {
            let x = matrix(&x.as_slice()[n * channels * keys..][..channels * keys], channels, keys);
            let weights = &mut weights[n * heads * keys..][..heads * keys];
            // (2) S = c w x
            if let Some(directions) = &directions {
                let directions = matrix(directions.as_slice(), heads, channels);
                gemm(one, directions, x, zero, &mut matrix_mut(weights, heads, keys));
            }
            // (3) a = softmax S
            let padding = op.key_padding.as_ref().map(|padding| padding.row(n));
            par::for_each_chunk(weights, keys.max(1), 8 * keys, |_, row| simd::run(Softmax { row, padding }));
            // (4) z_m = sum_k a_mk x_k
            let means =
                &mut matrix_mut(&mut means[n * heads * channels..][..heads * channels], heads, channels);
            gemm(one, matrix(weights, heads, keys), x.reversed_axes(), zero, means);
        }
        // (5) o_m = W'_m z_m
        let mut output = Buffer::zeros(batch * heads * value_dim);
        for m in 0..heads {
            let rows = m * value_dim..(m + 1) * value_dim;
            let (value, means) = (
                matrix(value.as_slice(), heads * value_dim, channels),
                matrix(&means, batch, heads * channels),
            );
            let means = means.slice_move(s![.., m * channels..(m + 1) * channels]);
            let mut output =
                matrix_mut(&mut output, batch, heads * value_dim).slice_move(s![.., rows.clone()]);
            gemm(one, means, value.slice_move(s![rows, ..]).reversed_axes(), zero, &mut output);
        }
        let parts = SharedRowParts {
            weights: Array::from_buffer(&[batch, heads, keys], weights),
            means: Array::from_buffer(&[batch, heads, channels], means),
            directions: directions.unwrap_or_else(|| Array::absent(&Cpu::new())),
        };
        (Array::from_buffer(&[batch, heads * value_dim], output), parts)
    }

    fn shared_row_backward(
        op: &SharedRow,
        inputs: [&Array<Self>; 4],
        parts: &SharedRowParts<Self>,
        grad_output: &Array<Self>,
        [need_x, need_key, need_bias, need_value]: [bool; 4],
    ) -> [Option<Array<Self>>; 4] {
        let [x, key, bias, value] = inputs;
        let Sizes { batch, heads, channels, keys, head_dim, value_dim } = Sizes::of(op, inputs);
        let (one, zero) = (T::one(), T::zero());
        let directions = parts.directions.present().map(Array::as_slice);
        // [dz | c w], one above the other, and [a | dS]: dx is the product of the two.
        let stacked = if directions.is_some() { 2 * heads } else { heads };
        let mut left = Buffer::zeros(stacked * channels);
        let mut right = Buffer::arbitrary(stacked * keys);
        let mut grad_value = Buffer::zeros(value.len());
        let mut grad_directions = Buffer::zeros(directions.map_or(0, <[T]>::len));
        let mut grad_x = Buffer::arbitrary(if need_x { x.len() } else { 0 });
        for n in 0..batch {
            // (5) o_m = W'_m z_m  =>  dz_m = W'_m^T do_m,  dW'_m = do_m z_m^T
            let grad = &grad_output.as_slice()[n * heads * value_dim..][..heads * value_dim];
            let means = &parts.means.as_slice()[n * heads * channels..][..heads * channels];
            left[..heads * channels].fill(zero);
            for (i, &g) in grad.iter().enumerate() {
                let m = i / value_dim;
                add_row(&mut left[m * channels..], g, &value.as_slice()[i * channels..][..channels]);
                add_row(&mut grad_value[i * channels..], g, &means[m * channels..][..channels]);
            }
            // (4) z_m = sum_k a_mk x_k  =>  da = dz x,  dx = dz^T a
            let x = matrix(&x.as_slice()[n * channels * keys..][..channels * keys], channels, keys);
            let weights = &parts.weights.as_slice()[n * heads * keys..][..heads * keys];
            right[..heads * keys].copy_from_slice(weights);
            if let Some(directions) = directions {
                let grad_means = matrix(&left[..heads * channels], heads, channels);
                let d_energies = &mut right[heads * keys..];
                gemm(one, grad_means, x, zero, &mut matrix_mut(d_energies, heads, keys));
                // (3) a = softmax S  =>  dS = a (da - <a, da>)
                par::for_each_chunk(d_energies, keys.max(1), 4 * keys, |m, d| {
                    simd::run(SoftmaxBackward { weights: &weights[m * keys..][..keys], d });
                });
                // (2) S = c w x  =>  d(c w) = dS x^T,  dx += (c w)^T dS
                let into = &mut matrix_mut(&mut grad_directions, heads, channels);
                gemm(one, matrix(d_energies, heads, keys), x.reversed_axes(), one, into);
                left[heads * channels..].copy_from_slice(directions);
            }
            if need_x {
                let grad_x = &mut grad_x[n * channels * keys..][..channels * keys];
                let left = matrix(&left, stacked, channels).reversed_axes();
                gemm(one, left, matrix(&right, stacked, keys), zero, &mut matrix_mut(grad_x, channels, keys));
            }
        }
        // (1) c w_m = c V^C_m^T u_m  =>  dV^C_m = c u_m d(c w_m)^T,  du_m = c V^C_m d(c w_m)
        let scale = T::of(op.scale);
        let grad_key = key.present().filter(|_| need_key).map(|key| {
            let mut grad = Buffer::zeros(key.len());
            for (i, (row, &u)) in grad.chunks_exact_mut(channels.max(1)).zip(bias.as_slice()).enumerate() {
                add_row(row, scale * u, &grad_directions[i / head_dim * channels..][..channels]);
            }
            Array::from_buffer(key.shape(), grad)
        });
        let grad_bias = bias.present().filter(|_| need_bias).map(|bias| {
            let mut grad = Buffer::arbitrary(bias.len());
            for (i, grad) in grad.iter_mut().enumerate() {
                let row = key.as_slice()[i * channels..][..channels].iter();
                *grad =
                    scale * row.zip(&grad_directions[i / head_dim * channels..]).map(|(&k, &d)| k * d).sum();
            }
            Array::from_buffer(bias.shape(), grad)
        });
        [
            need_x.then(|| Array::from_buffer(x.shape(), grad_x)),
            grad_key,
            grad_bias,
            need_value.then(|| Array::from_buffer(value.shape(), grad_value)),
        ]
    }
}

/// `into += factor row`, `into` going on beyond the row.
fn add_row<T: Scalar>(into: &mut [T], factor: T, row: &[T]) {
    into.iter_mut().zip(row).for_each(|(sum, &v)| *sum += factor * v);
}

/// Softmax of a row over the keys that are no padding; zeros where there are none.
struct Softmax<'a, T> {
    row: &'a mut [T],
    padding: Option<ArrayView1<'a, bool>>,
}

impl<T: Scalar> Kernel<T> for Softmax<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let row = self.row;
        if let Some(padding) = self.padding {
            row.iter_mut()
                .zip(padding)
                .filter(|(_, hidden)| **hidden)
                .for_each(|(e, _)| *e = T::neg_infinity());
        }
        let Some(largest) = largest::<V>(row) else { return row.fill(T::zero()) };
        exp_minus::<V>(row, largest);
        let factor = V::splat(T::one() / sum::<V>(row));
        for row in row.chunks_mut(V::LANES) {
            (factor * V::from_slice(row)).write_to(row);
        }
    }
}

/// `d = weights (d - <weights, d>)`.
struct SoftmaxBackward<'a, T> {
    weights: &'a [T],
    d: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for SoftmaxBackward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let mut mean = V::zero();
        for (weights, d) in self.weights.chunks(V::LANES).zip(self.d.chunks(V::LANES)) {
            mean = V::from_slice(weights).mul_add(V::from_slice(d), mean);
        }
        let mean = V::splat(mean.sum());
        for (weights, d) in self.weights.chunks(V::LANES).zip(self.d.chunks_mut(V::LANES)) {
            (V::from_slice(weights) * (V::from_slice(d) - mean)).write_to(d);
        }
    }
}

/// Test cases. Shapes are (N, C, K, M, d).
pub(super) fn cases<B: SharedRowKernel>() -> Vec<Case<B>> {
    let case = |keyed: bool, padded: bool, spread: f64, shape: [usize; 5]| {
        let label = format!("with key {keyed}, padded {padded}, spread {spread}");
        Case::new("shared_row_attention", label, &shape, move |shape, samples| {
            let &[n, channels, keys, heads, dim] = shape else { return None };
            if shape.contains(&0) {
                return None;
            }
            // Value heads are one channel wider than the others, to tell the two widths apart.
            let mut inputs = vec![
                ("x", samples.normal(&[n, channels, keys])),
                ("value", samples.normal(&[heads * (dim + 1), channels])),
            ];
            if keyed {
                inputs.push(("key", samples.normal(&[heads * dim, channels]) * spread));
                inputs.push(("key_bias", samples.normal(&[heads, dim])));
            }
            let padding = Array2::from_shape_fn((n, keys), |at| at == (n - 1, keys - 1));
            let run = move |v: &[Var<B>]| {
                let key = keyed.then(|| (&v[2], &v[3]));
                shared_row_attention(&v[0], key, &v[1], heads, 0.7, padded.then_some(&padding))
            };
            Some(Built { inputs, run: std::rc::Rc::new(run) })
        })
    };
    vec![
        case(true, false, 1.0, [1, 1, 1, 1, 1]),
        case(true, false, 1.0, [2, 3, 5, 2, 2]),
        case(true, true, 1.0, [2, 2, 4, 1, 3]),
        case(true, true, 1.0, [1, 2, 1, 1, 1]),
        case(true, false, 6.0, [1, 4, 19, 3, 1]),
        case(false, false, 1.0, [2, 3, 4, 1, 2]),
        case(false, true, 1.0, [2, 3, 5, 2, 1]),
    ]
}
