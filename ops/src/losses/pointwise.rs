//! The machinery of losses that compare each element with its own target: one function of two
//! numbers and its two derivatives.
//!
//! Each such loss is a file of its own that implements [`PointwiseLoss`]; this file supplies the
//! [`Op`] and the kernel for all of them.

use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::Reduction;
use crate::par;

/// A loss of one number against one target.
pub trait PointwiseLoss: Copy + Send + Sync + 'static {
    /// Name of the operation, of its kernels on other backends and in messages.
    const NAME: &'static str;

    /// The loss of input `x` against target `t`.
    fn value<T: Scalar>(&self, x: T, t: T) -> T;

    /// Its derivatives in `x` and in `t`.
    fn derivatives<T: Scalar>(&self, x: T, t: T) -> [T; 2];
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
    apply(Pointwise { loss, reduction }, [x, target])
}

struct Pointwise<L> {
    loss: L,
    reduction: Reduction,
}

impl<B: PointwiseLossKernel, L: PointwiseLoss> Op<B, 2> for Pointwise<L> {
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

/// Elements that one task handles.
pub(super) const CHUNK: usize = 4096;
/// Rough operations per element (an exponential, say), to decide whether splitting pays.
pub(super) const WORK: usize = 16;

impl<T: Scalar> PointwiseLossKernel for Cpu<T> {
    fn pointwise_loss_forward<L: PointwiseLoss>(
        loss: &L,
        x: &Array<Self>,
        target: &Array<Self>,
        reduction: Reduction,
    ) -> Array<Self> {
        let (x_data, t_data) = (x.as_slice(), target.as_slice());
        let mut losses = vec![T::zero(); x.len()];
        par::for_each_chunk(&mut losses, CHUNK, CHUNK * WORK, |i, losses| {
            let start = i * CHUNK;
            for ((out, &x), &t) in losses.iter_mut().zip(&x_data[start..]).zip(&t_data[start..]) {
                *out = loss.value(x, t);
            }
        });
        reduction.apply(x.shape(), losses, T::of(x.len() as f64))
    }

    fn pointwise_loss_backward<L: PointwiseLoss>(
        loss: &L,
        x: &Array<Self>,
        target: &Array<Self>,
        reduction: Reduction,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let (x_data, t_data) = (x.as_slice(), target.as_slice());
        let upstream = reduction.spread(grad_output, T::of(x.len() as f64));
        std::array::from_fn(|operand| {
            needs[operand].then(|| {
                let mut grad = vec![T::zero(); x.len()];
                par::for_each_chunk(&mut grad, CHUNK, CHUNK * WORK, |i, grad| {
                    let start = i * CHUNK;
                    let operands = x_data[start..].iter().zip(&t_data[start..]);
                    for (j, (grad, (&x, &t))) in grad.iter_mut().zip(operands).enumerate() {
                        *grad = loss.derivatives(x, t)[operand] * upstream.at(start + j);
                    }
                });
                Array::host(x.shape(), grad)
            })
        })
    }
}
