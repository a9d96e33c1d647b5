//! Container images without a registry: each is built from what is on this machine, written as a docker-archive file
//! into the cache, and built again only when its inputs have changed.

mod base;
mod buildah;
mod dbhub;
mod operators;
mod pause;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::cache::Cache;
use crate::command;
use crate::progress::Progress;
use crate::tools;

pub use operators::{CLIENT_IMAGE, OPERATORS, program};

const LOAD_DEADLINE: Duration = Duration::from_mins(10);

/// An image as a file that `ctr images import`, `docker load` and `kind load image-archive` take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// A short name, also for messages.
    pub name: String,
    /// The archive.
    pub file: PathBuf,
    /// A hash of all inputs: equal keys, equal content.
    pub key: String,
}

/// An image to build: its inputs are already hashed.
struct Recipe<'a> {
    name: &'a str,
    key: String,
    tags: &'a [&'a str],
}

impl Recipe<'_> {
    fn image(&self, cache: &Cache) -> Result<ImageFile> {
        let file = cache.folder("images")?.join(format!("{}-{}.tar", self.name, self.key));
        Ok(ImageFile { name: self.name.to_owned(), file, key: self.key.clone() })
    }
}

/// Makes sure of the images that a node and the databases' visitors need: pause, base and DBHub.
pub async fn ensure_foreign(cache: &Cache, progress: Progress) -> Result<Vec<ImageFile>> {
    let pause = pause::ensure(cache, progress).await?;
    let base = base::ensure(cache, progress).await?;
    let packages = tools::ensure_dbhub(cache, progress).await?;
    let dbhub = dbhub::ensure(&base, &packages, cache, progress).await?;
    Ok(vec![pause, base, dbhub])
}

/// Makes sure of the images of this workspace: the operators and the tests' client. Cargo decides what to compile.
pub async fn ensure_own(cache: &Cache, progress: Progress) -> Result<Vec<ImageFile>> {
    let base = base::ensure(cache, progress).await?;
    operators::ensure(&base, cache, progress).await
}

/// Loads images onto the nodes of another cluster, with the user's own command: `{}` stands for the archive. Without
/// a command the images are expected to be there.
pub async fn load_by_command(images: &[ImageFile], template: Option<&str>, progress: Progress) -> Result<()> {
    let Some(template) = template else { return Ok(()) };
    for image in images {
        let line = template.replace("{}", &image.file.to_string_lossy());
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]);
        let loading = async { command::output(&mut shell, LOAD_DEADLINE).await.map(drop) };
        progress.step(&format!("load {}", image.name), loading).await?;
    }
    Ok(())
}

/// Copies image files into `folder`, under names without their keys.
pub fn export(images: &[ImageFile], folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let copy = |image: &ImageFile| {
        let target = folder.join(format!("{}.tar", image.name));
        fs::copy(&image.file, &target).with_context(|| format!("cannot write {}", target.display()))?;
        Ok(target)
    };
    images.iter().map(copy).collect()
}

/// Builds `recipe` with `build` unless its file is there, and removes the files of its earlier keys.
async fn ensure(
    recipe: &Recipe<'_>,
    cache: &Cache,
    progress: Progress,
    build: impl AsyncFnOnce(&Path) -> Result<()>,
) -> Result<ImageFile> {
    let image = recipe.image(cache)?;
    if !image.file.exists() {
        progress.step(&format!("build image {}", recipe.name), write(recipe, &image, cache, build)).await?;
    }
    Ok(image)
}

/// `build` fills a folder with a `Dockerfile` and its context.
async fn write(
    recipe: &Recipe<'_>,
    image: &ImageFile,
    cache: &Cache,
    build: impl AsyncFnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let folder = tempfile::tempdir_in(cache.folder("images")?).context("cannot make a temporary folder")?;
    build(folder.path()).await?;
    let archive = folder.path().join("image.tar");
    buildah::build(folder.path(), recipe.tags, &archive, &cache.log(&format!("image-{}", recipe.name))?).await?;
    remove_earlier(recipe.name, cache)?;
    fs::rename(archive, &image.file).context("cannot move the image into place")
}

fn remove_earlier(name: &str, cache: &Cache) -> Result<()> {
    for entry in fs::read_dir(cache.folder("images")?)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if file.strip_suffix(".tar").and_then(|stem| stem.rsplit_once('-')).is_some_and(|(stem, _)| stem == name) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_files_have_plain_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x-0123.tar");
        fs::write(&file, "content").unwrap();
        let image = ImageFile { name: "x".into(), file, key: "0123".into() };
        let written = export(&[image], &folder.path().join("out")).unwrap();
        assert_eq!(written, [folder.path().join("out/x.tar")]);
        assert_eq!(fs::read_to_string(&written[0]).unwrap(), "content");
    }
}
