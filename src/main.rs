//! The `termwise` command.

mod bench;
mod cli;
mod explore;
mod report;
mod study;

fn main() -> std::process::ExitCode {
    cli::main()
}
