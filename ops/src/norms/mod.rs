//! Normalisations, one file each.

use termwise_autograd::Backend;
use termwise_autograd::gradcheck::Case;

/// What a backend must offer for every operation in this folder.
pub trait NormKernels: Backend {}

impl<B> NormKernels for B where B: Backend {}

/// Test cases of every operation in this folder.
pub fn cases<B: NormKernels>() -> Vec<Case<B>> {
    Vec::new()
}
