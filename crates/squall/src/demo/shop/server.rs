//! The HTTP/1.1 server that all four services share: bounded in connections, patient with nobody.
//!
//! Every service gets three pages from here: `/health` (this process is alive, whatever the others do),
//! `/ready` (can it do its work, asking those it needs) and `/metrics` (Prometheus).

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::http::{Reply, Request};
use super::metrics::{Metrics, Page};

/// Connections that a service holds at once; further ones wait in the kernel. With those a service makes
/// itself, it stays under the usual limit of 1024 open files.
const CONNECTIONS: usize = 512;

/// Connections that wait in the kernel to be accepted.
const BACKLOG: u32 = 1024;

/// How long a connection may lie idle, or take to send the head of a request.
const IDLE: Duration = Duration::from_secs(30);

/// The rest after a failed accept (no file descriptors left, most likely).
const ACCEPT_REST: Duration = Duration::from_millis(20);

/// What makes a service out of a server.
pub(super) trait Handler: Send + Sync + 'static {
    /// Answers one request of a customer or a neighbour.
    fn handle(&self, request: Request) -> impl Future<Output = Reply> + Send;

    /// Answers `/ready`.
    fn ready(&self) -> impl Future<Output = Reply> + Send {
        std::future::ready(Reply::text(StatusCode::OK, "ready\n"))
    }

    /// Counts of requests.
    fn metrics(&self) -> &Metrics;

    /// Adds what the service counts beyond requests.
    fn describe(&self, _page: &mut Page) {}

    /// What the service does between requests.
    fn background(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Takes the address, also when connections of an earlier process still linger on it.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until dropped, which closes all connections.
pub(super) async fn run<H: Handler>(listener: TcpListener, handler: H) {
    let handler = Arc::new(handler);
    tokio::select! {
        () = accept(listener, &handler) => {}
        () = handler.background() => {}
    }
}

async fn accept<H: Handler>(listener: TcpListener, handler: &Arc<H>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let handler = Arc::clone(handler);
                connections.spawn(async move {
                    converse(stream, &handler).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_REST).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection to its end. How it ends, by reset, nonsense or silence, is the client's own affair.
async fn converse<H: Handler>(stream: TcpStream, handler: &Arc<H>) {
    // Without it, small replies wait for the acknowledgement of the one before.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| {
        let handler = Arc::clone(handler);
        async move { Ok::<_, Infallible>(respond(&*handler, request).await.into_response()) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let _how_it_ended = connection.await;
}

async fn respond<H: Handler>(handler: &H, request: hyper::Request<Incoming>) -> Reply {
    match request.uri().path() {
        "/health" => Reply::text(StatusCode::OK, "ok\n"),
        "/ready" => handler.ready().await,
        "/metrics" => {
            let mut page = Page::default();
            handler.metrics().describe(&mut page);
            handler.describe(&mut page);
            Reply::metrics(page.to_string())
        }
        _ => {
            let observation = handler.metrics().begin();
            let reply = match Request::read(request).await {
                Ok(request) => handler.handle(request).await,
                Err(reply) => reply,
            };
            observation.end(reply.status);
            reply
        }
    }
}
