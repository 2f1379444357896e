//! Convolutions in the ordinary sense, one file each.

mod cases;
mod conv1d;
mod conv2d;
mod conv_transpose2d;
mod cpu;
mod geometry;
#[cfg(test)]
pub(crate) mod lowering;
#[cfg(test)]
mod patches;
#[cfg(test)]
mod tests;
mod vector;

pub use cases::cases;
pub use conv_transpose2d::conv_transpose2d;
pub use conv1d::{Conv1dOptions, conv1d};
pub use conv2d::{Conv2dKernel, conv2d};
pub use geometry::{Conv2dOptions, ConvGeometry, IntoPair, Window};

/// What a backend must offer for every operation in this folder.
pub trait ConvKernels: Conv2dKernel {}

impl<B> ConvKernels for B where B: Conv2dKernel {}
