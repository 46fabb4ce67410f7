//! A small HTTP client: one request, one answer, and in case of failure which stage failed and why.
//!
//! It speaks HTTP/1.1 and HTTP/2 (hyper) with or without TLS (rustls on ring). It follows no redirect, keeps no
//! cookie and uses no proxy: a probe asks exactly what it was told to ask. The load generator opens its
//! connections through the same `Endpoint`.

mod endpoint;
mod error;
mod kept;
mod parts;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod trust;
mod url;

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Uri, http};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

pub use endpoint::{Endpoint, OpenTimings, Stream, Version};
pub use error::{ErrorKind, HttpError};
pub use kept::KeptClient;
pub use parts::{Headers, Verb};
pub use trust::{Authorities, Identity, Trust};
pub use url::{Url, encoded};

/// How much of an answer's body is kept; the rest is read and dropped.
pub const BODY_KEPT: usize = 1 << 20;

const USER_AGENT: &str = concat!("squall/", env!("CARGO_PKG_VERSION"));

/// One HTTP request, checked.
#[derive(Debug, Clone)]
pub struct Request {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    version: Version,
}

impl Request {
    /// A `GET` of `url`.
    ///
    /// # Errors
    /// [`ErrorKind::Request`] if the URL is wrong.
    pub fn get(url: &str) -> Result<Self, HttpError> {
        Self::new("GET", url)
    }

    /// A request with any method.
    ///
    /// # Errors
    /// [`ErrorKind::Request`] if method or URL is wrong.
    pub fn new(method: &str, url: &str) -> Result<Self, HttpError> {
        Ok(Self::of(Url::parse(url)?, Verb::parse(method)?))
    }

    /// A request of parts that were checked before.
    pub fn of(url: Url, method: Verb) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        Self { url, method: method.0, headers, body: Bytes::new(), version: Version::Auto }
    }

    /// Sets headers, in place of those that are there by default (`User-Agent`, `Accept`, `Host`).
    #[must_use]
    pub fn headers(mut self, headers: Headers) -> Self {
        self.headers.extend(headers.0);
        self
    }

    /// Sets a header.
    ///
    /// # Errors
    /// [`ErrorKind::Request`], see [`Headers::set`].
    pub fn header(self, name: &str, value: &str) -> Result<Self, HttpError> {
        let mut headers = Headers::default();
        headers.set(name, value)?;
        Ok(self.headers(headers))
    }

    /// Sends `body`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Chooses the version of HTTP.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Where it goes.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The way to the server that it goes to.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`] where certificate authorities, or the client's own certificate, cannot be read.
    pub fn endpoint(&self, trust: &Trust) -> Result<Endpoint, HttpError> {
        Endpoint::new(&self.url, self.version, trust)
    }

    /// The request as the bytes that HTTP/1.1 sends (RFC 9112, section 3).
    pub fn http1_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.url.path_and_query()).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        };
        if !self.headers.contains_key(header::HOST) {
            line("host", self.url.authority().as_bytes());
        }
        for (name, value) in &self.headers {
            line(name.as_str(), value.as_bytes());
        }
        if self.sends_length() {
            line("content-length", self.body.len().to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Whether it asks and changes nothing, so that it may be sent again (RFC 9110, section 9.2.1).
    fn is_safe(&self) -> bool {
        self.method.is_safe()
    }

    /// Whether the answer can have a body (RFC 9110, section 9.3.2).
    pub fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// The request as hyper sends it over HTTP/2.
    pub fn http2_request(&self) -> Result<http::Request<Full<Bytes>>, HttpError> {
        let scheme = if self.url.is_tls() { "https" } else { "http" };
        let host = self.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = host.map_or_else(|| self.url.authority(), str::to_owned);
        let uri =
            Uri::builder().scheme(scheme).authority(authority).path_and_query(self.url.path_and_query());
        let mut request = self.with_uri(uri)?;
        request.headers_mut().remove(header::HOST);
        Ok(request)
    }

    fn http1_request(&self) -> Result<http::Request<Full<Bytes>>, HttpError> {
        let mut request = self.with_uri(Uri::builder().path_and_query(self.url.path_and_query()))?;
        if !self.headers.contains_key(header::HOST) {
            let host = HeaderValue::from_str(&self.url.authority())
                .map_err(|error| HttpError::request(self.to_string(), error.to_string()))?;
            request.headers_mut().insert(header::HOST, host);
        }
        Ok(request)
    }

    fn with_uri(&self, uri: http::uri::Builder) -> Result<http::Request<Full<Bytes>>, HttpError> {
        let wrong = |error: http::Error| HttpError::request(self.to_string(), error.to_string());
        let mut request = http::Request::builder()
            .method(self.method.clone())
            .uri(uri.build().map_err(wrong)?)
            .body(Full::new(self.body.clone()))
            .map_err(wrong)?;
        *request.headers_mut() = self.headers.clone();
        if self.sends_length() {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        Ok(request)
    }

    /// A length is due with a body, and with methods whose meaning expects one (RFC 9110, section 8.6).
    fn sends_length(&self) -> bool {
        !self.body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].contains(&self.method)
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.method, self.url)
    }
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The version it was answered in, such as `HTTP/1.1`.
    pub version: http::Version,
    /// The headers; names are compared without regard to case.
    pub headers: HeaderMap,
    /// The body, at most the first [`BODY_KEPT`] bytes.
    pub body: Bytes,
    /// The length of the whole body in bytes, also of what was not kept.
    pub body_length: u64,
    /// What came after the body (RFC 9110, section 6.5); gRPC tells there how a call ended.
    pub trailers: HeaderMap,
    /// How long each stage took.
    pub timings: Timings,
}

impl Response {
    /// Whether the body was longer than what was kept.
    pub fn is_truncated(&self) -> bool {
        self.body_length > self.body.len() as u64
    }
}

/// How long the stages of a request took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Turning the name into addresses; zero for an address.
    pub resolve: Duration,
    /// Until TCP was connected.
    pub connect: Duration,
    /// The TLS handshake, with `https`.
    pub tls: Option<Duration>,
    /// From the request being sent to the answer's head.
    pub first_byte: Duration,
    /// From the first step to the end of the body.
    pub total: Duration,
}

/// The client: sends requests, each on a new connection.
#[derive(Debug, Clone, Default)]
pub struct HttpClient {
    trust: Trust,
}

impl HttpClient {
    /// A client that believes these authorities, and shows who it is where it can.
    pub fn new(trust: impl Into<Trust>) -> Self {
        Self { trust: trust.into() }
    }

    /// What it goes by.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Sends `request` on a connection of its own and waits at most `timeout` for the whole answer.
    ///
    /// Any status is an answer, not an error. Must be called on a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`HttpError`], whose kind says which stage failed.
    pub async fn request(&self, request: &Request, timeout: Duration) -> Result<Response, HttpError> {
        let patience = Patience::new(timeout);
        let endpoint = request.endpoint(&self.trust)?;
        let (mut connection, opened) = Connection::open(&endpoint, request, &patience).await?;
        connection.exchange(request, opened, &patience).await
    }

    /// Sends `request` over a socket of this host, in place of the host that its URL names.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn request_on_socket(
        &self,
        socket: &Path,
        request: &Request,
        timeout: Duration,
    ) -> Result<Response, HttpError> {
        let patience = Patience::new(timeout);
        let name = || format!("connect to {}", socket.display());
        let connected = async {
            let stream = UnixStream::connect(socket).await;
            let stream = stream.map_err(|error| HttpError::connecting(name(), &error))?;
            Connection::over(Stream::Unix(stream), false, request).await
        };
        let mut connection = patience.wait(request, connected, name).await?;
        connection.exchange(request, OpenTimings::default(), &patience).await
    }
}

/// How long a request may take, from its first step on.
struct Patience {
    begun: Instant,
    timeout: Duration,
}

impl Patience {
    fn new(timeout: Duration) -> Self {
        Self { begun: Instant::now(), timeout }
    }

    /// Waits for a stage of a request, as long as there is time.
    async fn wait<T>(
        &self,
        request: &Request,
        stage: impl Future<Output = Result<T, HttpError>>,
        name: impl FnOnce() -> String,
    ) -> Result<T, HttpError> {
        let deadline = tokio::time::Instant::from_std(self.begun) + self.timeout;
        let late = |_| HttpError::timeout(format!("{request}: {}", name()), self.timeout);
        timeout_at(deadline, stage).await.map_err(late)?
    }
}

/// A connection on which requests are sent, one after another.
struct Connection {
    sender: Sender,
    _driver: Driver,
}

enum Sender {
    Http1(conn::http1::SendRequest<Full<Bytes>>),
    Http2(conn::http2::SendRequest<Full<Bytes>>),
}

/// Drives a connection on a task of its own, as hyper wants it, and ends the task when dropped.
struct Driver(JoinHandle<()>);

impl Driver {
    fn start(connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static) -> Self {
        Self(tokio::spawn(async move {
            // Its error also reaches the sender or the body, where it is reported.
            let _ = connection.await;
        }))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    async fn open(
        endpoint: &Endpoint,
        request: &Request,
        patience: &Patience,
    ) -> Result<(Self, OpenTimings), HttpError> {
        let name = || format!("connect to {}", endpoint.name());
        let (stream, opened) = patience.wait(request, endpoint.open(), name).await?;
        let http2 = endpoint.speaks_http2(&stream);
        let ready = patience.wait(request, Self::over(stream, http2, request), name).await?;
        Ok((ready, opened))
    }

    async fn over(stream: Stream, http2: bool, request: &Request) -> Result<Self, HttpError> {
        let failed = |error: hyper::Error| HttpError::hyper(request.to_string(), &error);
        let stream = TokioIo::new(stream);
        if http2 {
            let (sender, connection) =
                conn::http2::handshake(TokioExecutor::new(), stream).await.map_err(failed)?;
            return Ok(Self { sender: Sender::Http2(sender), _driver: Driver::start(connection) });
        }
        let (sender, connection) = conn::http1::handshake(stream).await.map_err(failed)?;
        Ok(Self { sender: Sender::Http1(sender), _driver: Driver::start(connection) })
    }

    /// Whether it can be asked again.
    fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => !sender.is_closed(),
            Sender::Http2(sender) => !sender.is_closed(),
        }
    }

    /// Sends a request and reads the whole answer.
    async fn exchange(
        &mut self,
        request: &Request,
        opened: OpenTimings,
        patience: &Patience,
    ) -> Result<Response, HttpError> {
        let asked = Instant::now();
        let answer = patience.wait(request, self.send(request), || "wait for the answer".to_owned());
        let (head, mut body) = answer.await?.into_parts();
        let first_byte = asked.elapsed();
        let (status, version, headers) = (head.status.as_u16(), head.version, head.headers);
        let name = || format!("read the body of the answer with status {status}");
        let Content { body, length, trailers } =
            patience.wait(request, read_body(request, &mut body), name).await?;
        let OpenTimings { resolve, connect, tls } = opened;
        let timings = Timings { resolve, connect, tls, first_byte, total: patience.begun.elapsed() };
        Ok(Response { status, version, headers, body, body_length: length, trailers, timings })
    }

    async fn send(&mut self, request: &Request) -> Result<http::Response<Incoming>, HttpError> {
        let failed = |error: hyper::Error| HttpError::hyper(request.to_string(), &error);
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(failed)?;
                sender.send_request(request.http1_request()?).await.map_err(failed)
            }
            Sender::Http2(sender) => {
                sender.ready().await.map_err(failed)?;
                sender.send_request(request.http2_request()?).await.map_err(failed)
            }
        }
    }
}

/// What followed the head of an answer.
struct Content {
    body: Bytes,
    length: u64,
    trailers: HeaderMap,
}

/// Reads the whole body, keeps its beginning, and counts it all.
async fn read_body(request: &Request, body: &mut Incoming) -> Result<Content, HttpError> {
    let mut kept = Vec::new();
    let mut length = 0;
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            HttpError::hyper(format!("{request}: read the body after {length} bytes"), &error)
        })?;
        match frame.into_data() {
            Ok(data) => {
                length += data.len() as u64;
                kept.extend_from_slice(&data[..data.len().min(BODY_KEPT - kept.len())]);
            }
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok(Content { body: Bytes::from(kept), length, trailers })
}

#[cfg(test)]
mod tests;
