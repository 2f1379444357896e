//! Arithmetic with broadcasting, reductions, matrix products, indexing and shape, one file each.

use termwise_autograd::Backend;
use termwise_autograd::gradcheck::Case;

/// What a backend must offer for every operation in this folder.
pub trait TensorKernels: Backend {}

impl<B> TensorKernels for B where B: Backend {}

/// Test cases of every operation in this folder.
pub fn cases<B: TensorKernels>() -> Vec<Case<B>> {
    Vec::new()
}
