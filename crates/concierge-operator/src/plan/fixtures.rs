//! What the tests start from: a request by YAML, its owner, its server, and a server on which all is as it should be.

use std::sync::Arc;
use std::time::Duration;

use api_types::AppDatabaseSpec;
use k8s_openapi::api::core::v1::Secret;

use super::{Credentials, Inputs, Intent, Password, Salt};
use crate::engine::Engine;
use crate::ledger::{Kind, Origin, Owner};
use crate::look::{Claim, Found, ServerView, mysql, postgres};
use crate::servers::{Server, Timeouts, find};
use crate::validate::{Request, Surroundings, validate};

pub const OBJECT: &str = "db-concierge/myapp";

/// The seed's AppDatabase with other or more fields.
pub fn spec(yaml: &str) -> AppDatabaseSpec {
    let base = "clusterRef: cluster1-haproxy\ndbName: myapp\nappNamespace: myapp\n";
    let mut fields: serde_json::Value = serde_norway::from_str(base).unwrap();
    let more: serde_json::Value = serde_norway::from_str(yaml).unwrap();
    for (field, value) in more.as_object().unwrap() {
        fields[field] = value.clone();
    }
    serde_json::from_value(fields).unwrap()
}

pub const AROUND: Surroundings<'static> =
    Surroundings { home: "db-concierge", admin_user: "Concierge_Admin", engine: Engine::Mysql, auth_plugin: None };

pub fn request(yaml: &str) -> Request {
    validate(&spec(yaml), AROUND).unwrap()
}

pub fn postgres_request(yaml: &str) -> Request {
    validate(&spec(yaml), Surroundings { engine: Engine::Postgres, ..AROUND }).unwrap()
}

pub fn owner() -> Owner {
    Owner::new("installation", "db-concierge", "myapp", &request("{}").app_namespace)
}

/// An admin Secret with the seed's four keys; `metadata` and `more` are lines of YAML.
pub fn admin_secret(metadata: &str, more: &str) -> Arc<Secret> {
    let mut secret: Secret = serde_norway::from_str(&format!(
        "metadata: {{name: db-concierge-mysql-admin, namespace: db-concierge, uid: u-s, resourceVersion: '7'}}\n\
         stringData:\n  MYSQL_ADMIN_HOST: cluster1-haproxy.default.svc.cluster.local\n  MYSQL_ADMIN_PORT: '3306'\n  \
         MYSQL_ADMIN_USER: root\n  MYSQL_ADMIN_PASSWORD: canary-admin\n{more}"
    ))
    .unwrap();
    let more: kube::api::ObjectMeta = serde_norway::from_str(metadata).unwrap();
    secret.metadata.name = more.name.or(secret.metadata.name);
    secret.metadata.labels = more.labels;
    secret.metadata.annotations = more.annotations;
    stored(secret)
}

/// An admin Secret of a PostgreSQL server; `more` is a map in YAML.
pub fn postgres_secret(more: &str) -> Arc<Secret> {
    let mut secret: Secret = serde_norway::from_str(
        "metadata: {name: postgres-main, labels: {db.stillwaters.io/cluster: postgres-main}}\n\
         stringData:\n  POSTGRES_ADMIN_HOST: postgres-main.default\n  \
         POSTGRES_ADMIN_USER: concierge_admin\n  POSTGRES_ADMIN_PASSWORD: canary-admin\n",
    )
    .unwrap();
    let more: std::collections::BTreeMap<String, String> = serde_norway::from_str(more).unwrap();
    secret.string_data.get_or_insert_default().extend(more);
    stored(secret)
}

/// As the API server stores it: `data`, not `stringData`. A test's own `data` wins.
fn stored(mut secret: Secret) -> Arc<Secret> {
    let strings = secret.string_data.take().unwrap_or_default();
    let data = secret.data.get_or_insert_default();
    for (key, value) in strings {
        data.entry(key).or_insert(k8s_openapi::ByteString(value.into_bytes()));
    }
    Arc::new(secret)
}

pub const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(1), statement: Duration::from_secs(1) };

pub fn server(metadata: &str) -> Server {
    find(&[admin_secret(metadata, "")], "cluster1-haproxy", TIMEOUTS).unwrap()
}

pub fn password(letter: char) -> Password {
    Password::parse(letter.to_string().repeat(32).as_bytes()).unwrap()
}

pub fn claimed(kind: Kind, owner: &str, origin: Origin) -> Claim {
    Claim { kind, owner: owner.to_owned(), origin }
}

fn all_ours() -> Vec<Claim> {
    [Kind::Database, Kind::User].map(ours).into()
}

/// Our claim on something that we made.
pub fn ours(kind: Kind) -> Claim {
    claimed(kind, owner().as_str(), Origin::Created)
}

/// A MySQL server that holds this, and no claims.
pub fn holding(found: mysql::Found) -> ServerView {
    ServerView { claims: vec![], script: None, found: Found::Mysql(found) }
}

/// A MySQL server on which the request is fulfilled.
pub fn settled() -> ServerView {
    ServerView { claims: all_ours(), ..holding(fulfilled()) }
}

/// What the request comes to on MySQL.
pub fn fulfilled() -> mysql::Found {
    mysql::Found {
        database: Some(mysql::DatabaseView { charset: "utf8mb4".into(), collation: "utf8mb4_unicode_ci".into() }),
        accounts: vec![account("myapp_app")],
        grants: vec![grant("myapp_app", ALL)],
        extras: vec![],
        literal_grants: false,
    }
}

/// What the request with a read-only user comes to on MySQL.
pub fn fulfilled_with_reader() -> ServerView {
    let mut found = fulfilled();
    found.accounts.push(account("myapp_ro"));
    found.grants.push(grant("myapp_ro", READING));
    let mut view = ServerView { claims: all_ours(), ..holding(found) };
    view.claims.push(ours(Kind::Reader));
    view
}

pub const ALL: mysql::Rights = mysql::Rights { reading: true, more: mysql::More::All, passing_on: false };
pub const READING: mysql::Rights = mysql::Rights { reading: true, more: mysql::More::Nothing, passing_on: false };

pub fn account(user: &str) -> mysql::AccountView {
    mysql::AccountView { user: user.into(), host: "%".into(), ssl_type: String::new(), connections: 0 }
}

pub fn grant(user: &str, rights: mysql::Rights) -> mysql::GrantView {
    mysql::GrantView { user: user.into(), host: "%".into(), pattern: "myapp".into(), rights }
}

/// A PostgreSQL server that holds this under our claims.
pub fn on_postgres(found: postgres::Found) -> ServerView {
    ServerView { claims: all_ours(), script: None, found: Found::Postgres(found) }
}

/// What the request comes to on PostgreSQL.
pub fn fulfilled_on_postgres() -> postgres::Found {
    let database = postgres::DatabaseView {
        owner: "myapp_app".into(),
        encoding: "UTF8".into(),
        locale: "C.UTF-8".into(),
        open: true,
        public: false,
        complete: true,
    };
    postgres::Found { database: Some(database), roles: vec![role("myapp_app")], ..postgres::Found::default() }
}

/// What the request with a read-only user comes to on PostgreSQL.
pub fn fulfilled_with_reader_on_postgres() -> ServerView {
    let mut found = fulfilled_on_postgres();
    found.roles.push(role("myapp_ro"));
    (found.reader_rights, found.reader_defaults) = (vec!["CONNECT".into()], 2);
    let mut view = on_postgres(found);
    view.claims.push(ours(Kind::Reader));
    view
}

pub fn role(name: &str) -> postgres::RoleView {
    postgres::RoleView {
        name: name.into(),
        plain: true,
        joined: false,
        connections: -1,
        privileged: false,
        elsewhere: 0,
        member_of: vec![],
        kept_in: 0,
    }
}

pub fn inputs(view: ServerView, secret: Option<Secret>) -> Inputs {
    let credentials = |secret, letter| Credentials { secret, fresh: password(letter), salt: Salt::generate().unwrap() };
    Inputs {
        view,
        empty: false,
        application: credentials(secret, 'n'),
        reader: credentials(None, 'r'),
        inside: postgres::Inside::default(),
    }
}

/// What an [`Intent`] borrows.
pub struct Asked {
    pub request: Request,
    pub server: Server,
    pub owner: Owner,
}

impl Asked {
    pub fn new(yaml: &str) -> Self {
        Self { request: request(yaml), server: server("{}"), owner: owner() }
    }

    pub fn postgres(yaml: &str) -> Self {
        let server = find(&[postgres_secret("{}")], "postgres-main", TIMEOUTS).unwrap();
        Self { request: postgres_request(yaml), server, owner: owner() }
    }

    pub fn intent(&self) -> Intent<'_> {
        Intent {
            request: &self.request,
            server: &self.server,
            owner: &self.owner,
            object: OBJECT,
            uid: "u-1",
            provisioned: false,
            forced: false,
            rotate: false,
        }
    }
}

/// A statement with its hexadecimal literals as text.
pub fn readable(sql: &str) -> String {
    let mysql = with_texts(sql, "_utf8mb4 X'", "'");
    with_texts(&mysql, "pg_catalog.convert_from(pg_catalog.decode('", "', 'hex'), 'UTF8')")
}

fn with_texts(sql: &str, before: &str, after: &str) -> String {
    let mut parts = sql.split(before);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_once(after).unwrap();
        let bytes: Vec<u8> =
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
        text.extend(["'", &String::from_utf8(bytes).unwrap(), "'", rest]);
    }
    text
}
