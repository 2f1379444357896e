//! The OpenCL functions that Termwise calls, forwarded to a library that is found when the program runs.
//!
//! Nothing links against OpenCL: a program that contains this crate builds and runs on a machine without any
//! OpenCL library, where every function answers [`PLATFORM_NOT_FOUND_KHR`](types::PLATFORM_NOT_FOUND_KHR).
//!
//! Two kinds of library serve: a *loader* (`libOpenCL.so.1`, `OpenCL.dll`, the framework of macOS), whose functions
//! are looked up by name; and, where no loader knows a platform, a GPU vendor's *driver* alone, which is entered
//! through `clIcdGetPlatformIDsKHR` and then through the table of functions that each of its objects points to
//! (extension `cl_khr_icd`). The environment variable [`OVERRIDE`] names another library.
//!
//! Functions have the names, the argument order and the meaning of the OpenCL 1.2 specification. All are unsafe as
//! they are in C: pointers must be valid for what the specification reads and writes through them, handles alive.

mod library;
#[allow(missing_docs, reason = "the specification is their documentation")]
pub mod types;

pub use library::{OVERRIDE, library_name, library_names};

use std::ffi::{c_char, c_void};
use std::sync::OnceLock;

use types::*;

/// Lists platforms.
///
/// # Safety
/// As in C: `platforms` has room for `num_entries` handles or is null, `num_platforms` may be written or is null.
#[allow(non_snake_case, reason = "the name that the specification gives it")]
pub unsafe fn clGetPlatformIDs(
    num_entries: Uint,
    platforms: *mut PlatformId,
    num_platforms: *mut Uint,
) -> Int {
    match library::found().and_then(|found| found.get_platform_ids()) {
        // SAFETY: handed on from the caller.
        Some(function) => unsafe { function(num_entries, platforms, num_platforms) },
        None => PLATFORM_NOT_FOUND_KHR,
    }
}

/// Answers for a function that makes an object: none, and why.
unsafe fn nothing(errcode_ret: *mut Int) -> *mut c_void {
    if !errcode_ret.is_null() {
        // SAFETY: not null, so the caller lends it to be written.
        unsafe { *errcode_ret = PLATFORM_NOT_FOUND_KHR };
    }
    std::ptr::null_mut()
}

/// Defines functions: place in dispatch tables, signature, the object whose driver is called, and the answer
/// where there is no library.
macro_rules! forward {
    ($($index:literal fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty, through $object:expr, else $missing:expr;)*) => {$(
        #[doc = concat!("`", stringify!($name), "` of OpenCL 1.2.")]
        ///
        /// # Safety
        /// As in C: handles are alive, pointers valid for what the specification says of them.
        #[allow(non_snake_case, clippy::too_many_arguments, reason = "as the specification has it")]
        pub unsafe fn $name($($arg: $type),*) -> $result {
            type Function = unsafe extern "system" fn($($type),*) -> $result;
            static ADDRESS: OnceLock<Option<usize>> = OnceLock::new();
            // SAFETY: the object is alive, as the caller promises, and belongs to the one library there is; the
            // function found under this name or place has this signature, and its arguments are handed on.
            unsafe {
                match library::found()
                    .and_then(|found| found.function(&ADDRESS, stringify!($name), $index, $object))
                {
                    Some(address) => std::mem::transmute::<*const c_void, Function>(address)($($arg),*),
                    None => $missing,
                }
            }
        }
    )*};
}

forward! {
    1 fn clGetPlatformInfo(platform: PlatformId, param_name: Uint, size: usize, value: *mut c_void, size_ret: *mut usize) -> Int,
        through platform, else PLATFORM_NOT_FOUND_KHR;
    2 fn clGetDeviceIDs(platform: PlatformId, device_type: Ulong, num_entries: Uint, devices: *mut DeviceId, num_devices: *mut Uint) -> Int,
        through platform, else PLATFORM_NOT_FOUND_KHR;
    3 fn clGetDeviceInfo(device: DeviceId, param_name: Uint, size: usize, value: *mut c_void, size_ret: *mut usize) -> Int,
        through device, else PLATFORM_NOT_FOUND_KHR;
    4 fn clCreateContext(properties: *const isize, num_devices: Uint, devices: *const DeviceId, notify: ContextNotify, user_data: *mut c_void, errcode_ret: *mut Int) -> Context,
        through *devices, else nothing(errcode_ret);
    7 fn clReleaseContext(context: Context) -> Int,
        through context, else PLATFORM_NOT_FOUND_KHR;
    9 fn clCreateCommandQueue(context: Context, device: DeviceId, properties: Ulong, errcode_ret: *mut Int) -> CommandQueue,
        through context, else nothing(errcode_ret);
    11 fn clReleaseCommandQueue(queue: CommandQueue) -> Int,
        through queue, else PLATFORM_NOT_FOUND_KHR;
    14 fn clCreateBuffer(context: Context, flags: Ulong, size: usize, host_ptr: *mut c_void, errcode_ret: *mut Int) -> Mem,
        through context, else nothing(errcode_ret);
    18 fn clReleaseMemObject(mem: Mem) -> Int,
        through mem, else PLATFORM_NOT_FOUND_KHR;
    26 fn clCreateProgramWithSource(context: Context, count: Uint, strings: *const *const c_char, lengths: *const usize, errcode_ret: *mut Int) -> Program,
        through context, else nothing(errcode_ret);
    29 fn clReleaseProgram(program: Program) -> Int,
        through program, else PLATFORM_NOT_FOUND_KHR;
    30 fn clBuildProgram(program: Program, num_devices: Uint, devices: *const DeviceId, options: *const c_char, notify: BuildNotify, user_data: *mut c_void) -> Int,
        through program, else PLATFORM_NOT_FOUND_KHR;
    33 fn clGetProgramBuildInfo(program: Program, device: DeviceId, param_name: Uint, size: usize, value: *mut c_void, size_ret: *mut usize) -> Int,
        through program, else PLATFORM_NOT_FOUND_KHR;
    34 fn clCreateKernel(program: Program, name: *const c_char, errcode_ret: *mut Int) -> Kernel,
        through program, else nothing(errcode_ret);
    37 fn clReleaseKernel(kernel: Kernel) -> Int,
        through kernel, else PLATFORM_NOT_FOUND_KHR;
    38 fn clSetKernelArg(kernel: Kernel, index: Uint, size: usize, value: *const c_void) -> Int,
        through kernel, else PLATFORM_NOT_FOUND_KHR;
    39 fn clGetKernelInfo(kernel: Kernel, param_name: Uint, size: usize, value: *mut c_void, size_ret: *mut usize) -> Int,
        through kernel, else PLATFORM_NOT_FOUND_KHR;
    41 fn clWaitForEvents(num_events: Uint, events: *const Event) -> Int,
        through *events, else PLATFORM_NOT_FOUND_KHR;
    42 fn clGetEventInfo(event: Event, param_name: Uint, size: usize, value: *mut c_void, size_ret: *mut usize) -> Int,
        through event, else PLATFORM_NOT_FOUND_KHR;
    44 fn clReleaseEvent(event: Event) -> Int,
        through event, else PLATFORM_NOT_FOUND_KHR;
    45 fn clGetEventProfilingInfo(event: Event, param_name: Uint, size: usize, value: *mut c_void, size_ret: *mut usize) -> Int,
        through event, else PLATFORM_NOT_FOUND_KHR;
    46 fn clFlush(queue: CommandQueue) -> Int,
        through queue, else PLATFORM_NOT_FOUND_KHR;
    47 fn clFinish(queue: CommandQueue) -> Int,
        through queue, else PLATFORM_NOT_FOUND_KHR;
    48 fn clEnqueueReadBuffer(queue: CommandQueue, mem: Mem, blocking: Bool, offset: usize, size: usize, ptr: *mut c_void, num_events: Uint, wait_list: *const Event, event: *mut Event) -> Int,
        through queue, else PLATFORM_NOT_FOUND_KHR;
    49 fn clEnqueueWriteBuffer(queue: CommandQueue, mem: Mem, blocking: Bool, offset: usize, size: usize, ptr: *const c_void, num_events: Uint, wait_list: *const Event, event: *mut Event) -> Int,
        through queue, else PLATFORM_NOT_FOUND_KHR;
    50 fn clEnqueueCopyBuffer(queue: CommandQueue, from: Mem, to: Mem, from_offset: usize, to_offset: usize, size: usize, num_events: Uint, wait_list: *const Event, event: *mut Event) -> Int,
        through queue, else PLATFORM_NOT_FOUND_KHR;
    59 fn clEnqueueNDRangeKernel(queue: CommandQueue, kernel: Kernel, work_dim: Uint, global_offset: *const usize, global_size: *const usize, local_size: *const usize, num_events: Uint, wait_list: *const Event, event: *mut Event) -> Int,
        through queue, else PLATFORM_NOT_FOUND_KHR;
    101 fn clGetKernelArgInfo(kernel: Kernel, index: Uint, param_name: Uint, size: usize, value: *mut c_void, size_ret: *mut usize) -> Int,
        through kernel, else PLATFORM_NOT_FOUND_KHR;
}
