//! Losses of each element against its own target: `kernels/common/pointwise_loss.cl` around the function of each.

use termwise_autograd::Array;
use termwise_ops::Reduction;
use termwise_ops::losses::pointwise::{PointwiseLoss, PointwiseLossKernel};

use super::{reduce, spread};
use crate::program::{Source, source};
use crate::{OpenCl, Real};

/// The kernel file of a loss, and the names of its kernels for forward and the two gradients.
fn kernels(name: &str) -> (Source, &'static str, [&'static str; 2]) {
    macro_rules! table {
        ($($op:literal)*) => {
            match name {
                $($op => (
                    source!(concat!("losses/", $op), "pointwise_loss"),
                    concat!($op, "_forward"),
                    [concat!($op, "_backward_x"), concat!($op, "_backward_t")],
                ),)*
                _ => panic!("OpenCL: there is no kernel for the loss {name}"),
            }
        };
    }
    table!("l1_loss" "mse_loss" "sigmoid_focal_loss" "smooth_l1_loss")
}

impl<T: Real> PointwiseLossKernel for OpenCl<T> {
    fn pointwise_loss_forward<L: PointwiseLoss>(
        loss: &L,
        x: &Array<Self>,
        target: &Array<Self>,
        reduction: Reduction,
    ) -> Array<Self> {
        let ((source, forward, _), [p, q]) = (kernels(L::NAME), loss.parameters());
        let losses = x.backend().arbitrary(x.shape());
        let launch = x.backend().launch(source, forward).array(x).array(target).array(&losses);
        launch.real(p).real(q).int(x.len()).items(x.len());
        reduce(losses, reduction)
    }

    fn pointwise_loss_backward<L: PointwiseLoss>(
        loss: &L,
        x: &Array<Self>,
        target: &Array<Self>,
        reduction: Reduction,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let ((source, _, kernels), [p, q]) = (kernels(L::NAME), loss.parameters());
        let (factor, each) = spread(reduction, x.len());
        std::array::from_fn(|operand| {
            needs[operand].then(|| {
                let grad = x.backend().arbitrary(x.shape());
                let launch = x.backend().launch(source, kernels[operand]).array(x).array(target);
                let launch = launch.array(grad_output).array(&grad).real(p).real(q).real(factor).flag(each);
                launch.int(x.len()).items(x.len());
                grad
            })
        })
    }
}
