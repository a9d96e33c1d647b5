//! Finds a file below a folder and keeps hold of it: no `..` and no symbolic link leads out, whoever changes the folder
//! meanwhile. Reads no content, and opens nothing that opening would change.
//!
//! SQLite opens a file by its path alone, so the path is walked here first, one name at a time and each one from the
//! handle of the last, and the file is compared afterwards with what SQLite has opened ([`Found::is_open_again`]).
//! `openat2` would walk at once, but container runtimes refuse it here and there.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat};
use rustix::io::Errno;

use crate::error::FileClass;

/// What this process has open.
const HANDLES: &str = "/proc/self/fd";

/// A path that leads down: no part is empty, `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelativePath(String);

impl RelativePath {
    /// `None` for any other path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let leads_down = text.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'));
        leads_down.then(|| Self(text.to_owned()))
    }

    /// This path in the folder of that name.
    #[must_use]
    pub fn within(&self, folder: &str) -> Option<Self> {
        Self::parse(&format!("{folder}/{}", self.0))
    }
}

/// A user as the bits of a file's mode see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Whose a file is, and who may do what with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode {
    owner: Account,
    mode: u32,
}

impl FileMode {
    /// The bits as `chmod` takes them.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.mode & 0o7777
    }

    /// Whether that user may write to the file, by its mode.
    #[must_use]
    pub fn lets_write(self, account: Account) -> bool {
        let bit = match (account.uid == self.owner.uid, account.gid == self.owner.gid) {
            (true, _) => 0o200,
            (false, true) => 0o020,
            (false, false) => 0o002,
        };
        account.uid == 0 || self.mode & bit != 0
    }
}

/// A regular file that was found below its folder.
#[derive(Debug)]
pub struct Found {
    /// Its path as it was then, without a symbolic link.
    pub path: PathBuf,
    /// Its mode.
    pub mode: FileMode,
    id: (u64, u64),
    handle: OwnedFd,
}

/// Looks for the file `path` below `root`.
pub fn find(root: &Path, path: &RelativePath) -> Result<Found, FileClass> {
    // Such a handle stands for a place: it opens no device and reads nothing.
    let place = OFlags::PATH | OFlags::CLOEXEC;
    let mut handle = open(root, place | OFlags::DIRECTORY, Mode::empty()).map_err(|_| FileClass::Io)?;
    let mut kind = FileType::Directory;
    for part in path.0.split('/') {
        handle = openat(&handle, part, place | OFlags::NOFOLLOW, Mode::empty()).map_err(class)?;
        kind = FileType::from_raw_mode(fstat(&handle).map_err(class)?.st_mode);
        if kind == FileType::Symlink {
            return Err(FileClass::Symlink);
        }
    }
    if kind != FileType::RegularFile {
        return Err(FileClass::NotAFile);
    }
    let seen = format!("{HANDLES}/{}", handle.as_raw_fd());
    let meta = fs::metadata(&seen).map_err(|_| FileClass::Io)?;
    Ok(Found {
        path: fs::read_link(&seen).map_err(|_| FileClass::Io)?,
        mode: FileMode { owner: Account { uid: meta.uid(), gid: meta.gid() }, mode: meta.mode() },
        id: (meta.dev(), meta.ino()),
        handle,
    })
}

impl Found {
    /// The file opened for reading, whatever is at its path by now.
    pub fn read(&self) -> Result<fs::File, FileClass> {
        let opened = fs::File::open(format!("{HANDLES}/{}", self.handle.as_raw_fd()));
        opened.map_err(|error| if is_refusal(&error) { FileClass::Denied } else { FileClass::Io })
    }

    /// Whether this process has the file open beside this handle. Where nobody else opens files of that folder at the
    /// same time, this says whether what was just opened by the path is the file that was found.
    pub fn is_open_again(&self) -> io::Result<bool> {
        let own = self.handle.as_raw_fd().to_string();
        for entry in fs::read_dir(HANDLES)? {
            let entry = entry?;
            // What is closed meanwhile was not it.
            let Ok(meta) = fs::metadata(entry.path()) else { continue };
            if entry.file_name() != own.as_str() && (meta.dev(), meta.ino()) == self.id {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn class(errno: Errno) -> FileClass {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => FileClass::NotFound,
        Errno::ACCESS | Errno::PERM => FileClass::Denied,
        Errno::LOOP => FileClass::Symlink,
        _ => FileClass::Io,
    }
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text).unwrap()
    }

    /// A root with the folders `acme` and `other`, each with a file.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["acme/data", "other"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in ["acme/data/app.db", "other/secret.db"] {
            fs::write(root.path().join(file), file).unwrap();
        }
        root
    }

    fn found(root: &Path, text: &str) -> Result<PathBuf, FileClass> {
        find(root, &path(text)).map(|found| found.path)
    }

    #[test]
    fn a_file_is_found_where_its_path_leads() {
        let root = root();
        let real = root.path().canonicalize().unwrap();
        assert_eq!(found(root.path(), "acme/data/app.db"), Ok(real.join("acme/data/app.db")));
        assert_eq!(found(root.path(), "acme/data/none.db"), Err(FileClass::NotFound));
        assert_eq!(found(root.path(), "acme/none/app.db"), Err(FileClass::NotFound));
        assert_eq!(found(root.path(), "acme/data/app.db/x"), Err(FileClass::NotFound));
        assert_eq!(found(root.path(), "acme/data"), Err(FileClass::NotAFile));
        assert_eq!(found(&root.path().join("none"), "acme/data/app.db"), Err(FileClass::Io));
    }

    #[test]
    fn no_symbolic_link_is_followed_wherever_it_leads() {
        let root = root();
        let acme = root.path().join("acme");
        symlink("../other/secret.db", acme.join("file")).unwrap();
        symlink("../other", acme.join("folder")).unwrap();
        symlink("data/app.db", acme.join("inside")).unwrap();
        symlink("other", root.path().join("namespace")).unwrap();
        for link in ["acme/file", "acme/folder/secret.db", "acme/inside", "namespace/secret.db"] {
            let result = found(root.path(), link);
            assert!(matches!(result, Err(FileClass::Symlink | FileClass::NotFound)), "{link}: {result:?}");
        }
    }

    #[test]
    fn a_pipe_is_no_file_and_is_not_waited_for() {
        let root = root();
        let pipe = root.path().join("acme/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
        assert_eq!(found(root.path(), "acme/pipe"), Err(FileClass::NotAFile));
    }

    #[test]
    fn what_is_read_is_the_file_that_was_found() {
        let root = root();
        let found = find(root.path(), &path("acme/data/app.db")).unwrap();
        let folder = root.path().join("acme/data");
        fs::rename(&folder, root.path().join("acme/moved")).unwrap();
        symlink("../other", &folder).unwrap();
        fs::write(root.path().join("other/app.db"), "another").unwrap();
        assert_eq!(io::read_to_string(found.read().unwrap()).unwrap(), "acme/data/app.db");
        let other = fs::File::open(&found.path).unwrap();
        assert!(!found.is_open_again().unwrap(), "the path leads to another file now");
        let same = found.read().unwrap();
        assert!(found.is_open_again().unwrap());
        drop((other, same));
        assert!(!found.is_open_again().unwrap());
    }

    #[test]
    fn the_mode_tells_who_may_write() {
        let root = root();
        let file = root.path().join("acme/data/app.db");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let mode = find(root.path(), &path("acme/data/app.db")).unwrap().mode;
        assert_eq!(mode.bits(), 0o640);
        let of = |mode| FileMode { owner: Account { uid: 1, gid: 2 }, mode };
        for (bits, owner, group, other) in [
            (0o644, true, false, false),
            (0o664, true, true, false),
            (0o446, false, false, true),
            (0o062, false, true, true),
        ] {
            assert_eq!(of(bits).lets_write(Account { uid: 1, gid: 2 }), owner, "{bits:o}");
            assert_eq!(of(bits).lets_write(Account { uid: 9, gid: 2 }), group, "{bits:o}");
            assert_eq!(of(bits).lets_write(Account { uid: 9, gid: 9 }), other, "{bits:o}");
            assert!(of(bits).lets_write(Account { uid: 0, gid: 0 }), "{bits:o}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_as_a_path_never_leads_up(text in "[a.\\\\/]{0,12}") {
            let Some(path) = RelativePath::parse(&text) else { return Ok(()) };
            let parts: Vec<_> = Path::new(&path.0).components().collect();
            prop_assert!(parts.iter().all(|part| matches!(part, std::path::Component::Normal(_))));
            prop_assert_eq!(parts.len(), text.split('/').count());
        }
    }
}
