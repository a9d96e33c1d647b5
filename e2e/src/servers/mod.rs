//! PostgreSQL, MariaDB and MySQL 8 beside the pods: processes of the tree with accounts of their own, data that ends with
//! the cluster, TLS on offer. [`write()`] runs before the tree, [`daemons`] inside it, [`Servers`] outside.

pub mod mariadb;
pub mod mysql8;
mod pods;
pub mod postgres;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mysql_async::{Conn, OptsBuilder};
use rand::distr::{Alphanumeric, SampleString};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use self::pods::Pods;
use crate::cluster::layout::Layout;
use crate::cluster::pki::{self, Authority, SERVER_NAMES};
use crate::testing::Cli;
use crate::tools::Tools;

/// The servers' folders, below the state folder outside the tree and below `/run` inside it: the servers' accounts
/// could not reach a state folder in another account's home.
pub const FOLDERS: [&str; 3] = ["servers/mariadb", "servers/postgres", mysql8::FOLDER];

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const PASSWORD_LENGTH: usize = 24;

/// Configuration files of a server: names and contents.
type Files = Vec<(&'static str, String)>;

/// A server as a component of the tree.
pub struct Daemon {
    /// The component's name, and its log's.
    pub name: &'static str,
    /// Program and arguments.
    pub command: Vec<String>,
}

/// Passwords made at the start of a cluster.
pub struct Passwords {
    /// MariaDB's and MySQL's `harness`, who may do everything, over the socket only.
    pub harness: SecretString,
    /// MariaDB's and PostgreSQL's `concierge_admin`.
    pub concierge: SecretString,
}

impl Passwords {
    fn generate() -> Self {
        let password = || SecretString::from(Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH));
        Self { harness: password(), concierge: password() }
    }

    fn read(layout: &Layout) -> Result<Self> {
        let text = fs::read(layout.path("servers/passwords.json")).context("cannot read the servers' passwords")?;
        let values: serde_json::Value = serde_json::from_slice(&text)?;
        let field = |name: &str| values[name].as_str().map(SecretString::from).context("a password is missing");
        Ok(Self { harness: field("harness")?, concierge: field("concierge_admin")? })
    }

    fn write(&self, layout: &Layout) -> Result<()> {
        let text = json!({
            "harness": self.harness.expose_secret(),
            "concierge_admin": self.concierge.expose_secret(),
        });
        pki::write(&layout.path("servers/passwords.json"), &text.to_string())
    }
}

/// Writes certificates, passwords and configuration of the servers. MySQL 8 has a folder only where it has programs.
pub fn write(layout: &Layout, tools: &Tools) -> Result<()> {
    let passwords = Passwords::generate();
    let authority = Authority::new("e2e-servers")?;
    let ca = authority.certificate();
    let mut all = vec![
        ("servers/mariadb", mariadb::ACCOUNT, mariadb::files(layout, &passwords)),
        ("servers/postgres", postgres::ACCOUNT, postgres::files(layout)),
    ];
    if tools.mysql8.is_some() {
        all.push((mysql8::FOLDER, mysql8::ACCOUNT, mysql8::files(layout, &passwords)));
    }
    for (folder, account, files) in all {
        let folder = layout.path(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let identity = authority.issue("e2e-servers", None, &SERVER_NAMES)?;
        let tls = [("ca.crt", ca.clone()), ("server.crt", identity.certificate), ("server.key", identity.key)];
        for (name, content) in tls.into_iter().chain(files) {
            pki::write(&folder.join(name), &content)?;
        }
        hand_over(&folder, account)?;
    }
    pki::write(&layout.path("servers/ca.crt"), &ca)?;
    passwords.write(layout)
}

/// The folders below `/run/servers` inside the tree, and what they show: the servers' own, and MySQL's programs, which
/// its account could not reach in another account's cache.
#[must_use]
pub fn mounts(layout: &Layout, tools: &Tools) -> Vec<(PathBuf, String)> {
    let own = FOLDERS.iter().map(|folder| (layout.path(folder), format!("/run/{folder}")));
    let own = own.filter(|(folder, _)| folder.exists());
    own.chain(tools.mysql8.iter().map(|programs| (programs.clone(), mysql8::PROGRAMS.to_owned()))).collect()
}

/// Inside the tree: fills empty data folders and gives the servers to run.
pub fn daemons(layout: &Layout, tools: &Tools) -> Result<Vec<Daemon>> {
    // MySQL comes first: it fills its data folder by itself while the others fill theirs.
    let mut all: Vec<Daemon> = tools.mysql8.iter().map(|_| mysql8::daemon()).collect();
    all.extend([postgres::daemon(layout)?, mariadb::daemon(layout)?]);
    Ok(all)
}

/// Reaches the servers from outside the cluster, as their administrator.
#[derive(Debug, Clone)]
pub struct Servers(Reach);

#[derive(Debug, Clone)]
enum Reach {
    /// Beside the pods of a throw-away cluster.
    Sockets(Layout),
    /// In pods.
    Pods(Pods),
}

impl Servers {
    /// The servers of the throw-away cluster with this layout.
    #[must_use]
    pub fn beside_pods(layout: Layout) -> Self {
        Self(Reach::Sockets(layout))
    }

    /// The servers on a cluster of the user's own, installed there now if they are missing.
    pub async fn in_pods(kubectl: &Cli) -> Result<Self> {
        Ok(Self(Reach::Pods(Pods::ensure(kubectl).await?)))
    }

    /// The authority that signed the servers' certificates, PEM.
    pub fn ca_pem(&self) -> Result<String> {
        match &self.0 {
            Reach::Sockets(layout) => {
                fs::read_to_string(layout.path("servers/ca.crt")).context("cannot read the servers' CA certificate")
            }
            Reach::Pods(pods) => Ok(pods.value("ca.crt")?.expose_secret().to_owned()),
        }
    }

    /// The password of `concierge_admin` on MariaDB and PostgreSQL, for the admin Secrets of the concierge.
    pub fn concierge_password(&self) -> Result<SecretString> {
        match &self.0 {
            Reach::Sockets(layout) => Ok(Passwords::read(layout)?.concierge),
            Reach::Pods(pods) => pods.value("concierge-password"),
        }
    }

    /// A connection to MariaDB that may do everything.
    pub async fn mariadb_admin(&self) -> Result<Conn> {
        match &self.0 {
            Reach::Sockets(layout) => {
                let options = socket(layout, "servers/mariadb").user(Some("harness"));
                connect("MariaDB", options, &Passwords::read(layout)?.harness).await
            }
            Reach::Pods(pods) => pods.mariadb_admin().await,
        }
    }

    /// A connection to MySQL 8 that may do everything.
    pub async fn mysql8_admin(&self) -> Result<Conn> {
        match &self.0 {
            Reach::Sockets(layout) => self.mysql8_session("harness", &Passwords::read(layout)?.harness).await,
            Reach::Pods(pods) => self.mysql8_session("root", &pods.value("admin-password")?).await,
        }
    }

    /// A connection to MySQL 8 as somebody else, to take a place there.
    pub async fn mysql8_session(&self, user: &str, password: &SecretString) -> Result<Conn> {
        let options = match &self.0 {
            Reach::Sockets(layout) if has_mysql8(layout) => socket(layout, mysql8::FOLDER),
            Reach::Sockets(_) => bail!("there is no MySQL 8 for this machine's processor"),
            Reach::Pods(pods) => pods.mysql8(),
        };
        connect("MySQL 8", options.user(Some(user)), password).await
    }

    /// A connection to one database of PostgreSQL as superuser.
    pub async fn postgres_admin(&self, database: &str) -> Result<tokio_postgres::Client> {
        match &self.0 {
            Reach::Sockets(layout) => {
                let mut config = tokio_postgres::Config::new();
                config.host_path(layout.path("servers/postgres"));
                postgres::connect(config, database).await
            }
            Reach::Pods(pods) => pods.postgres_admin(database).await,
        }
    }

    /// Makes `concierge_admin` on PostgreSQL, which has no accounts from the start.
    pub async fn ensure_postgres_concierge(&self) -> Result<()> {
        let superuser = self.postgres_admin("postgres").await?;
        postgres::ensure_concierge(&superuser, self.concierge_password()?.expose_secret()).await
    }

    /// Whether all servers take connections.
    pub(crate) async fn are_ready(&self) -> bool {
        let without_mysql8 = matches!(&self.0, Reach::Sockets(layout) if !has_mysql8(layout));
        self.postgres_admin("postgres").await.is_ok()
            && self.mariadb_admin().await.is_ok()
            && (without_mysql8 || self.mysql8_admin().await.is_ok())
    }
}

fn has_mysql8(layout: &Layout) -> bool {
    layout.path(mysql8::FOLDER).exists()
}

/// The way to MariaDB or MySQL over the socket in its folder.
fn socket(layout: &Layout, folder: &str) -> OptsBuilder {
    OptsBuilder::default().socket(Some(layout.path(folder).join("server.sock").to_string_lossy()))
}

/// A connection to MariaDB or MySQL, whose session ends with it.
pub(crate) async fn connect(product: &str, options: OptsBuilder, password: &SecretString) -> Result<Conn> {
    let options = options.pass(Some(password.expose_secret()));
    let connecting = tokio::time::timeout(CONNECT_DEADLINE, Conn::new(options)).await;
    let connected = connecting.with_context(|| format!("{product} does not answer"))?;
    connected.with_context(|| format!("cannot log in to {product}"))
}

/// Makes `account` the owner of a folder and the files in it.
pub(crate) fn hand_over(folder: &Path, account: &str) -> Result<()> {
    let accounts = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let (user, group) = ids_of(&accounts, account).with_context(|| format!("there is no account `{account}`"))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    for path in files.iter().map(PathBuf::as_path).chain([folder]) {
        chown(path, Some(user), Some(group)).with_context(|| format!("cannot hand over {}", path.display()))?;
    }
    Ok(())
}

fn ids_of(accounts: &str, account: &str) -> Option<(u32, u32)> {
    let fields: Vec<&str> =
        accounts.lines().map(|line| line.split(':').collect()).find(|f: &Vec<&str>| f[0] == account)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// A command line that runs `program` as `account`.
pub(crate) fn as_account(account: &str, program: &[&str]) -> Vec<String> {
    let user = format!("--reuid={account}");
    let group = format!("--regid={account}");
    // The folder in which the init works may be closed to the account.
    let prefix = ["env", "--chdir=/", "setpriv", &user, &group, "--init-groups", "--reset-env"];
    prefix.iter().chain(program).map(|&word| word.to_owned()).collect()
}

/// Runs a short program of a server to its end; its output goes into the server's log.
fn run_once(layout: &Layout, name: &str, command: &[String]) -> Result<()> {
    let log = crate::command::append_to(&layout.log(name))?;
    let (program, arguments) = command.split_first().context("an empty command")?;
    let status = std::process::Command::new(program)
        .args(arguments)
        .current_dir("/")
        .stdin(std::process::Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    anyhow::ensure!(status.success(), "`{}` ended with {status}; see {name}.log", command.join(" "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts = "mysqlx:x:1:2::/:/bin/sh\nmysql:x:102:105::/:/bin/false\n";
        assert_eq!(ids_of(accounts, "mysql"), Some((102, 105)));
        assert_eq!(ids_of(accounts, "my"), None);
    }

    #[test]
    fn passwords_survive_the_state_folder() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().to_path_buf()).unwrap();
        fs::create_dir(layout.path("servers")).unwrap();
        let made = Passwords::generate();
        made.write(&layout).unwrap();
        let read = Passwords::read(&layout).unwrap();
        assert_eq!(read.concierge.expose_secret(), made.concierge.expose_secret());
        assert_eq!(made.harness.expose_secret().len(), PASSWORD_LENGTH);
    }
}
