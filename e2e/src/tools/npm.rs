//! Installs DBHub and the Node.js that runs it from the committed lock file, into a cache folder keyed by that file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::cache::{Cache, Key, workspace_root};
use crate::command;
use crate::progress::Progress;

const INSTALL_DEADLINE: Duration = Duration::from_mins(15);
const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// The folder that holds `node_modules`, filled now if it is missing.
pub(super) async fn ensure(cache: &Cache, progress: Progress) -> Result<PathBuf> {
    let source = workspace_root().join("e2e/tools/dbhub");
    let key = Key::default().with_file(&source.join(FILES[0]))?.with_file(&source.join(FILES[1]))?.finish();
    let target = cache.path(&format!("tools/dbhub-{key}"));
    if !target.is_dir() {
        progress.step("install DBHub (npm, once)", install(&source, &target, cache)).await?;
    }
    Ok(target)
}

async fn install(source: &Path, target: &Path, cache: &Cache) -> Result<()> {
    let unfinished = tempfile::tempdir_in(cache.folder("tools")?).context("cannot make a temporary folder")?;
    for file in FILES {
        tokio::fs::copy(source.join(file), unfinished.path().join(file)).await.context("cannot copy the lock file")?;
    }
    let mut npm = Command::new("npm");
    // No install script is needed: Node.js comes inside its package, and DBHub's native drivers are optional.
    npm.current_dir(unfinished.path()).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]);
    command::run(&mut npm, &cache.log("npm-dbhub")?, INSTALL_DEADLINE).await?;
    tokio::fs::rename(unfinished.keep(), target).await.context("cannot move the packages into place")
}
