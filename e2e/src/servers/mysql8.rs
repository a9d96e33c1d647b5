//! MySQL 8: its configuration, its start, and the administrator it has from the start. Oracle's own server, since
//! MariaDB differs in how logins are proved, in roles and in rights.

use secrecy::ExposeSecret;

use super::{Daemon, Files, Passwords, as_account};
use crate::cluster::layout::Layout;

/// The system account that the server runs as, which is also MariaDB's.
pub const ACCOUNT: &str = "mysql";
/// Its port: it shares the servers' address with MariaDB, which has 3306.
pub const PORT: u16 = 3307;
/// Its folder, below the state folder outside the tree and below `/run` inside it.
pub const FOLDER: &str = "servers/mysql8";
/// Where its programs are inside the tree.
pub const PROGRAMS: &str = "/run/servers/mysql8-programs";

/// Initialising takes seconds, in which the tree's init has other things to start. For the library see its source.
const START: &str = r#"cd /run/servers/mysql8 && [ -d data/mysql ] || "$0" "$1" --initialize-insecure &&
LD_PRELOAD=/run/servers/mysql8-programs/lib/ecdhe.so exec "$0" "$1""#;

pub(super) fn files(layout: &Layout, passwords: &Passwords) -> Files {
    let settings = layout.render(include_str!("../../files/servers/mysql8.cnf"), &[("PORT", &PORT.to_string())]);
    let password = [("HARNESS_PASSWORD", passwords.harness.expose_secret())];
    let statements = layout.render(include_str!("../../files/servers/mysql8-init.sql"), &password);
    vec![("my.cnf", settings), ("init.sql", statements)]
}

pub(super) fn daemon() -> Daemon {
    let program = format!("{PROGRAMS}/bin/mysqld");
    let arguments = ["sh", "-c", START, &program, "--defaults-file=/run/servers/mysql8/my.cnf"];
    Daemon { name: "mysql8", command: as_account(ACCOUNT, &arguments) }
}
