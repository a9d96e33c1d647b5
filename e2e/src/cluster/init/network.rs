//! The tree's network: a bridge for the pods and an address for the servers. There is no way out of it.

use std::fs;

use anyhow::{Context, Result};

use super::mounts::run;
use crate::cluster::layout::{NODE_ADDRESS, NODE_NAME, SERVERS_ADDRESS, SERVICE_CIDR};

/// Settings below `/proc/sys/net`, all of them of this network namespace alone.
const SETTINGS: [(&str, &str); 5] = [
    ("ipv4/ip_forward", "1"),
    // Answers between two pods of the bridge must pass the rules that translated the Service's address.
    ("bridge/bridge-nf-call-iptables", "1"),
    // Else the first packet to a Service without endpoints gets a redirect, and the refusal falls to the rate limit.
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/cni0/send_redirects", "0"),
    ("ipv4/icmp_ratelimit", "0"),
];

/// Sets up host name, loopback, bridge and routes.
pub(super) fn prepare() -> Result<()> {
    run("hostname", &[NODE_NAME])?;
    run("ip", &["link", "set", "lo", "up"])?;
    run("ip", &["address", "add", &format!("{SERVERS_ADDRESS}/32"), "dev", "lo"])?;
    // Without an address of its own a bridge takes the lowest of its ports' and changes it when that pod goes, which
    // breaks connections of the others for seconds.
    run("ip", &["link", "add", "cni0", "address", "0a:58:0a:fa:00:01", "type", "bridge"])?;
    run("ip", &["address", "add", &format!("{NODE_ADDRESS}/24"), "dev", "cni0"])?;
    run("ip", &["link", "set", "cni0", "up"])?;
    // Without a default route the node's own processes would not even try a Service's address.
    run("ip", &["route", "add", SERVICE_CIDR, "dev", "cni0"])?;
    for (setting, value) in SETTINGS {
        let path = format!("/proc/sys/net/{setting}");
        fs::write(&path, value).with_context(|| format!("cannot set {path} (is br_netfilter in the kernel?)"))?;
    }
    Ok(())
}
