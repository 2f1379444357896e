//! Generalised intersection over union of boxes.

use termwise_autograd::Array;
use termwise_ops::Reduction;
use termwise_ops::losses::GiouLossKernel;

use super::{reduce, spread};
use crate::program::{Source, source};
use crate::{OpenCl, Real};

const GIOU_LOSS: Source = source!("losses/giou_loss");

impl<T: Real> GiouLossKernel for OpenCl<T> {
    fn giou_loss_forward(
        boxes1: &Array<Self>,
        boxes2: &Array<Self>,
        eps: f64,
        reduction: Reduction,
    ) -> Array<Self> {
        let (backend, count) = (boxes1.backend(), boxes1.len() / 4);
        let losses = backend.arbitrary(&boxes1.shape()[..boxes1.ndim() - 1]);
        let launch = backend.launch(GIOU_LOSS, "giou_loss_forward").array(boxes1).array(boxes2);
        launch.array(&losses).real(eps).int(count).items(count);
        reduce(losses, reduction)
    }

    fn giou_loss_backward(
        boxes1: &Array<Self>,
        boxes2: &Array<Self>,
        eps: f64,
        reduction: Reduction,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let (backend, count) = (boxes1.backend(), boxes1.len() / 4);
        let (factor, each) = spread(reduction, count);
        let gradient = |needed: bool, a: &Array<Self>, b: &Array<Self>| {
            needed.then(|| {
                let grad = backend.arbitrary(a.shape());
                let launch = backend.launch(GIOU_LOSS, "giou_loss_backward").array(a).array(b);
                let launch = launch.array(grad_output).array(&grad).real(eps).real(factor).flag(each);
                launch.int(count).items(count);
                grad
            })
        };
        // The loss is symmetric in the two boxes.
        [gradient(needs[0], boxes1, boxes2), gradient(needs[1], boxes2, boxes1)]
    }
}
