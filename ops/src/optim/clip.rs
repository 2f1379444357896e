//! Clipping gradients by their global norm.
//!
//! Source: Pascanu et al., "On the difficulty of training recurrent neural networks", ICML 2013, in
//! the form of `torch.nn.utils.clip_grad_norm_`.

use termwise_autograd::{Array, Backend, Param, Scalar};

use super::{GradientSource, OptimizerKernel, pairs};

/// Scales all gradients together so that their common norm is at most `max_norm`.
///
/// # Formula
/// `norm = sqrt(sum of the squares of all elements of all gradients)`,
/// `g <- g min(1, max_norm / (norm + 1e-6))`
///
/// The scaling happens inside the optimiser's step: no gradient is copied, and nothing is read back
/// from the device. Frozen parameters do not count.
///
/// # Edge cases
/// Without any gradient the norm is 0. A NaN makes the norm, and with it every gradient, NaN.
///
/// # Panics
/// If a gradient's shape differs from its parameter's.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Param};
/// use termwise_ops::optim::clip_grad_norm;
/// let p = Param::new(Array::<Cpu<f64>>::host(&[2], vec![0.0, 0.0]));
/// let params = [("p".to_string(), &p)];
/// let gradients = std::collections::HashMap::from([("p".to_string(), Array::host(&[2], vec![30.0, 40.0]))]);
/// let clipped = clip_grad_norm(&params, &gradients, 10.0);
/// assert_eq!(clipped.total_norm(), 50.0);
/// assert!((clipped.scaled("p", &p).unwrap().as_slice()[0] - 6.0).abs() < 1e-6);
/// ```
pub fn clip_grad_norm<'a, B: OptimizerKernel>(
    params: &[(String, &Param<B>)],
    gradients: &'a dyn GradientSource<B>,
    max_norm: f64,
) -> Clipped<'a, B> {
    let arrays: Vec<&Array<B>> = pairs(params, gradients).map(|(.., gradient)| gradient).collect();
    let Some(first) = arrays.first() else {
        return Clipped { gradients, norm: None, factor: None };
    };
    let norm = first.backend().norm(&arrays);
    // Gradients that were clipped before are still to be scaled.
    let norm = match gradients.factor() {
        Some(factor) => B::scale(norm, factor),
        None => norm,
    };
    let factor = B::clip_factor(&norm, max_norm);
    let factor = match gradients.factor() {
        Some(outer) => B::scale(factor, outer),
        None => factor,
    };
    Clipped { gradients, norm: Some(norm), factor: Some(factor) }
}

/// Gradients that the optimiser is to scale by one factor; see [`clip_grad_norm`].
pub struct Clipped<'a, B: Backend> {
    gradients: &'a dyn GradientSource<B>,
    norm: Option<Array<B>>,
    factor: Option<Array<B>>,
}

impl<B: OptimizerKernel> Clipped<'_, B> {
    /// The common norm before clipping; reads one number back from the device.
    pub fn total_norm(&self) -> f64 {
        self.norm.as_ref().map_or(0.0, |norm| norm.item().as_f64())
    }

    /// A copy of the clipped gradient of `param`.
    pub fn scaled(&self, name: &str, param: &Param<B>) -> Option<Array<B>> {
        let gradient = self.gradients.gradient(name, param)?.clone();
        Some(match &self.factor {
            Some(factor) => B::scale(gradient, factor),
            None => gradient,
        })
    }
}

impl<B: Backend> GradientSource<B> for Clipped<'_, B> {
    fn gradient(&self, name: &str, param: &Param<B>) -> Option<&Array<B>> {
        self.gradients.gradient(name, param)
    }

    fn factor(&self) -> Option<&Array<B>> {
        self.factor.as_ref()
    }
}
