//! E-mail by SMTP, through the mail server of whoever runs Squall: with STARTTLS (RFC 3207), with TLS from the first byte
//! (RFC 8314), or, to a server on this machine, without.

use crate::courier::Refusal;
use crate::letter::Letter;
use crate::message::Message;
use crate::outlet::{Notifier, Outlet};
use crate::surroundings::Surroundings;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, MIME_VERSION_1_0};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::settings::Secret;
use std::sync::Arc;
use std::time::Duration;

/// How mail is sent, and to whom.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The mail server's host.
    server: String,
    /// Its port; by default 587 with `starttls`, 465 with `tls`, 25 with `none`.
    port: Option<u16>,
    /// How the connection is encrypted.
    #[serde(default)]
    security: Security,
    /// Who sends, such as `Squall <squall@example.org>`.
    from: String,
    /// Who is told. News of a monkey go to their owner where that is an address.
    to: Vec<String>,
    /// The name that is logged in with.
    user: Option<Secret>,
    /// Its password.
    password: Option<Secret>,
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Security {
    /// Encrypted before anything is said; a server that cannot is told nothing.
    #[default]
    Starttls,
    /// From the first byte.
    Tls,
    /// Not at all; only to this machine, or without a password.
    None,
}

pub(crate) struct Email {
    post: Arc<Post>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

/// The way to a mail server.
pub(crate) struct Post {
    server: String,
    port: u16,
    security: Security,
    credentials: Option<Credentials>,
}

impl Outlet for Email {
    const NAME: &'static str = "email";
    const SUMMARY: &'static str = "An e-mail by SMTP";
    const EXAMPLE: &'static str = "email: {server: mail.example.org, from: squall@example.org, to: [oncall@example.org], \
                                   user: squall, password: {env: MAIL_PASSWORD}}";
    type Parameters = Parameters;

    fn new(parameters: Parameters, surroundings: &Surroundings) -> Result<Self, String> {
        let Parameters { server, port, security, from, to, user, password } = parameters;
        let credentials = match (user, password) {
            (Some(user), Some(password)) => {
                Some(Credentials::new(surroundings.name(&user)?, surroundings.text(&password)?))
            }
            (None, None) => None,
            _ => return Err("`user` and `password` belong together".to_owned()),
        };
        let is_here = ["localhost", "127.0.0.1", "::1"].contains(&server.as_str());
        if security == Security::None && credentials.is_some() && !is_here {
            return Err("a password is not sent without encryption; leave `security: none` away".to_owned());
        }
        if to.is_empty() {
            return Err("`to` names nobody".to_owned());
        }
        let port = port.unwrap_or(match security {
            Security::Starttls => 587,
            Security::Tls => 465,
            Security::None => 25,
        });
        let to = to.iter().map(|address| self::address(address)).collect::<Result<_, _>>()?;
        Ok(Self { from: address(&from)?, to, post: Arc::new(Post { server, port, security, credentials }) })
    }
}

fn address(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|error| format!("`{text}` is no address of e-mail: {error}"))
}

/// A name of the message in all the world (RFC 5322, section 3.6.4). What is told a second time keeps it.
fn message_id(message: &Message) -> String {
    let atom = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
    };
    let host = if message.host.is_empty() { "localhost".to_owned() } else { atom(&message.host) };
    let at = message.at.as_nanosecond();
    format!("<squall-{}-{}-{at}@{host}>", message.kind, atom(&message.run))
}

impl Notifier for Email {
    fn destination(&self) -> String {
        format!("email ({}:{})", self.post.server, self.post.port)
    }

    fn letters(&self, message: &Message) -> Vec<Letter> {
        let owner = message.owner.as_deref().and_then(|owner| address(owner).ok());
        let to = owner.map_or_else(|| self.to.clone(), |owner| vec![owner]);
        // One line: a line break would end the header.
        let subject: String = message.title.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut mail = lettre::Message::builder()
            .from(self.from.clone())
            .subject(subject)
            .message_id(Some(message_id(message)))
            .header(MIME_VERSION_1_0);
        for one in to {
            mail = mail.to(one);
        }
        let text = format!("{}\n\n{}\n{}\n", message.title, message.body(), message.at);
        // With a sender and a receiver, nothing is missing from it.
        let mail = mail.header(ContentType::TEXT_PLAIN).body(text);
        mail.map(|mail| Letter::mail(self.post.clone(), mail)).into_iter().collect()
    }
}

impl Post {
    /// Sends a mail on a connection of its own.
    pub(crate) async fn send(&self, mail: lettre::Message, patience: Duration) -> Result<String, Refusal> {
        let transport = self.transport(patience).map_err(Refusal::Never)?;
        let sent = tokio::time::timeout(patience, transport.send(mail)).await;
        match sent {
            Err(_) => Err(Refusal::Later(format!("not done within {patience:?}"), None)),
            Ok(Ok(answer)) => Ok(format!("SMTP {}", answer.code())),
            // What cannot be agreed on now cannot be later: a wrong password, an address that is not known, no TLS.
            Ok(Err(error)) if error.is_permanent() || error.is_tls() || error.is_client() => {
                Err(Refusal::Never(words(&error)))
            }
            Ok(Err(error)) => Err(Refusal::Later(words(&error), None)),
        }
    }

    fn transport(&self, patience: Duration) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let tls = match self.security {
            Security::None => Tls::None,
            Security::Starttls => Tls::Required(self.parameters()?),
            Security::Tls => Tls::Wrapper(self.parameters()?),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.server.clone())
            .port(self.port)
            .tls(tls)
            .hello_name(ClientId::default())
            .timeout(Some(patience));
        if let Some(credentials) = &self.credentials {
            transport = transport.credentials(credentials.clone());
        }
        Ok(transport.build())
    }

    /// Authorities as everywhere in Squall: those of the web, and those in the file that `SSL_CERT_FILE` names.
    fn parameters(&self) -> Result<TlsParameters, String> {
        let mut parameters = TlsParameters::builder(self.server.clone());
        if let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
            let wrong = |why: String| format!("could not read the authorities of SSL_CERT_FILE: {why}");
            let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            let certificates = Certificate::from_pem(&pem).map_err(|error| wrong(error.to_string()))?;
            parameters = parameters.add_root_certificate(certificates);
        }
        parameters.build().map_err(|error| error.to_string())
    }
}

/// An error and its causes in a line, each once.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letter::Content;

    #[test]
    fn a_mail_has_a_name_of_its_own_and_says_what_it_is_made_of() {
        let parameters =
            r#"{"server": "localhost", "from": "squall@example.org", "to": ["ann@example.org"]}"#;
        let email = Email::new(serde_json::from_str(parameters).unwrap(), &Surroundings::default()).unwrap();
        let head = |second: i64| {
            let message = Message::test("büro 7", jiff::Timestamp::from_second(second).unwrap());
            let mut letters = email.letters(&message);
            let Content::Mail(_, mail) = letters.remove(0).content else { panic!("this is no mail") };
            String::from_utf8(mail.formatted()).unwrap()
        };
        let first = head(1);
        assert!(first.contains("\r\nMIME-Version: 1.0\r\n"), "{first}");
        assert!(first.contains("Message-ID: <squall-test--1000000000@b-ro-7>\r\n"), "{first}");
        assert!(!head(2).contains("1000000000@"));
    }
}
