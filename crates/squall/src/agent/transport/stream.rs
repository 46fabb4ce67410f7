//! A stream of bytes to an agent, whatever carries it: one task writes calls, one reads answers.

use crate::agent::frames;
use squall_engine::link::{AgentLink, LinkError};
use squall_model::probe::Pending;
use squall_model::protocol::{Answer, Call, Request, Response};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

type Answered = Result<Answer, LinkError>;

/// Calls that wait for their answer; `None` once the stream has ended.
type Waiting = Mutex<Option<BTreeMap<u64, oneshot::Sender<Answered>>>>;

/// Says why the stream ended; it is told whether anything was ever answered.
type Why = Box<dyn Fn(bool) -> Pending<'static, String> + Send + Sync>;

/// The brain's end of a stream.
pub(super) struct StreamLink {
    next: AtomicU64,
    calls: mpsc::UnboundedSender<Request>,
    desk: Arc<Desk>,
}

/// What the two tasks and the callers share.
struct Desk {
    waiting: Waiting,
    /// Whether anything was ever answered.
    answered: AtomicBool,
    why: Why,
    /// Why it is lost, once it is.
    lost: Mutex<Option<String>>,
}

impl Desk {
    fn lost(&self) -> LinkError {
        let why = self.lost.lock().ok().and_then(|lost| lost.clone());
        LinkError::Lost(why.unwrap_or_else(|| "the agent is gone: its stream ended".to_owned()))
    }

    /// Gives up on every call that waits, now and later.
    async fn give_up(&self) {
        let why = (self.why)(self.answered.load(Ordering::Relaxed)).await;
        if let Ok(mut lost) = self.lost.lock() {
            *lost = Some(why);
        }
        let calls = self.waiting.lock().map(|mut waiting| waiting.take()).unwrap_or_default();
        for (_, caller) in calls.into_iter().flatten() {
            // A caller that no longer listens has its own reasons.
            let _ = caller.send(Err(self.lost()));
        }
    }
}

impl StreamLink {
    /// A link over what an agent reads and writes.
    pub(super) fn new(
        stdin: impl AsyncWrite + Send + Unpin + 'static,
        stdout: impl AsyncRead + Send + Unpin + 'static,
        why: impl Fn(bool) -> Pending<'static, String> + Send + Sync + 'static,
    ) -> Self {
        let (calls, queue) = mpsc::unbounded_channel();
        let waiting = Mutex::new(Some(BTreeMap::new()));
        let (answered, lost) = (AtomicBool::new(false), Mutex::new(None));
        let desk = Arc::new(Desk { waiting, answered, why: Box::new(why), lost });
        tokio::spawn(write_calls(stdin, queue, Arc::clone(&desk)));
        tokio::spawn(read_answers(stdout, Arc::clone(&desk)));
        Self { next: AtomicU64::new(1), calls, desk }
    }
}

async fn write_calls(
    mut stdin: impl AsyncWrite + Unpin,
    mut queue: mpsc::UnboundedReceiver<Request>,
    desk: Arc<Desk>,
) {
    while let Some(request) = queue.recv().await {
        if frames::send(&mut stdin, &request).await.is_err() {
            desk.give_up().await;
            return;
        }
    }
    // The last handle is gone: the end of the stream tells the agent to undo everything and end.
    let _ = stdin.shutdown().await;
}

async fn read_answers(mut stdout: impl AsyncRead + Unpin, desk: Arc<Desk>) {
    while let Ok(response) = frames::receive::<Response>(&mut stdout).await {
        desk.answered.store(true, Ordering::Relaxed);
        let caller = desk.waiting.lock().ok().and_then(|mut calls| calls.as_mut()?.remove(&response.number));
        if let Some(caller) = caller {
            let _ = caller.send(response.answer.map_err(LinkError::Refused));
        }
    }
    desk.give_up().await;
}

impl AgentLink for StreamLink {
    fn call(&self, call: Call) -> Pending<'static, Answered> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (caller, answer) = oneshot::channel();
        let waits = match self.desk.waiting.lock() {
            Ok(mut waiting) => waiting.as_mut().map(|calls| calls.insert(number, caller)).is_some(),
            Err(_) => false,
        };
        let sent = waits && self.calls.send(Request { number, call }).is_ok();
        let desk = Arc::clone(&self.desk);
        Box::pin(async move {
            if sent { answer.await.unwrap_or_else(|_| Err(desk.lost())) } else { Err(desk.lost()) }
        })
    }
}
