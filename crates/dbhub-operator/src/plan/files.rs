//! Where the pods find their files. Pure.

use std::collections::BTreeMap;

use crate::plan::ids::SourceId;
use crate::validate::ca::CaBundle;
use crate::validate::file::FilePath;
use crate::validate::source::Source;

/// Key of the configuration in its ConfigMap, and its file name.
pub const CONFIG_KEY: &str = "dbhub.toml";

/// Path of the configuration in the pods.
pub const CONFIG_PATH: &str = "/etc/dbhub/dbhub.toml";

/// Folder of the CA files in the pods.
pub const CA_FOLDER: &str = "/etc/dbhub/ca";

/// Folder of the volumes with SQLite files in the pods.
const SQLITE_FOLDER: &str = "/var/lib/dbhub/sqlite";

/// The CA files, by their content: one for each different bundle, since all of them share one ConfigMap. Each is named
/// by the first source that has it.
pub struct CaFiles<'a>(BTreeMap<&'a str, String>);

impl<'a> CaFiles<'a> {
    /// Those of these sources.
    #[must_use]
    pub fn of(sources: &'a [Source]) -> Self {
        let mut files = BTreeMap::new();
        for source in sources {
            if let Some(ca) = source.ca() {
                files.entry(ca.as_str()).or_insert_with(|| format!("{}.pem", source.id.as_str()));
            }
        }
        Self(files)
    }

    /// Path of a bundle in the pods; `None` when it is none of theirs.
    #[must_use]
    pub fn path(&self, ca: &CaBundle) -> Option<String> {
        Some(format!("{CA_FOLDER}/{}", self.0.get(ca.as_str())?))
    }

    /// What stands in the ConfigMap.
    #[must_use]
    pub fn into_data(self) -> BTreeMap<String, String> {
        self.0.into_iter().map(|(content, name)| (name, content.to_owned())).collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::sources;
    use crate::validate::source::{Backend, Tls};

    fn tls(source: &mut Source) -> &mut Tls {
        match &mut source.backend {
            Backend::Server(server) => &mut server.tls,
            Backend::Memory | Backend::File(_) => panic!("a server was meant"),
        }
    }

    #[test]
    fn a_bundle_that_several_sources_trust_is_one_file() {
        let of =
            |name| format!("- {{name: {name}, type: postgres, host: pg, database: app, sslMode: verify-ca, ca: true}}");
        let mut found = sources(&[of("a"), of("b"), of("c")].join("\n"));
        let shared = tls(&mut found[0]).clone();
        *tls(&mut found[2]) = shared.clone();
        let files = CaFiles::of(&found);
        assert_eq!(files.path(shared.ca().unwrap()).as_deref(), Some("/etc/dbhub/ca/a.pem"));
        assert_eq!(files.into_data().into_keys().collect::<Vec<_>>(), ["a.pem", "b.pem"]);
    }
}
