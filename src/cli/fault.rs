//! How a command fails: one line on standard error, or none, and an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use termwise_datasets::DataError;
use termwise_models::checkpoint::CheckpointError;

/// Why a command ends early.
#[derive(Debug)]
pub enum Fault {
    /// Something that was given cannot be used: file, field, what was expected, what was found.
    Input(String),
    /// Whoever read the output has left; there is nobody to tell.
    Closed,
    /// Ctrl-C; what was saved and how to go on.
    Interrupted(String),
    /// The command did its work, and has said itself that the result is bad.
    Verdict,
}

impl Fault {
    /// A file or folder that is not what it should be.
    pub fn of_file(
        path: &std::path::Path,
        field: &str,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Self {
        Fault::Input(format!("{}: {field}: expected {expected}, found {found}", path.display()))
    }

    /// Prints the line, and says what the process should return.
    pub fn report(self) -> ExitCode {
        match self {
            Fault::Input(message) => {
                // Where even standard error is closed, the exit code has to do.
                let _ = writeln!(io::stderr().lock(), "error: {}", one_line(&message));
                ExitCode::from(2)
            }
            Fault::Interrupted(message) => {
                let _ = writeln!(io::stderr().lock(), "{}", one_line(&message));
                ExitCode::from(130)
            }
            Fault::Closed => ExitCode::SUCCESS,
            Fault::Verdict => ExitCode::from(1),
        }
    }
}

/// Names and file contents may hold anything, and an error is one line.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        match c {
            '\n' => line.push(' '),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

impl From<DataError> for Fault {
    fn from(error: DataError) -> Self {
        Fault::Input(error.to_string())
    }
}

impl From<CheckpointError> for Fault {
    fn from(error: CheckpointError) -> Self {
        Fault::Input(error.to_string())
    }
}

/// Errors of writing to standard output.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Fault::Closed,
            _ => Fault::Input(format!("standard output: expected to write, found {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("a\nb\u{1b}[0m\n"), "a b\\u{1b}[0m");
    }

    #[test]
    fn a_reader_that_leaves_is_no_error() {
        assert!(matches!(io::Error::from(io::ErrorKind::BrokenPipe).into(), Fault::Closed));
        let Fault::Input(message) = io::Error::from(io::ErrorKind::StorageFull).into() else { panic!() };
        assert!(message.starts_with("standard output: expected to write, found "), "{message}");
    }
}
