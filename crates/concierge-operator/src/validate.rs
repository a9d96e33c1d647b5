//! Turns an AppDatabase into a [`Request`], every part of which is fit for use, or says which field is not.
//! Pure; after it no code checks a name again. The CRD rejects most of this at admission already, but rules can be
//! switched off and objects be older than their rules.

mod names;

use std::fmt;

use api_types::{AppDatabaseSpec, DeletionPolicy};

use crate::engine::{AuthPlugin, Engine};
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

        impl $name {
            /// The name as it is written on the server or in Kubernetes.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name!(
    /// A database of letters, digits and underscores that no server keeps for itself.
    DatabaseName
);
checked_name!(
    /// A database user of letters, digits and underscores that no server keeps for itself.
    UserName
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

/// What an AppDatabase asks for, checked and with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The kind of server it is asked of.
    pub engine: Engine,
    /// The database to create.
    pub database: DatabaseName,
    /// Its only user.
    pub user: UserName,
    /// Where the Secret goes.
    pub app_namespace: AppNamespace,
    /// The Secret with the credentials.
    pub secret: SecretName,
    /// Default character set of the database; on PostgreSQL its encoding, as that server calls it.
    pub charset: CharsetName,
    /// Default collation of the database.
    pub collation: CharsetName,
    /// What deleting the AppDatabase does.
    pub policy: DeletionPolicy,
    /// How the user proves its password; `None` is the server's default.
    pub auth_plugin: Option<AuthPlugin>,
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
    Ok(Request {
        engine: around.engine,
        user: user(spec, &database, around)?,
        app_namespace: app_namespace(&spec.app_namespace, around.home)?,
        secret: secret(spec, &database, around.engine)?,
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
    let field = "spec.dbName";
    let name = word(field, &spec.db_name, engine.limits().database)?;
    if reserved_database(&name) { Err(Invalid::Reserved { field }) } else { Ok(DatabaseName(name)) }
}

fn user(spec: &AppDatabaseSpec, database: &DatabaseName, around: Surroundings<'_>) -> Result<UserName, Invalid> {
    let field = "spec.userName";
    let name = match &spec.user_name {
        Some(name) => word(field, name, around.engine.limits().user)?,
        None => default_user(database, around.engine)?,
    };
    if reserved_user(&name) || name.eq_ignore_ascii_case(around.admin_user) {
        Err(Invalid::Reserved { field })
    } else {
        Ok(UserName(name))
    }
}

fn default_user(database: &DatabaseName, engine: Engine) -> Result<String, Invalid> {
    let (user, limit) = (format!("{database}_app"), engine.limits().user);
    let too_long = user.len() > limit;
    if too_long { Err(Invalid::DefaultUserTooLong { user, limit, server: engine.name() }) } else { Ok(user) }
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
    let name = spec.secret_name.clone().unwrap_or_else(default);
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
