//! Storage on a device.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use termwise_autograd::Scalar;

use crate::error::fail;
use crate::raw::Mem;
use crate::runtime::Runtime;

/// A plain number that buffers hold.
///
/// # Safety
/// Any bytes are a value of it, and it has no bytes that are not part of its value.
pub unsafe trait Element: Copy + 'static {
    /// Its name in OpenCL C.
    const TYPE: &'static str;
    /// The name of a pointer to it.
    const POINTER: &'static str;
}

macro_rules! elements {
    ($($type:ty: $name:literal, $pointer:literal;)*) => {$(
        // SAFETY: a number without padding, of which every bit pattern is a value.
        unsafe impl Element for $type {
            const TYPE: &'static str = $name;
            const POINTER: &'static str = $pointer;
        }
    )*};
}

elements! {
    f32: "float", "float*";
    f64: "double", "double*";
    i32: "int", "int*";
    u8: "uchar", "uchar*";
    u32: "uint", "uint*";
    u64: "ulong", "ulong*";
}

/// A number type that the backend computes in: `f32`, or `f64` where the device has it.
pub trait Real: Scalar + Element {}

impl Real for f32 {}
impl Real for f64 {}

/// Elements of one type on a device. Dropped, the memory serves the next request of its size.
pub struct Buffer<E> {
    /// `None` where there are no elements: a device has no empty buffers.
    memory: Option<Memory>,
    len: usize,
    runtime: Arc<Runtime>,
    element: PhantomData<E>,
}

struct Memory {
    mem: ManuallyDrop<Mem>,
    size: u64,
    runtime: Arc<Runtime>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: taken once, here, and not used again.
        let mem = unsafe { ManuallyDrop::take(&mut self.mem) };
        self.runtime.give_back(mem, self.size);
    }
}

impl<E: Element> Buffer<E> {
    /// `len` elements of arbitrary value.
    ///
    /// # Panics
    /// If the device has too little memory; the message says how much was asked for and is there.
    pub(crate) fn arbitrary(runtime: &Arc<Runtime>, len: usize) -> Self {
        let memory = (len > 0).then(|| {
            let bytes = (len as u64).saturating_mul(size_of::<E>() as u64);
            let (mem, size) = runtime.allocate(bytes).unwrap_or_else(|error| fail(error));
            Memory { mem: ManuallyDrop::new(mem), size, runtime: Arc::clone(runtime) }
        });
        Buffer { memory, len, runtime: Arc::clone(runtime), element: PhantomData }
    }

    /// Copies values to the device.
    pub(crate) fn upload(runtime: &Arc<Runtime>, values: &[E]) -> Self {
        let buffer = Buffer::arbitrary(runtime, values.len());
        if let Some(mem) = buffer.mem() {
            // SAFETY: elements have no bytes that are not part of their value.
            let bytes =
                unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
            runtime.upload(mem, bytes.into());
        }
        buffer
    }

    /// Copies the values to the host, after everything that was begun before.
    pub fn download(&self) -> Vec<E> {
        let Some(mem) = self.mem() else { return vec![] };
        let mut values = Vec::<E>::with_capacity(self.len);
        // SAFETY: there is room for `len` elements, the buffer was made for as many, and once the copy is done they
        // are all written; any bytes are an element.
        unsafe {
            self.runtime.download(mem, values.as_mut_ptr().cast(), self.len * size_of::<E>());
            values.set_len(self.len);
        }
        values
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn mem(&self) -> Option<&Mem> {
        self.memory.as_ref().map(|memory| &*memory.mem)
    }
}

impl<E: Element> fmt::Debug for Buffer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} {})", self.len, E::TYPE)
    }
}
