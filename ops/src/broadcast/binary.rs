//! Operations on two arrays that act on each pair of elements: one function, two derivatives.
//!
//! Each such operation is a file of its own that implements [`Binary`]; this file supplies the
//! [`Op`] and the kernel for all of them.

use termwise_autograd::simd::Vector;
use termwise_autograd::{Array, Cpu, Op, Scalar, Var, apply};

use super::{BroadcastKernel, common_shape, map};
use crate::lanes::Pointwise;

/// A differentiable function of two numbers, written once for vectors of any width.
///
/// Its methods must be marked `#[inline(always)]`.
///
/// # Examples
/// ```
/// use termwise_autograd::simd::Vector;
/// use termwise_autograd::{Cpu, Tape};
/// use termwise_ops::broadcast::{Binary, binary};
/// /// `y = a^2 b`
/// #[derive(Clone, Copy)]
/// struct SquareTimes;
/// impl Binary for SquareTimes {
///     const NAME: &'static str = "square_times";
///     #[inline(always)]
///     fn value<V: Vector>(&self, a: V, b: V) -> V {
///         a * a * b
///     }
///     #[inline(always)]
///     fn derivative_a<V: Vector>(&self, a: V, b: V) -> V {
///         (a + a) * b
///     }
///     #[inline(always)]
///     fn derivative_b<V: Vector>(&self, a: V, _: V) -> V {
///         a * a
///     }
/// }
/// let tape = Tape::new(Cpu::<f64>::new());
/// let a = tape.leaf(ndarray::arr1(&[1.0, 3.0]).into());
/// let b = tape.leaf(ndarray::arr1(&[10.0]).into()); // repeated
/// let y = binary(SquareTimes, &a, &b);
/// assert_eq!(y.value().as_slice(), [10.0, 90.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[1.0, 1.0]).into())]);
/// assert_eq!(gradients.of(&a).unwrap().as_slice(), [20.0, 60.0]);
/// assert_eq!(gradients.of(&b).unwrap().as_slice(), [1.0 + 9.0]); // summed over what was repeated
/// ```
pub trait Binary: Copy + Send + Sync + 'static {
    /// Name of the operation, of its kernels on other backends and in messages.
    const NAME: &'static str;

    /// Whether the derivatives depend on the operands. Where they do not, the operands are not
    /// kept for backward and the derivatives are asked at (0, 0).
    const SAVES_OPERANDS: bool = true;

    /// `y = f(a, b)` in each lane.
    fn value<V: Vector>(&self, a: V, b: V) -> V;

    /// The derivative of `f` in `a`.
    fn derivative_a<V: Vector>(&self, a: V, b: V) -> V;

    /// The derivative of `f` in `b`.
    fn derivative_b<V: Vector>(&self, a: V, b: V) -> V;
}

/// Applies a function to each pair of elements of two operands that broadcast.
///
/// # Panics
/// If the shapes do not broadcast.
#[track_caller]
pub fn binary<B: BinaryKernel, F: Binary>(f: F, a: &Var<B>, b: &Var<B>) -> Var<B> {
    let shape = common_shape(F::NAME, a.shape(), b.shape());
    apply(Map { f, shape, operands: [a.shape().to_vec(), b.shape().to_vec()] }, [a, b])
}

struct Map<F> {
    f: F,
    shape: Vec<usize>,
    operands: [Vec<usize>; 2],
}

impl<B: BinaryKernel, F: Binary> Op<B, 2> for Map<F> {
    type Saved = Option<[Array<B>; 2]>;

    fn name(&self) -> &'static str {
        F::NAME
    }

    fn forward(&self, [a, b]: [&Array<B>; 2]) -> (Array<B>, Self::Saved) {
        let saved = F::SAVES_OPERANDS.then(|| [a.clone(), b.clone()]);
        (B::binary_forward(&self.f, a, b, &self.shape), saved)
    }

    fn backward(
        &self,
        saved: &Self::Saved,
        grad_output: &Array<B>,
        [need_a, need_b]: [bool; 2],
    ) -> [Option<Array<B>>; 2] {
        // y = f(a, b)  =>  da = sum over the repeated axes of (df/da dy), and likewise db
        let [shape_a, shape_b] = &self.operands;
        let [grad_a, grad_b] = match saved {
            Some([a, b]) => [
                need_a.then(|| B::binary_backward_a(&self.f, a, b, grad_output)),
                need_b.then(|| B::binary_backward_b(&self.f, a, b, grad_output)),
            ],
            None => [need_a.then(|| grad_output.clone()), need_b.then(|| grad_output.clone())],
        };
        // A derivative that does not depend on the operands is a factor of the sum.
        let factor = |derivative: f64| if saved.is_some() { 1.0 } else { derivative };
        [
            grad_a.map(|grad| B::sum_to(&grad, shape_a, factor(self.f.derivative_a(0.0, 0.0)))),
            grad_b.map(|grad| B::sum_to(&grad, shape_b, factor(self.f.derivative_b(0.0, 0.0)))),
        ]
    }
}

/// Kernels of functions of two numbers.
pub trait BinaryKernel: BroadcastKernel {
    /// `f(a, b)` for each pair, `a` and `b` broadcast to `shape`.
    fn binary_forward<F: Binary>(f: &F, a: &Array<Self>, b: &Array<Self>, shape: &[usize]) -> Array<Self>;

    /// `df/da grad_output` for each pair, in the shape of `grad_output`.
    fn binary_backward_a<F: Binary>(
        f: &F,
        a: &Array<Self>,
        b: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self>;

    /// `df/db grad_output` for each pair, in the shape of `grad_output`.
    fn binary_backward_b<F: Binary>(
        f: &F,
        a: &Array<Self>,
        b: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self>;
}

/// Shape and elements.
fn parts<T: Scalar>(x: &Array<Cpu<T>>) -> (&[usize], &[T]) {
    (x.shape(), x.as_slice())
}

/// `f(a, b)`
#[derive(Clone, Copy)]
struct Value<F>(F);

impl<F: Binary> Pointwise<2> for Value<F> {
    #[inline(always)]
    fn at<V: Vector>(&self, [a, b]: [V; 2]) -> V {
        self.0.value(a, b)
    }
}

/// `df/da g`
#[derive(Clone, Copy)]
struct DerivativeA<F>(F);

impl<F: Binary> Pointwise<3> for DerivativeA<F> {
    #[inline(always)]
    fn at<V: Vector>(&self, [a, b, g]: [V; 3]) -> V {
        self.0.derivative_a(a, b) * g
    }
}

/// `df/db g`
#[derive(Clone, Copy)]
struct DerivativeB<F>(F);

impl<F: Binary> Pointwise<3> for DerivativeB<F> {
    #[inline(always)]
    fn at<V: Vector>(&self, [a, b, g]: [V; 3]) -> V {
        self.0.derivative_b(a, b) * g
    }
}

impl<T: Scalar> BinaryKernel for Cpu<T> {
    fn binary_forward<F: Binary>(f: &F, a: &Array<Self>, b: &Array<Self>, shape: &[usize]) -> Array<Self> {
        Array::from_buffer(shape, map(shape, [parts(a), parts(b)], Value(*f)))
    }

    fn binary_backward_a<F: Binary>(
        f: &F,
        a: &Array<Self>,
        b: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (shape, operands) = (grad_output.shape(), [parts(a), parts(b), parts(grad_output)]);
        Array::from_buffer(shape, map(shape, operands, DerivativeA(*f)))
    }

    fn binary_backward_b<F: Binary>(
        f: &F,
        a: &Array<Self>,
        b: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (shape, operands) = (grad_output.shape(), [parts(a), parts(b), parts(grad_output)]);
        Array::from_buffer(shape, map(shape, operands, DerivativeB(*f)))
    }
}
