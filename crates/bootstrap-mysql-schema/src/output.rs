//! Turns a Ready AppDatabase, and its Secret, into what is printed. Pure. People never get to see the password.

use std::collections::BTreeMap;

use api_types::AppDatabase;
use k8s_openapi::ByteString;

use crate::args::Args;

/// The lines before anything happens.
pub fn header(args: &Args) -> String {
    format!(
        "DB Concierge - Bootstrap MySQL Schema\n\
         Creating database: {}\n\
         Target namespace: {}\n\
         PXC cluster:      {}\n",
        args.name, args.namespace, args.cluster
    )
}

/// What people need to know about a Ready AppDatabase. `None` when its status lacks something.
pub fn summary(app: &AppDatabase) -> Option<String> {
    let status = app.status.as_ref()?;
    let (user, secret) = (status.user_name.as_ref()?, status.secret_name.as_ref()?);
    let (host, port) = endpoint(status.connection_string.as_ref()?)?;
    let (database, namespace) = (&app.spec.db_name, &app.spec.app_namespace);
    Some(format!(
        "Database Created Successfully!\n\
         \n\
         Database Information:\n  \
           Database Name: {database}\n  \
           Username:      {user}\n  \
           Host:          {host}\n  \
           Port:          {port}\n\
         \n\
         Kubernetes Secret:\n  \
           Name:      {secret}\n  \
           Namespace: {namespace}\n\
         \n\
         Connect to MySQL:\n  \
           mysql -h {host} \\\n        \
                 -P {port} \\\n        \
                 -u {user} \\\n        \
                 -p************ \\\n        \
                 {database}"
    ))
}

/// Host and port of `mysql://user:<password>@host:port/database`.
fn endpoint(connection_string: &str) -> Option<(&str, &str)> {
    let (_, address) = connection_string.rsplit_once('@')?;
    let (host, port) = address.split_once('/')?.0.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port))
}

/// The environment variables and the keys of the Secret that they come from.
const VARIABLES: [(&str, &str); 6] = [
    ("MYSQL_HOST", "host"),
    ("MYSQL_PORT", "port"),
    ("MYSQL_USER", "username"),
    ("MYSQL_PASSWORD", "password"),
    ("MYSQL_DATABASE", "database"),
    ("MYSQL_URL", "connection-string"),
];

/// A shell script that sets the variables, for `source`. The error is the key that is missing or no text.
pub fn environment(data: &BTreeMap<String, ByteString>) -> Result<String, &'static str> {
    let line = |(variable, key)| {
        let value = data.get(key).and_then(|value| std::str::from_utf8(&value.0).ok()).ok_or(key)?;
        Ok(format!("export {variable}={}\n", quoted(value)))
    };
    VARIABLES.into_iter().map(line).collect()
}

/// Nothing has a meaning between single quotes; a single quote itself ends them, stands escaped, and begins anew.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn app() -> AppDatabase {
        serde_norway::from_str(
            "{apiVersion: db.stillwaters.io/v1, kind: AppDatabase, metadata: {name: myapp}, \
             spec: {clusterRef: cluster1-haproxy, dbName: myapp, appNamespace: myapp}, \
             status: {userName: myapp_app, secretName: myapp-mysql-creds, connectionString: \
             'mysql://myapp_app:<password>@cluster1-haproxy.default.svc.cluster.local:3306/myapp'}}",
        )
        .unwrap()
    }

    #[test]
    fn people_see_the_documented_text() {
        let args = Args::try_parse_from(["bootstrap-mysql-schema", "--name", "myapp", "--namespace", "myapp"]).unwrap();
        insta::assert_snapshot!(header(&args), @"
        DB Concierge - Bootstrap MySQL Schema
        Creating database: myapp
        Target namespace: myapp
        PXC cluster:      cluster1-haproxy
        ");
        insta::assert_snapshot!(summary(&app()).unwrap(), @r#"
        Database Created Successfully!

        Database Information:
          Database Name: myapp
          Username:      myapp_app
          Host:          cluster1-haproxy.default.svc.cluster.local
          Port:          3306

        Kubernetes Secret:
          Name:      myapp-mysql-creds
          Namespace: myapp

        Connect to MySQL:
          mysql -h cluster1-haproxy.default.svc.cluster.local \
                -P 3306 \
                -u myapp_app \
                -p************ \
                myapp
        "#);
    }

    #[test]
    fn a_status_that_lacks_something_gives_no_summary() {
        let mut app = app();
        app.status.as_mut().unwrap().secret_name = None;
        assert_eq!(summary(&app), None);
    }

    #[test]
    fn an_endpoint_may_be_an_address() {
        assert_eq!(endpoint("mysql://u:<password>@[2001:db8::1]:3306/d"), Some(("2001:db8::1", "3306")));
        assert_eq!(endpoint("nonsense"), None);
    }

    #[test]
    fn a_shell_gets_back_exactly_what_the_secret_holds() {
        let hostile = "a b$HOME`id`\\'\"\n;#";
        let data = VARIABLES.map(|(_, key)| (key.to_owned(), ByteString(format!("{key}{hostile}").into_bytes())));
        let script = environment(&BTreeMap::from(data.clone())).unwrap();
        let print = r#"printf %s "$MYSQL_HOST$MYSQL_PORT$MYSQL_USER$MYSQL_PASSWORD$MYSQL_DATABASE$MYSQL_URL""#;
        let output = std::process::Command::new("sh").args(["-c", &format!("{script}{print}")]).output().unwrap();
        let expected = VARIABLES.map(|(_, key)| key.to_owned() + hostile).concat();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }

    #[test]
    fn a_missing_key_is_named() {
        assert_eq!(environment(&BTreeMap::new()), Err("host"));
    }
}
