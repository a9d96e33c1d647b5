//! Installs missing Debian packages without starting a service, or says what to install where that is not possible.
//! What is missing is told by the programs, not by package names: a machine may have them from elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::{maven, mysql8};
use crate::cache::Cache;
use crate::command;
use crate::progress::Progress;

const APT_DEADLINE: Duration = Duration::from_mins(30);
const POLICY: &str = "/usr/sbin/policy-rc.d";
const CLUSTER_SETTINGS: &str = "/etc/postgresql-common/createcluster.conf";

/// The account that MariaDB and MySQL run as: Debian's `mariadb-server` makes it, `mariadb-server-core` does not.
const MARIADB_ACCOUNT: &str = "mysql";

/// A program (by name, or by full path where it is in no search path) and the packages that bring it.
const NEEDED: &[(&str, &[&str])] = &[
    ("containerd", &["containerd"]),
    ("runc", &["runc"]),
    ("/usr/lib/cni/bridge", &["containernetworking-plugins"]),
    ("nft", &["nftables"]),
    ("iptables", &["iptables"]),
    ("conntrack", &["conntrack"]),
    ("ip", &["iproute2"]),
    ("mount", &["mount"]),
    ("setpriv", &["util-linux"]),
    ("nsenter", &["util-linux"]),
    ("buildah", &["buildah"]),
    ("mariadbd", &["mariadb-server-core"]),
    ("my_print_defaults", &["mariadb-client-core"]),
    ("/usr/lib/galera/libgalera_smm.so", &["galera-4"]),
    ("rsync", &["rsync"]),
    ("/usr/sbin/haproxy", &["haproxy"]),
    ("/usr/lib/postgresql/15/bin/postgres", &["postgresql-15"]),
    ("npm", &["npm"]),
    ("cc", &["gcc", "libc6-dev"]),
    ("strip", &["binutils"]),
    ("ldd", &["libc-bin"]),
];

/// Installs what is missing. As root on Debian only; elsewhere the error lists the packages.
pub(super) async fn ensure(cache: &Cache, progress: Progress) -> Result<()> {
    let missing = missing_packages(is_present);
    if !missing.is_empty() {
        if !is_root() || !command::is_installed("apt-get") {
            bail!("install these Debian packages (or their counterparts), or run this as root: {}", missing.join(" "));
        }
        let name = format!("install Debian packages: {}", missing.join(" "));
        progress.step(&name, install(&missing, &cache.log("apt")?)).await?;
    }
    ensure_account(&cache.log("apt")?).await
}

/// Whether this process may install packages and make namespaces.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn missing_packages(present: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let from_maven = maven::NEEDED.iter().chain(&mysql8::NEEDED).filter(|_| maven::exists_here());
    let absent = NEEDED.iter().chain(from_maven).filter(|(program, _)| !present(program));
    let mut packages: Vec<&str> = absent.flat_map(|(_, packages)| packages.iter().copied()).collect();
    packages.dedup();
    packages
}

fn is_present(program: &str) -> bool {
    if program.starts_with('/') { Path::new(program).exists() } else { command::is_installed(program) }
}

async fn install(packages: &[&str], log: &Path) -> Result<()> {
    let _no_service_starts = StartPolicy::deny_where_unset()?;
    apt(&["update"], log).await?;
    if packages.contains(&"postgresql-15") && !Path::new(CLUSTER_SETTINGS).exists() {
        // Its settings decide whether the server's package makes and starts a database cluster of its own.
        apt(&["install", "postgresql-common"], log).await?;
        let settings = fs::read_to_string(CLUSTER_SETTINGS).unwrap_or_default();
        fs::write(CLUSTER_SETTINGS, format!("{settings}\ncreate_main_cluster = false\n"))
            .with_context(|| format!("cannot write {CLUSTER_SETTINGS}"))?;
    }
    apt(&[&["install"], packages].concat(), log).await
}

async fn apt(arguments: &[&str], log: &Path) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y", "-o", "DPkg::Lock::Timeout=300"]);
    apt.args(["--no-install-recommends"]).args(arguments);
    command::run(&mut apt, log, APT_DEADLINE).await
}

async fn ensure_account(log: &Path) -> Result<()> {
    let accounts = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    if accounts.lines().any(|line| line.starts_with(&format!("{MARIADB_ACCOUNT}:"))) {
        return Ok(());
    }
    if !is_root() {
        bail!("the system account `{MARIADB_ACCOUNT}` is missing: install mariadb-server, or run this as root");
    }
    let mut useradd = Command::new("useradd");
    useradd.args(["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]);
    useradd.args(["--shell", "/usr/sbin/nologin", MARIADB_ACCOUNT]);
    command::run(&mut useradd, log, Duration::from_mins(1)).await
}

/// While it lives, packages cannot start services, by Debian's own means. An existing policy is left alone.
struct StartPolicy {
    ours: bool,
}

impl StartPolicy {
    fn deny_where_unset() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for StartPolicy {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("cannot remove {POLICY}, please remove it: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missing_where_everything_is_present() {
        assert!(missing_packages(|_| true).is_empty());
    }

    #[test]
    fn a_package_is_named_once() {
        let missing = missing_packages(|program| program != "setpriv" && program != "nsenter");
        assert_eq!(missing, ["util-linux"]);
    }

    #[test]
    fn no_package_that_starts_a_database_is_asked_for() {
        let missing = missing_packages(|_| false);
        assert!(!missing.contains(&"mariadb-server") && !missing.contains(&"postgresql"));
    }
}
