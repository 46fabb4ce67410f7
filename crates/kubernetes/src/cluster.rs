//! The client: one way from a request to an answer.

use crate::error::{ClusterError, Complaint, Problem, causes, shortened};
use crate::place::{Place, Settings};
use crate::{runtime, transport};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Limited};
use kube::client::{AuthError, Body, Client};
use kube::{Config, Error};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How often a question is asked where no answer comes, or one that passes.
const TRIES: u32 = 3;
/// The pause before the second try; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// So much of the patience one try of a question may take.
const SHARE: f64 = 0.6;
/// What we call ourselves.
pub(crate) const USER_AGENT: &str = concat!("squall/", env!("CARGO_PKG_VERSION"));
/// The longest answer that is read.
const LONGEST_ANSWER: usize = 256 << 20;

/// A client of one cluster, as one user of it. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) inner: Arc<Inner>,
    patience: Duration,
}

pub(crate) struct Inner {
    config: Config,
    client: Mutex<Client>,
    server: String,
    context: Option<String>,
    files: Vec<PathBuf>,
    /// Whether it has had an answer.
    has_asked: AtomicBool,
    uid: OnceCell<String>,
    version: OnceCell<Version>,
    /// The version of the API of budgets.
    pub(crate) budgets: OnceCell<String>,
    /// The version of the API of evictions, as objects call it.
    pub(crate) evictions: OnceCell<String>,
}

/// The version of a cluster's API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// `1`
    pub major: u32,
    /// `33`
    pub minor: u32,
    /// As it calls itself: `v1.33.1-eks-1234567`.
    pub text: String,
}

impl Version {
    /// Reads what a server calls itself: its two numbers may be missing elsewhere, and differ in form.
    fn read(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix('v')?.split(|letter: char| !letter.is_ascii_digit());
        let mut number = || numbers.next()?.parse().ok();
        Some(Self { major: number()?, minor: number()?, text: text.to_owned() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// What it is to do, for errors: `list pods in shop`.
    pub(crate) tried: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) accept: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    pub(crate) const JSON: &'static str = "application/json";

    /// A question, which may be asked again.
    pub(crate) fn get(tried: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            tried: tried.into(),
            method: Method::GET,
            path: path.into(),
            accept: Self::JSON,
            content_type: Self::JSON,
            body: Vec::new(),
        }
    }

    /// An order, which is given once.
    pub(crate) fn send(
        method: Method,
        tried: impl Into<String>,
        path: impl Into<String>,
        body: &serde_json::Value,
    ) -> Self {
        Self { method, body: body.to_string().into_bytes(), ..Self::get(tried, path) }
    }

    pub(crate) fn request(&self) -> Result<Request<Body>, http::Error> {
        let mut builder = Request::builder()
            .method(&self.method)
            .uri(&self.path)
            .header(header::ACCEPT, self.accept)
            .header(header::USER_AGENT, USER_AGENT);
        if !self.body.is_empty() {
            builder = builder.header(header::CONTENT_TYPE, self.content_type);
        }
        builder.body(Body::from(self.body.clone()))
    }
}

/// Why a request has no answer that helps.
pub(crate) enum Failure {
    /// The cluster, or what stands in front of it, says no.
    Complaint(Complaint),
    /// There are no credentials, in these words.
    Credentials(String),
    /// Nothing came back, for this reason.
    Nothing(String),
    /// Nothing came back in time.
    Late,
}

impl Cluster {
    /// Reads settings and gets credentials; asks the cluster nothing yet. `patience` is how long this may take, and then how
    /// long each call may take with all its tries.
    ///
    /// # Errors
    /// `Invalid` where no cluster is named, or one that cannot be; `Forbidden` where no credentials are to be had.
    pub async fn open(place: &Place, patience: Duration) -> Result<Self, ClusterError> {
        let Settings { config, files, context } = Settings::read(place).await?;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let tried = format!("get credentials for {}", name(context.as_deref(), &server));
        let settings = config.clone();
        // Plugins for credentials are waited for, and not in the way of others.
        let making = async move {
            let made = tokio::task::spawn_blocking(move || transport::client(&settings));
            timeout(patience, made).await
        };
        let unknown = |why: &str| ClusterError::new(Problem::Unknown, format!("{tried}: {why}"));
        let made = runtime::begin(making)?.end().await?;
        let made = made.map_err(|_| unknown(&format!("they did not come within {patience:?}")))?;
        let client = made.map_err(|_| unknown("whoever gets them is gone"))?.map_err(|error| {
            let (problem, words) = match failure(&error, &config) {
                Failure::Credentials(words) => (Problem::Forbidden, words),
                _ => (Problem::Invalid, causes(&error)),
            };
            ClusterError::new(problem, format!("{tried}: {words}"))
        })?;
        let inner = Inner {
            config,
            client: Mutex::new(client),
            server,
            context,
            files,
            has_asked: AtomicBool::new(false),
            uid: OnceCell::new(),
            version: OnceCell::new(),
            budgets: OnceCell::new(),
            evictions: OnceCell::new(),
        };
        Ok(Self { inner: Arc::new(inner), patience })
    }

    /// The same client with another patience.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// The same client with less patience, but for one that has not asked anything yet.
    #[must_use]
    pub fn hurried(&self, patience: Duration) -> Self {
        let is_used = self.inner.has_asked.load(Ordering::Relaxed);
        if is_used { self.within(patience) } else { self.clone() }
    }

    /// How long one call may take.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// The address of its API server.
    pub fn server(&self) -> &str {
        &self.inner.server
    }

    /// The context of the settings that it comes from; none within a pod.
    pub fn context(&self) -> Option<&str> {
        self.inner.context.as_deref()
    }

    /// The namespace that counts where none is said.
    pub fn namespace(&self) -> &str {
        &self.inner.config.default_namespace
    }

    /// The files that its settings come from; none within a pod.
    pub fn kubeconfig(&self) -> &[PathBuf] {
        &self.inner.files
    }

    /// What no two clusters share: the uid of the namespace `kube-system`.
    ///
    /// # Errors
    /// `Forbidden` where that namespace may not be read.
    pub async fn uid(&self) -> Result<&str, ClusterError> {
        #[derive(Deserialize)]
        struct Namespace {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            uid: String,
        }
        let ask = || async {
            let tried = "tell clusters apart by the namespace kube-system";
            let namespace: Namespace = self.read(Ask::get(tried, "/api/v1/namespaces/kube-system")).await?;
            Ok(namespace.metadata.uid)
        };
        self.inner.uid.get_or_try_init(ask).await.map(String::as_str)
    }

    /// The version of its API server.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn version(&self) -> Result<&Version, ClusterError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            git_version: String,
        }
        let ask = || async {
            let tried = "ask for the version";
            let answer: Answer = self.read(Ask::get(tried, "/version")).await?;
            Version::read(&answer.git_version).ok_or_else(|| {
                self.error(Problem::Unknown, tried, &format!("{:?} is none", shortened(&answer.git_version)))
            })
        };
        self.inner.version.get_or_try_init(ask).await
    }

    /// Asks, and reads the answer.
    pub(crate) async fn read<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, ClusterError> {
        let tried = ask.tried.clone();
        let answer = self.ask(ask).await?;
        serde_json::from_slice(&answer).map_err(|error| self.unreadable(&tried, &error))
    }

    pub(crate) fn unreadable(&self, tried: &str, error: &serde_json::Error) -> ClusterError {
        // Its own words may hold what stands in the answer.
        let kind = error.classify();
        let (line, column) = (error.line(), error.column());
        let why = format!("the answer is none that is known ({kind:?} at line {line}, column {column})");
        self.error(Problem::Unknown, tried, &why)
    }

    /// Asks, and hands on what was answered.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Bytes, ClusterError> {
        let tried = ask.tried.clone();
        let (inner, patience) = (Arc::clone(&self.inner), self.patience);
        let answer = runtime::begin(async move { inner.answer(&ask, patience).await })?.end().await?;
        answer.map_err(|failure| self.told(&tried, failure))
    }

    /// An error of ours, in the words of all of them.
    pub(crate) fn error(&self, problem: Problem, tried: &str, why: &str) -> ClusterError {
        ClusterError::new(problem, format!("{tried}, {self}: {why}"))
    }

    pub(crate) fn told(&self, tried: &str, failure: Failure) -> ClusterError {
        match failure {
            Failure::Complaint(complaint) => {
                let remedy = complaint.remedy().map(|remedy| format!("; {remedy}")).unwrap_or_default();
                self.error(complaint.problem(), tried, &format!("{complaint}{remedy}"))
            }
            Failure::Credentials(words) => self.error(Problem::Forbidden, tried, &words),
            Failure::Nothing(words) => self.error(Problem::Unknown, tried, &words),
            Failure::Late => {
                let words = format!(
                    "no answer within {:?}; is the cluster up, and reached from here?",
                    self.patience
                );
                self.error(Problem::Unknown, tried, &words)
            }
        }
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&name(self.context(), self.server()))
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cluster({self})")
    }
}

fn name(context: Option<&str>, server: &str) -> String {
    match context {
        Some(context) => format!("cluster {context} at {server}"),
        None => format!("this pod's cluster at {server}"),
    }
}

impl Inner {
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All tries within the patience.
    async fn answer(&self, ask: &Ask, patience: Duration) -> Result<Bytes, Failure> {
        let end = Instant::now() + patience;
        let is_question = ask.method == Method::GET;
        let mut pause = PAUSE;
        let mut has_new_credentials = false;
        for number in 1.. {
            let within = if is_question && number < TRIES { patience.mul_f64(SHARE) } else { patience };
            let until = end.min(Instant::now() + within);
            let failure = match timeout_at(until, self.attempt(ask)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::Late,
            };
            let expired = matches!(&failure, Failure::Complaint(complaint) if complaint.code == 401);
            if expired && !has_new_credentials && self.config.auth_info.exec.is_some() {
                has_new_credentials = true;
                timeout_at(end, self.renew()).await.map_err(|_| Failure::Late)??;
                continue;
            }
            // An order that had no answer may have been carried out.
            let may_help = match &failure {
                Failure::Complaint(complaint) => {
                    complaint.was_not_tried() || (is_question && complaint.passes())
                }
                Failure::Nothing(_) | Failure::Late => is_question,
                Failure::Credentials(_) => false,
            };
            if !may_help || number >= TRIES || Instant::now() + pause >= end {
                return Err(failure);
            }
            sleep(pause).await;
            pause *= 2;
        }
        Err(Failure::Late)
    }

    async fn attempt(&self, ask: &Ask) -> Result<Bytes, Failure> {
        let request = ask.request().map_err(|error| Failure::Nothing(error.to_string()))?;
        let response = self.client().send(request).await;
        let response = response.map_err(|error| failure(&error, &self.config))?;
        let status = response.status();
        let body = body(response).await?;
        self.has_asked.store(true, Ordering::Relaxed);
        if status.is_success() {
            Ok(body)
        } else {
            Err(Failure::Complaint(Complaint::read(status.as_u16(), &body)))
        }
    }

    /// Gets new credentials from the plugin that got the old ones.
    async fn renew(&self) -> Result<(), Failure> {
        let config = self.config.clone();
        let made = tokio::task::spawn_blocking(move || transport::client(&config)).await;
        let made = made.map_err(|error| Failure::Credentials(error.to_string()))?;
        let client = made.map_err(|error| failure(&error, &self.config))?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }
}

async fn body(response: Response<Body>) -> Result<Bytes, Failure> {
    let collected = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
    let body =
        collected.map_err(|error| Failure::Nothing(format!("reading the answer: {}", causes(&*error))))?;
    Ok(body.to_bytes())
}

/// What an error of `kube` means, without secrets.
pub(crate) fn failure(error: &Error, config: &Config) -> Failure {
    if let Error::Api(status) = error {
        let code = status.code;
        let body = serde_json::to_vec(status).unwrap_or_default();
        return Failure::Complaint(Complaint::read(code, &body));
    }
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<AuthError>() {
            return Failure::Credentials(credentials(error, config));
        }
        next = cause.source();
    }
    match error {
        Error::Service(cause) => Failure::Nothing(causes(&**cause)),
        other => Failure::Nothing(causes(other)),
    }
}

/// Why there are no credentials. What a plugin prints for us holds them, and is never shown.
fn credentials(error: &AuthError, config: &Config) -> String {
    let plugin = config.auth_info.exec.as_ref().and_then(|plugin| plugin.command.as_deref());
    let plugin =
        plugin.map_or_else(|| "the plugin for credentials".to_owned(), |name| format!("the plugin {name}"));
    match error {
        AuthError::AuthExecStart(error) => {
            format!("{plugin} for credentials cannot be started: {error}; is it installed?")
        }
        AuthError::AuthExecRun { out, .. } => {
            let told = shortened(&String::from_utf8_lossy(&out.stderr));
            let told = if told.is_empty() { told } else { format!(": {told}") };
            format!("{plugin} gave no credentials, {}{told}; log in again", out.status)
        }
        AuthError::AuthExecParse(_) => format!("{plugin} printed no credentials that can be read"),
        other => format!("no credentials: {}", causes(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_write_them() {
        for (text, numbers) in
            [("v1.20.2", (1, 20)), ("v1.33.1-eks-5b31b0", (1, 33)), ("v1.31.4+k3s1", (1, 31))]
        {
            let version = Version::read(text).unwrap();
            assert_eq!(
                (version.major, version.minor, version.to_string()),
                (numbers.0, numbers.1, text.to_owned())
            );
        }
        assert_eq!(Version::read("1.20"), None);
        assert_eq!(Version::read("v1"), None);
    }
}
