//! Batch normalisation.

use termwise_autograd::Array;
use termwise_ops::norms::BatchNormKernel;
use termwise_ops::shape::split_at_axis;

use crate::ops::fold::group_parts;
use crate::program::{Source, source};
use crate::{OpenCl, Real};

const BATCH_NORM: Source = source!("norms/batch_norm");

/// The kernel's two sums over each channel, in parts, and the number of parts.
fn sums<T: Real>(
    x: &Array<OpenCl<T>>,
    grad_output: Option<&Array<OpenCl<T>>>,
    mean: Option<&Array<OpenCl<T>>>,
) -> ([Array<OpenCl<T>>; 2], usize) {
    let (backend, (n, channels, inner)) = (x.backend(), split_at_axis(x.shape(), 1));
    let count = n * inner;
    let (parts, length) = group_parts(channels, count);
    let sums = [(); 2].map(|()| backend.arbitrary(&[parts, channels]));
    let launch = backend.launch(BATCH_NORM, "batch_norm_sums").array(x).optional(grad_output).optional(mean);
    let launch = launch.array(&sums[0]).array(&sums[1]).int(channels).int(inner).int(count);
    launch.int(length).groups(parts * channels);
    (sums, parts)
}

impl<T: Real> BatchNormKernel for OpenCl<T> {
    fn batch_norm_statistics(x: &Array<Self>) -> (Array<Self>, Array<Self>) {
        let (backend, (n, channels, inner)) = (x.backend(), split_at_axis(x.shape(), 1));
        let [rough, mean, var] = [(); 3].map(|()| backend.arbitrary(&[channels]));
        let ([plain, _], parts) = sums(x, None, None);
        let launch = backend.launch(BATCH_NORM, "batch_norm_rough_mean").array(&plain).array(&rough);
        launch.int(channels).int(parts).int(n * inner).items(channels);
        let ([differences, squares], parts) = sums(x, None, Some(&rough));
        let launch = backend.launch(BATCH_NORM, "batch_norm_statistics").array(&rough).array(&differences);
        let launch = launch.array(&squares).array(&mean).array(&var);
        launch.int(channels).int(parts).int(n * inner).items(channels);
        (mean, var)
    }

    fn batch_norm_forward(
        x: &Array<Self>,
        mean: &Array<Self>,
        var: &Array<Self>,
        weight: Option<&Array<Self>>,
        bias: Option<&Array<Self>>,
        eps: f64,
    ) -> Array<Self> {
        let (_, channels, inner) = split_at_axis(x.shape(), 1);
        let y = x.backend().arbitrary(x.shape());
        let launch = x.backend().launch(BATCH_NORM, "batch_norm_forward").array(x).array(mean).array(var);
        let launch = launch.optional(weight).optional(bias).array(&y);
        launch.int(channels).int(inner).real(eps).int(x.len()).items(x.len());
        y
    }

    fn batch_norm_backward_affine(
        x: &Array<Self>,
        mean: &Array<Self>,
        var: &Array<Self>,
        eps: f64,
        grad_output: &Array<Self>,
    ) -> (Array<Self>, Array<Self>) {
        let (backend, channels) = (x.backend(), mean.len());
        let ([against, plain], parts) = sums(x, Some(grad_output), Some(mean));
        let [grad_weight, grad_bias] = [(); 2].map(|()| backend.arbitrary(&[channels]));
        let launch = backend.launch(BATCH_NORM, "batch_norm_backward_affine").array(&against).array(&plain);
        let launch = launch.array(var).array(&grad_weight).array(&grad_bias);
        launch.int(channels).int(parts).real(eps).items(channels);
        (grad_weight, grad_bias)
    }

    fn batch_norm_backward(
        x: &Array<Self>,
        mean: &Array<Self>,
        var: &Array<Self>,
        weight: Option<&Array<Self>>,
        eps: f64,
        through_statistics: Option<&(Array<Self>, Array<Self>)>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (n, channels, inner) = split_at_axis(x.shape(), 1);
        let grad_x = x.backend().arbitrary(x.shape());
        let (grad_weight, grad_bias) = through_statistics.map(|(weight, bias)| (weight, bias)).unzip();
        let launch = x.backend().launch(BATCH_NORM, "batch_norm_backward").array(x).array(mean).array(var);
        let launch = launch.optional(weight).optional(grad_weight).optional(grad_bias).array(grad_output);
        let launch = launch.array(&grad_x).int(channels).int(inner).int(n * inner);
        launch.real(eps).int(x.len()).items(x.len());
        grad_x
    }

    fn batch_norm_update(
        running: &Array<Self>,
        batch: &Array<Self>,
        momentum: f64,
        scale: f64,
    ) -> Array<Self> {
        let y = running.backend().arbitrary(running.shape());
        let launch = running.backend().launch(BATCH_NORM, "batch_norm_update").array(running).array(batch);
        launch.array(&y).real(1.0 - momentum).real(momentum * scale).int(y.len()).items(y.len());
        y
    }
}
