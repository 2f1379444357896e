//! The machinery of operations that act on each element alone: one function, one derivative.
//!
//! Each such operation is a file of its own that implements [`Elementwise`]; this file supplies the
//! [`Op`] and the kernel for all of them.

use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use crate::par;

/// A differentiable function of one number.
pub trait Elementwise: Copy + Send + Sync + 'static {
    /// Name of the operation, of its kernels on other backends and in messages.
    const NAME: &'static str;

    /// `y = f(x)`.
    fn value<T: Scalar>(&self, x: T) -> T;

    /// What [`derivative`](Elementwise::derivative) looks at, and so what is kept for backward.
    const SAVES: Saves = Saves::Both;

    /// `f'(x)`, given `y = f(x)` as well, from which it is often cheaper. An argument that
    /// [`SAVES`](Elementwise::SAVES) leaves out is an arbitrary number.
    fn derivative<T: Scalar>(&self, x: T, y: T) -> T;
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

/// Elements that one task handles.
const CHUNK: usize = 4096;
/// Rough operations per element (an exponential, say), to decide whether splitting pays.
const WORK: usize = 16;

impl<T: Scalar> ElementwiseKernel for Cpu<T> {
    fn elementwise_forward<F: Elementwise>(f: &F, x: &Array<Self>) -> Array<Self> {
        let x_data = x.as_slice();
        let mut y = vec![T::zero(); x.len()];
        par::for_each_chunk(&mut y, CHUNK, CHUNK * WORK, |i, y| {
            for (y, &x) in y.iter_mut().zip(&x_data[i * CHUNK..]) {
                *y = f.value(x);
            }
        });
        Array::host(x.shape(), y)
    }

    fn elementwise_backward<F: Elementwise>(
        f: &F,
        x: &Array<Self>,
        y: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (x_data, y_data, g_data) = (x.as_slice(), y.as_slice(), grad_output.as_slice());
        let mut grad = vec![T::zero(); x.len()];
        par::for_each_chunk(&mut grad, CHUNK, CHUNK * WORK, |i, grad| {
            let start = i * CHUNK;
            for (((grad, &x), &y), &g) in
                grad.iter_mut().zip(&x_data[start..]).zip(&y_data[start..]).zip(&g_data[start..])
            {
                *grad = f.derivative(x, y) * g;
            }
        });
        Array::host(x.shape(), grad)
    }
}
