//! Running sums along an axis.

use termwise_autograd::Array;
use termwise_ops::shape::split_at_axis;
use termwise_ops::tensor::CumsumKernel;

use crate::program::source;
use crate::{OpenCl, Real};

fn running<T: Real>(kernel: &'static str, x: &Array<OpenCl<T>>, axis: usize) -> Array<OpenCl<T>> {
    let (y, (outer, len, inner)) = (x.backend().arbitrary(x.shape()), split_at_axis(x.shape(), axis));
    let launch = x.backend().launch(source!("tensor/cumsum"), kernel).array(x).array(&y);
    launch.int(len).int(inner).int(outer * inner).items(outer * inner);
    y
}

impl<T: Real> CumsumKernel for OpenCl<T> {
    fn cumsum_forward(x: &Array<Self>, axis: usize) -> Array<Self> {
        running("cumsum_forward", x, axis)
    }

    fn cumsum_backward(grad_output: &Array<Self>, axis: usize) -> Array<Self> {
        running("cumsum_backward", grad_output, axis)
    }
}
