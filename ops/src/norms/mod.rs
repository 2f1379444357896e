//! Normalisations, one file each.

mod batch_norm;
mod batch_norm_cases;
#[cfg(test)]
mod batch_norm_tests;
mod group_norm;
mod layer_norm;
mod layer_norm_kernel;
mod planes;
mod statistics;

pub use batch_norm::{BatchNormKernel, BatchStatistics, batch_norm_eval, batch_norm_train};
pub use group_norm::{GroupNormKernel, group_norm};
pub use layer_norm::{LayerNormKernel, layer_norm};

use termwise_autograd::gradcheck::Case;
use termwise_autograd::{Array, Cpu, Scalar};

/// What a backend must offer for every operation in this folder.
pub trait NormKernels: BatchNormKernel + GroupNormKernel + LayerNormKernel {}

impl<B> NormKernels for B where B: BatchNormKernel + GroupNormKernel + LayerNormKernel {}

/// Test cases of every operation in this folder.
pub fn cases<B: NormKernels>() -> Vec<Case<B>> {
    [batch_norm_cases::cases::<B>(), layer_norm::cases::<B>(), group_norm::cases::<B>()]
        .into_iter()
        .flatten()
        .collect()
}

/// Panics where an operand that is given does not have the shape it must have beside `x`.
#[track_caller]
fn check_affine(op: &str, x: &[usize], name: &str, found: Option<&[usize]>, expected: &[usize]) {
    if let Some(found) = found {
        assert!(found == expected, "{op}: {name} must be {expected:?} for x {x:?}, its shape is {found:?}");
    }
}

/// Element `i` of a weight, 1 where there is none.
fn factor<T: Scalar>(weight: Option<&Array<Cpu<T>>>, i: usize) -> T {
    weight.map_or(T::one(), |weight| weight.as_slice()[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::same_bits::assert_same_bits;

    #[test]
    fn the_same_bits_for_any_number_of_threads() {
        let image: &[&[usize]] = &[&[4, 10, 60, 61], &[10], &[10]];
        assert_same_bits("batch_norm_train", image, |v| {
            batch_norm_train(&v[0], Some(&v[1]), Some(&v[2]), 1e-5).0
        });
        assert_same_bits("group_norm", image, |v| group_norm(&v[0], 5, Some(&v[1]), Some(&v[2]), 1e-5));
        let rows: &[&[usize]] = &[&[700, 130], &[130], &[130]];
        assert_same_bits("layer_norm", rows, |v| layer_norm(&v[0], &[130], Some(&v[1]), Some(&v[2]), 1e-5));
    }
}
