//! Loss functions, one file each.

use termwise_autograd::Backend;
use termwise_autograd::gradcheck::Case;

/// What a backend must offer for every operation in this folder.
pub trait LossKernels: Backend {}

impl<B> LossKernels for B where B: Backend {}

/// Test cases of every operation in this folder.
pub fn cases<B: LossKernels>() -> Vec<Case<B>> {
    Vec::new()
}
