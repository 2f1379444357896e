//! Layers, models, training and checkpoints.

pub mod checkpoint;
mod init;
pub mod probe;

pub use init::Init;
