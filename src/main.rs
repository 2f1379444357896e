//! Termwise command
fn main() {}
