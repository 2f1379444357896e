//! Types and constants of OpenCL 1.2 (Khronos, `CL/cl.h`), those that are used.

use std::ffi::c_void;

/// `cl_int`: a status, 0 where a call succeeded.
pub type Int = i32;
/// `cl_uint`
pub type Uint = u32;
/// `cl_bool`
pub type Bool = u32;
/// `cl_ulong`, and `cl_bitfield`
pub type Ulong = u64;

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        pub type $name = *mut c_void;
    )*};
}

handles! {
    /// `cl_platform_id`
    PlatformId
    /// `cl_device_id`
    DeviceId
    /// `cl_context`
    Context
    /// `cl_command_queue`
    CommandQueue
    /// `cl_mem`
    Mem
    /// `cl_program`
    Program
    /// `cl_kernel`
    Kernel
    /// `cl_event`
    Event
}

/// What a context calls when something goes wrong outside of a call.
pub type ContextNotify =
    Option<unsafe extern "system" fn(*const std::ffi::c_char, *const c_void, usize, *mut c_void)>;
/// What is called when a program is built.
pub type BuildNotify = Option<unsafe extern "system" fn(Program, *mut c_void)>;

macro_rules! constants {
    ($($type:ty: $($name:ident = $value:literal)*;)*) => {$($(
        #[doc = concat!("`CL_", stringify!($name), "`")]
        pub const $name: $type = $value;
    )*)*};
}

constants! {
    Int:
        SUCCESS = 0
        MEM_OBJECT_ALLOCATION_FAILURE = -4
        OUT_OF_RESOURCES = -5
        OUT_OF_HOST_MEMORY = -6
        DEVICE_NOT_FOUND = -1
        BUILD_PROGRAM_FAILURE = -11
        INVALID_BUFFER_SIZE = -61
        COMPLETE = 0
        PLATFORM_NOT_FOUND_KHR = -1001;
    Ulong:
        DEVICE_TYPE_CPU = 0x2
        DEVICE_TYPE_GPU = 0x4
        DEVICE_TYPE_ACCELERATOR = 0x8
        DEVICE_TYPE_ALL = 0xffff_ffff
        MEM_READ_WRITE = 0x1
        QUEUE_PROFILING_ENABLE = 0x2;
    Uint:
        PLATFORM_VERSION = 0x0901
        PLATFORM_NAME = 0x0902
        DEVICE_TYPE = 0x1000
        DEVICE_MAX_COMPUTE_UNITS = 0x1002
        DEVICE_MAX_WORK_GROUP_SIZE = 0x1004
        DEVICE_MAX_CLOCK_FREQUENCY = 0x100c
        DEVICE_MAX_MEM_ALLOC_SIZE = 0x1010
        DEVICE_GLOBAL_MEM_SIZE = 0x101f
        DEVICE_LOCAL_MEM_SIZE = 0x1023
        DEVICE_AVAILABLE = 0x1027
        DEVICE_COMPILER_AVAILABLE = 0x1028
        DEVICE_NAME = 0x102b
        DEVICE_VENDOR = 0x102c
        DRIVER_VERSION = 0x102d
        DEVICE_VERSION = 0x102f
        DEVICE_EXTENSIONS = 0x1030
        DEVICE_HOST_UNIFIED_MEMORY = 0x1035
        PROGRAM_BUILD_LOG = 0x1183
        KERNEL_NUM_ARGS = 0x1191
        KERNEL_ARG_TYPE_NAME = 0x1198
        EVENT_COMMAND_EXECUTION_STATUS = 0x11d3
        PROFILING_COMMAND_START = 0x1282
        PROFILING_COMMAND_END = 0x1283;
}
