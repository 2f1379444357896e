//! Optimisers and gradient clipping.

use termwise_autograd::Array;
use termwise_ops::optim::{AdamStep, OptimizerKernel, SgdStep};

use crate::program::{Source, source};
use crate::{OpenCl, Real};

const OPTIMIZERS: Source = source!("optim/optimizers");

/// Elements of which a work-group sums the squares.
const PART: usize = 1 << 13;

impl<T: Real> OptimizerKernel for OpenCl<T> {
    fn sgd_step(
        step: &SgdStep,
        param: Array<Self>,
        buffer: Option<Array<Self>>,
        gradient: &Array<Self>,
        factor: Option<&Array<Self>>,
    ) -> (Array<Self>, Option<Array<Self>>) {
        let (backend, len) = (gradient.backend().clone(), gradient.len());
        let (param, new_param) = backend.reuse(param);
        let (buffer, new_buffer) = match buffer {
            Some(buffer) => {
                let (buffer, new) = backend.reuse(buffer);
                (Some(buffer), Some(new))
            }
            None => (None, (step.momentum != 0.0).then(|| backend.arbitrary(gradient.shape()))),
        };
        let launch = backend.launch(OPTIMIZERS, "sgd_step").array(&param).optional(buffer.as_ref());
        let launch = launch.array(gradient).optional(factor).array(&new_param).optional(new_buffer.as_ref());
        let launch = launch.real(step.lr).real(step.momentum).real(1.0 - step.dampening);
        launch.real(step.weight_decay).flag(step.nesterov).int(len).items(len);
        (new_param, new_buffer)
    }

    fn adam_step(
        step: &AdamStep,
        param: Array<Self>,
        exp_avg: Array<Self>,
        exp_avg_sq: Array<Self>,
        gradient: &Array<Self>,
        factor: Option<&Array<Self>>,
    ) -> [Array<Self>; 3] {
        let (backend, len) = (gradient.backend().clone(), gradient.len());
        let [(param, new_param), (exp_avg, new_avg), (exp_avg_sq, new_avg_sq)] =
            [param, exp_avg, exp_avg_sq].map(|array| backend.reuse(array));
        let exponent = i32::try_from(step.count).unwrap_or(i32::MAX);
        let launch = backend.launch(OPTIMIZERS, "adam_step").array(&param).array(&exp_avg).array(&exp_avg_sq);
        let launch = launch.array(gradient).optional(factor);
        let launch = launch.array(&new_param).array(&new_avg).array(&new_avg_sq);
        let launch = launch.real(step.lr / (1.0 - step.beta1.powi(exponent))).real(1.0 - step.beta1);
        let launch = launch.real(step.beta2).real(1.0 - step.beta2);
        let launch = launch.real((1.0 - step.beta2.powi(exponent)).sqrt().recip()).real(step.eps);
        launch.real(step.gradient_decay).real(1.0 + step.shrink).int(len).items(len);
        [new_param, new_avg, new_avg_sq]
    }

    fn norm(&self, arrays: &[&Array<Self>]) -> Array<Self> {
        let parts: usize = arrays.iter().map(|array| array.len().div_ceil(PART)).sum();
        // Room for doubles, which the kernels sum in where the device has them.
        let sums = self.scratch::<u8>(parts.max(1) * size_of::<f64>());
        let mut first = 0;
        for array in arrays {
            let count = array.len().div_ceil(PART);
            let launch = self.launch(OPTIMIZERS, "norm_parts").array(array).buffer(&sums);
            launch.int(first).int(PART).int(array.len()).groups(count);
            first += count;
        }
        let norm = self.arbitrary(&[]);
        self.launch(OPTIMIZERS, "norm_finish").buffer(&sums).array(&norm).int(parts).groups(1);
        norm
    }

    fn clip_factor(norm: &Array<Self>, max_norm: f64) -> Array<Self> {
        let factor = norm.backend().arbitrary(&[]);
        let launch = norm.backend().launch(OPTIMIZERS, "clip_factor").array(norm).array(&factor);
        launch.real(max_norm).int(1).items(1);
        factor
    }

    fn scale(array: Array<Self>, factor: &Array<Self>) -> Array<Self> {
        let (backend, len) = (factor.backend(), array.len());
        let (array, scaled) = backend.reuse(array);
        let launch = backend.launch(OPTIMIZERS, "scale_by").array(&array).array(factor).array(&scaled);
        launch.int(len).items(len);
        scaled
    }
}
