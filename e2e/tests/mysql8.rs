//! `Database` on a real MySQL 8: how logins are proved there, what its refusals mean, and what its roles give.

use anyhow::{Context, Result, ensure};
use api_types::Privileges::{Admin, ReadOnly, ReadWrite};
use api_types::{Database, Privileges};
use e2e::testing::bed::{Bed, Login};
use e2e::testing::databases::{connected, failed, found_rights, look_again};
use e2e::testing::manifests::{database, secret};
use secrecy::SecretString;
use serde_json::{Value, json};

const HOST: &str = "orders-mysql8.acme.internal";
const PORT: u16 = e2e::servers::mysql8::PORT;

/// Applies a Database of this login; members of `more` replace those of its spec.
async fn apply(bed: &Bed, login: &Login, more: &Value) -> Result<()> {
    bed.apply(&secret("creds", login)).await?;
    let spec = json!({"type": "mysql", "host": HOST, "port": PORT, "database": login.database,
                      "credentialsRef": {"name": "creds"}, "connectionTimeout": 5, "queryTimeout": 5});
    bed.apply(&database("db", &spec, more)).await
}

/// Applies it anew, so that what is seen is of this spec alone.
async fn apply_anew(bed: &Bed, login: &Login, more: &Value) -> Result<()> {
    bed.delete::<Database>("db").await?;
    apply(bed, login, more).await
}

/// The login with its host, as statements name it.
fn account(login: &Login) -> String {
    format!("'{}'@'%'", login.user)
}

#[tokio::test]
async fn a_password_is_proved_with_a_cold_and_a_warm_cache_with_and_without_tls() -> Result<()> {
    let mut bed = Bed::new("my8-sha2").await?;
    let login = bed.mysql8_login().await?;
    for mode in ["disable", "require", "verify-ca", "verify-full"] {
        // Renewing a password takes it out of the server's cache, which a login of the same kind then fills.
        bed.mysql8_admin(&format!("ALTER USER {} IDENTIFIED BY '{}'", account(&login), login.password)).await?;
        for cache in ["cold", "warm"] {
            apply_anew(&bed, &login, &json!({"sslMode": mode})).await?;
            let status = connected(&bed).await.with_context(|| format!("{mode}, {cache}"))?.status.unwrap_or_default();
            assert_eq!(status.server_version.as_deref(), Some("MySQL 8.0.15"));
        }
    }
    // The whole cache, as after a restart. Other tests' logins only get colder by it.
    bed.mysql8_admin("FLUSH PRIVILEGES").await?;
    apply_anew(&bed, &login, &json!({"sslMode": "disable"})).await?;
    connected(&bed).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_wrong_password_is_refused_with_a_cold_and_a_warm_cache() -> Result<()> {
    let mut bed = Bed::new("my8-wrong").await?;
    let login = bed.mysql8_login().await?;
    let wrong = Login { password: bed.canary(), ..login.clone() };
    for mode in ["disable", "verify-full"] {
        bed.mysql8_admin(&format!("ALTER USER {} IDENTIFIED BY '{}'", account(&login), login.password)).await?;
        for _cache in ["cold", "warm"] {
            apply_anew(&bed, &wrong, &json!({"sslMode": mode})).await?;
            let message = failed(&bed, "AuthenticationFailed").await?;
            assert!(message.contains("creds") && message.contains("1045"), "{message}");
            apply(&bed, &login, &json!({"sslMode": mode})).await?;
            connected(&bed).await?;
        }
    }
    bed.finish().await
}

#[tokio::test]
async fn other_ways_of_proving_a_password_work_or_are_named() -> Result<()> {
    let mut bed = Bed::new("my8-plugins").await?;
    let login = bed.mysql8_login().await?;
    let identified =
        |plugin: &str| format!("ALTER USER {} IDENTIFIED WITH {plugin} BY '{}'", account(&login), login.password);
    bed.mysql8_admin(&identified("mysql_native_password")).await?;
    for mode in ["disable", "verify-full"] {
        apply_anew(&bed, &login, &json!({"sslMode": mode})).await?;
        connected(&bed).await?;
    }
    bed.mysql8_admin(&identified("sha256_password")).await?;
    look_again(&bed, "sha256").await?;
    let message = failed(&bed, "AuthenticationFailed").await?;
    assert!(message.contains("caching_sha2_password") && message.contains("mysql_native_password"), "{message}");
    bed.mysql8_admin(&identified("caching_sha2_password")).await?;
    look_again(&bed, "sha2").await?;
    connected(&bed).await?;
    bed.finish().await
}

#[tokio::test]
async fn an_expired_password_is_told_until_it_is_renewed() -> Result<()> {
    let mut bed = Bed::new("my8-expired").await?;
    let mut login = bed.mysql8_login().await?;
    apply(&bed, &login, &json!({})).await?;
    connected(&bed).await?;
    bed.mysql8_admin(&format!("ALTER USER {} PASSWORD EXPIRE", account(&login))).await?;
    look_again(&bed, "expired").await?;
    let message = failed(&bed, "PasswordExpired").await?;
    assert!(
        message.contains("has expired") && message.contains("creds") && message.contains("set a new one"),
        "{message}"
    );
    login.password = bed.canary();
    bed.mysql8_admin(&format!("ALTER USER {} IDENTIFIED BY '{}'", account(&login), login.password)).await?;
    bed.apply(&secret("creds", &login)).await?;
    connected(&bed).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_locked_account_is_told_until_it_is_unlocked() -> Result<()> {
    let mut bed = Bed::new("my8-locked").await?;
    let login = bed.mysql8_login().await?;
    bed.mysql8_admin(&format!("ALTER USER {} ACCOUNT LOCK", account(&login))).await?;
    apply(&bed, &login, &json!({})).await?;
    let message = failed(&bed, "AuthenticationFailed").await?;
    assert!(message.contains("locked: unlock it") && message.contains("3118"), "{message}");
    bed.mysql8_admin(&format!("ALTER USER {} ACCOUNT UNLOCK", account(&login))).await?;
    look_again(&bed, "unlocked").await?;
    connected(&bed).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_login_that_must_use_tls_is_told_so() -> Result<()> {
    let mut bed = Bed::new("my8-reqssl").await?;
    let login = bed.mysql8_login().await?;
    bed.mysql8_admin(&format!("ALTER USER {} REQUIRE SSL", account(&login))).await?;
    apply(&bed, &login, &json!({"sslMode": "disable"})).await?;
    let message = failed(&bed, "AuthenticationFailed").await?;
    assert!(message.contains("with sslMode disable"), "{message}");
    apply(&bed, &login, &json!({"sslMode": "require"})).await?;
    connected(&bed).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_login_without_connections_left_is_told_until_one_is_free() -> Result<()> {
    let mut bed = Bed::new("my8-limits").await?;
    let login = bed.mysql8_login().await?;
    let limit = |connections: u8| format!("ALTER USER {} WITH MAX_USER_CONNECTIONS {connections}", account(&login));
    // Only connections that are made under a limit count.
    bed.mysql8_admin(&limit(1)).await?;
    let password = SecretString::from(login.password.clone());
    let held = bed.harness().servers().mysql8_session(&login.user, &password).await?;
    apply(&bed, &login, &json!({})).await?;
    let message = failed(&bed, "TooManyConnections").await?;
    assert!(message.contains("no connection left for this login") && message.contains("1226"), "{message}");
    bed.mysql8_admin(&limit(2)).await?;
    look_again(&bed, "raised").await?;
    let pool = connected(&bed).await?.status.unwrap_or_default().connection_pool.context("no connectionPool")?;
    assert_eq!((pool.active, pool.idle), (0, 1));
    held.disconnect().await?;
    bed.finish().await
}

#[tokio::test]
async fn a_database_that_is_closed_or_missing_is_told_from_one_that_is_there() -> Result<()> {
    let mut bed = Bed::new("my8-access").await?;
    let (login, other) = (bed.mysql8_login().await?, bed.mysql8_login().await?);
    apply(&bed, &login, &json!({"database": other.database})).await?;
    let message = failed(&bed, "AccessDenied").await?;
    assert!(message.contains("grant it access, or correct spec.database") && message.contains("1044"), "{message}");
    // Who may read everything is told that there is no such database, others only that they may not use it.
    let missing = json!({"database": "no_such_database"});
    apply_anew(&bed, &login, &missing).await?;
    failed(&bed, "AccessDenied").await?;
    bed.mysql8_admin(&format!("GRANT SELECT ON no_such_database.* TO {}", account(&login))).await?;
    look_again(&bed, "granted").await?;
    let message = failed(&bed, "DatabaseNotFound").await?;
    assert!(message.contains("there is no database no_such_database") && message.contains("1049"), "{message}");
    apply(&bed, &login, &json!({})).await?;
    connected(&bed).await?;
    bed.finish().await
}

/// A right given and taken away again, what it makes of a login that may only read, and words of the message.
type Case = (&'static str, &'static str, Privileges, &'static str);

/// More than SELECT, and no more than reading.
const HARMLESS: &str = "GRANT SHOW VIEW, EXECUTE, CREATE TEMPORARY TABLES ON {db}.* TO {user}";

const GRANTS: [Case; 10] = [
    ("GRANT INSERT ON *.* TO {user}", "REVOKE INSERT ON *.* FROM {user}", ReadWrite, "INSERT on \"*.*\""),
    (
        "GRANT DELETE ON `{like}`.* TO {user}",
        "REVOKE DELETE ON `{like}`.* FROM {user}",
        ReadWrite,
        "DELETE on \"{like}.*\"",
    ),
    (
        "GRANT ALL ON {db}.* TO {user}",
        "REVOKE ALL ON {db}.* FROM {user};GRANT SELECT, SHOW VIEW ON {db}.* TO {user}",
        ReadWrite,
        "ALL PRIVILEGES on \"{db}.*\"",
    ),
    (
        "GRANT ALTER ON {db}.items TO {user}",
        "REVOKE ALTER ON {db}.items FROM {user}",
        ReadWrite,
        "ALTER on \"{db}.items\"",
    ),
    (
        "GRANT UPDATE (name) ON {db}.items TO {user}",
        "REVOKE UPDATE (name) ON {db}.items FROM {user}",
        ReadWrite,
        "UPDATE on \"{db}.items\"",
    ),
    (
        "GRANT SELECT ON {db}.items TO {user} WITH GRANT OPTION",
        "REVOKE SELECT, GRANT OPTION ON {db}.items FROM {user}",
        Admin,
        "GRANT OPTION on \"{db}.items\"",
    ),
    ("GRANT FILE ON *.* TO {user}", "REVOKE FILE ON *.* FROM {user}", Admin, "FILE on \"*.*\""),
    ("GRANT CREATE ROLE ON *.* TO {user}", "REVOKE CREATE ROLE ON *.* FROM {user}", Admin, "CREATE ROLE on \"*.*\""),
    (
        "GRANT BACKUP_ADMIN, XA_RECOVER_ADMIN ON *.* TO {user}",
        "REVOKE BACKUP_ADMIN, XA_RECOVER_ADMIN ON *.* FROM {user}",
        Admin,
        "BACKUP_ADMIN on \"*.*\"",
    ),
    ("GRANT PROXY ON 'nobody'@'%' TO {user}", "REVOKE PROXY ON 'nobody'@'%' FROM {user}", Admin, "PROXY on"),
];

const ROLES: &str = "CREATE ROLE {db}_reads, {db}_writes, {db}_above, {db}_backs;
GRANT SELECT ON {db}.* TO {db}_reads;
GRANT INSERT ON {db}.* TO {db}_writes;
GRANT {db}_writes TO {db}_above;
GRANT BACKUP_ADMIN ON *.* TO {db}_backs";

const GRANTS_OF_ROLES: [Case; 4] = [
    // Not on by default: the login has to SET ROLE, which it may.
    (
        "GRANT {db}_writes TO {user}",
        "REVOKE {db}_writes FROM {user}",
        ReadWrite,
        "INSERT on \"{db}.*\", through role \"{db}_writes\"",
    ),
    (
        "GRANT {db}_writes TO {user};SET DEFAULT ROLE {db}_writes TO {user}",
        "REVOKE {db}_writes FROM {user}",
        ReadWrite,
        "INSERT on \"{db}.*\", its own or through role \"{db}_writes\"",
    ),
    ("GRANT {db}_above TO {user}", "REVOKE {db}_above FROM {user}", ReadWrite, "through role \"{db}_above\""),
    (
        "GRANT {db}_backs TO {user}",
        "REVOKE {db}_backs FROM {user}",
        Admin,
        "BACKUP_ADMIN on \"*.*\", through role \"{db}_backs\"",
    ),
];

const ROLE_THAT_READS: &str = "GRANT {db}_reads TO {user}";
const GRANTS_OF_ROLES_BESIDE_IT: [Case; 2] = [
    (
        "GRANT {db}_above TO {user}",
        "REVOKE {db}_above FROM {user}",
        ReadWrite,
        "INSERT on \"{db}.*\", through one of the roles \"{db}_above\", \"{db}_reads\"",
    ),
    (
        "GRANT {db}_above TO {user} WITH ADMIN OPTION",
        "REVOKE {db}_above FROM {user}",
        Admin,
        "the ADMIN OPTION of role \"{db}_above\"",
    ),
];

const NO_MANDATORY_ROLES: &str = "SET GLOBAL mandatory_roles = ''";
/// Meanwhile every login of the server has it: a right in this test's database alone.
const MANDATORY_ROLE: Case = (
    "SET GLOBAL mandatory_roles = '{db}_writes'",
    NO_MANDATORY_ROLES,
    ReadWrite,
    "INSERT on \"{db}.*\", through one of the roles \"{db}_reads\", \"{db}_writes\"",
);

/// What a login may do is one test, since none is read-only while a role that writes is mandatory.
#[tokio::test]
async fn the_rights_of_a_login_are_told_and_followed() -> Result<()> {
    let mut bed = Bed::new("my8-rights").await?;
    let login = bed.mysql8_login().await?;
    run(&bed, &login, HARMLESS).await?;
    apply(&bed, &login, &json!({})).await?;
    ensure!(found_rights(&bed, "first", ReadOnly).await?.0 == "True");
    for case in &GRANTS {
        follow(&bed, &login, case).await?;
    }
    run(&bed, &login, ROLES).await?;
    for case in &GRANTS_OF_ROLES {
        follow(&bed, &login, case).await?;
    }
    run(&bed, &login, ROLE_THAT_READS).await?;
    for case in &GRANTS_OF_ROLES_BESIDE_IT {
        follow(&bed, &login, case).await?;
    }
    let followed = follow(&bed, &login, &MANDATORY_ROLE).await;
    bed.mysql8_admin(NO_MANDATORY_ROLES).await?;
    followed?;
    run(&bed, &login, "DROP ROLE {db}_reads, {db}_writes, {db}_above, {db}_backs").await?;
    bed.finish().await
}

/// Gives a right, looks, takes it away, looks.
async fn follow(bed: &Bed, login: &Login, (grant, revoke, expected, words): &Case) -> Result<()> {
    run(bed, login, grant).await?;
    let (status, message) = found_rights(bed, &look_of(grant), *expected).await?;
    ensure!(status == "False", "{grant}: {status}, {message}");
    ensure!(message.contains(&filled(words, login)) && !message.contains(&login.user), "{grant}: {message}");
    run(bed, login, revoke).await?;
    let (status, message) = found_rights(bed, &look_of(revoke), ReadOnly).await?;
    ensure!(status == "True", "{revoke}: {status}, {message}");
    Ok(())
}

/// A statement as the value of an annotation, which tells one look from the next.
fn look_of(statement: &str) -> String {
    statement.replace(char::is_whitespace, "-")
}

/// Statements with the login's database, a pattern of its name, and its account in their places.
fn filled(text: &str, login: &Login) -> String {
    let like = login.database.replace('_', "%");
    text.replace("{db}", &login.database).replace("{like}", &like).replace("{user}", &account(login))
}

async fn run(bed: &Bed, login: &Login, statements: &str) -> Result<()> {
    for statement in filled(statements, login).split(';') {
        bed.mysql8_admin(statement).await.with_context(|| statement.to_owned())?;
    }
    Ok(())
}
