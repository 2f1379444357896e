//! A constant wherever a mask is true.

use ndarray::ArrayD;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Op, Var, apply};

use super::where_::WhereKernel;
use crate::broadcast::assert_broadcasts_to;

/// `value` where `mask` is true, `x` elsewhere.
///
/// # Formula
/// `y = mask ? value : x`
///
/// # Shapes
/// `x` and `y`: any, the same. `mask`: any that broadcasts to it.
///
/// # Gradient
/// `dx = dy` where the mask is false, else 0.
///
/// # Edge cases
/// `value` may be infinite. What is masked is not looked at.
///
/// # Panics
/// If `mask` does not broadcast to the shape of `x`.
///
/// # Examples
/// ```
/// use ndarray::arr1;
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr1(&[1.0, 2.0]).into());
/// let y = termwise_ops::masked_fill(&x, &arr1(&[true, false]).into_dyn(), f64::NEG_INFINITY);
/// assert_eq!(y.value().as_slice(), [f64::NEG_INFINITY, 2.0]);
/// ```
#[track_caller]
pub fn masked_fill<B: WhereKernel>(x: &Var<B>, mask: &ArrayD<bool>, value: f64) -> Var<B> {
    assert_broadcasts_to("masked_fill", "mask", mask.shape(), x.shape());
    apply(MaskedFill { mask: mask.clone(), value }, [x])
}

struct MaskedFill {
    mask: ArrayD<bool>,
    value: f64,
}

impl MaskedFill {
    fn fill<B: WhereKernel>(&self, x: &Array<B>, value: f64) -> Array<B> {
        B::select(&self.mask, &Array::full(x.backend(), &[], value), x, x.shape())
    }
}

impl<B: WhereKernel> Op<B, 1> for MaskedFill {
    type Saved = ();

    fn name(&self) -> &'static str {
        "masked_fill"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (self.fill(x, self.value), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = mask ? value : x  =>  dx = mask ? 0 : dy
        [Some(self.fill(grad_output, 0.0))]
    }
}

/// Test cases of [`masked_fill`].
pub fn cases<B: WhereKernel>() -> Vec<Case<B>> {
    let case = |value: f64, repeated: Option<usize>, shape: &[usize]| {
        let label = format!("value {value}, mask repeated along {repeated:?}");
        Case::new("masked_fill", label, shape, move |shape, samples| {
            let mut mask = shape.to_vec();
            if let Some(axis) = repeated {
                *mask.get_mut(axis)? = 1;
            }
            let mask = samples.mask(&mask, 0.4);
            Built::new([("x", samples.normal(shape))], move |v| masked_fill(&v[0], &mask, value))
        })
    };
    vec![
        case(0.0, None, &[1]),
        case(-3.0, None, &[3, 7]),
        case(1.5, Some(1), &[2, 3, 5]),
        case(1.0, None, &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    #[test]
    #[should_panic(expected = "masked_fill: mask of shape [2] does not broadcast to [3]")]
    fn a_mask_that_does_not_fit_is_named() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(Array::zeros(&Cpu::new(), &[3]));
        masked_fill(&x, &ArrayD::from_elem(vec![2], true), 0.0);
    }
}
