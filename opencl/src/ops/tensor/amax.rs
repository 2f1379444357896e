//! Maximum over axes.

use termwise_autograd::Array;
use termwise_ops::broadcast::BroadcastKernel;
use termwise_ops::tensor::AmaxKernel;

use crate::layout::Strides;
use crate::ops::fold::fold;
use crate::program::{Source, source};
use crate::{OpenCl, Real};

pub(super) const AMAX: Source = source!("tensor/amax", "fold");

impl<T: Real> AmaxKernel for OpenCl<T> {
    fn amax_forward(x: &Array<Self>, kept: &[usize]) -> Array<Self> {
        fold(AMAX, x, kept, None, 1.0)
    }

    fn amax_backward(x: &Array<Self>, y: &Array<Self>, grad_output: &Array<Self>) -> Array<Self> {
        let (backend, len) = (x.backend(), x.len());
        let strides = Strides::broadcast(x.shape(), [x.shape(), y.shape()]);
        let equal = backend.arbitrary(x.shape());
        let launch = backend.launch(AMAX, "amax_ties").array(x).array(y).array(&equal);
        launch.strides(&strides).int(len).items(len);
        let ties = Self::sum_to(&equal, y.shape(), 1.0);
        let grad_x = backend.arbitrary(x.shape());
        let launch = backend.launch(AMAX, "amax_backward").array(x).array(y).array(&ties).array(grad_output);
        launch.array(&grad_x).strides(&strides).int(len).items(len);
        grad_x
    }
}
