//! Turns the text a person wrote into a host that can be dialled and nothing else: one DNS name or one
//! IP address. It resolves nothing.

use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::DnsName;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The DNS name or address.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

/// One DNS name or one IP address; made by [`Host::parse`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name in lower case, without a trailing dot.
    Dns(String),
    /// An address, which is dialled as it stands.
    Ip(IpAddr),
}

/// Why a text is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing was written.
    #[error("the host is empty: give one DNS name or one IP address")]
    Empty,
    /// A path, as libpq and MySQL clients take for a local socket.
    #[error(
        "the host is a path: only servers reached over the network are supported, so give a DNS name or an IP address"
    )]
    SocketPath,
    /// More than one host.
    #[error("the host is a list: give one DNS name or one IP address")]
    List,
    /// A port, user or scheme is part of the text.
    #[error("the host holds more than a host: give the DNS name or IP address alone, the port has its own field")]
    MoreThanHost,
    /// Anything else that DNS does not allow.
    #[error("the host is no valid DNS name or IP address")]
    Invalid,
}

impl Host {
    /// Reads one DNS name or IP address (IPv6 with or without brackets).
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(address) = parse_ip(text) {
            return Ok(Self::Ip(address));
        }
        match text {
            "" => Err(HostError::Empty),
            _ if text.contains("://") || text.contains(['@', ':']) => Err(HostError::MoreThanHost),
            _ if text.contains(['/', '\\']) => Err(HostError::SocketPath),
            _ if text.contains([',', ';', ' ']) => Err(HostError::List),
            _ => parse_dns(text),
        }
    }
}

/// Brackets are how URLs write IPv6 addresses, so people paste them.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// The resolver reads `0x7f000001` as an address, which would make it a name by our rules and an address by
/// the certificate's; rustls' own check already refuses an all-digit last label for that reason.
fn parse_dns(text: &str) -> Result<Host, HostError> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|digit| digit.is_ascii_hexdigit()));
    match DnsName::try_from(name.as_str()) {
        Ok(_) if !hexadecimal => Ok(Host::Dns(name)),
        _ => Err(HostError::Invalid),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dns(name: &str) -> Host {
        Host::Dns(name.to_owned())
    }

    #[test]
    fn names_and_addresses_are_hosts() {
        assert_eq!(Host::parse("db"), Ok(dns("db")));
        assert_eq!(Host::parse("DB.acme.internal."), Ok(dns("db.acme.internal")));
        assert_eq!(Host::parse("my_db.x1-y.z9"), Ok(dns("my_db.x1-y.z9")));
        assert_eq!(Host::parse("7f3a"), Ok(dns("7f3a")));
        assert_eq!(Host::parse("10.0.0.1"), Ok(Host::Ip([10, 0, 0, 1].into())));
        let loopback = Ok(Host::Ip(std::net::Ipv6Addr::LOCALHOST.into()));
        assert_eq!(Host::parse("::1"), loopback);
        assert_eq!(Host::parse("[::1]"), loopback);
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", HostError::Empty),
            ("/var/run/postgresql", HostError::SocketPath),
            ("a\\b", HostError::SocketPath),
            ("a,b", HostError::List),
            ("a b", HostError::List),
            ("db:5432", HostError::MoreThanHost),
            ("user@db", HostError::MoreThanHost),
            ("postgres://db", HostError::MoreThanHost),
            ("[10.0.0.1]", HostError::Invalid),
            ("10.0.0.256", HostError::Invalid),
            ("2130706433", HostError::Invalid),
            ("127.1", HostError::Invalid),
            ("0x7f000001", HostError::Invalid),
            ("0x7f.0x1.", HostError::Invalid),
            ("-db", HostError::Invalid),
            ("a..b", HostError::Invalid),
            ("dé", HostError::Invalid),
            ("db\n", HostError::Invalid),
            ("@abstract", HostError::MoreThanHost),
        ] {
            assert_eq!(Host::parse(text), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn an_endpoint_prints_as_it_is_dialled() {
        let endpoint = |host: &str| Endpoint { host: Host::parse(host).unwrap(), port: 3306 };
        assert_eq!(endpoint("db").to_string(), "db:3306");
        assert_eq!(endpoint("::1").to_string(), "[::1]:3306");
    }

    proptest! {
        #[test]
        fn what_is_parsed_prints_to_itself(text in ".{0,40}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
            }
        }
    }
}
