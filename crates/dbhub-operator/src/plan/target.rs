//! Where an instance's handshake goes and what it must find there. Pure.

use k8s_openapi::api::core::v1::Service;

use super::Kept;
use crate::validate::Request;
use crate::validate::source::Source;
use crate::verify::Target;

/// The target: the Service by its address, so that no search path of ours matters, asked for by its name.
#[must_use]
pub fn target(request: &Request, sources: &[Source], kept: &Kept, service: Option<&Service>) -> Target {
    let (host, port) = (request.names.service_host(), request.spec.port);
    let address = service.and_then(|service| service.spec.as_ref()?.cluster_ip.as_deref());
    let address = match address {
        None | Some("" | "None") => host.clone(),
        Some(v6) if v6.contains(':') => format!("[{v6}]"),
        Some(v4) => v4.to_owned(),
    };
    Target {
        address: format!("{address}:{port}"),
        host: format!("{host}:{port}"),
        token: kept.token.as_ref().map(crate::validate::token::Token::first),
        tools: sources.iter().flat_map(|source| tools(source, sources.len())).collect(),
    }
}

/// DBHub's names for the tools of a source that is one of `count`.
#[must_use]
pub fn tools(source: &Source, count: usize) -> Vec<String> {
    source.policy.allowed_operations.iter().map(|operation| source.id.tool(*operation, count == 1)).collect()
}
