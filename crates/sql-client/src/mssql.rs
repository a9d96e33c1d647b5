//! A session with SQL Server, speaking TDS 7.4 itself: a login with user and password, then one batch at a time, its
//! answer as text. Nothing is offered that the server could use to lead us elsewhere; a redirect is refused.
//!
//! Why not `tiberius` or `tiberius-ng`: as of 0.13 they take no verifier, so `verify-ca` cannot be had, and what they have
//! for `require` does not even check that the server holds the key of its certificate. Why not `tds-protocol`: as of 0.20
//! its parser wants the whole answer in memory, and COMPUTE rows over thousands of empty columns keep it busy for more
//! than an hour in one call that no deadline can end.
//!
//! What the modes mean here: `disable` is plaintext from the first byte to the last, the password included, which TDS
//! merely scrambles; a server that encrypts at least the login by default does not when asked so, and one that demands
//! encryption is refused. All other modes encrypt everything before the login is sent.
//! The protocol: <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tds/>.

mod answer;
mod channel;
mod codes;
mod column;
mod login;
mod packet;
mod prelogin;
mod wrapped;

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::deadline::Exchanges;
use crate::session::{Flavor, Row, ServerVersion, Session};
use crate::sql_error::{SqlError, SqlFailure};
use crate::statement::Statement;
use answer::Answer;
use channel::Channel;

pub(crate) use login::login;

/// How long closing may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Stands before each batch: the length of all headers, then one that says "no transaction" and "one request".
const BATCH_HEADERS: [u8; 22] = [22, 0, 0, 0, 18, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];

#[derive(Debug)]
pub(crate) struct MssqlSession {
    channel: Channel,
    exchanges: Exchanges,
    max_answer: usize,
}

/// All of an answer counts against its limit, with everything in it that is skipped.
async fn ask(channel: &mut Channel, text: &str, max_answer: usize) -> Result<Answer, SqlFailure> {
    let batch = [&BATCH_HEADERS[..], &packet::utf16(text)].concat();
    channel.send(packet::SQL_BATCH, &batch).await?;
    let mut answer = Answer::new(max_answer);
    answer.read(&mut channel.receive(max_answer)).await?;
    match answer.error {
        Some(error) => Err(codes::sql_failure(error)),
        None => Ok(answer),
    }
}

impl MssqlSession {
    async fn ask(&mut self, statement: &Statement) -> Result<Answer, SqlError> {
        let work = ask(&mut self.channel, statement.expose_text(), self.max_answer);
        self.exchanges.run(statement.description(), work).await
    }
}

#[async_trait]
impl Session for MssqlSession {
    async fn execute(&mut self, statement: &Statement) -> Result<u64, SqlError> {
        Ok(self.ask(statement).await?.affected)
    }

    /// Columns of whole numbers, truths and text are read; a statement has to cast all others.
    async fn query(&mut self, statement: &Statement) -> Result<Vec<Row>, SqlError> {
        Ok(self.ask(statement).await?.rows.into_rows())
    }

    async fn ping(&mut self) -> Result<(), SqlError> {
        self.ask(&Statement::new("asking whether the server is there", "SELECT 1")).await.map(drop)
    }

    async fn server_version(&mut self) -> Result<ServerVersion, SqlError> {
        let text = "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128))";
        let rows = self.query(&Statement::new("reading the server's version", text)).await?;
        let text = rows.first().and_then(|row| row.text(0)).unwrap_or_default();
        Ok(ServerVersion::new(Flavor::SqlServer, text))
    }

    /// TDS has no word for goodbye.
    async fn close(mut self: Box<Self>) {
        drop(timeout(FAREWELL, self.channel.shut_down()).await);
    }
}

#[cfg(test)]
mod tests;
