//! A PostgreSQL of a test's own. What it shows of TLS and whom it admits can be changed while it runs.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_postgres::{Client, Config, NoTls};

use super::{ADDRESS, Folder, POLL, Running, START_DEADLINE};
use crate::cluster::pki::Identity;
use crate::command;
use crate::servers::hand_over;
use crate::servers::postgres::{ACCOUNT, PROGRAMS, connect, ensure_concierge};
use crate::testing::Harness;
use crate::testing::bed::Login;
use crate::testing::process::free_port;

/// A server with a superuser on its socket, killed when dropped.
pub struct Postgres {
    running: Running,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

pub(super) fn is_installed() -> bool {
    Path::new(PROGRAMS).join("postgres").exists()
}

impl Postgres {
    /// A server with these settings, such as `max_connections=4`, that offers no TLS yet.
    pub async fn start(settings: &[&str]) -> Result<Self> {
        Self::launch(PROGRAMS, Folder::new(ACCOUNT)?, settings, false).await?.ready().await
    }

    /// The same with version 18. `None`, which it then says, where that cannot be had.
    pub async fn start_18(settings: &[&str]) -> Result<Option<Self>> {
        match Harness::connect().await?.postgres18()? {
            Some(programs) if super::is_possible() => Self::start_from(&programs, settings).await.map(Some),
            _ => Ok(None),
        }
    }

    /// From a folder that the server's account may not reach.
    async fn start_from(programs: &Path, settings: &[&str]) -> Result<Self> {
        let folder = Folder::new(ACCOUNT)?;
        let mut copy = Command::new("cp");
        copy.args(["-r", "--no-preserve=ownership"]).arg(programs).arg(folder.path("programs"));
        command::run(&mut copy, &folder.path("log"), START_DEADLINE).await?;
        hand_over(folder.folder.path(), ACCOUNT)?;
        Self::launch(&folder.text("programs/bin"), folder, settings, false).await?.ready().await
    }

    async fn ready(mut self) -> Result<Self> {
        let folder = self.running.folder.text("");
        self.running.wait(async || admin_in(&folder, self.port).await.is_ok()).await?;
        Ok(self)
    }

    /// A server that recovers for ever and lets nobody in meanwhile.
    pub async fn start_in_recovery() -> Result<Self> {
        let mut server = Self::launch(PROGRAMS, Folder::new(ACCOUNT)?, &["hot_standby=off"], true).await?;
        server.running.wait(async || TcpStream::connect((ADDRESS, server.port)).await.is_ok()).await?;
        Ok(server)
    }

    async fn launch(programs: &str, folder: Folder, settings: &[&str], recovers: bool) -> Result<Self> {
        let (data, port) = (folder.text("data"), free_port().await?);
        let initdb = format!("{programs}/initdb");
        folder.run(&[&initdb, "-D", &data, "-U", ACCOUNT, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]).await?;
        folder.write("data/pg_hba.conf", &admitted(&["host all all 127.0.0.0/8 scram-sha-256"]))?;
        if recovers {
            folder.write("data/standby.signal", "")?;
        }
        let own = [
            format!("listen_addresses={ADDRESS}"),
            format!("port={port}"),
            format!("unix_socket_directories={}", folder.text("")),
            "fsync=off".to_owned(),
        ];
        let settings: Vec<_> = own.iter().map(String::as_str).chain(settings.iter().copied()).collect();
        let program = format!("{programs}/postgres");
        let flags: Vec<_> = settings.iter().flat_map(|setting| ["-c", setting]).collect();
        let running = folder.start(&[&[&program, "-D", &data][..], &flags].concat(), Signal::QUIT)?;
        Ok(Self { running, port })
    }

    /// A connection as superuser.
    pub async fn admin(&self) -> Result<Client> {
        admin_in(&self.running.folder.text(""), self.port).await
    }

    /// A connection as superuser to another database than `postgres`.
    pub async fn admin_in(&self, database: &str) -> Result<Client> {
        let mut config = Config::new();
        config.host_path(self.running.folder.text("")).port(self.port);
        connect(config, database).await
    }

    /// A connection as somebody else, over TCP.
    pub async fn session(&self, user: &str, password: &str, database: &str) -> Result<Client> {
        let mut config = Config::new();
        config.host(ADDRESS).port(self.port).user(user).password(password).dbname(database);
        let connecting = tokio::time::timeout(START_DEADLINE, config.connect(NoTls)).await;
        let (client, connection) = connecting.context("PostgreSQL does not answer")??;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements as superuser.
    pub async fn run(&self, statements: &str) -> Result<()> {
        self.admin().await?.batch_execute(statements).await.with_context(|| format!("`{statements}` failed"))
    }

    /// Makes the concierge's administrator.
    pub async fn concierge(&self, password: &str) -> Result<()> {
        ensure_concierge(&self.admin().await?, password).await
    }

    /// A login with a database of its own name.
    pub async fn login(&self, name: &str, password: &str) -> Result<Login> {
        self.run(&format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'")).await?;
        self.run(&format!("CREATE DATABASE {name}")).await?;
        Ok(Login { database: name.to_owned(), user: name.to_owned(), password: password.to_owned() })
    }

    /// From now on these lines of `pg_hba.conf` decide who may come over TCP.
    pub async fn admit(&self, lines: &[&str]) -> Result<()> {
        self.running.folder.write("data/pg_hba.conf", &admitted(lines))?;
        self.reload("").await
    }

    /// From now on the server shows this certificate, or offers no TLS.
    pub async fn present(&self, identity: Option<&Identity>) -> Result<()> {
        if let Some(identity) = identity {
            self.running.folder.write("data/server.crt", &identity.certificate)?;
            self.running.folder.write("data/server.key", &identity.key)?;
        }
        let ssl = if identity.is_some() { "on" } else { "off" };
        self.reload(&format!("ALTER SYSTEM SET ssl = {ssl}")).await?;
        let row = self.admin().await?.query_one("SHOW ssl", &[]).await?;
        ensure!(row.get::<_, &str>(0) == ssl, "the server does not take the certificate");
        Ok(())
    }

    /// New sessions inherit what the server has read, so the first of them that knows of the reload ends the wait.
    async fn reload(&self, change: &str) -> Result<()> {
        let before = self.loaded().await?;
        self.run(change).await?;
        self.run("SELECT pg_reload_conf()").await?;
        let reloaded = async {
            while self.loaded().await? == before {
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        tokio::time::timeout(START_DEADLINE, reloaded).await.context("the server reads no new settings")?
    }

    async fn loaded(&self) -> Result<String> {
        Ok(self.admin().await?.query_one("SELECT pg_conf_load_time()::text", &[]).await?.get(0))
    }
}

fn admitted(lines: &[&str]) -> String {
    format!("local all all trust\n{}\n", lines.join("\n"))
}

async fn admin_in(folder: &str, port: u16) -> Result<Client> {
    let mut config = Config::new();
    config.host_path(folder).port(port);
    connect(config, "postgres").await
}
