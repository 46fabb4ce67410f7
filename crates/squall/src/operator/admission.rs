//! The webhook that records who wrote an object: the API server asks it before it keeps one of our kinds, and it answers with the
//! annotation of the author, so that nobody can name anybody else.
//!
//! HTTPS by an authority of its own ([`authority`]), which it tells the API server of in the `MutatingWebhookConfiguration`. It
//! answers `POST /admit` ([`review`]) and nothing else, keeps no state, and every replica of the operator has one: whoever leads.

mod authority;
mod review;

use super::manifests::OPERATOR;
use crate::agent_pod::{COMPONENT_LABEL, NAME_LABEL};
use authority::Authority;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};
use squall_kubernetes::{Cluster, Kind, Operation};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// What the API server asks under.
const PATH: &str = "/admit";
/// What its port is called in pods of the operator.
pub(crate) const PORT_NAME: &str = "webhook";
/// What the Secret, the Service and the roles of the webhook are called.
pub(super) const NAME: &str = authority::SECRET;
/// The configuration by which the API server asks, where another is not named.
pub(super) const CONFIGURATION: &str = "squall";
/// What our webhooks end with in the configuration.
const NAMES_END: &str = ".squall.dev";
/// So many connections there are at the same time; others wait.
const CONNECTIONS: usize = 32;
/// How long whoever connects may take to agree on TLS, to send a request, and then to be silent.
const WAITS_FOR: Duration = Duration::from_secs(10);
/// How long one connection is used.
const CONNECTION_LASTS: Duration = Duration::from_mins(1);
/// The longest request that is read. An object may take 1.5 MB, and there are two in it.
const LONGEST_REQUEST: usize = 4 << 20;
/// How often authority and configuration are looked at.
const LOOKS_EVERY: Duration = Duration::from_mins(10);
/// The pause after a look that failed, and after a connection that could not be taken.
const REST: Duration = Duration::from_secs(30);
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// Where a pod finds the token of its account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WebhookOptions {
    /// Records who wrote an object: listens here for the API server's questions
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) webhook: Option<SocketAddr>,
    /// What the API server calls the webhook, a name or an address; without it squall-webhook.NAMESPACE.svc
    #[arg(long, value_name = "NAME", requires = "webhook")]
    pub(crate) webhook_name: Option<String>,
    /// The configuration by which the API server asks the webhook
    #[arg(long, value_name = "NAME", default_value = CONFIGURATION, requires = "webhook")]
    pub(crate) webhook_configuration: String,
    /// The operator's own name to the API server; without it that of its service account
    #[arg(long, value_name = "USER", requires = "webhook")]
    pub(crate) webhook_operator: Option<String>,
}

/// A webhook that listens.
pub(crate) struct Webhook {
    listener: TcpListener,
    keeper: Keeper,
    operator: Arc<str>,
    tls: Mutex<TlsAcceptor>,
}

/// Keeps authority, certificate and configuration in order.
struct Keeper {
    cluster: Cluster,
    namespace: String,
    name: String,
    configuration: String,
}

impl Webhook {
    /// Listens, and tells the API server whom to believe; none where no webhook is wanted. Nobody is answered yet.
    ///
    /// # Errors
    /// Says what was tried, what came back and what to do.
    pub(crate) async fn open(
        cluster: &Cluster,
        namespace: &str,
        options: &WebhookOptions,
    ) -> Result<Option<Self>, String> {
        let Some(address) = options.webhook else { return Ok(None) };
        let operator = match &options.webhook_operator {
            Some(name) => name.clone(),
            None => own_account(Path::new(TOKEN))?,
        };
        let name = options.webhook_name.clone().unwrap_or_else(|| format!("{NAME}.{namespace}.svc"));
        let keeper = Keeper {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            name,
            configuration: options.webhook_configuration.clone(),
        };
        let listener = TcpListener::bind(address).await;
        let listener =
            listener.map_err(|error| format!("could not listen on {address} for the webhook: {error}"))?;
        let tls = Mutex::new(keeper.look(today()).await?);
        Ok(Some(Self { listener, keeper, operator: operator.into(), tls }))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The kernel does not say.
    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(self) {
        tokio::join!(self.keep(), self.accept());
    }

    async fn keep(&self) {
        let mut pause = LOOKS_EVERY;
        loop {
            sleep(pause).await;
            pause = match self.keeper.look(today()).await {
                Ok(tls) => {
                    *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = tls;
                    LOOKS_EVERY
                }
                Err(error) => {
                    tracing::warn!(%error, "the webhook's certificate could not be looked after");
                    REST
                }
            };
        }
    }

    async fn accept(&self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let operator = Arc::clone(&self.operator);
                    connections.spawn(async move {
                        converse(stream, tls, operator).await;
                        drop(place);
                    });
                }
                Err(_) => sleep(ACCEPT_REST).await,
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

/// Serves one connection to its end. How it ends is the client's own affair.
async fn converse(stream: TcpStream, tls: TlsAcceptor, operator: Arc<str>) {
    let Ok(Ok(stream)) = timeout(WAITS_FOR, tls.accept(stream)).await else { return };
    let service = service_fn(|request| {
        let operator = Arc::clone(&operator);
        async move { Ok::<_, Infallible>(answer(request, &operator).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(WAITS_FOR)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    if timeout(CONNECTION_LASTS, connection.as_mut()).await.is_err() {
        // What is asked now is still answered.
        connection.as_mut().graceful_shutdown();
        let _how_it_ended = timeout(WAITS_FOR, connection).await;
    }
}

async fn answer(request: Request<Incoming>, operator: &str) -> Response<Full<Bytes>> {
    if request.method() != Method::POST || request.uri().path() != PATH {
        return told(StatusCode::NOT_FOUND, "there is only POST /admit here\n");
    }
    let too_long = || told(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long, or was torn off\n");
    if request.body().size_hint().lower() > LONGEST_REQUEST as u64 {
        return too_long();
    }
    let body = Limited::new(request.into_body(), LONGEST_REQUEST).collect();
    match timeout(WAITS_FOR, body).await {
        Err(_) => told(StatusCode::REQUEST_TIMEOUT, "the request did not come in time\n"),
        Ok(Err(_)) => too_long(),
        Ok(Ok(body)) => match admitted(&body.to_bytes(), operator) {
            Some(answer) => {
                let mut response = Response::new(Full::from(answer.to_string()));
                let json = hyper::header::HeaderValue::from_static("application/json");
                response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
                response
            }
            None => told(StatusCode::BAD_REQUEST, "that is no AdmissionReview of admission.k8s.io/v1\n"),
        },
    }
}

fn told(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(words));
    *response.status_mut() = status;
    response
}

/// The review that comes back; none where none was asked for.
fn admitted(body: &[u8], operator: &str) -> Option<Json> {
    const VERSION: &str = "admission.k8s.io/v1";
    const KIND: &str = "AdmissionReview";
    let asked: Json = serde_json::from_slice(body).ok()?;
    let is_known = asked["apiVersion"] == VERSION && asked["kind"] == KIND && asked["request"].is_object();
    is_known.then(|| {
        json!({"apiVersion": VERSION, "kind": KIND, "response": review::review(&asked["request"], operator)})
    })
}

impl Keeper {
    /// Sees to it that there is an authority, that the API server believes it, and makes a certificate by it.
    async fn look(&self, today: Date) -> Result<TlsAcceptor, String> {
        let authority = authority::shared(&self.cluster, &self.namespace, today).await?;
        self.tell(&authority).await?;
        let config = authority.vouch_for(std::slice::from_ref(&self.name), today)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Puts the authority into our webhooks of the configuration, where it is not there yet.
    async fn tell(&self, authority: &Authority) -> Result<(), String> {
        let reference = Kind::MUTATING_WEBHOOK_CONFIGURATION.named(None, &self.configuration);
        let there = self.cluster.get(&reference).await.map_err(|error| error.to_string())?;
        let there = there.ok_or_else(|| {
            format!("{reference} is not there, so nobody asks the webhook; install it (see docs/operator.md)")
        })?;
        let operations = believing(&there, &STANDARD.encode(authority.bundle())).ok_or_else(|| {
            format!("{reference} names no webhook that ends with {NAMES_END}; install it again")
        })?;
        if operations.is_empty() {
            return Ok(());
        }
        self.cluster.patch(&reference, &operations).await.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// What makes all of our webhooks in a configuration believe an authority; none where there is none of ours.
fn believing(configuration: &Json, bundle: &str) -> Option<Vec<Operation>> {
    let webhooks = configuration["webhooks"].as_array()?.iter().enumerate();
    let is_ours = |webhook: &Json| webhook["name"].as_str().is_some_and(|name| name.ends_with(NAMES_END));
    let ours: Vec<_> = webhooks.filter(|(_, webhook)| is_ours(webhook)).collect();
    if ours.is_empty() {
        return None;
    }
    let outdated = ours.into_iter().filter(|(_, webhook)| webhook["clientConfig"]["caBundle"] != bundle);
    let operations = outdated.flat_map(|(number, webhook)| {
        let path = format!("/webhooks/{number}");
        [
            Operation::Test { path: format!("{path}/name"), value: webhook["name"].clone() },
            Operation::Add { path: format!("{path}/clientConfig/caBundle"), value: bundle.into() },
        ]
    });
    Some(operations.collect())
}

/// The name of the account of the pod that we run in, as the API server knows it.
fn own_account(token: &Path) -> Result<String, String> {
    let unknown = |why: &str| {
        format!(
            "could not learn the operator's own name from {}: {why}; say it: --webhook-operator \
             system:serviceaccount:NAMESPACE:NAME",
            token.display()
        )
    };
    let text = std::fs::read_to_string(token).map_err(|error| unknown(&error.to_string()))?;
    account_of(text.trim()).ok_or_else(|| unknown("it is no token of a service account"))
}

/// Whom a token is for. Nobody is let in by it: it is our own.
fn account_of(token: &str) -> Option<String> {
    let claims = token.split('.').nth(1)?;
    let claims: Json = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims["sub"].as_str().filter(|name| name.starts_with("system:serviceaccount:")).map(str::to_owned)
}

fn today() -> Date {
    Zoned::now().with_time_zone(TimeZone::UTC).date()
}

/// What an installation needs for a webhook of this operator, beside the operator itself: the Service that leads to it, and the
/// configuration by which the API server asks it. Roles: `get`, `create`, `patch` of Secrets in its namespace, `get` and `patch`
/// of the configuration.
pub(crate) fn manifests(namespace: &Json, chaos_mesh: bool) -> [Json; 2] {
    let labels = json!({NAME_LABEL.0: NAME_LABEL.1, COMPONENT_LABEL: OPERATOR});
    let name = NAME;
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "selector": labels,
            "ports": [{"name": PORT_NAME, "port": 443, "protocol": "TCP", "targetPort": PORT_NAME}],
        },
    });
    let groups = [super::resources::GROUP].into_iter().chain(chaos_mesh.then_some(super::kinds::MESH_GROUP));
    let client = json!({"service": {"namespace": namespace, "name": name, "path": PATH, "port": 443}});
    [service, configuration(CONFIGURATION, &client, &groups.collect::<Vec<&str>>())]
}

/// The configuration by which the API server asks about objects of these groups.
fn configuration(name: &str, client: &Json, groups: &[&str]) -> Json {
    json!({
        "apiVersion": Kind::MUTATING_WEBHOOK_CONFIGURATION.api_version(),
        "kind": Kind::MUTATING_WEBHOOK_CONFIGURATION.kind,
        "metadata": {"name": name, "labels": {NAME_LABEL.0: NAME_LABEL.1}},
        "webhooks": [{
            "name": format!("author{NAMES_END}"),
            "clientConfig": client,
            "rules": [{
                "apiGroups": groups, "apiVersions": ["*"], "resources": ["*"], "scope": "*",
                "operations": ["CREATE", "UPDATE"],
            }],
            // An object that was let pass could name anybody.
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 5,
        }],
    })
}

#[cfg(test)]
mod tests;
