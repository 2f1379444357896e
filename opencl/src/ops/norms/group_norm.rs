//! Group normalisation.

use termwise_autograd::Array;
use termwise_ops::norms::GroupNormKernel;
use termwise_ops::shape::split_at_axis;

use crate::ops::fold::sum_parts;
use crate::program::{Source, source};
use crate::{OpenCl, Real};

const GROUP_NORM: Source = source!("norms/group_norm");

impl<T: Real> GroupNormKernel for OpenCl<T> {
    fn group_norm_forward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        bias: Option<&Array<Self>>,
        num_groups: usize,
        eps: f64,
    ) -> (Array<Self>, Array<Self>, Array<Self>) {
        let (backend, (n, channels, inner)) = (x.backend(), split_at_axis(x.shape(), 1));
        let y = backend.arbitrary(x.shape());
        // Where a group has no elements its statistics are those of nothing.
        let empty = channels * inner == 0;
        let [mean, inv_std] = [0.0, eps.sqrt().recip()].map(|nothing| match empty {
            true => Array::full(backend, &[n, num_groups], nothing),
            false => backend.arbitrary(&[n, num_groups]),
        });
        let launch =
            backend.launch(GROUP_NORM, "group_norm_forward").array(x).optional(weight).optional(bias);
        let launch = launch.array(&y).array(&mean).array(&inv_std).int(channels).int(inner);
        launch.int(channels / num_groups).real(eps).groups(if empty { 0 } else { n * num_groups });
        (y, mean, inv_std)
    }

    fn group_norm_backward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        mean: &Array<Self>,
        inv_std: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> [Array<Self>; 3] {
        let (backend, (n, channels, inner)) = (x.backend(), split_at_axis(x.shape(), 1));
        let num_groups = mean.shape()[1];
        let per_group = channels / num_groups;
        let grad_x = backend.arbitrary(x.shape());
        let launch =
            backend.launch(GROUP_NORM, "group_norm_backward_x").array(x).optional(weight).array(mean);
        let launch = launch.array(inv_std).array(grad_output).array(&grad_x);
        let groups = if x.is_empty() { 0 } else { n * num_groups };
        launch.int(channels).int(inner).int(per_group).groups(groups);

        let partial = [(); 2].map(|()| backend.arbitrary(&[n, channels]));
        let launch =
            backend.launch(GROUP_NORM, "group_norm_backward_affine").array(x).array(mean).array(inv_std);
        let launch = launch.array(grad_output).array(&partial[0]).array(&partial[1]);
        launch.int(inner).int(per_group).groups(n * channels);
        let [grad_weight, grad_bias] = partial.map(|partial| sum_parts(partial, &[channels], n));
        [grad_x, grad_weight, grad_bias]
    }
}
