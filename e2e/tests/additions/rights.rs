//! The table of docs/appdatabase.md: what is changed back, and what is only told. A line of it each.

use anyhow::{Context, Result, ensure};
use api_types::AppDatabase;
use e2e::testing::app_databases::ready;
use e2e::testing::local_concierge::LocalConcierge;
use mysql_async::prelude::Queryable as _;
use serde_json::json;

use super::{again, ask, condition, creds, on_mariadb, on_postgres, on_postgres_18, settles, turns};

const FLAGS: [&str; 1] = ["--drift-interval=5"];

/// Each AppDatabase is named after what happens to its user.
async fn create(concierge: &LocalConcierge, names: &[&str]) -> Result<()> {
    for name in names {
        ask(concierge, name, &json!({})).await?;
    }
    for name in names {
        ready(concierge.apps(), name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn on_mariadb_added_rights_are_taken_away_or_told() -> Result<()> {
    let Some((server, concierge)) = on_mariadb(&FLAGS).await? else { return Ok(()) };
    let repaired = ["elsewhere", "passing", "global", "table", "routine", "limits"];
    let told = ["proxy", "namesake"];
    create(&concierge, &repaired).await?;
    create(&concierge, &told).await?;
    create(&concierge, &["role"]).await?;
    server
        .run(&[
            "CREATE DATABASE precious",
            "CREATE TABLE precious.t (id INT)",
            "CREATE PROCEDURE precious.p() SELECT 1",
            "CREATE ROLE powerful",
            "GRANT SELECT ON precious.* TO elsewhere_app",
            "GRANT ALL ON passing.* TO passing_app WITH GRANT OPTION",
            "GRANT SUPER, FILE ON *.* TO global_app",
            "GRANT SELECT ON precious.t TO table_app",
            "GRANT EXECUTE ON PROCEDURE precious.p TO routine_app",
            "ALTER USER limits_app REQUIRE X509 WITH MAX_USER_CONNECTIONS 1",
            "GRANT powerful TO role_app",
            "GRANT PROXY ON harness@localhost TO proxy_app",
            "CREATE USER namesake_app@'10.1.2.3'",
        ])
        .await?;
    for name in repaired {
        let drift = turns(&concierge, name, "Drift", "Repaired").await?;
        assert_eq!(drift.status, "False", "{name}");
        concierge.apps().expect_event(name, "DriftRepaired").await?;
        let login = creds(&concierge, &format!("{name}-creds")).await?;
        let mut session = server.session(&login["username"], &login["password"], name).await?;
        session
            .query_drop("CREATE TABLE mine (id INT)")
            .await
            .with_context(|| format!("{name} lost its own rights"))?;
    }
    let left = "SELECT GROUP_CONCAT(GRANTEE) FROM information_schema.USER_PRIVILEGES \
                WHERE GRANTEE LIKE '%\\_app%' AND PRIVILEGE_TYPE <> 'USAGE'";
    let mut admin = server.admin().await?;
    let global: Option<Option<String>> = admin.query_first(left).await?;
    assert_eq!(global.flatten(), None, "global rights stay");
    let elsewhere = "SELECT (SELECT COUNT(*) FROM mysql.db WHERE Db = 'precious') \
                     + (SELECT COUNT(*) FROM mysql.tables_priv WHERE Db = 'precious') \
                     + (SELECT COUNT(*) FROM mysql.procs_priv WHERE Db = 'precious' AND User = 'routine_app') \
                     + (SELECT COUNT(*) FROM mysql.db WHERE User = 'passing_app' AND Grant_priv = 'Y')";
    assert_eq!(admin.query_first::<i64, _>(elsewhere).await?, Some(0), "rights elsewhere stay");
    for name in told {
        let drift = turns(&concierge, name, "Drift", "ExcessRights").await?;
        assert_eq!(drift.status, "True", "{name}");
        assert_eq!(condition(&ready(concierge.apps(), name).await?, "Ready")?.status, "True");
    }
    assert!(turns(&concierge, "role", "Drift", "ExcessRights").await?.message.contains("a role"));
    server.run(&["DROP USER namesake_app@'10.1.2.3'"]).await?;
    turns(&concierge, "namesake", "Drift", "InSync").await?;
    concierge.finish(&[]).await.map(drop)
}

#[tokio::test]
async fn on_postgresql_added_rights_are_taken_away_or_told() -> Result<()> {
    let Some((server, concierge)) = on_postgres(&FLAGS).await? else { return Ok(()) };
    let repaired = ["member", "attributes"];
    let told = ["superuser", "elsewhere"];
    create(&concierge, &repaired).await?;
    create(&concierge, &told).await?;
    server
        .run(
            "CREATE ROLE powerful; CREATE ROLE noble;
             GRANT powerful, pg_read_all_data TO member_app;
             ALTER ROLE attributes_app CREATEDB CREATEROLE CONNECTION LIMIT 3;
             ALTER ROLE superuser_app SUPERUSER;",
        )
        .await?;
    server.run("CREATE DATABASE precious").await?;
    server
        .run("REVOKE ALL ON DATABASE precious FROM PUBLIC; GRANT CONNECT ON DATABASE precious TO elsewhere_app")
        .await?;
    for name in repaired {
        assert_eq!(turns(&concierge, name, "Drift", "Repaired").await?.status, "False", "{name}");
        concierge.apps().expect_event(name, "DriftRepaired").await?;
    }
    let plain = "SELECT count(*) FROM pg_roles r WHERE rolname IN ('member_app', 'attributes_app') AND NOT rolcreatedb \
                 AND NOT rolcreaterole AND rolconnlimit = -1 \
                 AND NOT EXISTS (SELECT 1 FROM pg_auth_members m WHERE m.member = r.oid)";
    assert_eq!(server.admin().await?.query_one(plain, &[]).await?.get::<_, i64>(0), 2, "something was not repaired");
    for (name, what) in [("superuser", "superuser rights"), ("elsewhere", "other databases")] {
        let drift = turns(&concierge, name, "Drift", "ExcessRights").await?;
        assert!(drift.status == "True" && drift.message.contains(what), "{}", drift.message);
        ensure!(!drift.message.contains("precious"), "the names of others are nobody's business");
    }
    server.run("REVOKE CONNECT ON DATABASE precious FROM elsewhere_app").await?;
    turns(&concierge, "elsewhere", "Drift", "InSync").await?;
    server.run("ALTER ROLE superuser_app NOSUPERUSER").await?;
    turns(&concierge, "superuser", "Drift", "InSync").await?;
    again(&concierge, "member", "again").await?;
    concierge.finish(&[]).await.map(drop)
}

/// Since version 16 a membership is taken away by who granted it, and by nobody else.
#[tokio::test]
async fn on_postgresql_18_a_membership_of_others_is_told() -> Result<()> {
    let Some((server, concierge)) = on_postgres_18(&FLAGS).await? else { return Ok(()) };
    create(&concierge, &["app"]).await?;
    server.run("CREATE ROLE powerful; GRANT powerful TO app_app").await?;
    let drift = turns(&concierge, "app", "Drift", "ExcessRights").await?;
    assert!(drift.status == "True" && drift.message.contains("membership in another role"), "{}", drift.message);
    concierge.looks(2).await?;
    let tries = concierge.statements("taking away a role that was added").await?;
    ensure!(tries < 1.0, "it tries what cannot work");
    assert_eq!(condition(&ready(concierge.apps(), "app").await?, "Ready")?.status, "True");
    server.run("REVOKE powerful FROM app_app").await?;
    turns(&concierge, "app", "Drift", "InSync").await?;

    // Everything else is as on older versions.
    ask(&concierge, "app", &json!({"readOnlyUser": true, "connectionLimit": 4})).await?;
    settles(&concierge, "app", "Verified").await?;
    server.run("ALTER ROLE app_ro CREATEDB CONNECTION LIMIT 9; REVOKE CONNECT ON DATABASE app FROM app_ro").await?;
    turns(&concierge, "app", "Drift", "Repaired").await?;
    ask(&concierge, "app", &json!({"readOnlyUser": false})).await?;
    settles(&concierge, "app", "Verified").await?;
    concierge.apps().delete::<AppDatabase>("app").await?;
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'app\\_%'";
    assert_eq!(server.admin().await?.query_one(roles, &[]).await?.get::<_, i64>(0), 0, "a role is left");
    concierge.finish(&[]).await.map(drop)
}
