//! A session with MySQL, MariaDB or Percona, speaking the client/server protocol itself: the text
//! protocol, one statement at a time, one result each. No capability is offered for what is not wanted, so
//! the server cannot ask for it: no multiple statements or results, LOCAL INFILE, compression or session
//! tracking (which carries redirects).
//!
//! Why not `mysql_async`: as of 0.37.1 `verify-ca` cannot be had (it takes no verifier, and recognises the
//! name error to forgive by a text that rustls no longer prints), and a server that answers the login with
//! an empty packet or a malformed key makes it panic, which ends an operator built with `panic = "abort"`.
//! The protocol: <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>.

mod answer;
mod auth;
mod channel;
mod codes;
mod greeting;
mod login;
mod packet;

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

const COM_QUIT: u8 = 0x01;
const COM_QUERY: u8 = 0x03;
const COM_PING: u8 = 0x0e;

/// How long saying goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct MysqlSession {
    channel: Channel,
    exchanges: Exchanges,
}

async fn ask(channel: &mut Channel, command: u8, text: &str) -> Result<Answer, SqlFailure> {
    channel.restart();
    channel.write(&[&[command], text.as_bytes()].concat()).await?;
    answer::read(channel).await
}

impl MysqlSession {
    async fn ask(&mut self, statement: &Statement) -> Result<Answer, SqlError> {
        let work = ask(&mut self.channel, COM_QUERY, statement.expose_text());
        self.exchanges.run(statement.description(), work).await
    }
}

#[async_trait]
impl Session for MysqlSession {
    async fn execute(&mut self, statement: &Statement) -> Result<u64, SqlError> {
        Ok(self.ask(statement).await?.affected)
    }

    async fn query(&mut self, statement: &Statement) -> Result<Vec<Row>, SqlError> {
        Ok(self.ask(statement).await?.rows)
    }

    async fn ping(&mut self) -> Result<(), SqlError> {
        let work = ask(&mut self.channel, COM_PING, "");
        self.exchanges.run("asking whether the server is there", work).await.map(drop)
    }

    async fn server_version(&mut self) -> Result<ServerVersion, SqlError> {
        let text = "SELECT @@version, @@version_comment";
        let rows = self.query(&Statement::new("reading the server's version", text)).await?;
        let column = |index| rows.first().and_then(|row| row.text(index)).unwrap_or_default();
        Ok(ServerVersion::new(flavor(column(0), column(1)), column(0)))
    }

    async fn close(mut self: Box<Self>) {
        self.channel.restart();
        let goodbye = async {
            drop(self.channel.write(&[COM_QUIT]).await);
            drop(self.channel.shut_down().await);
        };
        drop(timeout(FAREWELL, goodbye).await);
    }
}

fn flavor(version: &str, comment: &str) -> Flavor {
    let text = format!("{version} {comment}").to_ascii_lowercase();
    match () {
        () if text.contains("mariadb") => Flavor::MariaDb,
        () if text.contains("percona") => Flavor::Percona,
        () => Flavor::Mysql,
    }
}

#[cfg(test)]
mod tests;
