//! Optimisers and gradient clipping: arithmetic on parameters, outside the tape.
//!
//! A training step is: forward and backward on a tape, perhaps [`clip_grad_norm`], then
//! [`Optimizer::step`].
//!
//! ```
//! use termwise_autograd::{Cpu, Param, Tape};
//! use termwise_ops::optim::{Optimizer, Sgd, SgdConfig, clip_grad_norm};
//!
//! let weight = Param::new(ndarray::arr1(&[-3.0, 4.0]).into());
//! let params = [("weight".to_string(), &weight)];
//! let mut optimizer = Sgd::new(SgdConfig::default());
//!
//! let tape = Tape::new(Cpu::<f64>::new());
//! let loss = termwise_ops::relu(&tape.param(&weight));
//! let gradients = tape.backward_with(&[(&loss, ndarray::arr1(&[6.0, 8.0]).into())]);
//! let clipped = clip_grad_norm(&params, &gradients, 1.0);
//! assert_eq!(clipped.total_norm(), 8.0); // relu stops the first gradient
//! optimizer.step(&params, &clipped, 0.5);
//! assert!((weight.value().as_slice()[1] - 3.5).abs() < 1e-6);
//! ```

mod adam;
mod clip;
mod kernel;
mod sgd;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

pub use adam::{Adam, AdamConfig, WeightDecay};
pub use clip::{Clipped, clip_grad_norm};
pub use kernel::{AdamStep, OptimizerKernel, SgdStep};
pub use sgd::{Sgd, SgdConfig};
pub use state::StateError;
use termwise_autograd::{Array, Backend, Gradients, Param};

/// A rule that moves parameters along their gradients.
///
/// State is kept under the parameters' *names*, so that it can be written to a file and taken up
/// again by another process.
///
/// # Examples
/// An optimiser that takes up the state of another takes the same next step:
/// ```
/// use termwise_autograd::{Array, Cpu, Param};
/// use termwise_ops::optim::{Optimizer, Sgd, SgdConfig};
/// let p = Param::new(Array::<Cpu<f64>>::host(&[], vec![8.0]));
/// let params = [("p".to_string(), &p)];
/// let gradients = std::collections::HashMap::from([("p".to_string(), Array::host(&[], vec![2.0]))]);
/// let config = SgdConfig { momentum: 0.5, ..SgdConfig::default() };
/// let mut first = Sgd::new(config);
/// first.step(&params, &gradients, 1.0); // buffer 2, p = 6
/// let state = first.state();
/// assert_eq!((state[0].0.as_str(), state[0].1.item()), ("momentum_buffer.p", 2.0));
/// let mut second = Sgd::new(config);
/// second.load_state(&params, state).unwrap();
/// second.step(&params, &gradients, 1.0); // buffer 0.5 2 + 2 = 3
/// assert_eq!(p.value().item(), 3.0);
/// let error = second.load_state(&params, vec![("step.p".to_string(), p.value())]).unwrap_err();
/// assert!(error.to_string().contains("`step.p` belongs to no parameter"));
/// ```
pub trait Optimizer<B: Backend> {
    /// One step with learning rate `lr`. Frozen parameters (buffers) and parameters without a
    /// gradient are left alone, their state included.
    ///
    /// # Panics
    /// If a gradient's shape differs from its parameter's.
    fn step(&mut self, params: &[(String, &Param<B>)], gradients: &dyn GradientSource<B>, lr: f64);

    /// Everything that the next step depends on besides parameters, gradients and learning rate:
    /// named `<kind>.<parameter>`, in a fixed order. Counts of steps are 0-d arrays.
    fn state(&self) -> Vec<(String, Array<B>)>;

    /// Takes up a [`state`](Optimizer::state) saved before; a parameter without entries starts anew.
    ///
    /// # Errors
    /// If an entry belongs to none of `params`, has the wrong shape or lacks its counterpart. The
    /// optimiser is unchanged then.
    fn load_state(
        &mut self,
        params: &[(String, &Param<B>)],
        state: Vec<(String, Array<B>)>,
    ) -> Result<(), StateError>;
}

/// Where an optimiser finds the gradient of a parameter.
///
/// [`Gradients`] of a tape are one; maps from name to array serve gradients that were read from a
/// file or summed over several tapes.
pub trait GradientSource<B: Backend> {
    /// The gradient of `param`, called `name`; `None` where there is none.
    fn gradient(&self, name: &str, param: &Param<B>) -> Option<&Array<B>>;

    /// A 0-d array that every gradient is still to be multiplied with, or `None` for 1. It lives on
    /// the device so that clipping does not wait for the host.
    fn factor(&self) -> Option<&Array<B>> {
        None
    }
}

impl<B: Backend> GradientSource<B> for Gradients<B> {
    fn gradient(&self, _: &str, param: &Param<B>) -> Option<&Array<B>> {
        self.param(param)
    }
}

impl<B: Backend> GradientSource<B> for HashMap<String, Array<B>> {
    fn gradient(&self, name: &str, _: &Param<B>) -> Option<&Array<B>> {
        self.get(name)
    }
}

impl<B: Backend> GradientSource<B> for BTreeMap<String, Array<B>> {
    fn gradient(&self, name: &str, _: &Param<B>) -> Option<&Array<B>> {
        self.get(name)
    }
}

/// The trainable parameters that have a gradient, with it.
fn pairs<'a, 'p, B: Backend>(
    params: &'a [(String, &'p Param<B>)],
    gradients: &'a dyn GradientSource<B>,
) -> impl Iterator<Item = (&'a str, &'p Param<B>, &'a Array<B>)> {
    params.iter().filter(|(_, param)| param.is_trainable()).filter_map(|(name, param)| {
        let gradient = gradients.gradient(name, param)?;
        if gradient.shape() != param.shape() {
            wrong_shape(name, &param.shape(), gradient.shape());
        }
        Some((name.as_str(), *param, gradient))
    })
}

#[cold]
fn wrong_shape(name: &str, param: &[usize], gradient: &[usize]) -> ! {
    panic!("optimizer: parameter `{name}` has shape {param:?}, its gradient {gradient:?}");
}
