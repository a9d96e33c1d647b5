//! Builds the Go programs that `e2e/tools/*/go.mod` pin as tools, into cache folders keyed by module files and flags.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::cache::{Cache, Key, workspace_root};
use crate::command;
use crate::progress::Progress;

/// Kubernetes takes five minutes on two cores with a cold Go cache; slower machines get ten times that.
const BUILD_DEADLINE: Duration = Duration::from_hours(1);

/// A pinned module under `e2e/tools`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoModule {
    /// The six Kubernetes programs.
    Kubernetes,
    /// The etcd server.
    Etcd,
    /// The DNS server of the cluster.
    CoreDns,
    /// Installs the chart.
    Helm,
    /// Checks manifests against schemas.
    Kubeconform,
}

impl GoModule {
    fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Etcd => "etcd",
            Self::CoreDns => "coredns",
            Self::Helm => "helm",
            Self::Kubeconform => "kubeconform",
        }
    }

    fn folder(self) -> PathBuf {
        workspace_root().join("e2e/tools").join(self.name())
    }

    /// Kubernetes programs report the version that the linker gave them, and refuse to work together without one.
    fn linker_flags(self, go_mod: &str) -> Result<String> {
        if self != Self::Kubernetes {
            return Ok("-s -w".into());
        }
        let version = required_version(go_mod, "k8s.io/kubernetes").context("go.mod does not require Kubernetes")?;
        let mut parts = version.trim_start_matches('v').split('.');
        let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
            bail!("{version} is no Kubernetes version");
        };
        let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
        Ok(["-s -w", &set("gitVersion", version), &set("gitMajor", major), &set("gitMinor", minor)].concat())
    }
}

/// The folder with the module's programs, built now if it is missing.
pub(super) async fn ensure(module: GoModule, cache: &Cache, progress: Progress) -> Result<PathBuf> {
    let folder = module.folder();
    let go_mod = tokio::fs::read_to_string(folder.join("go.mod")).await.context("cannot read go.mod")?;
    let flags = module.linker_flags(&go_mod)?;
    let key = Key::default().with(&go_mod).with_file(&folder.join("go.sum"))?.with(&flags).finish();
    let target = cache.path(&format!("tools/{}-{key}", module.name()));
    if !target.is_dir() {
        let name = format!("build {} (Go, once)", module.name());
        progress.step(&name, build(module, &folder, &flags, &target, cache)).await?;
    }
    Ok(target)
}

async fn build(module: GoModule, folder: &Path, flags: &str, target: &Path, cache: &Cache) -> Result<()> {
    if !command::is_installed("go") {
        bail!("the Go toolchain is missing: install Go 1.26.8 or newer from https://go.dev/dl and put `go` on PATH");
    }
    let parent = cache.folder("tools")?;
    let unfinished = tempfile::tempdir_in(&parent).context("cannot make a temporary folder")?;
    let mut go = Command::new("go");
    go.current_dir(folder).env("CGO_ENABLED", "0");
    go.args(["build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o"]);
    go.arg(format!("{}/", unfinished.path().display())).arg("tool");
    command::run(&mut go, &cache.log(&format!("go-{}", module.name()))?, BUILD_DEADLINE).await?;
    if module == GoModule::Etcd {
        // Go names a program after the last element of its path, which is `server` here.
        tokio::fs::rename(unfinished.path().join("server"), unfinished.path().join("etcd")).await?;
    }
    tokio::fs::rename(unfinished.keep(), target).await.context("cannot move the programs into place")
}

fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    let words = |line: &'a str| -> Vec<&'a str> { line.split_whitespace().filter(|word| *word != "require").collect() };
    go_mod.lines().map(words).find_map(|words| match words.as_slice() {
        [name, version, ..] if *name == module && version.starts_with('v') => Some(*version),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_learns_its_version_from_go_mod() {
        let flags = GoModule::Kubernetes.linker_flags("require k8s.io/kubernetes v1.35.4\n").unwrap();
        assert_eq!(
            flags,
            "-s -w -X k8s.io/component-base/version.gitVersion=v1.35.4 \
             -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=35"
        );
    }

    #[test]
    fn a_replacement_is_not_taken_for_the_requirement() {
        let go_mod =
            "replace (\n\tk8s.io/api => k8s.io/api v0.35.4\n)\nrequire (\n\tk8s.io/api v0.0.0 // indirect\n)\n";
        assert_eq!(required_version(go_mod, "k8s.io/api"), Some("v0.0.0"));
    }

    #[test]
    fn every_module_has_its_files() {
        let modules = [GoModule::Kubernetes, GoModule::Etcd, GoModule::CoreDns, GoModule::Helm, GoModule::Kubeconform];
        for module in modules {
            assert!(module.folder().join("go.sum").is_file(), "{module:?}");
        }
    }
}
