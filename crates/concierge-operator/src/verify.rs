//! Tries the logins as applications do. When a password is refused although nothing was missing, the user has another
//! one than its Secret, which is the truth: the user gets the Secret's. That is the only thing that is written here.

use sql_client::quote::mysql::identifier;
use sql_client::{ConnectClass, ConnectError, ConnectOptions, Session, SqlClass, Statement, TlsMode, connect};

use crate::engine::Engine;
use crate::error::Error;
use crate::ledger::Kind;
use crate::look::postgres::{count_sessions, count_writable};
use crate::plan::{Intent, Login, set_password};
use crate::pool::Pooled;

/// A table that no database has. Who may not write is told that before the server looks for it.
const NO_TABLE: &str = "db_concierge_no_such_table";

/// What a login that was tried turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// It was given the password of its Secret.
    pub healed: bool,
    /// It was accepted, and then refused because all its connections are in use.
    pub full: bool,
}

/// Tries one login, and what it must not be able to do.
pub async fn verify(intent: &Intent<'_>, login: &Login, session: &mut Pooled, cluster: &str) -> Result<Verdict, Error> {
    let options = intent.server.login(intent.request, &login.account, &login.password);
    let (verdict, opened) = match attempt(intent, login, &options, session).await? {
        Attempt::WrongPassword(_) => {
            let step = set_password(intent.request, login);
            session.execute(&step.statement).await.map_err(|error| Error::statement(cluster, error))?;
            match attempt(intent, login, &options, session).await? {
                Attempt::WrongPassword(error) => return Err(Error::Verification(error)),
                Attempt::Open(opened) => (Verdict { healed: true, full: false }, Some(opened)),
                Attempt::Full => (Verdict { healed: true, full: true }, None),
            }
        }
        Attempt::Open(opened) => (Verdict::default(), Some(opened)),
        Attempt::Full => (Verdict { healed: false, full: true }, None),
    };
    if let Some(mut opened) = opened {
        let result = if login.account.kind == Kind::Reader {
            refuse_writer(intent, opened.as_mut(), cluster).await
        } else {
            Ok(())
        };
        opened.close().await;
        result?;
    }
    if intent.request.terms.tls && intent.request.engine == Engine::Postgres {
        refuse_plaintext(login, &options).await?;
    }
    Ok(verdict)
}

enum Attempt {
    Open(Box<dyn Session>),
    Full,
    WrongPassword(ConnectError),
}

async fn attempt(
    intent: &Intent<'_>,
    login: &Login,
    options: &ConnectOptions,
    session: &mut Pooled,
) -> Result<Attempt, Error> {
    match connect(options).await {
        Ok(opened) => Ok(Attempt::Open(opened)),
        Err(error) if error.class() == ConnectClass::AuthenticationFailed => Ok(Attempt::WrongPassword(error)),
        Err(error) if is_full(intent, login, &error, session).await => Ok(Attempt::Full),
        Err(error) => Err(Error::Verification(error)),
    }
}

/// Whether the password was accepted, and the user only has all its connections in use: an application that does
/// that is well. MySQL says so by two codes of their own. PostgreSQL has one for that and for a server that is full,
/// which refuses before it asks for a password.
async fn is_full(intent: &Intent<'_>, login: &Login, error: &ConnectError, session: &mut Pooled) -> bool {
    match (intent.request.engine, error.code()) {
        // 1226: max_user_connections of the account. 1203: that of the server.
        (Engine::Mysql, Some("1226" | "1203")) => true,
        (Engine::Postgres, Some("53300")) => {
            let Some(limit) = intent.request.terms.connections else { return false };
            let rows = session.query(&count_sessions(&login.account)).await.unwrap_or_default();
            let sessions = rows.first().and_then(|row| row.integer(0));
            sessions.is_some_and(|sessions| sessions >= i64::from(limit.get()))
        }
        _ => false,
    }
}

/// The login that can only read must be one that can only read.
async fn refuse_writer(intent: &Intent<'_>, opened: &mut dyn Session, cluster: &str) -> Result<(), Error> {
    let failed = |error| Error::statement(cluster, error);
    let writes = match intent.request.engine {
        Engine::Mysql => {
            let table = identifier(NO_TABLE).map_err(|_| Error::ReaderWrites)?;
            let sql = format!("DELETE FROM {}.{table} WHERE FALSE", intent.request.database.quoted());
            match opened.execute(&Statement::new("trying to write", sql)).await {
                Err(error) if error.class() == SqlClass::AccessDenied => false,
                Err(error) if error.class() != SqlClass::NotFound => return Err(failed(error)),
                Ok(_) | Err(_) => true,
            }
        }
        Engine::Postgres => {
            let path = Statement::new("emptying the search path", "SET search_path = ''");
            opened.execute(&path).await.map_err(failed)?;
            let rows = opened.query(&count_writable()).await.map_err(failed)?;
            rows.first().and_then(|row| row.integer(0)) != Some(0)
        }
    };
    if writes { Err(Error::ReaderWrites) } else { Ok(()) }
}

/// PostgreSQL has no such demand on a role: pg_hba.conf decides, as seen from where somebody comes from. So the login
/// is tried without TLS, which must fail. The password was accepted before, so 28000 can only mean that.
async fn refuse_plaintext(login: &Login, options: &ConnectOptions) -> Result<(), Error> {
    let plain = ConnectOptions { tls: TlsMode::Disable, ..options.clone() };
    let user = || login.account.user.to_string();
    match connect(&plain).await {
        Ok(opened) => {
            opened.close().await;
            Err(Error::TlsNotEnforced { user: user() })
        }
        Err(error) if error.code() == Some("28000") => Ok(()),
        Err(error) if error.class() == ConnectClass::PasswordInClear => Err(Error::TlsNotEnforced { user: user() }),
        Err(error) => Err(Error::Verification(error)),
    }
}
