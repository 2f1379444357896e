//! Operations of `termwise_ops::tensor`.

mod amax;
mod cumsum;
mod dropout;
mod embedding;
mod gather;
mod index_select;
mod linear;
mod logsumexp;
pub(crate) mod matmul;
mod strided;
mod var;
mod where_;
