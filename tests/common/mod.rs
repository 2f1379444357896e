//! The `termwise` command for tests: run it, and look at what it says.
#![allow(dead_code, reason = "each test file uses some of these")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The command with these arguments, not started yet.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_termwise"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end with a text on standard input.
pub fn with_input(arguments: &[&str], input: &str) -> Output {
    let mut child = command(arguments).spawn().expect("the command starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads its input");
    child.wait_with_output().expect("the command runs")
}

/// Runs a command to its end.
pub fn termwise(arguments: &[&str]) -> Output {
    with_input(arguments, "")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// What a command that must succeed prints.
#[track_caller]
pub fn succeeds(arguments: &[&str]) -> String {
    let output = termwise(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    stdout(&output)
}

/// Runs a command that must fail: exit code 2, nothing on standard output, and on standard error one line, which is
/// returned.
#[track_caller]
pub fn refused(arguments: &[&str]) -> String {
    let output = termwise(arguments);
    let errors = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert_eq!(stdout(&output), "");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    errors.trim_end().strip_prefix("error: ").unwrap_or_else(|| panic!("{errors}")).to_owned()
}

#[track_caller]
pub fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
