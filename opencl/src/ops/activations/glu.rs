//! Gated linear unit.

use termwise_autograd::Array;
use termwise_ops::activations::GluKernel;
use termwise_ops::shape::split_at_axis;

use crate::program::{Source, source};
use crate::{OpenCl, Real};

const GLU: Source = source!("activations/glu");

impl<T: Real> GluKernel for OpenCl<T> {
    fn glu_forward(x: &Array<Self>, axis: usize) -> Array<Self> {
        let (_, len, inner) = split_at_axis(x.shape(), axis);
        let mut shape = x.shape().to_vec();
        shape[axis] /= 2;
        let y = x.backend().arbitrary(&shape);
        let launch = x.backend().launch(GLU, "glu_forward").array(x).array(&y);
        launch.int(len / 2 * inner).int(y.len()).items(y.len());
        y
    }

    fn glu_backward(x: &Array<Self>, grad_output: &Array<Self>, axis: usize) -> Array<Self> {
        let (_, len, inner) = split_at_axis(x.shape(), axis);
        let grad_x = x.backend().arbitrary(x.shape());
        let launch = x.backend().launch(GLU, "glu_backward").array(x).array(grad_output).array(&grad_x);
        launch.int(len / 2 * inner).int(grad_output.len()).items(grad_output.len());
        grad_x
    }
}
