//! Checks the gradient of an operation against finite differences.
mod case;
mod samples;

pub use case::{Built, Case};
pub use samples::Samples;
