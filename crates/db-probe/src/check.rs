//! `db-probe check`: one probe from the command line, with the operator's own code, for people who look for a fault
//! from where the applications run. Needs no cluster and writes nothing but its answer.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use api_types::{ConnectionPool, Privileges};
use clap::value_parser;
use rustix::process::{getegid, geteuid};
use secrecy::SecretString;
use serde::Serialize;
use sql_client::{ConnectOptions, Credentials, DeniedAddresses, Endpoint, Engine, Host, TlsMode, TrustRoots};

use crate::error::{FileName, Reason};
use crate::probe::{Account, MAX_ANSWER, Place, Reached, RelativePath, Root, SqliteOptions, ask, ask_file};

const EXIT_CODES: &str = "\
Exit codes:
   0  Connected
   1  the check could not be made: a file cannot be read or used
   2  the command line is wrong
   3  HostNotFound, HostNotAllowed
   4  ConnectionRefused
   5  Timeout
   6  TlsFailed
   7  AuthenticationFailed, PasswordExpired
   8  AccessDenied, DatabaseNotFound
   9  TooManyConnections, ServerNotReady
  10  ProtocolError";

/// The engines that have servers, and what only they need.
const SERVERS: [(&str, &str); 4] =
    [("engine", "postgres"), ("engine", "mysql"), ("engine", "mariadb"), ("engine", "sqlserver")];
const FOR_SERVERS: [&str; 7] = ["host", "port", "database", "user", "password_file", "ssl_mode", "ca_file"];

/// Probes one database once and says what was found; nothing is needed of Kubernetes
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Check {
    /// What listens there
    #[arg(long = "type", value_enum)]
    engine: Kind,

    /// DNS name or IP address of the server
    #[arg(long, value_parser = Host::parse, required_if_eq_any(SERVERS))]
    host: Option<Host>,

    /// Port of the server [default: 5432 for postgres, 1433 for sqlserver, else 3306]
    #[arg(long, value_parser = value_parser!(u16).range(1..))]
    port: Option<u16>,

    /// Database to open
    #[arg(long)]
    database: Option<String>,

    /// User or role
    #[arg(long, required_if_eq_any(SERVERS))]
    user: Option<String>,

    /// File that holds the password, such as /dev/stdin; one newline at its end is left out
    #[arg(long, required_if_eq_any(SERVERS))]
    password_file: Option<PathBuf>,

    /// The file of type sqlite, which takes nothing of a server; its mode is judged for the user that runs the check
    #[arg(long, value_name = "PATH", required_if_eq("engine", "sqlite"), conflicts_with_all = FOR_SERVERS)]
    file: Option<PathBuf>,

    /// disable, require, verify-ca or verify-full, as in a Database
    #[arg(long, default_value = "require")]
    ssl_mode: TlsMode,

    /// PEM file with the CAs that verify-ca and verify-full trust [default: public web roots]
    #[arg(long)]
    ca_file: Option<PathBuf>,

    /// Seconds that connecting, TLS and login may take together
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u16).range(1..=3600))]
    connection_timeout: u16,

    /// Seconds that one query may take
    #[arg(long, default_value_t = 15, value_parser = value_parser!(u16).range(1..=3600))]
    query_timeout: u16,

    /// How the answer is written
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

/// The engines that can be probed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    Postgres,
    Mysql,
    Mariadb,
    Sqlserver,
    Sqlite,
}

/// What the command line asks for.
#[derive(Debug)]
enum Asked {
    Server(Box<ConnectOptions>),
    File(SqliteOptions),
}

/// Why nothing was found.
#[derive(Debug)]
struct Refusal {
    reason: Reason,
    message: String,
}

type Outcome = Result<Reached, Refusal>;

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    reason: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Found>,
}

/// What a server that let us in told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    server_version: String,
    login_milliseconds: u128,
    query_milliseconds: u128,
    connection_pool: Option<ConnectionPool>,
    privileges: Privileges,
    least_privilege: String,
}

impl Check {
    /// Makes the check and prints its answer.
    ///
    /// # Errors
    /// A file that cannot be read or used, and an output that cannot be written.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let format = self.output;
        let outcome = self.asked()?.answer().await;
        io::stdout().write_all(Report::of(&outcome).print(format)?.as_bytes())?;
        Ok(ExitCode::from(exit_code(reason(&outcome))))
    }

    fn asked(self) -> anyhow::Result<Asked> {
        Ok(match self.engine {
            Kind::Postgres => Asked::Server(Box::new(self.server(Engine::Postgres)?)),
            Kind::Mysql | Kind::Mariadb => Asked::Server(Box::new(self.server(Engine::Mysql)?)),
            Kind::Sqlserver => Asked::Server(Box::new(self.server(Engine::SqlServer)?)),
            Kind::Sqlite => Asked::File(self.sqlite()?),
        })
    }

    fn server(self, engine: Engine) -> anyhow::Result<ConnectOptions> {
        let password_file = self.password_file.context("--password-file is missing")?;
        Ok(ConnectOptions {
            engine,
            endpoint: Endpoint {
                host: self.host.context("--host is missing")?,
                port: self.port.unwrap_or(engine.default_port()),
            },
            database: self.database,
            tls: self.ssl_mode,
            roots: self.ca_file.map_or_else(|| Ok(TrustRoots::web()), |file| roots(&file))?,
            credentials: Credentials {
                user: self.user.context("--user is missing")?,
                password: password(&password_file)?,
            },
            connect_timeout: Duration::from_secs(self.connection_timeout.into()),
            query_timeout: Duration::from_secs(self.query_timeout.into()),
            max_answer: MAX_ANSWER,
            application_name: env!("CARGO_PKG_NAME").to_owned(),
            // Whoever can start this process can dial for themselves.
            denied: DeniedAddresses::default(),
        })
    }

    /// The file wherever it is: whoever can start this process can follow links for themselves.
    fn sqlite(self) -> anyhow::Result<SqliteOptions> {
        let given = self.file.context("--file is missing")?;
        let path = std::fs::canonicalize(&given).or_else(|_| std::path::absolute(&given));
        let path = path.with_context(|| format!("cannot tell where the file {} is", given.display()))?;
        let below = path.to_str().and_then(|path| RelativePath::parse(path.strip_prefix('/')?));
        Ok(SqliteOptions {
            place: Place::File(Root::new("/".into()), below.context("--file names no file")?),
            name: FileName { path: given.display().to_string(), namespace: None, on_volume: false },
            writer: Some(Account { uid: geteuid().as_raw(), gid: getegid().as_raw() }),
            connect_timeout: Duration::from_secs(self.connection_timeout.into()),
            query_timeout: Duration::from_secs(self.query_timeout.into()),
        })
    }
}

impl Asked {
    async fn answer(&self) -> Outcome {
        match self {
            Self::Server(options) => {
                ask(options).await.map_err(|error| Refusal { reason: error.reason(), message: error.to_string() })
            }
            Self::File(options) => {
                ask_file(options).await.map_err(|error| Refusal { reason: error.reason(), message: error.to_string() })
            }
        }
    }
}

fn roots(file: &Path) -> anyhow::Result<TrustRoots> {
    let pem = std::fs::read(file).with_context(|| format!("cannot read the CA file {}", file.display()))?;
    TrustRoots::from_pem(&pem).with_context(|| format!("cannot use the CA file {}", file.display()))
}

fn password(file: &Path) -> anyhow::Result<SecretString> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read the password file {}", file.display()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(SecretString::from(line.strip_suffix('\r').unwrap_or(line)))
}

fn reason(outcome: &Outcome) -> Reason {
    outcome.as_ref().map_or_else(|refusal| refusal.reason, |_| Reason::Connected)
}

/// Must agree with [`EXIT_CODES`].
fn exit_code(reason: Reason) -> u8 {
    match reason {
        Reason::Connected | Reason::Slow | Reason::Flapping => 0,
        Reason::InvalidSpec
        | Reason::SecretNotFound
        | Reason::SecretKeyMissing
        | Reason::CredentialsNotShared
        | Reason::FileNotVisible => 1,
        Reason::HostNotFound | Reason::HostNotAllowed => 3,
        Reason::ConnectionRefused => 4,
        Reason::Timeout => 5,
        Reason::TlsFailed => 6,
        Reason::AuthenticationFailed | Reason::PasswordExpired => 7,
        Reason::AccessDenied | Reason::DatabaseNotFound => 8,
        Reason::TooManyConnections | Reason::ServerNotReady => 9,
        Reason::ProtocolError => 10,
    }
}

impl Report {
    fn of(outcome: &Outcome) -> Self {
        let refused = outcome.as_ref().err().map(|refusal| refusal.message.clone());
        let message = refused.unwrap_or_else(|| "Connection verified".to_owned());
        let found = outcome.as_ref().ok().map(|reached| Found {
            server_version: reached.version.clone(),
            login_milliseconds: reached.login.as_millis(),
            query_milliseconds: reached.query.as_millis(),
            connection_pool: reached.pool,
            privileges: reached.rights.privileges(),
            least_privilege: reached.rights.to_string(),
        });
        Self { reason: reason(outcome).as_str(), message, found }
    }

    fn print(&self, format: Format) -> anyhow::Result<String> {
        Ok(match format {
            Format::Json => serde_json::to_string_pretty(self)? + "\n",
            Format::Text => self.text(),
        })
    }

    fn text(&self) -> String {
        let Some(found) = &self.found else { return format!("{}: {}\n", self.reason, self.message) };
        let pool = match found.connection_pool {
            Some(pool) => format!("{} active, {} idle, beside this one", pool.active, pool.idle),
            None => "not told".to_owned(),
        };
        format!(
            "{}: {}\nserver:      {}\nlogin:       {} ms\nquery:       {} ms\nconnections: {pool}\nprivileges:  {:?}: {}\n",
            self.reason,
            self.message,
            found.server_version,
            found.login_milliseconds,
            found.query_milliseconds,
            found.privileges,
            found.least_privilege
        )
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
