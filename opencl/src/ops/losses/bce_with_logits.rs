//! Binary cross-entropy on logits.

use termwise_autograd::Array;
use termwise_ops::Reduction;
use termwise_ops::losses::BceWithLogitsKernel;

use super::{reduce, spread};
use crate::layout::Strides;
use crate::program::{Source, source};
use crate::{OpenCl, Real};

const BCE: Source = source!("losses/bce_with_logits");

fn strides<T: Real>(x: &Array<OpenCl<T>>, pos_weight: Option<&Array<OpenCl<T>>>) -> Strides {
    Strides::broadcast(x.shape(), [pos_weight.map_or(&[], Array::shape)])
}

impl<T: Real> BceWithLogitsKernel for OpenCl<T> {
    fn bce_with_logits_forward(
        x: &Array<Self>,
        target: &Array<Self>,
        pos_weight: Option<&Array<Self>>,
        reduction: Reduction,
    ) -> Array<Self> {
        let losses = x.backend().arbitrary(x.shape());
        let launch = x.backend().launch(BCE, "bce_with_logits_forward").array(x).array(target);
        let launch = launch.optional(pos_weight).array(&losses).strides(&strides(x, pos_weight));
        launch.int(x.len()).items(x.len());
        reduce(losses, reduction)
    }

    fn bce_with_logits_backward(
        x: &Array<Self>,
        target: &Array<Self>,
        pos_weight: Option<&Array<Self>>,
        reduction: Reduction,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let ((factor, each), strides) = (spread(reduction, x.len()), strides(x, pos_weight));
        let kernels = ["bce_with_logits_backward_x", "bce_with_logits_backward_t"];
        std::array::from_fn(|operand| {
            needs[operand].then(|| {
                let grad = x.backend().arbitrary(x.shape());
                let launch = x.backend().launch(BCE, kernels[operand]).array(x).array(target);
                let launch = launch.optional(pos_weight).array(grad_output).array(&grad).strides(&strides);
                launch.real(factor).flag(each).int(x.len()).items(x.len());
                grad
            })
        })
    }
}
