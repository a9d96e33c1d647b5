//! An SQLite file becomes a path that DBHub reads as meant, on a volume that is there; the pods of an instance wait for
//! ever for a volume that is not. Pure.

use std::fmt;

use api_types::{Database, SqliteVolume};
use sha2::{Digest as _, Sha256};

use super::rejection::Rejection;
use crate::gather::Keyed;
use crate::random::hexadecimal;

/// A file on a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The volume.
    pub volume: Volume,
    /// Where on it.
    pub path: FilePath,
    /// Hash of the content, where it is known: pods that have an older one open do not see the new one.
    pub revision: Option<String>,
}

/// What holds the file, by its name in the instance's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Volume {
    /// A PersistentVolumeClaim.
    Claim(String),
    /// A ConfigMap.
    ConfigMap(String),
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(name) => write!(f, "PersistentVolumeClaim {name}"),
            Self::ConfigMap(name) => write!(f, "ConfigMap {name}"),
        }
    }
}

/// A path that leads down from where it begins, and that DBHub, which makes a URL of it, opens as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(String);

impl FilePath {
    fn parse(text: &str) -> Result<Self, Rejection> {
        let leads_down = text.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let misread = text.contains(['?', '\\']) || text.contains("${") || text.chars().any(char::is_control);
        if !leads_down || misread {
            return Err(Rejection::PathUnsupported);
        }
        Ok(Self(text.to_owned()))
    }

    /// As it stands in the spec.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The file that a Database names by this path; `found` is its volume, if that exists.
pub fn file(database: &Database, path: &str, found: Option<&Keyed>) -> Result<File, Rejection> {
    let volume = match &database.spec.sqlite {
        None => return Err(Rejection::NoVolume),
        Some(sqlite) => volume(&sqlite.volume).ok_or(Rejection::VolumeInvalid)?,
    };
    let path = FilePath::parse(path)?;
    let Some(found) = found else { return Err(Rejection::VolumeNotFound { volume }) };
    let revision = match &volume {
        Volume::Claim(_) => None,
        Volume::ConfigMap(name) => {
            let missing = || Rejection::FileNotFound { name: name.clone(), key: path.0.clone() };
            Some(hexadecimal(&Sha256::digest(found.bytes(path.as_str()).ok_or_else(missing)?)))
        }
    };
    Ok(File { volume, path, revision })
}

fn volume(spec: &SqliteVolume) -> Option<Volume> {
    match (&spec.persistent_volume_claim, &spec.config_map) {
        (Some(claim), None) => Some(Volume::Claim(claim.claim_name.clone())),
        (None, Some(map)) => Some(Volume::ConfigMap(map.name.clone())),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_down_and_holds_nothing_that_dbhub_reads_otherwise() {
        for good in ["app.db", "a/b c/app.v2.sqlite", "100%.db", "..hidden", "ü@x#1.db"] {
            assert_eq!(FilePath::parse(good).map(|path| path.0), Ok(good.to_owned()));
        }
        for bad in ["", "/app.db", "a//b", "a/", ".", "./a", "../a", "a/../b", "a?mode=rw", "a\\b", "${HOME}", "a\nb"] {
            assert_eq!(FilePath::parse(bad), Err(Rejection::PathUnsupported), "{bad:?}");
        }
    }
}
