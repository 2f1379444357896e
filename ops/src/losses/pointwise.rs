//! The machinery of losses that compare each element with its own target: one function of two
//! numbers and its two derivatives.
//!
//! Each such loss is a file of its own that implements [`PointwiseLoss`]; this file supplies the
//! [`Op`] and the kernel for all of them.

use termwise_autograd::simd::Vector;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::Reduction;
use crate::broadcast::map;
use crate::lanes::Pointwise;

/// A loss of one number against one target, written once for vectors of any width.
///
/// Both methods must be marked `#[inline(always)]`.
///
/// # Examples
/// ```
/// use termwise_autograd::simd::Vector;
/// use termwise_autograd::{Cpu, Tape};
/// use termwise_ops::Reduction;
/// use termwise_ops::losses::pointwise::{PointwiseLoss, pointwise_loss};
/// /// `(x - t)^2 / 2`
/// #[derive(Clone, Copy)]
/// struct HalfSquare;
/// impl PointwiseLoss for HalfSquare {
///     const NAME: &'static str = "half_square";
///     #[inline(always)]
///     fn value<V: Vector>(&self, x: V, t: V) -> V {
///         V::of(0.5) * (x - t) * (x - t)
///     }
///     #[inline(always)]
///     fn derivatives<V: Vector>(&self, x: V, t: V) -> [V; 2] {
///         [x - t, t - x]
///     }
/// }
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[1.0, 5.0]).into());
/// let target = tape.constant(ndarray::arr1(&[3.0, 1.0]).into());
/// let loss = pointwise_loss(HalfSquare, &x, &target, Reduction::Sum);
/// assert_eq!(loss.value().item(), 2.0 + 8.0);
/// assert_eq!(tape.backward(&loss).of(&x).unwrap().as_slice(), [-2.0, 4.0]);
/// ```
pub trait PointwiseLoss: Copy + Send + Sync + 'static {
    /// Name of the operation, of its kernels on other backends and in messages.
    const NAME: &'static str;

    /// The numbers that set this loss apart from others of its name, in the order in which kernels on other backends
    /// take them. Those that are missing are 0.
    fn parameters(&self) -> [f64; 2] {
        [0.0; 2]
    }

    /// The loss of input `x` against target `t`.
    fn value<V: Vector>(&self, x: V, t: V) -> V;

    /// Its derivatives in `x` and in `t`.
    fn derivatives<V: Vector>(&self, x: V, t: V) -> [V; 2];
}

/// Applies a pointwise loss and reduces.
///
/// # Panics
/// If the shapes of `x` and `target` differ.
#[track_caller]
pub fn pointwise_loss<B: PointwiseLossKernel, L: PointwiseLoss>(
    loss: L,
    x: &Var<B>,
    target: &Var<B>,
    reduction: Reduction,
) -> Var<B> {
    assert!(
        x.shape() == target.shape(),
        "{}: input and target must have the same shape, the input is {:?}, the target {:?}",
        L::NAME,
        x.shape(),
        target.shape()
    );
    apply(PointwiseOp { loss, reduction }, [x, target])
}

struct PointwiseOp<L> {
    loss: L,
    reduction: Reduction,
}

impl<B: PointwiseLossKernel, L: PointwiseLoss> Op<B, 2> for PointwiseOp<L> {
    type Saved = (Array<B>, Array<B>);

    fn name(&self) -> &'static str {
        L::NAME
    }

    fn forward(&self, [x, target]: [&Array<B>; 2]) -> (Array<B>, Self::Saved) {
        let loss = B::pointwise_loss_forward(&self.loss, x, target, self.reduction);
        (loss, (x.clone(), target.clone()))
    }

    fn backward(
        &self,
        (x, target): &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 2],
    ) -> [Option<Array<B>>; 2] {
        // l = reduce f(x, t)  =>  dx = df/dx dl, dt = df/dt dl; a mean divides dl by the count
        B::pointwise_loss_backward(&self.loss, x, target, self.reduction, grad_output, needs)
    }
}

/// Kernels of pointwise losses.
pub trait PointwiseLossKernel: Backend {
    /// The reduced loss.
    fn pointwise_loss_forward<L: PointwiseLoss>(
        loss: &L,
        x: &Array<Self>,
        target: &Array<Self>,
        reduction: Reduction,
    ) -> Array<Self>;

    /// The gradients in input and target that are needed.
    fn pointwise_loss_backward<L: PointwiseLoss>(
        loss: &L,
        x: &Array<Self>,
        target: &Array<Self>,
        reduction: Reduction,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2];
}

/// The loss.
#[derive(Clone, Copy)]
struct Value<L>(L);

impl<L: PointwiseLoss> Pointwise<2> for Value<L> {
    #[inline(always)]
    fn at<V: Vector>(&self, [x, t]: [V; 2]) -> V {
        self.0.value(x, t)
    }
}

/// The derivative in one of the two operands, times the gradient.
#[derive(Clone, Copy)]
struct Derivative<L>(L, usize);

impl<L: PointwiseLoss> Pointwise<3> for Derivative<L> {
    #[inline(always)]
    fn at<V: Vector>(&self, [x, t, g]: [V; 3]) -> V {
        self.0.derivatives(x, t)[self.1] * g
    }
}

impl<T: Scalar> PointwiseLossKernel for Cpu<T> {
    fn pointwise_loss_forward<L: PointwiseLoss>(
        loss: &L,
        x: &Array<Self>,
        target: &Array<Self>,
        reduction: Reduction,
    ) -> Array<Self> {
        let shape = x.shape();
        let losses = map(shape, [(shape, x.as_slice()), (shape, target.as_slice())], Value(*loss));
        reduction.apply(shape, losses, T::of(x.len() as f64))
    }

    fn pointwise_loss_backward<L: PointwiseLoss>(
        loss: &L,
        x: &Array<Self>,
        target: &Array<Self>,
        reduction: Reduction,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let shape = x.shape();
        let upstream = reduction.spread(grad_output, T::of(x.len() as f64));
        let operands = [(shape, x.as_slice()), (shape, target.as_slice()), upstream.operand(shape)];
        std::array::from_fn(|operand| {
            needs[operand]
                .then(|| Array::from_buffer(shape, map(shape, operands, Derivative(*loss, operand))))
        })
    }
}
