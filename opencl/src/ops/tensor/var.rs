//! Variance over axes.

use termwise_autograd::Array;
use termwise_ops::tensor::VarKernel;

use crate::layout::Strides;
use crate::ops::fold::fold;
use crate::program::{Source, source};
use crate::{OpenCl, Real};

const VAR: Source = source!("tensor/var", "fold");

impl<T: Real> VarKernel for OpenCl<T> {
    fn var_forward(x: &Array<Self>, mean: &Array<Self>, factor: f64) -> Array<Self> {
        fold(VAR, x, mean.shape(), Some(mean), factor)
    }

    fn var_backward(
        x: &Array<Self>,
        mean: &Array<Self>,
        grad_output: &Array<Self>,
        factor: f64,
    ) -> Array<Self> {
        let grad_x = x.backend().arbitrary(x.shape());
        let strides = Strides::broadcast(x.shape(), [x.shape(), mean.shape()]);
        let launch = x.backend().launch(VAR, "var_backward").array(x).array(mean).array(grad_output);
        launch.array(&grad_x).real(factor).strides(&strides).int(x.len()).items(x.len());
        grad_x
    }
}
