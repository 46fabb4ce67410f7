//! HTTP/2 for the load path: many senders share a connection, each with one stream at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Mutex;

use super::generator::Shared;
use squall_http::HttpError;

/// Streams that we gave up and whose late answers are still to be let pass, per connection.
const RESET_STREAMS_MAX: usize = 4096;

/// A connection that several clients share, opened when first needed and again when it is lost.
#[derive(Default)]
pub(super) struct Lane {
    live: Mutex<Option<Live>>,
}

#[derive(Clone)]
struct Live {
    sender: SendRequest<Full<Bytes>>,
    /// How many requests were answered on this connection.
    answers: Arc<AtomicU64>,
    /// How many requests were answered when the one that found it dead was sent; `u64::MAX` while it lives.
    silent_since: Arc<AtomicU64>,
}

impl Live {
    fn is_usable(&self) -> bool {
        let silent = self.silent_since.load(Ordering::Relaxed) == self.answers.load(Ordering::Relaxed);
        !silent && !self.sender.is_closed()
    }
}

/// Sends on a shared connection.
pub(super) struct Client {
    lane: Arc<Lane>,
    /// The connection of the request under way, and its count of answers when that request was sent.
    used: Option<(Live, u64)>,
}

impl Client {
    pub(super) fn new(lane: Arc<Lane>) -> Self {
        Self { lane, used: None }
    }

    /// Sends the request and reads the whole answer. Returns its status.
    pub(super) async fn exchange(&mut self, shared: &Shared) -> Result<u16, HttpError> {
        self.used = None;
        let mut live = self.lane.live(shared).await?;
        self.used = Some((live.clone(), live.answers.load(Ordering::Relaxed)));
        let failed = |error: hyper::Error| HttpError::hyper(shared.tried(), &error);
        live.sender.ready().await.map_err(failed)?;
        let answer = live.sender.send_request(shared.http2_request()).await.map_err(failed)?;
        let (head, mut body) = answer.into_parts();
        while let Some(frame) = body.frame().await {
            frame.map_err(failed)?;
        }
        live.answers.fetch_add(1, Ordering::Relaxed);
        Ok(head.status.as_u16())
    }

    /// To be called when the request under way was given up. If its connection answered nothing at all meanwhile,
    /// the next request opens another: the path may be dead without either end having been told.
    pub(super) fn gave_up(&mut self) {
        if let Some((live, answers_before)) = self.used.take() {
            live.silent_since.store(answers_before, Ordering::Relaxed);
        }
    }
}

impl Lane {
    /// The connection, opened if there is no usable one. The lock is held meanwhile, so that it is opened once.
    async fn live(&self, shared: &Shared) -> Result<Live, HttpError> {
        let mut slot = self.live.lock().await;
        if let Some(live) = slot.as_ref().filter(|live| live.is_usable()) {
            return Ok(live.clone());
        }
        *slot = None;
        let stream = shared.open().await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .max_concurrent_reset_streams(RESET_STREAMS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| HttpError::hyper(shared.tried(), &error))?;
        tokio::spawn(async move {
            // Its error also reaches the requests under way, where it is reported.
            let _ = connection.await;
        });
        let live = Live {
            sender,
            answers: Arc::new(AtomicU64::new(0)),
            silent_since: Arc::new(AtomicU64::new(u64::MAX)),
        };
        *slot = Some(live.clone());
        Ok(live)
    }
}
