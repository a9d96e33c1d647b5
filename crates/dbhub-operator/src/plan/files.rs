//! Where the pods find their files. Pure.

use crate::plan::ids::SourceId;

/// Key of the configuration in its ConfigMap, and its file name.
pub const CONFIG_KEY: &str = "dbhub.toml";

/// Path of the configuration in the pods.
pub const CONFIG_PATH: &str = "/etc/dbhub/dbhub.toml";

/// Folder of the CA files in the pods.
pub const CA_FOLDER: &str = "/etc/dbhub/ca";

/// Key of a source's CA in the ConfigMap, and its file name.
#[must_use]
pub fn ca_key(id: &SourceId) -> String {
    format!("{}.pem", id.as_str())
}

/// Path of a source's CA in the pods.
#[must_use]
pub fn ca_path(id: &SourceId) -> String {
    format!("{CA_FOLDER}/{}", ca_key(id))
}
