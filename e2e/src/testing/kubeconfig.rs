//! Kubeconfig files for programs that are not kubectl: the cluster under test, and the person they act as.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::Cli;

/// A file that leads to the cluster of `kubectl` alone, and acts as `person`, or as the administrator.
pub(super) async fn write(kubectl: &Cli, person: Option<&str>) -> Result<NamedTempFile> {
    let view = kubectl.run(&["config", "view", "--minify", "--flatten", "--raw", "--output=json"]).await?;
    let mut config: Value = serde_json::from_str(&view).context("kubectl shows no JSON")?;
    if let Some(person) = person {
        config["users"][0]["user"]["as"] = json!(person);
    }
    let file = NamedTempFile::new().context("cannot make a temporary file")?;
    std::fs::write(file.path(), config.to_string())?;
    Ok(file)
}
