//! Layers, models, training and checkpoints.

pub mod checkpoint;
mod init;

pub use init::Init;
