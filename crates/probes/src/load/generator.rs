//! One generator thread: a pacer that keeps the schedule, and senders that each see one request through at a time.
//!
//! All of it runs on one thread with a tokio runtime of its own, so that nothing else in Squall can hold it up.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::Request as HyperRequest;
use hyper::body::Bytes;
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use super::dispatch::{BEAT, Dispatch, Task};
use super::reading::Snapshot;
use super::schedule::nanoseconds;
use super::slice::{End, Slice};
use super::statuses::Statuses;
use super::{http1, http2};
use squall_http::{Endpoint, ErrorKind, HttpError, Request, Stream};

/// Without a rate, how long a sender waits after a failure before it tries again.
const FAILURE_PAUSE: Duration = Duration::from_millis(10);

/// What the pacer, the senders and the readers of one generator thread have in common.
pub(super) struct Shared {
    origin: Instant,
    timeout: Duration,
    expect: Option<Statuses>,
    paced: bool,
    request: Request,
    http1_bytes: Vec<u8>,
    /// Over HTTP/2 only: how many senders share a connection.
    streams: Option<usize>,
    http2_request: HyperRequest<Full<Bytes>>,
    endpoint: Endpoint,
    opened: AtomicU64,
    state: Mutex<State>,
    stop: Notify,
}

struct State {
    dispatch: Dispatch,
    /// By sender: to be notified when it is given a request.
    wakes: Vec<Arc<Notify>>,
    /// Over HTTP/2 only: the connections, each for `streams` senders.
    lanes: Vec<Arc<http2::Lane>>,
    stopped: bool,
}

/// What a generator thread is told.
pub(super) struct Orders {
    /// From when its times are counted.
    pub(super) origin: Instant,
    pub(super) timeout: Duration,
    pub(super) expect: Option<Statuses>,
    /// Whether there is a schedule; without, each sender goes on as fast as it can.
    pub(super) paced: bool,
    pub(super) request: Request,
    pub(super) endpoint: Endpoint,
    pub(super) streams: Option<usize>,
    pub(super) dispatch: Dispatch,
}

impl Shared {
    pub(super) fn new(orders: Orders) -> Result<Arc<Self>, HttpError> {
        let state = State { dispatch: orders.dispatch, wakes: Vec::new(), lanes: Vec::new(), stopped: false };
        Ok(Arc::new(Self {
            origin: orders.origin,
            timeout: orders.timeout,
            expect: orders.expect,
            paced: orders.paced,
            http1_bytes: orders.request.http1_bytes(),
            http2_request: orders.request.http2_request()?,
            request: orders.request,
            streams: orders.streams,
            endpoint: orders.endpoint,
            opened: AtomicU64::new(0),
            state: Mutex::new(state),
            stop: Notify::new(),
        }))
    }

    /// Generates load on this thread until told to stop.
    pub(super) fn run(self: &Arc<Self>, runtime: Runtime, timer: Timer) {
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stop.notified() => {}
                () = pace(self, timer) => {}
            }
        });
        // A name that is still being resolved must not hold up the end.
        runtime.shutdown_background();
        let mut state = self.state();
        state.stopped = true;
        let now = self.now();
        state.dispatch.abandon(now);
    }

    /// Tells the thread to end.
    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }

    /// What the window and the outstanding requests look like now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut state = self.state();
        let now = self.now();
        let dispatch = &mut state.dispatch;
        dispatch.notice(now);
        dispatch.ledger.roll(now);
        let mut slices = dispatch.ledger.window();
        slices.push(Arc::new(dispatch.ledger.running(now)));
        Snapshot {
            slices,
            outstanding: dispatch.outstanding(now),
            in_flight: dispatch.in_flight(),
            waiting: dispatch.waiting(),
            last_error: dispatch.ledger.last_error().map(|(at, error)| (*at, error.to_string())),
        }
    }

    /// How many slices can be taken.
    pub(super) fn settled(&self) -> usize {
        let mut state = self.state();
        if !state.stopped {
            let now = self.now();
            state.dispatch.notice(now);
            state.dispatch.ledger.roll(now);
            let noted = state.dispatch.noted(now);
            state.dispatch.ledger.settle(noted);
        }
        state.dispatch.ledger.settled().len()
    }

    /// Takes the first `count` settled slices, or all if there are not so many.
    pub(super) fn take(&self, count: usize) -> Vec<Slice> {
        let mut state = self.state();
        let settled = state.dispatch.ledger.settled();
        settled.drain(..count.min(settled.len())).collect()
    }

    /// How many connections this thread has opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    pub(super) async fn open(&self) -> Result<Stream, HttpError> {
        let (stream, _) = self.endpoint.open().await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    pub(super) fn http1_bytes(&self) -> &[u8] {
        &self.http1_bytes
    }

    pub(super) fn http2_request(&self) -> HyperRequest<Full<Bytes>> {
        self.http2_request.clone()
    }

    pub(super) fn is_head(&self) -> bool {
        self.request.is_head()
    }

    /// What is being tried, for error messages.
    pub(super) fn tried(&self) -> String {
        self.request.to_string()
    }

    fn now(&self) -> u64 {
        nanoseconds(self.origin.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters stay usable whatever panicked between two of them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_expected(&self, status: u16) -> bool {
        self.expect.as_ref().map_or(status < 400, |expect| expect.contains(status))
    }
}

/// A timer that keeps microseconds; tokio's own counts in milliseconds, too coarse to pace by.
pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// A timer of `runtime`.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for types that do not keep to one descriptor; an OwnedFd does"
    )]
    pub(super) fn new(runtime: &Runtime) -> io::Result<Self> {
        let _entered = runtime.enter();
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self(AsyncFd::with_interest(timer, Interest::READABLE)?))
    }

    /// Waits for `span`, or less if woken for an earlier setting's sake: the caller looks at the clock again.
    async fn wait(&self, span: Duration) -> io::Result<()> {
        // Zero would disarm it; an hour is enough for one look.
        let nanoseconds = nanoseconds(span).clamp(1, 3_600_000_000_000).cast_signed();
        let it_value = Timespec { tv_sec: nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000 };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
        // Setting the timer again takes the expiry back, so it need not be read.
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}

/// A timeout that is set for each request and hardly ever rings: it is moved only when it rings too early, so that
/// a request that ends in time costs no timer.
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    async fn ring(&mut self, at: tokio::time::Instant) {
        if self.0.is_elapsed() || self.0.deadline() > at {
            self.0.as_mut().reset(at);
        }
        loop {
            self.0.as_mut().await;
            if tokio::time::Instant::now() >= at {
                return;
            }
            self.0.as_mut().reset(at);
        }
    }
}

/// Hands out what comes due, when it comes due. Ends only with its task.
async fn pace(shared: &Arc<Shared>, timer: Timer) {
    loop {
        let until = hand_out(shared);
        let span = Duration::from_nanos(until.saturating_sub(shared.now()).min(BEAT));
        if timer.wait(span).await.is_err() {
            sleep(span).await;
        }
    }
}

/// Hands all that is due to senders. Returns when to look again.
fn hand_out(shared: &Arc<Shared>) -> u64 {
    let mut state = shared.state();
    let now = shared.now();
    loop {
        match state.dispatch.next_task(now) {
            Task::Wake(sender) => state.wakes[sender].notify_one(),
            Task::Hire(sender) => {
                let wake = Arc::new(Notify::new());
                state.wakes.push(wake.clone());
                let client = state.client(sender, shared.streams);
                tokio::spawn(send(shared.clone(), sender, client, wake));
            }
            Task::SleepUntil(until) => return until,
        }
    }
}

impl State {
    fn client(&mut self, sender: usize, streams: Option<usize>) -> Client {
        let Some(streams) = streams else {
            return Client::Http1(http1::Client::default());
        };
        let lane = sender / streams;
        if lane == self.lanes.len() {
            self.lanes.push(Arc::default());
        }
        Client::Http2(http2::Client::new(self.lanes[lane].clone()))
    }
}

enum Client {
    Http1(http1::Client),
    Http2(http2::Client),
}

impl Client {
    async fn exchange(&mut self, shared: &Shared) -> Result<u16, HttpError> {
        match self {
            Self::Http1(client) => client.exchange(shared).await,
            Self::Http2(client) => client.exchange(shared).await,
        }
    }

    fn gave_up(&mut self) {
        match self {
            // The connection went with the exchange that was given up.
            Self::Http1(_) => {}
            Self::Http2(client) => client.gave_up(),
        }
    }

    /// Keeps an eye on the idle connection. Never returns.
    async fn watch(&mut self) {
        match self {
            Self::Http1(client) => client.watch().await,
            // hyper watches it.
            Self::Http2(_) => std::future::pending().await,
        }
    }
}

/// A sender: sees the requests that it is given through, one after the other.
async fn send(shared: Arc<Shared>, sender: usize, mut client: Client, wake: Arc<Notify>) {
    let mut alarm = Alarm(Box::pin(sleep(shared.timeout)));
    let mut given = shared.state().dispatch.given(sender);
    loop {
        let Some(intended) = given else {
            tokio::select! {
                biased;
                () = wake.notified() => {}
                () = client.watch() => {}
            }
            given = shared.state().dispatch.given(sender);
            continue;
        };
        let deadline = shared.origin + Duration::from_nanos(intended) + shared.timeout;
        let deadline = tokio::time::Instant::from_std(deadline);
        let ended = tokio::select! {
            biased;
            ended = client.exchange(&shared) => ended,
            () = alarm.ring(deadline) => Err(HttpError::timeout(shared.tried(), shared.timeout)),
        };
        let end = match ended {
            Ok(status) => End::Answered { status, expected: shared.is_expected(status) },
            Err(error) => {
                client.gave_up();
                if !shared.paced && error.kind != ErrorKind::Timeout {
                    sleep(FAILURE_PAUSE).await;
                }
                End::Failed(error)
            }
        };
        given = shared.state().dispatch.finish(sender, shared.now(), end);
    }
}
