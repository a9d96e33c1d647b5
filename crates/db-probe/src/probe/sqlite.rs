//! What a probe asks of an SQLite file: that it can be opened, and how many tables it has. Writes nothing, neither to
//! the file nor beside it.
//!
//! Whatever touches the volume does so on a thread of its own, since it cannot be interrupted while the volume hangs.
//! Files are probed one at a time. So a volume that hangs costs one thread, which ends when the volume answers and
//! which the end of the process does not wait for; until then every other file waits in vain and says so. And so what
//! SQLite has open can be told from the outside ([`confine`]).
//!
//! SQLite may open side files (`-wal`, `-shm`, `-journal`) by their paths. One that is exchanged for another in that
//! moment can make a probe fail or succeed, but nothing that is read in it is ever shown.

mod confine;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use api_types::ConnectionPool;
use async_trait::async_trait;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::Opened;
use super::rights::{Excess, Level, Rights};
use crate::error::{FileClass, FileName, FileProblem};

pub use confine::{Account, RelativePath};
use confine::{FileMode, Found, find};

/// The user that DBHub's pods run as.
pub const DBHUB: Account = Account { uid: 65_532, gid: 65_532 };

/// How long another process may keep the file locked.
const BUSY: Duration = Duration::from_millis(500);
/// How long SQLite may compute. The list of tables of a sound file takes milliseconds.
const WORK: Duration = Duration::from_secs(2);
/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 1000;
/// Bytes of memory that SQLite may take.
const MEMORY: u32 = 32 << 20;
/// Bytes of one definition of a table, view or trigger.
const LONGEST: i32 = 1 << 20;

/// What has a meaning in an URI.
const SPECIAL: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// The folder that all files are below, and the turn to probe one of them.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    turn: Arc<Semaphore>,
}

impl Root {
    /// This folder. Whether it is there is seen at each probe.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, turn: Arc::new(Semaphore::new(1)) }
    }
}

/// What a file's probe starts from.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// Where it is.
    pub place: Place,
    /// The same in words.
    pub name: FileName,
    /// Who writes to it where its mode lets them; `None` where nobody can.
    pub writer: Option<Account>,
    /// For waiting for the turn and opening the file.
    pub connect_timeout: Duration,
    /// For the query.
    pub query_timeout: Duration,
}

/// Where an SQLite database is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In memory: every connection makes its own, so that there is nothing to look at.
    Memory,
    /// In a file.
    File(Root, RelativePath),
}

/// An open SQLite database.
pub struct Sqlite {
    /// Nothing for one in memory.
    held: Option<Held>,
    rights: Rights,
    options: SqliteOptions,
}

/// What moves from thread to thread. The turn is given back when the file is closed, and not before.
struct Held {
    connection: Connection,
    mode: FileMode,
    _turn: OwnedSemaphorePermit,
}

/// Opens the database.
pub async fn open(options: &SqliteOptions) -> Result<Sqlite, FileProblem> {
    let held = match &options.place {
        Place::Memory => None,
        Place::File(root, path) => {
            let held = timeout(options.connect_timeout, hold(root.clone(), path.clone())).await;
            Some(held.unwrap_or(Err(FileClass::Timeout)).map_err(|class| options.problem(class))?)
        }
    };
    let rights = rights(held.as_ref().map(|held| held.mode), options.writer);
    Ok(Sqlite { held, rights, options: options.clone() })
}

#[async_trait]
impl Opened<FileProblem> for Sqlite {
    /// A file has no server: this is the version that reads it.
    async fn version(&mut self) -> Result<String, FileProblem> {
        if let Some(mut held) = self.held.take() {
            let asked = apart(move || ask(&mut held.connection).map(|()| held));
            let asked = timeout(self.options.query_timeout, asked).await.unwrap_or(Err(FileClass::Timeout));
            self.held = Some(asked.map_err(|class| self.options.problem(class))?);
        }
        Ok(format!("SQLite {}", rusqlite::version()))
    }

    /// A file counts no connections.
    async fn connections(&mut self) -> Result<Option<ConnectionPool>, FileProblem> {
        Ok(None)
    }

    async fn rights(&mut self) -> Result<Rights, FileProblem> {
        Ok(self.rights.clone())
    }

    async fn close(self: Box<Self>) {
        let Some(held) = self.held else { return };
        let closed = apart(move || {
            drop(held);
            Ok(())
        });
        // A volume that hangs just now is found by the next probe.
        drop(timeout(self.options.query_timeout, closed).await);
    }
}

impl SqliteOptions {
    fn problem(&self, class: FileClass) -> FileProblem {
        FileProblem::new(class, &self.name)
    }
}

/// Does the work on a thread of its own, and gives its result. Dropped meanwhile, the work goes on to its end.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileClass> + Send + 'static,
) -> Result<T, FileClass> {
    let (done, result) = oneshot::channel();
    let run = move || drop(done.send(work()));
    thread::Builder::new().name("sqlite".to_owned()).spawn(run).map_err(|_| FileClass::Timeout)?;
    result.await.unwrap_or(Err(FileClass::Damaged))
}

async fn hold(root: Root, path: RelativePath) -> Result<Held, FileClass> {
    // The semaphore is never closed, which is the one reason for an error.
    let turn = Arc::clone(&root.turn).acquire_owned().await.map_err(|_| FileClass::Timeout)?;
    apart(move || {
        let found = find(&root.path, &path)?;
        let connection = connect(&found)?;
        restrain(&connection).map_err(|error| class_of(&error))?;
        Ok(Held { connection, mode: found.mode, _turn: turn })
    })
    .await
}

fn connect(found: &Found) -> Result<Connection, FileClass> {
    // Without a writer's log beside it SQLite would make one, and where it may not, refuse.
    if is_wal(found)? && !log_of(&found.path).exists() {
        return Err(FileClass::Wal);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_URI;
    let path = found.path.to_str().ok_or(FileClass::NotFound)?;
    let uri = format!("file:{}?readonly_shm=1", utf8_percent_encode(path, SPECIAL));
    // It could be read a moment ago.
    let connection = Connection::open_with_flags(uri, flags).map_err(|_| FileClass::Replaced)?;
    match found.is_open_again() {
        Ok(true) => Ok(connection),
        Ok(false) => Err(FileClass::Replaced),
        Err(_) => Err(FileClass::Io),
    }
}

/// Whether the header asks its readers for a write-ahead log: bytes 18 and 19 of
/// <https://www.sqlite.org/fileformat2.html>.
fn is_wal(found: &Found) -> Result<bool, FileClass> {
    let mut header = Vec::with_capacity(20);
    found.read()?.take(20).read_to_end(&mut header).map_err(|_| FileClass::Io)?;
    Ok(header.get(18..20).is_some_and(|versions| versions.contains(&2)))
}

fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Takes away from SQLite what a hostile file could use: other files, code, time and memory.
fn restrain(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    ] {
        connection.set_db_config(setting, on)?;
    }
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, LONGEST)?;
    // It holds for all of the process's connections, and there is one at a time.
    connection.query_row(&format!("PRAGMA hard_heap_limit = {MEMORY}"), [], |_| Ok(()))
}

/// The trivial query. SQLite reads the definition of every table for it, and runs none of them.
fn ask(connection: &mut Connection) -> Result<(), FileClass> {
    let end = Instant::now() + WORK;
    let asked = connection
        .progress_handler(STEPS, Some(move || Instant::now() > end))
        .and_then(|()| connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)));
    asked.map(drop).map_err(|error| class_of(&error))
}

fn class_of(error: &rusqlite::Error) -> FileClass {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => FileClass::NotADatabase,
        // The file itself is open: this is the shared memory of its log.
        Some(ErrorCode::CannotOpen) => FileClass::Wal,
        Some(ErrorCode::ReadOnly) => FileClass::Unfinished,
        Some(ErrorCode::PermissionDenied) => FileClass::Denied,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            FileClass::Locked
        }
        Some(ErrorCode::OperationInterrupted | ErrorCode::OutOfMemory | ErrorCode::TooBig) => FileClass::TooMuch,
        Some(ErrorCode::SystemIoFailure | ErrorCode::NoLargeFileSupport) => FileClass::Io,
        _ => FileClass::Damaged,
    }
}

/// A database in memory ends with the probe: there is nothing in it to protect.
fn rights(mode: Option<FileMode>, writer: Option<Account>) -> Rights {
    match mode.zip(writer) {
        Some((mode, account)) if mode.lets_write(account) => Rights::Excess(Excess {
            level: Level::Write,
            right: format!("the file's mode {:04o}, which lets user {} write", mode.bits(), account.uid),
            remedy: "take that away with chmod",
        }),
        _ => Rights::ReadOnly,
    }
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
