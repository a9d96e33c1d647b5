//! What a probe asks of MySQL and MariaDB, and how it weighs the answer. `SHOW GRANTS` is the one place where an
//! ordinary login sees everything it holds: information_schema leaves out routines and roles.

use std::collections::BTreeSet;

use api_types::ConnectionPool;
use async_trait::async_trait;
use sql_client::{Flavor, Row, Session, Statement};

use super::rights::{Excess, Gap, Level, Rights, shown};
use super::{Opened, Unreached, pool, product};

/// A login on MySQL, MariaDB or Percona Server: what the server is counts, not what the Database calls it.
pub struct Mysql {
    session: Box<dyn Session>,
    is_mariadb: bool,
}

impl Mysql {
    /// A login that was not asked anything yet.
    pub fn new(session: Box<dyn Session>) -> Self {
        Self { session, is_mariadb: false }
    }
}

#[async_trait]
impl Opened for Mysql {
    async fn version(&mut self) -> Result<String, Unreached> {
        let version = self.session.server_version().await?;
        self.is_mariadb = version.flavor == Flavor::MariaDb;
        Ok(product(&version))
    }

    async fn connections(&mut self) -> Result<Option<ConnectionPool>, Unreached> {
        Ok(pool(&self.session.query(&own_connections()).await?))
    }

    async fn rights(&mut self) -> Result<Rights, Unreached> {
        let grants = self.session.query(&list_grants()).await?;
        // MariaDB has listed the roles' grants along with the login's own.
        let more = if self.is_mariadb { None } else { list_grants_of_roles(&grants) };
        let Some(statement) = more else { return Ok(rights(&grants)) };
        // What the first answer showed stays true when the second is refused.
        Ok(match self.session.query(&statement).await {
            Ok(all) => rights_with_roles(&grants, &all),
            Err(_) => rights(&grants),
        })
    }

    async fn close(self: Box<Self>) {
        self.session.close().await;
    }
}

/// Counts the login's connections that run a statement and those that do not, without our own. A login without the
/// PROCESS right sees its own connections alone, which are the ones that count.
fn own_connections() -> Statement {
    Statement::new(
        "counting the login's connections",
        "SELECT COALESCE(SUM(p.command <> 'Sleep'), 0), COALESCE(SUM(p.command = 'Sleep'), 0) \
         FROM information_schema.processlist p \
         WHERE p.user = SUBSTRING_INDEX(USER(), '@', 1) AND p.id <> CONNECTION_ID()",
    )
}

/// Lists the grants of the login and of the roles it has taken on; in MariaDB also of the roles below those, and of
/// PUBLIC. MariaDB tells the password's hash along with it, which nothing here keeps.
fn list_grants() -> Statement {
    Statement::new("reading what the login may do", "SHOW GRANTS")
}

/// Lists the grants again as if every role were taken on, for MySQL, which alone can say so. `None` when no role is
/// left to look at.
fn list_grants_of_roles(rows: &[Row]) -> Option<Statement> {
    // The names are taken over as the server has quoted them; a text that is no list of quoted names is not.
    let roles: Vec<_> = grants(rows).filter_map(|grant| grant.roles).collect();
    if roles.is_empty() {
        return None;
    }
    let text = format!("SHOW GRANTS FOR CURRENT_USER() USING {}", roles.join(", "));
    Some(Statement::new("reading what the login's roles may do", text))
}

/// Weighs the rows of [`list_grants`].
fn rights(rows: &[Row]) -> Rights {
    let found = worst(rows, "");
    // MariaDB lists at least USAGE for each role that counts now.
    let listed: BTreeSet<_> = grants(rows).filter(|grant| grant.roles.is_none()).map(|grant| grant.grantee).collect();
    let unseen = grants(rows).filter_map(|grant| grant.roles).filter(|role| !listed.contains(role));
    Rights::worst(std::iter::once(found).chain(unseen.map(|role| Rights::Unknown(Gap::Role(unquoted(role))))))
}

/// Weighs the rows of [`list_grants_of_roles`], which do not tell what the login holds itself; `own` are those of
/// [`list_grants`], which do unless a role is on by default.
fn rights_with_roles(own: &[Row], all: &[Row]) -> Rights {
    let names = role_names(grants(own).filter_map(|grant| grant.roles));
    let is_own = worst(own, "").privileges() == worst(all, "").privileges();
    let through = if is_own { format!(", its own or through {names}") } else { format!(", through {names}") };
    worst(all, &through)
}

/// The worst of the rows; `through` are the words for how the login itself came by it.
fn worst(rows: &[Row], through: &str) -> Rights {
    let lines = || rows.iter().filter_map(|row| row.text(0));
    if !lines().any(|line| line.starts_with("GRANT ")) {
        return Rights::Unknown(Gap::NotRead);
    }
    Rights::worst(lines().map(|line| weigh(line, through)))
}

/// Roles in words, from lists of them as they are written. Three are enough to look for.
fn role_names<'a>(lists: impl Iterator<Item = &'a str>) -> String {
    let names: BTreeSet<_> = lists.flat_map(split_list).map(|role| shown_role(&unquoted(role))).collect();
    let first: Vec<_> = names.iter().take(3).map(String::as_str).collect();
    match (names.len(), names.len().saturating_sub(3)) {
        (1, _) => format!("role {}", first.join("")),
        (_, 0) => format!("one of the roles {}", first.join(", ")),
        (_, more) => format!("one of the roles {} and {more} more", first.join(", ")),
    }
}

/// A role's name without the host that MySQL gives it and nobody writes.
fn shown_role(name: &str) -> String {
    shown(name.strip_suffix("@%").unwrap_or(name))
}

/// One line that starts with GRANT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grant<'a> {
    /// Roles as they are written, when it grants those.
    roles: Option<&'a str>,
    /// Privileges and the object they are on, when it grants those.
    privileges: Option<(&'a str, &'a str)>,
    grantee: &'a str,
    /// What follows the grantee.
    options: &'a str,
}

fn grants(rows: &[Row]) -> impl Iterator<Item = Grant<'_>> {
    rows.iter().filter_map(|row| Grant::parse(row.text(0)?))
}

impl<'a> Grant<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (what, rest) = split_word(line.strip_prefix("GRANT ")?, " TO ")?;
        let (grantee, options) = split_word(rest, " ").unwrap_or((rest, ""));
        let privileges = split_word(what, " ON ");
        let is_list_of_names = || split_list(what).all(is_name);
        match privileges {
            Some(_) => Some(Self { roles: None, privileges, grantee, options }),
            None if is_list_of_names() => Some(Self { roles: Some(what), privileges, grantee, options }),
            None => None,
        }
    }
}

/// Splits at the first `word` that is outside quotes and brackets.
fn split_word<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (mut quote, mut depth) = (None, 0_u32);
    for (index, character) in text.char_indices() {
        match quote {
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if depth == 0 && text[index..].starts_with(word) => {
                return Some((&text[..index], &text[index + word.len()..]));
            }
            None => match character {
                '`' | '\'' | '"' => quote = Some(character),
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            },
        }
    }
    None
}

fn split_list(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (item, more) = split_word(text, ",").map_or((text, None), |(item, more)| (item, Some(more)));
        rest = more;
        Some(item.trim())
    })
}

/// Whether a text is one quoted name, or two with an @ between.
fn is_name(text: &str) -> bool {
    let (name, host) = split_word(text, "@").map_or((text, None), |(name, host)| (name, Some(host)));
    is_quoted(name) && host.is_none_or(is_quoted)
}

/// In backticks, or as a server writes it whose `sql_mode` has ANSI_QUOTES, which also reads it that way.
fn is_quoted(text: &str) -> bool {
    let quote = quote_of(text);
    let inner = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner.is_some_and(|inner| !inner.replace(&[quote, quote].iter().collect::<String>(), "").contains(quote))
}

fn unquoted(name: &str) -> String {
    name.replace(quote_of(name), "")
}

fn quote_of(name: &str) -> char {
    if name.starts_with('"') { '"' } else { '`' }
}

fn weigh(line: &str, through: &str) -> Rights {
    // A partial revoke or a default role takes nothing away that has to be known, and gives nothing.
    if !line.starts_with("GRANT ") {
        return Rights::ReadOnly;
    }
    let Some(grant) = Grant::parse(line) else { return Rights::Unknown(Gap::NotRead) };
    let options = if grant.options.contains("WITH ") { grant.options } else { "" };
    let Some((privileges, object)) = grant.privileges else {
        let hands_on = options.contains("ADMIN OPTION");
        let right = || format!("the ADMIN OPTION of {}", role_names(grant.roles.into_iter()));
        return if hands_on { excess(Level::Admin, right()) } else { Rights::ReadOnly };
    };
    let hands_on =
        options.contains("GRANT OPTION").then(|| excess(Level::Admin, on("GRANT OPTION", object, &grant, through)));
    let each = split_list(privileges).map(|privilege| {
        let privilege = privilege.split(" (").next().unwrap_or_default();
        match level(privilege, object == "*.*") {
            None => Rights::ReadOnly,
            Some(level) => excess(level, on(privilege, object, &grant, through)),
        }
    });
    Rights::worst(each.chain(hands_on))
}

/// How bad a privilege is; `None` when it is no more than reading. EXECUTE is not counted, since routines are not
/// looked into, nor are temporary tables, which end with the session. Whatever is not known is taken for an
/// administrator's: that is what new privileges are.
fn level(privilege: &str, on_everything: bool) -> Option<Level> {
    match privilege {
        "USAGE"
        | "SELECT"
        | "SHOW VIEW"
        | "SHOW DATABASES"
        | "SHOW_ROUTINE"
        | "SHOW CREATE ROUTINE"
        | "EXECUTE"
        | "CREATE TEMPORARY TABLES" => None,
        "INSERT"
        | "UPDATE"
        | "DELETE"
        | "CREATE"
        | "DROP"
        | "REFERENCES"
        | "INDEX"
        | "ALTER"
        | "LOCK TABLES"
        | "CREATE VIEW"
        | "CREATE ROUTINE"
        | "ALTER ROUTINE"
        | "EVENT"
        | "TRIGGER"
        | "DELETE HISTORY"
        | "DELETE VERSIONING ROWS" => Some(Level::Write),
        "ALL PRIVILEGES" if !on_everything => Some(Level::Write),
        _ => Some(Level::Admin),
    }
}

fn on(privilege: &str, object: &str, grant: &Grant<'_>, through: &str) -> String {
    let keyword = |c: char| c.is_ascii_uppercase() || c == '_' || c == ' ';
    let privilege = if privilege.len() <= 40 && privilege.chars().all(keyword) { privilege } else { "a right" };
    // The login's own name has a host, and is a value of the Secret. A role's name may be told.
    let through = match grant.grantee {
        "PUBLIC" => ", which PUBLIC has".to_owned(),
        login if login.contains('@') => through.to_owned(),
        role => format!(", through role {}", shown_role(&unquoted(role))),
    };
    format!("{privilege} on {}{through}", shown(&unquoted(object)))
}

fn excess(level: Level, right: String) -> Rights {
    Rights::Excess(Excess { level, right, remedy: "revoke it, and grant SELECT alone" })
}

#[cfg(test)]
#[path = "mysql_tests.rs"]
mod tests;
