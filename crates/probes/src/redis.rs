//! Redis: whether it answers, how fast, and one thing that it knows.

use crate::server::Kept;
use crate::sql::value_of;
use crate::timeout::Timeout;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::server::{ServerKind, ServerUrl, Statement};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::time::Instant;

/// What stands under `redis:`. Without `get`, `info` and `dbsize` it is asked for a sign of life.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The server: `redis://host:6379/0`, `rediss://…` with TLS. A password may be in the environment
    /// (`?password_env=NAME`) or a file (`?password_file=PATH`).
    url: ServerUrl,
    /// A key whose text is the value.
    #[serde(default)]
    get: Option<String>,
    /// A field of `INFO` that is the value, such as `used_memory` or `connected_clients`.
    #[serde(default)]
    info: Option<String>,
    /// Whether the number of keys is the value.
    #[serde(default)]
    dbsize: bool,
    /// How long connecting and answering may take together.
    #[serde(default)]
    timeout: Timeout,
    /// Whether each question connects anew, as a client without a pool does. Else the connection is kept.
    #[serde(default)]
    new_connection: bool,
}

/// The `redis` probe.
pub struct Redis {
    kept: Kept,
    question: Statement,
    /// The field of the answer that is meant, where it has several.
    field: Option<String>,
    timeout: Timeout,
}

impl Probe for Redis {
    const NAME: &'static str = "redis";
    const SUMMARY: &'static str =
        "Asks Redis for a sign of life, a key, a field of INFO, or how many keys it has";
    const EXAMPLE: &'static str = "\
- redis: {url: \"redis://127.0.0.1:6379\", info: used_memory}
  expect: value < 1000000000 and latency < 10ms
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("up", "yes: a server that does not answer is not known about"),
        ("value", "what was asked for; absent where there is no such key or field"),
        ("cause", "why there is no value; absent where there is one"),
        ("latency", "seconds until the answer was there, with the connecting where that was needed"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] = &[("up", ValueKind::YesOrNo)];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("up == true");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let Parameters { url, get, info, dbsize, timeout, new_connection } = parameters;
        if url.server.kind != ServerKind::Redis {
            return Err(ProbeError(format!("{} is not the address of a Redis", url.server)));
        }
        let (question, field) = match (get, info, dbsize) {
            (None, None, false) => (vec!["PING".to_owned()], None),
            (Some(key), None, false) => (vec!["GET".to_owned(), key], None),
            (None, Some(field), false) => (vec!["INFO".to_owned(), "everything".to_owned()], Some(field)),
            (None, None, true) => (vec!["DBSIZE".to_owned()], None),
            _ => return Err(ProbeError("give one of `get`, `info` and `dbsize`".to_owned())),
        };
        let kept = Kept::new(url, timeout, new_connection);
        Ok(Self { kept, question: Statement(question), field, timeout })
    }
}

impl Observe for Redis {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            let begun = Instant::now();
            let rows = self.kept.ask(&self.question, |session, question| session.say(question)).await?;
            let mut reading = Reading::from([("up".to_owned(), Value::Bool(true))]);
            reading.insert("latency".to_owned(), Value::Number(begun.elapsed().as_secs_f64()));
            let value = match &self.field {
                Some(field) => rows.named().find(|(name, _)| name == field).map(|(_, value)| value),
                None => rows.first(),
            };
            reading.insert(
                if value.is_some() { "value" } else { "cause" }.to_owned(),
                value.map_or_else(|| Value::Text(self.without()), value_of),
            );
            Ok(reading)
        })
    }

    fn patience(&self) -> Duration {
        self.timeout.patience()
    }
}

impl Redis {
    /// Why there is no value.
    fn without(&self) -> String {
        match (&self.field, self.question.0.as_slice()) {
            (Some(field), _) => format!("INFO tells no field `{field}`"),
            (None, [_, key]) => format!("there is no key `{key}`"),
            _ => "the answer is empty".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_database::testing::free_port;
    use squall_database::testing::redis::RedisServer;

    async fn ask(url: &str, with: &str) -> Result<Reading, String> {
        let text = format!("{{\"url\": \"{url}\", \"timeout\": \"500ms\"{with}}}");
        let probe = Redis::new(serde_json::from_str(&text).unwrap()).map_err(|error| error.to_string())?;
        probe.observe().await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn one_thing_is_asked_for() {
        let Some(server) = RedisServer::start(&[]) else { return };
        server.ask("SET orders 7");
        let url = server.url();
        for (with, value) in [
            ("", Some(Value::from("PONG"))),
            (", \"get\": \"orders\"", Some(Value::Number(7.0))),
            (", \"get\": \"none\"", None),
            (", \"dbsize\": true", Some(Value::Number(1.0))),
            (", \"info\": \"connected_slaves\"", Some(Value::Number(0.0))),
            (", \"info\": \"no_such_field\"", None),
        ] {
            let reading = ask(&url, with).await.unwrap();
            assert_eq!(reading.get("value"), value.as_ref(), "{with}");
            assert_eq!(reading["up"], Value::Bool(true));
            assert_eq!(reading.contains_key("cause"), value.is_none(), "{with}");
        }
        let both = ask(&url, ", \"get\": \"a\", \"dbsize\": true").await.unwrap_err();
        assert!(both.contains("one of"), "{both}");
    }

    #[tokio::test]
    async fn a_server_that_is_down_or_paused_is_not_known_about() {
        let down = ask(&format!("redis://:hunter2@127.0.0.1:{}", free_port()), "").await.unwrap_err();
        assert!(down.contains("refused") && !down.contains("hunter2"), "{down}");
        let Some(server) = RedisServer::start(&[]) else { return };
        server.ask("CLIENT PAUSE 2000 ALL");
        let slow = ask(&server.url(), "").await.unwrap_err();
        assert!(slow.contains("no answer within 500ms"), "{slow}");
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_replaced_when_it_is_lost() {
        let Some(server) = RedisServer::start(&[]) else { return };
        let parameters = format!("{{\"url\": \"{}\"}}", server.url());
        let probe = Redis::new(serde_json::from_str(&parameters).unwrap()).unwrap();
        let named = || server.ask("CLIENT LIST").matches("name=squall ").count();
        for _ in 0..3 {
            probe.observe().await.unwrap();
            assert_eq!(named(), 1);
        }
        server.ask("CLIENT KILL TYPE normal");
        probe.observe().await.unwrap();
        assert_eq!(named(), 1);
    }
}
