//! Layers, models, training and checkpoints.

pub mod checkpoint;
pub mod detection;
mod init;
pub mod layers;
pub mod probe;
pub mod segmentation;
pub mod training;

pub use init::Init;
