//! What an operator may do with a server it has logged in to: the trait all engines implement, and the
//! plain rows it gives. Rows are text: what is asked of a catalogue is names, counts and flags.

use async_trait::async_trait;

use crate::sql_error::SqlError;
use crate::statement::Statement;

/// An open login on one server. Every call ends within the `query_timeout` of the connection's options.
///
/// A statement whose answer did not arrive (see [`SqlError::session_is_lost`]) leaves the session unusable:
/// every later call fails with `ConnectionLost`. Whether the server ran that statement is then unknown.
/// Dropping a session closes its socket; [`Session::close`] says goodbye first.
#[async_trait]
pub trait Session: Send + std::fmt::Debug {
    /// Runs one statement and gives the number of rows it affected.
    async fn execute(&mut self, statement: &Statement) -> Result<u64, SqlError>;

    /// Runs one statement and gives all its rows, at most `max_answer` bytes of them.
    async fn query(&mut self, statement: &Statement) -> Result<Vec<Row>, SqlError>;

    /// Asks the server whether it is still there.
    async fn ping(&mut self) -> Result<(), SqlError>;

    /// Asks the server what it is; this is the probe's trivial query.
    async fn server_version(&mut self) -> Result<ServerVersion, SqlError>;

    /// Says goodbye and closes the connection. Waits a second at most, and an error is of no interest.
    async fn close(self: Box<Self>);
}

/// One row of an answer, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(Vec<Option<String>>);

impl Row {
    /// A row of the given columns; `None` is NULL. Public for test doubles of [`Session`].
    #[must_use]
    pub fn new(columns: Vec<Option<String>>) -> Self {
        Self(columns)
    }

    /// The text of a column counted from 0; `None` when it is NULL or not there.
    #[must_use]
    pub fn text(&self, column: usize) -> Option<&str> {
        self.0.get(column)?.as_deref()
    }

    /// The whole number in a column; `None` when it is NULL, not there or no number.
    #[must_use]
    pub fn integer(&self, column: usize) -> Option<i64> {
        self.text(column)?.parse().ok()
    }

    /// The truth in a column: `t`, `true`, `on`, `yes`, `y` or a number that is not 0, in any case.
    #[must_use]
    pub fn boolean(&self, column: usize) -> Option<bool> {
        let text = self.text(column)?.to_ascii_lowercase();
        match text.as_str() {
            "t" | "true" | "on" | "yes" | "y" => Some(true),
            "f" | "false" | "off" | "no" | "n" => Some(false),
            number => number.parse::<i64>().ok().map(|value| value != 0),
        }
    }
}

/// What a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    /// Who made it.
    pub flavor: Flavor,
    /// Its own version, such as `10.11.6-MariaDB`: printable ASCII, at most 64 characters.
    pub text: String,
}

/// Who made a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// Oracle's MySQL and what calls itself nothing else.
    Mysql,
    /// MariaDB.
    MariaDb,
    /// Percona Server and Percona XtraDB Cluster.
    Percona,
    /// PostgreSQL.
    Postgres,
    /// Microsoft SQL Server and Azure SQL.
    SqlServer,
}

impl ServerVersion {
    /// The text goes into statuses and logs, so what a server may put there is limited.
    pub(crate) fn new(flavor: Flavor, text: &str) -> Self {
        let printable = |c: &char| c.is_ascii_graphic() || *c == ' ';
        Self { flavor, text: text.chars().filter(printable).take(64).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_as_text_number_or_truth() {
        let row = Row::new(["7", "x", "t", "OFF", "Y", "0"].map(|text| Some(text.to_owned())).to_vec());
        assert_eq!((row.text(1), row.text(9)), (Some("x"), None));
        assert_eq!((row.integer(0), row.integer(1)), (Some(7), None));
        let truths: Vec<_> = (0..6).map(|column| row.boolean(column)).collect();
        assert_eq!(truths, [Some(true), None, Some(true), Some(false), Some(true), Some(false)]);
        assert_eq!(Row::new(vec![None]).text(0), None);
    }

    #[test]
    fn a_version_is_short_and_printable() {
        let version = ServerVersion::new(Flavor::Mysql, &format!("8.0\n\u{1b}[31m{}", "x".repeat(100)));
        assert_eq!(version.text, format!("8.0[31m{}", "x".repeat(57)));
    }
}
