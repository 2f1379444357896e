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
//!
//! # Example
//!
//! An op of two inputs, and what the engine does with it:
//!
//! ```
//! use termwise_autograd::{Array, Cpu, Op, Param, Tape, Var, apply};
//!
//! /// y = a b, elementwise.
//! struct Mul;
//!
//! type Host = Array<Cpu<f64>>;
//!
//! impl Op<Cpu<f64>, 2> for Mul {
//!     type Saved = [Host; 2];
//!
//!     fn name(&self) -> &'static str {
//!         "mul"
//!     }
//!
//!     fn forward(&self, [a, b]: [&Host; 2]) -> (Host, Self::Saved) {
//!         ((&a.view() * &b.view()).into(), [a.clone(), b.clone()])
//!     }
//!
//!     fn backward(&self, [a, b]: &Self::Saved, grad_output: &Host, needs: [bool; 2]) -> [Option<Host>; 2] {
//!         let times = |x: &Host| (&x.view() * &grad_output.view()).into();
//!         [needs[0].then(|| times(b)), needs[1].then(|| times(a))] // dL/da = b dL/dy, dL/db = a dL/dy
//!     }
//! }
//!
//! fn mul(a: &Var<Cpu<f64>>, b: &Var<Cpu<f64>>) -> Var<Cpu<f64>> {
//!     apply(Mul, [a, b])
//! }
//! let number = |value: f64| Array::host(&[], vec![value]);
//!
//! // y = w x x c at w = 2, x = 3, c = 5
//! let w = Param::new(number(2.0));
//! let tape = Tape::new(Cpu::new());
//! let (x, c) = (tape.leaf(number(3.0)), tape.constant(number(5.0)));
//! let square = mul(&x, &x);
//! square.retain_grad();
//! let y = mul(&mul(&w.var(&tape), &square), &c);
//! assert_eq!(y.value().item(), 90.0);
//! let gradients = tape.backward(&y);
//! assert_eq!(gradients.of(&x).unwrap().item(), 60.0); // 2 w x c: both uses of x are added
//! assert_eq!(gradients.of(&square).unwrap().item(), 10.0); // w c, kept because it was asked for
//! assert_eq!(gradients.param(&w).unwrap().item(), 45.0); // x x c
//! assert!(gradients.of(&c).is_none());
//!
//! // For evaluation: nothing is recorded.
//! let tape = Tape::inference(Cpu::new());
//! let x = tape.leaf(number(3.0));
//! assert_eq!((mul(&x, &x).value().item(), tape.len()), (9.0, 0));
//!
//! // Which op made the first NaN or infinity?
//! let tape = Tape::new(Cpu::new()).watched();
//! let x = tape.leaf(number(1e200));
//! mul(&x, &x);
//! let found = tape.first_non_finite().unwrap();
//! assert_eq!(found, "mul: forward made the first inf, at element 0 of shape []; input shapes [[], []]");
//! ```

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
