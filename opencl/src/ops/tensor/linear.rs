//! Affine map of the last axis.

use termwise_autograd::Array;
use termwise_ops::tensor::LinearKernel;

use super::matmul::{Extents, Operand, product};
use crate::{OpenCl, Real};

/// The shape of `x` with another last extent, and the number of its rows.
fn with_last<T: Real>(x: &Array<OpenCl<T>>, last: usize) -> (Vec<usize>, usize) {
    let leading = &x.shape()[..x.ndim() - 1];
    ([leading, &[last]].concat(), leading.iter().product())
}

impl<T: Real> LinearKernel for OpenCl<T> {
    fn linear_forward(x: &Array<Self>, weight: &Array<Self>, bias: Option<&Array<Self>>) -> Array<Self> {
        let (outputs, inputs) = (weight.shape()[0], weight.shape()[1]);
        let (shape, rows) = with_last(x, outputs);
        let extents = Extents::one(rows, inputs, outputs);
        product(&extents, Operand::rows(x, inputs), Operand::transposed(weight, inputs), bias, &shape)
    }

    fn linear_backward_x(grad_output: &Array<Self>, weight: &Array<Self>) -> Array<Self> {
        let (outputs, inputs) = (weight.shape()[0], weight.shape()[1]);
        let (shape, rows) = with_last(grad_output, inputs);
        let extents = Extents::one(rows, outputs, inputs);
        product(&extents, Operand::rows(grad_output, outputs), Operand::rows(weight, inputs), None, &shape)
    }

    fn linear_backward_weight(grad_output: &Array<Self>, x: &Array<Self>) -> Array<Self> {
        let (outputs, inputs) = (grad_output.shape()[grad_output.ndim() - 1], x.shape()[x.ndim() - 1]);
        let (shape, (_, rows)) = ([outputs, inputs], with_last(x, inputs));
        let extents = Extents::one(outputs, rows, inputs);
        product(&extents, Operand::transposed(grad_output, outputs), Operand::rows(x, inputs), None, &shape)
    }
}
