//! A MariaDB of a test's own.

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use rustix::process::Signal;
use secrecy::SecretString;

use super::{ADDRESS, Folder, Running};
use crate::cluster::pki::Identity;
use crate::servers::connect;
use crate::servers::mariadb::{ACCOUNT, CONCIERGE_GRANT};
use crate::testing::bed::Login;
use crate::testing::process::free_port;

/// For an account that comes over the socket alone, whose folder is closed to others.
const ADMIN_PASSWORD: &str = "of-no-use-elsewhere";

/// A server with an administrator on its socket, killed when dropped.
pub struct MariaDb {
    running: Running,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl MariaDb {
    /// A server that offers TLS with this certificate, or none.
    pub async fn start(identity: Option<&Identity>) -> Result<Self> {
        let (folder, port) = (Folder::new(ACCOUNT)?, free_port().await?);
        let data = format!("--datadir={}", folder.text("data"));
        // A server that starts removes what others keep in the same folder for temporary tables.
        let temporary = format!("--tmpdir={}", folder.folder.path().display());
        let install = ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=socket"];
        folder
            .run(&[&install[..], &["--skip-test-db", "--innodb-log-file-size=4M", &data, &temporary]].concat())
            .await?;
        let admin = format!(
            "CREATE USER harness@localhost IDENTIFIED BY '{ADMIN_PASSWORD}';\n\
             GRANT ALL PRIVILEGES ON *.* TO harness@localhost WITH GRANT OPTION;\n"
        );
        folder.write("init.sql", &admin)?;
        let mut options = vec![
            data,
            temporary,
            format!("--socket={}", folder.text("socket")),
            format!("--pid-file={}", folder.text("pid")),
            format!("--init-file={}", folder.text("init.sql")),
            format!("--bind-address={ADDRESS}"),
            format!("--port={port}"),
            "--skip-name-resolve".to_owned(),
            "--innodb-flush-method=nosync".to_owned(),
            "--innodb-log-file-size=4M".to_owned(),
        ];
        if let Some(identity) = identity {
            show(&folder, identity)?;
            options.push(format!("--ssl-cert={}", folder.text("server.crt")));
            options.push(format!("--ssl-key={}", folder.text("server.key")));
        }
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let mut running =
            folder.start(&[&["/usr/sbin/mariadbd", "--no-defaults"], &options[..]].concat(), Signal::KILL)?;
        let socket = running.folder.text("socket");
        running.wait(async || admin_on(&socket).await.is_ok()).await?;
        Ok(Self { running, port })
    }

    /// A connection that may do everything.
    pub async fn admin(&self) -> Result<Conn> {
        admin_on(&self.running.folder.text("socket")).await
    }

    /// A connection as somebody else, over TCP.
    pub async fn session(&self, user: &str, password: &str, database: &str) -> Result<Conn> {
        let options = OptsBuilder::default().ip_or_hostname(ADDRESS).tcp_port(self.port).prefer_socket(false);
        connect("MariaDB", options.user(Some(user)).db_name(Some(database)), &SecretString::from(password)).await
    }

    /// Runs statements as administrator.
    pub async fn run(&self, statements: &[&str]) -> Result<()> {
        let mut admin = self.admin().await?;
        for statement in statements {
            admin.query_drop(*statement).await.with_context(|| format!("`{statement}` failed"))?;
        }
        admin.disconnect().await.context("cannot close the connection")
    }

    /// Makes the concierge's administrator.
    pub async fn concierge(&self, password: &str) -> Result<()> {
        let user = format!("CREATE USER 'concierge_admin'@'%' IDENTIFIED BY '{password}'");
        self.run(&[&user, CONCIERGE_GRANT]).await
    }

    /// A login that may read a database of its own name.
    pub async fn login(&self, name: &str, password: &str) -> Result<Login> {
        self.run(&[
            &format!("CREATE DATABASE {name}"),
            &format!("CREATE USER {name} IDENTIFIED BY '{password}'"),
            &format!("GRANT SELECT ON {name}.* TO {name}"),
        ])
        .await?;
        Ok(Login { database: name.to_owned(), user: name.to_owned(), password: password.to_owned() })
    }

    /// From now on the server shows this certificate instead of the one that it was started with.
    pub async fn present(&self, identity: &Identity) -> Result<()> {
        show(&self.running.folder, identity)?;
        self.run(&["FLUSH SSL"]).await
    }
}

fn show(folder: &Folder, identity: &Identity) -> Result<()> {
    folder.write("server.crt", &identity.certificate)?;
    folder.write("server.key", &identity.key)
}

async fn admin_on(socket: &str) -> Result<Conn> {
    let options = OptsBuilder::default().socket(Some(socket)).user(Some("harness"));
    connect("MariaDB", options, &SecretString::from(ADMIN_PASSWORD)).await
}
