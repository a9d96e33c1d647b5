//! Log lines on standard output, and the habit of saying a lasting trouble once instead of at every try.

use std::io::IsTerminal as _;

use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::args::{LogFormat, RuntimeArgs};
use crate::run::RuntimeError;

/// Installs the process's subscriber.
pub(crate) fn init(args: &RuntimeArgs) -> Result<(), RuntimeError> {
    let filter = EnvFilter::builder()
        .parse(&args.log_filter)
        .map_err(|source| RuntimeError::LogFilter { filter: args.log_filter.clone(), source })?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(std::io::stdout().is_terminal());
    match args.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.try_init(),
    }
    .map_err(RuntimeError::Logging)
}

/// Says a trouble when it begins or changes, and once more when it is over.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    said: Option<String>,
}

impl Trouble {
    /// Something keeps us waiting.
    pub(crate) fn is(&mut self, message: String) {
        if self.said.as_ref() != Some(&message) {
            warn!("{message}");
            self.said = Some(message);
        }
    }

    /// Nothing does any longer.
    pub(crate) fn is_over(&mut self) {
        if let Some(message) = self.said.take() {
            info!("over: {message}");
        }
    }
}
