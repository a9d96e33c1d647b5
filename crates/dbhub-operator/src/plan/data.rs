//! The ConfigMaps and Secrets that the pods read, and the hash that rolls the pods when one of them changes. Pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::files::{CONFIG_KEY, CaFiles};
use super::names::Names;
use crate::random::hexadecimal;
use crate::validate::source::{Backend, Source};
use crate::validate::token::{TOKEN_KEY, Token};

/// Key of a random value in the `<name>-creds` Secret. It enters the hash, which everyone who sees a pod can read, so
/// that nobody can try out passwords on it.
pub const SALT_KEY: &str = "rollout-salt";

/// ConfigMap with the configuration.
#[must_use]
pub fn config(names: &Names, owner: &OwnerReference, toml: &str) -> ConfigMap {
    ConfigMap {
        metadata: names.owned(names.config(), owner),
        data: Some(BTreeMap::from([(CONFIG_KEY.to_owned(), toml.to_owned())])),
        ..ConfigMap::default()
    }
}

/// ConfigMap with the CA files; `None` when no source needs one.
#[must_use]
pub fn ca(names: &Names, owner: &OwnerReference, sources: &[Source]) -> Option<ConfigMap> {
    let files = CaFiles::of(sources).into_data();
    (!files.is_empty()).then(|| ConfigMap {
        metadata: names.owned(names.ca(), owner),
        data: Some(files),
        ..ConfigMap::default()
    })
}

/// Secret with every login, by the name of its environment variable, and the salt.
#[must_use]
pub fn creds(names: &Names, owner: &OwnerReference, sources: &[Source], salt: &SecretString) -> Secret {
    let mut data = BTreeMap::from([(SALT_KEY.to_owned(), bytes(salt))]);
    for source in sources {
        if let Backend::Server(server) = &source.backend {
            data.insert(source.id.user_variable(), bytes(&server.credentials.user));
            data.insert(source.id.password_variable(), bytes(&server.credentials.password));
        }
    }
    opaque(names, owner, names.creds(), data)
}

/// Secret with the generated token.
#[must_use]
pub fn token(names: &Names, owner: &OwnerReference, token: &Token) -> Secret {
    opaque(names, owner, names.token(), BTreeMap::from([(TOKEN_KEY.to_owned(), bytes(token.whole()))]))
}

fn opaque(names: &Names, owner: &OwnerReference, name: String, data: BTreeMap<String, ByteString>) -> Secret {
    Secret {
        metadata: names.owned(name, owner),
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

fn bytes(text: &SecretString) -> ByteString {
    ByteString(text.expose_secret().as_bytes().to_vec())
}

/// Changes exactly when something changes that a pod reads only at its start, or that it is made of, so that an old pod
/// is told from a new one.
#[must_use]
pub fn fingerprint(
    config: &ConfigMap,
    ca: Option<&ConfigMap>,
    creds: &Secret,
    token: Option<&Token>,
    sources: &[Source],
    template: &PodTemplateSpec,
) -> String {
    let mut hash = Sha256::new();
    let mut add = |key: &str, value: &[u8]| {
        for part in [key.as_bytes(), value] {
            // Lengths keep ("ab", "c") apart from ("a", "bc").
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
    };
    for (key, value) in [Some(config), ca].into_iter().flatten().flat_map(|map| map.data.iter().flatten()) {
        add(key, value.as_bytes());
    }
    for (key, value) in creds.data.iter().flatten() {
        add(key, &value.0);
    }
    for source in sources {
        if let Backend::File(file) = &source.backend
            && let Some(revision) = &file.revision
        {
            add(source.id.as_str(), revision.as_bytes());
        }
    }
    if let Ok(text) = serde_json::to_vec(template) {
        add("pod", &text);
    }
    add(TOKEN_KEY, token.map_or("", |token| token.whole().expose_secret()).as_bytes());
    hexadecimal(&hash.finalize())
}
