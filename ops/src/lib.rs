//! PLACEHOLDER

pub mod metrics;
pub mod schedule;
