//! Calls buildah with a storage of its own that is gone afterwards: what a build needs it is given, what it makes is
//! one archive file.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::command;

const DEADLINE: Duration = Duration::from_mins(10);

/// Builds `folder/Dockerfile` with `folder` as context and writes the image with `tags` to `archive`. A file
/// `folder/arguments` may hold build arguments, one `NAME=value` a line.
pub(super) async fn build(folder: &Path, tags: &[&str], archive: &Path, log: &Path) -> Result<()> {
    let (first, more) = tags.split_first().context("an image without a tag")?;
    let storage = tempfile::tempdir_in(folder).context("cannot make a temporary folder")?;
    let mut bud = buildah(storage.path());
    bud.args(["bud", "--isolation", "chroot", "--timestamp", "0", "--pull-never", "--tag", first]);
    for argument in fs::read_to_string(folder.join("arguments")).unwrap_or_default().lines() {
        bud.args(["--build-arg", argument]);
    }
    bud.arg("--file").arg(folder.join("Dockerfile")).arg(folder);
    command::run(&mut bud, log, DEADLINE).await?;
    let mut push = buildah(storage.path());
    push.args(["push", first]).arg(format!("docker-archive:{}:{first}", archive.display()));
    command::run(&mut push, log, DEADLINE).await?;
    if more.is_empty() { Ok(()) } else { add_tags(folder, archive, more, log).await }
}

fn buildah(storage: &Path) -> Command {
    let mut buildah = Command::new("buildah");
    buildah.args(["--storage-driver", "vfs", "--root"]).arg(storage.join("store"));
    buildah.arg("--runroot").arg(storage.join("run"));
    buildah
}

/// buildah writes one tag into an archive; for more, the archive is packed again with another manifest.
async fn add_tags(folder: &Path, archive: &Path, tags: &[&str], log: &Path) -> Result<()> {
    let content = folder.join("archive");
    fs::create_dir_all(&content)?;
    let mut extract = tar(archive, &content);
    command::run(extract.arg("--extract"), log, DEADLINE).await?;
    let manifest = content.join("manifest.json");
    fs::write(&manifest, with_tags(&fs::read(&manifest)?, tags)?).context("cannot write the manifest")?;
    let mut create = tar(archive, &content);
    create.args(["--create", "--sort=name", "--owner=0", "--group=0", "--mtime=@0"]);
    create.args(names(&content)?);
    command::run(&mut create, log, DEADLINE).await
}

/// Readers look for `manifest.json`, not for `./manifest.json`.
fn names(folder: &Path) -> Result<Vec<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

fn tar(archive: &Path, folder: &Path) -> Command {
    let mut tar = Command::new("tar");
    tar.arg("--file").arg(archive).arg("--directory").arg(folder);
    tar
}

fn with_tags(manifest: &[u8], tags: &[&str]) -> Result<Vec<u8>> {
    let mut manifest: Value = serde_json::from_slice(manifest).context("an archive with a damaged manifest")?;
    let known = manifest.pointer_mut("/0/RepoTags").and_then(Value::as_array_mut);
    known.context("an archive without tags")?.extend(tags.iter().map(|tag| json!(tag)));
    Ok(serde_json::to_vec(&manifest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_added_to_those_there() {
        let manifest = with_tags(br#"[{"Config":"c","RepoTags":["a:1"],"Layers":[]}]"#, &["a:2"]).unwrap();
        let value: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(value[0]["RepoTags"], json!(["a:1", "a:2"]));
        assert_eq!(value[0]["Config"], "c");
    }
}
