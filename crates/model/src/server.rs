//! Servers that are spoken to over a network: databases, caches, brokers. Their addresses as people write them, with the
//! password kept apart: it is never part of what is written down or shown.

use crate::read::nearest_advice;
use crate::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

/// What kind of server it is, and so which protocol it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerKind {
    /// PostgreSQL, and what speaks its protocol.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// Redis, and what speaks its protocol, such as Valkey.
    Redis,
    /// RabbitMQ.
    Rabbitmq,
}

/// The kinds with their schemes: the first is the usual one, a second one says that the scheme means TLS.
const SCHEMES: [(&str, ServerKind, bool); 11] = [
    ("postgres", ServerKind::Postgres, false),
    ("postgresql", ServerKind::Postgres, false),
    ("mysql", ServerKind::Mysql, false),
    ("mariadb", ServerKind::Mysql, false),
    ("redis", ServerKind::Redis, false),
    ("rediss", ServerKind::Redis, true),
    ("amqp", ServerKind::Rabbitmq, false),
    ("amqps", ServerKind::Rabbitmq, true),
    ("rabbitmq", ServerKind::Rabbitmq, false),
    // Where a broker is administered: its management plugin.
    ("http", ServerKind::Rabbitmq, false),
    ("https", ServerKind::Rabbitmq, true),
];

impl ServerKind {
    /// Its name as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Redis => "Redis",
            Self::Rabbitmq => "RabbitMQ",
        }
    }

    /// What the names of its faults begin with.
    pub fn group(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Rabbitmq => "rabbitmq",
        }
    }

    /// The scheme of its addresses.
    pub fn scheme(self) -> &'static str {
        SCHEMES.iter().find(|(_, kind, _)| *kind == self).map_or("", |(scheme, ..)| scheme)
    }

    fn default_port(self, tls: bool) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::Mysql => 3306,
            Self::Redis => 6379,
            Self::Rabbitmq if tls => 5671,
            Self::Rabbitmq => 5672,
        }
    }

    /// A text as a literal of the server's language.
    pub fn literal(self, text: &str) -> String {
        match self {
            Self::Postgres if text.contains('\\') => {
                format!(" E'{}'", text.replace('\\', r"\\").replace('\'', "''"))
            }
            Self::Mysql => format!("'{}'", text.replace('\\', r"\\").replace('\'', "''")),
            Self::Postgres => format!("'{}'", text.replace('\'', "''")),
            // Words of their own, not parts of a text.
            Self::Redis | Self::Rabbitmq => text.to_owned(),
        }
    }

    /// The name of a table or the like, with or without its schema, quoted: what stands in quotes already stays.
    pub fn identifier(self, name: &str) -> String {
        let quote = if self == Self::Mysql { '`' } else { '"' };
        let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
        for letter in name.chars() {
            match letter {
                letter if letter == quote => quoted = !quoted,
                '.' if !quoted => parts.push(std::mem::take(&mut part)),
                letter => part.push(letter),
            }
        }
        parts.push(part);
        let doubled = format!("{quote}{quote}");
        let quoted = parts.iter().map(|part| format!("{quote}{}{quote}", part.replace(quote, &doubled)));
        quoted.collect::<Vec<_>>().join(".")
    }
}

/// Whether and how the connection is encrypted, in the words of PostgreSQL's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Never.
    Disable,
    /// Where the server offers it; whose it is is not checked.
    #[default]
    Prefer,
    /// Always; whose it is is not checked.
    Require,
    /// Always, and an authority must have signed the certificate.
    VerifyCa,
    /// Always, and the certificate must be the host's.
    VerifyFull,
}

impl TlsMode {
    const ALL: [(&'static str, Self); 5] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

/// Where the password is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordRef {
    /// There is none.
    #[default]
    None,
    /// It stood in the address, and is kept in memory only.
    Told,
    /// In this variable of the environment.
    Environment(String),
    /// In this file; white space around it does not count.
    File(PathBuf),
}

/// Whether what a server tells of a client is as a condition wants it; a star at the end stands for anything.
pub fn is_like(told: &str, wanted: &str) -> bool {
    wanted.strip_suffix('*').map_or(told == wanted, |beginning| told.starts_with(beginning))
}

/// How a RabbitMQ is administered: over HTTP, and in its own language by whoever has its Erlang cookie.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BrokerRef {
    /// The port of its management plugin.
    pub management: u16,
    /// Where its Erlang cookie is.
    #[serde(default)]
    pub cookie: PasswordRef,
    /// The port on which its node takes other nodes, where `epmd` is not to be asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<u16>,
    /// The name of its node, where there are several on the host: `rabbit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

impl BrokerRef {
    /// The management plugin's own ports.
    const PORT: u16 = 15672;
    const TLS_PORT: u16 = 15671;
}

/// A server and who speaks to it, without the password: what undo logs keep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerRef {
    /// What it is.
    pub kind: ServerKind,
    /// Host name or address; a path for a socket in a folder.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who speaks to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The database on it, the number of one, or the virtual host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Encryption.
    #[serde(default)]
    pub tls: TlsMode,
    /// A PEM file with certificate authorities to believe in place of the web's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<PathBuf>,
    /// PEM files with the client's own certificate and its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Where the password is.
    #[serde(default)]
    pub password: PasswordRef,
    /// How it is administered, where it is a broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<BrokerRef>,
}

impl fmt::Display for ServerRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, user, database, .. } = self;
        write!(formatter, "{}://", self.scheme())?;
        if let Some(user) = user {
            write!(formatter, "{}@", encoded(user))?;
        }
        let is_long = host.contains(':') && !host.starts_with('/');
        let host = if is_long { format!("[{host}]") } else { host.clone() };
        write!(formatter, "{host}:{port}")?;
        database.as_ref().map_or(Ok(()), |database| write!(formatter, "/{}", encoded(database)))
    }
}

impl ServerRef {
    /// The scheme of its address: that of its kind, or HTTP's where it is the management plugin's.
    fn scheme(&self) -> &'static str {
        match &self.broker {
            Some(broker) if broker.management == self.port && self.tls == TlsMode::Disable => "http",
            Some(broker) if broker.management == self.port => "https",
            _ => self.kind.scheme(),
        }
    }

    /// Host and port: what tells a server from others.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether both are the same server, as far as their addresses tell: whoever speaks to it, and of which database.
    pub fn is_same_server(&self, other: &Self) -> bool {
        (self.kind, &self.host, self.port) == (other.kind, &other.host, other.port)
    }
}

/// The address of a server, with its password where that stands in it:
/// `postgres://user:password@host:5432/database?sslmode=verify-full`.
///
/// Options: `sslmode`, `sslrootcert`, `sslcert` and `sslkey` as PostgreSQL's clients have them, for every kind;
/// `password_env=NAME` and `password_file=PATH` in place of a password; `host=/folder` for a socket, with its `port=5433`. For
/// RabbitMQ also `management_port=NUMBER`, and `cookie_env=NAME` or `cookie_file=PATH` with `node=NAME` or `dist_port=NUMBER`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerUrl {
    /// All but the password.
    pub server: ServerRef,
    /// The password that stood in the address.
    password: Option<String>,
    /// As it was written.
    text: String,
}

impl ServerUrl {
    /// The password that stood in the address.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ServerUrl").field(&self.server).finish()
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(formatter)
    }
}

impl From<ServerUrl> for String {
    fn from(url: ServerUrl) -> Self {
        url.text
    }
}

impl TryFrom<String> for ServerUrl {
    type Error = ServerUrlError;

    fn try_from(text: String) -> Result<Self, ServerUrlError> {
        text.parse()
    }
}

impl JsonSchema for ServerUrl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ServerUrl".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "The address of a server: postgres://user@host:5432/database, mysql://…, redis://…, amqp://…, \
                            http://… of a RabbitMQ's management"
        })
    }
}

/// What is wrong with an address. Says nothing of what stands in it, which may be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ServerUrlError(String);

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let wrong = |what: String| ServerUrlError(what);
        let form = "such as postgres://user@host:5432/database, mysql://…, redis://… or amqp://…";
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong(format!("this is not the address of a server, {form}")))?;
        let known = SCHEMES.iter().find(|(known, ..)| *known == scheme);
        let (_, kind, by_scheme) = known.ok_or_else(|| {
            let schemes: Vec<&str> = SCHEMES.iter().map(|(scheme, ..)| *scheme).collect();
            wrong(format!("there are no servers of the kind `{scheme}`; there are {}", schemes.join(", ")))
        })?;
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word)));
        let (host, port) = host_and_port(place).map_err(wrong)?;
        let text_of = |text: &str| decoded(text).map_err(wrong);
        let filled = |text: &str| text_of(text).map(|text| Some(text).filter(|text| !text.is_empty()));
        let password = password.map(text_of).transpose()?.filter(|password| !password.is_empty());
        let is_http = scheme.starts_with("http");
        let management = if *by_scheme { BrokerRef::TLS_PORT } else { BrokerRef::PORT };
        let mut server = ServerRef {
            kind: *kind,
            host: filled(host)?.unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: port.unwrap_or_else(|| if is_http { management } else { kind.default_port(*by_scheme) }),
            user: filled(user)?,
            database: filled(database)?,
            tls: match scheme {
                "http" => TlsMode::Disable,
                _ if *by_scheme => TlsMode::VerifyFull,
                _ => TlsMode::default(),
            },
            authorities: None,
            certificate: None,
            password: if password.is_some() { PasswordRef::Told } else { PasswordRef::None },
            broker: None,
        };
        if *kind == ServerKind::Rabbitmq {
            let management = if is_http { server.port } else { management };
            let cookie = PasswordRef::None;
            server.broker = Some(BrokerRef { management, cookie, distribution: None, node: None });
        }
        apply_options(&mut server, options)?;
        Ok(Self { server, password, text: text.to_owned() })
    }
}

/// The passwords that stand in addresses (`scheme://user:password@host`) within a text, as they are written and as they
/// are meant. One that is the name of the user, the scheme or the rest of the address is no secret: those are shown.
pub fn passwords_in(text: &str) -> Vec<String> {
    let is_end = |letter: char| letter.is_whitespace() || "/?#\"'".contains(letter);
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        let scheme =
            text[..at].rsplit(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
        let rest = &text[at + 3..];
        // A password may have a slash in it, which a careful writer would have encoded.
        let authority = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        let authority = if authority.contains('@') {
            authority
        } else {
            rest.split_whitespace().next().unwrap_or_default()
        };
        let Some((login, place)) = authority.rsplit_once('@') else { continue };
        let Some((user, password)) = login.split_once(':') else { continue };
        // `http://host:80/a@b` has a port, not a password.
        let is_port = password.split_once('/').is_some_and(|(port, _)| port.parse::<u16>().is_ok());
        if is_port
            || password.is_empty()
            || password == user
            || password == scheme
            || place.contains(password)
        {
            continue;
        }
        found.push(password.to_owned());
        found.extend(decoded(password).ok().filter(|plain| plain != password));
    }
    found
}

/// The names of the options of an address; the last ones are those of brokers.
const OPTIONS: [&str; 13] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "password_env",
    "password_file",
    "host",
    "port",
    "management_port",
    "cookie_env",
    "cookie_file",
    "dist_port",
    "node",
];

fn apply_options(server: &mut ServerRef, options: &str) -> Result<(), ServerUrlError> {
    let (mut certificate, mut key) = (None, None);
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = decoded(value).map_err(ServerUrlError)?;
        match name {
            "sslmode" => {
                let known = TlsMode::ALL.iter().find(|(known, _)| *known == value);
                let (_, mode) = known.ok_or_else(|| {
                    let modes = TlsMode::ALL.map(|(name, _)| name).join(", ");
                    ServerUrlError(format!("`sslmode` is one of {modes}"))
                })?;
                server.tls = *mode;
            }
            "sslrootcert" => server.authorities = Some(value.into()),
            "sslcert" => certificate = Some(PathBuf::from(value)),
            "sslkey" => key = Some(PathBuf::from(value)),
            "password_env" => set_password(server, PasswordRef::Environment(value))?,
            "password_file" => set_password(server, PasswordRef::File(value.into()))?,
            "host" => server.host = value,
            "port" => server.port = port_of(&value).map_err(ServerUrlError)?,
            name if apply_broker_option(server.broker.as_mut(), name, &value)? => {}
            other => {
                let advice = nearest_advice(other, &OPTIONS);
                return Err(ServerUrlError(format!("an address has no option `{other}`; {advice}")));
            }
        }
    }
    server.certificate = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        _ => return Err(ServerUrlError("`sslcert` and `sslkey` go together".to_owned())),
    };
    Ok(())
}

/// Applies an option that only brokers have; whether it is one.
fn apply_broker_option(
    broker: Option<&mut BrokerRef>,
    name: &str,
    value: &str,
) -> Result<bool, ServerUrlError> {
    let Some(broker) = broker else { return Ok(false) };
    let port = || {
        let port = value.parse::<u16>().ok().filter(|port| *port > 0);
        port.ok_or_else(|| ServerUrlError(format!("`{name}` is a number from 1 to 65535")))
    };
    match name {
        "management_port" => broker.management = port()?,
        "dist_port" => broker.distribution = Some(port()?),
        "node" => broker.node = Some(value.to_owned()),
        "cookie_env" => broker.cookie = PasswordRef::Environment(value.to_owned()),
        "cookie_file" => broker.cookie = PasswordRef::File(value.into()),
        _ => return Ok(false),
    }
    Ok(true)
}

fn set_password(server: &mut ServerRef, password: PasswordRef) -> Result<(), ServerUrlError> {
    if server.password != PasswordRef::None {
        return Err(ServerUrlError("the address says twice where the password is".to_owned()));
    }
    server.password = password;
    Ok(())
}

fn host_and_port(place: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or(rest)),
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let port = match port {
        "" => None,
        text => Some(port_of(text)?),
    };
    Ok((host, port))
}

fn port_of(text: &str) -> Result<u16, String> {
    let port = text.parse::<u16>().ok().filter(|port| *port > 0);
    port.ok_or_else(|| "the port of an address is a number from 1 to 65535".to_owned())
}

/// Takes percent signs away (RFC 3986, section 2.1).
fn decoded(text: &str) -> Result<String, String> {
    let wrong =
        || "a percent sign in an address stands before two hexadecimal digits (%25 for itself)".to_owned();
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or_else(wrong);
        bytes.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(bytes).map_err(|_| "an address is written in UTF-8".to_owned())
}

/// Puts percent signs in, where an address would be read otherwise without.
fn encoded(text: &str) -> String {
    let is_plain =
        |letter: char| !letter.is_control() && !letter.is_whitespace() && !"%:/@?#[]".contains(letter);
    let mut encoded = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_plain(letter) {
            encoded.push(letter);
        } else {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                // Writing to a text cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// What is said to a server: one text of its language, or a command in words, as Redis takes them. `{before}` stands for
/// a value that is read first, and is put in as the server's language wants it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Statement(pub Vec<String>);

impl Statement {
    /// Where the value before goes.
    pub const BEFORE: &'static str = "{before}";

    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

    /// A command in words.
    pub fn words<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }

    /// The statement with a value in its place.
    #[must_use]
    pub fn with(&self, kind: ServerKind, before: &str) -> Self {
        let literal = kind.literal(before);
        Self(self.0.iter().map(|word| word.replace(Self::BEFORE, &literal)).collect())
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(" "))
    }
}

/// What every mark on a server begins with: the name that a session of Squall's goes by there.
pub const MARK_PREFIX: &str = "squall-";

/// The mark of an injection on a server.
pub fn mark_of(injection: &str) -> String {
    format!("{MARK_PREFIX}{injection}")
}

/// The injection that a mark belongs to; none for a session of somebody else's.
pub fn injection_of(mark: &str) -> Option<&str> {
    mark.strip_prefix(MARK_PREFIX).filter(|injection| !injection.is_empty())
}

/// What each of the sessions says again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// What.
    pub statement: Statement,
    /// How long after the answer before; 0 for at once.
    pub every: Duration,
}

/// How the effect of sessions is looked for, and what is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Asked on a connection of its own: one row of named numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<Statement>,
    /// One line for people, with measures by name: `{held} sessions held, {waiting} wait`. Beside those that are asked for
    /// there are `held` (sessions that live), `said` (statements that were answered) and `struck` (the sum of the first
    /// numbers of their answers).
    pub words: String,
    /// The measure that is more than 0 where there is an effect.
    pub effect: String,
    /// Whether the server counts from its own beginning: then what it counted before the change is none of ours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grows: bool,
}

impl Look {
    /// Asks, tells the numbers that are answered, and takes the one called `effect` for the effect.
    pub fn asking(ask: Statement, words: &str, effect: &str) -> Self {
        Self { ask: Some(ask), ..Self::telling(words, effect) }
    }

    /// Asks nothing: tells what the sessions did.
    pub fn telling(words: &str, effect: &str) -> Self {
        Self { ask: None, words: words.to_owned(), effect: effect.to_owned(), grows: false }
    }
}

/// Sessions on a server that are held while the fault is active. Each goes by the mark, and the server itself ends them
/// where nothing is heard for a lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionsStep {
    /// Where.
    pub server: ServerRef,
    /// The name that they go by.
    pub mark: String,
    /// How many.
    pub count: u32,
    /// Whether fewer will do, where the server lets no more in.
    pub or_fewer: bool,
    /// Asks how many more may be opened, where others need room too: as many are opened, and more when others leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<Statement>,
    /// Asked when planning: each answers nothing where all is well, or else what is wrong and what to do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub check: Vec<Statement>,
    /// What each says first, in order, once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begin: Vec<Statement>,
    /// Asked on the connection that looks, where they take long to begin: who holds what they need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blame: Option<Statement>,
    /// What each says from then on; without it they only stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Again>,
    /// What is said on a connection of its own when they are gone, to end what outlives them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finally: Vec<Statement>,
    /// How long the server keeps a session of which nothing is heard.
    pub lease: Duration,
    /// How the effect is looked for.
    pub look: Look,
}

/// A value of a server's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingStep {
    /// Where.
    pub server: ServerRef,
    /// The name that our sessions go by.
    pub mark: String,
    /// What it is, for people: `default_transaction_read_only of database shop`.
    pub name: String,
    /// Asked when planning: each answers nothing where all is well, or else what is wrong and what to do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub check: Vec<Statement>,
    /// Asks for the value: one row with one value, or none where it is not set.
    pub read: Statement,
    /// Sets it.
    pub write: Statement,
    /// What `read` answers then.
    pub ours: String,
    /// What is said after it was set, such as an end to sessions that would not notice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Statement>,
    /// Sets it to what it was before (`{before}`).
    pub restore: Statement,
    /// Makes it one that is not set, where there is such a state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unset: Option<Statement>,
    /// What is said after it was put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finally: Vec<Statement>,
    /// Has the server itself put it back should nothing more be heard of us, where the server can do such a thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// How long the server waits to hear of us.
    pub lease: Duration,
    /// How its effect is looked for, where the value alone has none. There are no other measures than those asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
}

/// What ends a setting with its owner, on the server, where no lost network and no dead host can keep it from that: a
/// session waits there, until another one that is held is seen to be gone, or for a time after which it should have been
/// replaced; then what was there is put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// What the one says that is held, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Statement>,
    /// What the other one says. Where `{restore}` stands in it, the value is put back by the time of the answer. Elsewhere
    /// what puts back is said behind it in the same breath, so that it lies at the server and follows whoever is gone by then.
    /// Afterwards the session ends.
    pub wait: Statement,
    /// How often the one that waits is replaced by another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew: Option<Duration>,
}

impl Watch {
    /// Where the statement goes that puts back, if not behind it.
    pub const RESTORE: &'static str = "{restore}";
}

/// The command that ends the sessions of a mark by hand.
pub fn removal(server: &ServerRef, mark: &str) -> String {
    format!("squall recover --database '{server}' # ends the sessions named {mark}")
}

impl fmt::Display for SessionsStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, count, or_fewer, begin, again, .. } = self;
        let sessions = match (count, or_fewer) {
            (1, _) => "a session".to_owned(),
            (count, false) => format!("{count} sessions"),
            (count, true) => format!("up to {count} sessions"),
        };
        write!(formatter, "on {server}: hold {sessions}")?;
        if let Some(words) = Some(begin).filter(|begin| !begin.is_empty()) {
            let words: Vec<String> = words.iter().map(Statement::to_string).collect();
            write!(formatter, ", begun with {}", words.join("; "))?;
        }
        match again {
            None => Ok(()),
            Some(Again { statement, every }) if every.as_seconds() > 0.0 => {
                write!(formatter, ", each saying every {every}: {statement}")
            }
            Some(Again { statement, .. }) => write!(formatter, ", each saying again and again: {statement}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> ServerRef {
        text.parse::<ServerUrl>().unwrap().server
    }

    #[test]
    fn an_address_is_read_and_its_password_is_kept_apart() {
        let url: ServerUrl =
            "postgres://app:p%40ss@db.example:6432/shop?sslmode=verify-full".parse().unwrap();
        assert_eq!(url.password(), Some("p@ss"));
        assert_eq!(url.to_string(), "postgres://app@db.example:6432/shop");
        let written = serde_json::to_string(&url.server).unwrap();
        assert!(!written.contains("p@ss") && !format!("{url:?}").contains("p@ss"), "{written} {url:?}");
        assert_eq!((url.server.tls, url.server.password.clone()), (TlsMode::VerifyFull, PasswordRef::Told));
        let sent: ServerUrl = serde_json::from_str(&serde_json::to_string(&url).unwrap()).unwrap();
        assert_eq!(sent, url);
    }

    #[test]
    fn what_is_left_out_has_its_usual_value() {
        assert_eq!(server("redis://").to_string(), "redis://127.0.0.1:6379");
        assert_eq!(server("mysql://root@[::1]/x").to_string(), "mysql://root@[::1]:3306/x");
        assert_eq!(server("amqps://h").port, 5671);
        assert_eq!(server("rediss://h").tls, TlsMode::VerifyFull);
        assert_eq!(server("postgres://?host=/run/postgresql").host, "/run/postgresql");
        let socket = server("postgres://app@/shop?host=/run/postgresql&port=5433");
        assert_eq!((socket.host.as_str(), socket.port), ("/run/postgresql", 5433));
        let password = server("postgres://a@h/d?password_env=DB_PASSWORD").password;
        assert_eq!(password, PasswordRef::Environment("DB_PASSWORD".into()));
    }

    #[test]
    fn a_broker_is_named_by_either_of_its_doors() {
        let amqp = server("amqp://app:word@mq/shop?cookie_file=/c&dist_port=25672");
        let broker = amqp.broker.clone().unwrap();
        assert_eq!((amqp.to_string().as_str(), broker.management), ("amqp://app@mq:5672/shop", 15672));
        assert_eq!((broker.cookie, broker.distribution), (PasswordRef::File("/c".into()), Some(25672)));
        assert_eq!(server("amqps://mq").broker.unwrap().management, 15671);
        assert_eq!(server("amqp://mq?management_port=80").broker.unwrap().management, 80);
        let https = server("https://app@mq:443");
        assert_eq!((https.to_string().as_str(), https.tls), ("https://app@mq:443", TlsMode::VerifyFull));
        let http = server("http://mq");
        assert_eq!((http.to_string().as_str(), http.tls), ("http://mq:15672", TlsMode::Disable));
        assert_eq!(serde_json::from_str::<ServerRef>(&serde_json::to_string(&http).unwrap()).unwrap(), http);
    }

    #[test]
    fn a_wrong_address_is_told_without_its_words() {
        for (text, told) in [
            ("127.0.0.1:5432", "not the address of a server"),
            ("oracle://u:hunter2@h", "no servers of the kind `oracle`"),
            ("postgres://u:hunter2@h:port/d", "port of an address"),
            ("postgres://u:hunter2%4@h/d", "percent sign"),
            ("postgres://u:hunter2@h/d?sslmod=require", "no option `sslmod`"),
            ("postgres://u:hunter2@h/d?port=0", "port of an address"),
            ("postgres://u:hunter2@h/d?sslmode=yes", "`sslmode` is one of"),
            ("postgres://u:hunter2@h/d?password_file=/x", "twice"),
            ("postgres://u@h/d?sslcert=/x", "go together"),
            ("postgres://u@h/d?cookie_file=/x", "no option `cookie_file`"),
            ("amqp://h?dist_port=0", "`dist_port` is a number"),
        ] {
            let error = text.parse::<ServerUrl>().unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn passwords_are_found_wherever_they_stand() {
        assert_eq!(passwords_in("see postgres://a:hunter2@h/d and x"), ["hunter2"]);
        assert_eq!(passwords_in("http://u:p%40ss@h:80/?q='x'"), ["p%40ss", "p@ss"]);
        assert_eq!(passwords_in("redis://:secret@h"), ["secret"]);
        for text in
            ["postgres://postgres:postgres@h/postgres", "http://h:80/a@b:c", "http://u@h", "a://u:@h", "x"]
        {
            assert_eq!(passwords_in(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(ServerKind::Postgres.identifier("public.orders"), r#""public"."orders""#);
        assert_eq!(ServerKind::Postgres.identifier(r#""Weird.Name""#), r#""Weird.Name""#);
        assert_eq!(ServerKind::Mysql.identifier("shop.x; drop"), "`shop`.`x; drop`");
        assert_eq!(ServerKind::Postgres.literal("it's"), "'it''s'");
        assert_eq!(ServerKind::Postgres.literal(r"a\'"), r" E'a\\'''");
        let restore = Statement::text("set x = {before}").with(ServerKind::Mysql, "o'n");
        assert_eq!(restore, Statement::text("set x = 'o''n'"));
        let words = Statement::words(["CONFIG", "SET", "maxmemory", "{before}"]);
        assert_eq!(words.with(ServerKind::Redis, "10 mb").0[3], "10 mb");
    }
}
