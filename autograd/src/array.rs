//! Immutable n-dimensional arrays on a backend.

use std::fmt;
use std::sync::Arc;

use ndarray::{ArrayD, ArrayViewD, Dimension, IxDyn};

use crate::pool::Buffer;
use crate::{Backend, Cpu, Scalar};

/// An n-dimensional array: a shape and the elements in row-major order on a [`Backend`].
///
/// Arrays are immutable and cheap to clone: clones share the buffer. Always contiguous, so a
/// reshape is free and a kernel may rely on row-major order.
///
/// An array may also be *absent* ([`Array::absent`]): it stands for an operand that this call of an
/// operation does without, such as the bias of a convolution that has none.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu};
/// let a = Array::host(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// assert_eq!(a.view()[[1, 0]], 4.0);
///
/// // Clones and reshaped arrays share the numbers; a change copies them first, so that nobody else sees it.
/// let mut b = a.reshape(&[3, 2]);
/// assert_eq!(b.view()[[1, 1]], 4.0);
/// b.as_mut_slice()[0] = 10.0;
/// assert_eq!((a.as_slice()[0], b.as_slice()[0]), (1.0, 10.0));
///
/// // ndarray in any memory order comes in row-major order.
/// let transposed: Array<Cpu<f64>> = a.view().reversed_axes().to_owned().into();
/// assert_eq!(transposed.shape(), [3, 2]);
/// assert_eq!(transposed.as_slice(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
///
/// let half = Array::full(&Cpu::<f32>::new(), &[], 0.5);
/// assert_eq!((half.item(), half.len(), half.ndim()), (0.5, 1, 0));
/// assert_eq!(format!("{half:?}"), "Array(f32, [], [0.5])");
///
/// let none = Array::absent(&Cpu::<f32>::new());
/// assert!(none.is_absent() && none.present().is_none() && half.present().is_some());
/// ```
pub struct Array<B: Backend> {
    backend: B,
    shape: Vec<usize>,
    buffer: Arc<B::Buffer>,
    absent: bool,
}

impl<B: Backend> Clone for Array<B> {
    fn clone(&self) -> Self {
        Array {
            backend: self.backend.clone(),
            shape: self.shape.clone(),
            buffer: Arc::clone(&self.buffer),
            absent: self.absent,
        }
    }
}

impl<B: Backend> Array<B> {
    /// Wraps a buffer of the backend.
    ///
    /// # Panics
    /// If the buffer does not hold exactly as many elements as `shape` says.
    #[track_caller]
    pub fn new(backend: B, shape: &[usize], buffer: B::Buffer) -> Self {
        let (len, expected) = (backend.len(&buffer), shape.iter().product::<usize>());
        assert!(len == expected, "array: shape {shape:?} needs {expected} elements, the buffer has {len}");
        Array { backend, shape: shape.to_vec(), buffer: Arc::new(buffer), absent: false }
    }

    /// Uploads row-major host values.
    ///
    /// # Panics
    /// If their number differs from the product of `shape`.
    #[track_caller]
    pub fn from_vec(backend: &B, shape: &[usize], values: Vec<B::Scalar>) -> Self {
        Array::new(backend.clone(), shape, backend.upload(values))
    }

    /// Uploads an ndarray array of any dimension and memory order.
    pub fn from_ndarray<D: Dimension>(backend: &B, array: ndarray::Array<B::Scalar, D>) -> Self {
        let shape = array.shape().to_vec();
        let values = if array.is_standard_layout() {
            let (values, offset) = array.into_raw_vec_and_offset();
            let len = shape.iter().product::<usize>();
            if values.len() == len {
                values
            } else {
                // A sliced owned array keeps its whole allocation; take the part it shows.
                let start = offset.unwrap_or(0);
                values[start..start + len].to_vec()
            }
        } else {
            array.iter().copied().collect()
        };
        Array::from_vec(backend, &shape, values)
    }

    /// Uploads `f64` values, rounded to the nearest of the backend's number type; what is too large for it
    /// becomes infinite.
    ///
    /// ```
    /// # use termwise_autograd::{Array, Cpu};
    /// let a = Array::from_f64(&Cpu::<f32>::new(), &ndarray::arr1(&[16_777_217.0, 1e300]));
    /// assert_eq!(a.as_slice(), [16_777_216.0, f32::INFINITY]); // 2^24 + 1 takes 25 bits, f32 has 24
    /// ```
    pub fn from_f64<D: Dimension>(backend: &B, array: &ndarray::Array<f64, D>) -> Self {
        Array::from_vec(backend, array.shape(), array.iter().map(|&v| B::Scalar::of(v)).collect())
    }

    /// An array filled with one value.
    pub fn full(backend: &B, shape: &[usize], value: f64) -> Self {
        let buffer = backend.fill(shape.iter().product(), B::Scalar::of(value));
        Array::new(backend.clone(), shape, buffer)
    }

    /// An array of zeros.
    pub fn zeros(backend: &B, shape: &[usize]) -> Self {
        Array::full(backend, shape, 0.0)
    }

    /// The operand that is not there; see the type's documentation. Its shape is `[0]`, and its clones and
    /// reshapes are absent too.
    pub fn absent(backend: &B) -> Self {
        Array { absent: true, ..Array::zeros(backend, &[0]) }
    }

    /// Whether this stands for an operand that is not there.
    pub fn is_absent(&self) -> bool {
        self.absent
    }

    /// This array, or `None` where it is absent.
    pub fn present(&self) -> Option<&Self> {
        (!self.absent).then_some(self)
    }

    /// The device it lives on.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Extent of each axis; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of axes.
    pub fn ndim(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The device storage.
    pub fn buffer(&self) -> &B::Buffer {
        &self.buffer
    }

    pub(crate) fn buffer_arc_mut(&mut self) -> &mut Arc<B::Buffer> {
        &mut self.buffer
    }

    /// The device storage, to change in place, where no clone or reshape shares it, else `None`.
    ///
    /// ```
    /// # use termwise_autograd::Array;
    /// let mut a = Array::host(&[2], vec![1.0, 2.0]);
    /// a.buffer_mut().unwrap()[0] = 5.0;
    /// let b = a.clone();
    /// assert!(a.buffer_mut().is_none()); // b would change as well
    /// assert_eq!(b.as_slice(), [5.0, 2.0]);
    /// ```
    pub fn buffer_mut(&mut self) -> Option<&mut B::Buffer> {
        Arc::get_mut(&mut self.buffer)
    }

    /// Takes the storage out, without a copy where no clone shares it, else `None`.
    pub fn into_buffer(self) -> Option<B::Buffer> {
        Arc::into_inner(self.buffer)
    }

    /// The same elements, in row-major order, under another shape; shares the buffer.
    ///
    /// # Panics
    /// If the number of elements would change.
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Self {
        assert!(
            shape.iter().product::<usize>() == self.len(),
            "reshape: {:?} has {} elements, {shape:?} would have {}",
            self.shape,
            self.len(),
            shape.iter().product::<usize>()
        );
        Array { shape: shape.to_vec(), ..self.clone() }
    }

    /// Copies to the host as an ndarray array.
    pub fn to_ndarray(&self) -> ArrayD<B::Scalar> {
        let values = self.backend.download(&self.buffer);
        ArrayD::from_shape_vec(IxDyn(&self.shape), values).expect("a buffer holds what its shape says")
    }

    /// Copies to the host and widens to `f64`.
    pub fn to_f64(&self) -> ArrayD<f64> {
        self.to_ndarray().mapv(Scalar::as_f64)
    }

    /// The only element of an array of one element, whatever its shape.
    ///
    /// # Panics
    /// If there is not exactly one.
    #[track_caller]
    pub fn item(&self) -> B::Scalar {
        assert!(self.len() == 1, "item: expected exactly one element, the shape is {:?}", self.shape);
        self.backend.download(&self.buffer)[0]
    }
}

impl<T: Scalar> Array<Cpu<T>> {
    /// The elements in row-major order.
    pub fn as_slice(&self) -> &[T] {
        &self.buffer
    }

    /// The elements in row-major order, to change in place. Copies them first where a clone shares
    /// the buffer, so that no other array changes.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let buffer: &mut Buffer<T> = Arc::make_mut(&mut self.buffer);
        buffer
    }

    /// The elements as an ndarray view.
    pub fn view(&self) -> ArrayViewD<'_, T> {
        ArrayViewD::from_shape(IxDyn(&self.shape), self.as_slice())
            .expect("a buffer holds what its shape says")
    }

    /// A host array from row-major values; shorthand for [`Array::from_vec`] on [`Cpu`].
    ///
    /// # Panics
    /// If their number differs from the product of `shape`.
    #[track_caller]
    pub fn host(shape: &[usize], values: Vec<T>) -> Self {
        Array::from_vec(&Cpu::new(), shape, values)
    }

    /// A host array from a buffer, as kernels make them.
    ///
    /// # Panics
    /// If the number of elements differs from the product of `shape`.
    #[track_caller]
    pub fn from_buffer(shape: &[usize], buffer: Buffer<T>) -> Self {
        Array::new(Cpu::new(), shape, buffer)
    }
}

impl<T: Scalar, D: Dimension> From<ndarray::Array<T, D>> for Array<Cpu<T>> {
    fn from(array: ndarray::Array<T, D>) -> Self {
        Array::from_ndarray(&Cpu::new(), array)
    }
}

impl<B: Backend> fmt::Debug for Array<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.absent {
            return f.write_str("Array(absent)");
        }
        write!(f, "Array({}, {:?}, {:?})", B::Scalar::NAME, self.shape, self.backend.download(&self.buffer))
    }
}
