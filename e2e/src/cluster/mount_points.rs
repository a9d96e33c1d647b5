//! The folders of the machine over which each tree mounts its own: made for the first cluster, removed after the last.
//!
//! Removing a folder unmounts, in every namespace, what is mounted on it. So no keeper may remove one while another
//! cluster runs: keepers share a lock, and only one that gets it alone removes what keepers made.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

const LOCK: &str = "/run/lock/db-operators-e2e";
const FOLDERS: [&str; 4] = ["/var/lib/cni", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers"];

/// While it lives, the folders are there.
pub(super) struct MountPoints {
    /// Holds the shared lock, and one line for each folder that was made and not yet removed.
    list: File,
}

impl MountPoints {
    /// Makes the missing folders. Waits while another keeper removes them.
    pub(super) fn make() -> Result<Self> {
        let opened = OpenOptions::new().create(true).append(true).open(LOCK);
        let mut list = opened.with_context(|| format!("cannot open {LOCK}"))?;
        list.lock_shared().with_context(|| format!("cannot lock {LOCK}"))?;
        for folder in FOLDERS.iter().filter(|folder| !Path::new(folder).exists()) {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))?;
            writeln!(list, "{folder}").with_context(|| format!("cannot write {LOCK}"))?;
        }
        Ok(Self { list })
    }

    /// Removes what keepers made, unless another cluster runs or somebody has put something into it.
    pub(super) fn remove(self) -> Result<()> {
        self.list.unlock().with_context(|| format!("cannot unlock {LOCK}"))?;
        if self.list.try_lock().is_err() {
            return Ok(());
        }
        let made = fs::read_to_string(LOCK).with_context(|| format!("cannot read {LOCK}"))?;
        for folder in made.lines().filter(|line| FOLDERS.contains(line)) {
            // Not empty means not ours alone, and missing is what is wanted.
            let _ = fs::remove_dir(folder);
        }
        self.list.set_len(0).with_context(|| format!("cannot empty {LOCK}"))
    }
}
