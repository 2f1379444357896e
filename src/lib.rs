//! Termwise
