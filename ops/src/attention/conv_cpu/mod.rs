//! Kernels of deformable and dynamic convolution on the host.
//!
//! Both work on blocks of outputs that stay in cache: a step of its own writes what a matrix product then
//! reads, or the other way round, and nothing of the size of all columns or all kernels is ever stored.
//!
//! | file | what |
//! |---|---|
//! | `product` | the matrix products between |
//! | `layout` | channels last and back, blocks of columns |
//! | `corners` | where the taps of a deformable convolution fall |
//! | `deformable`, `deformable_backward`, `spread` | deformable convolution |
//! | `frame` | images with zeros around them |
//! | `kernels` | the kernels of a block, predicted or given |
//! | `position`, `position_backward` | convolution with a kernel for each position; its sums backward in `position_backward/gradients` |
//! | `mix` | weighted sums of rows |
//! | `steps`, `steps_backward` | convolution with a kernel for each step |
//! | `tests` | all of them against plain loops |

mod corners;
pub(super) mod deformable;
pub(super) mod deformable_backward;
mod frame;
mod kernels;
mod layout;
mod mix;
pub(super) mod position;
pub(super) mod position_backward;
mod product;
mod spread;
pub(super) mod steps;
pub(super) mod steps_backward;
#[cfg(test)]
mod tests;
