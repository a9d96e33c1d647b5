//! MariaDB: its configuration, its start, and the accounts it has from the start.

use anyhow::Result;
use secrecy::ExposeSecret;

use super::{Daemon, Files, Passwords, as_account, run_once};
use crate::cluster::layout::Layout;

/// The system account that the server runs as.
pub const ACCOUNT: &str = "mysql";

/// What the concierge's administrator may do: make databases and users, and hand out what it holds itself. Not SUPER,
/// FILE, PROCESS, RELOAD or SHUTDOWN. `GRANT ALL PRIVILEGES ON db.*` needs every privilege of a database in hand.
pub const CONCIERGE_GRANT: &str = "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, \
CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER, \
DELETE HISTORY, CREATE USER, SHOW DATABASES ON *.* TO 'concierge_admin'@'%' WITH GRANT OPTION";

const DEFAULTS: &str = "--defaults-file=/run/servers/mariadb/my.cnf";

pub(super) fn files(layout: &Layout, passwords: &Passwords) -> Files {
    let settings = layout.render(include_str!("../../files/servers/my.cnf"), &[]);
    let values = [
        ("HARNESS_PASSWORD", passwords.harness.expose_secret()),
        ("CONCIERGE_PASSWORD", passwords.concierge.expose_secret()),
        ("CONCIERGE_GRANT", CONCIERGE_GRANT),
    ];
    let statements = layout.render(include_str!("../../files/servers/mariadb-init.sql"), &values);
    vec![("my.cnf", settings), ("init.sql", statements)]
}

pub(super) fn daemon(layout: &Layout) -> Result<Daemon> {
    if !layout.path("servers/mariadb/data").exists() {
        let install = ["mariadb-install-db", DEFAULTS, "--auth-root-authentication-method=socket", "--skip-test-db"];
        run_once(layout, "mariadb", &as_account(ACCOUNT, &install))?;
    }
    Ok(Daemon { name: "mariadb", command: as_account(ACCOUNT, &["/usr/sbin/mariadbd", DEFAULTS]) })
}
