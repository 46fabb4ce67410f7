//! The load generator: requests at a constant rate, sent on time whatever the server does, and what came of them.
//!
//! *Open loop*: request `n` is meant for the instant `start + n / rate`, fixed from the start, as users come whether
//! or not the service has answered the last one. Latency counts from that instant. A closed loop, which sends the
//! next request when the last was answered, sends fewer requests exactly while the server is slow and so hides what
//! it should measure (coordinated omission: Gil Tene, "How NOT to Measure Latency"; wrk2).
//!
//! A request takes a free connection, or opens one if there is none and fewer than `connections` are there, or
//! else waits; the time it waits, and the time to connect, are part of its latency. It fails when the timeout has
//! passed since its intended time, sent or not. None is ever skipped. A failed request is not tried again.
//!
//! Each thread of the generator has a runtime of its own. How far it fell behind its schedule is measured apart
//! ([`Late`]), so that the generator's own trouble is not taken for the server's.
//!
//! ```no_run
//! use squall_probes::load::{Load, LoadPlan};
//!
//! let load = Load::start(LoadPlan::get("http://127.0.0.1:8080/", 200.0)?)?;
//! std::thread::sleep(std::time::Duration::from_secs(10));
//! let reading = load.reading();
//! println!("{:?} of requests failed, p99 {:?} s", reading.error_rate, reading.latency_p99);
//! for slice in load.stop() {
//!     println!("{:?}", slice.counts);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod dispatch;
mod generator;
mod http1;
mod http2;
mod kind;
mod ledger;
mod reading;
mod schedule;
mod slice;
mod statuses;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::dispatch::Dispatch;
use self::generator::{Orders, Shared, Timer};
use self::ledger::Ledger;
use self::schedule::{Schedule, nanoseconds};
use squall_http::{Authorities, HttpError, Request, Version};

pub use self::kind::{LoadKind, plan};
pub use self::reading::{METRICS, Reading};
pub use self::slice::{Counts, Late, Latencies, Slice};
pub use self::statuses::Statuses;

/// From the order to start until the first request is due: enough for the threads to be there.
const LEAD: Duration = Duration::from_millis(5);

/// File descriptors left for the rest of the process.
const DESCRIPTORS_SPARE: u64 = 256;

/// What load to generate.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// The request, sent again and again.
    pub request: Request,
    /// Requests per second; `None`: each connection sends its next request when the last was answered, to find out
    /// how much the server can bear (a closed loop: its latencies say nothing of users).
    pub rate: Option<f64>,
    /// From the intended send time to the end of the answer. By default 10 s.
    pub timeout: Duration,
    /// At most this many connections, opened as needed. By default 1000.
    pub connections: usize,
    /// Whether to speak HTTP/2: by ALPN over TLS, by prior knowledge without.
    pub http2: bool,
    /// Requests at a time on one HTTP/2 connection. By default 100.
    pub streams: usize,
    /// The statuses that are a success, 5xx too if named. By default all below 400.
    pub expect: Option<Statuses>,
    /// The length of the sliding window. By default 10 s.
    pub window: Duration,
    /// The length of a slice, and the window's grain. By default 250 ms.
    pub slice: Duration,
    /// How many threads generate it. By default 1, which is enough for tens of thousands of requests per second.
    pub threads: usize,
    /// Which certificate authorities are believed.
    pub authorities: Authorities,
}

impl LoadPlan {
    /// A plan with the defaults.
    pub fn new(request: Request, rate: Option<f64>) -> Self {
        Self {
            request,
            rate,
            timeout: Duration::from_secs(10),
            connections: 1000,
            http2: false,
            streams: 100,
            expect: None,
            window: Duration::from_secs(10),
            slice: Duration::from_millis(250),
            threads: 1,
            authorities: Authorities::default(),
        }
    }

    /// A plan that gets `url`, `rate` times a second.
    ///
    /// # Errors
    /// [`LoadError::Request`] if the URL is wrong.
    pub fn get(url: &str, rate: f64) -> Result<Self, LoadError> {
        Ok(Self::new(Request::get(url)?, Some(rate)))
    }

    /// Whether load can be generated so.
    ///
    /// # Errors
    /// [`LoadError::Plan`], which says what cannot be.
    pub fn check(&self) -> Result<(), LoadError> {
        let wrong = |what: String| Err(LoadError::Plan(what));
        if let Some(rate) = self.rate
            && !(rate.is_finite() && (1e-3..=1e7).contains(&rate))
        {
            return wrong(format!("the rate must be from 0.001/s to 10000000/s, not {rate}/s"));
        }
        if self.timeout.is_zero() || self.timeout > Duration::from_hours(1) {
            return wrong(format!("the timeout must be above 0 and at most an hour, not {:?}", self.timeout));
        }
        if self.threads == 0 || self.threads > 1024 {
            return wrong(format!("there must be from 1 to 1024 threads, not {}", self.threads));
        }
        if self.connections < self.threads {
            return wrong(format!(
                "{} connections are too few for {} threads: each needs one",
                self.connections, self.threads
            ));
        }
        if self.streams == 0 {
            return wrong("a connection must bear at least one stream".to_owned());
        }
        if self.slice < Duration::from_millis(1) || self.window < self.slice * 2 {
            return wrong(format!(
                "a window of {:?} must hold at least two slices, and a slice of {:?} at least 1 ms",
                self.window, self.slice
            ));
        }
        Ok(())
    }

    /// The connections of one thread: an even share of all.
    fn connections_of(&self, thread: usize) -> usize {
        self.connections / self.threads + usize::from(thread < self.connections % self.threads)
    }
}

/// Why no load could be generated.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan contradicts itself or has a value out of range.
    #[error("this load cannot be generated: {0}")]
    Plan(String),
    /// The request or the certificate authorities are wrong.
    #[error(transparent)]
    Request(#[from] HttpError),
    /// So many connections cannot be opened by this process.
    #[error(
        "{connections} connections need {needed} open files, and this process may have {hard}: \
         use fewer connections, or raise the limit (`ulimit -Hn`, or LimitNOFILE= of the systemd unit)"
    )]
    OpenFiles {
        /// As planned.
        connections: usize,
        /// With those that the rest of the process needs.
        needed: u64,
        /// The hard limit.
        hard: u64,
    },
    /// The operating system gave no thread, timer or event queue.
    #[error("start a thread of the load generator: {0}")]
    Start(#[from] io::Error),
}

/// Load that is being generated. It stops when dropped.
pub struct Load {
    start: Instant,
    window: Duration,
    generators: Vec<Arc<Shared>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Whether it has ended. Held while slices are taken, so that those of all threads stay in step.
    ended: Mutex<bool>,
}

impl Load {
    /// Starts to generate load on threads of its own. The first request is due 5 ms from now.
    ///
    /// If the plan's connections need it, the process's soft limit of open files is raised.
    ///
    /// # Errors
    /// See [`LoadError`]. A server that does not answer is not one of them: it shows in the readings.
    pub fn start(plan: LoadPlan) -> Result<Self, LoadError> {
        plan.check()?;
        allow_connections(plan.connections)?;
        let version = if plan.http2 { Version::Http2 } else { Version::Http1 };
        let request = plan.request.clone().version(version);
        let start = Instant::now() + LEAD;
        let mut load = Self {
            start,
            window: plan.window,
            generators: Vec::new(),
            threads: Mutex::default(),
            ended: Mutex::default(),
        };
        for thread in 0..plan.threads {
            let schedule = plan.rate.map(|rate| Schedule::new(rate, thread, plan.threads));
            let streams = plan.http2.then_some(plan.streams);
            let senders = plan.connections_of(thread).saturating_mul(streams.unwrap_or(1));
            let ledger = Ledger::new(start, plan.slice, plan.window);
            let shared = Shared::new(Orders {
                origin: start,
                timeout: plan.timeout,
                expect: plan.expect.clone(),
                paced: plan.rate.is_some(),
                endpoint: request.endpoint(&plan.authorities.clone().into())?,
                request: request.clone(),
                streams,
                dispatch: Dispatch::new(schedule, nanoseconds(plan.timeout), senders, ledger),
            })?;
            load.spawn(thread, shared)?;
        }
        Ok(load)
    }

    fn spawn(&mut self, thread: usize, shared: Arc<Shared>) -> Result<(), LoadError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let timer = Timer::new(&runtime)?;
        let running = shared.clone();
        let handle = thread::Builder::new()
            .name(format!("squall-load-{thread}"))
            .spawn(move || running.run(runtime, timer))?;
        self.generators.push(shared);
        self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).push(handle);
        Ok(())
    }

    /// When the first request was due.
    pub fn started(&self) -> Instant {
        self.start
    }

    /// The metrics over the sliding window, now.
    pub fn reading(&self) -> Reading {
        let snapshots: Vec<_> = self.generators.iter().map(|shared| shared.snapshot()).collect();
        let opened = self.generators.iter().map(|shared| shared.opened()).sum();
        Reading::new(Instant::now(), self.window, self.start, opened, &snapshots)
    }

    /// Takes the slices, by intended send time, in which every request has ended; oldest first, without gaps, from
    /// where the last call left off. Those not taken yet are kept, each about as large as it has distinct latencies.
    pub fn take_slices(&self) -> Vec<Slice> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = self.generators.iter().map(|shared| shared.settled());
        // At the end one thread may have begun a slice that another has not.
        let count = if *ended { settled.max() } else { settled.min() }.unwrap_or_default();
        let mut slices: Vec<Slice> = Vec::new();
        for shared in &self.generators {
            for (position, part) in shared.take(count).into_iter().enumerate() {
                match slices.get_mut(position) {
                    Some(slice) => slice.merge(&part),
                    None => slices.push(part),
                }
            }
        }
        slices
    }

    /// Ends the load at once and returns the slices not taken yet, see [`Load::end`].
    pub fn stop(&self) -> Vec<Slice> {
        self.end();
        self.take_slices()
    }

    /// Ends the load at once; the slices not taken yet stay to be taken. Requests under way are given up and left in
    /// their slices as [`Counts::unfinished`]: neither success nor failure. Calling it again is allowed.
    ///
    /// It waits for the threads to end, which takes milliseconds.
    pub fn end(&self) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        for shared in &self.generators {
            shared.stop();
        }
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A panic in it has been printed; what it had booked is still there.
            let _ = thread.join();
        }
        *ended = true;
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

/// Raises the soft limit of open files if so many connections need it.
fn allow_connections(connections: usize) -> Result<(), LoadError> {
    let needed = connections as u64 + DESCRIPTORS_SPARE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(hard) = maximum.filter(|hard| *hard < needed) {
        return Err(LoadError::OpenFiles { connections, needed, hard });
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .map_err(|error| LoadError::Start(error.into()))
}

#[cfg(test)]
mod tests;
