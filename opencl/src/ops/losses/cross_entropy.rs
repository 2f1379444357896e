//! Cross-entropy of logits against labels.

use termwise_autograd::Array;
use termwise_ops::Reduction;
use termwise_ops::broadcast::BroadcastKernel;
use termwise_ops::losses::{CrossEntropyKernel, Labels, Target};
use termwise_ops::shape::split_at_axis;

use crate::ops::broadcast::times;
use crate::program::{Source, source};
use crate::{Buffer, OpenCl, Real};

const CROSS_ENTROPY: Source = source!("losses/cross_entropy");

/// Classes from which on a position is worth a work-group, where neighbours belong to other positions.
const MANY: usize = 256;

/// The sum of the weights of the labelled positions, which a mean divides by.
fn count<T: Real>(backend: &OpenCl<T>, target: &Target<OpenCl<T>>, labels: &Buffer<u32>) -> Array<OpenCl<T>> {
    let classes = &target.labels.classes;
    let Some(class_weight) = &target.class_weight else {
        let labelled = classes.iter().filter(|&&class| class != Labels::IGNORED).count();
        return Array::full(backend, &[], labelled as f64);
    };
    if classes.is_empty() {
        return Array::zeros(backend, &[]);
    }
    let weights = backend.arbitrary(&[classes.len()]);
    let launch = backend.launch(CROSS_ENTROPY, "cross_entropy_weights").buffer(labels).array(class_weight);
    launch.array(&weights).int(classes.len()).items(classes.len());
    OpenCl::sum_to(&weights, &[], 1.0)
}

impl<T: Real> CrossEntropyKernel for OpenCl<T> {
    fn cross_entropy_forward(
        logits: &Array<Self>,
        target: &Target<Self>,
        differentiate: bool,
    ) -> ([Array<Self>; 2], Option<Array<Self>>) {
        let (backend, (outer, classes, inner)) =
            (logits.backend(), split_at_axis(logits.shape(), target.axis));
        let (labels, positions) = (backend.constants(&target.labels.classes), outer * inner);
        let unit = match target.reduction {
            Reduction::None | Reduction::Sum => Array::full(backend, &[], 1.0),
            Reduction::Mean => {
                let (count, unit) = (count(backend, target, &labels), backend.arbitrary(&[]));
                let launch = backend.launch(CROSS_ENTROPY, "cross_entropy_unit").array(&count).array(&unit);
                launch.int(1).items(1);
                unit
            }
        };
        let total = match &target.class_weight {
            Some(weight) if !weight.is_empty() => OpenCl::sum_to(weight, &[], 1.0),
            _ => Array::full(backend, &[], classes as f64),
        };
        let losses = [(); 2].map(|()| backend.arbitrary(&target.labels.shape));
        let grad = differentiate.then(|| backend.arbitrary(logits.shape()));
        let by_groups = classes >= MANY || (inner == 1 && classes >= 8);
        let kernel = if by_groups { "cross_entropy_forward_lines" } else { "cross_entropy_forward_items" };
        let launch = backend.launch(CROSS_ENTROPY, kernel).array(logits).buffer(&labels);
        let launch = launch.optional(target.class_weight.as_ref()).array(&total).array(&unit);
        let launch = launch.array(&losses[0]).array(&losses[1]).optional(grad.as_ref());
        let launch = launch.int(classes).int(inner).real(1.0 - target.smoothing);
        let launch = launch.real(target.smoothing / classes as f64);
        if by_groups {
            launch.groups(positions)
        } else {
            launch.int(positions).items(positions)
        }

        let reduced = losses.map(|losses| match target.reduction {
            Reduction::None => losses,
            _ if positions == 0 => Array::zeros(backend, &[]),
            Reduction::Sum => OpenCl::sum_to(&losses, &[], 1.0),
            Reduction::Mean => times(&OpenCl::sum_to(&losses, &[], 1.0), &unit, &[]),
        });
        (reduced, grad)
    }

    fn cross_entropy_backward(
        gradient: &Array<Self>,
        target: &Target<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let mut upstream = target.labels.shape.clone();
        match target.reduction {
            Reduction::None => upstream.insert(target.axis, 1),
            Reduction::Mean | Reduction::Sum => upstream.clear(),
        }
        times(gradient, &grad_output.reshape(&upstream), gradient.shape())
    }
}
