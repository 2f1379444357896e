//! Dynamic convolution of sequences: a kernel for every step, given or made by a softmax.

use termwise_autograd::Array;
use termwise_ops::activations::SoftmaxKernel;
use termwise_ops::attention::{PerStepConvKernel, SoftmaxConvKernel, StepGeometry, TapRange};

use crate::launch::Launch;
use crate::ops::conv::conv2d::parts;
use crate::ops::fold::sum_parts;
use crate::program::{Source, source};
use crate::{OpenCl, Real};

const DYNAMIC_CONV: Source = source!("attention/dynamic_conv");

/// The arguments that most kernels take after the number of steps.
fn sizes<'a, T: Real>(launch: Launch<'a, T>, geometry: &StepGeometry) -> Launch<'a, T> {
    let &StepGeometry { batch, channels, heads, taps, first_tap, .. } = geometry;
    launch.int(batch).int(channels).int(heads).int(taps).signed(first_tap)
}

impl<T: Real> PerStepConvKernel for OpenCl<T> {
    fn per_step_conv_forward(geometry: &StepGeometry, x: &Array<Self>, weights: &Array<Self>) -> Array<Self> {
        let (backend, y) = (x.backend(), x.backend().arbitrary(&geometry.output_shape()));
        let launch = backend.launch(DYNAMIC_CONV, "per_step_conv_forward").array(x).array(weights).array(&y);
        let launch = sizes(launch.int(geometry.inputs), geometry).flag(geometry.shared);
        launch.int(y.len()).items(y.len());
        y
    }

    fn per_step_conv_backward(
        geometry: &StepGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
        [need_x, need_weights]: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let (backend, &StepGeometry { inputs, steps, .. }) = (x.backend(), geometry);
        let grad_x = need_x.then(|| {
            let grad = backend.arbitrary(x.shape());
            let launch = backend.launch(DYNAMIC_CONV, "per_step_conv_backward_x").array(weights);
            let launch = sizes(launch.array(grad_output).array(&grad).int(steps), geometry);
            launch.flag(geometry.shared).int(grad.len()).items(grad.len());
            grad
        });
        let grad_weights = need_weights.then(|| {
            if !geometry.shared {
                let grad = backend.arbitrary(weights.shape());
                let launch = backend.launch(DYNAMIC_CONV, "per_step_conv_backward_weights").array(x);
                let launch = sizes(launch.array(grad_output).array(&grad).int(inputs), geometry);
                launch.int(grad.len()).items(grad.len());
                return grad;
            }
            let terms = steps * geometry.batch * geometry.head_channels();
            let parts = parts(weights.len(), terms);
            let grad = backend.arbitrary(&[&[parts], weights.shape()].concat());
            let launch = backend.launch(DYNAMIC_CONV, "per_step_conv_backward_shared").array(x);
            let launch = sizes(launch.array(grad_output).array(&grad).int(inputs).int(steps), geometry);
            launch.int(terms.div_ceil(parts)).groups(grad.len());
            sum_parts(grad, weights.shape(), parts)
        });
        [grad_x, grad_weights]
    }
}

impl<T: Real> SoftmaxConvKernel for OpenCl<T> {
    fn softmax_conv_forward(
        geometry: &StepGeometry,
        x: &Array<Self>,
        logits: &Array<Self>,
        range: TapRange,
    ) -> (Array<Self>, Array<Self>) {
        let &StepGeometry { inputs, batch, heads, taps, first_tap, .. } = geometry;
        let weights = match range {
            TapRange::All => Self::softmax_forward(logits, 3),
            TapRange::Inside => {
                let (backend, weights) = (x.backend(), x.backend().arbitrary(logits.shape()));
                let launch = backend.launch(DYNAMIC_CONV, "softmax_conv_weights").array(logits);
                let launch = launch.array(&weights).int(inputs).int(batch).int(heads).int(taps);
                let kernels = logits.len() / taps;
                launch.signed(first_tap).int(kernels).items(kernels);
                weights
            }
        };
        (Self::per_step_conv_forward(geometry, x, &weights), weights)
    }

    fn softmax_conv_backward(
        geometry: &StepGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let [grad_x, grad_weights] = Self::per_step_conv_backward(geometry, x, weights, grad_output, needs);
        [grad_x, grad_weights.map(|grad| Self::softmax_backward(weights, &grad, 3))]
    }
}
