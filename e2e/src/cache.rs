//! Where things are kept between runs, and the keys that tell whether they are still right.
//!
//! A key is a hash of everything that went into an artefact; an artefact is written under a temporary name and moved
//! into place, so what has its final name is complete.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The user's cache folder for this project: `$XDG_CACHE_HOME` or `~/.cache`, then `db-operators`.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache of the user who runs this. Fails where neither `XDG_CACHE_HOME` nor `HOME` is set.
    pub fn of_user() -> Result<Self> {
        let base = match std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(std::env::var_os("HOME").context("set HOME or XDG_CACHE_HOME")?).join(".cache"),
        };
        Ok(Self { root: base.join("db-operators") })
    }

    /// A path below the cache. Nothing is created.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A folder below the cache, created when it is missing.
    pub fn folder(&self, relative: &str) -> Result<PathBuf> {
        let path = self.path(relative);
        fs::create_dir_all(&path).with_context(|| format!("cannot create the folder {}", path.display()))?;
        Ok(path)
    }

    /// The log file of a step that is not part of a cluster.
    pub fn log(&self, step: &str) -> Result<PathBuf> {
        Ok(self.folder("logs")?.join(format!("{step}.log")))
    }
}

/// Collects the inputs of an artefact into its key.
#[derive(Default)]
pub struct Key(Sha256);

impl Key {
    /// Adds one input. Inputs are length-prefixed, so that no two lists of inputs run together.
    #[must_use]
    pub fn with(mut self, input: impl AsRef<[u8]>) -> Self {
        let input = input.as_ref();
        self.0.update(input.len().to_le_bytes());
        self.0.update(input);
        self
    }

    /// Adds the content of a file.
    pub fn with_file(self, path: &Path) -> Result<Self> {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(self.with(content))
    }

    /// Sixteen hexadecimal digits: short enough for a file name, long enough for a cache.
    #[must_use]
    pub fn finish(self) -> String {
        self.0.finalize().iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }
}

/// A lock that other processes of this machine see; it is released when the value is dropped or its process dies.
pub struct FileLock(#[expect(dead_code, reason = "held for its lock, never read")] File);

impl FileLock {
    /// Waits for the lock on `path`. `waiting` is called once when somebody else holds it.
    pub fn acquire(path: &Path, waiting: impl FnOnce()) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
        }
        let file = File::create(path).with_context(|| format!("cannot open the lock file {}", path.display()))?;
        if file.try_lock().is_err() {
            waiting();
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(Self(file))
    }
}

/// The first folder upwards from here that holds the workspace's `Cargo.toml`.
///
/// The sources are needed at run time too (Go modules, Dockerfile, templates), so the path of the build is used.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_do_not_run_together() {
        assert_ne!(Key::default().with("ab").with("c").finish(), Key::default().with("a").with("bc").finish());
    }

    #[test]
    fn a_key_is_a_short_file_name() {
        let key = Key::default().with("x").finish();
        assert_eq!(key.len(), 16);
        assert!(key.chars().all(|c| c.is_ascii_hexdigit()));
    }

    #[test]
    fn a_lock_is_exclusive_until_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = FileLock::acquire(&path, || panic!("nobody else holds it")).unwrap();
        assert!(File::open(&path).unwrap().try_lock().is_err());
        drop(first);
        File::open(&path).unwrap().try_lock().unwrap();
    }
}
