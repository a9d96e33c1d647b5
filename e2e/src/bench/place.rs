//! Where everything is measured: a namespace of its own, administrators of cluster and servers, and names that no
//! other run uses. It is a place inside the node: the API server is reached directly, names resolve as in a pod.

use anyhow::{Context, Result};
use kube::api::{Api, DeleteParams, PostParams};
use mysql_async::prelude::Queryable;
use rand::distr::{Alphanumeric, SampleString};
use serde_json::Value;

use crate::cache::Cache;
use crate::cluster::Cluster;
use crate::cluster::layout::Layout;
use crate::testing::bed::Kind;
use crate::testing::{Harness, Target, TestNamespace};

/// What every part of the bench works with.
pub(super) struct Place {
    pub(super) harness: Harness,
    namespace: TestNamespace,
    /// Begins every name on the servers; letters and digits alone, so that nothing in SQL escapes it.
    tag: String,
}

impl Place {
    /// Connects from inside the node of the cluster with this layout.
    pub(super) async fn enter(layout: &Layout) -> Result<Self> {
        let cluster = Cluster::new(&Cache::of_user()?, Some(layout.state().to_path_buf()))?;
        let outside = Target::cluster(&cluster, &cluster.tools()?);
        let target = Target { kubeconfig: Some(layout.path("admin.kubeconfig")), ..outside };
        let harness = Harness::connect_to(&target, Some(cluster)).await?;
        let namespace = harness.namespace("bench").await?;
        let tag = format!("b{}", Alphanumeric.sample_string(&mut rand::rng(), 6).to_lowercase());
        Ok(Self { harness, namespace, tag })
    }

    /// The namespace's name.
    pub(super) fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// A name for an object, database or login. None is the beginning of another.
    pub(super) fn name(&self, purpose: &str, number: u32) -> String {
        format!("{}{purpose}{number:04}", self.tag)
    }

    /// The namespace's objects of one kind.
    pub(super) fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.harness.client.clone(), self.namespace())
    }

    /// Creates an object from its manifest.
    pub(super) async fn create<K: Kind>(&self, manifest: Value) -> Result<K> {
        let object: K = serde_json::from_value(manifest).context("the manifest is wrong")?;
        let created = self.api().create(&PostParams::default(), &object).await;
        created.with_context(|| format!("cannot create a {}", K::kind(&())))
    }

    /// Asks for the deletion of an object.
    pub(super) async fn delete<K: Kind>(&self, name: &str) -> Result<()> {
        let deleted = self.api::<K>().delete(name, &DeleteParams::background()).await;
        deleted.map(drop).with_context(|| format!("cannot delete {name}"))
    }

    /// Drops this run's databases and users on MariaDB.
    pub(super) async fn clear_mariadb(&self) -> Result<()> {
        let mut admin = self.harness.servers().mariadb_admin().await?;
        let ours = format!("LIKE '{}%'", self.tag);
        let databases = format!("SELECT schema_name FROM information_schema.schemata WHERE schema_name {ours}");
        for name in admin.query::<String, _>(databases).await? {
            admin.query_drop(format!("DROP DATABASE `{name}`")).await?;
        }
        for name in admin.query::<String, _>(format!("SELECT user FROM mysql.user WHERE user {ours}")).await? {
            admin.query_drop(format!("DROP USER '{name}'@'%'")).await?;
        }
        admin.disconnect().await.context("cannot close the connection")
    }

    /// Removes the concierge's notes about this run's databases and users.
    pub(super) async fn clear_ownership(&self) -> Result<()> {
        let mut admin = self.harness.servers().mariadb_admin().await?;
        admin.query_drop(format!("DELETE FROM db_concierge.ownership WHERE name LIKE '{}%'", self.tag)).await?;
        admin.disconnect().await.context("cannot close the connection")
    }
}
