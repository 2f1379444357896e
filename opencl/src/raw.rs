//! The calls of OpenCL under safe signatures: handles that release themselves, statuses as results.

use std::ffi::{CStr, CString, c_void};
use std::ptr::{null, null_mut};

use termwise_opencl_loader as cl;
use termwise_opencl_loader::types::{
    self, BUILD_PROGRAM_FAILURE, DeviceId, Int, PlatformId, SUCCESS, Uint, Ulong,
};

use crate::error::CallError;

pub(crate) type Result<T> = std::result::Result<T, CallError>;

fn check(call: &'static str, status: Int) -> Result<()> {
    if status == SUCCESS { Ok(()) } else { Err(CallError { call, status }) }
}

/// Handles that release what they name when dropped.
macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident($raw:ty) by $release:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name($raw);

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the handle is alive and owned by this value alone. A failure to release has no remedy.
                unsafe { cl::$release(self.0) };
            }
        }

        // SAFETY: OpenCL objects may be used from any thread; the one exception, setting arguments of a kernel,
        // needs `&mut Kernel` here.
        unsafe impl Send for $name {}
        // SAFETY: as above.
        unsafe impl Sync for $name {}
    )*};
}

handles! {
    /// A context of one device.
    Context(types::Context) by clReleaseContext;
    /// An in-order queue.
    Queue(types::CommandQueue) by clReleaseCommandQueue;
    /// A buffer on the device.
    Mem(types::Mem) by clReleaseMemObject;
    /// A program that was built.
    Program(types::Program) by clReleaseProgram;
    /// A kernel.
    Kernel(types::Kernel) by clReleaseKernel;
    /// A command that was enqueued.
    Event(types::Event) by clReleaseEvent;
}

/// An id that lives as long as the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device(DeviceId);

// SAFETY: ids of root devices are constants of the driver.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

/// A platform's id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Platform(PlatformId);

/// All platforms; an error with `PLATFORM_NOT_FOUND_KHR` where there is no library or no driver.
pub(crate) fn platforms() -> Result<Vec<Platform>> {
    let mut count = 0;
    // SAFETY: asks for the count alone.
    check("clGetPlatformIDs", unsafe { cl::clGetPlatformIDs(0, null_mut(), &mut count) })?;
    let mut ids = vec![null_mut(); count as usize];
    // SAFETY: `ids` has room for `count` ids.
    check("clGetPlatformIDs", unsafe { cl::clGetPlatformIDs(count, ids.as_mut_ptr(), null_mut()) })?;
    Ok(ids.into_iter().map(Platform).collect())
}

/// Reads a value whose size is asked first.
fn bytes(call: &'static str, get: impl Fn(usize, *mut c_void, *mut usize) -> Int) -> Result<Vec<u8>> {
    let mut size = 0;
    check(call, get(0, null_mut(), &mut size))?;
    let mut bytes = vec![0u8; size];
    check(call, get(size, bytes.as_mut_ptr().cast(), null_mut()))?;
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_string()
}

/// A number of 4 or 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    match bytes.len() {
        8 => u64::from_ne_bytes(bytes.try_into().expect("8 bytes")),
        4 => u64::from(u32::from_ne_bytes(bytes.try_into().expect("4 bytes"))),
        _ => 0,
    }
}

impl Platform {
    pub fn text(self, what: Uint) -> Result<String> {
        // SAFETY: a platform id from the library; the value has the room that is named.
        bytes("clGetPlatformInfo", |size, value, ret| unsafe {
            cl::clGetPlatformInfo(self.0, what, size, value, ret)
        })
        .map(text)
    }

    /// Its devices, of any kind.
    pub fn devices(self) -> Result<Vec<Device>> {
        let mut count = 0;
        // SAFETY: a platform id from the library; asks for the count alone.
        let status = unsafe { cl::clGetDeviceIDs(self.0, types::DEVICE_TYPE_ALL, 0, null_mut(), &mut count) };
        if status == types::DEVICE_NOT_FOUND {
            return Ok(vec![]);
        }
        check("clGetDeviceIDs", status)?;
        let mut ids = vec![null_mut(); count as usize];
        // SAFETY: `ids` has room for `count` ids.
        check("clGetDeviceIDs", unsafe {
            cl::clGetDeviceIDs(self.0, types::DEVICE_TYPE_ALL, count, ids.as_mut_ptr(), null_mut())
        })?;
        Ok(ids.into_iter().map(Device).collect())
    }
}

impl Device {
    /// An id of no device, which no call takes.
    #[cfg(test)]
    pub fn none() -> Self {
        Device(null_mut())
    }

    fn bytes(self, what: Uint) -> Result<Vec<u8>> {
        // SAFETY: a device id from the library; the value has the room that is named.
        bytes("clGetDeviceInfo", |size, value, ret| unsafe {
            cl::clGetDeviceInfo(self.0, what, size, value, ret)
        })
    }

    pub fn text(self, what: Uint) -> Result<String> {
        self.bytes(what).map(text)
    }

    pub fn number(self, what: Uint) -> Result<u64> {
        self.bytes(what).map(|bytes| number(&bytes))
    }
}

impl Context {
    pub fn new(device: Device) -> Result<Self> {
        let mut status = 0;
        // SAFETY: no properties, one device id from the library, no callback.
        let context = unsafe { cl::clCreateContext(null(), 1, &device.0, None, null_mut(), &mut status) };
        check("clCreateContext", status).map(|()| Context(context))
    }

    /// An in-order queue. `profiling` makes events know when they began and ended.
    pub fn queue(&self, device: Device, profiling: bool) -> Result<Queue> {
        let (mut status, properties) = (0, if profiling { types::QUEUE_PROFILING_ENABLE } else { 0 });
        // SAFETY: live context, its own device.
        let queue = unsafe { cl::clCreateCommandQueue(self.0, device.0, properties, &mut status) };
        check("clCreateCommandQueue", status).map(|()| Queue(queue))
    }

    /// A buffer of `size` bytes, at least 1, whose content is arbitrary.
    pub fn buffer(&self, size: usize) -> Result<Mem> {
        let mut status = 0;
        // SAFETY: live context, no host pointer.
        let mem = unsafe { cl::clCreateBuffer(self.0, types::MEM_READ_WRITE, size, null_mut(), &mut status) };
        check("clCreateBuffer", status).map(|()| Mem(mem))
    }

    /// Compiles a program; the inner error is the compiler's log.
    pub fn build(
        &self,
        device: Device,
        source: &str,
        options: &CStr,
    ) -> Result<std::result::Result<Program, String>> {
        let mut status = 0;
        // One text that is not empty: of several, one of length 0 would be read to a 0 that is not there.
        let (begin, length) = (source.as_ptr().cast(), source.len());
        assert!(length > 0);
        // SAFETY: live context; one text of the length given.
        let program = unsafe { cl::clCreateProgramWithSource(self.0, 1, &begin, &length, &mut status) };
        check("clCreateProgramWithSource", status)?;
        let program = Program(program);
        // SAFETY: live program of this device's context, options that end in 0, no callback.
        let status =
            unsafe { cl::clBuildProgram(program.0, 1, &device.0, options.as_ptr(), None, null_mut()) };
        if status == BUILD_PROGRAM_FAILURE {
            // SAFETY: live program and its device; the value has the room that is named.
            let log = bytes("clGetProgramBuildInfo", |size, value, ret| unsafe {
                cl::clGetProgramBuildInfo(program.0, device.0, types::PROGRAM_BUILD_LOG, size, value, ret)
            });
            return log.map(|log| Err(text(log)));
        }
        check("clBuildProgram", status).map(|()| Ok(program))
    }
}

impl Program {
    pub fn kernel(&self, name: &str) -> Result<Kernel> {
        let name = CString::new(name).expect("kernels have no 0 in their names");
        let mut status = 0;
        // SAFETY: live program, a name that ends in 0.
        let kernel = unsafe { cl::clCreateKernel(self.0, name.as_ptr(), &mut status) };
        check("clCreateKernel", status).map(|()| Kernel(kernel))
    }
}

/// A value for an argument of a kernel.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// A buffer, or no buffer.
    Mem(Option<&'a Mem>),
    /// The bytes of a number or a struct.
    Bytes(Vec<u8>),
}

impl Kernel {
    /// The type of each argument, as it is written in the kernel without spaces.
    pub fn argument_types(&self) -> Result<Vec<String>> {
        // SAFETY: live kernel; the value has the room that is named.
        let count = bytes("clGetKernelInfo", |size, value, ret| unsafe {
            cl::clGetKernelInfo(self.0, types::KERNEL_NUM_ARGS, size, value, ret)
        })?;
        let type_of = |index: u64| {
            // SAFETY: live kernel; the value has the room that is named.
            bytes("clGetKernelArgInfo", |size, value, ret| unsafe {
                let (index, what) = (index as Uint, types::KERNEL_ARG_TYPE_NAME);
                cl::clGetKernelArgInfo(self.0, index, what, size, value, ret)
            })
            .map(text)
        };
        (0..number(&count)).map(type_of).collect()
    }

    pub fn set(&mut self, index: usize, value: &Value<'_>) -> Result<()> {
        let (size, pointer) = match value {
            Value::Mem(Some(mem)) => (size_of::<types::Mem>(), (&raw const mem.0).cast()),
            Value::Mem(None) => (size_of::<types::Mem>(), null()),
            Value::Bytes(bytes) => (bytes.len(), bytes.as_ptr().cast()),
        };
        // SAFETY: live kernel; the pointer is null or leads to as many bytes as said. The driver checks index
        // and size.
        check("clSetKernelArg", unsafe { cl::clSetKernelArg(self.0, index as Uint, size, pointer) })
    }
}

impl Queue {
    /// Runs a kernel whose arguments are set, over `groups` times `group` work-items.
    ///
    /// # Safety
    /// The kernel stays within its buffers.
    pub unsafe fn run(&self, kernel: &Kernel, groups: usize, group: usize) -> Result<()> {
        let (global, local) = (groups * group, group);
        // SAFETY: live queue and kernel of one context, one dimension.
        check("clEnqueueNDRangeKernel", unsafe {
            cl::clEnqueueNDRangeKernel(self.0, kernel.0, 1, null(), &global, &local, 0, null(), null_mut())
        })
    }

    /// As [`run`](Self::run), with an event that tells its times on a queue with profiling.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    pub unsafe fn run_timed(&self, kernel: &Kernel, groups: usize, group: usize) -> Result<Event> {
        let (global, local, mut event) = (groups * group, group, null_mut());
        // SAFETY: live queue and kernel of one context, one dimension.
        check("clEnqueueNDRangeKernel", unsafe {
            cl::clEnqueueNDRangeKernel(self.0, kernel.0, 1, null(), &global, &local, 0, null(), &mut event)
        })?;
        Ok(Event(event))
    }

    /// Copies `size` bytes to a buffer's start while the program goes on.
    ///
    /// # Safety
    /// `from` has `size` bytes that stay and do not change until the event is complete; the buffer has room.
    pub unsafe fn write(&self, mem: &Mem, from: *const c_void, size: usize) -> Result<Event> {
        let mut event = null_mut();
        // SAFETY: live queue and buffer of one context; the caller answers for the bytes.
        check("clEnqueueWriteBuffer", unsafe {
            cl::clEnqueueWriteBuffer(self.0, mem.0, 0, 0, size, from, 0, null(), &mut event)
        })?;
        Ok(Event(event))
    }

    /// Copies `size` bytes from a buffer's start and waits for them.
    ///
    /// # Safety
    /// `to` has room for `size` bytes, and the buffer has them.
    pub unsafe fn read(&self, mem: &Mem, to: *mut c_void, size: usize) -> Result<()> {
        // SAFETY: live queue and buffer of one context; the caller answers for the room.
        check("clEnqueueReadBuffer", unsafe {
            cl::clEnqueueReadBuffer(self.0, mem.0, 1, 0, size, to, 0, null(), null_mut())
        })
    }

    /// Copies `size` bytes from the start of one buffer to the start of another.
    pub fn copy(&self, from: &Mem, to: &Mem, size: usize) -> Result<()> {
        // SAFETY: live queue and buffers of one context; the driver checks the ranges.
        check("clEnqueueCopyBuffer", unsafe {
            cl::clEnqueueCopyBuffer(self.0, from.0, to.0, 0, 0, size, 0, null(), null_mut())
        })
    }

    /// Waits until everything is done.
    pub fn finish(&self) -> Result<()> {
        // SAFETY: live queue.
        check("clFinish", unsafe { cl::clFinish(self.0) })
    }
}

impl Event {
    /// Whether the command is done.
    pub fn is_complete(&self) -> Result<bool> {
        // SAFETY: live event; the value has the room that is named.
        let status = bytes("clGetEventInfo", |size, value, ret| unsafe {
            cl::clGetEventInfo(self.0, types::EVENT_COMMAND_EXECUTION_STATUS, size, value, ret)
        })?;
        let status = number(&status) as u32 as Int;
        // Negative: the command ended in an error.
        if status < types::COMPLETE {
            Err(CallError { call: "a command", status })
        } else {
            Ok(status == types::COMPLETE)
        }
    }

    /// Waits for the command; nanoseconds that it ran on the device.
    pub fn nanoseconds(&self) -> Result<Ulong> {
        // SAFETY: one live event.
        check("clWaitForEvents", unsafe { cl::clWaitForEvents(1, &self.0) })?;
        let at = |what| {
            // SAFETY: live event; the value has the room that is named.
            bytes("clGetEventProfilingInfo", |size, value, ret| unsafe {
                cl::clGetEventProfilingInfo(self.0, what, size, value, ret)
            })
            .map(|bytes| number(&bytes))
        };
        Ok(at(types::PROFILING_COMMAND_END)? - at(types::PROFILING_COMMAND_START)?)
    }
}
