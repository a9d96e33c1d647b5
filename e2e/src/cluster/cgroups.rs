//! Makes and removes the cgroup below which a cluster's kubelet keeps its pods, for cgroup v1 and v2.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const ROOT: &str = "/sys/fs/cgroup";
const REMOVAL_DEADLINE: Duration = Duration::from_secs(15);

/// Makes the cgroup `name` in every hierarchy, ready to take processes.
pub(super) fn create(name: &str) -> Result<()> {
    if is_unified() {
        delegate_controllers()?;
    }
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(name);
        fs::create_dir_all(&group).with_context(|| format!("cannot make the cgroup {}", group.display()))?;
        // A new v1 cpuset has no processors and takes no process until it is given some.
        for file in ["cpuset.cpus", "cpuset.mems"].iter().filter(|file| !is_unified() && group.join(file).exists()) {
            let value = fs::read(hierarchy.join(file)).context("cannot read the machine's cpuset")?;
            fs::write(group.join(file), value).context("cannot fill the cluster's cpuset")?;
        }
    }
    Ok(())
}

/// Removes the cgroup `name` and all below it. Its processes must be dead; the kernel may need a moment to notice.
pub(super) fn remove(name: &str) -> Result<()> {
    let end = Instant::now() + REMOVAL_DEADLINE;
    loop {
        let left: Vec<PathBuf> =
            hierarchies()?.iter().map(|h| h.join(name)).filter(|group| !remove_tree(group)).collect();
        let Some(first) = left.first() else { return Ok(()) };
        if Instant::now() > end {
            bail!("the cgroup {} still holds processes", first.display());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

fn hierarchies() -> Result<Vec<PathBuf>> {
    if is_unified() {
        return Ok(vec![ROOT.into()]);
    }
    let entries = fs::read_dir(ROOT).context("cannot list /sys/fs/cgroup")?;
    Ok(entries.filter_map(|e| Some(e.ok()?.path())).filter(|path| path.join("cgroup.procs").exists()).collect())
}

/// On v2 a child has only the controllers that its parent hands down. The kubelet wants these.
fn delegate_controllers() -> Result<()> {
    let root = Path::new(ROOT);
    let available = fs::read_to_string(root.join("cgroup.controllers")).context("cannot read cgroup.controllers")?;
    let wanted = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"];
    for controller in available.split_whitespace().filter(|name| wanted.contains(name)) {
        fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"))
            .with_context(|| format!("cannot hand down the cgroup controller {controller}"))?;
    }
    Ok(())
}

/// Whether nothing is left. Folders of a cgroup are removed from the leaves up; their files go with them.
fn remove_tree(group: &Path) -> bool {
    let Ok(entries) = fs::read_dir(group) else { return !group.exists() };
    for entry in entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir())) {
        remove_tree(&entry.path());
    }
    fs::remove_dir(group).is_ok()
}
