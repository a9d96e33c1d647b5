//! MariaDB: its configuration, its start, and the accounts it has from the start.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use mysql_async::{Conn, OptsBuilder};
use secrecy::{ExposeSecret, SecretString};

use super::{Daemon, Passwords, as_account, run_once};
use crate::cluster::layout::Layout;
use crate::cluster::pki;

/// The system account that the server runs as.
pub const ACCOUNT: &str = "mysql";

/// What the concierge's administrator may do: make databases and users, and hand out what it holds itself. Not SUPER,
/// FILE, PROCESS, RELOAD or SHUTDOWN. `GRANT ALL PRIVILEGES ON db.*` needs every privilege of a database in hand.
pub const CONCIERGE_GRANT: &str = "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, \
CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER, \
DELETE HISTORY, CREATE USER, SHOW DATABASES ON *.* TO 'concierge_admin'@'%' WITH GRANT OPTION";

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const DEFAULTS: &str = "--defaults-file=/run/servers/mariadb/my.cnf";

pub(super) fn write_config(layout: &Layout, folder: &Path, passwords: &Passwords) -> Result<()> {
    pki::write(&folder.join("my.cnf"), &layout.render(include_str!("../../files/servers/my.cnf"), &[]))?;
    let values = [
        ("HARNESS_PASSWORD", passwords.harness.expose_secret()),
        ("CONCIERGE_PASSWORD", passwords.concierge.expose_secret()),
        ("CONCIERGE_GRANT", CONCIERGE_GRANT),
    ];
    let statements = layout.render(include_str!("../../files/servers/mariadb-init.sql"), &values);
    pki::write(&folder.join("init.sql"), &statements)
}

pub(super) fn daemon(layout: &Layout) -> Result<Daemon> {
    if !layout.path("servers/mariadb/data").exists() {
        let install = ["mariadb-install-db", DEFAULTS, "--auth-root-authentication-method=socket", "--skip-test-db"];
        run_once(layout, "mariadb", &as_account(ACCOUNT, &install))?;
    }
    Ok(Daemon { name: "mariadb", command: as_account(ACCOUNT, &["/usr/sbin/mariadbd", DEFAULTS]) })
}

/// An open connection whose session ends with it.
pub(super) async fn connect(options: OptsBuilder, password: &SecretString) -> Result<Conn> {
    let options = options.pass(Some(password.expose_secret()));
    let connecting = tokio::time::timeout(CONNECT_DEADLINE, Conn::new(options)).await;
    connecting.context("MariaDB does not answer")?.context("cannot connect to MariaDB as administrator")
}
