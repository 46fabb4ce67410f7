//! The HTTP interface of RabbitMQ's management plugin.
//!
//! Source: <https://www.rabbitmq.com/docs/http-api-reference>

use crate::each::fits;
use crate::{DatabaseError, Login, Reason, Rows};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use squall_http::{ErrorKind, HttpError, Identity, KeptClient, Request, Trust, encoded};
use squall_model::server::{ServerRef, TlsMode};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the broker may take with one request; whoever asks may wait for less.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// How many things are asked for at once: an answer must not be longer than what is kept of it.
const PAGE: usize = 500;
/// Who clients are where nothing is said, see <https://www.rabbitmq.com/docs/uri-spec>.
const GUEST: &str = "guest";

/// The management of a broker.
pub(super) struct Management {
    client: KeptClient,
    root: String,
    authorization: String,
    server: ServerRef,
}

impl Management {
    pub(super) fn of(login: &Login) -> Result<Self, DatabaseError> {
        let server = login.server.clone();
        let is_tls = match server.tls {
            TlsMode::Disable | TlsMode::Prefer => false,
            TlsMode::VerifyFull => true,
            TlsMode::Require | TlsMode::VerifyCa => {
                let cause = "RabbitMQ's management is asked with `sslmode=verify-full` or without TLS; `sslrootcert=PATH` says \
                             which authority to believe";
                return Err(DatabaseError::new(Reason::Unsupported, &server, "connect to", cause));
            }
        };
        let host = if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
        let port = server.broker.as_ref().map_or(server.port, |broker| broker.management);
        let identity = server.certificate.clone();
        let identity = identity.map(|(certificate, key)| Identity { certificate, key });
        let trust = Trust { authorities: server.authorities.clone().into(), identity };
        let user = server.user.as_deref().unwrap_or(GUEST);
        let password = match &login.password {
            None if server.user.is_none() => GUEST,
            password => password.as_deref().unwrap_or_default(),
        };
        Ok(Self {
            client: KeptClient::new(trust),
            root: format!("{}://{host}:{port}", if is_tls { "https" } else { "http" }),
            authorization: format!("Basic {}", BASE64.encode(format!("{user}:{password}"))),
            server,
        })
    }

    async fn request(&self, method: &str, path: &str) -> Result<Option<Value>, DatabaseError> {
        let cannot = |error: HttpError| {
            let reason = match error.kind {
                ErrorKind::Connect if error.cause.contains("refused") => Reason::Refused,
                ErrorKind::Request => Reason::Unsupported,
                _ => Reason::Unreachable,
            };
            let cause = if error.cause.contains("invalid HTTP version") {
                format!(
                    "what answers on {} does not speak HTTP, so it is not RabbitMQ's management (AMQP's own port, perhaps); \
                     the management listens on 15672 as a rule, and `management_port=NUMBER` says where else",
                    self.root
                )
            } else {
                format!("{error} (RabbitMQ's management; `management_port=NUMBER` says where it is)")
            };
            DatabaseError::new(reason, &self.server, "ask", cause)
        };
        let mut request = Request::new(method, &format!("{}{path}", self.root)).map_err(cannot)?;
        request = request.header("authorization", &self.authorization).map_err(cannot)?;
        request = request.header("x-reason", "closed by Squall").map_err(cannot)?;
        let response = self.client.request(&request, ANSWERS_WITHIN).await.map_err(cannot)?;
        let refuse = |reason, cause: String| {
            Err(DatabaseError::new(reason, &self.server, "ask", format!("{method} {path}: {cause}")))
        };
        match response.status {
            204 => Ok(None),
            200..300 if response.is_truncated() => {
                refuse(Reason::Unsupported, "the answer is too long".to_owned())
            }
            200..300 => match serde_json::from_slice(&response.body) {
                Ok(value) => Ok(Some(value)),
                Err(_) => refuse(Reason::Unsupported, "this is not RabbitMQ's management".to_owned()),
            },
            status => {
                let said: Value = serde_json::from_slice(&response.body).unwrap_or_default();
                let said = said["reason"].as_str().or(said["error"].as_str()).unwrap_or_default();
                let reason = if matches!(status, 401 | 403) { Reason::Denied } else { Reason::Answered };
                let advice = if reason == Reason::Denied {
                    "; the user needs the tag `monitoring` to see, and `administrator` to close and to purge"
                } else {
                    ""
                };
                refuse(reason, format!("status {status} {said}{advice}"))
            }
        }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, DatabaseError> {
        self.request("GET", path).await.map(Option::unwrap_or_default)
    }

    /// All things of a kind, with these properties, at most so many pages.
    async fn list(&self, kind: &str, columns: &str, pages: usize) -> Result<Vec<Value>, DatabaseError> {
        let mut found = Vec::new();
        for page in 1..=pages {
            let mut answer =
                self.get(&format!("/api/{kind}?columns={columns}&page={page}&page_size={PAGE}")).await?;
            let Value::Array(items) = answer["items"].take() else { break };
            found.extend(items);
            if answer["page_count"].as_u64().unwrap_or_default() <= page as u64 {
                break;
            }
        }
        Ok(found)
    }

    /// All connections of clients, by what conditions may ask of them, those first that have been there for longest.
    pub(super) async fn connections(&self) -> Result<Vec<BTreeMap<String, String>>, DatabaseError> {
        let columns = "name,user,vhost,user_provided_name,peer_host,type,state,connected_at";
        let mut list = self.list("connections", columns, usize::MAX).await?;
        list.sort_by_key(|connection| connection["connected_at"].as_u64());
        Ok(list.iter().filter_map(connection).collect())
    }

    /// How many messages each queue has that may be taken: by virtual host and name.
    pub(super) async fn queues(&self, pages: usize) -> Result<Vec<(String, u64)>, DatabaseError> {
        let list = self.list("queues", "name,vhost,messages_ready", pages).await?;
        let queue = |queue: &Value| {
            let name = format!("queue {} {}", queue["vhost"].as_str()?, queue["name"].as_str()?);
            Some((name, queue["messages_ready"].as_u64().unwrap_or_default()))
        };
        Ok(list.iter().filter_map(queue).collect())
    }

    /// Answers nothing where there is such a thing, and else what is missing.
    pub(super) async fn check(&self, path: &str, missing: String) -> Result<Rows, DatabaseError> {
        let found = match self.get(path).await {
            Ok(_) => return Ok(Rows::default()),
            Err(error) if error.to_string().contains("status 404") => missing,
            Err(error) => return Err(error),
        };
        Ok(Rows { columns: vec!["missing".to_owned()], rows: vec![vec![Some(found)]], changed: 0 })
    }

    /// Throws away what waits in a queue. Answers how many messages that were, as the broker counted them last: its
    /// statistics are seconds old, and know nothing of a queue that is younger.
    pub(super) async fn purge(&self, vhost: &str, queue: &str) -> Result<Rows, DatabaseError> {
        let path = format!("/api/queues/{}/{}", encoded(vhost), encoded(queue));
        let count = self.get(&path).await?["messages_ready"].as_u64().unwrap_or_default();
        self.request("DELETE", &format!("{path}/contents")).await?;
        Ok(counted(count))
    }

    /// `EACH CONNECTION user=app name!=squall* FIRST 50% SAY DELETE /api/connections/{id}`: what there is no request for.
    /// Answers how many there were.
    pub(super) async fn each(&self, words: &[&str]) -> Result<Rows, DatabaseError> {
        let wrong = || {
            let cause = "after EACH CONNECTION come conditions and FIRST, then SAY DELETE and a path";
            DatabaseError::new(Reason::Unsupported, &self.server, "ask", cause)
        };
        let say = words.iter().position(|word| *word == "SAY").ok_or_else(wrong)?;
        let (conditions, [_, "DELETE", path]) = words.split_at(say) else { return Err(wrong()) };
        let (conditions, first) = match conditions {
            [conditions @ .., "FIRST", first] => (conditions, Some(*first)),
            conditions => (conditions, None),
        };
        let mut found = self.connections().await?;
        found.retain(|connection| conditions.iter().all(|condition| fits(connection, condition)));
        let most = first.map_or(Some(found.len()), |first| share(first, found.len())).ok_or_else(wrong)?;
        let mut struck = 0;
        for connection in found.iter().take(most) {
            let id = connection.get("id").map_or("", String::as_str);
            match self.request("DELETE", &path.replace("{id}", &encoded(id))).await {
                Ok(_) => struck += 1,
                // Gone since.
                Err(error) if error.reason == Reason::Answered => {}
                Err(error) => return Err(error),
            }
        }
        Ok(counted(struck))
    }
}

fn counted(count: u64) -> Rows {
    Rows { columns: vec!["count".to_owned()], rows: vec![vec![Some(count.to_string())]], changed: count }
}

/// How many of them `3` or `50%` are: of a share one at least, where there is one.
fn share(text: &str, of: usize) -> Option<usize> {
    match text.strip_suffix('%') {
        None => text.parse().ok(),
        Some(percent) => {
            let percent: f64 = percent.parse().ok()?;
            Some((percent / 100.0 * of as f64).ceil() as usize)
        }
    }
}

/// A connection as conditions see it. Those of the broker's own plugins are none of a client's.
fn connection(told: &Value) -> Option<BTreeMap<String, String>> {
    let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    if told["type"] == "direct" {
        return None;
    }
    let known = [
        ("id", text("name")),
        ("name", text("user_provided_name")),
        ("user", text("user")),
        ("vhost", text("vhost")),
        ("source", text("peer_host")),
        ("state", text("state")),
    ];
    Some(known.map(|(name, value)| (name.to_owned(), value)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_up() {
        let told = |text| share(text, 5);
        assert_eq!((told("3"), told("50%"), told("1%"), told("100%")), (Some(3), Some(3), Some(1), Some(5)));
        assert_eq!((share("10%", 0), told("half")), (Some(0), None));
    }
}
