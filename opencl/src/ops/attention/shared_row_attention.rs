//! Transformer attention whose weights do not depend on the query: products and a softmax.

use termwise_autograd::{Array, Backend};
use termwise_ops::activations::{MaskedSoftmaxKernel, SoftmaxKernel};
use termwise_ops::attention::{SharedRow, SharedRowKernel, SharedRowParts};
use termwise_ops::broadcast::BroadcastKernel;

use crate::layout::Strides;
use crate::ops::tensor::matmul::{Extents, Operand, product};
use crate::{OpenCl, Real};

/// Extents of one call.
struct Sizes {
    batch: usize,
    heads: usize,
    channels: usize,
    keys: usize,
    head_dim: usize,
    value_dim: usize,
}

impl Sizes {
    fn of<T: Real>(op: &SharedRow, [x, key, _, value]: [&Array<OpenCl<T>>; 4]) -> Self {
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

/// Batches of products, one for each index of some axes: extent, step of the left operand and of the right.
fn each<const A: usize>(axes: [(usize, [usize; 2]); A]) -> Strides {
    Strides::from_axes(axes)
}

impl<T: Real> SharedRowKernel for OpenCl<T> {
    fn shared_row_forward(op: &SharedRow, inputs: [&Array<Self>; 4]) -> (Array<Self>, SharedRowParts<Self>) {
        let [x, key, bias, value] = inputs;
        let Sizes { batch, heads, channels, keys, head_dim, value_dim } = Sizes::of(op, inputs);
        let (c, k) = (channels, keys);
        // (1) c w_m = c V^C_m^T u_m
        let directions = key.present().map(|key| {
            let batches = each([(heads, [head_dim, head_dim * c])]);
            let extents = Extents { batches, ..Extents::one(1, head_dim, c) };
            let (bias, key) = (Operand::rows(bias, head_dim), Operand::rows(key, c));
            let directions = product(&extents, bias, key, None, &[heads, c]);
            Self::broadcast_to(&directions, &[heads, c], op.scale)
        });
        // (2) S = c w x
        let energies = match &directions {
            None => Array::zeros(x.backend(), &[batch, heads, k]),
            Some(directions) => {
                let extents = Extents { batches: each([(batch, [0, c * k])]), ..Extents::one(heads, c, k) };
                let (directions, x) = (Operand::rows(directions, c), Operand::rows(x, k));
                product(&extents, directions, x, None, &[batch, heads, k])
            }
        };
        // (3) a = softmax S
        let weights = match &op.key_padding {
            None => Self::softmax_forward(&energies, 2),
            Some(padding) => {
                let padding = padding.clone().insert_axis(ndarray::Axis(1)).into_dyn(); // (N, 1, K)
                Self::masked_softmax_forward(&energies, &padding, 2)
            }
        };
        // (4) z_m = sum_k a_mk x_k
        let extents = Extents { batches: each([(batch, [heads * k, c * k])]), ..Extents::one(heads, k, c) };
        let shape = [batch, heads, c];
        let means = product(&extents, Operand::rows(&weights, k), Operand::transposed(x, k), None, &shape);
        // (5) o_m = W'_m z_m
        let batches = each([(batch, [heads * c, 0]), (heads, [c, value_dim * c])]);
        let extents = Extents { batches, ..Extents::one(1, c, value_dim) };
        let shape = [batch, heads * value_dim];
        let output = product(&extents, Operand::rows(&means, c), Operand::transposed(value, c), None, &shape);
        let directions = directions.unwrap_or_else(|| Array::absent(x.backend()));
        (output, SharedRowParts { weights, means, directions })
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
        let (c, k, backend) = (channels, keys, x.backend());
        // (5) o_m = W'_m z_m  =>  dz_m = W'_m^T do_m,  dW'_m = do_m z_m^T
        let batches = each([(batch, [heads * value_dim, 0]), (heads, [value_dim, value_dim * c])]);
        let extents = Extents { batches, ..Extents::one(1, value_dim, c) };
        let grad = Operand::rows(grad_output, value_dim);
        let grad_means = product(&extents, grad, Operand::rows(value, c), None, &[batch, heads, c]);
        let grad_value = need_value.then(|| {
            let extents =
                Extents { batches: each([(heads, [value_dim, c])]), ..Extents::one(value_dim, batch, c) };
            let grad = Operand::transposed(grad_output, heads * value_dim);
            product(&extents, grad, Operand::rows(&parts.means, heads * c), None, value.shape())
        });
        // (4) z_m = sum_k a_mk x_k  =>  da = dz x,  dx = dz^T a
        let mut grad_x = need_x.then(|| {
            let batches = each([(batch, [heads * c, heads * k])]);
            let extents = Extents { batches, ..Extents::one(c, heads, k) };
            let weights = Operand::rows(&parts.weights, k);
            product(&extents, Operand::transposed(&grad_means, c), weights, None, x.shape())
        });
        let (mut grad_key, mut grad_bias) = (None, None);
        if let Some(directions) = parts.directions.present() {
            let batches = each([(batch, [heads * c, c * k])]);
            let extents = Extents { batches, ..Extents::one(heads, c, k) };
            let (left, right) = (Operand::rows(&grad_means, c), Operand::rows(x, k));
            let grad_weights = product(&extents, left, right, None, &[batch, heads, k]);
            // (3) a = softmax S  =>  dS = a (da - <a, da>)
            let grad_energies = Self::softmax_backward(&parts.weights, &grad_weights, 2);
            // (2) S = c w x  =>  d(c w) = dS x^T,  dx += (c w)^T dS
            let summed = each([(batch, [heads * k, c * k])]);
            let extents = Extents { summed, ..Extents::one(heads, k, c) };
            let energies = Operand::rows(&grad_energies, k);
            let grad_directions = product(&extents, energies, Operand::transposed(x, k), None, &[heads, c]);
            // (1) c w_m = c V^C_m^T u_m  =>  dV^C_m = c u_m d(c w_m)^T,  du_m = c V^C_m d(c w_m)
            let grad_directions = Self::broadcast_to(&grad_directions, &[heads, c], op.scale);
            grad_key = need_key.then(|| {
                let batches = each([(heads, [head_dim, c])]);
                let extents = Extents { batches, ..Extents::one(head_dim, 1, c) };
                let bias = Operand::rows(bias, 1);
                product(&extents, bias, Operand::rows(&grad_directions, c), None, key.shape())
            });
            grad_bias = need_bias.then(|| {
                let batches = each([(heads, [head_dim * c, c])]);
                let extents = Extents { batches, ..Extents::one(head_dim, c, 1) };
                let key = Operand::rows(key, c);
                product(&extents, key, Operand::rows(&grad_directions, 1), None, bias.shape())
            });
            grad_x = grad_x.map(|grad_x| {
                let extents =
                    Extents { batches: each([(batch, [0, heads * k])]), ..Extents::one(c, heads, k) };
                let energies = Operand::rows(&grad_energies, k);
                let more = product(&extents, Operand::transposed(directions, c), energies, None, x.shape());
                backend.accumulate(grad_x, &more)
            });
        }
        [grad_x, grad_key, grad_bias, grad_value]
    }
}
