//! What the engine asks of a device, and the host's answer to it.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use rayon::prelude::*;

use crate::pool::Buffer;
use crate::simd::{self, Kernel, Vector};
use crate::{Array, Scalar};

/// A device that holds arrays and can do the little that the tape itself needs: move numbers in
/// and out, fill, and add two gradients.
///
/// Everything else is a kernel trait of the crate that defines the operation, with this one as
/// its supertrait (`trait SoftmaxKernel: Backend`). The engine knows no operation.
///
/// # Examples
/// The least that a device has to do:
/// ```
/// use termwise_autograd::{Array, Backend, Tape};
///
/// #[derive(Clone, Debug)]
/// struct Plain;
///
/// impl Backend for Plain {
///     type Scalar = f32;
///     type Buffer = Vec<f32>;
///
///     fn upload(&self, values: Vec<f32>) -> Vec<f32> {
///         values
///     }
///     fn download(&self, buffer: &Vec<f32>) -> Vec<f32> {
///         buffer.clone()
///     }
///     fn len(&self, buffer: &Vec<f32>) -> usize {
///         buffer.len()
///     }
///     fn fill(&self, len: usize, value: f32) -> Vec<f32> {
///         vec![value; len]
///     }
///     fn accumulate(&self, sum: Array<Self>, term: &Array<Self>) -> Array<Self> {
///         let total = sum.buffer().iter().zip(term.buffer()).map(|(a, b)| a + b).collect();
///         Array::new(Plain, sum.shape(), total)
///     }
/// }
///
/// let tape = Tape::new(Plain);
/// let x = tape.leaf(Array::from_vec(&Plain, &[2], vec![5.0, f32::NAN]));
/// assert_eq!(Plain.first_non_finite(x.value()).unwrap().0, 1);
/// let gradients = tape.backward_with(&[(&x, Array::full(&Plain, &[2], 3.0)), (&x, Array::full(&Plain, &[2], 4.0))]);
/// assert_eq!(gradients.of(&x).unwrap().buffer(), &[7.0, 7.0]);
/// ```
pub trait Backend: Clone + Debug + 'static {
    /// The number type of the arrays on this device.
    type Scalar: Scalar;
    /// Storage on the device: the elements of one array in row-major order.
    type Buffer: 'static;

    /// Copies host numbers to the device.
    fn upload(&self, values: Vec<Self::Scalar>) -> Self::Buffer;

    /// Copies a buffer back to the host.
    fn download(&self, buffer: &Self::Buffer) -> Vec<Self::Scalar>;

    /// Number of elements in a buffer.
    fn len(&self, buffer: &Self::Buffer) -> usize;

    /// A new buffer of `len` elements, each equal to `value`.
    fn fill(&self, len: usize, value: Self::Scalar) -> Self::Buffer;

    /// `sum + term`, reusing the storage of `sum` where nobody else holds it.
    ///
    /// Both have the same shape; the tape has checked that. Whoever else holds the storage of `sum` must not see
    /// it change.
    fn accumulate(&self, sum: Array<Self>, term: &Array<Self>) -> Array<Self>;

    /// Row-major position and value of the first element that is NaN or infinite.
    fn first_non_finite(&self, array: &Array<Self>) -> Option<(usize, Self::Scalar)> {
        self.download(array.buffer())
            .into_iter()
            .enumerate()
            .find(|(_, value)| !num_traits::Float::is_finite(*value))
    }
}

/// Elements that are added at a time.
const ADD_CHUNK: usize = 1 << 14;

/// The host: arrays live in ordinary memory and kernels see them as ndarray views.
///
/// ```
/// use termwise_autograd::{Array, Cpu};
/// let x = Array::from_ndarray(&Cpu::<f32>::new(), ndarray::arr2(&[[1.0, 2.0], [3.0, 4.0]]));
/// assert_eq!(x.shape(), [2, 2]);
/// assert_eq!(x.view()[[1, 0]], 3.0);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu<T>(PhantomData<T>);

impl<T: Scalar> Cpu<T> {
    /// The host backend. It has no state; every value of it is the same device.
    pub const fn new() -> Self {
        Cpu(PhantomData)
    }
}

impl<T: Scalar> Backend for Cpu<T> {
    type Scalar = T;
    type Buffer = Buffer<T>;

    fn upload(&self, values: Vec<T>) -> Buffer<T> {
        Buffer::from(values)
    }

    fn download(&self, buffer: &Buffer<T>) -> Vec<T> {
        buffer.to_vec()
    }

    fn len(&self, buffer: &Buffer<T>) -> usize {
        buffer.len()
    }

    fn fill(&self, len: usize, value: T) -> Buffer<T> {
        Buffer::filled(len, value)
    }

    fn accumulate(&self, mut sum: Array<Self>, term: &Array<Self>) -> Array<Self> {
        // An Arc that is shared (an op handed the same array to two inputs) is copied first.
        let into = Arc::make_mut(sum.buffer_arc_mut());
        let tasks = into.par_chunks_mut(ADD_CHUNK).zip(term.as_slice().par_chunks(ADD_CHUNK));
        tasks.with_min_len(4).for_each(|(sum, term)| simd::run(AddAssign { sum, term }));
        sum
    }

    fn first_non_finite(&self, array: &Array<Self>) -> Option<(usize, T)> {
        array.as_slice().iter().copied().enumerate().find(|(_, value)| !value.is_finite())
    }
}

/// `sum += term`
struct AddAssign<'a, T> {
    sum: &'a mut [T],
    term: &'a [T],
}

impl<T: Scalar> Kernel<T> for AddAssign<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        for (sum, term) in self.sum.chunks_mut(V::LANES).zip(self.term.chunks(V::LANES)) {
            (V::from_slice(sum) + V::from_slice(term)).write_to(sum);
        }
    }
}
