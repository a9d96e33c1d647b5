//! bootstrap-mysql-schema, as a developer runs it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::AppDatabase;
use e2e::command::{self, Captured};
use e2e::images;
use e2e::testing::bed::{Area, Bed};
use k8s_openapi::api::core::v1::Secret;
use tokio::process::Command;

const DEADLINE: Duration = Duration::from_mins(2);

/// Runs the program with these flags, against the cluster under test.
async fn bootstrap(area: &Area, flags: &[&str]) -> Result<Captured> {
    bootstrap_as(area, None, flags).await
}

/// The same, run by this person.
async fn bootstrap_as(area: &Area, person: Option<&str>, flags: &[&str]) -> Result<Captured> {
    let kubeconfig = area.harness().kubeconfig(person).await?;
    let mut program = Command::new(images::program("bootstrap-mysql-schema").await?);
    program.args(flags).env("KUBECONFIG", kubeconfig.path()).env_remove("RUST_BACKTRACE");
    command::capture(&mut program, DEADLINE).await
}

/// The flags for a database of the test's own namespace, whose AppDatabase is there too.
fn here<'a>(area: &'a Area, database: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--name", database, "--namespace", area.name(), "--concierge-namespace", area.name()], more].concat()
}

fn object_name(database: &str) -> String {
    database.replace('_', "-")
}

async fn password(bed: &mut Bed, secret: &str) -> Result<String> {
    let data = bed.get::<Secret>(secret).await?.data.unwrap_or_default();
    let password = String::from_utf8(data["password"].0.clone())?;
    bed.guard(&password);
    Ok(password)
}

#[tokio::test]
async fn a_developer_reads_what_the_documentation_shows_and_may_ask_again() -> Result<()> {
    let mut bed = Bed::new("cli-text").await?;
    let name = bed.database_name();
    let first = bootstrap(&bed, &here(&bed, &name, &[])).await?;
    ensure!(first.success, "it failed: {}", first.stderr);
    let password = password(&mut bed, &format!("{}-mysql-creds", object_name(&name))).await?;
    ensure!(!format!("{first:?}").contains(&password), "the password is shown");
    assert_eq!(first.stdout, documented(&name, bed.name(), "created"));
    assert_eq!(first.stderr, "");

    let app: AppDatabase = bed.get(&object_name(&name)).await?;
    let second = bootstrap(&bed, &here(&bed, &name, &[])).await?;
    assert_eq!(second.stdout, documented(&name, bed.name(), "unchanged"));
    assert_eq!(bed.get::<AppDatabase>(&object_name(&name)).await?, app);
    bed.finish().await
}

fn documented(name: &str, namespace: &str, verb: &str) -> String {
    let object = object_name(name);
    format!(
        "DB Concierge - Bootstrap MySQL Schema
Creating database: {name}
Target namespace: {namespace}
PXC cluster:      cluster1-haproxy

appdatabase.db.stillwaters.io/{object} {verb}

Waiting for database provisioning...
✓ Database provisioned successfully!

Database Created Successfully!

Database Information:
  Database Name: {name}
  Username:      {name}_app
  Host:          cluster1-haproxy.default.svc.cluster.local
  Port:          3306

Kubernetes Secret:
  Name:      {object}-mysql-creds
  Namespace: {namespace}

Connect to MySQL:
  mysql -h cluster1-haproxy.default.svc.cluster.local \\
        -P 3306 \\
        -u {name}_app \\
        -p************ \\
        {name}
"
    )
}

#[tokio::test]
async fn a_shell_sources_the_output_and_logs_in() -> Result<()> {
    let mut bed = Bed::new("cli-env").await?;
    let name = bed.database_name();
    let answer = bootstrap(&bed, &here(&bed, &name, &["--output-env"])).await?;
    ensure!(answer.success, "it failed: {}", answer.stderr);
    let password = password(&mut bed, &format!("{}-mysql-creds", object_name(&name))).await?;
    ensure!(!answer.stderr.contains(&password), "the password is on standard error");
    let not_exports: Vec<_> = answer.stdout.lines().filter(|line| !line.starts_with("export MYSQL_")).collect();
    ensure!(not_exports.is_empty(), "standard output carries more than the result: {not_exports:?}");

    let sourced = source(&answer.stdout).await?;
    let value = |variable: &str| sourced.get(variable).map(String::as_str).with_context(|| variable.to_owned());
    assert_eq!(value("MYSQL_PASSWORD")?, password);
    let pod = bed.harness().client_pod(bed.name(), None).await?;
    let login = ["sql", "--driver", "mysql", "--host", value("MYSQL_HOST")?, "--port", value("MYSQL_PORT")?];
    // One word, since a password may begin with a dash.
    let user = ["--username", value("MYSQL_USER")?, &format!("--password={password}")];
    let statement = ["--database", value("MYSQL_DATABASE")?, "SELECT DATABASE()"];
    let answer = pod.exec(&[&login[..], &user, &statement].concat()).await?;
    assert_eq!((answer.stdout.trim(), answer.success), (name.as_str(), true), "{}", answer.stderr);
    let user = value("MYSQL_USER")?;
    assert!(value("MYSQL_URL")?.starts_with(&format!("mysql://{user}:{password}@")));
    bed.finish().await
}

/// What a shell has in its environment after it sourced the script.
async fn source(script: &str) -> Result<BTreeMap<String, String>> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), script)?;
    let mut shell = Command::new("sh");
    shell.args(["-c", ". \"$0\" && env"]).arg(file.path());
    let environment = command::output(&mut shell, DEADLINE).await?;
    Ok(environment.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect())
}

#[tokio::test]
async fn a_program_reads_one_json_object_and_a_developer_needs_no_other_rights() -> Result<()> {
    let mut bed = Bed::new("cli-json").await?;
    let (name, who) = (bed.database_name(), format!("dev-{}", bed.name()));
    let object = object_name(&name);
    let (user, creds) = (format!("--user={who}"), format!("--resource-name={object}-postgres-creds"));
    bed.kubectl(&["create", "rolebinding", "ask", "--clusterrole=appdatabase-creator", &user]).await?;
    let flags = here(&bed, &name, &["--cluster", "postgres-main", "--output", "json"]);
    let answer = bootstrap_as(&bed, Some(&who), &flags).await?;
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(1), ""));
    let refused = format!("get Secret {}/{object}-postgres-creds", bed.name());
    assert!(answer.stderr.contains(&refused) && answer.stderr.contains("forbidden"), "{}", answer.stderr);

    bed.kubectl(&["create", "role", "read", "--verb=get", "--resource=secrets", &creds]).await?;
    bed.kubectl(&["create", "rolebinding", "read", "--role=read", &user]).await?;
    let answer = bootstrap_as(&bed, Some(&who), &flags).await?;
    ensure!(answer.success, "it failed: {}", answer.stderr);
    let password = password(&mut bed, &format!("{object}-postgres-creds")).await?;
    ensure!(!answer.stderr.contains(&password), "the password is on standard error");
    let json: serde_json::Value = serde_json::from_str(&answer.stdout)?;
    let host = "postgres-main.default.svc.cluster.local";
    let expected = serde_json::json!({
        "engine": "postgresql",
        "host": host,
        "port": 5432,
        "database": name,
        "username": format!("{name}_app"),
        "password": password,
        "connectionString": format!("postgresql://{name}_app:{password}@{host}:5432/{name}"),
        "secret": {"namespace": bed.name(), "name": format!("{object}-postgres-creds")},
    });
    assert_eq!(json, expected);
    bed.finish().await
}

#[tokio::test]
async fn a_dry_run_prints_what_kubectl_applies_and_touches_nothing() -> Result<()> {
    let mut bed = Bed::new("cli-dry").await?;
    let name = bed.database_name();
    let flags = here(&bed, &name, &["--dry-run", "--deletion-policy", "Delete"]);
    let answer = bootstrap(&bed, &flags).await?;
    ensure!(answer.success && answer.stderr.is_empty(), "it failed: {}", answer.stderr);
    let apps = bed.kubectl(&["get", "appdatabases", "-o", "name"]).await?;
    assert_eq!(apps, "", "a dry run created something");
    bed.apply(&serde_norway::from_str(&answer.stdout)?).await?;
    let same = bootstrap(&bed, &here(&bed, &name, &["--deletion-policy", "Delete"])).await?;
    ensure!(same.success && same.stdout.contains(" unchanged"), "it is another one: {same:?}");
    bed.delete::<AppDatabase>(&object_name(&name)).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_shell_completes_flags_and_values() -> Result<()> {
    let program = images::program("bootstrap-mysql-schema").await?;
    let script = command::output(Command::new(program).args(["completion", "bash"]), DEADLINE).await?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), script)?;
    let ask = r#". "$0"; COMP_WORDS=(bootstrap-mysql-schema --output ""); COMP_CWORD=2
        function=$(complete -p bootstrap-mysql-schema | grep -o 'F [^ ]*' | cut -d' ' -f2)
        "$function" bootstrap-mysql-schema "" --output; echo "${COMPREPLY[@]}""#;
    let answer = command::output(Command::new("bash").args(["-c", ask]).arg(file.path()), DEADLINE).await?;
    assert_eq!(answer.trim(), "text env json");
    Ok(())
}

#[tokio::test]
async fn without_waiting_it_says_how_to_follow() -> Result<()> {
    let mut bed = Bed::new("cli-nowait").await?;
    let name = bed.database_name();
    let answer = bootstrap(&bed, &here(&bed, &name, &["--no-wait", "--deletion-policy", "Delete"])).await?;
    ensure!(answer.success, "it failed: {}", answer.stderr);
    let follow = format!("kubectl get appdatabase {} -n {} -w", object_name(&name), bed.name());
    assert!(answer.stdout.contains(&follow) && !answer.stdout.contains("Waiting"), "{}", answer.stdout);
    let app: AppDatabase = bed.get(&object_name(&name)).await?;
    assert_eq!(format!("{:?}", app.spec.deletion_policy), "Delete");
    bed.delete::<AppDatabase>(&object_name(&name)).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_failure_has_a_reason_and_an_exit_code() -> Result<()> {
    let mut bed = Bed::new("cli-fails").await?;
    let name = bed.database_name();
    let answer = bootstrap(&bed, &here(&bed, &name, &["--cluster", "nowhere"])).await?;
    let app: AppDatabase = bed.get(&object_name(&name)).await?;
    let message = app.status.and_then(|status| status.message).context("the AppDatabase has no message")?;
    assert_eq!(answer.code, Some(1));
    assert!(message.contains("nowhere") && answer.stderr.contains(&message), "{message}: {}", answer.stderr);

    let answer = bootstrap(&bed, &here(&bed, &name, &[])).await?;
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("clusterRef is nowhere, not cluster1-haproxy"), "{}", answer.stderr);
    let answer = bootstrap(&bed, &here(&bed, "mysql", &[])).await?;
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("spec.dbName"), "{}", answer.stderr);
    let answer = bootstrap(&bed, &here(&bed, "no-dashes", &[])).await?;
    assert_eq!(answer.code, Some(2));

    // A namespace that is not there may still come: the wait ends, the object stays.
    let later = format!("{}-later", bed.name());
    let arguments = ["--name", &name, "--namespace", &later, "--timeout", "1"];
    let answer = bootstrap(&bed, &arguments).await?;
    bed.home().delete::<AppDatabase>(&object_name(&name)).await?;
    assert_eq!(answer.code, Some(3));
    assert!(answer.stderr.contains("is not ready after 1 s") && answer.stderr.contains(&later), "{}", answer.stderr);
    bed.finish().await
}
