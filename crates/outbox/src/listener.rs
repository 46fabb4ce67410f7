//! Metrics for whoever asks, at `/metrics`: a listener that lasts as long as the command.

use crate::letter::Letter;
use crate::metrics::{Metrics, TEXT_TYPE};
use crate::outlet::{Exporter, Happened, Outlet};
use crate::surroundings::Surroundings;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};

/// How many connections are served at once; others wait.
const MOST_CONNECTIONS: usize = 32;
/// How long a connection may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a scraper is thought to come that came once so far.
const USUAL_INTERVAL: Duration = Duration::from_secs(15);
/// How many gaps between scrapes are remembered.
const GAPS: usize = 4;
/// As long is waited for one that comes very often.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);
/// For one that comes more seldom, nobody waits.
const LONGEST_INTERVAL: Duration = Duration::from_mins(1);

/// An address to listen on. A port alone is one of this machine's loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address(SocketAddr);

impl Address {
    fn parse(text: &str) -> Result<Self, String> {
        let port = text.strip_prefix(':').unwrap_or(text).parse().map(on_loopback).ok();
        port.or_else(|| text.parse().map(Self).ok())
            .or_else(|| {
                Some(Self(text.strip_prefix("localhost")?.replacen(':', "127.0.0.1:", 1).parse().ok()?))
            })
            .ok_or_else(|| format!("{text:?} is no address to listen on, such as 127.0.0.1:9464 or 9464"))
    }
}

fn on_loopback(port: u16) -> Address {
    Address(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressVisitor)
    }
}

struct AddressVisitor;

impl Visitor<'_> for AddressVisitor {
    type Value = Address;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an address to listen on, such as 127.0.0.1:9464, or a port")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
        Address::parse(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, port: u64) -> Result<Address, E> {
        u16::try_from(port)
            .map(on_loopback)
            .map_err(|_| E::custom(format!("{port} is no port; 0 to 65535 are")))
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let any = serde_json::json!({"type": ["string", "integer"], "examples": ["127.0.0.1:9464", 9464]});
        Schema::try_from(any).unwrap_or_default()
    }
}

/// The line in the table: what is listened on. The metrics are served by a [`Listener`].
pub(crate) struct Listen {
    address: SocketAddr,
}

impl Outlet for Listen {
    const NAME: &'static str = "listen";
    const SUMMARY: &'static str =
        "Metrics at http://ADDRESS/metrics while the command lasts; a port alone is on loopback";
    const EXAMPLE: &'static str = "listen: 127.0.0.1:9464";
    type Parameters = Address;

    fn new(Address(address): Address, _: &Surroundings) -> Result<Self, String> {
        Ok(Self { address })
    }
}

impl Exporter for Listen {
    fn destination(&self) -> String {
        format!("listen ({})", self.address)
    }

    fn letters(&self, _: Happened<'_>) -> Vec<Letter> {
        Vec::new()
    }

    fn listens_on(&self) -> Option<SocketAddr> {
        Some(self.address)
    }
}

/// When metrics were asked for.
#[derive(Debug, Default)]
struct Scrapes {
    times: Mutex<Times>,
    news: Notify,
}

#[derive(Debug, Default, Clone, Copy)]
struct Times {
    count: u64,
    last: Option<Instant>,
    /// The latest gaps between two scrapes, the newest first: several may scrape, shortly one after the other.
    gaps: [Duration; GAPS],
}

impl Scrapes {
    fn note(&self, now: Instant) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = times.last {
            times.gaps.rotate_right(1);
            times.gaps[0] = now.saturating_duration_since(last);
        }
        times.last = Some(now);
        times.count += 1;
        self.news.notify_waiters();
    }

    fn times(&self) -> Times {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves metrics until it is dropped.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    stop: Arc<Notify>,
    scrapes: Arc<Scrapes>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens from now on.
    pub(crate) fn start(address: SocketAddr, metrics: Arc<Mutex<Metrics>>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        let scrapes = Arc::new(Scrapes::default());
        let noted = scrapes.clone();
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.notified() => {}
                    () = accept(listener, metrics, noted) => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(serve)?;
        Ok(Self { address, stop, scrapes, thread: Some(thread) })
    }

    /// How long the next scrape may take to come; none where nobody scrapes, or so seldom that nobody waits for it.
    pub(crate) fn next_scrape_within(&self) -> Option<Duration> {
        let Times { last, count, gaps } = self.scrapes.times();
        last?;
        let longest = gaps.into_iter().max().unwrap_or_default();
        let interval = if count > 1 { longest } else { USUAL_INTERVAL };
        // Scrapers are not on time to the millisecond.
        (interval <= LONGEST_INTERVAL).then(|| (interval + interval / 2).max(LEAST_PATIENCE))
    }

    /// Waits for the next scrape.
    pub(crate) async fn next_scrape(&self) {
        let before = self.scrapes.times().count;
        loop {
            let news = self.scrapes.news.notified();
            if self.scrapes.times().count > before {
                return;
            }
            news.await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, metrics: Arc<Mutex<Metrics>>, scrapes: Arc<Scrapes>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: somebody must close one first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (metrics, scrapes) = (metrics.clone(), scrapes.clone());
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| {
                let answer = answer(&request, &metrics, &scrapes);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            // Whoever goes away in the middle wanted no more.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Mutex<Metrics>, scrapes: &Scrapes) -> Response<Full<Bytes>> {
    let plain = (CONTENT_TYPE, "text/plain; charset=utf-8");
    if request.uri().path() != "/metrics" {
        return respond(404, plain, "metrics are at /metrics\n".to_owned());
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return respond(405, (ALLOW, "GET, HEAD"), String::new());
    }
    let text = metrics.lock().unwrap_or_else(PoisonError::into_inner).text();
    if request.method() == Method::GET {
        scrapes.note(Instant::now());
    }
    respond(200, (CONTENT_TYPE, TEXT_TYPE), text)
}

fn respond(status: u16, (name, value): (HeaderName, &'static str), body: String) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(status).header(name, value);
    // The parts are our own and fit.
    answer.body(Full::new(Bytes::from(body))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_on_loopback() {
        let loopback: SocketAddr = "127.0.0.1:9464".parse().unwrap();
        for text in ["9464", ":9464", "127.0.0.1:9464", "localhost:9464"] {
            assert_eq!(Address::parse(text), Ok(Address(loopback)), "{text}");
        }
        assert_eq!(Address::parse("[::]:80").unwrap().0.to_string(), "[::]:80");
        for wrong in ["", "example.org:80", "127.0.0.1", "70000", "localhost"] {
            assert!(Address::parse(wrong).unwrap_err().contains("9464"), "{wrong}");
        }
    }
}
