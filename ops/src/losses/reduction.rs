//! How a loss goes from one number per element to what is differentiated.

use termwise_autograd::pool::Buffer;
use termwise_autograd::{Array, Cpu, Scalar};

use crate::sums::sum;

/// What is returned of the losses of the single elements.
///
/// The mean over nothing is 0, with zero gradients, so that a batch without a single labelled
/// element trains on nothing instead of poisoning the weights. (PyTorch returns NaN there.)
///
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Reduction, l1_loss};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let loss = |x: Vec<f64>, reduction| {
///     let target = tape.constant(Array::zeros(&Cpu::new(), &[x.len()]));
///     let x = tape.leaf(Array::host(&[x.len()], x));
///     l1_loss(&x, &target, reduction).value().as_slice().to_vec()
/// };
/// assert_eq!(loss(vec![1.0, -3.0], Reduction::None), [1.0, 3.0]);
/// assert_eq!(loss(vec![1.0, -3.0], Reduction::Mean), [2.0]);
/// assert_eq!(loss(vec![1.0, -3.0], Reduction::Sum), [4.0]);
/// assert_eq!(loss(vec![], Reduction::Mean), [0.0]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// All of them, in the shape of the targets.
    None,
    /// Their mean, a scalar of shape `[]`.
    #[default]
    Mean,
    /// Their sum, a scalar of shape `[]`.
    Sum,
}

impl Reduction {
    /// Reduces `losses`; `count` is what a mean divides by.
    pub(super) fn apply<T: Scalar>(
        self,
        shape: &[usize],
        losses: impl Into<Buffer<T>>,
        count: T,
    ) -> Array<Cpu<T>> {
        let losses = losses.into();
        match self {
            Reduction::None => Array::from_buffer(shape, losses),
            Reduction::Sum => Array::host(&[], vec![sum(&losses)]),
            Reduction::Mean if count == T::zero() => Array::host(&[], vec![T::zero()]),
            Reduction::Mean => Array::host(&[], vec![sum(&losses) / count]),
        }
    }

    /// The gradient in the loss of each single element, given that in the reduced loss.
    pub(super) fn spread<T: Scalar>(self, grad_output: &Array<Cpu<T>>, count: T) -> Spread<'_, T> {
        match self {
            Reduction::None => Spread::Each(grad_output.as_slice()),
            Reduction::Sum => Spread::Same(grad_output.as_slice()[0]),
            Reduction::Mean if count == T::zero() => Spread::Same(T::zero()),
            Reduction::Mean => Spread::Same(grad_output.as_slice()[0] / count),
        }
    }
}

/// The gradient in each element's loss: a list, or one number for all.
#[derive(Clone, Copy)]
pub(super) enum Spread<'a, T> {
    Each(&'a [T]),
    Same(T),
}

impl<T: Scalar> Spread<'_, T> {
    /// Shape and elements of an operand that broadcasts to the gradients of losses of shape `shape`.
    pub(super) fn operand<'a>(&'a self, shape: &'a [usize]) -> (&'a [usize], &'a [T]) {
        match self {
            Spread::Each(gradients) => (shape, gradients),
            Spread::Same(gradient) => (&[], std::slice::from_ref(gradient)),
        }
    }

    #[inline(always)]
    pub(super) fn at(&self, i: usize) -> T {
        match self {
            Spread::Each(gradients) => gradients[i],
            Spread::Same(gradient) => *gradient,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_sum_reduce_to_a_scalar_and_none_keeps_the_shape() {
        let reduce = |reduction: Reduction| reduction.apply(&[2, 2], vec![1.0, 2.0, 3.0, 6.0], 4.0);
        assert_eq!((reduce(Reduction::Mean).shape(), reduce(Reduction::Mean).item()), (&[][..], 3.0));
        assert_eq!((reduce(Reduction::Sum).shape(), reduce(Reduction::Sum).item()), (&[][..], 12.0));
        assert_eq!(reduce(Reduction::None).shape(), [2, 2]);
        assert_eq!(reduce(Reduction::None).as_slice(), [1.0, 2.0, 3.0, 6.0]);
    }

    #[test]
    fn the_mean_over_nothing_is_zero() {
        assert_eq!(Reduction::Mean.apply::<f32>(&[0], vec![], 0.0).item(), 0.0);
        let grad_output = Array::host(&[], vec![3.0f32]);
        assert_eq!(Reduction::Mean.spread(&grad_output, 0.0).at(0), 0.0);
        assert_eq!(Reduction::Mean.spread(&grad_output, 6.0).at(5), 0.5);
    }
}
