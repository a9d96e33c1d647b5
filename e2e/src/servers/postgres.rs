//! PostgreSQL: its configuration and its start. Its superuser comes over the socket, whose folder is closed to others.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio_postgres::{Client, Config, NoTls};

use super::{Daemon, Files, as_account, run_once};
use crate::cluster::layout::Layout;

/// The system account that the server runs as, and its superuser's name.
pub const ACCOUNT: &str = "postgres";

/// The concierge's administrator: no superuser, but it may make databases and roles. Its password follows.
const CONCIERGE_ROLE: &str = "concierge_admin LOGIN CREATEDB CREATEROLE PASSWORD";

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The folder of the programs.
pub(crate) const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const FOLDER: &str = "/run/servers/postgres";

pub(super) fn files(layout: &Layout) -> Files {
    let settings = layout.render(include_str!("../../files/servers/postgresql.conf"), &[]);
    let admitted = layout.render(include_str!("../../files/servers/pg_hba.conf"), &[]);
    vec![("postgresql.conf", settings), ("pg_hba.conf", admitted)]
}

pub(super) fn daemon(layout: &Layout) -> Result<Daemon> {
    let data = format!("{FOLDER}/data");
    if !layout.path("servers/postgres/data").exists() {
        let initdb = format!("{PROGRAMS}/initdb");
        let arguments = [&initdb, "-D", &data, "-U", ACCOUNT, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"];
        run_once(layout, "postgres", &as_account(ACCOUNT, &arguments))?;
    }
    let program = format!("{PROGRAMS}/postgres");
    let settings = format!("config_file={FOLDER}/postgresql.conf");
    Ok(Daemon { name: "postgres", command: as_account(ACCOUNT, &[&program, "-D", &data, "-c", &settings]) })
}

/// Connects as superuser and leaves a task behind that carries the connection's traffic and ends with the client.
pub(crate) async fn connect(mut config: Config, database: &str) -> Result<Client> {
    config.user(ACCOUNT).dbname(database);
    let connecting = tokio::time::timeout(CONNECT_DEADLINE, config.connect(NoTls)).await;
    let connected = connecting.context("PostgreSQL does not answer")?;
    let (client, connection) = connected.context("cannot connect to PostgreSQL as superuser")?;
    tokio::spawn(connection);
    Ok(client)
}

/// Makes the concierge's administrator, or gives it this password.
pub(crate) async fn ensure_concierge(superuser: &Client, password: &str) -> Result<()> {
    let known = superuser.query_opt("SELECT 1 FROM pg_roles WHERE rolname = 'concierge_admin'", &[]).await?;
    let verb = if known.is_some() { "ALTER" } else { "CREATE" };
    let made = superuser.batch_execute(&format!("{verb} ROLE {CONCIERGE_ROLE} '{password}'")).await;
    made.context("cannot make the concierge's role on PostgreSQL")
}
