//! Turns an endpoint into the socket addresses that may be dialled. Every address the resolver gives is
//! checked here, and only the returned addresses are ever connected to, so that a name cannot point
//! somewhere else between the check and the call.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use tokio::time::{Instant, timeout_at};

use crate::connect_error::ConnectClass;
use crate::endpoint::{Endpoint, Host};

/// More addresses than this for one name are ignored: each is tried in turn within one deadline.
const MAX_ADDRESSES: usize = 16;

/// Networks that are never dialled, as CIDRs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeniedAddresses(Vec<IpNet>);

/// A text that is no CIDR.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no network: write it as an address and a prefix length, such as 169.254.0.0/16")]
pub struct DeniedAddressesError(String);

impl DeniedAddresses {
    /// Reads networks such as `127.0.0.0/8` or `fe80::/10`; a bare address is a network of one.
    pub fn parse<I>(networks: I) -> Result<Self, DeniedAddressesError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        networks.into_iter().map(|text| parse_network(text.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address lies in a denied network. An IPv4 address written as IPv6 is judged as IPv4.
    /// The unspecified address is always denied: Linux connects it to the machine itself.
    #[must_use]
    pub fn denies(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_unspecified() || self.0.iter().any(|network| network.contains(&address))
    }
}

fn parse_network(text: &str) -> Result<IpNet, DeniedAddressesError> {
    let text = text.trim();
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| DeniedAddressesError(text.to_owned()))
}

/// The addresses of an endpoint, by the system's resolver, before `deadline`.
///
/// # Errors
/// `HostNotFound` when there is none, `Timeout`, and `HostNotAllowed` when any of them is denied: a name
/// that points both inside and outside a denied network is not to be trusted with either.
pub async fn resolve(
    endpoint: &Endpoint,
    denied: &DeniedAddresses,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, ConnectClass> {
    let addresses = match &endpoint.host {
        Host::Ip(address) => vec![SocketAddr::new(*address, endpoint.port)],
        Host::Dns(name) => lookup(name, endpoint.port, deadline).await?,
    };
    if addresses.iter().any(|address| denied.denies(address.ip())) {
        return Err(ConnectClass::HostNotAllowed);
    }
    Ok(addresses)
}

async fn lookup(name: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, ConnectClass> {
    let found = timeout_at(deadline, tokio::net::lookup_host((name, port)))
        .await
        .map_err(|_| ConnectClass::Timeout)?
        .map_err(|_| ConnectClass::HostNotFound)?;
    let addresses: Vec<_> = found.take(MAX_ADDRESSES).collect();
    if addresses.is_empty() {
        return Err(ConnectClass::HostNotFound);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn denied(networks: &[&str]) -> DeniedAddresses {
        DeniedAddresses::parse(networks).unwrap()
    }

    async fn resolved(host: &str, denied: &DeniedAddresses) -> Result<Vec<SocketAddr>, ConnectClass> {
        let endpoint = Endpoint { host: Host::parse(host).unwrap(), port: 5432 };
        resolve(&endpoint, denied, Instant::now() + Duration::from_secs(10)).await
    }

    #[test]
    fn a_network_denies_its_addresses_however_they_are_written() {
        let denied = denied(&["127.0.0.0/8", " 169.254.0.0/16", "fe80::/10", "10.96.0.1"]);
        for address in ["127.0.0.1", "127.255.0.1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1", "10.96.0.1"] {
            assert!(denied.denies(address.parse().unwrap()), "{address}");
        }
        for address in ["128.0.0.1", "10.96.0.2", "::1", "2001:db8::1"] {
            assert!(!denied.denies(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn the_unspecified_address_is_denied_by_no_network_at_all() {
        for address in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
            assert!(DeniedAddresses::default().denies(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn what_is_no_network_is_an_error() {
        let error = DeniedAddresses::parse(["10.0.0.0/8", "10.0.0.0/33"]).unwrap_err();
        assert!(error.to_string().starts_with("`10.0.0.0/33` is no network"));
    }

    #[tokio::test]
    async fn names_and_addresses_are_checked_alike() {
        let loopback = denied(&["127.0.0.0/8", "::1"]);
        for host in ["localhost", "127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(resolved(host, &loopback).await, Err(ConnectClass::HostNotAllowed), "{host}");
            assert!(!resolved(host, &DeniedAddresses::default()).await.unwrap().is_empty(), "{host}");
        }
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_not_found() {
        // RFC 6761 keeps .invalid for this.
        let found = resolved("nowhere.invalid", &DeniedAddresses::default()).await;
        assert_eq!(found, Err(ConnectClass::HostNotFound));
    }
}
