//! Where the pods find their files. Pure.

use crate::plan::ids::SourceId;
use crate::validate::file::FilePath;

/// Key of the configuration in its ConfigMap, and its file name.
pub const CONFIG_KEY: &str = "dbhub.toml";

/// Path of the configuration in the pods.
pub const CONFIG_PATH: &str = "/etc/dbhub/dbhub.toml";

/// Folder of the CA files in the pods.
pub const CA_FOLDER: &str = "/etc/dbhub/ca";

/// Folder of the volumes with SQLite files in the pods.
const SQLITE_FOLDER: &str = "/var/lib/dbhub/sqlite";

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

/// Folder of a source's volume with an SQLite file in the pods.
#[must_use]
pub fn sqlite_folder(id: &SourceId) -> String {
    format!("{SQLITE_FOLDER}/{}", id.as_str())
}

/// Path of a source's SQLite file in the pods.
#[must_use]
pub fn sqlite_path(id: &SourceId, file: &FilePath) -> String {
    format!("{}/{}", sqlite_folder(id), file.as_str())
}
