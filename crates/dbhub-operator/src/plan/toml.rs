//! DBHub's configuration: sources and their tools as TOML. Pure. It never holds a credential, only the names of the
//! environment variables that DBHub replaces after parsing.

use api_types::Operation;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

use super::files::{CaFiles, sqlite_path};
use crate::plan::ids::SourceId;
use crate::validate::source::{Backend, Server, Source, Tls};

/// The whole file. Every source is lazy, so that one that is down stops no start, and lists its tools, since DBHub
/// gives a source without any the right to write.
#[must_use]
pub fn render(sources: &[Source]) -> String {
    let mut document = DocumentMut::new();
    let ca_files = CaFiles::of(sources);
    let listed = sources.iter().map(|found| source(found, &ca_files)).collect();
    document.insert("sources", Item::ArrayOfTables(listed));
    let tools: ArrayOfTables = sources.iter().flat_map(tools).collect();
    document.insert("tools", Item::ArrayOfTables(tools));
    document.to_string()
}

fn source(source: &Source, ca_files: &CaFiles<'_>) -> Table {
    let mut table = Table::new();
    set(&mut table, "id", source.id.as_str());
    match &source.backend {
        Backend::Memory => sqlite(&mut table, ":memory:"),
        Backend::File(file) => sqlite(&mut table, &sqlite_path(&source.id, &file.path)),
        Backend::Server(server) => connection(&mut table, &source.id, server, ca_files),
    }
    set(&mut table, "lazy", true);
    table
}

/// DBHub knows no TLS and no timeout here, and opens the file for writing where it can: the mount is read only.
fn sqlite(table: &mut Table, database: &str) {
    set(table, "type", "sqlite");
    set(table, "database", database);
}

fn connection(table: &mut Table, id: &SourceId, server: &Server, ca_files: &CaFiles<'_>) {
    set(table, "type", server.engine.as_str());
    set(table, "host", server.host.as_str());
    set(table, "port", i64::from(server.port));
    set(table, "database", server.database.as_str());
    set(table, "user", format!("${{{}}}", id.user_variable()));
    set(table, "password", format!("${{{}}}", id.password_variable()));
    set(table, "sslmode", ssl_mode(&server.tls));
    if let Some(path) = server.tls.ca().and_then(|ca| ca_files.path(ca)) {
        set(table, "sslrootcert", path);
    }
    set(table, "connection_timeout", i64::from(server.connection_timeout));
    set(table, "query_timeout", i64::from(server.query_timeout));
}

fn ssl_mode(tls: &Tls) -> &'static str {
    match tls {
        Tls::Disable => "disable",
        Tls::Require => "require",
        Tls::VerifyCa(_) => "verify-ca",
        Tls::VerifyFull(_) => "verify-full",
    }
}

fn tools(source: &Source) -> impl Iterator<Item = Table> {
    source.policy.allowed_operations.iter().map(move |operation| {
        let mut table = Table::new();
        set(&mut table, "name", operation.as_str());
        set(&mut table, "source", source.id.as_str());
        // DBHub refuses these two on any other tool.
        if *operation == Operation::ExecuteSql {
            set(&mut table, "readonly", source.policy.readonly);
            set(&mut table, "max_rows", i64::from(source.policy.max_rows));
        }
        table
    })
}

fn set(table: &mut Table, key: &str, value: impl Into<Value>) {
    table.insert(key, Item::Value(value.into()));
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;
    use crate::fixtures::{candidate, sources};
    use crate::validate::source::judge;

    #[test]
    fn every_engine_and_tls_mode() {
        assert_snapshot!(render(&sources(
            "
            - {name: pg-plain, type: postgres, host: pg.internal, database: app, sslMode: disable}
            - {name: pg-own-ca, type: postgres, host: pg.internal, database: app, sslMode: verify-ca, ca: true}
            - {name: pg-full, type: postgres, host: 10.0.0.5, port: 6432, database: app, sslMode: verify-full}
            - {name: my, type: mysql, host: my.internal, database: app}
            - {name: maria, type: mariadb, host: my.internal, database: app, connectionTimeout: 3, queryTimeout: 7}
            - {name: ms, type: sqlserver, host: ms.internal, database: app}
            - {name: mem, type: sqlite, database: ':memory:'}
        "
        )));
    }

    #[test]
    fn only_what_the_policy_allows_becomes_a_tool() {
        let mut sources = sources("- {name: one, type: mysql, host: my.internal, database: app}");
        sources[0].policy.allowed_operations = vec![Operation::SearchObjects];
        let text = render(&sources);
        assert!(text.contains("search_objects") && !text.contains("execute_sql"), "{text}");
    }

    fn parsed(text: &str, list: &str, key: &str) -> Vec<String> {
        let document: DocumentMut = text.parse().unwrap();
        let tables = document[list].as_array_of_tables().unwrap();
        tables.iter().map(|table| table[key].as_str().unwrap().to_owned()).collect()
    }

    proptest! {
        #[test]
        fn what_went_in_parses_back_and_nothing_can_be_expanded(
            name in "[a-z][a-z0-9.-]{0,20}", host in "[A-Za-z0-9._-]{1,20}", database in ".{1,12}", port: u16,
        ) {
            let given = candidate(&format!("{{name: {name:?}, type: mysql, host: {host:?}, port: {port}}}"), |spec| {
                spec.database = Some(database.clone());
            });
            let Ok(source) = judge(vec![given], &api_types::Policy::default(), None).remove(0).result else {
                // Refused before rendering: it holds something that DBHub's own encoding would change.
                prop_assert!(database.chars().any(|c| !(c.is_ascii_alphanumeric() || "-_.!~*'()".contains(c))));
                return Ok(());
            };
            let text = render(&[source]);
            prop_assert_eq!(parsed(&text, "sources", "id"), [name.clone()]);
            prop_assert_eq!(parsed(&text, "sources", "host"), [host]);
            prop_assert_eq!(parsed(&text, "sources", "database"), [database]);
            prop_assert_eq!(parsed(&text, "tools", "source"), [name.clone(), name]);
            prop_assert_eq!(text.matches("${").count(), 2, "user and password alone");
        }
    }
}
