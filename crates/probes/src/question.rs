//! A question over HTTP, as several probes and metric sources ask it: who asks, whom they believe, how long they wait.

use crate::timeout::Timeout;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_http::{Headers, HttpClient, HttpError, Identity, KeptClient, Request, Response, Trust};
use squall_model::probe::ProbeError;
use squall_model::redaction::Redactor;
use squall_model::settings::Secret;
use squall_model::value::Reading;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A secret's file is read no further than this many bytes.
const LONGEST_SECRET: u64 = 64 << 10;

/// By what who asks shows that they may. Secrets are texts, `{env: NAME}` or `{file: PATH}`, read anew for each question
/// and never shown.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Auth {
    /// A token: `Authorization: Bearer …`.
    #[serde(default)]
    bearer: Option<Secret>,
    /// A name and a password: `Authorization: Basic …`.
    #[serde(default)]
    basic: Option<Basic>,
    /// A PEM file with the client's own certificate, for servers with TLS that ask for one.
    #[serde(default)]
    certificate: Option<PathBuf>,
    /// A PEM file with the key of `certificate`; where not given, it is in the same file.
    #[serde(default)]
    key: Option<PathBuf>,
}

/// A name and a password.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Basic {
    /// The name.
    user: Secret,
    /// The password.
    password: Secret,
}

impl Auth {
    fn identity(&self) -> Result<Option<Identity>, ProbeError> {
        match (&self.certificate, &self.key) {
            (None, Some(_)) => Err(ProbeError("`key` is given without its `certificate`".to_owned())),
            (None, None) => Ok(None),
            (Some(certificate), key) => {
                let key = key.as_ref().unwrap_or(certificate).clone();
                Ok(Some(Identity { certificate: certificate.clone(), key }))
            }
        }
    }

    /// The request with what shows that it may be asked, and what of it must not be told.
    fn authorized(&self, request: &Request) -> Result<(Request, Redactor), String> {
        let (header, secrets) = match (&self.bearer, &self.basic) {
            (None, None) => return Ok((request.clone(), Redactor::default())),
            (Some(token), _) => {
                let token = text(token)?;
                (format!("Bearer {token}"), vec![token])
            }
            (None, Some(Basic { user, password })) => {
                let (user, password) = (text(user)?, text(password)?);
                let encoded = BASE64.encode(format!("{user}:{password}"));
                (format!("Basic {encoded}"), vec![password, encoded])
            }
        };
        let mut headers = Headers::default();
        headers.set("Authorization", &header).map_err(|error| error.to_string())?;
        Ok((request.clone().headers(headers), Redactor::new(&secrets)))
    }
}

/// What a secret is at this moment.
fn text(secret: &Secret) -> Result<String, String> {
    secret.text(|name| std::env::var(name).ok(), secret_file)
}

fn secret_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST_SECRET).read_to_string(&mut text))
        .map_err(|error| format!("could not read the secret in {}: {error}", path.display()))?;
    Ok(text)
}

/// A request, ready to be sent as often as wanted.
pub(crate) struct Question {
    request: Request,
    auth: Auth,
    timeout: Timeout,
    client: Client,
}

enum Client {
    /// Each question on a connection of its own: what is measured includes it.
    New(HttpClient),
    Kept(KeptClient),
}

impl Question {
    /// Asked on a new connection each time.
    pub(crate) fn new(
        request: Request,
        auth: Option<Auth>,
        authorities: Option<PathBuf>,
        timeout: Timeout,
    ) -> Result<Self, ProbeError> {
        let auth = auth.unwrap_or_default();
        if auth.bearer.is_some() && auth.basic.is_some() {
            return Err(ProbeError("only one of `bearer` and `basic` can be given".to_owned()));
        }
        let trust = Trust { authorities: authorities.into(), identity: auth.identity()? };
        Ok(Self { request, auth, timeout, client: Client::New(HttpClient::new(trust)) })
    }

    /// Asked on one connection, as long as the server keeps it.
    #[must_use]
    pub(crate) fn kept(self) -> Self {
        match self.client {
            Client::Kept(_) => self,
            Client::New(client) => {
                Self { client: Client::Kept(KeptClient::new(client.trust().clone())), ..self }
            }
        }
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) fn timeout(&self) -> Timeout {
        self.timeout
    }

    /// Asks, and makes of the answer what `read` makes of it; any status is an answer. No secret is left in what comes
    /// back, even where the server says it.
    pub(crate) async fn ask(
        &self,
        read: impl FnOnce(&Response) -> Result<Reading, String>,
    ) -> Result<Reading, ProbeError> {
        self.ask_as(&self.request, read).await
    }

    /// The same with another request to the same server.
    pub(crate) async fn ask_as(
        &self,
        request: &Request,
        read: impl FnOnce(&Response) -> Result<Reading, String>,
    ) -> Result<Reading, ProbeError> {
        let (request, redactor) = self
            .auth
            .authorized(request)
            .map_err(|why| ProbeError(format!("{}: show that it may be asked: {why}", self.request)))?;
        let read = self.send(&request).await.map_err(|error| error.to_string()).and_then(|it| read(&it));
        match read {
            Ok(reading) => Ok(redactor.values(&reading)),
            Err(why) => Err(ProbeError(redactor.text(&why))),
        }
    }

    async fn send(&self, request: &Request) -> Result<Response, HttpError> {
        match &self.client {
            Client::New(client) => client.request(request, self.timeout.get()).await,
            Client::Kept(client) => client.request(request, self.timeout.get()).await,
        }
    }
}
