//! Sends the steps of a plan to where they belong: to the session that the admin works in, or to one inside the
//! application's database, which is opened when the first step asks for it.

use sql_client::{Session, SqlClass, SqlError, Statement};

use crate::admin;
use crate::error::Error;
use crate::plan::{Place, Step};
use crate::pool::Pooled;
use crate::servers::Server;
use crate::validate::Request;

/// Where steps are sent.
pub struct Runner<'a> {
    session: &'a mut Pooled,
    cluster: &'a str,
    server: &'a Server,
    request: &'a Request,
    inside: Option<Box<dyn Session>>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// It was done.
    Done,
    /// The server does not let us; this stays.
    Refused(&'static str),
}

/// Why a step was not done.
pub enum StepError {
    /// What the statement would create was made by somebody since the look.
    Exists,
    /// Anything else.
    Failed(Error),
}

impl StepError {
    /// For a step that creates nothing.
    pub fn into_error(self) -> Error {
        match self {
            Self::Exists => Error::Raced,
            Self::Failed(error) => error,
        }
    }
}

impl<'a> Runner<'a> {
    /// To the server of that request. `cluster` names it.
    pub fn new(session: &'a mut Pooled, cluster: &'a str, server: &'a Server, request: &'a Request) -> Self {
        Self { session, cluster, server, request, inside: None }
    }

    /// Does one step.
    pub async fn run(&mut self, step: &Step) -> Result<Ran, StepError> {
        let result = match step.place {
            Place::Server => self.session.execute(&step.statement).await,
            Place::Database => {
                self.session.count(&step.statement);
                self.inside().await.map_err(StepError::Failed)?.execute(&step.statement).await
            }
        };
        match (result, step.tolerated) {
            (Ok(_), _) => Ok(Ran::Done),
            (Err(error), Some(what)) if is_refusal(&error) => Ok(Ran::Refused(what)),
            (Err(error), _) if step.creates.is_some() && exists_already(&error) => Err(StepError::Exists),
            (Err(error), _) => Err(StepError::Failed(Error::statement(self.cluster, error))),
        }
    }

    /// Sends one statement to the admin's session.
    pub async fn send(&mut self, statement: &Statement) -> Result<(), Error> {
        self.session.execute(statement).await.map(drop).map_err(|error| Error::statement(self.cluster, error))
    }

    /// Says goodbye to the session inside the database, if there was one.
    pub async fn close(self) {
        if let Some(inside) = self.inside {
            inside.close().await;
        }
    }

    async fn inside(&mut self) -> Result<&mut Box<dyn Session>, Error> {
        let session = match self.inside.take() {
            Some(session) => session,
            None => admin::open_in(self.server, self.request.database.as_str())
                .await
                .map_err(|error| Error::session(self.cluster, error))?,
        };
        Ok(self.inside.insert(session))
    }
}

/// The server answered and does not want to; nothing is wrong with it otherwise.
fn is_refusal(error: &SqlError) -> bool {
    !error.session_is_lost() && !matches!(error.class(), SqlClass::NotReady | SqlClass::Retryable | SqlClass::ReadOnly)
}

/// Servers say 1396, "operation failed", to CREATE USER for an account that exists.
fn exists_already(error: &SqlError) -> bool {
    error.class() == SqlClass::AlreadyExists || error.code() == Some("1396")
}
