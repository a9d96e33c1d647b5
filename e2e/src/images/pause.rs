//! The image of the container that holds a pod's namespaces: one static program of a few lines.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::process::Command;

use super::{ImageFile, Recipe};
use crate::cache::{Cache, Key};
use crate::command;
use crate::progress::Progress;

const SOURCE: &str = include_str!("../../tools/pause/pause.c");
const DOCKERFILE: &str = include_str!("../../files/images/Pause.Dockerfile");

pub(super) async fn ensure(cache: &Cache, progress: Progress) -> Result<ImageFile> {
    let key = Key::default().with(SOURCE).with(DOCKERFILE).finish();
    let recipe = Recipe { name: "pause", key, tags: &["localhost/pause:1"] };
    let log = cache.log("image-pause")?;
    super::ensure(&recipe, cache, progress, async |folder| fill(folder, &log).await).await
}

async fn fill(folder: &Path, log: &Path) -> Result<()> {
    fs::write(folder.join("pause.c"), SOURCE)?;
    fs::write(folder.join("Dockerfile"), DOCKERFILE)?;
    let mut cc = Command::new("cc");
    cc.current_dir(folder).args(["-Os", "-static", "-s", "-Wall", "-o", "pause", "pause.c"]);
    command::run(&mut cc, log, Duration::from_mins(1)).await
}
