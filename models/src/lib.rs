//! Layers, models, training and checkpoints.

pub mod checkpoint;
mod init;
pub mod layers;
pub mod probe;
pub mod segmentation;
pub mod translation;

pub use init::Init;
