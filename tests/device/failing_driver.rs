//! An OpenCL library that hands every call on to the true one, until the call named by `FAILING_CALL` was made
//! `FAILING_AFTER` times: from then on that one fails. Built by `faults.rs`.
//!
//! All arguments of these functions are whole numbers or pointers, at most ten; on 64-bit Linux a function that takes
//! ten words can stand for any of them. Words beyond a function's own are read from the caller's stack and not used.
#![allow(non_snake_case)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

type Words = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize, usize, usize, usize, usize) -> usize;

const NOT_AVAILABLE: i32 = -2;
const BUILD_FAILURE: i32 = -11;

fn true_function(name: &str) -> Words {
    static LIBRARY: OnceLock<usize> = OnceLock::new();
    const NOW: c_int = 2;
    // SAFETY: names end in 0; the library and the function are there, or the test ends here.
    unsafe {
        let library = *LIBRARY.get_or_init(|| dlopen(c"libOpenCL.so.1".as_ptr(), NOW) as usize);
        assert!(library != 0, "no libOpenCL.so.1");
        let name = CString::new(name).unwrap();
        let function = dlsym(library as *mut c_void, name.as_ptr());
        assert!(!function.is_null(), "{name:?} is missing");
        std::mem::transmute::<*mut c_void, Words>(function)
    }
}

/// Whether this call is one that fails.
fn fails(name: &str) -> bool {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let failing = std::env::var("FAILING_CALL").is_ok_and(|call| call == name);
    let after = || std::env::var("FAILING_AFTER").unwrap().parse::<usize>().unwrap();
    failing && CALLS.fetch_add(1, Ordering::Relaxed) >= after()
}

fn fails_to_build(name: &str) -> bool {
    name == "clBuildProgram" && fails(name)
}

/// Functions that answer with a status, and functions that make an object and write a status to their last argument,
/// which is their word of this number.
macro_rules! forward {
    ($($name:ident $(status at $place:literal)?),* $(,)?) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(a: usize, b: usize, c: usize, d: usize, e: usize, f: usize, g: usize, h: usize, i: usize, j: usize) -> usize {
            static TRUE: OnceLock<Words> = OnceLock::new();
            if stringify!($name) != "clBuildProgram" && fails(stringify!($name)) {
                $(
                    let words = [a, b, c, d, e, f, g, h, i, j];
                    // SAFETY: where the caller wants the status.
                    unsafe { *(words[$place] as *mut i32) = NOT_AVAILABLE };
                    return 0;
                )?
                #[allow(unreachable_code)]
                return NOT_AVAILABLE as usize;
            }
            let function = TRUE.get_or_init(|| true_function(stringify!($name)));
            // SAFETY: handed on as it came.
            let answer = unsafe { function(a, b, c, d, e, f, g, h, i, j) };
            // A build that fails was begun: there is a log of it.
            if fails_to_build(stringify!($name)) { BUILD_FAILURE as usize } else { answer }
        }
    )*};
}

forward! {
    clGetPlatformIDs, clGetPlatformInfo, clGetDeviceIDs, clGetDeviceInfo, clCreateContext status at 5, clReleaseContext,
    clCreateCommandQueue status at 3, clReleaseCommandQueue, clCreateBuffer status at 4, clReleaseMemObject,
    clCreateProgramWithSource status at 4, clReleaseProgram, clBuildProgram, clGetProgramBuildInfo,
    clCreateKernel status at 2, clReleaseKernel, clSetKernelArg, clGetKernelInfo, clWaitForEvents, clGetEventInfo,
    clReleaseEvent, clGetEventProfilingInfo, clFlush, clFinish, clEnqueueReadBuffer, clEnqueueWriteBuffer,
    clEnqueueCopyBuffer, clEnqueueNDRangeKernel, clGetKernelArgInfo,
}
