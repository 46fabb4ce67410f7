//! What operators see when they ask for it: `SQUALL_LOG=debug`, or a filter such as `squall_engine=trace,info`. Lines go to
//! standard error, of the agent and of the warden too; without `SQUALL_LOG` there are none.
//!
//! A reader that does not take what is written (Ctrl-S, a full pipe) must never hold up an undo: a thread of its own
//! writes, and lines that find no room are dropped and counted.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// The variable that asks.
pub(crate) const VARIABLE: &str = "SQUALL_LOG";

/// So many lines may wait to be written.
const MOST_WAITING: usize = 4096;

/// How long the end of the process waits for the rest.
const FAREWELL: Duration = Duration::from_millis(300);

/// What was asked for, if anything.
pub(crate) fn asked() -> Option<OsString> {
    std::env::var_os(VARIABLE).filter(|filter| !filter.is_empty())
}

/// Begins to write what is asked for, until the value that is returned is dropped.
pub(crate) fn start() -> Farewell {
    match asked() {
        None => Farewell(None),
        Some(filter) => start_with(&filter.to_string_lossy()),
    }
}

/// Begins to write what this filter lets through.
pub(crate) fn start_with(filter: &str) -> Farewell {
    let filter = match EnvFilter::try_new(filter) {
        Ok(filter) => filter,
        Err(error) => {
            let message = format!(
                "squall: {VARIABLE}={filter} is no filter: {error}; such as debug, or squall_engine=trace,info"
            );
            crate::out::warn(message);
            return Farewell(None);
        }
    };
    let (lines, waiting) = mpsc::sync_channel(MOST_WAITING);
    let dropped = Arc::new(AtomicU64::new(0));
    let lost = Arc::clone(&dropped);
    std::thread::spawn(move || write_all(&waiting, &lost));
    let queue = Queue { lines, dropped };
    // What libraries tell may hold whole requests, and the secrets in them.
    let ours = filter_fn(|metadata| metadata.target().starts_with("squall"));
    let lines = fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(queue.clone());
    // There is a subscriber already only if this was called before.
    let _ = tracing_subscriber::registry().with(filter).with(lines.with_filter(ours)).try_init();
    tracing::debug!(pid = std::process::id(), "log begins");
    Farewell(Some(queue))
}

enum Message {
    Line(Vec<u8>),
    /// All before this is to be written; the answer tells that it is.
    Flush(Sender<()>),
}

fn write_all(waiting: &Receiver<Message>, lost: &AtomicU64) {
    for message in waiting {
        let count = lost.swap(0, Ordering::Relaxed);
        if count > 0 {
            let _ = writeln!(io::stderr(), "squall: {count} lines of the log found no room");
        }
        match message {
            // That nobody reads it is no reason to end.
            Message::Line(line) => drop(io::stderr().write_all(&line)),
            Message::Flush(done) => drop(done.send(())),
        }
    }
}

/// Where lines wait to be written.
#[derive(Clone)]
struct Queue {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: self, bytes: Vec::new() }
    }
}

/// One line, on its way into the queue when it is whole.
struct Line<'a> {
    queue: &'a Queue,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let line = Message::Line(std::mem::take(&mut self.bytes));
        if self.queue.lines.try_send(line).is_err() {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Waits a moment for what is not written yet when dropped.
pub(crate) struct Farewell(Option<Queue>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let Some(queue) = &self.0 else { return };
        let (done, written) = mpsc::channel();
        if queue.lines.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FAREWELL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_nobody_reads_holds_nobody_up() {
        let (lines, waiting) = mpsc::sync_channel(2);
        let queue = Queue { lines, dropped: Arc::default() };
        for _ in 0..10 {
            queue.make_writer().write_all(b"line\n").unwrap();
        }
        assert_eq!(queue.dropped.load(Ordering::Relaxed), 8);
        drop(Farewell(Some(queue)));
        assert_eq!(waiting.iter().count(), 2);
    }
}
