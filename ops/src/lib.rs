//! Differentiable operations with CPU kernels, every spatial attention mechanism of Zhu et al.,
//! "An Empirical Study of Spatial Attention Mechanisms in Deep Networks" (ICCV 2019) among them.
//!
//! One operation is one file, always in the same order: formula and shapes, the public function on
//! [`Var`](termwise_autograd::Var), forward and backward side by side, the kernel trait, its CPU
//! implementation, the test cases, tests. Start with `activations/softmax.rs`.
//!
//! An operation is a function from [`Var`](termwise_autograd::Var) to `Var`; the tape differentiates what is made of them:
//!
//! ```
//! use termwise_autograd::{Cpu, Tape};
//! use termwise_ops::{mul, relu, sum};
//! let tape = Tape::new(Cpu::<f64>::new());
//! let x = tape.leaf(ndarray::arr1(&[-1.0, 2.0, 3.0]).into());
//! let y = sum(&mul(&relu(&x), &x), None, false); // the squares of what is positive
//! assert_eq!(y.value().item(), 4.0 + 9.0);
//! assert_eq!(tape.backward(&y).of(&x).unwrap().as_slice(), [0.0, 4.0, 6.0]);
//! ```

pub mod attention;
pub use attention::{
    BlockConv, ConvBlock1d, DynamicConvOptions, DynamicConvState, conv_block_1d, deform_conv1d,
    deform_conv1d_pack, deform_conv2d, deform_conv2d_pack, dynamic_conv, dynamic_conv_2d,
    dynamic_conv_2d_output, lightweight_conv, per_position_conv2d, per_step_conv, regular_conv,
};

pub mod activations;
pub use activations::{
    gelu, gelu_tanh, glu, leaky_relu, log_softmax, masked_softmax, relu, sigmoid, silu, softmax, tanh,
};

pub mod conv;
pub use conv::{Conv1dOptions, Conv2dOptions, IntoPair, conv_transpose2d, conv1d, conv2d};

pub mod broadcast;

pub mod elementwise;

pub mod gemm;

pub mod lanes;

pub mod kernels;
pub use kernels::{Kernels, all_cases, cases_f32, cases_f64};

pub mod losses;
pub use losses::{
    CrossEntropy, Reduction, bce_with_logits, cross_entropy, giou_loss, l1_loss, label_smoothed_nll_loss,
    mse_loss, sigmoid_focal_loss, smooth_l1_loss,
};

pub mod metrics;

pub mod norms;
pub use norms::{BatchStatistics, batch_norm_eval, batch_norm_train, group_norm, layer_norm};

pub mod optim;
pub use optim::{Adam, Clipped, GradientSource, Optimizer, OptimizerKernel, Sgd, clip_grad_norm};

pub mod par;

pub mod schedule;

pub mod shape;

pub mod spatial;
pub use spatial::{
    AvgPool2d, Interpolation, Resize, RoiAlign, Window, adaptive_avg_pool2d, avg_pool2d, interpolate,
    max_pool2d, max_pool2d_with_indices, roi_align,
};

#[cfg(test)]
mod oracle;

#[cfg(test)]
mod same_bits;

mod rows;

#[doc(hidden)]
pub mod sources;
mod sums;

pub mod tensor;
pub use tensor::{
    PadMode, abs, add, add_scalar, amax, cat, clamp, cube, cumsum, div, dropout, dropout_keeps, embedding,
    exp, expand, gather, index_select, linear, log, logsumexp, masked_fill, matmul, maximum, mean, minimum,
    mul, narrow, neg, pad, permute, pow, reshape, scale, scatter_add, sinusoidal_positions, slice, split,
    sqrt, square, sub, sum, topk, transpose, var, where_,
};
