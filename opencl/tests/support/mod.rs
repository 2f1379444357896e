//! The device that tests run on, and why they are skipped where there is none.

use std::sync::OnceLock;

use termwise_opencl::{Device, DeviceChoice, OpenCl, Real};

/// The device, opened once: `TERMWISE_TEST_DEVICE` (`opencl:1`, say), or the best there is.
///
/// `None` where there is none, after a line that says why; a panic instead where `REQUIRE_OPENCL=1`.
pub fn device() -> Option<&'static Device> {
    static DEVICE: OnceLock<Result<Device, String>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| {
        if std::env::var_os("POCL_CACHE_DIR").is_none() {
            let cache = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/pocl");
            // SAFETY: nothing has called OpenCL yet, and Rust's own readers of the environment are kept out meanwhile.
            unsafe { std::env::set_var("POCL_CACHE_DIR", cache) };
        }
        let choice = std::env::var("TERMWISE_TEST_DEVICE");
        let choice = choice.map_or(Ok(DeviceChoice::OpenCl(None)), |text| text.parse());
        match choice.and_then(Device::open) {
            Ok(Some(device)) => Ok(device),
            Ok(None) => Err("the host was chosen".into()),
            Err(error) => Err(error.to_string()),
        }
    });
    match device {
        Ok(device) => Some(device),
        Err(reason) if std::env::var("REQUIRE_OPENCL").as_deref() == Ok("1") => {
            panic!("REQUIRE_OPENCL=1, but {reason}")
        }
        Err(reason) => {
            println!("skipped: {reason}");
            None
        }
    }
}

/// A backend on the device; `None` where there is none, or where it does not compute in `T`.
pub fn backend<T: Real>() -> Option<OpenCl<T>> {
    let device = device()?;
    match OpenCl::new(device) {
        Ok(backend) => Some(backend),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}
