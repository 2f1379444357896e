//! A tape-based reverse-mode automatic differentiation engine.
//!
//! Seven names make up the engine:
//!
//! | name | what it is |
//! |---|---|
//! | [`Backend`] | a device: holds numbers, adds gradients ([`Cpu`] is the host) |
//! | [`Array`] | immutable numbers with a shape on a backend |
//! | [`Op`] | a differentiable operation: forward and backward together |
//! | [`Tape`], [`Var`] | the record of a computation, and a value on it |
//! | [`Gradients`] | what the reverse sweep returns |
//! | [`Param`], [`Module`] | numbers that outlive a tape, and things made of them |
//!
//! There is no operation in this crate; write one with [`Op`] and check it with [`gradcheck`].
//! Second derivatives are out of scope: gradients are plain [`Array`]s, not on a tape.

mod array;
mod backend;
pub mod gradcheck;
mod op;
mod param;
pub mod pool;
mod scalar;
pub mod simd;
mod tamper;
mod tape;
mod var;

pub use array::Array;
pub use backend::{Backend, Cpu};
pub use op::Op;
pub use param::{Module, Param, Parameters};
pub use scalar::Scalar;
pub use tamper::{Fault, FaultKind};
pub use tape::{Gradients, Tape};
pub use var::{Var, apply, apply_saving};
