use api_types::Privileges::{self, Admin, ReadOnly, ReadWrite, Unknown};

use super::*;

fn row(columns: [&str; 6]) -> Row {
    Row::new(columns.map(|column| Some(column.to_owned())).to_vec())
}

fn found(columns: [&str; 6]) -> Rights {
    rights(&[row(["login", "", "", "", "", "1"]), row(columns)])
}

#[test]
fn every_kind_of_row_has_its_weight() {
    let table: [([&str; 3], Privileges); 26] = [
        (["attribute", "SUPERUSER", ""], Admin),
        (["attribute", "BYPASSRLS", ""], Admin),
        (["member", "pg_execute_server_program", ""], Admin),
        (["member", "pg_read_server_files", ""], Admin),
        (["member", "pg_signal_backend", ""], Admin),
        (["member", "pg_write_all_data", ""], ReadWrite),
        (["member", "pg_maintain", ""], ReadWrite),
        (["member", "pg_read_all_data", ""], ReadOnly),
        (["member", "pg_monitor", ""], ReadOnly),
        (["member", "pg_of_a_later_version", ""], Unknown),
        (["parameter", "", ""], Admin),
        (["owner", "", "table"], ReadWrite),
        (["owner", "", "function"], ReadWrite),
        (["default", "INSERT", "table"], ReadWrite),
        (["default", "SELECT", "table"], ReadOnly),
        (["default", "EXECUTE", "type"], ReadOnly),
        (["grant", "SELECT", "table"], ReadOnly),
        (["grant", "TRUNCATE", "table"], ReadWrite),
        (["grant", "MAINTAIN", "table"], ReadWrite),
        (["grant", "UPDATE", "column"], ReadWrite),
        (["grant", "USAGE", "sequence"], ReadWrite),
        (["grant", "USAGE", "schema"], ReadOnly),
        (["grant", "CREATE", "schema"], ReadWrite),
        (["grant", "CREATE", "database"], ReadWrite),
        (["grant", "TEMPORARY", "database"], ReadOnly),
        (["grant", "CONNECT", "database"], ReadOnly),
    ];
    for ([source, right, kind], expected) in table {
        for via in ["", "public", "writers"] {
            let rights = found([source, right, kind, "public.items", via, "1"]);
            assert_eq!(rights.privileges(), expected, "{source} {right} {kind} {via}");
        }
    }
}

#[test]
fn a_catalogue_without_the_login_itself_is_not_known() {
    assert_eq!(rights(&[]).privileges(), Unknown);
    assert_eq!(rights(&[row(["grant", "SELECT", "table", "a.b", "", "1"])]).privileges(), Unknown);
    assert_eq!(rights(&[row(["login", "", "", "", "", "1"])]).privileges(), ReadOnly);
}

#[test]
fn the_sentence_names_the_right_its_object_and_its_way() {
    insta::assert_snapshot!(
        found(["grant", "INSERT", "table", "public.items", "writers", "4"]),
        @r#"the login can write, by INSERT on table "public.items" and 3 more, through role "writers": revoke it, and grant SELECT alone"#
    );
    insta::assert_snapshot!(
        found(["grant", "CREATE", "schema", "public", "public", "1"]),
        @r#"the login can write, by CREATE on schema "public", which PUBLIC has: revoke it, and grant SELECT alone"#
    );
    insta::assert_snapshot!(
        found(["attribute", "CREATEDB", "", "", "", "1"]),
        @"the login can administer, by the role attribute CREATEDB: take it away with ALTER ROLE, or use a login without it"
    );
    insta::assert_snapshot!(
        found(["owner", "", "hunter2-does-not-fit-a-keyword", "a.b", "", "1"]),
        @r#"the login can write, by owning the object "a.b": let another role own it, and grant SELECT alone"#
    );
}

#[test]
fn every_operator_and_function_of_the_statements_is_qualified() {
    for statement in [own_connections(), list_rights()] {
        let text = statement.expose_text().replace("OPERATOR(pg_catalog.=)", "").replace("OPERATOR(pg_catalog.<>)", "");
        let text = text.replace("OPERATOR(pg_catalog.@>)", "");
        assert!(!text.contains(['=', '<', '>']) && !text.contains(" IN "), "{text}");
    }
}
