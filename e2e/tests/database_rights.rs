//! What a `Database` says about its login's rights is what the server's own catalogue says.

use anyhow::{Context, Result};
use api_types::Privileges;
use e2e::testing::bed::{Bed, Login};
use e2e::testing::databases::found_rights as found;
use e2e::testing::manifests::{database, secret};
use serde_json::json;

/// Applies a Database of this login.
async fn probed(bed: &Bed, engine: &str, host: &str, login: &Login) -> Result<()> {
    bed.apply(&secret("creds", login)).await?;
    let spec = json!({"type": engine, "host": host, "database": login.database, "credentialsRef": {"name": "creds"}});
    bed.apply(&database("db", &spec, &json!({}))).await
}

#[tokio::test]
async fn the_rights_of_a_postgres_login_are_told_and_followed() -> Result<()> {
    let mut bed = Bed::new("rights-pg").await?;
    let login = bed.postgres_login().await?;
    let (user, role) = (login.user.clone(), format!("{}_role", login.database));
    let admin = bed.harness().servers().postgres_admin(&login.database).await?;
    probed(&bed, "postgres", "analytics-pg.acme.internal", &login).await?;
    assert_eq!(found(&bed, "first", Privileges::ReadOnly).await?.0, "True");
    let write = Privileges::ReadWrite;
    for (number, (grant, revoke, expected, words)) in [
        (format!("GRANT INSERT ON items TO {user}"), format!("REVOKE INSERT ON items FROM {user}"), write, "INSERT on table \"public.items\""),
        ("GRANT UPDATE (name) ON items TO PUBLIC".to_owned(), "REVOKE UPDATE (name) ON items FROM PUBLIC".to_owned(), write, "which PUBLIC has"),
        (format!("CREATE ROLE {role}; GRANT DELETE ON items TO {role}; ALTER ROLE {user} NOINHERIT; GRANT {role} TO {user}"),
         format!("DROP OWNED BY {role}; DROP ROLE {role}"), write, "through role"),
        (format!("ALTER TABLE items OWNER TO {user}"), "ALTER TABLE items OWNER TO postgres".to_owned(), write, "owning the table"),
        (format!("ALTER DEFAULT PRIVILEGES GRANT TRUNCATE ON TABLES TO {user}"),
         format!("ALTER DEFAULT PRIVILEGES REVOKE TRUNCATE ON TABLES FROM {user}"), write, "every new table"),
        (format!("CREATE SEQUENCE s; GRANT USAGE ON SEQUENCE s TO {user}"), "DROP SEQUENCE s".to_owned(), write, "USAGE on sequence"),
        (format!("GRANT CREATE ON SCHEMA public TO {user}"), format!("REVOKE CREATE ON SCHEMA public FROM {user}"), write, "CREATE on schema"),
        (format!("GRANT CREATE ON DATABASE {} TO {user}", login.database), format!("REVOKE CREATE ON DATABASE {} FROM {user}", login.database), write, "CREATE on database"),
        (format!("GRANT pg_write_all_data TO {user}"), format!("REVOKE pg_write_all_data FROM {user}"), write, "pg_write_all_data"),
        (format!("GRANT pg_read_server_files TO {user}"), format!("REVOKE pg_read_server_files FROM {user}"), Privileges::Admin, "pg_read_server_files"),
        (format!("ALTER ROLE {user} CREATEDB"), format!("ALTER ROLE {user} NOCREATEDB"), Privileges::Admin, "CREATEDB"),
    ].into_iter().enumerate() {
        admin.batch_execute(&grant).await.with_context(|| grant.clone())?;
        let (status, message) = found(&bed, &format!("granted-{number}"), expected).await?;
        assert!(status == "False" && message.contains(words), "{grant}: {status}, {message}");
        assert!(!message.contains(&user), "{message}");
        admin.batch_execute(&revoke).await.with_context(|| revoke.clone())?;
        assert_eq!(found(&bed, &format!("revoked-{number}"), Privileges::ReadOnly).await?.0, "True", "{revoke}");
    }
    bed.finish().await
}

#[tokio::test]
async fn the_rights_of_a_mariadb_login_are_told_and_followed() -> Result<()> {
    let mut bed = Bed::new("rights-my").await?;
    let login = bed.mariadb_login().await?;
    let (user, name) = (format!("'{}'@'%'", login.user), login.database.clone());
    let role = format!("{name}_role");
    probed(&bed, "mariadb", "users-mysql.acme.internal", &login).await?;
    assert_eq!(found(&bed, "first", Privileges::ReadOnly).await?.0, "True");
    let (write, admin, unknown) = (Privileges::ReadWrite, Privileges::Admin, Privileges::Unknown);
    bed.mariadb_admin(&format!("CREATE ROLE {role}")).await?;
    bed.mariadb_admin(&format!("GRANT DELETE ON {name}.items TO {role}")).await?;
    for (number, (grant, revoke, expected, words)) in [
        (
            format!("GRANT INSERT ON `{}`.* TO {user}", name.replace('_', "%")),
            format!("REVOKE INSERT ON `{}`.* FROM {user}", name.replace('_', "%")),
            write,
            "INSERT on",
        ),
        (
            format!("GRANT UPDATE (name) ON {name}.items TO {user}"),
            format!("REVOKE UPDATE (name) ON {name}.items FROM {user}"),
            write,
            "UPDATE on",
        ),
        (format!("GRANT FILE ON *.* TO {user}"), format!("REVOKE FILE ON *.* FROM {user}"), admin, "FILE on"),
        (
            format!("GRANT SELECT ON {name}.items TO {user} WITH GRANT OPTION"),
            format!("REVOKE GRANT OPTION ON {name}.items FROM {user}"),
            admin,
            "GRANT OPTION",
        ),
        // A role that has to be taken on is not seen: that is never called read-only.
        (format!("GRANT {role} TO {user}"), format!("REVOKE {role} FROM {user}"), unknown, "may take on role"),
    ]
    .into_iter()
    .enumerate()
    {
        bed.mariadb_admin(&grant).await.with_context(|| grant.clone())?;
        let (status, message) = found(&bed, &format!("granted-{number}"), expected).await?;
        assert!(status == if expected == unknown { "Unknown" } else { "False" }, "{grant}: {status}, {message}");
        assert!(message.contains(words) && !message.contains(&login.user), "{grant}: {message}");
        bed.mariadb_admin(&revoke).await.with_context(|| revoke.clone())?;
        assert_eq!(found(&bed, &format!("revoked-{number}"), Privileges::ReadOnly).await?.0, "True", "{revoke}");
    }
    bed.mariadb_admin(&format!("GRANT {role} TO {user}")).await?;
    bed.mariadb_admin(&format!("SET DEFAULT ROLE {role} FOR {user}")).await?;
    let (_, message) = found(&bed, "default-role", write).await?;
    assert!(message.contains("DELETE on") && message.contains("through role"), "{message}");
    bed.mariadb_admin(&format!("DROP ROLE {role}")).await?;
    bed.finish().await
}
