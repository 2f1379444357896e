//! The `termwise` command.

mod bench;
mod cli;
mod report;

fn main() -> std::process::ExitCode {
    cli::main()
}
