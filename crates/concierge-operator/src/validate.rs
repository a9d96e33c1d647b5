//! Turns an AppDatabase into a [`Request`], every part of which is fit for use, or says which field is not.
//! Pure; after it no code checks a name again. The CRD rejects most of this at admission already, but rules can be
//! switched off and objects be older than their rules.

mod names;

use std::fmt;
use std::num::NonZeroU32;

use api_types::{AppDatabaseSpec, DeletionPolicy};
use sql_client::quote;

use crate::engine::{ACCOUNT_HOST, AuthPlugin, Engine};
use crate::ledger::Kind;
use crate::servers::Server;
use names::{is_dns_label, is_dns_subdomain, is_word, postgres_encoding, reserved_database, reserved_user};

/// No server has character sets or collations of longer names.
const MAX_CHARSET: usize = 64;

/// Declares a name that only this module makes.
macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name(String);

        checked_name!(@text $name, 0);
    };
    ($(#[$doc:meta])* $name:ident, quoted) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name {
            text: String,
            quoted: String,
        }

        checked_name!(@text $name, text);

        impl $name {
            /// As it stands in a statement.
            #[must_use]
            pub fn quoted(&self) -> &str {
                &self.quoted
            }
        }
    };
    (@text $name:ident, $field:tt) => {
        impl $name {
            /// The name as it is written on the server or in Kubernetes.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.$field
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.$field)
            }
        }
    };
}

checked_name!(
    /// A database of letters, digits and underscores that no server keeps for itself.
    DatabaseName,
    quoted
);
checked_name!(
    /// A database user of letters, digits and underscores that no server keeps for itself. On MySQL it is quoted as the
    /// account for any host: applications connect from pods, whose addresses nobody knows beforehand.
    UserName,
    quoted
);
checked_name!(
    /// A namespace in which applications run: neither ours nor Kubernetes' own.
    AppNamespace
);
checked_name!(
    /// A name that Kubernetes takes for a Secret.
    SecretName
);
checked_name!(
    /// A character set or collation: letters, digits and underscores.
    CharsetName
);

/// A login to the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whether it is the application's or the one that can only read.
    pub kind: Kind,
    /// Its name on the server.
    pub user: UserName,
    /// The Secret that holds it.
    pub secret: SecretName,
}

/// What each login to the database must be held to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// It is accepted over TLS alone.
    pub tls: bool,
    /// How many connections it may have at a time, if that is limited.
    pub connections: Option<NonZeroU32>,
}

/// What an AppDatabase asks for, checked and with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The kind of server it is asked of.
    pub engine: Engine,
    /// The database to create.
    pub database: DatabaseName,
    /// The application's own login.
    pub application: Account,
    /// The login that can only read, wanted or not; none where its name is impossible, so that it never was.
    pub reader: Option<Account>,
    /// Whether that login is wanted.
    pub wants_reader: bool,
    /// What each login is held to.
    pub terms: Terms,
    /// Where the Secrets go.
    pub app_namespace: AppNamespace,
    /// Default character set of the database; on PostgreSQL its encoding, as that server calls it.
    pub charset: CharsetName,
    /// Default collation of the database.
    pub collation: CharsetName,
    /// What deleting the AppDatabase does.
    pub policy: DeletionPolicy,
    /// How the user proves its password; `None` is the server's default.
    pub auth_plugin: Option<AuthPlugin>,
}

impl Request {
    /// The login that can only read, if it is wanted.
    #[must_use]
    pub fn wanted_reader(&self) -> Option<&Account> {
        self.reader.as_ref().filter(|_| self.wants_reader)
    }

    /// The logins that are wanted or may have been.
    pub fn possible_accounts(&self) -> impl Iterator<Item = &Account> {
        [Some(&self.application), self.reader.as_ref()].into_iter().flatten()
    }

    /// The logins that are wanted.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        [Some(&self.application), self.wanted_reader()].into_iter().flatten()
    }
}

/// What a request must not collide with.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The operator's own namespace, where the admin Secrets are.
    pub home: &'a str,
    /// The user that the operator logs in as.
    pub admin_user: &'a str,
    /// What the server speaks.
    pub engine: Engine,
    /// How the server's users prove their passwords; `None` is its default.
    pub auth_plugin: Option<AuthPlugin>,
}

impl<'a> Surroundings<'a> {
    /// On that server.
    #[must_use]
    pub fn of(home: &'a str, server: &'a Server) -> Self {
        let admin_user = &server.admin.credentials.user;
        Self { home, admin_user, engine: server.engine, auth_plugin: server.auth_plugin }
    }
}

/// Which field cannot be used, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A name holds something else than letters, digits and underscores.
    #[error("{field} must consist of letters, digits and underscores")]
    NoWord {
        /// The field of the spec.
        field: &'static str,
    },
    /// A name is longer than the server takes.
    #[error("{field} has more than {limit} characters, which the server does not take")]
    TooLong {
        /// The field of the spec.
        field: &'static str,
        /// What the server takes.
        limit: usize,
    },
    /// The default user name would be longer than the server takes.
    #[error(
        "the default user name {user} has more than {limit} characters, which {server} does not take: set spec.userName"
    )]
    DefaultUserTooLong {
        /// What the default came to.
        user: String,
        /// What the server takes.
        limit: usize,
        /// The kind of server.
        server: &'static str,
    },
    /// MySQL stores the name of a database in a grant with a backslash before each underscore.
    #[error(
        "spec.dbName has more than {limit} characters when each underscore counts twice, which MySQL does not take"
    )]
    PatternTooLong {
        /// What the server takes.
        limit: usize,
    },
    /// The user that can only read would have a longer name than the server takes.
    #[error(
        "the user of spec.readOnlyUser would be called {user}, and {server} takes no name of more than {limit} characters: leave it out, or create another AppDatabase with a shorter dbName"
    )]
    ReaderTooLong {
        /// What it would be called.
        user: String,
        /// What the server takes.
        limit: usize,
        /// The kind of server.
        server: &'static str,
    },
    /// The user that can only read would be the application's.
    #[error("spec.userName is what the user of spec.readOnlyUser is called: choose another")]
    ReaderIsUser,
    /// It says neither or both.
    #[error("spec.initSql takes exactly one of inline and configMapRef")]
    InitSql,
    /// None can connect.
    #[error("spec.connectionLimit must be at least 1")]
    ConnectionLimit,
    /// The server or the concierge uses that name itself.
    #[error("{field} is a name that the server or the concierge uses itself: choose another")]
    Reserved {
        /// The field of the spec.
        field: &'static str,
    },
    /// PostgreSQL stores no text that way.
    #[error("spec.charset is none that a PostgreSQL server stores text in: leave it out, or write UTF8, LATIN1, …")]
    Encoding,
    /// Kubernetes takes no Secret of that name.
    #[error("the Secret cannot be called {name}, since Kubernetes does not take this name: set spec.secretName")]
    SecretName {
        /// The name as given or as the default came to.
        name: String,
    },
    /// Kubernetes knows no namespace of that name.
    #[error("spec.appNamespace is no name of a namespace")]
    AppNamespace,
    /// Applications do not run there.
    #[error("spec.appNamespace must not be a namespace of Kubernetes or of the concierge itself")]
    NamespaceForbidden,
}

/// Checks a spec.
pub fn validate(spec: &AppDatabaseSpec, around: Surroundings<'_>) -> Result<Request, Invalid> {
    let database = database(spec, around.engine)?;
    let application = Account {
        kind: Kind::User,
        user: user(spec, &database, around)?,
        secret: secret(spec, &database, around.engine)?,
    };
    let reader = reader(&database, &application, around);
    Ok(Request {
        engine: around.engine,
        wants_reader: spec.read_only_user,
        reader: if spec.read_only_user { Some(reader?) } else { reader.ok() },
        application,
        terms: Terms { tls: spec.require_tls, connections: connections(spec)? },
        app_namespace: app_namespace(&spec.app_namespace, around.home)?,
        charset: charset(&spec.charset, around.engine)?,
        collation: word("spec.collation", &spec.collation, MAX_CHARSET).map(CharsetName)?,
        policy: spec.deletion_policy,
        auth_plugin: around.auth_plugin,
        database,
    })
}

fn word(field: &'static str, text: &str, limit: usize) -> Result<String, Invalid> {
    match text {
        _ if !is_word(text) => Err(Invalid::NoWord { field }),
        _ if text.len() > limit => Err(Invalid::TooLong { field, limit }),
        _ => Ok(text.to_owned()),
    }
}

fn database(spec: &AppDatabaseSpec, engine: Engine) -> Result<DatabaseName, Invalid> {
    let (field, limit) = ("spec.dbName", engine.limits().database);
    let text = word(field, &spec.db_name, limit)?;
    if reserved_database(&text) {
        return Err(Invalid::Reserved { field });
    }
    if engine == Engine::Mysql && quote::mysql::grant_pattern(&text).is_err() {
        return Err(Invalid::PatternTooLong { limit });
    }
    let quoted = match engine {
        Engine::Mysql => quote::mysql::identifier(&text),
        Engine::Postgres => quote::postgres::identifier(&text),
    };
    Ok(DatabaseName { quoted: quoted.map_err(|_| Invalid::TooLong { field, limit })?, text })
}

fn user(spec: &AppDatabaseSpec, database: &DatabaseName, around: Surroundings<'_>) -> Result<UserName, Invalid> {
    let field = "spec.userName";
    let name = match &spec.user_name {
        Some(name) => word(field, name, around.engine.limits().user)?,
        None => default_user(database, around.engine)?,
    };
    user_name(field, name, around)
}

fn user_name(field: &'static str, text: String, around: Surroundings<'_>) -> Result<UserName, Invalid> {
    if reserved_user(&text) || text.eq_ignore_ascii_case(around.admin_user) {
        return Err(Invalid::Reserved { field });
    }
    let quoted = match around.engine {
        Engine::Mysql => quote::mysql::account(&text, ACCOUNT_HOST),
        Engine::Postgres => quote::postgres::identifier(&text),
    };
    let limit = around.engine.limits().user;
    Ok(UserName { quoted: quoted.map_err(|_| Invalid::TooLong { field, limit })?, text })
}

fn default_user(database: &DatabaseName, engine: Engine) -> Result<String, Invalid> {
    let (user, limit) = (format!("{database}_app"), engine.limits().user);
    let too_long = user.len() > limit;
    if too_long { Err(Invalid::DefaultUserTooLong { user, limit, server: engine.name() }) } else { Ok(user) }
}

fn reader(database: &DatabaseName, application: &Account, around: Surroundings<'_>) -> Result<Account, Invalid> {
    let (user, limit) = (format!("{database}_ro"), around.engine.limits().user);
    if user.len() > limit {
        return Err(Invalid::ReaderTooLong { user, limit, server: around.engine.name() });
    }
    if user.eq_ignore_ascii_case(application.user.as_str()) {
        return Err(Invalid::ReaderIsUser);
    }
    let secret = secret_name(format!("{}-ro", application.secret))?;
    Ok(Account { kind: Kind::Reader, user: user_name("spec.readOnlyUser", user, around)?, secret })
}

fn connections(spec: &AppDatabaseSpec) -> Result<Option<NonZeroU32>, Invalid> {
    spec.connection_limit.map(|limit| NonZeroU32::new(limit).ok_or(Invalid::ConnectionLimit)).transpose()
}

fn app_namespace(name: &str, home: &str) -> Result<AppNamespace, Invalid> {
    match name {
        _ if !is_dns_label(name) => Err(Invalid::AppNamespace),
        _ if name == home || name.starts_with("kube-") => Err(Invalid::NamespaceForbidden),
        _ => Ok(AppNamespace(name.to_owned())),
    }
}

fn secret(spec: &AppDatabaseSpec, database: &DatabaseName, engine: Engine) -> Result<SecretName, Invalid> {
    let default = || format!("{database}{}", engine.secret_suffix()).to_ascii_lowercase().replace('_', "-");
    secret_name(spec.secret_name.clone().unwrap_or_else(default))
}

fn secret_name(name: String) -> Result<SecretName, Invalid> {
    if is_dns_subdomain(&name) { Ok(SecretName(name)) } else { Err(Invalid::SecretName { name }) }
}

fn charset(name: &str, engine: Engine) -> Result<CharsetName, Invalid> {
    let name = word("spec.charset", name, MAX_CHARSET)?;
    match engine {
        Engine::Mysql => Ok(CharsetName(name)),
        Engine::Postgres => postgres_encoding(&name).map(|name| CharsetName(name.to_owned())).ok_or(Invalid::Encoding),
    }
}

#[cfg(test)]
mod tests;
