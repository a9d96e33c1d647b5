//! Logs in with what an application would get from its Secret, and runs statements one after the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use mysql_async::prelude::Queryable;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::Answer;

const DEADLINE: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What the server speaks
    #[arg(long)]
    driver: Driver,
    /// Folder with the keys of an application's Secret as files
    #[arg(long, value_name = "DIR")]
    secret_dir: Option<PathBuf>,
    #[arg(long, env = "host")]
    host: Option<String>,
    #[arg(long, env = "port")]
    port: Option<String>,
    #[arg(long, env = "username")]
    username: Option<String>,
    #[arg(long, env = "password", hide_env_values = true)]
    password: Option<String>,
    /// The database to open, whatever the Secret says
    #[arg(long, env = "database")]
    database: Option<String>,
    /// Statements, run in this order on one connection
    #[arg(required = true)]
    statements: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Driver {
    Mysql,
    Postgres,
}

struct Login {
    host: String,
    port: u16,
    username: String,
    password: String,
    database: Option<String>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Answer> {
    let login = Login::gather(&arguments)?;
    let conversation = async {
        match arguments.driver {
            Driver::Mysql => mysql(&login, &arguments.statements).await,
            Driver::Postgres => postgres(&login, &arguments.statements).await,
        }
    };
    tokio::time::timeout(DEADLINE, conversation).await.context("no answer within 30 s")?
}

impl Login {
    fn gather(arguments: &Arguments) -> Result<Self> {
        let folder = arguments.secret_dir.as_deref();
        let value = |name: &str, given: &Option<String>| match folder {
            Some(folder) => read(folder, name).map(Some),
            None => Ok(given.clone()),
        };
        let needed = |name: &str, given| value(name, given)?.with_context(|| format!("{name} is missing"));
        Ok(Self {
            host: needed("host", &arguments.host)?,
            port: needed("port", &arguments.port)?.parse().context("port is not a number")?,
            username: needed("username", &arguments.username)?,
            password: needed("password", &arguments.password)?,
            database: match &arguments.database {
                Some(given) => Some(given.clone()),
                None => value("database", &None)?,
            },
        })
    }
}

fn read(folder: &Path, name: &str) -> Result<String> {
    fs::read_to_string(folder.join(name)).with_context(|| format!("cannot read {name} in {}", folder.display()))
}

async fn mysql(login: &Login, statements: &[String]) -> Result<Answer> {
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname(&login.host)
        .tcp_port(login.port)
        .user(Some(&login.username))
        .pass(Some(&login.password))
        .db_name(login.database.as_ref())
        .prefer_socket(false);
    let lines = async {
        let mut connection = mysql_async::Conn::new(options).await?;
        let mut lines = Vec::new();
        for statement in statements {
            let rows: Vec<mysql_async::Row> = connection.query(statement).await?;
            lines.extend(rows.into_iter().map(mysql_line));
        }
        connection.disconnect().await?;
        Ok::<_, mysql_async::Error>(lines)
    };
    match lines.await {
        Ok(lines) => Ok(Answer::Given(lines.join("\n"))),
        Err(mysql_async::Error::Server(refusal)) => Ok(Answer::Refused(refusal.to_string())),
        Err(error) => Err(error).context("the conversation with the server failed"),
    }
}

fn mysql_line(row: mysql_async::Row) -> String {
    let text = |value: mysql_async::Value| match value {
        mysql_async::Value::NULL => "NULL".to_owned(),
        mysql_async::Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => other.as_sql(true),
    };
    row.unwrap().into_iter().map(text).collect::<Vec<_>>().join("\t")
}

async fn postgres(login: &Login, statements: &[String]) -> Result<Answer> {
    let mut config = tokio_postgres::Config::new();
    config.host(&login.host).port(login.port).user(&login.username).password(&login.password);
    config.dbname(login.database.as_deref().unwrap_or("postgres"));
    let lines = async {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        let mut lines = Vec::new();
        for statement in statements {
            lines.extend(client.simple_query(statement).await?.iter().filter_map(postgres_line));
        }
        Ok::<_, tokio_postgres::Error>(lines)
    };
    match lines.await {
        Ok(lines) => Ok(Answer::Given(lines.join("\n"))),
        Err(error) => match error.as_db_error() {
            Some(refusal) => Ok(Answer::Refused(refusal.to_string())),
            None => Err(error).context("the conversation with the server failed"),
        },
    }
}

fn postgres_line(message: &SimpleQueryMessage) -> Option<String> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    let fields = (0..row.len()).map(|index| row.get(index).unwrap_or("NULL"));
    Some(fields.collect::<Vec<_>>().join("\t"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn a_secret_folder_gives_the_login() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in
            [("host", "h"), ("port", "3306"), ("username", "u"), ("password", "p/ %"), ("database", "d")]
        {
            fs::write(folder.path().join(name), value).unwrap();
        }
        let path = folder.path().to_str().unwrap();
        let line = Line::parse_from(["x", "--driver", "mysql", "--secret-dir", path, "SELECT 1"]);
        let login = Login::gather(&line.arguments).unwrap();
        assert_eq!((login.host.as_str(), login.port, login.password.as_str()), ("h", 3306, "p/ %"));
        assert_eq!(login.database.as_deref(), Some("d"));
    }

    #[test]
    fn a_missing_value_is_named() {
        let line = Line::parse_from(["x", "--driver", "postgres", "--host", "h", "--port", "1", "SELECT 1"]);
        assert!(Login::gather(&line.arguments).is_err_and(|error| error.to_string() == "username is missing"));
    }
}
