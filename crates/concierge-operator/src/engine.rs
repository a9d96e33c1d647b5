//! The kinds of server that databases are made on, and what is a mere word or number of each: keys, ports, limits.
//! How they are looked at and written to has a file for each engine in [`crate::look`], [`crate::ledger`] and
//! [`crate::plan`].

/// The database that holds the ownership table.
pub const LEDGER_DATABASE: &str = "db_concierge";

/// The host of the accounts on MySQL: any.
pub const ACCOUNT_HOST: &str = "%";

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// MySQL, MariaDB and Percona.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

/// The keys of an admin Secret.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// What the admin's own begin with.
    pub prefix: &'static str,
    /// Where the server is.
    pub host: &'static str,
    /// Its port.
    pub port: &'static str,
    /// The admin.
    pub user: &'static str,
    /// The admin's password.
    pub password: &'static str,
    /// How TLS is used.
    pub ssl_mode: &'static str,
    /// Whose certificates are trusted.
    pub ca: &'static str,
    /// The host that applications are told.
    pub app_host: &'static str,
    /// The port that applications are told.
    pub app_port: &'static str,
}

/// How a user of MySQL proves its password, where the admin Secret wants another way than the server's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthPlugin {
    /// MySQL 8's own way.
    CachingSha2,
    /// For clients that are older than it.
    Native,
}

impl AuthPlugin {
    /// The way of that name, as MySQL calls it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::CachingSha2, Self::Native].into_iter().find(|plugin| plugin.as_str() == name)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CachingSha2 => "caching_sha2_password",
            Self::Native => "mysql_native_password",
        }
    }
}

/// The longest names a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a database.
    pub database: usize,
    /// Of a user.
    pub user: usize,
}

const MYSQL: Keys = Keys {
    prefix: "MYSQL_ADMIN_",
    host: "MYSQL_ADMIN_HOST",
    port: "MYSQL_ADMIN_PORT",
    user: "MYSQL_ADMIN_USER",
    password: "MYSQL_ADMIN_PASSWORD",
    ssl_mode: "MYSQL_ADMIN_SSLMODE",
    ca: "MYSQL_ADMIN_CA",
    app_host: "MYSQL_APP_HOST",
    app_port: "MYSQL_APP_PORT",
};

const POSTGRES: Keys = Keys {
    prefix: "POSTGRES_ADMIN_",
    host: "POSTGRES_ADMIN_HOST",
    port: "POSTGRES_ADMIN_PORT",
    user: "POSTGRES_ADMIN_USER",
    password: "POSTGRES_ADMIN_PASSWORD",
    ssl_mode: "POSTGRES_ADMIN_SSLMODE",
    ca: "POSTGRES_ADMIN_CA",
    app_host: "POSTGRES_APP_HOST",
    app_port: "POSTGRES_APP_PORT",
};

impl Engine {
    /// As it is called in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mysql => "MySQL",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// The keys of its admin Secrets.
    #[must_use]
    pub fn keys(self) -> &'static Keys {
        match self {
            Self::Mysql => &MYSQL,
            Self::Postgres => &POSTGRES,
        }
    }

    /// What the client speaks with it.
    #[must_use]
    pub fn protocol(self) -> sql_client::Engine {
        match self {
            Self::Mysql => sql_client::Engine::Mysql,
            Self::Postgres => sql_client::Engine::Postgres,
        }
    }

    /// Where the admin's sessions are. MySQL's are in no database, and reach all of them.
    #[must_use]
    pub fn admin_database(self) -> Option<&'static str> {
        match self {
            Self::Mysql => None,
            Self::Postgres => Some(LEDGER_DATABASE),
        }
    }

    /// The longest names. MySQL and MariaDB count characters, and 32 for a user is what both have agreed on;
    /// PostgreSQL cuts any name after 63 bytes.
    #[must_use]
    pub fn limits(self) -> Limits {
        match self {
            Self::Mysql => Limits { database: 64, user: 32 },
            Self::Postgres => Limits { database: 63, user: 63 },
        }
    }

    /// A value as a literal of its SQL.
    #[must_use]
    pub fn literal(self, text: &str) -> String {
        match self {
            Self::Mysql => sql_client::quote::mysql::text(text),
            Self::Postgres => sql_client::quote::postgres::text(text),
        }
    }

    /// How a connection string begins.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Postgres => "postgresql",
        }
    }

    /// What a connection string ends with when TLS is required. MySQL's own programs read `ssl-mode`; drivers of other
    /// makers have words of their own.
    #[must_use]
    pub fn tls_parameter(self) -> &'static str {
        match self {
            Self::Mysql => "?ssl-mode=REQUIRED",
            Self::Postgres => "?sslmode=require",
        }
    }

    /// What the default name of a Secret ends with.
    #[must_use]
    pub fn secret_suffix(self) -> &'static str {
        match self {
            Self::Mysql => "-mysql-creds",
            Self::Postgres => "-postgres-creds",
        }
    }
}
