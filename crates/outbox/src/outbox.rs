//! The outbox of a command, and a follower for each of its runs. A follower takes what happens into a bounded queue and
//! returns at once; a thread of its own folds, writes letters and delivers them. When a run is over, what is still to be
//! sent has a bounded time, and what has not arrived by then is told.

use crate::courier::{Mailbox, deliver};
use crate::listener::Listener;
use crate::message::{Message, Occasions};
use crate::metrics::Metrics;
use crate::outlet::{Exporter, Happened, Notifier};
use crate::run::Run;
use crate::surroundings::Surroundings;
use crate::{EXPORTERS, MARKS, NOTIFIERS};
use squall_model::event::Entry;
use squall_model::node::Node;
use squall_model::read::ReadError;
use squall_model::redaction::Redactor;
use squall_model::settings::{Call, Notify, Occasion, Settings};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How many entries may wait to be folded.
const MOST_WAITING: usize = 4096;
/// How long the end of a run waits for what is still to be sent.
const FAREWELL: Duration = Duration::from_secs(3);
/// The same for those who did not answer at the end of the run before.
const SHORT_FAREWELL: Duration = Duration::from_millis(500);

/// Whatever a command tells other systems.
#[derive(Default)]
pub struct Outbox {
    exporters: Vec<Arc<dyn Exporter>>,
    notifiers: Vec<(Arc<dyn Notifier>, Vec<Occasion>)>,
    metrics: Arc<Mutex<Metrics>>,
    /// Where counts are kept from one command to the next.
    kept: Option<PathBuf>,
    listeners: Vec<Listener>,
    silent: Arc<Mutex<BTreeSet<String>>>,
    secrets: Vec<String>,
}

impl Outbox {
    /// Adds everything that the settings name; touches nothing yet.
    ///
    /// # Errors
    /// All that is wrong, each at its place: a secret that is not there, a URL that is none.
    pub fn add(&mut self, settings: &Settings, surroundings: &Surroundings) -> Result<(), Vec<ReadError>> {
        let mut errors = Vec::new();
        for (lines, calls) in [(EXPORTERS, &settings.metrics), (MARKS, &settings.marks)] {
            for Call { kind, parameters } in calls {
                let Some(line) = lines.iter().find(|line| line.name == kind) else { continue };
                match line.build(parameters, surroundings) {
                    Ok(exporter) => self.exporters.push(exporter.into()),
                    Err(error) => errors.push(error),
                }
            }
        }
        for Notify { call: Call { kind, parameters }, on } in &settings.notify {
            let Some(line) = NOTIFIERS.iter().find(|line| line.name == kind) else { continue };
            match line.build(parameters, surroundings) {
                Ok(notifier) => self.notifiers.push((notifier.into(), on.clone())),
                Err(error) => errors.push(error),
            }
        }
        self.secrets.extend(surroundings.secrets());
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Whether nobody is told anything.
    pub fn is_empty(&self) -> bool {
        self.exporters.is_empty() && self.notifiers.is_empty()
    }

    /// Goes on with the counts in a file, and keeps them there from now on. What cannot be read is begun anew.
    pub fn keep(&mut self, path: &Path) {
        if !self.exporters.is_empty() {
            *self.metrics.lock().unwrap_or_else(PoisonError::into_inner) = read_kept(path);
            self.kept = Some(path.to_owned());
        }
    }

    /// Listens where metrics are to be asked for. Returns the addresses.
    ///
    /// # Errors
    /// An address cannot be listened on.
    pub fn listen(&mut self) -> Result<Vec<std::net::SocketAddr>, String> {
        for address in self.exporters.iter().filter_map(|exporter| exporter.listens_on()) {
            let listener = Listener::start(address, self.metrics.clone()).map_err(|error| {
                format!("could not listen on {address} for metrics: {error}; name another address or port")
            })?;
            self.listeners.push(listener);
        }
        Ok(self.listeners.iter().map(|listener| listener.address).collect())
    }

    /// How long it may take until all who came for metrics while the command lasted have come once more; none where nobody
    /// did. Only then do they know how the last run ended.
    pub fn next_scrape_within(&self) -> Option<Duration> {
        self.listeners.iter().filter_map(Listener::next_scrape_within).max()
    }

    /// Waits until they have.
    pub async fn next_scrape(&self) {
        for listener in self.listeners.iter().filter(|listener| listener.next_scrape_within().is_some()) {
            listener.next_scrape().await;
        }
    }

    /// Follows one run, from now on.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn follow(&self) -> io::Result<Follower> {
        let exporters =
            self.exporters.iter().map(|exporter| (exporter.clone(), Mailbox::new(exporter.destination())));
        let notifiers = self.notifiers.iter().map(|(notifier, on)| {
            (notifier.clone(), Occasions::new(on.clone()), Mailbox::new(notifier.destination()))
        });
        let desk = Desk {
            run: Run::default(),
            own: Metrics::default(),
            metrics: self.metrics.clone(),
            kept: self.kept.clone(),
            silent: self.silent.clone(),
            exporters: exporters.collect(),
            notifiers: notifiers.collect(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, mut entries) = channel::<Told>(MOST_WAITING);
        let (done, notes) = mpsc::channel();
        let work = move || {
            runtime.block_on(async {
                let mut desk = desk;
                let deliveries = desk.open();
                while let Some(told) = entries.recv().await {
                    match told {
                        Told::Entry(entry) => desk.on(&entry),
                        Told::Past(entries) => entries.iter().for_each(|entry| desk.recall(entry)),
                        Told::Message(message) => desk.pass_on(&message),
                    }
                }
                // Whoever asked may have stopped waiting.
                let _ = done.send(desk.close(deliveries).await);
            });
            // A name that is being resolved keeps a thread busy as long as it likes.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("outbox".to_owned()).spawn(work)?;
        Ok(Follower { entries: Some(sender), overrun: false, notes, redactor: Redactor::new(&self.secrets) })
    }

    /// Tells everybody who is told of runs something else, once each and one after another; what came of it, by name.
    pub fn tell(&self, message: &Message) -> Answers {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return vec![("notify".to_owned(), Err(error.to_string()))],
        };
        let told = runtime.block_on(async {
            let mut told = Vec::new();
            for (notifier, _) in &self.notifiers {
                told.push((notifier.destination(), self.tell_one(notifier.as_ref(), message).await));
            }
            told
        });
        runtime.shutdown_background();
        told
    }

    async fn tell_one(&self, notifier: &dyn Notifier, message: &Message) -> Result<String, String> {
        let redactor = Redactor::new(&self.secrets);
        let mut answer = "nothing was sent: it tells nobody of this".to_owned();
        for letter in notifier.letters(message) {
            answer = deliver(&letter).await.map_err(|refusal| redactor.text(&refusal.words()))?;
        }
        Ok(redactor.text(&answer))
    }
}

/// Who was told, and what came back or why they were not.
pub type Answers = Vec<(String, Result<String, String>)>;

/// What a follower hands over.
enum Told {
    Entry(Box<Entry>),
    /// What others heard of when it happened.
    Past(Vec<Entry>),
    Message(Message),
}

/// Follows one run and passes on what happens.
pub struct Follower {
    entries: Option<Sender<Told>>,
    /// Whether an entry found no room.
    overrun: bool,
    notes: Receiver<Vec<String>>,
    redactor: Redactor,
}

impl Follower {
    /// Something happened. Returns at once.
    pub fn see(&mut self, entry: &Entry) {
        self.hand_over(Told::Entry(Box::new(entry.clone())));
    }

    /// All this happened before, and whoever is told of it has been: it counts, and what follows is understood. Returns at
    /// once.
    pub fn recall(&mut self, entries: &[Entry]) {
        self.hand_over(Told::Past(entries.to_vec()));
    }

    /// Tells people something that no event of a run tells. Returns at once.
    pub fn tell(&mut self, message: Message) {
        self.hand_over(Told::Message(message));
    }

    fn hand_over(&mut self, told: Told) {
        if let Some(entries) = &self.entries
            && let Err(TrySendError::Full(_)) = entries.try_send(told)
        {
            self.overrun = true;
        }
    }

    /// The run is over: waits a bounded time for what is still to be sent. Returns what did not arrive, in words.
    pub fn close(&mut self) -> Vec<String> {
        if self.entries.take().is_none() {
            return Vec::new();
        }
        let mut notes = match self.notes.recv_timeout(FAREWELL + 2 * SHORT_FAREWELL) {
            Ok(notes) => notes,
            Err(RecvTimeoutError::Timeout) => {
                vec!["what was to be told is not sent yet, and is given up".to_owned()]
            }
            Err(RecvTimeoutError::Disconnected) => vec!["what was to be told was not sent".to_owned()],
        };
        if self.overrun {
            notes.push("not all that happened could be told: it was too much at once".to_owned());
        }
        notes.iter().map(|note| self.redactor.text(note)).collect()
    }
}

/// What a follower's thread works on.
struct Desk {
    run: Run,
    /// Metrics of this run alone.
    own: Metrics,
    /// Of all runs.
    metrics: Arc<Mutex<Metrics>>,
    kept: Option<PathBuf>,
    /// Who did not answer at the end of a run; several runs of a command share it.
    silent: Arc<Mutex<BTreeSet<String>>>,
    exporters: Vec<(Arc<dyn Exporter>, Mailbox)>,
    notifiers: Vec<(Arc<dyn Notifier>, Occasions, Mailbox)>,
}

impl Desk {
    fn mailboxes(&self) -> impl Iterator<Item = &Mailbox> {
        let exporters = self.exporters.iter().map(|(_, mailbox)| mailbox);
        exporters.chain(self.notifiers.iter().map(|(_, _, mailbox)| mailbox))
    }

    fn open(&self) -> Vec<JoinHandle<()>> {
        self.mailboxes().map(|mailbox| tokio::spawn(mailbox.clone().work())).collect()
    }

    /// Counts an event; returns whether that changed anything.
    fn count(&mut self, entry: &Entry) -> bool {
        self.run.on(entry);
        self.own.on(&self.run, entry);
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).on(&self.run, entry)
    }

    fn recall(&mut self, entry: &Entry) {
        self.count(entry);
        for (_, occasions, _) in &mut self.notifiers {
            occasions.on(&self.run, entry);
        }
    }

    fn on(&mut self, entry: &Entry) {
        let changed = self.count(entry);
        let metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let happened = Happened { entry, run: &self.run, metrics: &metrics, changed };
        for (exporter, mailbox) in &self.exporters {
            exporter.letters(happened).into_iter().for_each(|letter| mailbox.post(letter));
        }
        for (notifier, occasions, mailbox) in &mut self.notifiers {
            if let Some(message) = occasions.on(&self.run, entry) {
                notifier.letters(&message).into_iter().for_each(|letter| mailbox.post(letter));
            }
        }
    }

    fn pass_on(&self, message: &Message) {
        for (notifier, _, mailbox) in &self.notifiers {
            notifier.letters(message).into_iter().for_each(|letter| mailbox.post(letter));
        }
    }

    /// Keeps the counts, and waits for what is under way; what did not arrive, in words.
    async fn close(self, deliveries: Vec<JoinHandle<()>>) -> Vec<String> {
        self.mailboxes().for_each(Mailbox::close);
        let mut notes: Vec<String> = self.keep().err().into_iter().collect();
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (silent, others): (Vec<_>, Vec<_>) =
            self.mailboxes().zip(deliveries).partition(|(mailbox, _)| silent.contains(&mailbox.name));
        for (farewell, deliveries) in [(FAREWELL, others), (SHORT_FAREWELL, silent)] {
            let all = async {
                for (_, delivery) in deliveries {
                    // What did not arrive is told below.
                    let _ = delivery.await;
                }
            };
            let _ = timeout(farewell, all).await;
        }
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        for mailbox in self.mailboxes() {
            silent.remove(&mailbox.name);
            if let Some(note) = mailbox.undelivered() {
                silent.insert(mailbox.name.clone());
                notes.push(note);
            }
        }
        notes
    }

    /// Adds this run's counts to those that are kept; other commands may do the same at the same time.
    fn keep(&self) -> Result<(), String> {
        let Some(path) = &self.kept else { return Ok(()) };
        let kept = || -> io::Result<()> {
            let lock = std::fs::OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path.with_extension("lock"))?;
            lock.lock()?;
            let mut metrics = read_kept(path);
            metrics.add(&self.own);
            let draft = path.with_extension("new");
            std::fs::write(&draft, serde_json::to_vec(&metrics)?)?;
            std::fs::rename(&draft, path)
        };
        kept().map_err(|error| format!("could not keep the counts in {}: {error}", path.display()))
    }
}

fn read_kept(path: &Path) -> Metrics {
    let kept = std::fs::read(path).ok().and_then(|text| serde_json::from_slice::<Metrics>(&text).ok());
    kept.filter(Metrics::is_sound).unwrap_or_default()
}

/// A call as an option of the command line gives it.
pub fn asked_for(kind: &str, text: &str) -> Call {
    let content = squall_model::node::Content::Text(text.to_owned());
    Call { kind: kind.to_owned(), parameters: Node { content, place: squall_model::node::Place::default() } }
}
