//! The databases and logins that examples/tenant-acme.yaml speaks of. The passwords are the ones in that file.

use anyhow::Result;
use mysql_async::prelude::Queryable;

use crate::servers::Servers;

const ANALYTICS: &str = "
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'readonly_user') THEN
    CREATE ROLE readonly_user LOGIN PASSWORD 'super-secret-password';
  END IF;
END $$;
CREATE TABLE IF NOT EXISTS visits (day DATE PRIMARY KEY, visitors INT NOT NULL);
INSERT INTO visits VALUES ('2026-11-19', 1203), ('2026-11-20', 1418), ('2026-11-21', 977) ON CONFLICT DO NOTHING;
GRANT SELECT ON visits TO readonly_user;";

const USERS: [&str; 5] = [
    "CREATE DATABASE IF NOT EXISTS users",
    "CREATE TABLE IF NOT EXISTS users.people (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL)",
    "INSERT IGNORE INTO users.people VALUES (1, 'Ada'), (2, 'Edgar'), (3, 'Grace')",
    "CREATE USER IF NOT EXISTS 'readonly_user'@'%' IDENTIFIED BY 'another-secret-password'",
    "GRANT SELECT ON users.* TO 'readonly_user'@'%'",
];

/// Creates what is missing.
pub(super) async fn prepare(servers: &Servers) -> Result<()> {
    let postgres = servers.postgres_admin("postgres").await?;
    if postgres.query_opt("SELECT 1 FROM pg_database WHERE datname = 'analytics'", &[]).await?.is_none() {
        postgres.batch_execute("CREATE DATABASE analytics").await?;
    }
    servers.postgres_admin("analytics").await?.batch_execute(ANALYTICS).await?;
    let mut mariadb = servers.mariadb_admin().await?;
    for statement in USERS {
        mariadb.query_drop(statement).await?;
    }
    mariadb.disconnect().await?;
    Ok(())
}
