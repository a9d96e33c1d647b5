//! Writes a cluster's configuration files from the templates in `e2e/files`.

use std::fs;

use anyhow::{Context, Result};

use super::layout::{API_PORT, Layout, NODE_ADDRESS};
use super::pki;
use crate::tools::Tools;

const KUBECONFIG: &str = include_str!("../../files/cluster/kubeconfig.yaml");

/// Folders of a state folder.
const FOLDERS: [&str; 9] =
    ["pki", "logs", "cni", "kubelet", "containerd", "var-cni", "pod-logs", "container-logs", "servers"];

/// Makes the folders and writes every file that the tree reads.
pub(super) fn write(layout: &Layout, tools: &Tools) -> Result<()> {
    for folder in FOLDERS {
        fs::create_dir_all(layout.path(folder)).with_context(|| format!("cannot create the folder {folder}"))?;
    }
    pki::write_kubernetes(layout)?;
    let templates = [
        ("containerd.toml", include_str!("../../files/cluster/containerd.toml")),
        ("cni/10-bridge.conflist", include_str!("../../files/cluster/bridge.conflist")),
        ("kubelet.yaml", include_str!("../../files/cluster/kubelet.yaml")),
        ("kube-proxy.yaml", include_str!("../../files/cluster/kube-proxy.yaml")),
        ("Corefile", include_str!("../../files/cluster/Corefile")),
        ("services.yaml", include_str!("../../files/cluster/services.yaml")),
    ];
    for (file, template) in templates {
        pki::write(&layout.path(file), &layout.render(template, &[]))?;
    }
    pki::write(&layout.path("resolv.conf"), &format!("nameserver {NODE_ADDRESS}\n"))?;
    for user in ["admin", "kubelet"] {
        write_kubeconfig(layout, &format!("{user}.kubeconfig"), user, API_PORT)?;
    }
    pki::write(&layout.path("tools.json"), &serde_json::to_string(tools)?)
}

/// Writes the kubeconfig for use from outside, through the forwarded port.
pub(super) fn write_outside_kubeconfig(layout: &Layout, port: u16) -> Result<()> {
    write_kubeconfig(layout, "kubeconfig", "admin", port)
}

/// The programs that the tree was started with.
pub(super) fn read_tools(layout: &Layout) -> Result<Tools> {
    let text = fs::read(layout.path("tools.json")).context("cannot read the list of tools")?;
    serde_json::from_slice(&text).context("the list of tools is damaged")
}

fn write_kubeconfig(layout: &Layout, file: &str, user: &str, port: u16) -> Result<()> {
    let text = layout.render(KUBECONFIG, &[("USER", user), ("PORT", &port.to_string())]);
    pki::write(&layout.path(file), &text)
}
