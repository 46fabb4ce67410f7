//! RabbitMQ, by the two doors through which it is administered: the HTTP interface of its management plugin, and its node of
//! Erlang for whoever has its cookie.
//!
//! A statement of several words goes to the management: `PURGE QUEUE orders IN /`. One text is Erlang, and evaluated as
//! `rabbitmqctl eval` does. What lasts in the broker goes by the name of a process that is registered there.
//! Each door is opened when something is said through it.

mod management;
mod node;
mod term;

use crate::{DatabaseError, Login, Manner, Marked, Pending, Reason, Rows, Session};
use management::Management;
use node::Node;
use squall_http::encoded;
use squall_model::facts::{ClientFacts, DatabaseFacts};
use squall_model::server::{MARK_PREFIX, ServerRef, Statement};
use std::collections::BTreeMap;
use std::time::Duration;
use term::Term;
use tokio::net::TcpStream;

/// How many pages of queues are looked at when planning.
const PAGES_OF_QUEUES: usize = 4;
/// How long a management may take that may be none at all.
const MANAGED_WITHIN: Duration = Duration::from_secs(1);
/// How long whoever speaks AMQP may take to accept a connection.
const ACCEPTS_WITHIN: Duration = Duration::from_secs(1);
/// What is asked of a node of which something is to be known; behind it comes whether there is a virtual host.
const ABOUT: &str = "[{version, list_to_binary(rabbit_misc:version())}, {node, node()}, \
                     {connections, length(rabbit_networking:connections())}, \
                     {amqp_ports, list_to_binary(lists:join(\" \", [integer_to_list(element(6, One)) || \
                     One <- rabbit_networking:node_listeners(node()), lists:member(element(3, One), [amqp, 'amqp/ssl'])]))}, ";

struct Rabbit {
    login: Login,
    name: String,
    management: Option<Management>,
    node: Option<Node>,
}

/// A session that opens its connections when they are needed. One that waits in the broker has its own from the beginning.
pub(crate) async fn open(login: &Login, manner: &Manner) -> Result<Box<dyn Session>, DatabaseError> {
    let mut session =
        Rabbit { login: login.clone(), name: manner.name.clone(), management: None, node: None };
    if manner.lease.is_none() && login.cookie.is_some() {
        session.node().await?;
    }
    Ok(Box::new(session))
}

impl Rabbit {
    fn server(&self) -> &ServerRef {
        &self.login.server
    }

    fn management(&mut self) -> Result<&Management, DatabaseError> {
        let management = match self.management.take() {
            Some(management) => management,
            None => Management::of(&self.login)?,
        };
        Ok(self.management.insert(management))
    }

    async fn node(&mut self) -> Result<&mut Node, DatabaseError> {
        let node = if let Some(node) = self.node.take() {
            node
        } else {
            let cookie = self.login.cookie.as_deref().ok_or_else(|| no_cookie(self.server()))?;
            Node::connect(self.server(), cookie).await?
        };
        Ok(self.node.insert(node))
    }

    /// Has a text evaluated there, which is said in one message: from then on it is carried out, whatever becomes of us.
    async fn evaluate(&mut self, text: &str) -> Result<Term, DatabaseError> {
        let node = self.node().await?;
        let value = node.call("erl_eval", "expr", vec![program(text), Term::List(Vec::new())]).await?;
        let second = |value: &Term| value.tagged("value").and_then(<[Term]>::first).cloned();
        second(&value)
            .as_ref()
            .and_then(second)
            .ok_or_else(|| DatabaseError::new(Reason::Answered, self.server(), "ask", value.to_string()))
    }

    /// What the management tells of the broker and its clients.
    async fn managed(&mut self) -> Result<DatabaseFacts, DatabaseError> {
        let server = self.server().clone();
        let management = self.management()?;
        let overview = management.get("/api/overview").await?;
        let user = management.get("/api/whoami").await?;
        let connections = management.connections().await?;
        let queues = management.queues(PAGES_OF_QUEUES).await?;
        let settings = queues.into_iter().map(|(name, messages)| (name, messages.to_string()));
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        // One text of tags before version 3.9, a list since.
        let is_superuser = user["tags"].to_string().contains("administrator");
        let mut facts = facts_of(server, text(&overview["rabbitmq_version"]), text(&user["name"]));
        facts.is_superuser = is_superuser;
        facts.used = connections.len() as u64;
        facts.clients = connections.into_iter().filter_map(client).take(1000).collect();
        facts.settings = settings.collect();
        facts.settings.insert("node".to_owned(), text(&overview["node"]));
        facts.settings.insert("management".to_owned(), "yes".to_owned());
        Ok(facts)
    }

    /// What the node tells of itself.
    async fn told(&mut self) -> Result<BTreeMap<String, String>, DatabaseError> {
        let vhost = self.server().database.as_deref().unwrap_or("/");
        let vhost = vhost.replace('\\', "\\\\").replace('"', "\\\"");
        let about = format!("{ABOUT}{{vhost, rabbit_vhost:exists(<<\"{vhost}\"/utf8>>)}}].");
        let about = rows_of(&self.evaluate(&about).await?);
        Ok(about.named().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// What scans, parses and evaluates a text, as `rabbitmqctl eval` does, in the form in which programs are evaluated:
/// `erl_eval:exprs(element(2, erl_parse:parse_exprs(element(2, erl_scan:string(Text)))), [])`.
///
/// Source: <https://www.erlang.org/doc/apps/erts/absform.html>
fn program(text: &str) -> Term {
    let form = |tag: &str, rest: Vec<Term>| {
        Term::Tuple([Term::atom(tag), Term::Integer(1)].into_iter().chain(rest).collect())
    };
    let call = |module: &str, function: &str, arguments: Vec<Term>| {
        let name = [module, function].map(|name| form("atom", vec![Term::atom(name)]));
        form("call", vec![form("remote", name.into()), Term::List(arguments)])
    };
    let second = |of: Term| call("erlang", "element", vec![form("integer", vec![Term::Integer(2)]), of]);
    let ended = if text.trim_end().ends_with('.') { text.to_owned() } else { format!("{text}.") };
    let tokens = second(call("erl_scan", "string", vec![form("string", vec![Term::text(&ended)])]));
    let expressions = second(call("erl_parse", "parse_exprs", vec![tokens]));
    call("erl_eval", "exprs", vec![expressions, form("nil", Vec::new())])
}

/// What is wrong with the port of an address that is to be AMQP's: it may be another broker's, or nobody's. `known` are those
/// on which the node itself listens. The port of a management is none.
async fn no_amqp(server: ServerRef, known: Option<String>) -> Option<String> {
    if server.broker.as_ref().is_some_and(|broker| broker.management == server.port) {
        return None;
    }
    let connecting = TcpStream::connect((server.host.as_str(), server.port));
    let wrong = match tokio::time::timeout(ACCEPTS_WITHIN, connecting).await {
        Err(_) => format!("nothing accepts connections on {} within {ACCEPTS_WITHIN:?}", server.place()),
        Ok(Err(error)) => format!("nothing accepts connections on {}: {error}", server.place()),
        Ok(Ok(_)) => {
            let port = server.port.to_string();
            let is_other = known.as_ref().is_some_and(|known| known.split(' ').all(|known| known != port));
            is_other.then(|| format!("port {port} is none of the broker's own for AMQP"))?
        }
    };
    let known = known.map(|known| format!(" (it listens for AMQP on {})", known.replace(' ', ", ")));
    Some(wrong + &known.unwrap_or_default())
}

fn no_cookie(server: &ServerRef) -> DatabaseError {
    let cause = "this is done in the broker's own language, which takes its Erlang cookie: add \
                 `?cookie_file=/var/lib/rabbitmq/.erlang.cookie` or `?cookie_env=NAME` to its address";
    DatabaseError::new(Reason::Denied, server, "ask", cause)
}

fn facts_of(server: ServerRef, version: String, user: String) -> DatabaseFacts {
    DatabaseFacts {
        server,
        version,
        user,
        is_superuser: false,
        is_replica: false,
        limit: None,
        reserved: 0,
        used: 0,
        settings: BTreeMap::new(),
        clients: Vec::new(),
    }
}

/// A client as planners see it, unless it is Squall's own.
fn client(mut told: BTreeMap<String, String>) -> Option<ClientFacts> {
    let mut known = |name: &str| told.remove(name).filter(|text| !text.is_empty());
    let application = known("name");
    if application.as_deref().is_some_and(|name| name.starts_with("squall")) {
        return None;
    }
    Some(ClientFacts {
        id: known("id")?,
        user: known("user"),
        database: known("vhost"),
        application,
        address: known("source"),
        state: known("state"),
        seconds: None,
        is_superuser: false,
    })
}

/// A list of pairs as a row of named values, an empty one as no row, and anything else as one value.
fn rows_of(term: &Term) -> Rows {
    let pair = |term: &Term| match term {
        Term::Tuple(pair) if pair.len() == 2 => Some((pair[0].plain(), Some(pair[1].plain()))),
        _ => None,
    };
    let (columns, row): (Vec<String>, Vec<Option<String>>) = match term {
        Term::List(elements) if elements.is_empty() => return Rows::default(),
        Term::List(elements) => match elements.iter().map(pair).collect::<Option<Vec<_>>>() {
            Some(pairs) => pairs.into_iter().unzip(),
            None => (vec!["value".to_owned()], vec![Some(term.plain())]),
        },
        other => (vec!["value".to_owned()], vec![Some(other.plain())]),
    };
    Rows { columns, rows: vec![row], changed: 0 }
}

impl Session for Rabbit {
    fn say<'s>(&'s mut self, statement: &'s Statement) -> Pending<'s, Rows> {
        Box::pin(async {
            let words: Vec<&str> = statement.0.iter().map(String::as_str).collect();
            match words.as_slice() {
                [] => Ok(Rows::default()),
                [text] => Ok(rows_of(&self.evaluate(text).await?)),
                ["EACH", "CONNECTION", rest @ ..] => self.management()?.each(rest).await,
                ["PURGE", "QUEUE", queue, "IN", vhost] => self.management()?.purge(vhost, queue).await,
                ["CHECK", "QUEUE", queue, "IN", vhost] => {
                    let path = format!("/api/queues/{}/{}", encoded(vhost), encoded(queue));
                    let missing = format!("no queue {queue} in virtual host {vhost}");
                    self.management()?.check(&path, missing).await
                }
                ["CHECK", "VHOST", vhost] => {
                    let path = format!("/api/vhosts/{}", encoded(vhost));
                    self.management()?.check(&path, format!("no virtual host {vhost}")).await
                }
                [word, ..] => {
                    let cause = format!("RabbitMQ's management is not told to {word}");
                    Err(DatabaseError::new(Reason::Unsupported, self.server(), "ask", cause))
                }
            }
        })
    }

    /// Tells what lasts in the broker by our name that we are there.
    fn keep_alive(&mut self) -> Pending<'_, ()> {
        Box::pin(async {
            let Some(node) = &mut self.node else { return Ok(()) };
            node.tell(&self.name, &Term::atom("alive")).await?;
            node.call("erlang", "node", Vec::new()).await.map(drop)
        })
    }

    fn facts(&mut self) -> Pending<'_, DatabaseFacts> {
        Box::pin(async {
            if self.login.cookie.is_none() {
                let amqp = no_amqp(self.server().clone(), None);
                let (facts, no_amqp) = tokio::join!(self.managed(), amqp);
                let mut facts = facts?;
                facts.settings.extend(no_amqp.map(|why| ("no_amqp".to_owned(), why)));
                return Ok(facts);
            }
            let mut told = self.told().await?;
            let found = self.node().await?.port();
            let amqp = no_amqp(self.server().clone(), told.get("amqp_ports").cloned());
            let user = self.server().user.clone().unwrap_or_default();
            let number = told.get("connections").and_then(|text| text.parse().ok());
            let version = told.remove("version").unwrap_or_default();
            // Who has the cookie needs no management.
            let managed = tokio::time::timeout(MANAGED_WITHIN, self.managed());
            let (managed, no_amqp) = tokio::join!(managed, amqp);
            told.extend(no_amqp.map(|why| ("no_amqp".to_owned(), why)));
            let managed = managed.unwrap_or_else(|_| {
                let late = format!("its management did not answer within {MANAGED_WITHIN:?}");
                Err(DatabaseError::new(Reason::Unreachable, self.server(), "ask", late))
            });
            let mut facts = match managed {
                Ok(facts) => facts,
                Err(error) => {
                    told.insert("no_management".to_owned(), error.to_string());
                    let used = number.unwrap_or_default();
                    DatabaseFacts { used, ..facts_of(self.server().clone(), version, user) }
                }
            };
            facts.is_superuser = true;
            // Whoever undoes may stand in another environment, and the node's `epmd` may be another one by then.
            if let Some(broker) = &mut facts.server.broker {
                broker.distribution = Some(found);
                broker.node = broker.node.take().or_else(|| told.get("node").cloned());
            }
            facts.settings.extend(told);
            Ok(facts)
        })
    }

    fn marked<'s>(&'s mut self, prefix: &'s str) -> Pending<'s, Vec<Marked>> {
        Box::pin(async move {
            // By the management alone nothing is begun that lasts; but what another one left is not seen by it.
            if self.login.cookie.is_none() && prefix != MARK_PREFIX {
                return Ok(Vec::new());
            }
            let names = self.node().await?.call("erlang", "registered", Vec::new()).await?;
            let Term::List(names) = names else { return Ok(Vec::new()) };
            let names = names.into_iter().filter_map(|name| match name {
                Term::Atom(name) if name.starts_with(prefix) => Some(Marked { id: name.clone(), mark: name }),
                _ => None,
            });
            Ok(names.collect())
        })
    }

    /// Tells it that it is over: it puts back what it watches over before it ends.
    fn end<'s>(&'s mut self, other: &'s Marked) -> Pending<'s, ()> {
        Box::pin(async move { self.node().await?.tell(&other.id, &Term::atom("over")).await })
    }
}

#[cfg(test)]
mod tests;
