//! Answers as Microsoft's documentation has them; no server has given them here.

use api_types::Privileges::{self, Admin, ReadOnly, ReadWrite, Unknown};

use super::*;

fn row(columns: [&str; 6]) -> Row {
    Row::new(columns.map(|column| Some(column.to_owned())).to_vec())
}

fn plain(source: &str, rights: &[&str]) -> Vec<Row> {
    rights.iter().map(|right| row([source, right, "", "", "", "1"])).collect()
}

/// What every login has on the server.
fn server() -> Vec<Row> {
    let endpoint = row(["server grant", "CONNECT", "ENDPOINT", "", "public", "4"]);
    [plain("server", &["CONNECT SQL", "VIEW ANY DATABASE"]), vec![endpoint]].concat()
}

/// What a user with SELECT on one schema, and what everybody has.
fn reader() -> Vec<Row> {
    let rights =
        ["CONNECT", "VIEW ANY COLUMN ENCRYPTION KEY DEFINITION", "VIEW ANY COLUMN MASTER KEY DEFINITION", "SELECT"];
    [plain("database", &rights), vec![row(["grant", "SELECT", "SCHEMA", "sales", "", "1"])]].concat()
}

fn found(server: &[Row], database: &[Row]) -> (Privileges, String) {
    let rights = rights(Some(server), database);
    (rights.privileges(), rights.to_string())
}

fn with(more: &[Row]) -> (Privileges, String) {
    found(&server(), &[reader(), more.to_vec()].concat())
}

#[test]
fn a_reader_only_reads() {
    assert_eq!(with(&[]), (ReadOnly, "no right to write was found".to_owned()));
    let observer = [server(), plain("server", &["VIEW SERVER STATE", "SELECT ALL USER SECURABLES"])].concat();
    assert_eq!(found(&observer, &reader()).0, ReadOnly);
}

#[test]
fn a_writer_writes() {
    let writer = [plain("role", &["db_datawriter"]), plain("database", &["INSERT", "UPDATE", "DELETE"])].concat();
    let sentence =
        "the login can write, by membership in db_datawriter: take it out of that role, and use db_datareader";
    assert_eq!(with(&writer), (ReadWrite, sentence.to_owned()));
    let builder = [plain("role", &["db_ddladmin"]), plain("database", &["CREATE TABLE", "ALTER ANY SCHEMA"])].concat();
    assert_eq!(with(&builder).0, ReadWrite);
    assert_eq!(
        with(&[row(["grant", "INSERT", "OBJECT_OR_COLUMN", "sales.orders", "writers", "3"])]).1,
        "the login can write, by INSERT on object \"sales.orders\" and 2 more, through role \"writers\": revoke it, and \
         grant SELECT alone"
    );
    assert_eq!(
        with(&[row(["owner", "", "SCHEMA", "sales", "", "1"])]).1,
        "the login can write, by owning the schema \"sales\": let another user own it, and grant SELECT alone"
    );
}

#[test]
fn an_owner_administers() {
    let owner = [plain("role", &["db_owner"]), plain("database", &["CONTROL", "ALTER ANY USER", "INSERT"])].concat();
    let (privileges, sentence) = with(&owner);
    assert_eq!(privileges, Admin);
    assert!(sentence.starts_with("the login can administer, by membership in db_owner: "), "{sentence}");
    for role in ["db_securityadmin", "db_accessadmin", "db_backupoperator"] {
        assert_eq!(with(&plain("role", &[role])).0, Admin, "{role}");
    }
}

#[test]
fn a_sysadmin_administers_whatever_the_database_says() {
    let sysadmin = [
        plain("server role", &["sysadmin", "securityadmin"]),
        plain("server", &["CONNECT SQL", "CONTROL SERVER", "ADMINISTER BULK OPERATIONS"]),
    ]
    .concat();
    let sentence = "the login can administer, by membership in server role sysadmin: take the login out of it";
    assert_eq!(found(&sysadmin, &reader()), (Admin, sentence.to_owned()));
    assert_eq!(found(&[server(), plain("server", &["ALTER ANY LOGIN"])].concat(), &reader()).0, Admin);
    assert_eq!(found(&[server(), plain("server", &["SOMETHING NEW"])].concat(), &reader()).0, Admin);
}

#[test]
fn every_kind_of_right_has_its_weight() {
    for (right, expected) in [
        ("EXECUTE", ReadOnly),
        ("SHOWPLAN", ReadOnly),
        ("VIEW DEFINITION", ReadOnly),
        ("REFERENCES", ReadWrite),
        ("CREATE TABLE", ReadWrite),
        ("ALTER ANY ASSEMBLY", ReadWrite),
        ("ALTER ANY ROLE", Admin),
        ("ALTER ANY USER", Admin),
        ("ALTER", Admin),
        ("CONTROL", Admin),
        ("BACKUP DATABASE", Admin),
        ("EXECUTE ANY EXTERNAL SCRIPT", Admin),
        ("SOMETHING NEW", Admin),
    ] {
        assert_eq!(with(&plain("database", &[right])).0, expected, "{right}");
    }
    for (right, kind, expected) in [
        ("EXECUTE", "OBJECT_OR_COLUMN", ReadOnly),
        ("VIEW DEFINITION", "DATABASE_PRINCIPAL", ReadOnly),
        ("UPDATE", "SCHEMA", ReadWrite),
        ("CONTROL", "OBJECT_OR_COLUMN", ReadWrite),
        ("IMPERSONATE", "DATABASE_PRINCIPAL", Admin),
        ("SELECT WITH GRANT OPTION", "OBJECT_OR_COLUMN", Admin),
    ] {
        assert_eq!(with(&[row(["grant", right, kind, "x", "", "1"])]).0, expected, "{right}");
    }
    let impersonate = row(["server grant", "IMPERSONATE", "SERVER_PRINCIPAL", "sa", "", "1"]);
    assert_eq!(
        found(&[server(), vec![impersonate]].concat(), &reader()).1,
        "the login can administer, by IMPERSONATE on login or server role \"sa\": revoke it, and grant SELECT alone"
    );
    assert_eq!(with(&[row(["owner", "", "ROLE", "writers", "", "1"])]).0, Admin);
}

#[test]
fn what_is_not_told_is_unknown() {
    assert_eq!(rights(None, &reader()).privileges(), Unknown);
    assert_eq!(found(&[], &reader()).0, Unknown);
    assert_eq!(found(&server(), &[]).0, Unknown);
    assert_eq!(rights(None, &plain("role", &["db_datawriter"])).privileges(), ReadWrite);
}

#[test]
fn a_servers_own_words_are_not_passed_on() {
    let (_, sentence) = with(&[row(["grant", "x'; DROP", "<b>", "a\u{1b}[31m\n", "r\n", "9"])]);
    assert_eq!(
        sentence,
        "the login can write, by a right on a right \"a[31m\" and 8 more, through role \"r\": revoke it, and grant \
         SELECT alone"
    );
}

#[test]
fn the_statements_are_complete() {
    let statement = list_rights_in_database();
    assert!(!statement.expose_text().contains("<holder>"));
    assert_eq!(statement.expose_text().matches("DATABASE_PRINCIPAL_ID()").count(), 4);
}
