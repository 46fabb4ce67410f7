//! Runs that are wanted. Each question walks along one index in the order of time and stops where it has enough.

use crate::micros;
use crate::take_in::verdict_name;
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use squall_model::past::Run;
use squall_model::verdict::Verdict;

/// Which runs are wanted; what is not said is not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Started then or later.
    pub since: Option<Timestamp>,
    /// Of this experiment.
    pub experiment: Option<String>,
    /// About this service.
    pub service: Option<String>,
    /// With this verdict.
    pub verdict: Option<Verdict>,
    /// With this tag.
    pub tag: Option<String>,
    /// Carried out in this environment.
    pub environment: Option<String>,
    /// At most so many, the newest.
    pub limit: Option<u32>,
}

impl Wanted {
    /// The statement, and what stands at its question marks.
    fn statement(&self) -> (String, Vec<Value>) {
        // `CROSS JOIN` keeps SQLite to this order: first the table that has the fewest of them, in the order of time.
        let (from, started) = match (&self.service, &self.tag) {
            (Some(_), _) => ("service CROSS JOIN run ON run.id = service.id", "service.started"),
            (None, Some(_)) => ("tag CROSS JOIN run ON run.id = tag.id", "tag.started"),
            (None, None) => ("run", "run.started"),
        };
        let mut conditions = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        let mut also = |condition: &str, value: Option<Value>| {
            if let Some(value) = value {
                conditions.push(condition.to_owned());
                values.push(value);
            }
        };
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        also("service.name = ?", text(&self.service));
        match self.service {
            Some(_) => also("run.id IN (SELECT id FROM tag WHERE name = ?)", text(&self.tag)),
            None => also("tag.name = ?", text(&self.tag)),
        }
        also("run.experiment = ?", text(&self.experiment));
        also("run.environment = ?", text(&self.environment));
        also(
            "run.verdict = ?",
            self.verdict.map(|verdict| Value::Text(verdict_name(Some(verdict)).to_owned())),
        );
        also(&format!("{started} >= ?"), self.since.map(|since| Value::Integer(micros(since))));
        let conditions = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
        values.push(Value::Integer(self.limit.map_or(-1, i64::from)));
        let statement = format!(
            "SELECT run.details FROM {from} WHERE {conditions} ORDER BY {started} DESC, run.id DESC LIMIT ?"
        );
        (statement, values)
    }
}

pub(crate) fn each(
    connection: &Connection,
    wanted: &Wanted,
    mut take: impl FnMut(Run) -> bool,
) -> rusqlite::Result<()> {
    let (statement, values) = wanted.statement();
    let mut statement = connection.prepare(&statement)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        if !take(of_details(row.get_ref(0)?.as_str()?)?) {
            break;
        }
    }
    Ok(())
}

/// A run, from its details.
pub(crate) fn of_details(details: &str) -> rusqlite::Result<Run> {
    serde_json::from_str(details).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}
