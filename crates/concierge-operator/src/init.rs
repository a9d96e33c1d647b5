//! Runs the script of spec.initSql, as the application's own user. That it was begun is recorded before its first
//! statement, and how it ended after the last: whoever comes after a crash finds it begun and leaves it alone.

use std::time::Duration;

use sql_client::{ConnectOptions, Session, Statement, connect};
use tokio::time::timeout;

use crate::error::Error;
use crate::ledger::scripts::{Record, State};
use crate::plan::{Intent, Login};
use crate::pool::Pooled;
use crate::script::Script;

/// How long a script may take, in all.
const DEADLINE: Duration = Duration::from_mins(1);

/// Runs a script if it is due, and gives how it or the one before it ended.
pub async fn run(
    intent: &Intent<'_>,
    login: &Login,
    script: &Script,
    last: Option<&Record>,
    session: &mut Pooled,
    cluster: &str,
) -> Result<Record, Error> {
    if let Some(last) = last.filter(|last| !script.is_due(Some(*last), intent.forced)) {
        return Ok(last.clone());
    }
    let login = intent.server.login(intent.request, &login.account, &login.password);
    let mut application =
        connect(&ConnectOptions { query_timeout: DEADLINE, ..login }).await.map_err(Error::Verification)?;
    write(intent, &script.record(State::Running), session, cluster).await?;
    let state = run_all(application.as_mut(), &script.statements).await;
    application.close().await;
    tracing::info!(
        object = intent.object,
        statements = script.statements.len(),
        done = state == State::Done,
        "ran the script"
    );
    let record = script.record(state);
    write(intent, &record, session, cluster).await?;
    Ok(record)
}

async fn write(intent: &Intent<'_>, record: &Record, session: &mut Pooled, cluster: &str) -> Result<(), Error> {
    let statement = record.write(intent.request, intent.owner);
    session.execute(&statement).await.map(drop).map_err(|error| Error::statement(cluster, error))
}

async fn run_all(session: &mut dyn Session, statements: &[String]) -> State {
    let mut number = 0;
    let all = async {
        for statement in statements {
            number += 1;
            session.execute(&Statement::new("running it", statement.as_str())).await?;
        }
        Ok::<_, sql_client::SqlError>(())
    };
    let problem = match timeout(DEADLINE, all).await {
        Ok(Ok(())) => return State::Done,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the script took longer than {} s", DEADLINE.as_secs()),
    };
    State::Failed(format!("statement {number} of {}: {problem}", statements.len()))
}
