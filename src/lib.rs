//! Every spatial attention mechanism of Zhu et al., "An Empirical Study of Spatial Attention Mechanisms in
//! Deep Networks" (ICCV 2019), as a differentiable operation on an automatic-differentiation engine written
//! from scratch.
//!
//! | module | what is there |
//! |---|---|
//! | [`autograd`] | the engine: tape, arrays, parameters, and a gradient checker |
//! | [`ops`] | the operations, every attention mechanism among them |
//! | [`models`] | layers; the segmenter, the detector, the translator, the probes; training and checkpoints |
//! | [`datasets`] | readers and generators of data; stands alone |
//! | `opencl` | the backend for devices that OpenCL finds when the program runs; with the feature `opencl` |
//!
//! # Features
//!
//! | feature | what it brings | on by default |
//! |---|---|---|
//! | `cli` | the command `termwise` and the crates that only it needs (arguments, progress bars, charts, TOML); `opencl` | yes |
//! | `opencl` | the module `opencl`; nothing is linked, the system's library is looked for at run time | with `cli` |
//!
//! A program that uses the library turns them off:
//!
//! ```toml
//! termwise = { version = "0.1", default-features = false }
//! ```
//!
//! Values come in and go out as arrays of [`ndarray`], which is exported so that versions agree.
//!
//! # A first program
//!
//! The [`prelude`] holds what a first program needs:
//!
//! ```
//! use termwise::prelude::*;
//!
//! // Attention by hand: one query, two keys, softmax(q K^T) V.
//! let tape = Tape::new(Cpu::<f64>::new());
//! let query = tape.leaf(Array::host(&[1, 2], vec![1.0, 0.0]));
//! let key = tape.leaf(Array::host(&[2, 2], vec![2.0, 1.0, 2.0, -1.0]));
//! let value = tape.leaf(Array::host(&[2, 1], vec![3.0, 5.0]));
//! let weights = softmax(&matmul(&query, &transpose(&key, 0, 1)), -1);
//! let output = matmul(&weights, &value);
//! assert_eq!(weights.value().as_slice(), [0.5, 0.5]); // both keys have the energy 2
//! assert_eq!(output.value().as_slice(), [4.0]);
//!
//! // A key counts for its energy times how far its value is from the output: 0.5 (3 - 4) and 0.5 (5 - 4).
//! let gradients = tape.backward(&output);
//! let grad_key = gradients.of(&key).unwrap();
//! assert_eq!(grad_key.as_slice(), [-0.5, 0.0, 0.5, 0.0]);
//!
//! // The same computation, checked against finite differences.
//! let inputs = ["query", "key", "value"].into_iter().zip([&query, &key, &value]);
//! let inputs: Vec<_> = inputs.map(|(name, var)| (name, var.value().to_ndarray())).collect();
//! let attention =
//!     |v: &[Var<Cpu<f64>>]| matmul(&softmax(&matmul(&v[0], &transpose(&v[1], 0, 1)), -1), &v[2]);
//! gradcheck::check("attention", &inputs, attention).assert_pass();
//! ```

pub use ndarray;
pub use termwise_autograd as autograd;
pub use termwise_datasets as datasets;
pub use termwise_models as models;
#[cfg(feature = "opencl")]
pub use termwise_opencl as opencl;
pub use termwise_ops as ops;

/// What a first program needs: the engine, the gradient checker and the most used operations.
pub mod prelude {
    pub use termwise_autograd::{
        Array, Backend, Cpu, Gradients, Module, Op, Param, Parameters, Scalar, Tape, Var, apply, gradcheck,
    };
    pub use termwise_ops::attention::{AttentionCode, Terms, TransformerSettings};
    pub use termwise_ops::{
        Kernels, add, cat, conv2d, cross_entropy, div, dropout, embedding, exp, layer_norm, linear, log,
        log_softmax, matmul, mean, mul, neg, permute, relu, reshape, sigmoid, softmax, sub, sum, tanh,
        transpose,
    };
}

/// The README's code, run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
