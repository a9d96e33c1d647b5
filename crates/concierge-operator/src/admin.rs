//! The admin's logins: what must be there and be said before a session is used for anything else. On PostgreSQL that is
//! the concierge's own database, and an empty search path, so that no name means what somebody has planted. On a Galera
//! cluster it is that a look sees everything that any node has taken: after a failover the new writer lags behind for a
//! moment, and what it has not applied yet is not absent.

use sql_client::{ConnectClass, ConnectOptions, Session, SqlClass, Statement, connect};

use crate::engine::Engine;
use crate::ledger::postgres::{MAINTENANCE_DATABASE, create_database, look_for_database};
use crate::pool::PoolError;
use crate::servers::Server;

/// What a MySQL that was not built for a cluster says to the cluster's settings.
const UNKNOWN_VARIABLE: &str = "1193";

/// A session where the admin works. On a PostgreSQL server that was never used before, its place is made first.
pub async fn open(server: &Server) -> Result<Box<dyn Session>, PoolError> {
    match enter(server.engine, &server.admin).await {
        Err(PoolError::Connect(error)) if server.engine == Engine::Postgres && is_no_place(error.class()) => {
            make_place(server).await?;
            enter(server.engine, &server.admin).await
        }
        result => result,
    }
}

/// A session inside an application's database. Whatever runs there names everything in full.
pub async fn open_in(server: &Server, database: &str) -> Result<Box<dyn Session>, PoolError> {
    enter(server.engine, &server.admin_in(database)).await
}

async fn enter(engine: Engine, options: &ConnectOptions) -> Result<Box<dyn Session>, PoolError> {
    let mut session = connect(options).await?;
    match engine {
        Engine::Mysql => {
            let wait = Statement::new("asking for causal reads", "SET SESSION wsrep_sync_wait = 1");
            match session.execute(&wait).await {
                Err(error) if error.code() == Some(UNKNOWN_VARIABLE) => {}
                result => drop(result?),
            }
        }
        Engine::Postgres => {
            session.execute(&Statement::new("emptying the search path", "SET search_path = ''")).await?;
        }
    }
    Ok(session)
}

/// The database is missing, or was left closed by a pass that was cut off.
fn is_no_place(class: ConnectClass) -> bool {
    matches!(class, ConnectClass::DatabaseNotFound | ConnectClass::AccessDenied)
}

async fn make_place(server: &Server) -> Result<(), PoolError> {
    let mut session = enter(server.engine, &server.admin_in(MAINTENANCE_DATABASE)).await?;
    let found = session.query(&look_for_database()).await?;
    for statement in create_database(&found) {
        match session.execute(&statement).await {
            // Somebody else makes it at the same time.
            Err(error) if error.class() == SqlClass::AlreadyExists => {}
            result => drop(result?),
        }
    }
    session.close().await;
    Ok(())
}
