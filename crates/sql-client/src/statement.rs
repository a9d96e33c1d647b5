//! A statement and the words that stand for it: the text may hold a password, so only the words can be
//! printed.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// One SQL statement with a description such as `creating the user`.
#[derive(Clone)]
pub struct Statement {
    description: &'static str,
    text: SecretString,
}

impl Statement {
    /// The text's names and values must come from [`crate::quote`]. The description starts in lower case
    /// and reads on in "… failed".
    #[must_use]
    pub fn new(description: &'static str, text: impl Into<String>) -> Self {
        Self { description, text: SecretString::from(text.into()) }
    }

    /// The words that may be logged.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.description
    }

    /// The text, for the driver and for tests of what is planned. Never log it.
    #[must_use]
    pub fn expose_text(&self) -> &str {
        self.text.expose_secret()
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Statement").field(&self.description).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_prints_its_description_alone() {
        let statement = Statement::new("creating the user", "CREATE USER x IDENTIFIED BY 'hunter2'");
        assert_eq!(format!("{statement:?}"), "Statement(\"creating the user\")");
    }
}
