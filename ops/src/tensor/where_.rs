//! Choice between two arrays, element by element.

use ndarray::ArrayD;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;
use termwise_autograd::{Array, Cpu, Op, Scalar, Var, apply};

use crate::broadcast::{BroadcastKernel, common_shape, map};
use crate::lanes::Pointwise;
use crate::shape;

/// `a` where `condition` is true, `b` elsewhere, with NumPy's broadcasting of all three.
///
/// # Formula
/// `y = condition ? a : b`
///
/// # Shapes
/// `condition`, `a`, `b`: any that broadcast, scalars of shape `[]` included. `y`: their common shape.
///
/// # Gradient
/// `da = dy` where the condition is true, `db = dy` where it is false, 0 elsewhere, each summed over
/// the axes along which the operand was repeated.
///
/// # Edge cases
/// The element that is not chosen is not looked at: a NaN there reaches neither value nor gradient.
///
/// # Panics
/// If the shapes do not broadcast.
///
/// # Examples
/// ```
/// use ndarray::{arr0, arr1};
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let a = tape.leaf(arr1(&[1.0, 2.0, 3.0]).into());
/// let b = tape.leaf(arr0(9.0).into());
/// let y = termwise_ops::where_(&arr1(&[true, false, false]).into_dyn(), &a, &b);
/// assert_eq!(y.value().as_slice(), [1.0, 9.0, 9.0]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[4.0, 5.0, 6.0]).into())]);
/// assert_eq!(gradients.of(&a).unwrap().as_slice(), [4.0, 0.0, 0.0]);
/// assert_eq!(gradients.of(&b).unwrap().item(), 11.0);
/// ```
#[track_caller]
pub fn where_<B: WhereKernel>(condition: &ArrayD<bool>, a: &Var<B>, b: &Var<B>) -> Var<B> {
    let operands = common_shape("where", a.shape(), b.shape());
    let Some(shape) = shape::broadcast(condition.shape(), &operands) else {
        let shapes = [condition.shape(), a.shape(), b.shape()];
        panic!("where: condition, a and b of shapes {shapes:?} do not broadcast");
    };
    let operands = [a.shape().to_vec(), b.shape().to_vec()];
    apply(Where { condition: condition.clone(), shape, operands }, [a, b])
}

struct Where {
    condition: ArrayD<bool>,
    shape: Vec<usize>,
    operands: [Vec<usize>; 2],
}

impl<B: WhereKernel> Op<B, 2> for Where {
    type Saved = ();

    fn name(&self) -> &'static str {
        "where"
    }

    fn forward(&self, [a, b]: [&Array<B>; 2]) -> (Array<B>, Self::Saved) {
        (B::select(&self.condition, a, b, &self.shape), ())
    }

    fn backward(
        &self,
        (): &Self::Saved,
        grad_output: &Array<B>,
        [need_a, need_b]: [bool; 2],
    ) -> [Option<Array<B>>; 2] {
        // y = condition ? a : b  =>  da = condition ? dy : 0,  db = condition ? 0 : dy
        let zero = Array::zeros(grad_output.backend(), &[]);
        let [shape_a, shape_b] = &self.operands;
        [
            need_a.then(|| {
                B::sum_to(&B::select(&self.condition, grad_output, &zero, &self.shape), shape_a, 1.0)
            }),
            need_b.then(|| {
                B::sum_to(&B::select(&self.condition, &zero, grad_output, &self.shape), shape_b, 1.0)
            }),
        ]
    }
}

/// Kernel of [`where_`].
pub trait WhereKernel: BroadcastKernel {
    /// `a` where `condition` is true, else `b`, all broadcast to `shape`.
    fn select(condition: &ArrayD<bool>, a: &Array<Self>, b: &Array<Self>, shape: &[usize]) -> Array<Self>;
}

/// `b` where `c` is 0, else `a`.
#[derive(Clone, Copy)]
struct Choose;

impl Pointwise<3> for Choose {
    #[inline(always)]
    fn at<V: Vector>(&self, [c, a, b]: [V; 3]) -> V {
        V::select(c.eq(V::zero()), b, a)
    }
}

impl<T: Scalar> WhereKernel for Cpu<T> {
    fn select(condition: &ArrayD<bool>, a: &Array<Self>, b: &Array<Self>, shape: &[usize]) -> Array<Self> {
        // As numbers, so that the condition is broadcast like the operands.
        let chosen: Vec<T> = condition.iter().map(|&c| if c { T::one() } else { T::zero() }).collect();
        let operands =
            [(condition.shape(), &chosen[..]), (a.shape(), a.as_slice()), (b.shape(), b.as_slice())];
        Array::from_buffer(shape, map(shape, operands, Choose))
    }
}

/// Test cases of [`where_`]: the condition, `a` or `b` repeated.
pub fn cases<B: WhereKernel>() -> Vec<Case<B>> {
    type Shapes = fn(&[usize]) -> [Vec<usize>; 3];
    let case = |label: &'static str, shapes: Shapes, shape: &[usize]| {
        Case::new("where", label, shape, move |shape, samples| {
            let [condition, a, b] = shapes(shape);
            let condition = samples.mask(&condition, 0.5);
            let inputs = [("a", samples.normal(&a)), ("b", samples.normal(&b))];
            Built::new(inputs, move |v| where_(&condition, &v[0], &v[1]))
        })
    };
    vec![
        case("same", |s| [s.to_vec(), s.to_vec(), s.to_vec()], &[1]),
        case("same", |s| [s.to_vec(), s.to_vec(), s.to_vec()], &[0, 3]),
        case("b: last axis only", |s| [s.to_vec(), s.to_vec(), vec![s[2]]], &[2, 3, 5]),
        case("condition: last axis only, b: scalar", |s| [vec![s[2]], s.to_vec(), vec![]], &[2, 3, 5]),
        case("a: scalar, b: one row", |s| [s.to_vec(), vec![], vec![1, s[1]]], &[4, 7]),
        case("condition larger", |s| [s.to_vec(), vec![s[1]], vec![s[1]]], &[3, 4]),
    ]
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn what_is_not_chosen_is_not_looked_at() {
        let tape = Tape::new(Cpu::<f64>::new());
        let a = tape.leaf(arr1(&[1.0, f64::NAN]).into());
        let b = tape.leaf(arr1(&[f64::NAN, 2.0]).into());
        let y = where_(&arr1(&[true, false]).into_dyn(), &a, &b);
        assert_eq!(y.value().as_slice(), [1.0, 2.0]);
        let gradients = tape.backward_with(&[(&y, arr1(&[3.0, 4.0]).into())]);
        assert_eq!(gradients.of(&b).unwrap().as_slice(), [0.0, 4.0]);
    }

    #[test]
    #[should_panic(expected = "where: condition, a and b of shapes [[2], [3], []] do not broadcast")]
    fn a_condition_that_does_not_fit_is_named() {
        let tape = Tape::new(Cpu::<f64>::new());
        let var = |shape: &[usize]| tape.leaf(Array::zeros(&Cpu::new(), shape));
        where_(&arr1(&[true, false]).into_dyn(), &var(&[3]), &var(&[]));
    }
}
