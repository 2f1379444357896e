//! Layers, models, training and checkpoints.
//!
//! | module | what is in it |
//! |---|---|
//! | [`layers`] | parameters around operations: linear, convolutions, normalisations, every attention, backbone and pyramid |
//! | [`segmentation`], [`detection`], [`translation`] | the three models, their training and how they are used |
//! | [`probe`] | one mechanism alone, on tasks that need one factor of attention each |
//! | [`training`] | the training loop, the same for every task |
//! | [`checkpoint`] | models and trainings in files |
//!
//! One step of gradient descent on a layer:
//!
//! ```
//! use termwise_autograd::{Array, Cpu, Module, Tape};
//! use termwise_models::{Init, layers::Linear};
//! use termwise_ops::optim::{Optimizer, Sgd, SgdConfig};
//! use termwise_ops::square;
//! let layer = Linear::new(1, 1, true, &mut Init::new(Cpu::<f64>::new(), 0));
//! layer.parameters()[0].1.set(Array::host(&[1, 1], vec![3.0])); // y = 3 x + 0
//! let tape = Tape::new(Cpu::new());
//! let x = tape.constant(Array::host(&[1, 1], vec![1.0]));
//! let loss = square(&layer.forward(&x)); // 9, and its derivative is 6 in the weight and in the bias
//! let gradients = tape.backward_with(&[(&loss, Array::host(&[1, 1], vec![1.0]))]);
//! Sgd::new(SgdConfig::default()).step(&layer.parameters(), &gradients, 0.5);
//! let [weight, bias] = [0, 1].map(|i| layer.parameters()[i].1.value().item());
//! assert_eq!((weight, bias), (0.0, -3.0));
//! ```

pub mod checkpoint;
mod copy;
pub mod detection;
mod init;
pub mod layers;
pub mod probe;
pub mod segmentation;
#[doc(hidden)]
pub mod sources;
pub mod training;
pub mod translation;

pub use copy::copy_parameters;
pub use init::Init;
