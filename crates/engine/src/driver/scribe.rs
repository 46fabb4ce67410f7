//! Writes the journal on a task of its own, so that a slow disk holds up nobody but the journal.

use super::Inbox;
use crate::journal::{self, Sink};
use crate::run::Input;
use squall_model::event::Entry;
use squall_model::redaction::Redactor;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// So many lines may wait for the disk; with more, the journal counts as failed. A strike on ten thousand says that many at once.
const MOST_WAITING: usize = 65_536;

/// How long a disk that hangs is waited for in the end.
const CLOSES_WITHIN: Duration = Duration::from_secs(10);

/// A line, and whether it must be on disk before others follow.
type Line = (Vec<u8>, bool);

/// Writes the journal and shows it.
pub(super) struct Scribe {
    lines: Sender<Line>,
    writer: JoinHandle<Result<(), String>>,
    watch: Box<dyn FnMut(&Entry) + Send>,
    redactor: Redactor,
    inbox: Inbox,
    failed: Option<String>,
}

impl Scribe {
    pub(super) fn new(
        sink: Box<dyn Sink>,
        watch: Box<dyn FnMut(&Entry) + Send>,
        redactor: Redactor,
        inbox: Inbox,
    ) -> Self {
        let (lines, waiting) = mpsc::channel(MOST_WAITING);
        let writer = tokio::spawn(write_all(sink, waiting, inbox.clone()));
        Self { lines, writer, watch, redactor, inbox, failed: None }
    }

    /// Shows an entry and has it written, both without secrets.
    pub(super) fn write(&mut self, entry: Entry) {
        let entry = self.redactor.entry(entry);
        (self.watch)(&entry);
        let sent = match journal::line(&entry) {
            Ok(line) => {
                // As it is written: without secrets.
                tracing::trace!(entry = %String::from_utf8_lossy(&line).trim_end(), "journal");
                self.lines.try_send((line, journal::is_a_change(&entry.event))).map_err(|error| match error {
                    mpsc::error::TrySendError::Full(_) => "the disk does not keep up".to_owned(),
                    mpsc::error::TrySendError::Closed(_) => "an earlier line could not be written".to_owned(),
                })
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = sent
            && self.failed.is_none()
        {
            self.failed = Some(why.clone());
            self.inbox.send(Input::JournalFailed(why));
        }
    }

    /// A text without secrets.
    pub(super) fn hide(&self, text: &str) -> String {
        self.redactor.text(text)
    }

    /// Waits until everything is on disk.
    pub(super) async fn close(self) -> Result<(), String> {
        let Self { lines, writer, failed, .. } = self;
        drop(lines);
        let written = match timeout(CLOSES_WITHIN, writer).await {
            Ok(written) => written.unwrap_or_else(|error| Err(error.to_string())),
            Err(_) => Err(format!("the disk did not answer within {} s", CLOSES_WITHIN.as_secs())),
        };
        // What the writer says is nearer to the cause.
        written.and(failed.map_or(Ok(()), Err))
    }
}

/// Writes lines as they come, in batches, off the threads that others need. Ends at the first error.
async fn write_all(mut sink: Box<dyn Sink>, mut waiting: Receiver<Line>, inbox: Inbox) -> Result<(), String> {
    loop {
        let mut batch = Vec::new();
        if waiting.recv_many(&mut batch, 256).await == 0 {
            return Ok(());
        }
        let writing = tokio::task::spawn_blocking(move || {
            let written = write_batch(&mut *sink, &batch);
            (sink, written)
        });
        let failure = match writing.await {
            Ok((same, Ok(()))) => {
                sink = same;
                continue;
            }
            Ok((_, Err(error))) => error.to_string(),
            Err(error) => error.to_string(),
        };
        inbox.send(Input::JournalFailed(failure.clone()));
        return Err(failure);
    }
}

fn write_batch(sink: &mut dyn Sink, batch: &[Line]) -> io::Result<()> {
    for (line, _) in batch {
        sink.write(line)?;
    }
    if batch.iter().any(|(_, change)| *change) { sink.sync() } else { Ok(()) }
}
