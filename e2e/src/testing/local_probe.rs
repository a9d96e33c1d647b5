//! db-probe as a process of this machine against an API server of its own, so that it may dial the loopback: for
//! conditions that the servers of the cluster under test cannot be brought into.

use std::process::ExitStatus;

use anyhow::{Result, ensure};

use super::bare_api::BareApi;
use super::bed::Area;
use super::leaks::assert_absent;
use super::manifests;
use super::process::OperatorProcess;

const NAMESPACE: &str = "default";

/// The operator at work; it and the API server are gone when this is dropped.
pub struct LocalProbe {
    api: BareApi,
    area: Area,
    operator: OperatorProcess,
}

impl LocalProbe {
    /// Starts both. `None` where the programs for an API server are not at hand, which it then says.
    pub async fn start(flags: &[&str]) -> Result<Option<Self>> {
        let Some(api) = BareApi::of_cluster().await? else { return Ok(None) };
        api.define_databases().await?;
        let flags = [&["--lease-namespace=default"], flags].concat();
        let mut operator = OperatorProcess::start("db-probe", &api.kubeconfig(), &flags).await?;
        operator.says("leading").await?;
        let area = api.area(NAMESPACE).await?;
        Ok(Some(Self { api, area, operator }))
    }

    /// The namespace that Databases of a test are in.
    #[must_use]
    pub fn area(&self) -> &Area {
        &self.area
    }

    /// A new namespace.
    pub async fn other_namespace(&self, name: &str) -> Result<Area> {
        self.api.kubectl().apply(None, &manifests::namespace(name).to_string()).await?;
        self.api.area(name).await
    }

    /// What it shows of its work now.
    pub async fn metrics(&self) -> Result<String> {
        Ok(self.operator.get("/metrics").await?.1)
    }

    /// Ends the operator, and fails when one of `words` is in what it said or wrote.
    pub async fn finish(self, words: &[String]) -> Result<ExitStatus> {
        let objects = ["get", "databases,events", "--all-namespaces", "--output=json"];
        let objects = self.api.kubectl().run(&objects).await?;
        let metrics = self.metrics().await?;
        let log = self.operator.log();
        ensure!(
            log.contains("leading") && metrics.contains("# HELP") && objects.contains("observedGeneration"),
            "nothing seen"
        );
        for (place, text) in [("the log", &log), ("the metrics", &metrics), ("a Database or an Event", &objects)] {
            assert_absent(place, text, words)?;
        }
        self.operator.terminate().await
    }
}
