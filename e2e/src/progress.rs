//! Shows what is going on: a spinner with the elapsed time on a terminal, one plain line a step elsewhere.
//! Everything goes to standard error; standard output carries results only.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// Prints steps. Steps run one after the other; within one, anything may run in parallel.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    terminal: bool,
}

impl Progress {
    /// Chooses the form by what standard error is.
    #[must_use]
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    /// Runs `work` as a step called `name`, and prints how long it took. The error of a failed step names it.
    pub async fn step<T>(&self, name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Instant::now();
        let shown = self.begin(name);
        let result = work.await;
        finish(shown, name, begun.elapsed(), result.is_ok());
        result.with_context(|| format!("step failed: {name}"))
    }

    /// Prints one line between steps.
    pub fn say(&self, line: &str) {
        eprintln!("{}{line}", if self.terminal { "" } else { "==> " });
    }

    fn begin(self, name: &str) -> Option<ProgressBar> {
        if !self.terminal {
            eprint!("==> {name} … ");
            // A failed flush of standard error leaves nobody to tell.
            let _ = std::io::stderr().flush();
            return None;
        }
        let style = ProgressStyle::with_template("{spinner} {msg} … {elapsed}").ok()?;
        let bar = ProgressBar::new_spinner().with_style(style).with_message(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Some(bar)
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

fn finish(shown: Option<ProgressBar>, name: &str, took: Duration, ok: bool) {
    let end = format!("{}{:.1} s", if ok { "" } else { "failed after " }, took.as_secs_f64());
    match shown {
        Some(bar) => {
            bar.finish_and_clear();
            eprintln!("{} {name} … {end}", if ok { "✓" } else { "✗" });
        }
        None => eprintln!("{end}"),
    }
}
