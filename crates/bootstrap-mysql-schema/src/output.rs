//! Turns a Ready AppDatabase into the text that people see, which never holds the password. Pure.

use api_types::AppDatabase;

use crate::args::Args;
use crate::engine::Engine;

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
    let connection_string = status.connection_string.as_ref()?;
    let (host, port) = endpoint(connection_string)?;
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
         Connect to {}",
        client(Engine::of(connection_string), (host, port), user, database)
    ))
}

/// The command of the server's own client, which is left to ask for the password.
fn client(engine: Engine, (host, port): (&str, &str), user: &str, database: &str) -> String {
    let (server, words, indent) = match engine {
        Engine::Mysql => ("MySQL", ["mysql -h", "-P", "-u", "-p************"], 8),
        Engine::Postgres => ("PostgreSQL", ["psql -h", "-p", "-U", "-W"], 7),
    };
    let [program, port_flag, user_flag, password] = words;
    let next = format!(" \\\n{:indent$}", "");
    format!(
        "{server}:\n  {program} {host}{next}{port_flag} {port}{next}{user_flag} {user}{next}{password}{next}{database}"
    )
}

/// Host and port of `mysql://user:<password>@host:port/database`.
fn endpoint(connection_string: &str) -> Option<(&str, &str)> {
    let (_, address) = connection_string.rsplit_once('@')?;
    let (host, port) = address.split_once('/')?.0.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port))
}

#[cfg(test)]
mod tests {
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
        let args = crate::args::parse("--name myapp --namespace myapp").unwrap();
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
    fn postgresql_has_a_client_of_its_own() {
        let mut app = app();
        let string = "postgresql://myapp_app:<password>@postgres-main.default.svc.cluster.local:5432/myapp";
        app.status.as_mut().unwrap().connection_string = Some(string.to_owned());
        let text = summary(&app).unwrap();
        insta::assert_snapshot!(&text[text.find("Connect").unwrap()..], @r"
        Connect to PostgreSQL:
          psql -h postgres-main.default.svc.cluster.local \
               -p 5432 \
               -U myapp_app \
               -W \
               myapp
        ");
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
}
