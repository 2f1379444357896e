//! Logarithm of the sum of exponentials over axes.

use termwise_autograd::Array;
use termwise_ops::tensor::LogsumexpKernel;

use super::amax::AMAX;
use crate::layout::Strides;
use crate::ops::fold::fold;
use crate::program::{Source, source};
use crate::{OpenCl, Real};

const LOGSUMEXP: Source = source!("tensor/logsumexp", "fold");

impl<T: Real> LogsumexpKernel for OpenCl<T> {
    fn logsumexp_forward(x: &Array<Self>, kept: &[usize]) -> Array<Self> {
        let (backend, maximum) = (x.backend(), fold(AMAX, x, kept, None, 1.0));
        let (pivot, len) = (backend.arbitrary(kept), maximum.len());
        let launch = backend.launch(LOGSUMEXP, "logsumexp_pivot").array(&maximum).array(&pivot);
        launch.int(len).items(len);
        let sum = fold(LOGSUMEXP, x, kept, Some(&pivot), 1.0);
        let y = backend.arbitrary(kept);
        let launch = backend.launch(LOGSUMEXP, "logsumexp_finish").array(&pivot).array(&sum).array(&y);
        launch.int(len).items(len);
        y
    }

    fn logsumexp_backward(x: &Array<Self>, y: &Array<Self>, grad_output: &Array<Self>) -> Array<Self> {
        let (backend, grad_x) = (x.backend(), x.backend().arbitrary(x.shape()));
        let strides = Strides::broadcast(x.shape(), [x.shape(), y.shape()]);
        let launch = backend.launch(LOGSUMEXP, "logsumexp_backward").array(x).array(y).array(grad_output);
        launch.array(&grad_x).strides(&strides).int(x.len()).items(x.len());
        grad_x
    }
}
