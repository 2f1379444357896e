//! The `termwise` command.

mod report;

fn main() {}
