//! TCP: whether a port can be connected to and, if asked, whether what listens there says what it should.

use crate::timeout::Timeout;
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// How much of what the peer says is read.
const ANSWER_KEPT: usize = 64 * 1024;

/// Host and port: `127.0.0.1:5432`, `db:5432`, `[::1]:5432`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The host name or address, an IPv6 one without its brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not a host and a port, such as 127.0.0.1:5432, db:5432 or [::1]:5432");
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        // Without brackets, which of the colons of an IPv6 address begins the port is anyone's guess.
        let host = bare.or((!host.contains([':', '[', ']', '/', '@'])).then_some(host)).ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

/// What stands under `tcp:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Host and port: `127.0.0.1:5432`, `db:5432`, `[::1]:5432`.
    address: Address,
    /// How long it may take to connect and, with `expect`, to hear it.
    #[serde(default)]
    timeout: Timeout,
    /// A text to send once connected; nothing, where not given.
    #[serde(default)]
    send: Option<String>,
    /// A text that the peer must say; without it, to be connected is enough.
    #[serde(default)]
    expect: Option<String>,
}

/// The `tcp` probe.
pub struct Tcp(Parameters);

impl Probe for Tcp {
    const NAME: &'static str = "tcp";
    const SUMMARY: &'static str = "Connects to a TCP port";
    const EXAMPLE: &'static str = "\
- tcp: {address: \"127.0.0.1:5432\", timeout: 1s}
  expect: open == true and latency < 50ms
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("open", "whether it connected in time and, with `expect`, heard that text"),
        ("latency", "seconds until it was connected; absent where it was not"),
        ("answer", "what the peer said, at most 64 KiB, with `expect`"),
        ("cause", "why it is not open; absent where it is"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] = &[("open", ValueKind::YesOrNo)];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("open == true");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        if parameters.expect.as_ref().is_some_and(String::is_empty) {
            return Err(ProbeError(
                "`expect` is empty; leave it away if to be connected is enough".to_owned(),
            ));
        }
        Ok(Self(parameters))
    }
}

impl Observe for Tcp {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            let mut reading = Reading::new();
            let cause = match timeout(self.0.timeout.get(), self.talk(&mut reading)).await {
                Ok(talked) => talked?,
                Err(_) => Some(format!("not within {}", Duration::from(self.0.timeout))),
            };
            reading.insert("open".to_owned(), Value::Bool(cause.is_none()));
            if let Some(cause) = cause {
                reading.insert("cause".to_owned(), Value::Text(cause));
            }
            Ok(reading)
        })
    }

    fn patience(&self) -> Duration {
        self.0.timeout.patience()
    }
}

impl Tcp {
    /// Connects and talks, and reads on the way; says why it is not open, if so.
    async fn talk(&self, reading: &mut Reading) -> Result<Option<String>, ProbeError> {
        let addresses = self.addresses().await?;
        let begun = Instant::now();
        let mut stream = match TcpStream::connect(&addresses[..]).await {
            Ok(stream) => stream,
            Err(error) => return self.refused(&error).map(Some),
        };
        reading.insert("latency".to_owned(), Value::Number(begun.elapsed().as_secs_f64()));
        if let Some(send) = &self.0.send
            && let Err(error) = stream.write_all(send.as_bytes()).await
        {
            return Ok(Some(format!("could not send: {error}")));
        }
        let Some(expect) = &self.0.expect else { return Ok(None) };
        let mut answer = Vec::new();
        let cause = hear(&mut stream, expect, &mut answer).await;
        reading.insert("answer".to_owned(), Value::Text(String::from_utf8_lossy(&answer).into_owned()));
        Ok(cause)
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, ProbeError> {
        let address = &self.0.address;
        let failed = |cause: String| ProbeError(format!("resolve {}: {cause}", address.host));
        let found = lookup_host((address.host.as_str(), address.port)).await;
        let found: Vec<_> = found.map_err(|error| failed(error.to_string()))?.collect();
        if found.is_empty() { Err(failed("the name has no address".to_owned())) } else { Ok(found) }
    }

    /// No connection is an answer, unless it is this machine that lacks something.
    fn refused(&self, error: &io::Error) -> Result<String, ProbeError> {
        match Errno::from_io_error(error) {
            Some(
                Errno::MFILE
                | Errno::NFILE
                | Errno::ADDRNOTAVAIL
                | Errno::NOBUFS
                | Errno::NOMEM
                | Errno::ACCESS,
            ) => Err(ProbeError(format!("connect to {}: {error}", self.0.address))),
            _ => Ok(format!("{error}")),
        }
    }
}

/// Reads until `expect` was said; says why it was not, if so.
async fn hear(stream: &mut TcpStream, expect: &str, answer: &mut Vec<u8>) -> Option<String> {
    loop {
        if contains(answer, expect.as_bytes()) {
            return None;
        }
        if answer.len() >= ANSWER_KEPT {
            return Some(format!("{expect:?} is not in the first {ANSWER_KEPT} bytes of the answer"));
        }
        let mut room = stream.take((ANSWER_KEPT - answer.len()) as u64);
        match room.read_buf(answer).await {
            Ok(0) => return Some(format!("the peer closed the connection without having said {expect:?}")),
            Ok(_) => {}
            Err(error) => return Some(format!("the peer did not say {expect:?}: {error}")),
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_probe::{ask, built, refusal};
    use serde_json::json;
    use squall_http::testing::{RawServer, refusing_address};
    use std::io::{Read, Write};

    #[test]
    fn an_open_port_is_open() {
        let server = RawServer::start(drop);
        let reading = ask(&built::<Tcp>(json!({"address": server.address.to_string()}))).unwrap();
        assert_eq!(reading["open"], Value::Bool(true));
        assert!(reading["latency"].number().unwrap() > 0.0);
        assert!(!reading.contains_key("cause"));
    }

    #[test]
    fn a_refused_connection_is_an_answer() {
        let (_held, address) = refusing_address();
        let reading = ask(&built::<Tcp>(json!({"address": address.to_string()}))).unwrap();
        assert_eq!(reading["open"], Value::Bool(false));
        assert!(!reading.contains_key("latency"));
        assert!(reading["cause"].to_string().contains("refused"), "{reading:?}");
    }

    #[test]
    fn silence_is_an_answer() {
        let server = RawServer::start(|mut stream| drop(stream.read(&mut [0])));
        let parameters = json!({"address": server.address.to_string(), "timeout": "100ms", "expect": "220"});
        let reading = ask(&built::<Tcp>(parameters)).unwrap();
        assert_eq!(reading["open"], Value::Bool(false));
        assert!(reading["cause"].to_string().contains("100ms"), "{reading:?}");
        assert!(reading.contains_key("latency"));
    }

    #[test]
    fn what_the_peer_says_is_heard() {
        let server = RawServer::start(|mut stream| {
            let mut asked = [0; 6];
            stream.read_exact(&mut asked).unwrap();
            // In two parts, so that the text is found across them.
            stream.write_all(b"+PO").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(30));
            stream.write_all(if asked == *b"PING\r\n" { b"NG\r\n" } else { b"OR\r\n" }).unwrap();
        });
        let say = |send: &str| {
            let address = server.address.to_string();
            ask(&built::<Tcp>(json!({"address": address, "send": send, "expect": "+PONG"}))).unwrap()
        };
        let reading = say("PING\r\n");
        assert_eq!((&reading["open"], &reading["answer"]), (&Value::Bool(true), &Value::from("+PONG\r\n")));
        let reading = say("PINK\r\n");
        assert_eq!((&reading["open"], &reading["answer"]), (&Value::Bool(false), &Value::from("+POOR\r\n")));
        assert!(reading["cause"].to_string().contains("closed"), "{reading:?}");
    }

    #[test]
    fn an_unknown_name_is_no_answer() {
        let probe = built::<Tcp>(json!({"address": "no-such-host.invalid:80"}));
        assert!(ask(&probe).unwrap_err().to_string().contains("no-such-host.invalid"));
    }

    #[test]
    fn addresses_are_checked() {
        for right in ["127.0.0.1:80", "[::1]:80", "db.internal:5432"] {
            assert_eq!(Address::try_from(right.to_owned()).unwrap().to_string(), right);
        }
        for wrong in ["", "db", "db:", ":80", "db:0", "db:65536", "::1:80", "http://db:80", "[::1]", "d b:80"]
        {
            assert!(Address::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
        assert!(refusal::<Tcp>(json!({"address": "db:1", "expect": ""})).contains("expect"));
        assert!(refusal::<Tcp>(json!({"address": "db:1", "host": "db"})).contains("host"));
    }
}
