//! The script of spec.initSql: which statements it consists of, by which hash it is known, and whether it is to be run.
//! Pure; [`crate::init`] runs it.

mod split;

use aws_lc_rs::digest;

use crate::engine::Engine;
use crate::ledger::scripts::{Record, State};

/// How long a script may be, in bytes.
const MAX_BYTES: usize = 256 << 10;
/// How many statements it may have.
const MAX_STATEMENTS: usize = 1000;

/// A script that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// SHA-256 of its text, in hexadecimal.
    pub hash: String,
    /// Its statements, in their order.
    pub statements: Vec<String>,
}

/// Why a text is no script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Too long.
    #[error("it is longer than {} KiB", MAX_BYTES >> 10)]
    TooLong,
    /// Too many statements.
    #[error("it has more than {MAX_STATEMENTS} statements")]
    TooMany,
    /// Nothing but comments.
    #[error("it has no statement")]
    Empty,
    /// A quote or comment that does not end.
    #[error("{what} in statement {number} does not end")]
    Endless {
        /// What it is.
        what: &'static str,
        /// In which statement, counted from 1.
        number: usize,
    },
    /// A command of a client program.
    #[error(
        "statement {number} begins with DELIMITER, which only the mysql program knows: every statement ends with a semicolon here"
    )]
    Delimiter {
        /// Which statement, counted from 1.
        number: usize,
    },
}

impl Script {
    /// Takes a text apart.
    pub fn parse(text: &str, engine: Engine) -> Result<Self, ScriptError> {
        if text.len() > MAX_BYTES {
            return Err(ScriptError::TooLong);
        }
        let statements = split::split(text, engine)?;
        match statements.len() {
            0 => Err(ScriptError::Empty),
            1..=MAX_STATEMENTS => Ok(Self { hash: hash(text), statements }),
            _ => Err(ScriptError::TooMany),
        }
    }

    /// Whether it is to be run. What ran to its end is never run again. What did not is run again only on request: some
    /// of its statements were run, and nobody here knows what a second time would do.
    #[must_use]
    pub fn is_due(&self, last: Option<&Record>, forced: bool) -> bool {
        match last.filter(|last| last.hash == self.hash).map(|last| &last.state) {
            None => true,
            Some(State::Done) => false,
            Some(State::Running | State::Failed(_)) => forced,
        }
    }

    /// The record of this script.
    #[must_use]
    pub fn record(&self, state: State) -> Record {
        Record { hash: self.hash.clone(), state }
    }
}

fn hash(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Script {
        Script::parse(text, Engine::Mysql).unwrap()
    }

    #[test]
    fn a_script_is_known_by_its_hash() {
        let one = script("SELECT 1");
        assert_eq!(one.hash, "e004ebd5b5532a4b85984a62f8ad48a81aa3460c1ca07701f386135d72cdecf5");
        assert_ne!(one.hash, script("SELECT 1;").hash);
    }

    #[test]
    fn a_script_is_run_once_and_again_only_when_it_changed_or_somebody_asks() {
        let it = script("SELECT 1");
        let failed = || State::Failed("statement 1 of 1".into());
        assert!(it.is_due(None, false));
        for (state, due, forced) in
            [(State::Done, false, false), (State::Running, false, true), (failed(), false, true)]
        {
            let last = it.record(state.clone());
            assert_eq!((it.is_due(Some(&last), false), it.is_due(Some(&last), true)), (due, forced), "{state:?}");
            assert!(script("SELECT 2").is_due(Some(&last), false), "a changed script is another one");
        }
    }

    #[test]
    fn what_is_no_script_is_told() {
        let refusal = |text: &str| Script::parse(text, Engine::Mysql).unwrap_err().to_string();
        insta::assert_snapshot!(refusal(&" ".repeat(MAX_BYTES + 1)), @"it is longer than 256 KiB");
        insta::assert_snapshot!(refusal(&"a;".repeat(1001)), @"it has more than 1000 statements");
        insta::assert_snapshot!(refusal("-- nothing\n;"), @"it has no statement");
        insta::assert_snapshot!(refusal("SELECT 1; SELECT 'it"), @"a quoted text in statement 2 does not end");
        insta::assert_snapshot!(refusal("SELECT 1 /* it"), @"a comment in statement 1 does not end");
        insta::assert_snapshot!(refusal("-- first\nDelimiter //\nSELECT 1//"), @"statement 1 begins with DELIMITER, which only the mysql program knows: every statement ends with a semicolon here");
    }
}
