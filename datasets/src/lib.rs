//! Data set readers and built-in generators.

pub mod probe;
