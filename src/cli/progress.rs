//! Signs of life on standard error: a bar in a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

/// Progress of one long computation; may be told from several threads.
pub struct Progress {
    /// Absent where standard error is no terminal.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins to show progress towards `total` units of work under a name.
    pub fn start(name: &str, total: u64) -> Self {
        if !stderr().is_terminal() {
            return Progress { bar: None };
        }
        let template = "{prefix} [{bar:32}] {percent:>3} %  {elapsed} (about {eta} left)  {wide_msg}";
        let style = ProgressStyle::with_template(template).expect("a template of known parts");
        let bar =
            ProgressBar::new(total).with_style(style.progress_chars("=> ")).with_prefix(name.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(250));
        Progress { bar: Some(bar) }
    }

    /// Adds units of work that are done.
    pub fn advance(&self, units: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(units);
        }
    }

    /// Sets the units of work that are done, and what is going on, for the bar only.
    pub fn set(&self, units: u64, message: String) {
        if let Some(bar) = &self.bar {
            bar.set_position(units);
            bar.set_message(message);
        }
    }

    /// Reports something worth a line: beside the bar for the moment, or as a line.
    pub fn note(&self, line: String) {
        match &self.bar {
            Some(bar) => bar.set_message(line),
            None => eprintln_or_not(&line),
        }
    }

    /// Reports a line that stays, above the bar.
    pub fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln_or_not(line),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `eprintln!` panics where standard error is closed; progress is not worth that.
fn eprintln_or_not(line: &str) {
    use std::io::Write;
    let _ = writeln!(stderr().lock(), "{line}");
}
