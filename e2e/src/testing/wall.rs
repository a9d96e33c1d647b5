//! A fault in the node's network: connections to DBHub's port at one address are refused.

use std::time::Duration;

use anyhow::{Context, Result};

use super::bed::Area;
use crate::cluster::Cluster;
use crate::command;

const DEADLINE: Duration = Duration::from_secs(20);

/// Whose connections a wall stops.
#[derive(Clone, Copy, Debug)]
pub enum From {
    /// Pods, on their way to an address of a Service.
    Pods,
    /// The node itself, which the kubelet's probes come from.
    Node,
}

impl From {
    fn chain(self) -> &'static str {
        match self {
            Self::Pods => "type filter hook prerouting priority raw",
            Self::Node => "type filter hook output priority raw",
        }
    }
}

/// Refuses connections until it is torn down; it goes with the cluster otherwise.
pub struct Wall<'a> {
    cluster: &'a Cluster,
    table: String,
}

impl<'a> Wall<'a> {
    /// Builds one between these and port 8080 of an address; `name` tells apart those of one test. It takes a cluster of
    /// the harness's own.
    pub async fn build(area: &'a Area, name: &str, from: From, address: &str) -> Result<Self> {
        let cluster = area.harness().cluster().context("the cluster is not ours")?;
        let wall = Self { cluster, table: format!("{}_{name}", area.name().replace('-', "_")) };
        let (table, chain) = (&wall.table, from.chain());
        wall.nft(&format!(
            "table ip {table} {{ chain c {{ {chain}; ip daddr {address} tcp dport 8080 reject with tcp reset; }}; }}"
        ))
        .await?;
        Ok(wall)
    }

    /// Lets connections through again.
    pub async fn tear_down(self) -> Result<()> {
        self.nft(&format!("delete table ip {}", self.table)).await
    }

    async fn nft(&self, rules: &str) -> Result<()> {
        command::output(self.cluster.command("nft")?.arg(rules), DEADLINE).await.map(drop)
    }
}
