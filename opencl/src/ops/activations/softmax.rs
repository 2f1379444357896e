//! Softmax, its logarithm, and softmax under a mask.

use ndarray::ArrayD;
use termwise_autograd::Array;
use termwise_ops::activations::{LogSoftmaxKernel, MaskedSoftmaxKernel, SoftmaxKernel};
use termwise_ops::shape::split_at_axis;
use termwise_ops::tensor::WhereKernel;

use crate::program::{Source, source};
use crate::{OpenCl, Real};

const SOFTMAX: Source = source!("activations/softmax");

/// Which softmax: numbers that the kernels take.
#[derive(Clone, Copy)]
enum Kind {
    Plain = 0,
    OrZero = 1,
    Log = 2,
}

/// Elements from which on a line is worth a work-group, where neighbours belong to other lines.
const LONG: usize = 256;

/// Whether each line is a work-group's.
fn by_groups(len: usize, inner: usize) -> bool {
    len >= LONG || (inner == 1 && len >= 8)
}

fn forward<T: Real>(kind: Kind, x: &Array<OpenCl<T>>, axis: usize) -> Array<OpenCl<T>> {
    let (y, (outer, len, inner)) = (x.backend().arbitrary(x.shape()), split_at_axis(x.shape(), axis));
    let by_groups = by_groups(len, inner);
    let kernel = if by_groups { "softmax_forward_lines" } else { "softmax_forward_items" };
    let launch =
        x.backend().launch(SOFTMAX, kernel).array(x).array(&y).int(len).int(inner).int(kind as usize);
    let lines = outer * inner;
    if by_groups {
        launch.groups(lines)
    } else {
        launch.int(lines).items(lines)
    }
    y
}

fn backward<T: Real>(
    kind: Kind,
    y: &Array<OpenCl<T>>,
    grad_output: &Array<OpenCl<T>>,
    axis: usize,
) -> Array<OpenCl<T>> {
    let (grad_x, (outer, len, inner)) = (y.backend().arbitrary(y.shape()), split_at_axis(y.shape(), axis));
    let by_groups = by_groups(len, inner);
    let kernel = if by_groups { "softmax_backward_lines" } else { "softmax_backward_items" };
    let launch = y.backend().launch(SOFTMAX, kernel).array(y).array(grad_output).array(&grad_x);
    let (launch, lines) = (launch.int(len).int(inner).int(kind as usize), outer * inner);
    if by_groups {
        launch.groups(lines)
    } else {
        launch.int(lines).items(lines)
    }
    grad_x
}

impl<T: Real> SoftmaxKernel for OpenCl<T> {
    fn softmax_forward(x: &Array<Self>, axis: usize) -> Array<Self> {
        forward(Kind::Plain, x, axis)
    }

    fn softmax_backward(y: &Array<Self>, grad_output: &Array<Self>, axis: usize) -> Array<Self> {
        backward(Kind::Plain, y, grad_output, axis)
    }
}

impl<T: Real> LogSoftmaxKernel for OpenCl<T> {
    fn log_softmax_forward(x: &Array<Self>, axis: usize) -> Array<Self> {
        forward(Kind::Log, x, axis)
    }

    fn log_softmax_backward(y: &Array<Self>, grad_output: &Array<Self>, axis: usize) -> Array<Self> {
        backward(Kind::Log, y, grad_output, axis)
    }
}

impl<T: Real> MaskedSoftmaxKernel for OpenCl<T> {
    fn masked_softmax_forward(x: &Array<Self>, mask: &ArrayD<bool>, axis: usize) -> Array<Self> {
        let out = Array::full(x.backend(), &[], f64::NEG_INFINITY);
        forward(Kind::OrZero, &Self::select(mask, &out, x, x.shape()), axis)
    }
}
