//! What kind of server a database is on, which the concierge tells by the scheme of the connection string.

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// MySQL, MariaDB or Percona.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

impl Engine {
    /// By the connection string of an AppDatabase's status, or of its Secret.
    #[must_use]
    pub fn of(connection_string: &str) -> Self {
        if connection_string.starts_with("postgresql:") { Self::Postgres } else { Self::Mysql }
    }

    /// As programs write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Postgres => "postgresql",
        }
    }
}
