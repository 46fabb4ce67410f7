//! DNS: what a name server answers. Asked by a small client of our own, since the system's resolver hides who answered
//! what: it asks `/etc/hosts` and caches, and tells no codes.

mod message;

use crate::timeout::Timeout;
pub use message::RecordType;
use message::{Answer, Name};
use rustix::rand::{GetRandomFlags, getrandom};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{timeout, timeout_at};

/// Where the system says whom to ask, see resolv.conf(5).
const SYSTEM: &str = "/etc/resolv.conf";

/// After so long without an answer the question is sent again, to the next server where there are several: datagrams
/// get lost.
const ASKS_AGAIN_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// The longest datagram.
const LONGEST: usize = 64 * 1024;

/// A name server: an address, or an address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
pub struct Server(#[schemars(with = "String")] SocketAddr);

impl TryFrom<String> for Server {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
        address.map(Self).map_err(|_| {
            format!(
                "{text:?} is not the address of a name server, such as 10.0.0.2, 127.0.0.1:5353 or [::1]:53"
            )
        })
    }
}

/// What stands under `dns:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The whole name: `shop.example.com`. Search domains are not added.
    name: String,
    /// What to ask for.
    #[serde(default, rename = "type")]
    record: RecordType,
    /// Which name server to ask: `10.0.0.2`, `127.0.0.1:5353`. Where not given, those of `/etc/resolv.conf` in turn.
    #[serde(default)]
    server: Option<Server>,
    /// How long the answer may take. The question is sent again each second.
    #[serde(default)]
    timeout: Timeout,
}

/// The `dns` probe.
pub struct Dns {
    name: Name,
    written: String,
    record: RecordType,
    server: Option<Server>,
    timeout: Timeout,
}

impl Probe for Dns {
    const NAME: &'static str = "dns";
    const SUMMARY: &'static str = "Asks a name server";
    const EXAMPLE: &'static str = "\
- dns: {name: shop.example.com, type: A, server: \"10.0.0.2\"}
  expect: rcode == NOERROR and answers =~ \"10\\\\.0\\\\.\" and latency < 100ms
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("rcode", "how it was answered: NOERROR, NXDOMAIN, SERVFAIL, REFUSED, …"),
        ("count", "how many records of the type were given"),
        ("answers", "all of them, sorted, with a comma and a blank between: `10.0.0.7, 10.0.0.8`"),
        ("answer.*", "one of them by its number in that order: `answer.1`"),
        ("ttl", "the least time that one may be kept, in seconds; absent where there is none"),
        ("latency", "seconds from the first question to the answer"),
        ("server", "who answered"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] = &[("count", ValueKind::Number)];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("rcode == NOERROR and count > 0");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let Parameters { name: written, record, server, timeout } = parameters;
        let name = Name::parse(&written).map_err(ProbeError)?;
        Ok(Self { name, written, record, server, timeout })
    }
}

impl Observe for Dns {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            let begun = Instant::now();
            let what = || format!("ask for {} {}", self.record.name(), self.written);
            let servers = self.servers().map_err(|why| ProbeError(format!("{}: {why}", what())))?;
            let asked = timeout(self.timeout.get(), self.ask(&servers)).await;
            let named = || servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let late = |_| format!("no answer within {}", Duration::from(self.timeout));
            let (server, answer) = asked
                .map_err(late)
                .and_then(|asked| asked)
                .map_err(|why| ProbeError(format!("{} at {}: {why}", what(), named())))?;
            Ok(reading(server, answer, begun.elapsed().as_secs_f64()))
        })
    }

    fn patience(&self) -> Duration {
        self.timeout.patience()
    }
}

fn reading(server: SocketAddr, answer: Answer, seconds: f64) -> Reading {
    let Answer { rcode, records, ttl, is_cut: _ } = answer;
    let mut reading = Reading::from([
        ("rcode".to_owned(), Value::Text(rcode)),
        ("count".to_owned(), Value::Number(records.len() as f64)),
        ("answers".to_owned(), Value::Text(records.join(", "))),
        ("latency".to_owned(), Value::Number(seconds)),
        ("server".to_owned(), Value::Text(server.to_string())),
    ]);
    reading.extend(ttl.map(|ttl| ("ttl".to_owned(), Value::Number(f64::from(ttl)))));
    let numbered = records.into_iter().enumerate();
    reading.extend(numbered.map(|(index, text)| (format!("answer.{}", index + 1), Value::Text(text))));
    reading
}

impl Dns {
    fn servers(&self) -> Result<Vec<SocketAddr>, String> {
        if let Some(Server(address)) = self.server {
            return Ok(vec![address]);
        }
        let text = fs::read_to_string(SYSTEM).map_err(|error| format!("read {SYSTEM}: {error}"))?;
        Ok(name_servers(&text))
    }

    /// Asks each in turn until one answers; waits without bound. That one refuses is remembered, and the next is asked.
    async fn ask(&self, servers: &[SocketAddr]) -> Result<(SocketAddr, Answer), String> {
        let mut refusals = 0;
        for server in servers.iter().cycle().copied() {
            let again = tokio::time::Instant::now() + ASKS_AGAIN_AFTER;
            match timeout_at(again, self.ask_one(server)).await {
                Ok(Ok(answer)) => return Ok((server, answer)),
                Ok(Err(why)) => {
                    refusals += 1;
                    if refusals >= servers.len() {
                        return Err(why);
                    }
                }
                Err(_) => {}
            }
        }
        Err("there is no name server".to_owned())
    }

    async fn ask_one(&self, server: SocketAddr) -> Result<Answer, String> {
        let failed = |error: io::Error| error.to_string();
        let asked = message::question(random_id(), &self.name, self.record);
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await.map_err(failed)?;
        socket.connect(server).await.map_err(failed)?;
        socket.send(&asked).await.map_err(failed)?;
        let mut room = vec![0; LONGEST];
        loop {
            let length = socket.recv(&mut room).await.map_err(failed)?;
            match message::answer(&room[..length], &asked, self.record)? {
                Some(answer) if answer.is_cut => return self.ask_at_length(server, &asked).await,
                Some(answer) => return Ok(answer),
                // Late, or not meant for this question.
                None => {}
            }
        }
    }

    /// Over TCP, where an answer does not fit in a datagram (RFC 7766).
    async fn ask_at_length(&self, server: SocketAddr, asked: &[u8]) -> Result<Answer, String> {
        let failed = |error: io::Error| format!("over TCP, since the answer is long: {error}");
        let mut stream = TcpStream::connect(server).await.map_err(failed)?;
        let mut sent = (asked.len() as u16).to_be_bytes().to_vec();
        sent.extend_from_slice(asked);
        stream.write_all(&sent).await.map_err(failed)?;
        let mut room = vec![0; usize::from(stream.read_u16().await.map_err(failed)?)];
        stream.read_exact(&mut room).await.map_err(failed)?;
        let answer = message::answer(&room, asked, self.record)?;
        answer
            .filter(|answer| !answer.is_cut)
            .ok_or_else(|| "over TCP, since the answer is long: it is not whole".to_owned())
    }
}

/// The name servers that the system's settings list; this host itself where they list none.
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let listed = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = listed.filter_map(|rest| rest.split_whitespace().next()?.parse::<IpAddr>().ok());
    let servers: Vec<_> = addresses.map(|address| SocketAddr::new(address, 53)).collect();
    if servers.is_empty() { vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53)] } else { servers }
}

/// A number that nobody can guess, so that nobody else can answer.
fn random_id() -> u16 {
    let mut bytes = [0; 2];
    // The kernel gives two bytes at once or, where it has no such call, none.
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    u16::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests;
