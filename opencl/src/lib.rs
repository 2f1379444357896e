//! The OpenCL backend of Termwise: every operation of `termwise-ops` on a GPU.
//!
//! [`OpenCl`] is a [`Backend`](termwise_autograd::Backend) that implements the kernel traits of `termwise-ops`, so that
//! models run on it unchanged. Nothing links against OpenCL: a library is looked for when the program runs, and
//! without one [`devices`] says so. [`DeviceChoice`] is how a user names a device; [`choose`] says which one that is,
//! and why not the others.
//!
//! Each operation is one kernel file in `opencl/kernels/` and one Rust file in `opencl/src/ops/` of the same name.
//! `opencl/README.md` says how an operation is written.

mod backend;
mod buffer;
mod device;
mod error;
mod launch;
mod layout;
mod ops;
pub mod parity;
mod program;
mod rates;
mod raw;
mod runtime;
mod tiles;
mod tuning;

pub use backend::{Device, OpenCl};
pub use buffer::{Buffer, Element, Real};
pub use device::{DeviceChoice, DeviceInfo, DeviceKind, Listing, MEMORY_LIMIT, choose, devices};
pub use error::{CallError, OpenClError};
pub use ops::spatial::max_pool2d::MaxIndices;
pub use rates::Rates;
pub use runtime::{MemoryUse, Transfers};
pub use termwise_opencl_loader::{OVERRIDE as LIBRARY_OVERRIDE, library_name};
pub use tuning::TILES;
