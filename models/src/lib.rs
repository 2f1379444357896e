//! Layers, models, training and checkpoints.

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
