//! Pooling, resizing and region sampling, one file each.

use termwise_autograd::Backend;
use termwise_autograd::gradcheck::Case;

/// What a backend must offer for every operation in this folder.
pub trait SpatialKernels: Backend {}

impl<B> SpatialKernels for B where B: Backend {}

/// Test cases of every operation in this folder.
pub fn cases<B: SpatialKernels>() -> Vec<Case<B>> {
    Vec::new()
}
