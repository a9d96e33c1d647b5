//! Gives the tree its own view of the machine's file system: private folders where programs insist on fixed paths, and
//! the `/sys` of its own network. Runs in the tree's mount namespace only; the machine's own mounts stay as they are.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cluster::layout::Layout;
use crate::servers;
use crate::tools::Tools;

/// Does all the mounting. The order matters: what is unmounted must not yet be shared.
pub(super) fn prepare(layout: &Layout, tools: &Tools) -> Result<()> {
    drop_copied_mounts()?;
    mount(&["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])?;
    fs::create_dir_all("/run/netns")?;
    fs::create_dir_all("/run/lock")?;
    bind(&layout.path("var-cni"), "/var/lib/cni")?;
    // The kubelet keeps its device plugins here whatever its root folder is.
    bind(&layout.path("kubelet"), "/var/lib/kubelet")?;
    bind(&layout.path("pod-logs"), "/var/log/pods")?;
    bind(&layout.path("container-logs"), "/var/log/containers")?;
    for (from, onto) in servers::mounts(layout, tools) {
        fs::create_dir_all(&onto)?;
        bind(&from, &onto)?;
    }
    replace_sys()?;
    // Volumes mounted by the kubelet must be seen by containers, which have mount namespaces of their own.
    mount(&["--make-rshared", "/"])
}

/// A new mount namespace starts with copies of all mounts. A copy of a mount that belongs to the containers of another
/// cluster would keep it busy there.
fn drop_copied_mounts() -> Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mount table")?;
    for point in copied_mounts(&table) {
        // It may have gone with the one below it.
        let _ = Command::new("umount").args(["-l", point]).status();
    }
    Ok(())
}

/// Mount points of containers, the deepest first.
fn copied_mounts(table: &str) -> Vec<&str> {
    let marks = ["/kubelet/pods/", "/containerd/", "/run/netns/"];
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let mut found: Vec<&str> = points.filter(|point| marks.iter().any(|mark| point.contains(mark))).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found
}

/// `/sys` shows the network namespace in which it was mounted. The cgroups below it are kept.
fn replace_sys() -> Result<()> {
    fs::create_dir_all("/run/cgroup")?;
    mount(&["--rbind", "/sys/fs/cgroup", "/run/cgroup"])?;
    run("umount", &["-l", "/sys"])?;
    mount(&["-t", "sysfs", "-o", "nosuid,nodev,noexec", "sysfs", "/sys"])?;
    mount(&["--rbind", "/run/cgroup", "/sys/fs/cgroup"])?;
    run("umount", &["-l", "/run/cgroup"])
}

fn bind(from: &Path, onto: &str) -> Result<()> {
    mount(&["--bind", &from.to_string_lossy(), onto])
}

fn mount(arguments: &[&str]) -> Result<()> {
    run("mount", arguments)
}

/// Runs a short program to its end; its output goes into the init's log.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program).args(arguments).status();
    let status = status.with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        bail!("`{program} {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_container_mounts_are_dropped_the_deepest_first() {
        let table = "1 0 8:1 / / rw - ext4 x rw\n\
                     2 1 0:5 / /run/netns/a rw - nsfs x rw\n\
                     3 1 0:5 / /s/kubelet/pods/a rw - tmpfs x rw\n\
                     4 3 0:5 / /s/kubelet/pods/a/b rw - tmpfs x rw\n\
                     5 1 0:5 / /home rw - ext4 x rw\n";
        assert_eq!(copied_mounts(table), ["/s/kubelet/pods/a/b", "/s/kubelet/pods/a", "/run/netns/a"]);
    }
}
