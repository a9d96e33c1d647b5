//! Where text goes: the result to stdout, people's text to stdout too unless the result is for machines, progress to
//! stderr.

use std::cell::RefCell;
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

/// What is waited for: beside a spinner on a terminal, elsewhere one line for each change.
#[derive(Debug)]
pub struct Progress {
    spinner: ProgressBar,
    last: RefCell<String>,
}

impl Progress {
    /// Begins.
    #[must_use]
    pub fn start() -> Self {
        let spinner = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(120));
        Self { spinner, last: RefCell::default() }
    }

    /// Shows what is waited for.
    pub fn show(&self, message: &str) {
        let is_news = self.last.replace(message.to_owned()) != message;
        if self.spinner.is_hidden() && is_news && !message.is_empty() {
            eprintln!("{message}");
        }
        self.spinner.set_message(message.to_owned());
    }

    /// Leaves nothing behind on a terminal.
    pub fn end(self) {
        self.spinner.finish_and_clear();
    }
}
