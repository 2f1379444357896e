//! Convolutions in the ordinary sense, one file each.

use termwise_autograd::Backend;
use termwise_autograd::gradcheck::Case;

/// What a backend must offer for every operation in this folder.
pub trait ConvKernels: Backend {}

impl<B> ConvKernels for B where B: Backend {}

/// Test cases of every operation in this folder.
pub fn cases<B: ConvKernels>() -> Vec<Case<B>> {
    Vec::new()
}
