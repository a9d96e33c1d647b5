//! Turns what is wrong with an SQLite file into a reason and a sentence. The sentence holds the path of the spec, and
//! nothing that stands in the file or is told by SQLite.

use std::fmt;

use super::Reason;

/// A file as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// `spec.database`.
    pub path: String,
    /// The Database's namespace; none for a path from the command line.
    pub namespace: Option<String>,
    /// Whether `spec.sqlite.volume` names a volume, so that DBHub serves the file.
    pub on_volume: bool,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum FileClass {
    /// It may be there, where we do not look.
    NotVisible,
    /// It is not where we look.
    NotFound,
    /// We may not read it, or not enter a folder on the way to it.
    Denied,
    /// A symbolic link is on the way to it.
    Symlink,
    /// It is a folder, a device, a pipe or a socket.
    NotAFile,
    /// Another file took its place while it was opened.
    Replaced,
    /// Another process kept it locked.
    Locked,
    /// It is in WAL mode, and its reader would have to write beside it.
    Wal,
    /// Its last writer did not end what it began, and only a writer can.
    Unfinished,
    /// It is in no format of SQLite, or encrypted.
    NotADatabase,
    /// Its format is SQLite's, its content is not.
    Damaged,
    /// What it says about its tables takes more time or memory than a probe spends.
    TooMuch,
    /// The volume reports an error.
    Io,
    /// The volume does not answer.
    Timeout,
}

/// Why a file could not be probed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FileProblem {
    /// What is wrong.
    pub class: FileClass,
    /// With which file.
    pub file: FileName,
}

impl FileProblem {
    /// What is wrong with this file. One on a volume that is not where we look may well be on its volume.
    #[must_use]
    pub fn new(class: FileClass, file: &FileName) -> Self {
        let class = if class == FileClass::NotFound && file.on_volume { FileClass::NotVisible } else { class };
        Self { class, file: file.clone() }
    }

    /// The reason to publish.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self.class {
            FileClass::NotVisible => Reason::FileNotVisible,
            FileClass::NotFound => Reason::DatabaseNotFound,
            FileClass::Denied | FileClass::Symlink | FileClass::Wal => Reason::AccessDenied,
            FileClass::Replaced | FileClass::Unfinished | FileClass::Io => Reason::ServerNotReady,
            FileClass::NotAFile | FileClass::NotADatabase | FileClass::Damaged | FileClass::TooMuch => {
                Reason::ProtocolError
            }
            FileClass::Locked | FileClass::Timeout => Reason::Timeout,
        }
    }

    fn write_place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileName { path, namespace, on_volume } = &self.file;
        let folder = namespace.as_deref().unwrap_or("the namespace's folder");
        match self.class {
            FileClass::NotVisible if *on_volume => write!(
                f,
                "db-probe cannot see the file {path}, which is on a volume that DBHub's pods mount: it is served all \
                 the same, and probed once who runs db-probe mounts that volume as {folder} below its --sqlite-root"
            ),
            FileClass::NotVisible => write!(
                f,
                "db-probe has no folder with SQLite files, so it cannot see {path}: name the volume in \
                 spec.sqlite.volume to have it served, and ask who runs db-probe for a --sqlite-root to have it probed"
            ),
            FileClass::Denied => write!(f, "db-probe may not read the file {path}: let every user read it"),
            FileClass::Symlink => {
                write!(
                    f,
                    "a symbolic link is on the way to {path}, and db-probe follows none: put the file itself there"
                )
            }
            FileClass::NotAFile => write!(f, "{path} is not a regular file: correct spec.database"),
            FileClass::Replaced => {
                write!(f, "the file {path} was replaced while it was opened: it is looked at again")
            }
            FileClass::Io => write!(f, "the volume with the file {path} reports an error: check it"),
            FileClass::Timeout => write!(
                f,
                "the volume with the file {path} did not answer in time: check it; until it answers, no other SQLite \
                 file is probed"
            ),
            _ if namespace.is_some() => write!(
                f,
                "there is no file {path} in {folder} below db-probe's --sqlite-root: put it there or correct \
                 spec.database"
            ),
            _ => write!(f, "there is no file {path}: check the path"),
        }
    }

    fn write_content(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.file.path;
        match self.class {
            FileClass::Locked => write!(f, "another process keeps the file {path} locked: let it end its transaction"),
            FileClass::Wal => write!(
                f,
                "the file {path} is in WAL mode and no writer has it open, so that reading it takes the right to write \
                 beside it, which DBHub does not have: PRAGMA journal_mode=DELETE"
            ),
            FileClass::Unfinished => write!(
                f,
                "the last writer of {path} did not end its transaction, and only a writer can roll it back: open it \
                 once for writing"
            ),
            FileClass::NotADatabase => {
                write!(f, "the file {path} is no SQLite database, or is encrypted: correct spec.database")
            }
            FileClass::TooMuch => {
                write!(
                    f,
                    "the list of tables in {path} is too large for a probe: check that the file is what it should be"
                )
            }
            _ => write!(f, "the SQLite database {path} is damaged: restore it"),
        }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            FileClass::NotVisible
            | FileClass::NotFound
            | FileClass::Denied
            | FileClass::Symlink
            | FileClass::NotAFile
            | FileClass::Replaced
            | FileClass::Io
            | FileClass::Timeout => self.write_place(f),
            FileClass::Locked
            | FileClass::Wal
            | FileClass::Unfinished
            | FileClass::NotADatabase
            | FileClass::Damaged
            | FileClass::TooMuch => self.write_content(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [FileClass; 14] = [
        FileClass::NotVisible,
        FileClass::NotFound,
        FileClass::Denied,
        FileClass::Symlink,
        FileClass::NotAFile,
        FileClass::Replaced,
        FileClass::Locked,
        FileClass::Wal,
        FileClass::Unfinished,
        FileClass::NotADatabase,
        FileClass::Damaged,
        FileClass::TooMuch,
        FileClass::Io,
        FileClass::Timeout,
    ];

    fn problem(class: FileClass, on_volume: bool) -> FileProblem {
        FileProblem::new(class, &FileName { path: "data/app.db".into(), namespace: Some("acme".into()), on_volume })
    }

    #[test]
    fn every_problem_has_its_reason_and_says_what_to_do() {
        let shown = CLASSES.map(|class| {
            let problem = problem(class, false);
            (problem.reason(), problem.to_string())
        });
        assert!(shown.iter().all(|(_, message)| message.contains(": ")), "a cause, then what to do");
        insta::assert_yaml_snapshot!(shown);
    }

    #[test]
    fn a_file_on_a_volume_is_not_missing_only_because_it_is_not_seen() {
        for class in [FileClass::NotFound, FileClass::NotVisible] {
            let problem = problem(class, true);
            assert_eq!(problem.reason(), Reason::FileNotVisible);
            assert!(problem.to_string().contains("served all the same"), "{problem}");
        }
        assert_eq!(problem(FileClass::Denied, true).reason(), Reason::AccessDenied);
    }
}
