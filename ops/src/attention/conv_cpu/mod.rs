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

mod corners;
pub(super) mod deformable;
pub(super) mod deformable_backward;

mod layout;
mod product;
mod spread;
