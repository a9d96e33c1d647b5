//! Turns a Database into the objects that it refers to: the Secret with the login and the object with the CA. Pure.
//! Names are checked here, once, because they become part of request paths and nothing encodes them there.

use api_types::{CaKind, Database, Engine, SslMode};
use kube::ResourceExt as _;

use crate::error::Problem;

/// One Secret or ConfigMap; its names are safe in a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Reference {
    /// Secret or ConfigMap.
    pub kind: CaKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The objects that decide how a Database is probed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// The Secret of `spec.credentialsRef`.
    pub credentials: Option<Reference>,
    /// The object of `spec.tls.caRef`, where the sslMode checks certificates at all.
    pub ca: Option<Reference>,
}

impl References {
    /// What the Database refers to.
    pub fn of(database: &Database) -> Result<Self, Problem> {
        if database.spec.engine == Engine::Sqlite {
            // A file has neither login nor certificate.
            return Ok(Self::default());
        }
        let own = database.namespace().unwrap_or_default();
        let credentials = match &database.spec.credentials_ref {
            None => None,
            Some(wanted) => Some(Reference {
                kind: CaKind::Secret,
                namespace: checked(wanted.namespace.as_ref().unwrap_or(&own), "spec.credentialsRef.namespace")?,
                name: checked(&wanted.name, "spec.credentialsRef.name")?,
            }),
        };
        let ca = match database.spec.tls.as_ref().and_then(|tls| tls.ca_ref.as_ref()) {
            Some(wanted) if checks_certificates(database.spec.ssl_mode) => Some(Reference {
                kind: wanted.kind,
                namespace: own,
                name: checked(&wanted.name, "spec.tls.caRef.name")?,
            }),
            _ => None,
        };
        Ok(Self { credentials, ca })
    }

    /// Each of them once.
    pub fn each(self) -> impl Iterator<Item = Reference> {
        let ca = self.ca.filter(|ca| self.credentials.as_ref() != Some(ca));
        self.credentials.into_iter().chain(ca)
    }
}

/// Whether anybody has to be trusted for this mode.
#[must_use]
pub fn checks_certificates(mode: SslMode) -> bool {
    match mode {
        SslMode::Disable | SslMode::Require => false,
        SslMode::VerifyCa | SslMode::VerifyFull => true,
    }
}

/// A DNS subdomain, as the API server demands of Secrets, ConfigMaps and namespaces.
fn checked(name: &str, field: &'static str) -> Result<String, Problem> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let ends =
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    if ends && name.len() <= 253 && name.bytes().all(inner) {
        Ok(name.to_owned())
    } else {
        Err(Problem::ReferenceName(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::database;

    #[test]
    fn a_file_refers_to_nothing_whatever_its_spec_names() {
        let file = database("{type: sqlite, sslMode: verify-ca, tls: {caRef: {kind: Secret, name: ca}}}");
        assert_eq!(References::of(&file), Ok(References::default()));
    }

    fn reference(kind: CaKind, namespace: &str, name: &str) -> Reference {
        Reference { kind, namespace: namespace.into(), name: name.into() }
    }

    #[test]
    fn the_secret_is_looked_for_in_the_own_namespace_unless_another_is_named() {
        let own = References::of(&database("credentialsRef: {name: creds}")).unwrap();
        assert_eq!(own.credentials, Some(reference(CaKind::Secret, "acme", "creds")));
        let foreign = References::of(&database("credentialsRef: {name: creds, namespace: vault}")).unwrap();
        assert_eq!(foreign.credentials, Some(reference(CaKind::Secret, "vault", "creds")));
    }

    #[test]
    fn a_ca_counts_only_where_certificates_are_checked() {
        for (mode, counts) in [("disable", false), ("require", false), ("verify-ca", true), ("verify-full", true)] {
            let spec = format!("{{sslMode: {mode}, tls: {{caRef: {{kind: ConfigMap, name: ca}}}}}}");
            let ca = References::of(&database(&spec)).unwrap().ca;
            assert_eq!(ca, counts.then(|| reference(CaKind::ConfigMap, "acme", "ca")), "{mode}");
        }
    }

    #[test]
    fn an_object_that_is_both_is_watched_once() {
        let spec = "{credentialsRef: {name: both}, sslMode: verify-ca, tls: {caRef: {kind: Secret, name: both}}}";
        assert_eq!(References::of(&database(spec)).unwrap().each().count(), 1);
    }

    #[test]
    fn a_name_that_would_leave_its_place_in_a_path_is_refused() {
        let long = "a".repeat(254);
        for name in ["..", "../../kube-system/secrets/admin", "a/b", "a?watch=1", "a%2fb", "A", "", ".a", "a-", &long] {
            let mut database = database("credentialsRef: {name: x, namespace: y}");
            let wanted = database.spec.credentials_ref.as_mut().unwrap();
            wanted.name = name.to_owned();
            assert_eq!(References::of(&database), Err(Problem::ReferenceName("spec.credentialsRef.name")), "{name:?}");
            let wanted = database.spec.credentials_ref.as_mut().unwrap();
            wanted.name = "x".to_owned();
            wanted.namespace = Some(name.to_owned());
            assert_eq!(References::of(&database), Err(Problem::ReferenceName("spec.credentialsRef.namespace")));
        }
    }
}
