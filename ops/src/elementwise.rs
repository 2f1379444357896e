//! The machinery of operations that act on each element alone: one function, one derivative.
//!
//! Each such operation is a file of its own that implements [`Elementwise`]; this file supplies the
//! [`Op`] and the kernel for all of them.

use termwise_autograd::simd::Vector;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use crate::lanes::{self, Pointwise};

/// A differentiable function of one number, written once for vectors of any width.
///
/// Both methods must be marked `#[inline(always)]`.
///
/// # Examples
/// ```
/// use termwise_autograd::simd::Vector;
/// use termwise_autograd::{Cpu, Tape};
/// use termwise_ops::elementwise::{Elementwise, Saves, elementwise};
/// /// `y = x (x + 1)`, `dy/dx = 2 x + 1`.
/// #[derive(Clone, Copy)]
/// struct Pronic;
/// impl Elementwise for Pronic {
///     const NAME: &'static str = "pronic";
///     const SAVES: Saves = Saves::Input;
///     #[inline(always)]
///     fn value<V: Vector>(&self, x: V) -> V {
///         x * (x + V::of(1.0))
///     }
///     #[inline(always)]
///     fn derivative<V: Vector>(&self, x: V, _: V) -> V {
///         x + x + V::of(1.0)
///     }
/// }
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[1.0, 2.0, 3.0]).into());
/// let y = elementwise(Pronic, &x);
/// assert_eq!(y.value().as_slice(), [2.0, 6.0, 12.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[1.0, 10.0, 100.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [3.0, 50.0, 700.0]);
/// ```
pub trait Elementwise: Copy + Send + Sync + 'static {
    /// Name of the operation, of its kernels on other backends and in messages.
    const NAME: &'static str;

    /// The numbers that set this function apart from others of its name, in the order in which kernels on other
    /// backends take them: the bounds of a clamp, say. Those that are missing are 0.
    fn parameters(&self) -> [f64; 2] {
        [0.0; 2]
    }

    /// `y = f(x)` in each lane.
    fn value<V: Vector>(&self, x: V) -> V;

    /// What [`derivative`](Elementwise::derivative) looks at, and so what is kept for backward.
    const SAVES: Saves = Saves::Both;

    /// `f'(x)` in each lane, given `y = f(x)` as well, from which it is often cheaper. An argument that
    /// [`SAVES`](Elementwise::SAVES) leaves out is an arbitrary number.
    fn derivative<V: Vector>(&self, x: V, y: V) -> V;
}

/// What a function keeps of its forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saves {
    /// The argument and the value.
    Both,
    /// The argument.
    Input,
    /// The value.
    Output,
    /// Nothing: the derivative is constant.
    Nothing,
}

/// Applies an elementwise function.
pub fn elementwise<B: ElementwiseKernel, F: Elementwise>(f: F, x: &Var<B>) -> Var<B> {
    apply(Map(f), [x])
}

struct Map<F>(F);

impl<B: ElementwiseKernel, F: Elementwise> Op<B, 1> for Map<F> {
    type Saved = (Option<Array<B>>, Option<Array<B>>);

    fn name(&self) -> &'static str {
        F::NAME
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        let y = B::elementwise_forward(&self.0, x);
        let saved_x = matches!(F::SAVES, Saves::Both | Saves::Input).then(|| x.clone());
        let saved_y = matches!(F::SAVES, Saves::Both | Saves::Output).then(|| y.clone());
        (y, (saved_x, saved_y))
    }

    fn backward(&self, (x, y): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = f(x)  =>  dx = f'(x) dy. What is not kept is not looked at: any array of the shape does.
        let (x, y) = (x.as_ref().unwrap_or(grad_output), y.as_ref().unwrap_or(grad_output));
        [Some(B::elementwise_backward(&self.0, x, y, grad_output))]
    }
}

/// Kernels of elementwise functions.
pub trait ElementwiseKernel: Backend {
    /// `f(x)` for each element.
    fn elementwise_forward<F: Elementwise>(f: &F, x: &Array<Self>) -> Array<Self>;

    /// `f'(x) grad_output` for each element.
    fn elementwise_backward<F: Elementwise>(
        f: &F,
        x: &Array<Self>,
        y: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self>;
}

/// Rough operations per element (an exponential, say), to decide whether splitting pays.
const WORK: usize = 16;

/// `f(x)`
#[derive(Clone, Copy)]
struct Value<F>(F);

impl<F: Elementwise> Pointwise<1> for Value<F> {
    #[inline(always)]
    fn at<V: Vector>(&self, [x]: [V; 1]) -> V {
        self.0.value(x)
    }
}

/// `f'(x) g`, of what the derivative looks at and `g`.
#[derive(Clone, Copy)]
struct Derivative<F, const K: usize>(F);

impl<F: Elementwise> Pointwise<3> for Derivative<F, 3> {
    #[inline(always)]
    fn at<V: Vector>(&self, [x, y, g]: [V; 3]) -> V {
        self.0.derivative(x, y) * g
    }
}

impl<F: Elementwise> Pointwise<2> for Derivative<F, 2> {
    #[inline(always)]
    fn at<V: Vector>(&self, [kept, g]: [V; 2]) -> V {
        self.0.derivative(kept, kept) * g
    }
}

impl<F: Elementwise> Pointwise<1> for Derivative<F, 1> {
    #[inline(always)]
    fn at<V: Vector>(&self, [g]: [V; 1]) -> V {
        self.0.derivative(g, g) * g
    }
}

impl<T: Scalar> ElementwiseKernel for Cpu<T> {
    fn elementwise_forward<F: Elementwise>(f: &F, x: &Array<Self>) -> Array<Self> {
        Array::from_buffer(x.shape(), lanes::map(Value(*f), [x.as_slice()], WORK))
    }

    fn elementwise_backward<F: Elementwise>(
        f: &F,
        x: &Array<Self>,
        y: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (x, y, g) = (x.as_slice(), y.as_slice(), grad_output.as_slice());
        // What the derivative does not look at is not read either.
        let grad = match F::SAVES {
            Saves::Both => lanes::map(Derivative::<F, 3>(*f), [x, y, g], WORK),
            Saves::Input => lanes::map(Derivative::<F, 2>(*f), [x, g], WORK),
            Saves::Output => lanes::map(Derivative::<F, 2>(*f), [y, g], WORK),
            Saves::Nothing => lanes::map(Derivative::<F, 1>(*f), [g], WORK),
        };
        Array::from_buffer(grad_output.shape(), grad)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Every elementwise function is held to plain `f64` functions in the file where it is defined.

    use termwise_autograd::simd;

    use super::*;
    use crate::oracle::{LENGTHS, assert_near, cast};

    /// Checks value and derivative at `x` and at its beginnings of awkward lengths, on every instruction set.
    ///
    /// # Panics
    /// If one is further off than `units` of the last place, relative to the larger of itself and `size`.
    #[track_caller]
    pub(crate) fn check<F: Elementwise>(
        f: F,
        x: &[f64],
        [value, derivative]: [fn(f64) -> f64; 2],
        units: f64,
        size: f64,
    ) {
        check_value(f, x, value, units, size);
        check_derivative::<f32, F>(f, x, derivative, units, size);
        check_derivative::<f64, F>(f, x, derivative, units, size);
    }

    /// [`check`] of the value alone.
    #[track_caller]
    pub(crate) fn check_value<F: Elementwise>(f: F, x: &[f64], value: fn(f64) -> f64, units: f64, size: f64) {
        check_value_in::<f32, F>(f, x, value, units, size);
        check_value_in::<f64, F>(f, x, value, units, size);
    }

    fn lengths(len: usize) -> impl Iterator<Item = usize> {
        LENGTHS.into_iter().filter(move |&l| l < len).chain([len])
    }

    #[track_caller]
    fn check_value_in<T: Scalar, F: Elementwise>(
        f: F,
        x: &[f64],
        value: fn(f64) -> f64,
        units: f64,
        size: f64,
    ) {
        for isa in simd::available() {
            for exact in lengths(x.len()).map(|len| &x[..len]) {
                let (x, mut y) = (cast::<T>(exact), vec![T::zero(); exact.len()]);
                simd::run_on(isa, lanes::Map { f: Value(f), x: [&x], y: &mut y });
                let expected: Vec<f64> = exact.iter().map(|&x| value(x)).collect();
                assert_near(&format!("{} on {isa}", F::NAME), &y, &expected, units, size);
            }
        }
    }

    #[track_caller]
    fn check_derivative<T: Scalar, F: Elementwise>(
        f: F,
        x: &[f64],
        derivative: fn(f64) -> f64,
        units: f64,
        size: f64,
    ) {
        for isa in simd::available() {
            for exact in lengths(x.len()).map(|len| &x[..len]) {
                let (x, g) = (cast::<T>(exact), vec![T::of(-2.0); exact.len()]);
                let (mut y, mut grad) = (g.clone(), g.clone());
                simd::run_on(isa, lanes::Map { f: Value(f), x: [&x], y: &mut y });
                simd::run_on(isa, lanes::Map { f: Derivative::<F, 3>(f), x: [&x, &y, &g], y: &mut grad });
                let expected: Vec<f64> = exact.iter().map(|&x| -2.0 * derivative(x)).collect();
                assert_near(&format!("derivative of {} on {isa}", F::NAME), &grad, &expected, units, size);
            }
        }
    }
}
