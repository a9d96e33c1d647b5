//! Reaches a database server and runs statements on it: MySQL, MariaDB and Percona through
//! [`mysql`](Engine::Mysql), PostgreSQL through [`postgres`](Engine::Postgres), SQL Server through
//! [`mssql`](Engine::SqlServer), all behind the one small trait [`Session`]. Nothing here knows Kubernetes, decides what to write or retries.
//!
//! ```no_run
//! # async fn example(options: sql_client::ConnectOptions) -> Result<(), Box<dyn std::error::Error>> {
//! use sql_client::{Statement, connect};
//!
//! let mut session = connect(&options).await?;
//! let rows = session.query(&Statement::new("reading the answer", "SELECT 42")).await?;
//! assert_eq!(rows[0].integer(0), Some(42));
//! session.close().await;
//! # Ok(()) }
//! ```
//!
//! What holds for every call:
//! - It ends by itself: [`connect`] within `connect_timeout`, each statement within `query_timeout`.
//! - The address is resolved once, checked against [`DeniedAddresses`], and that address is dialled;
//!   the host name is used for nothing but the TLS check.
//! - TLS never falls back to plaintext, and the provider is passed explicitly: no process default.
//! - No error carries a password, a statement or the server's own text: a class, a code, our words.

mod address;
mod connect;
mod connect_error;
mod deadline;
mod endpoint;
mod io_error;
mod mssql;
mod mysql;
mod postgres;
pub mod quote;
mod session;
mod socket;
mod sql_error;
mod statement;
#[cfg(test)]
mod testing;
mod tls;

pub use address::{DeniedAddresses, DeniedAddressesError, resolve};
pub use connect::{ConnectOptions, Credentials, Engine, connect};
pub use connect_error::{ConnectClass, ConnectError, TlsProblem};
pub use endpoint::{Endpoint, Host, HostError};
pub use session::{Flavor, Row, ServerVersion, Session};
pub use sql_error::{SqlClass, SqlError};
pub use statement::Statement;
pub use tls::{TlsMode, TlsModeError, TrustRoots, TrustRootsError};
