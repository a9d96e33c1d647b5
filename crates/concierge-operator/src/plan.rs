//! Turns a request, its owner and what is there into a [`Plan`]: the claim, the Secrets and the statements that are
//! missing, or the reason why nothing may be done. Pure; a plan of something that is as it should be is empty.

mod logins;
mod mysql;
mod ownership;
mod password;
mod postgres;
mod scram;
mod secret;

#[cfg(test)]
mod additions_tests;
#[cfg(test)]
pub mod fixtures;
#[cfg(test)]
mod postgres_tests;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::Secret;
use sql_client::Statement;

use crate::engine::Engine;
use crate::ledger::{self, Kind, Owner};
use crate::look::postgres::Inside;
use crate::look::{Found, ServerView};
use crate::servers::Server;
use crate::validate::Request;

pub use logins::{Credentials, Login, Logins};
pub use ownership::{standing, unwanted_reader};
pub use password::{NoRandomness, Password, Stated};
pub use postgres::join;
pub use scram::Salt;
pub use secret::{SecretChange, connection_template, owner_annotation};

/// Who asks for what, and which of the concierge's freedoms this pass has.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// What is asked for.
    pub request: &'a Request,
    /// The server it is asked of.
    pub server: &'a Server,
    /// Whose it will be.
    pub owner: &'a Owner,
    /// The AppDatabase, as `namespace/name`.
    pub object: &'a str,
    /// Its UID, for the record.
    pub uid: &'a str,
    /// Whether a status says that it was Ready once: then a missing database is a loss, not a beginning.
    pub provisioned: bool,
    /// Whether a person asked for a full pass.
    pub forced: bool,
    /// Whether a person asked for new passwords.
    pub rotate: bool,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The server's side.
    pub view: ServerView,
    /// Whether the database is there and holds nothing.
    pub empty: bool,
    /// The Secret of the application's login, and what a new one would hold.
    pub application: Credentials,
    /// The same of the login that can only read.
    pub reader: Credentials,
    /// What that login cannot read yet, where only a look inside the database tells.
    pub inside: Inside,
}

/// What is missing, in the order in which it must be done.
#[derive(Debug)]
pub struct Plan {
    /// First of all: the names become ours or the plan is void.
    pub claim: Option<Statement>,
    /// What it claims. All else was claimed by an earlier pass, whose statements may take effect at any time.
    pub claimed: Vec<Kind>,
    /// The logins, and their Secrets: written before any user has the password that they hold.
    pub logins: Logins,
    /// What the server lacks, or has too much.
    pub steps: Vec<Step>,
    /// The new passwords of users that are there.
    pub passwords: Vec<Step>,
    /// A login that is no longer wanted.
    pub farewell: Option<Farewell>,
    /// What a user has too much, and nobody here may take away.
    pub left: Vec<&'static str>,
}

/// One statement and what it means.
#[derive(Debug)]
pub struct Step {
    /// The statement.
    pub statement: Statement,
    /// Where it is sent.
    pub place: Place,
    /// What it creates under a claim that says it was not there.
    pub creates: Option<Kind>,
    /// What stays if the server does not let us; without it, a refusal is an error.
    pub tolerated: Option<&'static str>,
}

/// Where a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To the session that the admin works in.
    Server,
    /// To a session inside the application's database.
    Database,
}

/// How a login that is no longer wanted goes: the user, then the Secret, and the claim when both are gone.
#[derive(Debug)]
pub struct Farewell {
    /// Its name.
    pub user: String,
    /// What drops it.
    pub steps: Vec<Step>,
    /// Its Secret, if that is ours.
    pub secret: Option<Secret>,
    /// Gives up its name.
    pub withdraw: Statement,
}

impl Plan {
    /// Whether nothing is to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.writes_first() && self.steps.is_empty() && self.farewell.is_none()
    }

    /// Whether something of that kind is to be made.
    #[must_use]
    pub fn creates(&self, kind: Kind) -> bool {
        self.steps.iter().any(|step| step.creates == Some(kind))
    }

    /// Whether a claim, a Secret or a password is to be written.
    #[must_use]
    pub fn writes_first(&self) -> bool {
        let secrets = self.logins.iter().any(|login| login.secret.is_some());
        self.claim.is_some() || secrets || !self.passwords.is_empty()
    }
}

impl Step {
    /// A plain statement to the server.
    #[must_use]
    pub fn new(description: &'static str, sql: impl Into<String>) -> Self {
        Self::of(Statement::new(description, sql))
    }

    fn of(statement: Statement) -> Self {
        Self { statement, place: Place::Server, creates: None, tolerated: None }
    }

    fn creating(self, kind: Kind) -> Self {
        Self { creates: Some(kind), ..self }
    }

    fn inside(self) -> Self {
        Self { place: Place::Database, ..self }
    }

    fn tolerating(self, what_stays: &'static str) -> Self {
        Self { tolerated: Some(what_stays), ..self }
    }
}

/// Why nothing may be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody else's claim.
    #[error(
        "the {kind} {name} belongs to another AppDatabase: choose another name, or delete the other with deletionPolicy Delete"
    )]
    Conflict {
        /// What is taken.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// It exists and nobody consented to its adoption.
    #[error(
        "the {kind} {name} exists on the server and was not made by the concierge: choose another name, or list it in annotation db.stillwaters.io/adoptable of the server's admin Secret"
    )]
    AdoptionNotAllowed {
        /// What exists.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// A Secret of that name that we did not write.
    #[error(
        "a Secret {secret} exists in namespace {namespace} and does not belong to this AppDatabase: delete or rename it, or create the AppDatabase anew with another spec.secretName"
    )]
    SecretConflict {
        /// Its name.
        secret: String,
        /// Where it is.
        namespace: String,
    },
    /// It was there and is gone; its data too.
    #[error(
        "the database {database} was created and is no longer on the server: restore it, or annotate the AppDatabase with reconcile=<any new value> to have an empty one created"
    )]
    DatabaseMissing {
        /// Its name.
        database: String,
    },
    /// Another charset was asked for than the database was created with.
    #[error(
        "the database {database} was created with encoding {encoding} and locale {locale}, which PostgreSQL cannot change: correct spec.charset and spec.collation, or create another AppDatabase and move the data"
    )]
    CharsetFixed {
        /// Its name.
        database: String,
        /// What it has.
        encoding: String,
        /// What it has.
        locale: String,
    },
}

/// Whether a server that looks like this lacks nothing, and has nothing too much. The applications' Secrets are not asked here.
#[must_use]
pub fn is_settled(request: &Request, owner: &Owner, view: &ServerView) -> bool {
    let ours = |kind| view.claim(kind).is_some_and(|claim| claim.owner == owner.as_str());
    let claimed = ours(Kind::Database) && request.accounts().all(|account| ours(account.kind));
    claimed
        && view.exists(request, Kind::Database)
        && lacks_nothing(request, view)
        && left(request, view).is_empty()
        && unwanted_reader(request, owner, view).is_none()
}

fn lacks_nothing(request: &Request, view: &ServerView) -> bool {
    match &view.found {
        Found::Mysql(server) => mysql::missing(request, view, server).is_empty(),
        Found::Postgres(server) => {
            postgres::missing(request, server, &Inside::default()).is_empty()
                && postgres::refuse_other_charset(request, view, server).is_ok()
        }
    }
}

/// Plans what is missing.
pub fn plan(intent: &Intent<'_>, inputs: &Inputs) -> Result<Plan, Refusal> {
    let (request, view) = (intent.request, &inputs.view);
    let claims = ownership::claims(intent, inputs)?;
    refuse_lost_database(intent, view)?;
    refuse_other_charset(request, view)?;
    let logins = Logins::plan(intent, inputs, &claims)?;
    let mut steps = missing(intent.request, inputs, &logins);
    if view.script.is_some() && steps.iter().any(|step| step.creates == Some(Kind::Database)) {
        // It was run in a database that is gone.
        steps.insert(0, Step::of(ledger::scripts::forget(request, intent.owner)));
    }
    let creates = |login: &&Login| steps.iter().any(|step| step.creates == Some(login.account.kind));
    let unknown = logins.iter().filter(|login| login.unknown && !creates(login));
    let passwords = unknown.map(|login| set_password(request, login)).collect();
    Ok(Plan {
        claim: ledger::claim(request, intent.owner, intent.uid, &claims),
        claimed: claims.iter().map(|(kind, _)| *kind).collect(),
        logins,
        steps,
        passwords,
        farewell: farewell(intent, inputs),
        left: left(request, view),
    })
}

fn refuse_lost_database(intent: &Intent<'_>, view: &ServerView) -> Result<(), Refusal> {
    if intent.provisioned && !intent.forced && !view.exists(intent.request, Kind::Database) {
        Err(Refusal::DatabaseMissing { database: intent.request.database.to_string() })
    } else {
        Ok(())
    }
}

fn refuse_other_charset(request: &Request, view: &ServerView) -> Result<(), Refusal> {
    match &view.found {
        // It is changed there.
        Found::Mysql(_) => Ok(()),
        Found::Postgres(server) => postgres::refuse_other_charset(request, view, server),
    }
}

fn missing(request: &Request, inputs: &Inputs, logins: &Logins) -> Vec<Step> {
    match &inputs.view.found {
        Found::Mysql(server) => {
            let missing = mysql::missing(request, &inputs.view, server);
            missing.into_iter().map(|missing| missing.step(request, logins)).collect()
        }
        Found::Postgres(server) => {
            let missing = postgres::missing(request, server, &inputs.inside);
            missing.into_iter().map(|missing| missing.step(request, logins)).collect()
        }
    }
}

/// What the look shows and no statement of ours could change.
fn left(request: &Request, view: &ServerView) -> Vec<&'static str> {
    match &view.found {
        Found::Mysql(server) => mysql::left(request, server),
        Found::Postgres(server) => postgres::left(request, server),
    }
}

/// Gives a user the password of its Secret.
#[must_use]
pub fn set_password(request: &Request, login: &Login) -> Step {
    let sql = match request.engine {
        Engine::Mysql => mysql::set_password(request, &login.account, &login.stated),
        Engine::Postgres => postgres::set_password(&login.account, &login.stated),
    };
    Step::new("setting the password", sql)
}

fn farewell(intent: &Intent<'_>, inputs: &Inputs) -> Option<Farewell> {
    let reader = unwanted_reader(intent.request, intent.owner, &inputs.view)?;
    let ours = |secret: &&Secret| secret::is_ours(&secret.metadata, intent.object);
    let steps = match &inputs.view.found {
        Found::Mysql(_) => vec![mysql::drop_user(reader)],
        Found::Postgres(server) => postgres::drop_reader(intent.request, server, reader),
    };
    Some(Farewell {
        user: reader.user.to_string(),
        steps,
        secret: inputs.reader.secret.as_ref().filter(ours).cloned(),
        withdraw: ledger::withdraw(intent.request, intent.owner, Kind::Reader),
    })
}

/// The steps that drop what is `ours`, in their order, each with what it is about.
#[must_use]
pub fn drops(request: &Request, view: &ServerView, ours: &[Kind]) -> Vec<(Kind, Step)> {
    match &view.found {
        Found::Mysql(_) => mysql::drops(request, ours),
        Found::Postgres(server) => postgres::drops(request, server, ours),
    }
}
