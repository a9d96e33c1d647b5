//! Where text goes: the result to stdout, people's text to stdout too unless the result is for machines, progress to
//! stderr and only if that is a terminal.

use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Where text goes.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    /// Whether stdout carries the result alone.
    pub machine: bool,
}

impl Console {
    /// Text for people.
    pub fn say(self, text: &str) -> io::Result<()> {
        if self.machine { writeln!(io::stderr(), "{text}") } else { writeln!(io::stdout(), "{text}") }
    }
}

/// The result for machines.
pub fn result(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())
}

/// A spinner, to be fed with what is waited for.
#[must_use]
pub fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}
