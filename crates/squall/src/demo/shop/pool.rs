//! Keep-alive connections to one upstream, and the line of calls that wait for one.
//!
//! Both are bounded: so many connections, so many in line, and who comes after is turned away. A bound keeps a
//! slow upstream from eating all memory (*Release It!*, chapter 5, "Bulkheads"); it does not by itself keep the
//! callers from waiting. That takes a timeout.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::http::read_body;
use super::lock;

/// A request to an upstream.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    method: Method,
    path: String,
    body: Bytes,
}

impl Outgoing {
    /// `GET path`
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: Bytes::new() }
    }

    /// `POST path` with JSON.
    pub(super) fn post(path: &str, body: &impl Serialize) -> Result<Self, Trouble> {
        let body = serde_json::to_vec(body).map_err(|error| Trouble::Request(error.to_string()))?;
        Ok(Self { method: Method::POST, path: path.to_owned(), body: body.into() })
    }

    fn to_request(&self, address: SocketAddr) -> Result<hyper::Request<Full<Bytes>>, Trouble> {
        hyper::Request::builder()
            .method(&self.method)
            .uri(&self.path)
            .header(HOST, address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(self.body.clone()))
            .map_err(|error| Trouble::Request(error.to_string()))
    }
}

/// What an upstream answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Why a call got no useful answer.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    #[error("too many calls already wait for it")]
    Full,
    #[error("it has failed too often lately, not called")]
    BreakerOpen,
    #[error("no answer within {0} ms")]
    TimedOut(u128),
    #[error("could not connect: {0}")]
    Connect(io::Error),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the answer broke off or was too long")]
    CutOff,
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("the request cannot be written: {0}")]
    Request(String),
}

/// Connections to one address.
#[derive(Debug)]
pub(super) struct Pool {
    address: SocketAddr,
    /// One for each call that may be here, in line or under way.
    places: Semaphore,
    /// One for each call that may be under way.
    connections: Semaphore,
    idle: Mutex<Vec<Connection>>,
    idle_limit: usize,
    /// How many places there are.
    limit: usize,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Connection {
    /// Closes the socket, also in the middle of a call that nobody waits for any more.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Pool {
    /// A pool without connections yet; they are made when needed.
    pub(super) fn new(address: SocketAddr, connections: usize, waiting: usize) -> Self {
        Self {
            address,
            places: Semaphore::new(connections + waiting),
            connections: Semaphore::new(connections),
            idle: Mutex::default(),
            idle_limit: connections,
            limit: connections + waiting,
        }
    }

    /// Where the upstream is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls in line or under way.
    pub(super) fn depth(&self) -> usize {
        self.limit.saturating_sub(self.places.available_permits())
    }

    /// Waits in line for a connection, then asks. There is no timeout here.
    pub(super) async fn send(&self, request: &Outgoing) -> Result<Answer, Trouble> {
        let _place = self.places.try_acquire().map_err(|_| Trouble::Full)?;
        let _connection = self.connections.acquire().await.map_err(|_| Trouble::Full)?;
        self.exchange(request).await
    }

    /// Asks past the line, for probes of the upstream's own health.
    pub(super) async fn exchange(&self, request: &Outgoing) -> Result<Answer, Trouble> {
        let request = request.to_request(self.address)?;
        let mut connection = match self.idle_connection().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let response = connection.sender.send_request(request).await?;
        let status = response.status();
        let body = read_body(response.into_body()).await.ok_or(Trouble::CutOff)?;
        self.keep(connection);
        Ok(Answer { status, body })
    }

    /// A connection that the upstream has not closed in the meantime, the most recently used first.
    async fn idle_connection(&self) -> Option<Connection> {
        loop {
            let mut connection = lock(&self.idle).pop()?;
            if connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Trouble> {
        let stream = TcpStream::connect(self.address).await.map_err(Trouble::Connect)?;
        stream.set_nodelay(true).map_err(Trouble::Connect)?;
        let (sender, connection) =
            http1::Builder::new().max_buf_size(16 * 1024).handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // Its end is seen by whoever calls next.
            let _how_it_ended = connection.await;
        });
        Ok(Connection { sender, driver: driver.abort_handle() })
    }

    fn keep(&self, connection: Connection) {
        let mut idle = lock(&self.idle);
        if idle.len() < self.idle_limit && !connection.sender.is_closed() {
            idle.push(connection);
        }
    }
}
