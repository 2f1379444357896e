//! Finding the library, and the address of each function in it.

use std::ffi::{CStr, c_char, c_void};
use std::sync::OnceLock;

use libloading::Library;

use crate::types::{Int, PlatformId, SUCCESS, Uint};

/// Names another library than those that are looked for; `none` stands for no library at all.
pub const OVERRIDE: &str = "TERMWISE_OPENCL_LIBRARY";

/// Loaders: libraries that know every installed driver.
#[cfg(target_os = "windows")]
const LOADERS: &[&str] = &["OpenCL.dll"];
#[cfg(target_os = "macos")]
const LOADERS: &[&str] = &["/System/Library/Frameworks/OpenCL.framework/OpenCL"];
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const LOADERS: &[&str] = &["libOpenCL.so.1", "libOpenCL.so"];

/// Drivers of GPUs, which are entered directly where no loader knows of them.
#[cfg(any(target_os = "windows", target_os = "macos"))]
const DRIVERS: &[&str] = &[];
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const DRIVERS: &[&str] = &["libnvidia-opencl.so.1", "libamdocl64.so", "libigdrcl.so"];

type Address = *const c_void;
type GetExtensionFunctionAddress = unsafe extern "system" fn(*const c_char) -> Address;
type GetPlatformIds = unsafe extern "system" fn(Uint, *mut PlatformId, *mut Uint) -> Int;

/// The library that calls go to.
pub(crate) struct Found {
    name: String,
    /// Never unloaded: it lies in a static.
    library: Library,
    /// Of a driver entered directly: the function that lists its platforms.
    driver: Option<GetPlatformIds>,
}

/// The library, found once.
pub(crate) fn found() -> Option<&'static Found> {
    static FOUND: OnceLock<Option<Found>> = OnceLock::new();
    FOUND.get_or_init(find).as_ref()
}

/// The name of the library in use, `None` where there is none.
pub fn library_name() -> Option<&'static str> {
    found().map(|found| found.name.as_str())
}

/// The names that are looked for, in order.
pub fn library_names() -> Vec<String> {
    match std::env::var(OVERRIDE) {
        Ok(name) => vec![name],
        Err(_) => LOADERS.iter().chain(DRIVERS).map(|name| name.to_string()).collect(),
    }
}

fn find() -> Option<Found> {
    let mut without_platform = None;
    for name in library_names() {
        let Some(found) = Found::open(&name) else { continue };
        if found.has_platform() {
            return Some(found);
        }
        // A loader that knows no driver: one may lie beside it without being registered.
        without_platform.get_or_insert(found);
    }
    without_platform
}

impl Found {
    fn open(name: &str) -> Option<Self> {
        // SAFETY: an OpenCL library's initialisers have no preconditions.
        let library = unsafe { Library::new(name) }.ok()?;
        if address(&library, "clGetPlatformIDs").is_some() && address(&library, "clCreateBuffer").is_some() {
            return Some(Found { name: name.into(), library, driver: None });
        }
        let entry = extension(&library, c"clIcdGetPlatformIDsKHR")?;
        // SAFETY: the extension cl_khr_icd defines the function of this name with this signature.
        let driver = unsafe { std::mem::transmute::<Address, GetPlatformIds>(entry) };
        Some(Found { name: name.into(), library, driver: Some(driver) })
    }

    fn has_platform(&self) -> bool {
        let Some(get) = self.get_platform_ids() else { return false };
        let mut count = 0;
        // SAFETY: a null list of length 0 asks for the count alone, which is there to be written.
        let status = unsafe { get(0, std::ptr::null_mut(), &mut count) };
        status == SUCCESS && count > 0
    }

    /// `clGetPlatformIDs`, the one function that is called without an object.
    pub(crate) fn get_platform_ids(&self) -> Option<GetPlatformIds> {
        self.driver.or_else(|| {
            let address = address(&self.library, "clGetPlatformIDs")?;
            // SAFETY: the signature of the function of this name.
            Some(unsafe { std::mem::transmute::<Address, GetPlatformIds>(address) })
        })
    }

    /// The address of a function that takes `object`; `index` is its place in dispatch tables.
    ///
    /// # Safety
    /// `object` is null or a live object of this library.
    pub(crate) unsafe fn function(
        &self,
        cache: &OnceLock<Option<usize>>,
        name: &str,
        index: usize,
        object: *const c_void,
    ) -> Option<Address> {
        if self.driver.is_none() {
            let found = cache.get_or_init(|| address(&self.library, name).map(|address| address as usize));
            return found.map(|address| address as Address);
        }
        if object.is_null() {
            return None;
        }
        // SAFETY: by cl_khr_icd every object begins with a pointer to its driver's table of functions, whose
        // first 123 entries (OpenCL 1.2) have fixed places; an entry that a driver lacks is null.
        let address = unsafe { *(*object.cast::<*const Address>()).add(index) };
        (!address.is_null()).then_some(address)
    }
}

/// The address of a function of an extension: what the library says, since drivers need not export it.
fn extension(library: &Library, name: &CStr) -> Option<Address> {
    let get = address(library, "clGetExtensionFunctionAddress")?;
    // SAFETY: OpenCL defines the function of this name with this signature.
    let get = unsafe { std::mem::transmute::<Address, GetExtensionFunctionAddress>(get) };
    // SAFETY: a name that ends in 0.
    let address = unsafe { get(name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

fn address(library: &Library, name: &str) -> Option<Address> {
    // SAFETY: the symbol is only read as an address here.
    let symbol = unsafe { library.get::<*const c_char>(name.as_bytes()) }.ok()?;
    // SAFETY: the symbol is alive as long as the library is, and an address is plain data.
    let address = unsafe { symbol.try_as_raw_ptr() }?;
    (!address.is_null()).then_some(address.cast_const())
}
