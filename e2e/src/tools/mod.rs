//! Installs what the harness needs and the machine lacks: Debian packages, Go programs built from pinned modules, the
//! npm packages of DBHub, a MySQL 8 and a PostgreSQL 18. A second run finds everything and does nothing.

mod debian;
mod go;
mod maven;
mod mysql8;
mod npm;
mod postgres18;

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::progress::Progress;

pub(crate) use debian::is_root;
pub use go::GoModule;

/// The programs and folders that [`ensure`] made sure of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tools {
    /// Folder with kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy and kubectl.
    pub kubernetes: PathBuf,
    /// The etcd program.
    pub etcd: PathBuf,
    /// The coredns program.
    pub coredns: PathBuf,
    /// The helm program.
    pub helm: PathBuf,
    /// Folder with `bin/mysqld` of MySQL 8; `None` where there is none for this machine's processor.
    pub mysql8: Option<PathBuf>,
    /// Folder with `bin/postgres` of PostgreSQL 18; `None` where there is none for this machine's processor.
    pub postgres18: Option<PathBuf>,
}

impl Tools {
    /// A program of the Kubernetes module.
    #[must_use]
    pub fn kubernetes(&self, program: &str) -> PathBuf {
        self.kubernetes.join(program)
    }

    /// The kubectl program.
    #[must_use]
    pub fn kubectl(&self) -> PathBuf {
        self.kubernetes("kubectl")
    }
}

/// Makes sure of the Debian packages that the throw-away cluster and the image builds need.
pub async fn ensure_packages(cache: &Cache, progress: Progress) -> Result<()> {
    debian::ensure(cache, progress).await
}

/// Makes sure of the Go programs and of the servers that Debian does not have, building and fetching what is missing.
pub async fn ensure(cache: &Cache, progress: Progress) -> Result<Tools> {
    Ok(Tools {
        kubernetes: go::ensure(GoModule::Kubernetes, cache, progress).await?,
        etcd: go::ensure(GoModule::Etcd, cache, progress).await?.join("etcd"),
        coredns: go::ensure(GoModule::CoreDns, cache, progress).await?.join("coredns"),
        helm: go::ensure(GoModule::Helm, cache, progress).await?.join("helm"),
        mysql8: mysql8::ensure(cache, progress).await?,
        postgres18: postgres18::ensure(cache, progress).await?,
    })
}

/// Makes sure of one Go module's programs and gives their folder.
pub async fn ensure_module(module: GoModule, cache: &Cache, progress: Progress) -> Result<PathBuf> {
    go::ensure(module, cache, progress).await
}

/// Makes sure of DBHub and its Node.js and gives the folder that holds `node_modules`.
pub async fn ensure_dbhub(cache: &Cache, progress: Progress) -> Result<PathBuf> {
    npm::ensure(cache, progress).await
}
