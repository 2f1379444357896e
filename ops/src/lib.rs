//! Differentiable operations with CPU kernels, every spatial attention mechanism of Zhu et al.,
//! "An Empirical Study of Spatial Attention Mechanisms in Deep Networks" (ICCV 2019) among them.
//!
//! One operation is one file, always in the same order: formula and shapes, the public function on
//! [`Var`](termwise_autograd::Var), forward and backward side by side, the kernel trait, its CPU
//! implementation, the test cases, tests. Start with `activations/softmax.rs`.

pub mod attention;

pub mod activations;
pub use activations::{
    gelu, gelu_tanh, glu, leaky_relu, log_softmax, masked_softmax, relu, sigmoid, silu, softmax, tanh,
};

pub mod conv;

pub mod broadcast;

pub mod elementwise;

pub mod gemm;

pub mod kernels;
pub use kernels::{Kernels, all_cases};

pub mod losses;

pub mod norms;

pub mod optim;

pub mod par;

pub mod shape;

pub mod spatial;

pub mod tensor;
pub use tensor::{
    PadMode, abs, add, add_scalar, amax, cat, clamp, cube, cumsum, div, dropout, dropout_keeps, embedding,
    exp, expand, gather, index_select, linear, log, logsumexp, masked_fill, matmul, maximum, mean, minimum,
    mul, narrow, neg, pad, permute, pow, reshape, scale, scatter_add, sinusoidal_positions, slice, split,
    sqrt, square, sub, sum, topk, transpose, var, where_,
};
