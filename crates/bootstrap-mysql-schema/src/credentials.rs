//! The Secret of an AppDatabase, as machines read it: variables for a shell, or one JSON object. Both show the password.
//! Pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::engine::Engine;

/// The keys of a Secret, and the variables that programs of MySQL and of PostgreSQL read them from. libpq knows the
/// first five of its own; `DATABASE_URL` is what frameworks agree on.
const KEYS: [(&str, &str, &str); 6] = [
    ("host", "MYSQL_HOST", "PGHOST"),
    ("port", "MYSQL_PORT", "PGPORT"),
    ("username", "MYSQL_USER", "PGUSER"),
    ("password", "MYSQL_PASSWORD", "PGPASSWORD"),
    ("database", "MYSQL_DATABASE", "PGDATABASE"),
    ("connection-string", "MYSQL_URL", "DATABASE_URL"),
];

/// What a Secret holds.
pub struct Credentials<'a> {
    data: &'a BTreeMap<String, ByteString>,
    engine: Engine,
}

impl<'a> Credentials<'a> {
    /// Reads a Secret's data. The error is the key that is missing or no text.
    pub fn read(data: &'a BTreeMap<String, ByteString>) -> Result<Self, &'static str> {
        if let Some((key, ..)) = KEYS.iter().find(|(key, ..)| text(data, key).is_none()) {
            return Err(key);
        }
        Ok(Self { data, engine: Engine::of(text(data, "connection-string").unwrap_or_default()) })
    }

    /// A shell script that sets the variables, for `source`.
    pub fn script(&self) -> String {
        let line = |(key, mysql, postgres)| {
            let variable = match self.engine {
                Engine::Mysql => mysql,
                Engine::Postgres => postgres,
            };
            format!("export {variable}={}\n", quoted(self.value(key)))
        };
        KEYS.into_iter().map(line).collect()
    }

    /// One JSON object.
    pub fn json(&self, secret: (&str, &str)) -> Value {
        let (namespace, name) = secret;
        json!({
            "engine": self.engine.name(),
            "host": self.value("host"),
            "port": self.value("port").parse::<u16>().ok(),
            "database": self.value("database"),
            "username": self.value("username"),
            "password": self.value("password"),
            "connectionString": self.value("connection-string"),
            "secret": { "namespace": namespace, "name": name },
        })
    }

    fn value(&self, key: &str) -> &'a str {
        text(self.data, key).unwrap_or_default()
    }
}

fn text<'a>(data: &'a BTreeMap<String, ByteString>, key: &str) -> Option<&'a str> {
    data.get(key).and_then(|value| std::str::from_utf8(&value.0).ok())
}

/// Nothing has a meaning between single quotes; a single quote itself ends them, stands escaped, and begins anew.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(value: impl Fn(&str) -> String) -> BTreeMap<String, ByteString> {
        KEYS.map(|(key, ..)| (key.to_owned(), ByteString(value(key).into_bytes()))).into()
    }

    #[test]
    fn a_shell_gets_back_exactly_what_the_secret_holds() {
        for (scheme, column) in [("mysql://", 1), ("postgresql://", 2)] {
            let hostile = |key: &str| format!("{scheme}{key}a b$HOME`id`\\'\"\n;#");
            let variables = KEYS.map(|key| format!("${{{}}}", [key.0, key.1, key.2][column])).concat();
            let script = Credentials::read(&data(hostile)).unwrap().script();
            let print = format!("{script}printf %s \"{variables}\"");
            let output = std::process::Command::new("sh").args(["-c", &print]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), KEYS.map(|(key, ..)| hostile(key)).concat());
        }
    }

    #[test]
    fn json_has_the_names_of_the_secret() {
        let data = data(|key| if key == "port" { "5432".into() } else { format!("postgresql://{key}") });
        let json = Credentials::read(&data).unwrap().json(("shop", "shop-postgres-creds"));
        insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap(), @r#"
        {
          "connectionString": "postgresql://connection-string",
          "database": "postgresql://database",
          "engine": "postgresql",
          "host": "postgresql://host",
          "password": "postgresql://password",
          "port": 5432,
          "secret": {
            "name": "shop-postgres-creds",
            "namespace": "shop"
          },
          "username": "postgresql://username"
        }
        "#);
    }

    #[test]
    fn a_missing_key_is_named() {
        assert_eq!(Credentials::read(&BTreeMap::new()).map(|_| ()), Err("host"));
        let mut data = data(str::to_owned);
        data.insert("password".to_owned(), ByteString(vec![0xff]));
        assert_eq!(Credentials::read(&data).map(|_| ()), Err("password"));
    }
}
