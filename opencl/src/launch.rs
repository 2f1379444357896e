//! Running a kernel: arguments in the order in which the kernel names them, then over what it runs.

use termwise_autograd::{Array, Scalar};
use termwise_ops::conv::Window;

use crate::backend::OpenCl;
use crate::buffer::{Buffer, Element, Real};
use crate::error::fail;
use crate::layout::Strides;
use crate::program::{Compiled, Source};
use crate::raw::Value;

/// Work-items of a work-group, the same for all kernels: `GROUP` in `common.cl`.
pub(crate) const GROUP: usize = 64;

/// A kernel about to run.
///
/// Arguments are checked against the kernel's: their number, and their types where the driver tells them.
#[must_use = "a launch does nothing until it is told over what it runs"]
pub(crate) struct Launch<'a, T> {
    backend: &'a OpenCl<T>,
    source: Source,
    kernel: &'static str,
    arguments: Vec<(Value<'a>, &'static str)>,
}

impl<T: Real> OpenCl<T> {
    /// Begins to run a kernel of a file.
    pub(crate) fn launch(&self, source: Source, kernel: &'static str) -> Launch<'_, T> {
        Launch { backend: self, source, kernel, arguments: Vec::with_capacity(12) }
    }
}

impl<'a, T: Real> Launch<'a, T> {
    /// An array: `__global REAL *`.
    pub fn array(self, array: &'a Array<OpenCl<T>>) -> Self {
        self.buffer(array.buffer())
    }

    /// An array or a null pointer: `__global REAL *`.
    pub fn optional(mut self, array: Option<&'a Array<OpenCl<T>>>) -> Self {
        self.arguments.push((Value::Mem(array.and_then(|array| array.buffer().mem())), T::POINTER));
        self
    }

    /// A buffer: `__global` pointer to its elements. Where it has none the pointer is null.
    pub fn buffer<E: Element>(self, buffer: &'a Buffer<E>) -> Self {
        self.optional_buffer(Some(buffer))
    }

    /// A buffer or a null pointer.
    pub fn optional_buffer<E: Element>(mut self, buffer: Option<&'a Buffer<E>>) -> Self {
        self.arguments.push((Value::Mem(buffer.and_then(Buffer::mem)), E::POINTER));
        self
    }

    /// A number of the backend's type: `REAL`.
    pub fn real(self, value: f64) -> Self {
        self.number(<T as Scalar>::of(value))
    }

    /// A count, an extent or an index: `int`.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn int(self, value: usize) -> Self {
        let (kernel, most) = (self.kernel, i32::MAX);
        let value = i32::try_from(value).unwrap_or_else(|_| {
            panic!("OpenCL: {kernel}: {value} is more than {most}, the most that kernels count to")
        });
        self.number(value)
    }

    /// A place that may lie before the first: `int`.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn signed(self, value: isize) -> Self {
        let kernel = self.kernel;
        let value = i32::try_from(value).unwrap_or_else(|_| panic!("OpenCL: {kernel}: {value} is no int"));
        self.number(value)
    }

    /// A number of 64 bits: `ulong`.
    pub fn ulong(self, value: u64) -> Self {
        self.number(value)
    }

    /// A truth: `int`.
    pub fn flag(self, value: bool) -> Self {
        self.number(i32::from(value))
    }

    /// How operands lie under a shape: `Strides`.
    pub fn strides(mut self, strides: &Strides) -> Self {
        self.arguments.push((Value::Bytes(strides.to_bytes()), "Strides"));
        self
    }

    /// How taps fall on an image: `Window`.
    ///
    /// # Panics
    /// If a number of it does not fit an `int`.
    pub fn window(mut self, window: &Window) -> Self {
        let Window { image, kernel, stride, padding, dilation, output } = window;
        let numbers = [image, kernel, stride, padding, dilation, output].into_iter().flatten();
        let bytes = numbers.flat_map(|&number| {
            let number = i32::try_from(number).unwrap_or_else(|_| panic!("OpenCL: {window:?} is too large"));
            number.to_ne_bytes()
        });
        self.arguments.push((Value::Bytes(bytes.collect()), "Window"));
        self
    }

    fn number<E: Element>(mut self, value: E) -> Self {
        // SAFETY: an element has no bytes that are not part of its value.
        let bytes = unsafe { std::slice::from_raw_parts((&raw const value).cast::<u8>(), size_of::<E>()) };
        self.arguments.push((Value::Bytes(bytes.to_vec()), E::TYPE));
        self
    }

    /// Runs at least `count` work-items in whole groups; the kernel leaves out those from `count` on.
    pub fn items(self, count: usize) {
        self.groups(count.div_ceil(GROUP));
    }

    /// Runs `count` work-groups of [`GROUP`] work-items. None: nothing happens.
    pub fn groups(self, count: usize) {
        if count == 0 {
            return;
        }
        let Launch { backend, source, kernel: name, arguments } = self;
        let runtime = backend.runtime();
        let compile = || Compiled::new(runtime, source, T::NAME);
        runtime.with_program((source.file, T::NAME, source.defines), compile, |program| {
            let ready = program.kernel(runtime, name);
            check(source.file, name, &arguments, &ready.types);
            let doing = |what: &str| format!("{what} {name} of {}", source.file);
            for (index, (value, _)) in arguments.iter().enumerate() {
                let set = ready.kernel.set(index, value);
                set.unwrap_or_else(|error| fail(runtime.error(doing("setting an argument of"), error)));
            }
            runtime.count_launch();
            // SAFETY: kernels stay within their buffers for the extents that their callers hand them.
            let run = || unsafe {
                match runtime.profile {
                    None => runtime.queue.run(&ready.kernel, count, GROUP),
                    Some(_) => {
                        let event = runtime.queue.run_timed(&ready.kernel, count, GROUP)?;
                        runtime.record(name, &event);
                        Ok(())
                    }
                }
            };
            let result = match run() {
                // Some drivers find the memory of a buffer when a kernel first uses it.
                Err(error) if error.is_out_of_memory() && runtime.trim() => {
                    runtime.finish().and_then(|()| run())
                }
                result => result,
            };
            result.unwrap_or_else(|error| {
                let memory = crate::error::size(runtime.memory().in_use);
                fail(runtime.error(format!("{} with {memory} in use", doing("running")), error))
            });
        });
    }
}

/// # Panics
/// If arguments are not those of the kernel.
fn check(file: &str, kernel: &str, arguments: &[(Value<'_>, &str)], types: &[String]) {
    if types.is_empty() {
        return;
    }
    let given: Vec<&str> = arguments.iter().map(|(_, name)| *name).collect();
    assert!(given == types, "{file}: {kernel} takes {types:?}, it was given {given:?}");
}
