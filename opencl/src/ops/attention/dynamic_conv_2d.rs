//! Dynamic convolution of images: a kernel for every output, given or predicted from the content there.

use termwise_autograd::{Array, Backend};
use termwise_ops::activations::SoftmaxKernel;
use termwise_ops::attention::{PerPositionConvKernel, PositionGeometry, PredictedConvKernel};
use termwise_ops::conv::{Conv2dKernel, ConvGeometry, Window};

use crate::program::{Source, source};
use crate::{OpenCl, Real};

const DYNAMIC_CONV_2D: Source = source!("attention/dynamic_conv_2d");

impl<T: Real> PerPositionConvKernel for OpenCl<T> {
    fn per_position_conv_forward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
    ) -> Array<Self> {
        let y = x.backend().arbitrary(&geometry.output_shape());
        run(geometry, "per_position_conv_forward", [x, weights], &y);
        y
    }

    fn per_position_conv_backward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        weights: &Array<Self>,
        grad_output: &Array<Self>,
        [need_x, need_weights]: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let grad = |like: &Array<Self>, kernel: &'static str, operand: &Array<Self>| {
            let grad = like.backend().arbitrary(like.shape());
            run(geometry, kernel, [operand, grad_output], &grad);
            grad
        };
        [
            need_x.then(|| grad(x, "per_position_conv_backward_x", weights)),
            need_weights.then(|| grad(weights, "per_position_conv_backward_weights", x)),
        ]
    }
}

/// Runs a kernel that writes `to` from two arrays.
fn run<T: Real>(
    geometry: &PositionGeometry,
    kernel: &'static str,
    [a, b]: [&Array<OpenCl<T>>; 2],
    to: &Array<OpenCl<T>>,
) {
    let launch = to.backend().launch(DYNAMIC_CONV_2D, kernel).array(a).array(b).array(to);
    let launch = launch.window(&geometry.window).int(geometry.channels).int(geometry.groups);
    launch.int(to.len()).items(to.len());
}

/// The convolution that predicts: 1x1, of the content that each output begins from.
fn prediction(geometry: &PositionGeometry) -> ConvGeometry {
    let &PositionGeometry { batch, channels, groups, window } = geometry;
    ConvGeometry {
        batch,
        in_channels: channels,
        out_channels: groups * window.taps(),
        groups: 1,
        window: Window { kernel: [1; 2], padding: [0; 2], dilation: [1; 2], ..window },
    }
}

/// The predicted kernels. (N, G, taps, Ho, Wo)
fn kernels<T: Real>(
    geometry: &PositionGeometry,
    x: &Array<OpenCl<T>>,
    d: &Array<OpenCl<T>>,
) -> Array<OpenCl<T>> {
    let &PositionGeometry { batch, groups, window, .. } = geometry;
    let logits = OpenCl::conv2d_forward(&prediction(geometry), x, d, None);
    let logits = logits.reshape(&[batch, groups, window.taps(), window.positions()]);
    let [rows, columns] = window.output;
    OpenCl::softmax_forward(&logits, 2).reshape(&[batch, groups, window.taps(), rows, columns])
}

impl<T: Real> PredictedConvKernel for OpenCl<T> {
    /// Keeps nothing: the kernels are made again.
    fn predicted_conv_forward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        d: &Array<Self>,
    ) -> (Array<Self>, Array<Self>) {
        let y = Self::per_position_conv_forward(geometry, x, &kernels(geometry, x, d));
        (y, Array::zeros(x.backend(), &[0]))
    }

    fn predicted_conv_backward(
        geometry: &PositionGeometry,
        x: &Array<Self>,
        d: &Array<Self>,
        _: &Array<Self>,
        grad_output: &Array<Self>,
        [need_x, need_d]: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let (weights, prediction) = (kernels(geometry, x, d), prediction(geometry));
        let [grad_x, grad_weights] =
            Self::per_position_conv_backward(geometry, x, &weights, grad_output, [need_x, true]);
        let grad_weights = grad_weights.expect("it was asked for");
        let grad_logits = Self::softmax_backward(&weights, &grad_weights, 2);
        let grad_x = grad_x.map(|grad| {
            x.backend().accumulate(grad, &Self::conv2d_backward_input(&prediction, d, &grad_logits))
        });
        let grad_d =
            need_d.then(|| Self::conv2d_backward_weight(&prediction, x, &grad_logits).reshape(d.shape()));
        [grad_x, grad_d]
    }
}
