//! Operands of different shapes: repeating, summing back, and functions of two numbers.

use termwise_autograd::Array;
use termwise_ops::broadcast::{Binary, BinaryKernel, BroadcastKernel};

use super::fold::fold;
use crate::layout::Strides;
use crate::program::{Source, source};
use crate::{OpenCl, Real};

impl<T: Real> BroadcastKernel for OpenCl<T> {
    fn broadcast_to(x: &Array<Self>, shape: &[usize], factor: f64) -> Array<Self> {
        if x.shape() == shape && factor == 1.0 {
            return x.clone();
        }
        let (y, strides) = (x.backend().arbitrary(shape), Strides::broadcast(shape, [x.shape()]));
        let launch = x.backend().launch(source!("tensor/expand"), "expand_forward").array(x).array(&y);
        launch.real(factor).strides(&strides).int(y.len()).items(y.len());
        y
    }

    fn sum_to(x: &Array<Self>, shape: &[usize], factor: f64) -> Array<Self> {
        if x.len() == shape.iter().product::<usize>() {
            // Nothing is repeated: the same numbers, scaled.
            return Self::broadcast_to(&x.reshape(shape), shape, factor);
        }
        fold(source!("tensor/sum", "fold"), x, shape, None, factor)
    }
}

/// The kernel file of an op, and the names of its kernels for forward and the two gradients.
fn kernels(name: &str) -> (Source, &'static str, [&'static str; 2]) {
    macro_rules! table {
        ($($op:literal)*) => {
            match name {
                $($op => (
                    source!(concat!("tensor/", $op), "binary"),
                    concat!($op, "_forward"),
                    [concat!($op, "_backward_a"), concat!($op, "_backward_b")],
                ),)*
                _ => panic!("OpenCL: there is no kernel for the operation {name} on pairs"),
            }
        };
    }
    table!("add" "sub" "mul" "div" "maximum" "minimum")
}

fn forward<T: Real>(
    name: &str,
    a: &Array<OpenCl<T>>,
    b: &Array<OpenCl<T>>,
    shape: &[usize],
) -> Array<OpenCl<T>> {
    let ((source, forward, _), y) = (kernels(name), a.backend().arbitrary(shape));
    let strides = Strides::broadcast(shape, [a.shape(), b.shape()]);
    let launch = a.backend().launch(source, forward).array(a).array(b).array(&y);
    launch.strides(&strides).int(y.len()).items(y.len());
    y
}

/// `a b`, both broadcast to `shape`.
pub(crate) fn times<T: Real>(
    a: &Array<OpenCl<T>>,
    b: &Array<OpenCl<T>>,
    shape: &[usize],
) -> Array<OpenCl<T>> {
    forward("mul", a, b, shape)
}

fn backward<T: Real>(
    name: &str,
    operand: usize,
    a: &Array<OpenCl<T>>,
    b: &Array<OpenCl<T>>,
    grad_output: &Array<OpenCl<T>>,
) -> Array<OpenCl<T>> {
    let ((source, _, kernels), backend) = (kernels(name), grad_output.backend());
    let grad = backend.arbitrary(grad_output.shape());
    let strides = Strides::broadcast(grad.shape(), [a.shape(), b.shape()]);
    let launch = backend.launch(source, kernels[operand]).array(a).array(b).array(grad_output).array(&grad);
    launch.strides(&strides).int(grad.len()).items(grad.len());
    grad
}

impl<T: Real> BinaryKernel for OpenCl<T> {
    fn binary_forward<F: Binary>(_: &F, a: &Array<Self>, b: &Array<Self>, shape: &[usize]) -> Array<Self> {
        forward(F::NAME, a, b, shape)
    }

    fn binary_backward_a<F: Binary>(
        _: &F,
        a: &Array<Self>,
        b: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        backward(F::NAME, 0, a, b, grad_output)
    }

    fn binary_backward_b<F: Binary>(
        _: &F,
        a: &Array<Self>,
        b: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        backward(F::NAME, 1, a, b, grad_output)
    }
}
