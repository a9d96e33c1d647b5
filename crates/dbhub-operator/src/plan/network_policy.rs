//! What DBHub's pods may reach: name servers and the ports of the databases they serve. Pure. Who may reach the pods
//! is left to the namespace's own policies: they add up, so one of ours could only open what those close.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::Names;
use crate::validate::source::{Backend, Source};

const DNS: u16 = 53;

/// The policy of an instance's pods.
#[must_use]
pub fn network_policy(names: &Names, owner: &OwnerReference, sources: &[Source]) -> NetworkPolicy {
    let dns = NetworkPolicyEgressRule { ports: Some(vec![port("UDP", DNS), port("TCP", DNS)]), to: None };
    NetworkPolicy {
        metadata: names.owned(names.network_policy(), owner),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(names.label_selector()),
            policy_types: Some(vec!["Egress".to_owned()]),
            egress: Some(std::iter::once(dns).chain(databases(sources)).collect()),
            ingress: None,
        }),
    }
}

/// A database with an address is reached there alone; one with a name may be anywhere, on its port.
fn databases(sources: &[Source]) -> impl Iterator<Item = NetworkPolicyEgressRule> {
    let targets: BTreeSet<_> = sources
        .iter()
        .filter_map(|source| match &source.backend {
            Backend::Server(server) => Some((server.port, server.host.as_str().parse::<std::net::Ipv4Addr>().ok())),
            Backend::Memory | Backend::File(_) => None,
        })
        .collect();
    targets.into_iter().map(|(target, address)| NetworkPolicyEgressRule {
        ports: Some(vec![port("TCP", target)]),
        to: address.map(|address| {
            let ip_block = Some(IPBlock { cidr: format!("{address}/32"), except: None });
            vec![NetworkPolicyPeer { ip_block, ..NetworkPolicyPeer::default() }]
        }),
    })
}

fn port(protocol: &str, port: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(port))),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}
