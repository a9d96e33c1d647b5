//! Databases and logins of a test's own on the servers, and what their administrators do to them.

use anyhow::{Context, Result};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::{Bed, random};

/// A database on a server, and a login that may only read its table `items` of three rows.
#[derive(Debug, Clone)]
pub struct Login {
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl Bed {
    /// A name with an underscore for a database that an AppDatabase asks for; dropped in the end, with its user.
    pub fn database_name(&mut self) -> String {
        let name = format!("t_{}", random(8));
        self.on_mariadb.push(name.clone());
        name
    }

    /// The same for a database on PostgreSQL.
    pub fn postgres_name(&mut self) -> String {
        let name = format!("t_{}", random(8));
        self.on_postgres.push(name.clone());
        name
    }

    /// Runs statements in one database of PostgreSQL as its superuser.
    pub async fn postgres_admin(&self, database: &str, statements: &str) -> Result<()> {
        let superuser = self.harness.servers().postgres_admin(database).await?;
        superuser.batch_execute(statements).await.with_context(|| format!("cannot run {statements}"))
    }

    /// What a query of one number gives in one database of PostgreSQL.
    pub async fn postgres_count(&self, database: &str, query: &str) -> Result<i64> {
        let superuser = self.harness.servers().postgres_admin(database).await?;
        let row = superuser.query_one(query, &[]).await.with_context(|| format!("cannot run {query}"))?;
        Ok(row.try_get(0)?)
    }

    /// Creates an empty database on MariaDB.
    pub async fn server_database(&mut self, name: &str) -> Result<()> {
        self.on_mariadb.push(name.to_owned());
        self.mariadb_admin(&format!("CREATE DATABASE {name}")).await
    }

    /// A database with a table, and a login that may read it, on MariaDB.
    pub async fn mariadb_login(&mut self) -> Result<Login> {
        let login = self.new_login();
        self.on_mariadb.push(login.database.clone());
        create(self.harness.servers().mariadb_admin().await?, &login).await?;
        Ok(login)
    }

    /// A database with a table, and a login that may read it, on MySQL 8, by its default way of proving a password.
    pub async fn mysql8_login(&mut self) -> Result<Login> {
        let login = self.new_login();
        self.on_mysql8.push(login.database.clone());
        create(self.harness.servers().mysql8_admin().await?, &login).await?;
        Ok(login)
    }

    /// A database with a table, and a login that may read it, on PostgreSQL.
    pub async fn postgres_login(&mut self) -> Result<Login> {
        let login = self.new_login();
        let Login { database, user, password } = &login;
        self.on_postgres.push(database.clone());
        let admin = self.harness.servers().postgres_admin("postgres").await?;
        admin.batch_execute(&format!("CREATE DATABASE {database}")).await?;
        let inside = self.harness.servers().postgres_admin(database).await?;
        inside
            .batch_execute(&format!(
                "CREATE ROLE {user} LOGIN PASSWORD '{password}';
                 CREATE TABLE items (id INT PRIMARY KEY, name VARCHAR(20));
                 INSERT INTO items VALUES (1, 'one'), (2, 'two'), (3, 'three');
                 GRANT SELECT ON items TO {user};"
            ))
            .await?;
        Ok(login)
    }

    /// Runs a statement on MariaDB as its administrator.
    pub async fn mariadb_admin(&self, statement: &str) -> Result<()> {
        run(self.harness.servers().mariadb_admin().await?, statement).await
    }

    /// Runs a statement on MySQL 8 as its administrator.
    pub async fn mysql8_admin(&self, statement: &str) -> Result<()> {
        run(self.harness.servers().mysql8_admin().await?, statement).await
    }

    /// Whether MariaDB has a database of that name.
    pub async fn server_has_database(&self, name: &str) -> Result<bool> {
        self.server_counts(&format!("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = '{name}'"))
            .await
    }

    /// Whether MariaDB has a user of that name.
    pub async fn server_has_user(&self, name: &str) -> Result<bool> {
        self.server_counts(&format!("SELECT COUNT(*) FROM mysql.user WHERE user = '{name}'")).await
    }

    async fn server_counts(&self, query: &str) -> Result<bool> {
        let mut admin = self.harness.servers().mariadb_admin().await?;
        let count: Option<u64> = admin.query_first(query).await?;
        Ok(count.is_some_and(|count| count > 0))
    }

    pub(super) async fn drop_databases(&self) -> Result<()> {
        for name in &self.on_mariadb {
            self.mariadb_admin(&format!("DROP DATABASE IF EXISTS {name}")).await?;
            self.mariadb_admin(&format!("DROP USER IF EXISTS {name}_app, {name}_ro")).await?;
        }
        for name in &self.on_mysql8 {
            self.mysql8_admin(&format!("DROP DATABASE IF EXISTS {name}")).await?;
            self.mysql8_admin(&format!("DROP USER IF EXISTS {name}_app, {name}_ro")).await?;
        }
        let postgres = self.harness.servers().postgres_admin("postgres").await?;
        for name in &self.on_postgres {
            postgres.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
            postgres.batch_execute(&format!("DROP ROLE IF EXISTS {name}_app, {name}_ro")).await?;
        }
        Ok(())
    }

    fn new_login(&mut self) -> Login {
        let (database, password) = (format!("d_{}", random(8)), self.canary());
        Login { user: format!("{database}_app"), password, database }
    }
}

/// Makes a login and its database on MariaDB or MySQL.
async fn create(mut admin: Conn, Login { database, user, password }: &Login) -> Result<()> {
    for statement in [
        format!("CREATE DATABASE {database}"),
        format!("CREATE TABLE {database}.items (id INT PRIMARY KEY, name VARCHAR(20))"),
        format!("INSERT INTO {database}.items VALUES (1, 'one'), (2, 'two'), (3, 'three')"),
        format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'"),
        format!("GRANT SELECT ON {database}.* TO '{user}'@'%'"),
    ] {
        admin.query_drop(statement).await?;
    }
    admin.disconnect().await.context("cannot close the connection")
}

async fn run(mut admin: Conn, statement: &str) -> Result<()> {
    admin.query_drop(statement).await?;
    admin.disconnect().await.context("cannot close the connection")
}
