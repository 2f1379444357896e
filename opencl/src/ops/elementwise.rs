//! Functions of one number: `kernels/common/elementwise.cl` around the function of each op.

use termwise_autograd::Array;
use termwise_ops::elementwise::{Elementwise, ElementwiseKernel};

use crate::program::{Source, source};
use crate::{OpenCl, Real};

/// The kernel file of an op, and the names of its kernels for forward and backward.
fn kernels(name: &str) -> (Source, &'static str, &'static str) {
    macro_rules! table {
        ($($folder:literal: $($op:literal)*;)*) => {
            match name {
                $($($op => (
                    source!(concat!($folder, "/", $op), "elementwise"),
                    concat!($op, "_forward"),
                    concat!($op, "_backward"),
                ),)*)*
                _ => panic!("OpenCL: there is no kernel for the elementwise operation {name}"),
            }
        };
    }
    table! {
        "activations": "gelu" "gelu_tanh" "leaky_relu" "relu" "sigmoid" "silu" "tanh";
        "tensor/math": "abs" "add_scalar" "clamp" "cube" "exp" "log" "neg" "pow" "scale" "sqrt" "square";
    }
}

impl<T: Real> ElementwiseKernel for OpenCl<T> {
    fn elementwise_forward<F: Elementwise>(f: &F, x: &Array<Self>) -> Array<Self> {
        let (source, forward, _) = kernels(F::NAME);
        let ([p, q], y) = (f.parameters(), x.backend().arbitrary(x.shape()));
        let launch = x.backend().launch(source, forward).array(x).array(&y);
        launch.real(p).real(q).int(x.len()).items(x.len());
        y
    }

    fn elementwise_backward<F: Elementwise>(
        f: &F,
        x: &Array<Self>,
        y: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (source, _, backward) = kernels(F::NAME);
        let ([p, q], backend) = (f.parameters(), grad_output.backend());
        let grad_x = backend.arbitrary(grad_output.shape());
        let launch = backend.launch(source, backward).array(x).array(y).array(grad_output).array(&grad_x);
        launch.real(p).real(q).int(grad_x.len()).items(grad_x.len());
        grad_x
    }
}
