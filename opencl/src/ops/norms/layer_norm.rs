//! Layer normalisation.

use termwise_autograd::Array;
use termwise_ops::norms::LayerNormKernel;

use crate::ops::fold::{item_parts, sum_parts};
use crate::program::{Source, source};
use crate::{OpenCl, Real};

const LAYER_NORM: Source = source!("norms/layer_norm");

impl<T: Real> LayerNormKernel for OpenCl<T> {
    fn layer_norm_forward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        bias: Option<&Array<Self>>,
        len: usize,
        eps: f64,
    ) -> (Array<Self>, Array<Self>, Array<Self>) {
        let (backend, rows) = (x.backend(), x.len().checked_div(len).unwrap_or(0));
        let y = backend.arbitrary(x.shape());
        let [mean, inv_std] = [(); 2].map(|()| backend.arbitrary(&[rows]));
        let launch =
            backend.launch(LAYER_NORM, "layer_norm_forward").array(x).optional(weight).optional(bias);
        launch.array(&y).array(&mean).array(&inv_std).int(len).real(eps).groups(rows);
        (y, mean, inv_std)
    }

    fn layer_norm_backward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        mean: &Array<Self>,
        inv_std: &Array<Self>,
        grad_output: &Array<Self>,
        normalized_shape: &[usize],
        [need_x, need_weight, need_bias]: [bool; 3],
    ) -> [Option<Array<Self>>; 3] {
        let (backend, rows) = (x.backend(), mean.len());
        let len = normalized_shape.iter().product();
        let grad_x = need_x.then(|| {
            let grad_x = backend.arbitrary(x.shape());
            let launch = backend.launch(LAYER_NORM, "layer_norm_backward_x").array(x).optional(weight);
            let launch = launch.array(mean).array(inv_std).array(grad_output).array(&grad_x);
            launch.int(len).groups(rows);
            grad_x
        });
        if !need_weight && !need_bias {
            return [grad_x, None, None];
        }
        let (parts, length) = item_parts(len, rows);
        let partial = [(); 2].map(|()| backend.arbitrary(&[parts, len]));
        let launch =
            backend.launch(LAYER_NORM, "layer_norm_backward_affine").array(x).array(mean).array(inv_std);
        let launch = launch.array(grad_output).array(&partial[0]).array(&partial[1]);
        launch.int(rows).int(len).int(parts).int(length).items(len * parts);
        let [grad_weight, grad_bias] = partial.map(|partial| sum_parts(partial, normalized_shape, parts));
        [grad_x, need_weight.then_some(grad_weight), need_bias.then_some(grad_bias)]
    }
}
