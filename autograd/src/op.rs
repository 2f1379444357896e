//! The one trait that a differentiable operation implements.

use crate::{Array, Backend};

/// A differentiable operation of `N` inputs and one output.
///
/// Forward and backward stand in one impl, so an operation without a backward cannot be written.
/// An op *returns* its contributions; the engine adds them up and checks every shape, so an op can
/// neither overwrite a gradient nor forget that an input was used twice.
///
/// Whole numbers (token ids, labels, masks, sizes) are fields of the op, never on the tape.
/// An optional operand that is left out arrives as an [absent](Array::absent) array.
///
/// ```
/// use termwise_autograd::{apply, gradcheck, Array, Cpu, Op, Scalar, Var};
/// # use termwise_autograd::Backend;
///
/// /// y = x^2
/// struct Square;
///
/// impl<T: Scalar> Op<Cpu<T>, 1> for Square {
///     type Saved = Array<Cpu<T>>;
///
///     fn name(&self) -> &'static str {
///         "square"
///     }
///
///     fn forward(&self, [x]: [&Array<Cpu<T>>; 1]) -> (Array<Cpu<T>>, Self::Saved) {
///         (x.view().mapv(|v| v * v).into(), x.clone())
///     }
///
///     fn backward(&self, x: &Self::Saved, grad_output: &Array<Cpu<T>>, _: [bool; 1]) -> [Option<Array<Cpu<T>>>; 1] {
///         // y = x^2  =>  dL/dx = 2 x dL/dy
///         let two = T::of(2.0);
///         [Some((&x.view() * &grad_output.view()).mapv(|v| two * v).into())]
///     }
/// }
///
/// let x = ndarray::arr1(&[0.3, -1.2, 2.0]).into_dyn();
/// gradcheck::check("square", &[("x", x)], |v| apply(Square, [&v[0]])).assert_pass();
/// ```
pub trait Op<B: Backend, const N: usize>: 'static {
    /// What backward needs from forward.
    type Saved: 'static;

    /// The name in error messages and reports, as the public function is called.
    fn name(&self) -> &'static str;

    /// Computes the output and what to keep for backward. Inputs are read only; keeping a clone of one costs
    /// nothing, as its numbers are shared. A wrong shape is best refused before, by the public function that
    /// applies the op.
    fn forward(&self, inputs: [&Array<B>; N]) -> (Array<B>, Self::Saved);

    /// The contribution of `grad_output` to the gradient of each input.
    ///
    /// `needs[i]` says whether input `i` takes part in differentiation: where it is true the entry
    /// must be `Some` array of that input's shape, where it is false the work can be left out and what
    /// is returned is not used.
    fn backward(
        &self,
        saved: &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; N],
    ) -> [Option<Array<B>>; N];
}
