//! Delivers letters: one mailbox for each who is told, in order, with growing pauses between attempts. One that does not
//! answer keeps nobody else waiting.

use crate::letter::{Content, Letter};
use squall_http::{ErrorKind, HttpClient, Request};
use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pauses between attempts; after the last of them a letter is given up.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];
/// How many letters may wait for one who is slow; older ones make room.
const MOST_WAITING: usize = 256;

/// Why a letter did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It may later; not before so long, where whoever is told said so.
    Later(String, Option<Duration>),
    /// It never will.
    Never(String),
}

impl Refusal {
    pub(crate) fn words(self) -> String {
        match self {
            Self::Later(words, _) | Self::Never(words) => words,
        }
    }
}

/// Delivers a letter once. The answer is in words: what came back.
pub(crate) async fn deliver(letter: &Letter) -> Result<String, Refusal> {
    match &letter.content {
        Content::Http(request) => ask(request, letter.also_good).await,
        Content::Mail(post, message) => post.send(message.as_ref().clone(), PATIENCE).await,
        Content::File(path, text) => {
            let (path, text) = (path.clone(), text.clone());
            let written = tokio::task::spawn_blocking(move || replace(&path, &text)).await;
            match written.map_err(std::io::Error::other).flatten() {
                Ok(()) => Ok("written".to_owned()),
                Err(error) => Err(Refusal::Later(error.to_string(), None)),
            }
        }
    }
}

async fn ask(request: &Request, also_good: &[u16]) -> Result<String, Refusal> {
    // What was tried holds the URL, which may be a secret: only the cause is told.
    let answer =
        HttpClient::default().request(request, PATIENCE).await.map_err(|error| match error.kind {
            ErrorKind::Request => Refusal::Never(error.cause),
            _ => Refusal::Later(error.cause, None),
        })?;
    let status = answer.status;
    if (200..300).contains(&status) || also_good.contains(&status) {
        return Ok(format!("HTTP {status}"));
    }
    let words = format!("HTTP {status}{}", beginning(&answer.body));
    match status {
        408 | 425 | 429 | 500..=599 => {
            let after = answer.headers.get("retry-after").and_then(|after| after.to_str().ok()?.parse().ok());
            Err(Refusal::Later(words, after.map(Duration::from_secs)))
        }
        300..=399 => {
            Err(Refusal::Never(format!("HTTP {status}: it is elsewhere, and redirects are not followed")))
        }
        _ => Err(Refusal::Never(words)),
    }
}

/// The beginning of an answer, in one line.
fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|letter| !letter.is_control()).take(200).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

/// Writes a file in the place of another, so that nobody ever reads half of one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let name = path.file_name().ok_or(std::io::ErrorKind::IsADirectory)?.to_string_lossy().into_owned();
    // Those who read the folder take what ends in `.prom`.
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    // A new file, so that nobody who can write to the folder can lead us elsewhere by a link.
    let _ = std::fs::remove_file(&draft);
    let written = std::fs::File::create_new(&draft).and_then(|mut file| file.write_all(text.as_bytes()));
    let replaced = written.and_then(|()| std::fs::rename(&draft, path));
    if replaced.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    replaced
}

/// The letters to one who is told.
#[derive(Clone)]
pub(crate) struct Mailbox {
    /// Who it is, for messages; without secrets.
    pub(crate) name: String,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Letter>,
    /// Whether one is under way.
    sending: bool,
    closed: bool,
    /// What went wrong last, until something goes well.
    trouble: Option<String>,
    lost: usize,
}

impl Mailbox {
    pub(crate) fn new(name: String) -> Self {
        Self { name, inner: Arc::default() }
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.inner.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a letter; never waits.
    pub(crate) fn post(&self, letter: Letter) {
        self.with(|state| {
            if letter.supersedes {
                state.waiting.retain(|waiting| !waiting.supersedes);
            }
            if state.waiting.len() >= MOST_WAITING {
                state.waiting.pop_front();
                state.lost += 1;
            }
            state.waiting.push_back(letter);
        });
        self.inner.arrived.notify_one();
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.with(|state| state.closed = true);
        self.inner.arrived.notify_one();
    }

    /// Delivers what comes until the box is closed and empty.
    pub(crate) async fn work(self) {
        loop {
            let (letter, is_closed) = self.with(|state| {
                let letter = state.waiting.pop_front();
                state.sending = letter.is_some();
                (letter, state.closed)
            });
            match letter {
                Some(letter) => self.deliver(&letter).await,
                None if is_closed => return,
                None => self.inner.arrived.notified().await,
            }
        }
    }

    async fn deliver(&self, letter: &Letter) {
        let mut pauses = PAUSES.iter();
        loop {
            let Err(refusal) = deliver(letter).await else {
                return self.with(|state| state.trouble = None);
            };
            let pause = match &refusal {
                Refusal::Later(_, after) => pauses
                    .next()
                    .map(|pause| after.map_or(*pause, |after| after.min(PAUSES[PAUSES.len() - 1]))),
                Refusal::Never(_) => None,
            };
            let is_superseded = self.with(|state| {
                state.trouble = Some(refusal.words());
                letter.supersedes && state.waiting.iter().any(|waiting| waiting.supersedes)
            });
            match pause {
                Some(_) if is_superseded => return,
                Some(pause) => tokio::time::sleep(pause).await,
                None => return self.with(|state| state.lost += 1),
            }
        }
    }

    /// What did not arrive so far, in words.
    pub(crate) fn undelivered(&self) -> Option<String> {
        self.with(|state| {
            let count = state.lost + state.waiting.len() + usize::from(state.sending);
            let why = state.trouble.clone().unwrap_or_else(|| "no answer in time".to_owned());
            let messages = if count == 1 { "1 message".to_owned() } else { format!("{count} messages") };
            (count > 0).then(|| format!("{}: {messages} did not arrive: {why}", self.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_http::testing::{TestServer, answer};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn letter(server: &TestServer) -> Letter {
        Letter::http(Request::get(&server.url("/secret-path")).unwrap())
    }

    fn on_runtime<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn what_fails_is_tried_again_and_what_is_refused_is_not() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counting = asked.clone();
        let server = TestServer::start(move |_| {
            let nth = counting.fetch_add(1, Ordering::SeqCst);
            async move { answer(if nth == 0 { 503 } else { 403 }, "no\n<b>such key") }
        });
        let mailbox = Mailbox::new("test".to_owned());
        mailbox.post(letter(&server));
        mailbox.close();
        on_runtime(mailbox.clone().work());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert_eq!(
            mailbox.undelivered().unwrap(),
            "test: 1 message did not arrive: HTTP 403: no <b>such key"
        );
    }

    #[test]
    fn only_the_latest_of_a_sort_waits_and_a_full_box_says_so() {
        let mailbox = Mailbox::new("test".to_owned());
        let request = Request::get("http://127.0.0.1:1/").unwrap();
        (0..3).for_each(|_| mailbox.post(Letter::http(request.clone()).superseding()));
        mailbox.post(Letter::http(request.clone()));
        assert_eq!(mailbox.with(|state| state.waiting.len()), 2);
        (0..MOST_WAITING).for_each(|_| mailbox.post(Letter::http(request.clone())));
        assert_eq!(mailbox.with(|state| (state.waiting.len(), state.lost)), (MOST_WAITING, 2));
        assert!(mailbox.undelivered().unwrap().contains("no answer in time"));
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("squall.prom");
        on_runtime(deliver(&Letter::file(path.clone(), "one".to_owned()))).unwrap();
        on_runtime(deliver(&Letter::file(path.clone(), "two".to_owned()))).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        let nowhere = folder.path().join("missing/squall.prom");
        assert!(on_runtime(deliver(&Letter::file(nowhere, String::new()))).is_err());
    }
}
