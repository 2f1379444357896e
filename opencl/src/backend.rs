//! The backend type.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use termwise_autograd::{Array, Backend};

use crate::buffer::{Buffer, Element, Real};
use crate::device::{DeviceChoice, DeviceInfo, choose, devices};
use crate::error::{OpenClError, fail};
use crate::program::source;
use crate::runtime::{MemoryUse, Runtime, Transfers};

/// A device that is open: its context, its one in-order queue, its memory and its programs.
///
/// Clones are the same device. Backends of several number types may share it.
#[derive(Clone)]
pub struct Device(pub(crate) Arc<Runtime>);

impl Device {
    /// Opens the device that a choice takes; `None` where that is the host.
    ///
    /// # Errors
    /// What [`devices`] and [`choose`] answer, but for [`DeviceChoice::Auto`] and [`DeviceChoice::Cpu`], which do
    /// without a device; and a device that does not open.
    pub fn open(choice: DeviceChoice) -> Result<Option<Self>, OpenClError> {
        Device::open_with(choice, false)
    }

    /// As [`open`](Self::open), and every kernel is timed, which [`times`](Self::times) tells. Slows everything
    /// down: the program waits for each kernel.
    pub fn open_profiled(choice: DeviceChoice) -> Result<Option<Self>, OpenClError> {
        Device::open_with(choice, true)
    }

    fn open_with(choice: DeviceChoice, profile: bool) -> Result<Option<Self>, OpenClError> {
        let found = match (choice, devices()) {
            (DeviceChoice::Cpu, _) | (DeviceChoice::Auto, Err(_)) => return Ok(None),
            (_, found) => found?,
        };
        let listing = choose(choice, found)?;
        let Some(taken) = listing.taken else { return Ok(None) };
        let (info, _) = listing.devices.into_iter().nth(taken).expect("a device of the list was taken");
        Ok(Some(Device(Arc::new(Runtime::open(info, profile)?))))
    }

    /// What is known of it.
    pub fn info(&self) -> &DeviceInfo {
        &self.0.info
    }

    /// What was moved so far.
    pub fn transfers(&self) -> Transfers {
        self.0.transfers()
    }

    /// Bytes of its memory.
    pub fn memory(&self) -> MemoryUse {
        self.0.memory()
    }

    /// Runs and nanoseconds of each kernel, longest first; empty where they are not timed.
    pub fn times(&self) -> Vec<(&'static str, u64, u64)> {
        let Some(profile) = &self.0.profile else { return vec![] };
        let profile = profile.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut times: Vec<_> = profile.iter().map(|(name, (runs, time))| (*name, *runs, *time)).collect();
        times.sort_by_key(|&(name, _, time)| (std::cmp::Reverse(time), name));
        times
    }

    /// Waits until everything that was begun is done.
    ///
    /// # Errors
    /// If the device failed meanwhile.
    pub fn finish(&self) -> Result<(), OpenClError> {
        self.0.finish().map_err(|error| self.0.error("waiting for it", error))
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.info)
    }
}

/// The backend: arrays of `T` on an OpenCL device.
///
/// Calls return at once; the device works through one in-order queue, and a download waits for it.
/// A failure of the device inside an operation panics with one message that begins with `OpenCL:`.
///
/// ```
/// use termwise_autograd::{Array, Tape};
/// use termwise_opencl::{DeviceChoice, OpenCl};
/// if let Ok(Some(backend)) = OpenCl::<f32>::open(DeviceChoice::OpenCl(None)) {
///     let tape = Tape::new(backend.clone());
///     let x = tape.leaf(Array::from_vec(&backend, &[3], vec![-1.0, 0.0, 2.0]));
///     let y = termwise_ops::relu(&x);
///     assert_eq!(backend.device().transfers().downloads, 0);
///     assert_eq!(y.value().to_ndarray().as_slice(), Some(&[0.0, 0.0, 2.0][..]));
/// }
/// ```
pub struct OpenCl<T> {
    device: Device,
    scalar: PhantomData<T>,
}

impl<T: Real> OpenCl<T> {
    /// A backend on the device that a choice takes; `None` where that is the host.
    ///
    /// # Errors
    /// As [`Device::open`] and [`OpenCl::new`].
    pub fn open(choice: DeviceChoice) -> Result<Option<Self>, OpenClError> {
        Device::open(choice)?.map(|device| OpenCl::new(&device)).transpose()
    }

    /// A backend on an open device.
    ///
    /// # Errors
    /// [`OpenClError::Unusable`] for `f64` on a device that does not compute in it.
    pub fn new(device: &Device) -> Result<Self, OpenClError> {
        let info = device.info();
        if T::NAME == "f64" && !info.double {
            let reason = "it does not compute in f64".into();
            return Err(OpenClError::Unusable { device: info.name.clone(), reason });
        }
        Ok(OpenCl { device: device.clone(), scalar: PhantomData })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.device.0
    }

    /// An array whose elements are arbitrary, to be written by a kernel.
    pub(crate) fn arbitrary(&self, shape: &[usize]) -> Array<Self> {
        let buffer = Buffer::arbitrary(self.runtime(), shape.iter().product());
        Array::new(self.clone(), shape, buffer)
    }

    /// An array, and one of its shape for what is computed from it element by element: the same where no clone
    /// shares its storage.
    pub(crate) fn reuse(&self, mut array: Array<Self>) -> (Array<Self>, Array<Self>) {
        let alone = array.buffer_mut().is_some();
        let to = if alone { array.clone() } else { self.arbitrary(array.shape()) };
        (array, to)
    }

    /// The same numbers in storage of their own.
    pub(crate) fn copied(&self, array: &Array<Self>) -> Array<Self> {
        let copy = self.arbitrary(array.shape());
        if let (Some(from), Some(to)) = (array.buffer().mem(), copy.buffer().mem()) {
            let copied = self.runtime().queue.copy(from, to, array.len() * size_of::<T>());
            copied.unwrap_or_else(|error| fail(self.runtime().error("copying on the device", error)));
        }
        copy
    }

    /// Elements of another type on the same device, to be written by a kernel.
    pub(crate) fn scratch<E: Element>(&self, len: usize) -> Buffer<E> {
        Buffer::arbitrary(self.runtime(), len)
    }

    /// Copies numbers of any type to the device.
    pub(crate) fn constants<E: Element>(&self, values: &[E]) -> Buffer<E> {
        Buffer::upload(self.runtime(), values)
    }

    /// Copies places or indices to the device.
    ///
    /// # Panics
    /// If one does not fit an `int`.
    pub(crate) fn indices(&self, values: &[usize]) -> Buffer<i32> {
        let small = |&value: &usize| {
            i32::try_from(value).unwrap_or_else(|_| panic!("OpenCL: index {value} is too large for kernels"))
        };
        self.constants(&values.iter().map(small).collect::<Vec<_>>())
    }
}

impl<T> Clone for OpenCl<T> {
    fn clone(&self) -> Self {
        OpenCl { device: self.device.clone(), scalar: PhantomData }
    }
}

impl<T> fmt::Debug for OpenCl<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.device)
    }
}

impl<T: Real> Backend for OpenCl<T> {
    type Scalar = T;
    type Buffer = Buffer<T>;

    fn upload(&self, values: Vec<T>) -> Buffer<T> {
        Buffer::upload(self.runtime(), &values)
    }

    fn download(&self, buffer: &Buffer<T>) -> Vec<T> {
        buffer.download()
    }

    fn len(&self, buffer: &Buffer<T>) -> usize {
        buffer.len()
    }

    fn fill(&self, len: usize, value: T) -> Buffer<T> {
        let buffer = self.scratch(len);
        let launch = self.launch(source!("tensor/engine"), "fill");
        launch.buffer(&buffer).real(value.as_f64()).int(len).items(len);
        buffer
    }

    fn accumulate(&self, sum: Array<Self>, term: &Array<Self>) -> Array<Self> {
        let (sum, total) = self.reuse(sum);
        let launch =
            self.launch(source!("tensor/engine"), "accumulate").array(&sum).array(term).array(&total);
        launch.int(total.len()).items(total.len());
        total
    }
}
