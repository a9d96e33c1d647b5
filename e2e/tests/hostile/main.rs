//! Servers that mean harm. All of them are stubs: no real server does this. Whatever they do, the probe ends by its
//! deadline with a reason of the closed list, in little memory, and neither their words nor the password come out.

mod mysql;
mod postgres;

use anyhow::{Result, ensure};
use e2e::loopback::check::Check;
use e2e::loopback::stub::{Step, Stub};
use e2e::testing::bed::Login;
use futures::{StreamExt, stream};

/// What must not come out, nor be told to a server in plaintext.
const PASSWORD: &str = "canary-hostile-9d27";
/// Stands in whatever text a stub sends.
const SERVERS_TEXT: &str = "text-of-the-server";
/// The limit of an operator that may look at 32 databases at the same time is 128 MiB; one look has all of this.
const MAX_PEAK_KIB: u64 = 64 << 10;
/// Seconds, twice of which is the deadline. Who runs into it on purpose is given little, all others much.
const SHORT: u64 = 2;
const LONG: u64 = 20;
const AT_THE_SAME_TIME: usize = 8;

/// A stub by its name, and the reason that it earns.
struct Case {
    name: &'static str,
    ssl_mode: &'static str,
    steps: Vec<Step>,
    reason: &'static str,
}

fn case(name: &'static str, reason: &'static str, steps: Vec<Step>) -> Case {
    Case { name, ssl_mode: "disable", steps, reason }
}

fn under_require(name: &'static str, reason: &'static str, steps: Vec<Step>) -> Case {
    Case { ssl_mode: "require", ..case(name, reason, steps) }
}

/// Text that would do harm in a terminal, a log or a status.
fn nasty_text(length: usize) -> Vec<u8> {
    format!("{SERVERS_TEXT} {PASSWORD}\n\r\x1b[31m\u{202e}\x07 ").repeat(length / 40 + 1).into_bytes()
}

async fn assert_survived(engine: &'static str, case: &Case) -> Result<()> {
    let stub = Stub::start(case.steps.clone()).await?;
    let user = "somebody".to_owned();
    let login = Login { database: "orders".to_owned(), user, password: PASSWORD.to_owned() };
    let timeout = if case.reason == "Timeout" { SHORT } else { LONG };
    let check = Check {
        ssl_mode: case.ssl_mode,
        connection_timeout: timeout,
        query_timeout: timeout,
        ..Check::new(engine, stub.port, &login)
    };
    let answer = check.run().await.map_err(|error| error.context(format!("{engine}: {}", case.name)))?;
    let seen = format!("{engine}: {}: {} KiB, {}", case.name, answer.peak_kib, answer.printed);
    ensure!(answer.reason == case.reason, "not {}: {seen}", case.reason);
    ensure!(answer.peak_kib < MAX_PEAK_KIB, "too much memory: {seen}");
    ensure!(!answer.printed.contains(PASSWORD), "the password came out: {seen}");
    ensure!(!answer.printed.contains(SERVERS_TEXT), "the server's words came out: {seen}");
    let is_plain = |c: char| c == '\n' || (!c.is_control() && c.is_ascii());
    ensure!(answer.printed.chars().all(is_plain) && !answer.printed.contains("\\u00"), "strange characters: {seen}");
    let heard = stub.heard();
    let told = heard.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
    ensure!(!told, "the password was told to the server: {seen}");
    let sent_a_file = heard.windows(5).any(|window| window == b"root:");
    ensure!(!sent_a_file, "a file was sent to the server: {seen}");
    Ok(())
}

/// Tells of all that went wrong at once: there are many cases.
async fn assert_all_survived(engine: &'static str, cases: Vec<Case>) -> Result<()> {
    let checks = stream::iter(&cases).map(|case| assert_survived(engine, case)).buffer_unordered(AT_THE_SAME_TIME);
    let wrong = checks.filter_map(async |outcome| outcome.err().map(|error| format!("{error:#}")));
    let wrong: Vec<_> = wrong.collect().await;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn no_server_of_mysql_does_harm() -> Result<()> {
    assert_all_survived("mysql", mysql::cases()).await
}

#[tokio::test]
async fn no_server_of_postgres_does_harm() -> Result<()> {
    assert_all_survived("postgres", postgres::cases()).await
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() -> Result<()> {
    let elsewhere = Stub::start(vec![Step::Hang]).await?;
    assert_survived("mysql", &mysql::redirects_to(elsewhere.port)).await?;
    ensure!(!elsewhere.was_called(), "a redirect was followed");
    Ok(())
}
