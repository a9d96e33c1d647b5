//! Three MariaDB servers that are one Galera cluster, behind haproxy as Percona's operator sets it up: one writer, and
//! the others as backups. It stands in for a Percona `XtraDB` Cluster, which nobody distributes for this machine.

use std::path::Path;

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use rustix::process::Signal;
use secrecy::SecretString;

use super::{ADDRESS, Folder, Running};
use crate::command;
use crate::servers::connect;
use crate::servers::mariadb::{ACCOUNT, CONCIERGE_GRANT};
use crate::testing::process::free_port;

/// The nodes of a cluster that survives the loss of one.
pub const NODES: usize = 3;

const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";
const SERVER: &str = "/usr/sbin/mariadbd";
const PROXY: &str = "/usr/sbin/haproxy";
/// What haproxy's check of a MySQL logs in as.
const CHECKER: &str = "checker";

/// A cluster and its proxy, all killed when dropped.
pub struct Galera {
    nodes: Vec<Node>,
    proxy: Running,
    /// The proxy's port on 127.0.0.1.
    pub port: u16,
}

struct Node {
    running: Running,
}

/// The ports of one node.
struct Ports {
    sql: u16,
    group: u16,
    state: u16,
    increments: u16,
}

/// Whether a cluster can be started here; says so where not.
#[must_use]
pub fn is_possible() -> bool {
    let programs = [PROVIDER, PROXY].iter().all(|path| Path::new(path).exists()) && command::is_installed("rsync");
    if !programs {
        println!("skipped: a Galera cluster takes galera-4, haproxy and rsync on this machine");
    }
    programs && super::is_possible()
}

impl Galera {
    /// Starts the nodes one after the other, then the proxy.
    pub async fn start() -> Result<Self> {
        let mut ports = Vec::new();
        for _ in 0..NODES {
            let (sql, group, state, increments) =
                (free_port().await?, free_port().await?, free_port().await?, free_port().await?);
            ports.push(Ports { sql, group, state, increments });
        }
        let members: Vec<_> = ports.iter().map(|ports| format!("{ADDRESS}:{}", ports.group)).collect();
        let mut nodes: Vec<Node> = Vec::new();
        for own in &ports {
            let node = Node::start(own, &members.join(","), nodes.is_empty()).await?;
            if nodes.is_empty() {
                node.run(&[&format!("CREATE USER '{CHECKER}'@'%'")]).await?;
            }
            nodes.push(node);
        }
        let port = free_port().await?;
        let proxy = start_proxy(port, &ports)?;
        let mut cluster = Self { nodes, proxy, port };
        cluster.proxy.wait(async || session(port, CHECKER, "", "").await.is_ok()).await?;
        Ok(cluster)
    }

    /// Makes the concierge's administrator.
    pub async fn concierge(&self, password: &str) -> Result<()> {
        let user = format!("CREATE USER 'concierge_admin'@'%' IDENTIFIED BY '{password}'");
        self.run(0, &[&user, CONCIERGE_GRANT]).await
    }

    /// Kills a node as a crash does. Node 0 is the first writer.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        self.nodes[node].running.kill()
    }

    /// A connection to one node as administrator, past the proxy.
    pub async fn admin(&self, node: usize) -> Result<Conn> {
        admin_on(&self.nodes[node].running.folder).await
    }

    /// Runs statements on one node as administrator.
    pub async fn run(&self, node: usize, statements: &[&str]) -> Result<()> {
        self.nodes[node].run(statements).await
    }

    /// A connection through the proxy.
    pub async fn session(&self, user: &str, password: &str, database: &str) -> Result<Conn> {
        session(self.port, user, password, database).await
    }
}

impl Node {
    async fn start(own: &Ports, members: &str, first: bool) -> Result<Self> {
        let folder = Folder::new(ACCOUNT)?;
        folder.write("my.cnf", &settings(&folder, own, members))?;
        let defaults = format!("--defaults-file={}", folder.text("my.cnf"));
        if first {
            // The others get everything from the first.
            let install = ["mariadb-install-db", &defaults, "--auth-root-authentication-method=normal"];
            folder.run(&[&install[..], &["--skip-test-db"]].concat()).await?;
        } else {
            folder.run(&["mkdir", &folder.text("data")]).await?;
        }
        let bootstrap: &[&str] = if first { &["--wsrep-new-cluster"] } else { &[] };
        let mut running = folder.start(&[&[SERVER, &defaults], bootstrap].concat(), Signal::KILL)?;
        let socket = running.folder.text("socket");
        running.wait(async || is_synced(&socket).await.unwrap_or(false)).await?;
        Ok(Self { running })
    }

    async fn run(&self, statements: &[&str]) -> Result<()> {
        let mut admin = admin_on(&self.running.folder).await?;
        for statement in statements {
            admin.query_drop(*statement).await.with_context(|| format!("`{statement}` failed"))?;
        }
        admin.disconnect().await.context("cannot close the connection")
    }
}

/// What Galera needs, and failures noticed within seconds.
fn settings(folder: &Folder, own: &Ports, members: &str) -> String {
    let Ports { sql, group, state, increments } = own;
    let path = |name: &str| folder.text(name);
    format!(
        "[mysqld]\n\
         datadir={data}\nsocket={socket}\npid-file={pid}\nlog-error={log}\ntmpdir={tmpdir}\n\
         port={sql}\nbind-address={ADDRESS}\nskip-name-resolve\n\
         binlog_format=ROW\ndefault_storage_engine=InnoDB\ninnodb_autoinc_lock_mode=2\n\
         innodb_flush_log_at_trx_commit=0\ninnodb_log_file_size=8M\ninnodb_buffer_pool_size=32M\n\
         performance_schema=OFF\n\
         wsrep_on=ON\nwsrep_provider={PROVIDER}\nwsrep_cluster_name=cluster1\nwsrep_cluster_address=gcomm://{members}\n\
         wsrep_node_address={ADDRESS}:{group}\nwsrep_node_incoming_address={ADDRESS}:{sql}\n\
         wsrep_sst_method=rsync\nwsrep_sst_receive_address={ADDRESS}:{state}\n\
         wsrep_provider_options=\"base_port={group};gmcast.listen_addr=tcp://{ADDRESS}:{group};\
         ist.recv_addr={ADDRESS}:{increments};gcache.size=32M;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;\
         evs.keepalive_period=PT0.5S;evs.inactive_check_period=PT0.25S\"\n",
        data = path("data"),
        socket = path("socket"),
        pid = path("pid"),
        log = path("log"),
        tmpdir = path(""),
    )
}

/// As Percona's: every session ends with its server, and the backups stand by.
fn start_proxy(port: u16, nodes: &[Ports]) -> Result<Running> {
    let servers: String = nodes.iter().enumerate().fold(String::new(), |text, (number, node)| {
        let backup = if number == 0 { "" } else { " backup" };
        text + &format!("  server node-{number} {ADDRESS}:{} check{backup}\n", node.sql)
    });
    let settings = format!(
        "global\n  maxconn 500\n\
         defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 1h\n  timeout server 1h\n\
         listen cluster1-haproxy\n  bind {ADDRESS}:{port}\n  option mysql-check user {CHECKER}\n  \
         default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions\n{servers}"
    );
    let folder = Folder::new(ACCOUNT)?;
    folder.write("haproxy.cfg", &settings)?;
    let file = folder.text("haproxy.cfg");
    folder.start(&[PROXY, "-db", "-f", &file], Signal::KILL)
}

async fn is_synced(socket: &str) -> Result<bool> {
    let mut admin = admin_at(socket).await?;
    let state = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
                 WHERE VARIABLE_NAME = 'wsrep_local_state_comment'";
    Ok(admin.query_first::<String, _>(state).await?.as_deref() == Some("Synced"))
}

async fn admin_on(folder: &Folder) -> Result<Conn> {
    admin_at(&folder.text("socket")).await
}

/// Root has no password, and comes over the socket alone, whose folder is closed to others.
async fn admin_at(socket: &str) -> Result<Conn> {
    let options = OptsBuilder::default().socket(Some(socket)).user(Some("root"));
    connect("MariaDB", options, &SecretString::from("")).await
}

async fn session(port: u16, user: &str, password: &str, database: &str) -> Result<Conn> {
    let options = OptsBuilder::default().ip_or_hostname(ADDRESS).tcp_port(port).prefer_socket(false).user(Some(user));
    let database = Some(database).filter(|name| !name.is_empty());
    connect("the Galera cluster", options.db_name(database), &SecretString::from(password)).await
}
