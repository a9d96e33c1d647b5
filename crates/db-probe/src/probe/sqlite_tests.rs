use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::probe::{Reached, ask_file};

/// A root with the database `acme/app.db`, which these statements made.
fn root(statements: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("acme")).unwrap();
    make(&root.path().join("acme/app.db"), statements);
    root
}

fn make(file: &Path, statements: &str) {
    Connection::open(file).unwrap().execute_batch(statements).unwrap();
}

fn options(place: Place) -> SqliteOptions {
    let name = FileName { path: "app.db".to_owned(), namespace: Some("acme".to_owned()), on_volume: false };
    let timeout = Duration::from_secs(20);
    SqliteOptions { place, name, writer: Some(DBHUB), connect_timeout: timeout, query_timeout: timeout }
}

fn place(root: &TempDir) -> Place {
    Place::File(Root::new(root.path().to_owned()), RelativePath::parse("acme/app.db").unwrap())
}

async fn probed(root: &TempDir) -> Result<Reached, FileClass> {
    ask_file(&options(place(root))).await.map_err(|problem| problem.class)
}

async fn failure(root: &TempDir) -> FileClass {
    probed(root).await.unwrap_err()
}

/// Every name in the folder with its size and time of change.
fn listing(root: &TempDir) -> Vec<(std::ffi::OsString, u64, std::time::SystemTime)> {
    let entries = fs::read_dir(root.path().join("acme")).unwrap().map(Result::unwrap);
    let mut names: Vec<_> = entries
        .map(|entry| {
            let meta = entry.metadata().unwrap();
            (entry.file_name(), meta.len(), meta.modified().unwrap())
        })
        .collect();
    names.sort();
    names
}

fn file(root: &TempDir) -> PathBuf {
    root.path().join("acme/app.db")
}

#[tokio::test]
async fn a_database_is_reached_and_nothing_is_written() {
    let root = root("CREATE TABLE items (id); INSERT INTO items VALUES (1)");
    let before = listing(&root);
    let reached = probed(&root).await.unwrap();
    assert!(reached.version.starts_with("SQLite 3."), "{}", reached.version);
    assert_eq!((reached.pool, reached.rights), (None, Rights::ReadOnly));
    assert_eq!(listing(&root), before);
}

#[tokio::test]
async fn memory_is_there_and_holds_nothing_to_protect() {
    let reached = ask_file(&options(Place::Memory)).await.unwrap();
    assert_eq!((reached.pool, reached.rights), (None, Rights::ReadOnly));
}

#[tokio::test]
async fn an_empty_file_is_an_empty_database() {
    let root = root("");
    assert_eq!(fs::metadata(file(&root)).unwrap().len(), 0);
    assert!(probed(&root).await.is_ok());
}

#[tokio::test]
async fn a_path_may_hold_what_has_a_meaning_in_an_uri() {
    let root = root("");
    let name = "a b?mode=rwc#%41&x.db";
    make(&root.path().join("acme").join(name), "CREATE TABLE t (id)");
    let path = RelativePath::parse(&format!("acme/{name}")).unwrap();
    let options = options(Place::File(Root::new(root.path().to_owned()), path));
    assert!(ask_file(&options).await.is_ok());
}

#[tokio::test]
async fn the_mode_of_the_file_tells_what_dbhub_may_do() {
    let root = root("CREATE TABLE t (id)");
    for (mode, expected) in [
        (0o644, "no right to write was found"),
        (0o646, "the login can write, by the file's mode 0646, which lets user 65532 write: take that away with chmod"),
    ] {
        fs::set_permissions(file(&root), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(probed(&root).await.unwrap().rights.to_string(), expected);
    }
    let nobody = SqliteOptions { writer: None, ..options(place(&root)) };
    assert_eq!(ask_file(&nobody).await.unwrap().rights, Rights::ReadOnly);
}

#[tokio::test]
async fn what_is_no_database_is_told_from_what_is_a_damaged_one() {
    let root = root("");
    fs::write(file(&root), [0x5a; 8192]).unwrap();
    assert_eq!(failure(&root).await, FileClass::NotADatabase);
    fs::remove_file(file(&root)).unwrap();
    assert_eq!(failure(&root).await, FileClass::NotFound);
    make(&file(&root), "CREATE TABLE t (id); INSERT INTO t VALUES (zeroblob(9000))");
    let whole = fs::read(file(&root)).unwrap();
    // The header stays; the list of tables is noise.
    let damaged: Vec<u8> = whole[..100].iter().copied().chain(vec![0xa5; whole.len() - 100]).collect();
    fs::write(file(&root), damaged).unwrap();
    assert_eq!(failure(&root).await, FileClass::Damaged);
    fs::write(file(&root), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(failure(&root).await, FileClass::Damaged);
}

#[tokio::test]
async fn whatever_a_hostile_file_holds_the_probe_ends() {
    let endless = "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;
                   CREATE TABLE t (a, id INT GENERATED ALWAYS AS (1)); CREATE TRIGGER g AFTER INSERT ON t BEGIN
                   INSERT INTO t (a) SELECT i FROM v; END";
    assert!(probed(&root(endless)).await.is_ok(), "no definition is run");

    let unknown = "PRAGMA writable_schema = 1; INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 0,
                   'CREATE VIRTUAL TABLE x USING unheard_of(a)'), ('view', 'w', 'w', 0, 'CREATE VIEW w AS SELECT ((')";
    assert_eq!(failure(&root(unknown)).await, FileClass::Damaged);

    let long = format!("CREATE TABLE t (c TEXT DEFAULT '{}')", "x".repeat(2 << 20));
    assert_eq!(failure(&root(&long)).await, FileClass::TooMuch);
}

#[tokio::test]
async fn every_header_ends_in_an_answer() {
    let root = root("CREATE TABLE t (id); INSERT INTO t VALUES (1)");
    let whole = fs::read(file(&root)).unwrap();
    for at in 0..120 {
        for value in [0x00, 0x01, 0x7f, 0xff] {
            let mut broken = whole.clone();
            broken[at] = value;
            fs::write(file(&root), broken).unwrap();
            let before = listing(&root);
            let _: Result<Reached, FileClass> = probed(&root).await;
            assert_eq!(listing(&root), before, "byte {at} = {value}");
        }
    }
}

#[tokio::test]
async fn a_log_is_read_and_never_made() {
    let root = root("PRAGMA journal_mode = WAL; CREATE TABLE t (id)");
    // The last to close it took the log away.
    let before = listing(&root);
    assert_eq!(failure(&root).await, FileClass::Wal);
    let writer = Connection::open(file(&root)).unwrap();
    writer.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    assert!(probed(&root).await.is_ok(), "a writer has it open");
    drop(writer);
    assert_eq!(listing(&root).len(), before.len());
}

#[tokio::test]
async fn a_lock_is_not_waited_for_long() {
    let root = root("CREATE TABLE t (id)");
    let writer = Connection::open(file(&root)).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(failure(&root).await, FileClass::Locked);
    writer.execute_batch("COMMIT").unwrap();
    assert!(probed(&root).await.is_ok());
}

#[tokio::test]
async fn a_transaction_that_was_cut_off_is_left_to_a_writer() {
    let root = root("CREATE TABLE t (id)");
    let (kept, journal) = (root.path().join("acme/kept"), root.path().join("acme/app.db-journal"));
    let writer = Connection::open(file(&root)).unwrap();
    // With a small cache the pages of a transaction reach the file before its end.
    writer
        .execute_batch(
            "PRAGMA cache_size = 1; BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50)
             INSERT INTO t SELECT randomblob(4000) FROM n",
        )
        .unwrap();
    fs::copy(&journal, &kept).unwrap();
    let torn = fs::read(file(&root)).unwrap();
    drop(writer);
    fs::write(file(&root), torn).unwrap();
    fs::rename(&kept, &journal).unwrap();
    assert_eq!(failure(&root).await, FileClass::Unfinished);
}

#[tokio::test]
async fn nothing_outside_the_folder_is_reached() {
    let root = root("");
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("app.db");
    make(&secret, "CREATE TABLE t (id)");
    fs::remove_file(file(&root)).unwrap();
    symlink(&secret, file(&root)).unwrap();
    assert_eq!(failure(&root).await, FileClass::Symlink);
    fs::remove_dir_all(root.path().join("acme")).unwrap();
    symlink(outside.path(), root.path().join("acme")).unwrap();
    assert_eq!(failure(&root).await, FileClass::Symlink);
}

#[tokio::test]
async fn a_folder_that_is_exchanged_all_the_time_never_leads_outside() {
    // Only the file outside is a database, so that reaching it would be seen.
    let root = root("");
    fs::write(file(&root), [0x5a; 8192]).unwrap();
    let outside = tempfile::tempdir().unwrap();
    make(&outside.path().join("app.db"), "CREATE TABLE t (id)");
    let (folder, aside, link) = (root.path().join("acme"), root.path().join("aside"), root.path().join("link"));
    symlink(outside.path(), &link).unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let exchanging = thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            fs::rename(&folder, &aside).unwrap();
            fs::rename(&link, &folder).unwrap();
            fs::rename(&folder, &link).unwrap();
            fs::rename(&aside, &folder).unwrap();
        }
    });
    let mut seen = Vec::new();
    for _ in 0..500 {
        seen.push(probed(&root).await);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    exchanging.join().unwrap();
    assert!(seen.iter().all(Result::is_err), "a database outside the folder was reached");
    assert!(seen.contains(&Err(FileClass::NotADatabase)), "the file itself was never reached: {seen:?}");
}

#[tokio::test]
async fn a_volume_that_hangs_costs_one_thread_and_the_others_say_so() {
    let root = root("CREATE TABLE t (id)");
    let place = place(&root);
    let Place::File(turns, _) = &place else { unreachable!() };
    // As a thread does that waits for its volume.
    let hanging = Arc::clone(&turns.turn).acquire_owned().await.unwrap();
    let short = SqliteOptions { connect_timeout: Duration::from_millis(20), ..options(place.clone()) };
    assert_eq!(ask_file(&short).await.unwrap_err().class, FileClass::Timeout);
    assert!(ask_file(&options(Place::Memory)).await.is_ok());
    drop(hanging);
    assert!(ask_file(&options(place.clone())).await.is_ok());
}

#[tokio::test]
async fn the_turn_comes_back_however_a_probe_ends() {
    let root = root("");
    let place = place(&root);
    for content in [&[0x5a_u8; 8192][..], b""] {
        fs::write(file(&root), content).unwrap();
        let _: Result<Reached, FileProblem> = ask_file(&options(place.clone())).await;
    }
    fs::remove_file(file(&root)).unwrap();
    let _: Result<Reached, FileProblem> = ask_file(&options(place.clone())).await;
    drop(tokio::time::timeout(Duration::ZERO, ask_file(&options(place.clone()))).await);
    let Place::File(turns, _) = &place else { unreachable!() };
    let turn = Arc::clone(&turns.turn).acquire_owned();
    assert!(tokio::time::timeout(Duration::from_secs(20), turn).await.is_ok());
}

#[test]
fn other_files_are_out_of_reach_of_sql() {
    let connection = Connection::open_in_memory().unwrap();
    restrain(&connection).unwrap();
    for statement in ["ATTACH ':memory:' AS other", "SELECT load_extension('x')", "PRAGMA writable_schema = 1"] {
        let refused = connection.execute_batch(statement);
        let writable: i64 = connection.query_row("PRAGMA writable_schema", [], |row| row.get(0)).unwrap();
        assert!(refused.is_err() || writable == 0, "{statement}");
    }
}
