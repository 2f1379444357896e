//! Layers, models, training and checkpoints.

pub mod checkpoint;
mod init;
pub mod layers;
pub mod probe;

pub use init::Init;
