//! The same elements in row-major order under another shape.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Backend, Op, Var, apply};

/// The same elements under another shape. Free: nothing is copied.
///
/// # Formula
/// `y_i = x_i`, `i` counting in row-major order.
///
/// # Shapes
/// `x`: any. `y`: `shape`, of as many elements.
///
/// # Gradient
/// `dx = dy` under the shape of `x`.
///
/// # Panics
/// If the number of elements would change.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).into());
/// let y = termwise_ops::reshape(&x, &[3, 2]);
/// assert_eq!(y.value().to_ndarray(), ndarray::arr2(&[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).into_dyn());
/// ```
#[track_caller]
pub fn reshape<B: Backend>(x: &Var<B>, shape: &[usize]) -> Var<B> {
    let (from, to) = (x.value().len(), shape.iter().product::<usize>());
    assert!(from == to, "reshape: {:?} has {from} elements, {shape:?} would have {to}", x.shape());
    apply(Reshape { shape: shape.to_vec(), input: x.shape().to_vec() }, [x])
}

struct Reshape {
    shape: Vec<usize>,
    input: Vec<usize>,
}

impl<B: Backend> Op<B, 1> for Reshape {
    type Saved = ();

    fn name(&self) -> &'static str {
        "reshape"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (x.reshape(&self.shape), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = x in another shape  =>  dx = dy in the shape of x
        [Some(grad_output.reshape(&self.input))]
    }
}

/// Test cases of [`reshape`].
pub fn cases<B: Backend>() -> Vec<Case<B>> {
    type Target = fn(&[usize]) -> Vec<usize>;
    let case = |label: &'static str, target: Target, shape: &[usize]| {
        Case::new("reshape", label, shape, move |shape, samples| {
            let to = target(shape);
            Built::new([("x", samples.normal(shape))], move |v| reshape(&v[0], &to))
        })
    };
    vec![
        case("to a scalar", |_| vec![], &[1]),
        case("flattened", |s| vec![s.iter().product()], &[2, 3, 5]),
        case("last axes joined", |s| vec![s[0], s[1..].iter().product(), 1], &[4, 3, 3]),
        case("empty", |s| vec![s[1], s[0]], &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    #[test]
    #[should_panic(expected = "reshape: [2, 3] has 6 elements, [4, 2] would have 8")]
    fn another_number_of_elements_is_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        reshape(&tape.leaf(Array::zeros(&Cpu::new(), &[2, 3])), &[4, 2]);
    }
}
