//! Power: `y = x^exponent`, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::{Vector, math};

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Power of each element.
///
/// # Formula
/// `y = x^exponent`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = exponent x^(exponent - 1) dy`
///
/// # Edge cases
/// An exponent of 0 gives 1 with derivative 0 everywhere. A negative base with a fractional exponent
/// gives NaN.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[4.0, 0.25]).into());
/// let y = termwise_ops::pow(&x, 0.5);
/// assert_eq!(y.value().as_slice(), [2.0, 0.5]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[1.0, 1.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.25, 1.0]);
/// ```
pub fn pow<B: ElementwiseKernel>(x: &Var<B>, exponent: f64) -> Var<B> {
    elementwise(Pow { exponent }, x)
}

#[derive(Clone, Copy)]
struct Pow {
    exponent: f64,
}

impl Elementwise for Pow {
    const NAME: &'static str = "pow";
    const SAVES: Saves = Saves::Input;

    fn parameters(&self) -> [f64; 2] {
        [self.exponent, 0.0]
    }

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        math::pow(x, self.exponent)
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, x: V, _: V) -> V {
        if self.exponent == 0.0 {
            // Not 0 * x^-1, which is NaN at 0.
            return V::zero();
        }
        V::of(self.exponent) * math::pow(x, self.exponent - 1.0)
    }
}

/// Test cases: bases in [0.3, 2).
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |exponent: f64, shape: &[usize]| {
        Case::new("pow", format!("exponent {exponent}"), shape, move |shape, samples| {
            Built::new([("x", samples.uniform(shape, 0.3, 2.0))], move |v| pow(&v[0], exponent))
        })
    };
    vec![case(0.5, &[1]), case(3.0, &[3, 7]), case(-1.5, &[2, 2, 3]), case(0.0, &[4]), case(2.0, &[0, 3])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::check;
    use crate::oracle::numbers;

    #[test]
    fn vectors_agree_with_numbers_on_every_instruction_set() {
        let x = numbers(200, 15, 0.2, 5.0);
        check(Pow { exponent: 1.5 }, &x, [|x| x.powf(1.5), |x| 1.5 * x.sqrt()], 2.0, 0.0);
        check(Pow { exponent: 3.0 }, &x, [|x| x.powi(3), |x| 3.0 * x * x], 2.0, 0.0);
        check(Pow { exponent: 0.0 }, &[0.0, 2.0], [|_| 1.0, |_| 0.0], 0.0, 0.0);
    }
}
