//! Names and values that try to be more than names and values, on real servers of this test's own and under every mode
//! that changes what a quote is: the servers must hold exactly what was named, and nothing else.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use e2e::loopback::is_possible;
use e2e::loopback::mariadb::MariaDb;
use e2e::loopback::postgres::Postgres;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use sql_client::quote::{mysql, postgres};

/// Names for each mode; each costs a database or user that is made and dropped.
const NAMES: usize = 60;

const SQL_MODES: [&str; 4] =
    ["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,STRICT_ALL_TABLES"];

/// What hand-made attacks look like. MariaDB takes no name that ends with a space.
const ATTACKS: [&str; 12] = [
    "a`; DROP DATABASE innocent; -- b",
    "a\"; DROP DATABASE innocent; -- b",
    "a'; DROP DATABASE innocent; -- b",
    "a\\'; DROP DATABASE innocent; -- b",
    "a\\",
    "``",
    "\"\"",
    "''",
    "a/*! b */",
    "a -- b",
    "a_b%c",
    "ü\u{2028}`\"'",
];

/// Attacks, and arbitrary names made of what quotes and comments are made of.
fn names() -> Result<BTreeSet<String>> {
    // Deterministic: a name that fails once fails always.
    let mut runner = TestRunner::deterministic();
    let hostile = proptest::string::string_regex("[-a-z`\"'\\\\;%_#/*!$ é]{1,20}[a-z]")?;
    let mut names: BTreeSet<String> = ATTACKS.iter().map(|&name| name.to_owned()).collect();
    while names.len() < NAMES {
        let tree = hostile.new_tree(&mut runner).map_err(|reason| anyhow::anyhow!("no name: {reason}"))?;
        names.insert(tree.current());
    }
    Ok(names)
}

async fn column(conn: &mut Conn, query: &str) -> Result<BTreeSet<String>> {
    let rows: Vec<String> = conn.query(query).await.with_context(|| format!("`{query}` failed"))?;
    Ok(rows.into_iter().collect())
}

#[tokio::test]
async fn mariadb_holds_what_was_named_under_every_sql_mode() -> Result<()> {
    const DATABASES: &str = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA";
    if !is_possible() {
        return Ok(());
    }
    let server = MariaDb::start(None).await?;
    server.run(&["CREATE DATABASE innocent"]).await?;
    let mut admin = server.admin().await?;
    let before = column(&mut admin, DATABASES).await?;
    for mode in SQL_MODES {
        admin.query_drop(format!("SET SESSION sql_mode = '{mode}'")).await?;
        let mut expected = before.clone();
        for name in names()? {
            let quoted = mysql::identifier(&name)?;
            admin.query_drop(format!("CREATE DATABASE {quoted}")).await.with_context(|| quoted.clone())?;
            let value: Option<String> = admin.query_first(format!("SELECT {}", mysql::text(&name))).await?;
            assert_eq!(value.as_deref(), Some(name.as_str()), "under {mode:?}");
            expected.insert(name);
        }
        assert_eq!(column(&mut admin, DATABASES).await?, expected, "under {mode:?}");
        for name in names()? {
            admin.query_drop(format!("DROP DATABASE {}", mysql::identifier(&name)?)).await?;
        }
        assert_eq!(column(&mut admin, DATABASES).await?, before, "under {mode:?}");
    }
    Ok(())
}

#[tokio::test]
async fn mariadb_grants_reach_what_was_named_under_every_sql_mode() -> Result<()> {
    const ACCOUNTS: &str = "SELECT CONCAT(HEX(User), '@', HEX(Host)) FROM mysql.user";
    if !is_possible() {
        return Ok(());
    }
    let server = MariaDb::start(None).await?;
    let mut admin = server.admin().await?;
    let before = column(&mut admin, ACCOUNTS).await?;
    for mode in SQL_MODES {
        admin.query_drop(format!("SET SESSION sql_mode = '{mode}'")).await?;
        // An account's name cannot hold a backslash, which reads in two ways.
        for name in names()?.iter().filter(|name| !name.contains('\\')) {
            let account = mysql::account(name, "%")?;
            let password = mysql::string_literal(name)?;
            admin.query_drop(format!("CREATE USER {account} IDENTIFIED BY {password}")).await?;
            let Ok(pattern) = mysql::grant_pattern(name) else { continue };
            admin.query_drop(format!("GRANT SELECT ON {pattern}.* TO {account}")).await?;
            let granted: Option<String> =
                admin.query_first(format!("SELECT Db FROM mysql.db WHERE User = {}", mysql::text(name))).await?;
            assert_eq!(granted, Some(mysql::grant_pattern_text(name)), "under {mode:?}");
        }
        for name in names()?.iter().filter(|name| !name.contains('\\')) {
            admin.query_drop(format!("DROP USER {}", mysql::account(name, "%")?)).await?;
        }
        assert_eq!(column(&mut admin, ACCOUNTS).await?, before, "under {mode:?}");
    }
    Ok(())
}

#[tokio::test]
async fn postgresql_holds_what_was_named() -> Result<()> {
    const ROLES: &str = "SELECT rolname::text FROM pg_catalog.pg_roles";
    if !is_possible() {
        return Ok(());
    }
    let server = Postgres::start(&[]).await?;
    let admin = server.admin().await?;
    let roles = async || -> Result<BTreeSet<String>> {
        Ok(admin.query(ROLES, &[]).await?.iter().map(|row| row.get(0)).collect())
    };
    let before = roles().await?;
    let mut expected = before.clone();
    for name in names()? {
        let (role, password) = (postgres::identifier(&name)?, postgres::literal(&name)?);
        admin.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD {password}")).await?;
        let value: String = admin.query_one(&format!("SELECT {}", postgres::text(&name)), &[]).await?.get(0);
        assert_eq!(value, name);
        expected.insert(name);
    }
    assert_eq!(roles().await?, expected);
    for name in names()? {
        admin.batch_execute(&format!("DROP ROLE {}", postgres::identifier(&name)?)).await?;
    }
    assert_eq!(roles().await?, before);
    Ok(())
}
