//! Parameters from one device to another.

use termwise_autograd::{Array, Backend, Module};

/// Gives `to` the numbers of all parameters and buffers of `from`, which may be on another device.
///
/// # Panics
/// If the two differ in the names or shapes of their parameters.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Module};
/// use termwise_models::{Init, copy_parameters, layers::Linear};
/// let from = Linear::new(2, 3, true, &mut Init::new(Cpu::<f32>::new(), 1));
/// let to = Linear::new(2, 3, true, &mut Init::new(Cpu::<f64>::new(), 2));
/// copy_parameters(&from, &to);
/// assert_eq!(from.parameters()[0].1.value().to_f64(), to.parameters()[0].1.value().to_f64());
/// ```
#[track_caller]
pub fn copy_parameters<A: Backend, B: Backend>(from: &dyn Module<A>, to: &dyn Module<B>) {
    let (from, to) = (from.parameters(), to.parameters());
    assert!(from.len() == to.len(), "copy_parameters: {} and {} parameters", from.len(), to.len());
    for ((name, source), (other, target)) in from.iter().zip(&to) {
        let (source, shape) = (source.value(), target.shape());
        assert!(
            name == other && source.shape() == shape,
            "copy_parameters: {name} {:?} and {other} {shape:?}",
            source.shape()
        );
        target.set(Array::from_f64(target.value().backend(), &source.to_f64()));
    }
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Cpu;

    use super::*;
    use crate::Init;
    use crate::layers::Linear;

    #[test]
    fn numbers_arrive_under_their_names() {
        let from = Linear::new(3, 2, true, &mut Init::new(Cpu::<f32>::new(), 1));
        let to = Linear::new(3, 2, true, &mut Init::new(Cpu::<f64>::new(), 2));
        copy_parameters(&from, &to);
        for ((_, a), (_, b)) in from.parameters().iter().zip(&to.parameters()) {
            assert_eq!(a.value().to_f64(), b.value().to_f64());
        }
    }
}
