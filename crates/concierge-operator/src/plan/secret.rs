//! The application's Secret: whether it is ours, which password it holds, and how it must change. Pure. The Secret is
//! the truth for the password alone; everything else in it is written from what we know and never read back.

use std::collections::BTreeMap;

use api_types::names::{MANAGED_BY, OWNER};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;

use super::{Intent, Password, Refusal};
use crate::OPERATOR;
use crate::servers::Server;
use crate::validate::{Account, Request};

const PASSWORD_KEY: &str = "password";

/// How the Secret must change.
#[derive(Clone, Debug)]
pub enum SecretChange {
    /// There is none.
    Create(Secret),
    /// Ours, with other contents; it carries the resourceVersion that was read.
    Replace(Secret),
}

/// The annotation that ties a Secret to its AppDatabase.
#[must_use]
pub fn owner_annotation(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// The password to keep. `None` when there is no Secret, or none that we could have written in it.
pub fn read_password(
    intent: &Intent<'_>,
    account: &Account,
    found: Option<&Secret>,
) -> Result<Option<Password>, Refusal> {
    let Some(secret) = found else { return Ok(None) };
    if !is_ours(&secret.metadata, intent.object) {
        return Err(Refusal::SecretConflict {
            secret: account.secret.to_string(),
            namespace: intent.request.app_namespace.to_string(),
        });
    }
    let value = secret.data.as_ref().and_then(|data| data.get(PASSWORD_KEY));
    Ok(value.and_then(|value| Password::parse(&value.0)))
}

/// Label and annotation together: the label alone may be anybody's.
#[must_use]
pub fn is_ours(metadata: &ObjectMeta, object: &str) -> bool {
    let value = |map: &Option<BTreeMap<String, String>>, key: &str| map.as_ref().and_then(|map| map.get(key).cloned());
    value(&metadata.labels, MANAGED_BY).as_deref() == Some(OPERATOR)
        && value(&metadata.annotations, OWNER).as_deref() == Some(object)
}

/// What must be written. `found` is ours or absent.
pub fn change(
    intent: &Intent<'_>,
    account: &Account,
    found: Option<&Secret>,
    password: &Password,
) -> Option<SecretChange> {
    let wanted = contents(intent.request, account, intent.server, password);
    match found {
        None => Some(SecretChange::Create(new_secret(intent, account, wanted))),
        Some(found) => {
            let mut secret = found.clone();
            secret.data.get_or_insert_default().extend(wanted);
            (secret != *found).then_some(SecretChange::Replace(secret))
        }
    }
}

fn new_secret(intent: &Intent<'_>, account: &Account, data: BTreeMap<String, ByteString>) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(account.secret.to_string()),
            namespace: Some(intent.request.app_namespace.to_string()),
            labels: Some(BTreeMap::from([(MANAGED_BY.to_owned(), OPERATOR.to_owned())])),
            annotations: Some(BTreeMap::from([(OWNER.to_owned(), intent.object.to_owned())])),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

fn contents(
    request: &Request,
    account: &Account,
    server: &Server,
    password: &Password,
) -> BTreeMap<String, ByteString> {
    let values = [
        ("host", server.app.host.to_string()),
        ("port", server.app.port.to_string()),
        ("username", account.user.to_string()),
        (PASSWORD_KEY, password.expose().to_owned()),
        ("database", request.database.to_string()),
        ("connection-string", connection_string(request, account, server, password.expose())),
    ];
    values.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect()
}

/// The application's connection string for the status, with a placeholder for the password.
#[must_use]
pub fn connection_template(request: &Request, server: &Server) -> String {
    connection_string(request, &request.application, server, "<password>")
}

/// Names and passwords hold nothing that a URL would encode: letters, digits, `_` and `-` stand for themselves.
fn connection_string(request: &Request, account: &Account, server: &Server, password: &str) -> String {
    let scheme = request.engine.scheme();
    let tls = if request.terms.tls { request.engine.tls_parameter() } else { "" };
    format!("{scheme}://{}:{password}@{}/{}{tls}", account.user, server.app, request.database)
}
