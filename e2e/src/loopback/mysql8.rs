//! A MySQL 8 of a test's own.

use std::path::Path;

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use rustix::process::Signal;
use secrecy::SecretString;

use super::{ADDRESS, Folder, Running};
use crate::servers::connect;
use crate::testing::process::free_port;

/// The server's programs lie in the cache of whoever runs the tests, where no other account can reach them.
const ACCOUNT: &str = "root";

/// What the concierge's administrator may do: make databases and users, and hand out what it holds itself. MySQL has no
/// DELETE HISTORY, which MariaDB's `ALL PRIVILEGES` holds.
const CONCIERGE_GRANT: &str = "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, \
CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER, \
CREATE USER, SHOW DATABASES ON *.* TO 'concierge_admin'@'%' WITH GRANT OPTION";

/// A server whose root comes over its socket, killed when dropped.
pub struct Mysql8 {
    running: Running,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Mysql8 {
    /// A server from this folder of programs.
    pub async fn start(programs: &Path) -> Result<Self> {
        let (folder, port) = (Folder::new(ACCOUNT)?, free_port().await?);
        let server = programs.join("bin/mysqld").display().to_string();
        let own = [
            format!("--basedir={}", programs.display()),
            format!("--lc-messages-dir={}", programs.join("share").display()),
            format!("--datadir={}", folder.text("data")),
            format!("--tmpdir={}", folder.text("")),
            format!("--user={ACCOUNT}"),
            format!("--log-error={}", folder.text("errors")),
        ];
        let own: Vec<_> = own.iter().map(String::as_str).collect();
        folder.run(&[&[&server, "--no-defaults", "--initialize-insecure"], &own[..]].concat()).await?;
        let reached = [
            format!("--socket={}", folder.text("socket")),
            format!("--pid-file={}", folder.text("pid")),
            format!("--bind-address={ADDRESS}"),
            format!("--port={port}"),
            "--mysqlx=OFF".to_owned(),
            "--skip-name-resolve".to_owned(),
            "--skip-log-bin".to_owned(),
            "--innodb-flush-method=nosync".to_owned(),
            "--innodb-flush-log-at-trx-commit=0".to_owned(),
            "--innodb-buffer-pool-size=32M".to_owned(),
            "--performance-schema=OFF".to_owned(),
        ];
        let reached: Vec<_> = reached.iter().map(String::as_str).collect();
        let command = [&[&server, "--no-defaults"], &own[..], &reached].concat();
        let mut running = folder.start(&command, Signal::KILL)?;
        let socket = running.folder.text("socket");
        running.wait(async || admin_on(&socket).await.is_ok()).await?;
        Ok(Self { running, port })
    }

    /// Makes the concierge's administrator.
    pub async fn concierge(&self, password: &str) -> Result<()> {
        self.run(&[&format!("CREATE USER 'concierge_admin'@'%' IDENTIFIED BY '{password}'"), CONCIERGE_GRANT]).await
    }

    /// A connection that may do everything.
    pub async fn admin(&self) -> Result<Conn> {
        admin_on(&self.running.folder.text("socket")).await
    }

    /// Runs statements as administrator.
    pub async fn run(&self, statements: &[&str]) -> Result<()> {
        let mut admin = self.admin().await?;
        for statement in statements {
            admin.query_drop(*statement).await.with_context(|| format!("`{statement}` failed"))?;
        }
        admin.disconnect().await.context("cannot close the connection")
    }

    /// A connection as somebody else, over TCP.
    pub async fn session(&self, user: &str, password: &str, database: &str) -> Result<Conn> {
        let options = OptsBuilder::default().ip_or_hostname(ADDRESS).tcp_port(self.port).prefer_socket(false);
        connect("MySQL 8", options.user(Some(user)).db_name(Some(database)), &SecretString::from(password)).await
    }
}

async fn admin_on(socket: &str) -> Result<Conn> {
    let options = OptsBuilder::default().socket(Some(socket)).user(Some("root"));
    connect("MySQL 8", options, &SecretString::from("")).await
}
