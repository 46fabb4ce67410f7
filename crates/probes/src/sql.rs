//! SQL: asks a database one question, within a transaction that can only read.

mod sqlite;

use crate::server::{Kept, Say};
use crate::timeout::Timeout;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use sqlite::File;
use squall_database::{Rows, Session};
use squall_model::probe::{Observe, Pending, Probe, ProbeError};
use squall_model::server::{ServerKind, ServerUrl, Statement};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::borrow::Cow;
use std::time::Instant;

/// What stands under `sql:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The database: `postgres://user@host:5432/shop`, `mysql://…`, or `sqlite:/var/lib/shop.db`. A password may be in the
    /// environment (`?password_env=NAME`) or a file (`?password_file=PATH`).
    url: Database,
    /// One statement that reads.
    query: String,
    /// How long connecting and answering may take together.
    #[serde(default)]
    timeout: Timeout,
    /// Whether each question connects anew, as a client without a pool does. Else the connection is kept.
    #[serde(default)]
    new_connection: bool,
}

/// Which database.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
enum Database {
    Server(Box<ServerUrl>),
    File(File),
}

impl TryFrom<String> for Database {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return File::at(path.strip_prefix("//").unwrap_or(path)).map(Self::File);
        }
        let url: ServerUrl = text.parse().map_err(|error| format!("{error}, or sqlite:/path/to/file"))?;
        match url.server.kind {
            ServerKind::Postgres | ServerKind::Mysql => Ok(Self::Server(Box::new(url))),
            other => Err(format!("{} does not speak SQL", other.name())),
        }
    }
}

impl JsonSchema for Database {
    fn schema_name() -> Cow<'static, str> {
        "Database".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string"})
    }
}

/// The `sql` probe.
pub struct Sql {
    database: Source,
    query: Statement,
    /// How the query is said to a server of this kind.
    say: Say<Rows>,
    timeout: Timeout,
}

enum Source {
    Server(Box<Kept>),
    File(File),
}

impl Probe for Sql {
    const NAME: &'static str = "sql";
    const SUMMARY: &'static str = "Asks PostgreSQL, MySQL, MariaDB or SQLite, and only reads";
    const EXAMPLE: &'static str = "\
- sql: {url: \"postgres://app@127.0.0.1:5432/shop?password_env=SHOP_PASSWORD\", query: \"SELECT count(*) FROM orders\"}
  expect: value > 0 and latency < 100ms
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("value", "the first column of the first row; absent where there is none or it is NULL"),
        ("rows", "how many rows there are"),
        ("latency", "seconds until the answer was there, with the connecting where that was needed"),
        ("column.*", "the columns of the first row, by name"),
        ("cause", "why there is no value; absent where there is one"),
    ];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("rows > 0");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let Parameters { url, query, timeout, new_connection } = parameters;
        if query.trim().is_empty() {
            return Err(ProbeError(
                "`query` is empty; SELECT 1 asks whether the database answers".to_owned(),
            ));
        }
        // Another statement could end the transaction that can only read, and begin one that writes.
        if query.trim().trim_end_matches(';').contains(';') {
            let wanted = "`query` is one statement: leave the `;` within it away (in a text, write chr(59))";
            return Err(ProbeError(wanted.to_owned()));
        }
        let is_mysql = matches!(&url, Database::Server(url) if url.server.kind == ServerKind::Mysql);
        let database = match url {
            Database::Server(url) => Source::Server(Box::new(Kept::new(*url, timeout, new_connection))),
            Database::File(file) => Source::File(file),
        };
        Ok(Self {
            database,
            query: Statement::text(query),
            say: if is_mysql { only_reading } else { read_only },
            timeout,
        })
    }
}

impl Observe for Sql {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            let begun = Instant::now();
            let rows = match &self.database {
                Source::Server(kept) => kept.ask(&self.query, self.say).await?,
                Source::File(file) => file.ask(self.query.to_string(), self.timeout.get()).await?,
            };
            let mut reading = told(&rows);
            reading.insert("latency".to_owned(), Value::Number(begun.elapsed().as_secs_f64()));
            Ok(reading)
        })
    }

    fn patience(&self) -> Duration {
        self.timeout.patience()
    }
}

/// Asks within a transaction that can only read, and ends it.
fn read_only<'s>(session: &'s mut dyn Session, query: &'s Statement) -> squall_database::Pending<'s, Rows> {
    Box::pin(async move {
        session.say(&Statement::text("START TRANSACTION READ ONLY")).await?;
        let answer = session.say(query).await;
        // Also after an error, which a kept session must not carry along.
        session.say(&Statement::text("ROLLBACK")).await?;
        answer
    })
}

/// The same for MySQL and `MariaDB`, where a statement that changes a table ends the transaction first and is made in the next.
fn only_reading<'s>(
    session: &'s mut dyn Session,
    query: &'s Statement,
) -> squall_database::Pending<'s, Rows> {
    Box::pin(async move {
        session.say(&Statement::text("SET SESSION TRANSACTION READ ONLY")).await?;
        read_only(session, query).await
    })
}

fn told(rows: &Rows) -> Reading {
    let mut reading = Reading::new();
    reading.insert("rows".to_owned(), Value::Number(rows.rows.len() as f64));
    for (name, value) in rows.named() {
        reading.insert(format!("column.{name}"), value_of(value));
    }
    match (rows.first(), rows.rows.first()) {
        (Some(value), _) => drop(reading.insert("value".to_owned(), value_of(value))),
        (None, Some(_)) => drop(reading.insert("cause".to_owned(), "the first value is NULL".into())),
        (None, None) => drop(reading.insert("cause".to_owned(), "the answer has no row".into())),
    }
    reading
}

/// A number where it is one: what is not finite stays text, which no condition takes for a number.
pub(crate) fn value_of(text: &str) -> Value {
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    number.map_or_else(|| Value::Text(text.to_owned()), Value::Number)
}

#[cfg(test)]
impl Sql {
    fn at(url: &str, query: &str, timeout: &str) -> Self {
        let timeout = timeout.parse::<Duration>().unwrap().try_into().unwrap();
        let url = Database::try_from(url.to_owned()).unwrap();
        Self::new(Parameters { url, query: query.to_owned(), timeout, new_connection: false }).unwrap()
    }
}

#[cfg(test)]
mod tests;
