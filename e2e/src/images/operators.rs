//! The images of this workspace's own programs, all made by the `Dockerfile` at its root.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::{ImageFile, Recipe};
use crate::cache::{Cache, Key, workspace_root};
use crate::command;
use crate::progress::Progress;

/// The operators: crate, binary and image have one name.
pub const OPERATORS: [&str; 3] = ["db-probe", "dbhub-operator", "concierge-operator"];
/// The image of the pods that tests send requests from.
pub const CLIENT_IMAGE: &str = "localhost/e2e-client:dev";

const CLIENT: &str = "e2e-client";
const COMPILE_DEADLINE: Duration = Duration::from_hours(1);
const SHORT_DEADLINE: Duration = Duration::from_mins(2);

pub(super) async fn ensure(base: &ImageFile, cache: &Cache, progress: Progress) -> Result<Vec<ImageFile>> {
    progress.step("compile the operators", compile(cache)).await?;
    let target = target_folder().await?;
    let mut images = Vec::new();
    for operator in OPERATORS {
        images.push(image(operator, &target.join("release").join(operator), base, cache, progress).await?);
    }
    images.push(image(CLIENT, &target.join("debug").join(CLIENT), base, cache, progress).await?);
    Ok(images)
}

/// The client is compiled as the tests are, so that it shares their dependencies' compilation.
async fn compile(cache: &Cache) -> Result<()> {
    let packages = OPERATORS.iter().flat_map(|operator| ["--package", operator]);
    let release = ["build", "--release", "--package", "bootstrap-mysql-schema"].into_iter().chain(packages);
    cargo(&release.collect::<Vec<_>>(), cache).await?;
    cargo(&["build", "--package", "e2e", "--bin", CLIENT], cache).await
}

async fn cargo(arguments: &[&str], cache: &Cache) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace_root()).args(arguments);
    command::run(&mut cargo, &cache.log("cargo")?, COMPILE_DEADLINE).await
}

/// A program of this workspace as the images have it. Fails where it was not compiled yet; nothing is compiled here.
pub async fn program(name: &str) -> Result<PathBuf> {
    let path = target_folder().await?.join("release").join(name);
    ensure!(path.is_file(), "{} is missing; `cargo xtask images` compiles it", path.display());
    Ok(path)
}

async fn target_folder() -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace_root()).args(["metadata", "--no-deps", "--format-version=1"]);
    let metadata: serde_json::Value = serde_json::from_str(&command::output(&mut cargo, SHORT_DEADLINE).await?)?;
    metadata["target_directory"].as_str().map(PathBuf::from).context("cargo names no target folder")
}

async fn image(name: &str, binary: &Path, base: &ImageFile, cache: &Cache, progress: Progress) -> Result<ImageFile> {
    let dockerfile = workspace_root().join("Dockerfile");
    let key = Key::default().with(&base.key).with_file(&dockerfile)?.with_file(binary)?.finish();
    let tag = format!("localhost/{name}:dev");
    let recipe = Recipe { name, key, tags: &[&tag] };
    let log = cache.log(&format!("image-{name}"))?;
    super::ensure(&recipe, cache, progress, async |folder| {
        fs::copy(&dockerfile, folder.join("Dockerfile"))?;
        let arguments = format!("BASE=docker-archive:{}\nBINARY={name}\n", base.file.display());
        fs::write(folder.join("arguments"), arguments)?;
        let copy = folder.join(name);
        fs::copy(binary, &copy).with_context(|| format!("cannot copy {}", binary.display()))?;
        // Does nothing to the operators, which come stripped, and takes the debugging symbols from the client.
        command::run(Command::new("strip").arg(&copy), &log, SHORT_DEADLINE).await
    })
    .await
}
