//! The ownership table on MySQL and MariaDB.

use sql_client::Statement;
use sql_client::quote::mysql::text;

/// The table, qualified and quoted.
pub const TABLE: &str = "`db_concierge`.`ownership`";

/// The table of the scripts that were run, qualified and quoted.
pub const SCRIPTS: &str = "`db_concierge`.`scripts`";

/// The statements that make the tables; safe to repeat.
///
/// A Percona `XtraDB` Cluster in its default strict mode writes only to InnoDB tables with a primary key, and knows no
/// LOCK TABLES and no `GET_LOCK`; a Galera cluster of MariaDB ignores such locks on its other nodes. So a claim is
/// guarded by that key, and by nothing else.
///
/// Names compare without regard to case: servers differ in whether `App` and `app` are one database.
#[must_use]
pub fn create_tables() -> [Statement; 3] {
    let table = format!(
        "CREATE TABLE IF NOT EXISTS {TABLE} (\
         `kind` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL, \
         `name` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL, \
         `owner` VARCHAR(512) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         `origin` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         `uid` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         `claimed_at` TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
         PRIMARY KEY (`kind`, `name`)) ENGINE=InnoDB"
    );
    let scripts = format!(
        "CREATE TABLE IF NOT EXISTS {SCRIPTS} (\
         `name` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL, \
         `owner` VARCHAR(512) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         `hash` CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         `state` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         `message` VARCHAR(512) CHARACTER SET utf8mb4 NOT NULL, \
         `changed_at` TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, \
         PRIMARY KEY (`name`)) ENGINE=InnoDB"
    );
    [
        Statement::new("creating the concierge's own database", "CREATE DATABASE IF NOT EXISTS `db_concierge`"),
        Statement::new("creating the ownership table", table),
        Statement::new("creating the table of scripts", scripts),
    ]
}

/// Adds rows of kind, name, owner, origin and UID: all of them or none.
#[must_use]
pub fn insert(rows: &[[&str; 5]]) -> String {
    let rows: Vec<_> = rows.iter().map(|row| format!("({})", row.map(text).join(", "))).collect();
    format!("INSERT INTO {TABLE} (`kind`, `name`, `owner`, `origin`, `uid`) VALUES {}", rows.join(", "))
}

/// Removes a row of that owner.
#[must_use]
pub fn delete(kind: &str, name: &str, owner: &str) -> String {
    let [kind, name, owner] = [kind, name, owner].map(text);
    format!("DELETE FROM {TABLE} WHERE `kind` = {kind} AND `name` = {name} AND `owner` = {owner}")
}

/// Writes a row of name, owner, hash, state and message in place of any other of that name.
#[must_use]
pub fn write_script(row: [&str; 5]) -> String {
    format!(
        "REPLACE INTO {SCRIPTS} (`name`, `owner`, `hash`, `state`, `message`) VALUES ({})",
        row.map(text).join(", ")
    )
}

/// Removes the row of that name and owner.
#[must_use]
pub fn forget_script(name: &str, owner: &str) -> String {
    format!("DELETE FROM {SCRIPTS} WHERE `name` = {} AND `owner` = {}", text(name), text(owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strict_cluster_writes_to_the_tables() {
        let [_, table, scripts] = create_tables();
        for (table, key) in [(table, "(`kind`, `name`)"), (scripts, "(`name`)")] {
            let text = table.expose_text();
            assert!(text.contains(&format!("PRIMARY KEY {key}")) && text.ends_with("ENGINE=InnoDB"), "{text}");
        }
    }
}
