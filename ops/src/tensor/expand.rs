//! Repetition along axes of extent 1.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Op, Var, apply};

use crate::broadcast::{BroadcastKernel, assert_broadcasts_to};

/// `x` repeated to `shape` by NumPy's broadcasting.
///
/// # Formula
/// `y[i] = x[i]`, the index being 0 along repeated axes.
///
/// # Shapes
/// `x`: any that broadcasts to `shape`; new axes come in front. `y`: `shape`.
///
/// # Gradient
/// `dx` is `dy` summed over the repeated axes.
///
/// # Panics
/// If the shape of `x` does not broadcast to `shape`.
///
/// # Examples
/// ```
/// use ndarray::arr2;
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr2(&[[1.0], [2.0]]).into());
/// let y = termwise_ops::expand(&x, &[2, 2]);
/// assert_eq!(y.value().as_slice(), [1.0, 1.0, 2.0, 2.0]);
/// let gradients = tape.backward_with(&[(&y, arr2(&[[1.0, 2.0], [3.0, 4.0]]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [3.0, 7.0]);
/// ```
#[track_caller]
pub fn expand<B: BroadcastKernel>(x: &Var<B>, shape: &[usize]) -> Var<B> {
    assert_broadcasts_to("expand", "x", x.shape(), shape);
    apply(Expand { shape: shape.to_vec(), input: x.shape().to_vec() }, [x])
}

struct Expand {
    shape: Vec<usize>,
    input: Vec<usize>,
}

impl<B: BroadcastKernel> Op<B, 1> for Expand {
    type Saved = ();

    fn name(&self) -> &'static str {
        "expand"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::broadcast_to(x, &self.shape, 1.0), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // one x goes to many y  =>  dx is the sum of their dy
        [Some(B::sum_to(grad_output, &self.input, 1.0))]
    }
}

/// Test cases of [`expand`], each made from the target shape and the axes that are repeated.
pub fn cases<B: BroadcastKernel>() -> Vec<Case<B>> {
    let case = |dropped: usize, repeated: &'static [usize], shape: &[usize]| {
        let label = format!("{dropped} new axes, axes {repeated:?} repeated");
        Case::new("expand", label, shape, move |shape, samples| {
            let mut own = shape.to_vec();
            repeated.iter().for_each(|&axis| own[axis] = 1);
            let to = shape.to_vec();
            Built::new([("x", samples.normal(&own[dropped..]))], move |v| expand(&v[0], &to))
        })
    };
    vec![
        case(1, &[], &[1]),
        case(0, &[1], &[3, 5]),
        case(1, &[2], &[2, 3, 5, 4]),
        case(0, &[0, 2], &[3, 4, 2]),
        case(2, &[], &[3, 2]),
        case(0, &[0], &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    #[test]
    #[should_panic(expected = "expand: x of shape [2, 3] does not broadcast to [2, 6]")]
    fn a_shape_that_does_not_fit_is_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        expand(&tape.leaf(Array::zeros(&Cpu::new(), &[2, 3])), &[2, 6]);
    }
}
