//! Sessions that are held: opened side by side, kept alive, counted, and ended by their mark.

use crate::{ANSWERS_WITHIN, LOOKS_WITHIN, RemoteMachine, Shared, drifted, in_sight, in_time, named, worded};
use squall_database::{DatabaseError, Login, Manner, Reason, Rows, Session};
use squall_model::machine::MachineError;
use squall_model::server::{Again, Look, ServerRef, SessionsStep, Statement};
use squall_model::undo::{Evidence, Reverted, Undo};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

/// How many sessions are opened at the same time.
const AT_ONCE: usize = 32;
/// How long whoever asked for them waits until they are there. Those that take longer join later.
const BEGIN_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked whether there is room for those that are missing.
const FILLS_UP_EVERY: Duration = Duration::from_millis(200);
/// When it is asked what keeps them from it.
const BLAMES_AFTER: Duration = Duration::from_secs(1);
/// How long one may take to be let in and to begin.
const ONE_WITHIN: Duration = Duration::from_secs(10);
/// How long the server may take to end them.
const ENDED_WITHIN: Duration = Duration::from_secs(2);

/// What is counted of the sessions of one step.
#[derive(Debug, Default)]
struct Tally {
    held: AtomicU64,
    said: AtomicU64,
    struck: AtomicU64,
    failed: AtomicU64,
    /// What went wrong last.
    trouble: Mutex<Option<String>>,
}

impl Tally {
    fn answered(&self, rows: &Rows) {
        self.said.fetch_add(1, Ordering::Relaxed);
        let first = rows.first().and_then(|text| text.parse().ok());
        self.struck.fetch_add(first.unwrap_or(0), Ordering::Relaxed);
    }

    fn trouble(&self, error: &DatabaseError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut trouble) = self.trouble.lock() {
            *trouble = Some(error.to_string());
        }
    }

    fn measures(&self) -> BTreeMap<String, f64> {
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
        [("held", &self.held), ("said", &self.said), ("struck", &self.struck), ("failed", &self.failed)]
            .map(|(name, number)| (name.to_owned(), count(number)))
            .into()
    }
}

/// Counts a session while it lives, however it ends.
struct Counted(Arc<Tally>);

impl Counted {
    fn new(tally: &Arc<Tally>) -> Self {
        tally.held.fetch_add(1, Ordering::Relaxed);
        Self(tally.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The sessions of one step.
pub(crate) struct Held {
    tally: Arc<Tally>,
    tasks: Vec<JoinHandle<()>>,
    /// A session that looks, opened first: where the server is full there is no other way in.
    observer: Shared,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Asks whether it can be done; there is nothing to be read for the undo.
pub(crate) fn capture(machine: &mut RemoteMachine, step: &SessionsStep) -> Result<Undo, MachineError> {
    machine.check(&step.server, &step.check)?;
    Ok(Undo::Sessions { server: step.server.clone(), mark: step.mark.clone(), finally: step.finally.clone() })
}

/// Opens the sessions, and returns once all are there or it takes too long for that. Where none is there by then, or one
/// was refused for another reason than that the server is full, it is an error.
pub(crate) fn apply(machine: &mut RemoteMachine, step: &SessionsStep) -> Result<(), MachineError> {
    let login = machine.login(&step.server)?;
    if machine.held.contains_key(&step.mark) {
        let message = format!("sessions {} are held already", named(&step.server, &step.mark));
        return Err(MachineError::Failed { message });
    }
    let (held, begun) = machine.run(begin(login, step.clone()))?;
    // Also those that failed: the revert that follows ends what is there of them.
    machine.held.insert(step.mark.clone(), held);
    begun.map_err(worded)
}

async fn begin(login: Login, step: SessionsStep) -> Result<(Held, Result<(), DatabaseError>), DatabaseError> {
    let manner = Manner { name: step.mark.clone(), lease: Some(step.lease.0), within: ONE_WITHIN };
    let asking = Manner { within: ANSWERS_WITHIN, ..manner.clone() };
    let begun = tokio::time::Instant::now();
    let observer = Arc::new(tokio::sync::Mutex::new(squall_database::open(&login, &asking).await?));
    let opener = Arc::new(Opener {
        login,
        manner,
        step,
        tally: Arc::new(Tally::default()),
        gate: Semaphore::new(AT_ONCE),
        opening: AtomicU64::new(0),
        observer: observer.clone(),
    });
    let first = opener.room(opener.step.count).await?;
    let (report, reports) = mpsc::unbounded_channel();
    let mut tasks = vec![tokio::spawn(keep_observing(observer.clone(), beat(&opener.step)))];
    tasks.extend((0..first).map(|_| tokio::spawn(opener.clone().open_and_hold(report.clone()))));
    drop(report);
    let outcome = all_there(&opener.step, reports, &observer, begun).await;
    if opener.step.room.is_some() {
        tasks.push(tokio::spawn(opener.clone().fill_up()));
    }
    Ok((Held { tally: opener.tally.clone(), tasks, observer }, outcome))
}

/// What became of one session that was to be opened.
type Report = Result<(), DatabaseError>;

/// Waits until all sessions have begun, or it takes too long for that.
async fn all_there(
    step: &SessionsStep,
    mut reports: mpsc::UnboundedReceiver<Report>,
    observer: &Shared,
    begun: tokio::time::Instant,
) -> Result<(), DatabaseError> {
    let (mut there, mut refused, mut blamed) = (0, None, None);
    let mut until = begun + BLAMES_AFTER;
    loop {
        match tokio::time::timeout_at(until, reports.recv()).await {
            Ok(Some(Ok(()))) => there += 1,
            Ok(Some(Err(error))) if step.or_fewer && error.reason == Reason::Full => refused = Some(error),
            Ok(Some(Err(error))) => {
                let why = |blamed| DatabaseError::new(error.reason, &step.server, "begin on", blamed);
                return Err(blamed.map_or(error.clone(), why));
            }
            Err(_) if until < begun + BEGIN_WITHIN => {
                until = begun + BEGIN_WITHIN;
                // Asked while they wait: afterwards nobody can tell any more for what they did.
                blamed = if there == 0 { blame(step, observer).await } else { None };
            }
            Ok(None) | Err(_) => break,
        }
    }
    let late = || {
        let unknown =
            format!("not one session could begin within {BEGIN_WITHIN:?}: something holds what it needs");
        DatabaseError::new(Reason::Unreachable, &step.server, "begin on", blamed.unwrap_or(unknown))
    };
    if there > 0 { Ok(()) } else { Err(refused.unwrap_or_else(late)) }
}

/// Who holds what the sessions wait for, where that can be told.
async fn blame(step: &SessionsStep, observer: &Shared) -> Option<String> {
    let ask = step.blame.as_ref()?;
    let asked = async { observer.lock().await.say(ask).await };
    let answer = tokio::time::timeout(LOOKS_WITHIN, asked).await.ok()?.ok()?;
    answer.first().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Opens the sessions of a step.
struct Opener {
    login: Login,
    manner: Manner,
    step: SessionsStep,
    tally: Arc<Tally>,
    gate: Semaphore,
    /// How many are on their way, which the server does not count yet.
    opening: AtomicU64,
    observer: Shared,
}

impl Opener {
    /// How many of those that are wanted there is room for.
    async fn room(&self, wanted: u32) -> Result<u32, DatabaseError> {
        let Some(ask) = &self.step.room else { return Ok(wanted) };
        let rows = in_time(&self.step.server, async { self.observer.lock().await.say(ask).await }).await?;
        let room: u32 = rows.first().and_then(|text| text.parse().ok()).unwrap_or(0);
        let opening = self.opening.load(Ordering::Relaxed) as u32;
        Ok(wanted.min(room.saturating_sub(opening)))
    }

    async fn open_and_hold(self: Arc<Self>, report: mpsc::UnboundedSender<Report>) {
        self.opening.fetch_add(1, Ordering::Relaxed);
        let begun = async {
            let _turn = self.gate.acquire().await;
            begin_one(&self.login, &self.manner, &self.step, &self.tally).await
        };
        let begun = begun.await;
        self.opening.fetch_sub(1, Ordering::Relaxed);
        match begun {
            Ok((session, counted)) => {
                let _ = report.send(Ok(()));
                // Whoever waits for all of them sees by this that there are no more.
                drop(report);
                hold(session, &self.step, counted).await;
            }
            Err(error) => {
                let _ = report.send(Err(error));
            }
        }
    }

    /// Opens more as soon as there is room for them. Those that it opened end with it.
    async fn fill_up(self: Arc<Self>) {
        let mut sessions = JoinSet::new();
        loop {
            tokio::time::sleep(FILLS_UP_EVERY).await;
            while sessions.try_join_next().is_some() {}
            let there = self.tally.held.load(Ordering::Relaxed) + self.opening.load(Ordering::Relaxed);
            let missing = u64::from(self.step.count).saturating_sub(there) as u32;
            // A server that cannot be asked just now is asked again.
            let room = if missing == 0 { 0 } else { self.room(missing).await.unwrap_or(0) };
            let (report, mut reports) = mpsc::unbounded_channel();
            for _ in 0..room {
                sessions.spawn(self.clone().open_and_hold(report.clone()));
            }
            drop(report);
            while reports.recv().await.is_some() {}
        }
    }
}

async fn begin_one(
    login: &Login,
    manner: &Manner,
    step: &SessionsStep,
    tally: &Arc<Tally>,
) -> Result<(Box<dyn Session>, Counted), DatabaseError> {
    let mut session = squall_database::open(login, manner).await?;
    for statement in &step.begin {
        tally.answered(&session.say(statement).await?);
    }
    Ok((session, Counted::new(tally)))
}

/// How often a session says that it is there: several times within a lease.
fn beat(step: &SessionsStep) -> Duration {
    step.lease.0 / 6
}

/// Holds a session until it is lost or the task is ended.
async fn hold(mut session: Box<dyn Session>, step: &SessionsStep, counted: Counted) {
    loop {
        let outcome = match &step.again {
            None => {
                tokio::time::sleep(beat(step)).await;
                session.keep_alive().await
            }
            Some(Again { statement, every }) => {
                say_again(&mut session, statement, every.0, step, &counted.0).await
            }
        };
        if let Err(error) = outcome {
            counted.0.trouble(&error);
            return;
        }
    }
}

/// Says it once, and waits until it is to be said again. An answer that is an error is counted; a lost session is an error.
async fn say_again(
    session: &mut Box<dyn Session>,
    statement: &Statement,
    every: Duration,
    step: &SessionsStep,
    tally: &Tally,
) -> Result<(), DatabaseError> {
    match session.say(statement).await {
        Ok(rows) => tally.answered(&rows),
        Err(error) if error.reason == Reason::Answered => {
            tally.trouble(&error);
            // A server that refuses at once is not to be asked in a rush.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(error) => return Err(error),
    }
    let until = tokio::time::Instant::now() + every;
    loop {
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(left.min(beat(step))).await;
        session.keep_alive().await?;
    }
}

async fn keep_observing(observer: Shared, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if observer.lock().await.keep_alive().await.is_err() {
            return;
        }
    }
}

/// Counts what is held, and asks the server on the session that looks.
pub(crate) fn look(
    machine: &RemoteMachine,
    step: &SessionsStep,
) -> impl Future<Output = Result<Evidence, DatabaseError>> + Send + use<> {
    let held = machine.held.get(&step.mark).map(|held| (held.tally.clone(), held.observer.clone()));
    let step = step.clone();
    async move {
        let Some((tally, observer)) = held else {
            let nothing = format!("no session {} is held here", named(&step.server, &step.mark));
            return Ok(Evidence::not_seen(nothing));
        };
        let mut measures = tally.measures();
        if let Some(ask) = &step.look.ask {
            let asked = async { observer.lock().await.say(ask).await };
            measures.extend(numbers(&in_sight(&step.server, asked).await?));
        }
        let trouble = tally.trouble.lock().ok().and_then(|trouble| trouble.clone());
        Ok(told(&step.look, measures, trouble))
    }
}

/// The named numbers of an answer.
pub(crate) fn numbers(rows: &Rows) -> BTreeMap<String, f64> {
    rows.named().filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

/// Puts measures into words, and says whether there is an effect.
pub(crate) fn told(look: &Look, measures: BTreeMap<String, f64>, trouble: Option<String>) -> Evidence {
    let mut words = look.words.clone();
    for (name, value) in &measures {
        words = words.replace(&format!("{{{name}}}"), &value.to_string());
    }
    let is_seen = measures.get(&look.effect).is_some_and(|value| *value > 0.0);
    let mut evidence = match trouble {
        _ if is_seen => Evidence::seen(words),
        Some(trouble) => Evidence::not_seen(format!("{words}; last: {trouble}")),
        None => Evidence::not_seen(words),
    };
    evidence.measures = measures;
    evidence
}

/// Ends our sessions and whoever else goes by the mark, and looks until none is left.
pub(crate) fn revert(
    machine: &mut RemoteMachine,
    server: &ServerRef,
    mark: &str,
    finally: &[Statement],
) -> Result<Reverted, MachineError> {
    let held = machine.held.remove(mark);
    let observer = held.as_ref().map(|held| held.observer.clone());
    let was_held = held.is_some();
    // Its sockets close here, which ends most of it.
    drop(held);
    let login = machine.login(server)?;
    let ended = machine.runtime()?.block_on(end(&login, observer, mark, finally));
    let looked_at = format!("no session {}", named(server, mark));
    match ended {
        Ok(0) if !was_held => Ok(Reverted::AlreadyGone { looked_at }),
        Ok(_) => Ok(Reverted::Undone { looked_at }),
        Err(Unended::Left(count)) => Ok(live_on(server, mark, count)),
        // What holds nothing open cannot hold sessions: ours are closed at our end as well.
        Err(Unended::Unasked(error)) if error.reason == Reason::Refused && finally.is_empty() => {
            let looked_at =
                format!("nothing listens on {} any more: its sessions ended with it", server.place());
            Ok(if was_held { Reverted::Undone { looked_at } } else { Reverted::AlreadyGone { looked_at } })
        }
        Err(Unended::Unasked(error)) => Err(worded(error)),
    }
}

/// That some could not be ended.
pub(crate) fn live_on(server: &ServerRef, mark: &str, count: usize) -> Reverted {
    let looked_at = format!("sessions {}", named(server, mark));
    drifted(looked_at, "none", &format!("{count} live on"), squall_model::server::removal(server, mark))
}

/// Why sessions could not be ended.
enum Unended {
    Left(usize),
    Unasked(DatabaseError),
}

/// Ends sessions by their mark; returns how many there were that did not go by themselves.
async fn end_marked(
    session: &mut dyn Session,
    server: &ServerRef,
    mark: &str,
) -> Result<usize, DatabaseError> {
    let others = in_time(server, session.marked(mark)).await?;
    let ours: Vec<_> = others.into_iter().filter(|other| other.mark == mark).collect();
    for other in &ours {
        in_time(server, session.end(other)).await?;
    }
    Ok(ours.len())
}

async fn end(
    login: &Login,
    observer: Option<Shared>,
    mark: &str,
    finally: &[Statement],
) -> Result<usize, Unended> {
    let server = &login.server;
    // A session that lives is a way in where the server is full; one that was lost says so, and another is opened.
    if let Some(observer) = observer {
        let ended = end_with(&mut **observer.lock().await, server, mark, finally).await;
        drop(observer);
        if let Ok(ended) = ended {
            // It goes by the mark itself, and a busy server takes a moment to see that it is closed.
            if let Ok(mut other) = squall_database::open(login, &Manner::asking(ANSWERS_WITHIN)).await {
                let _ = end_all(&mut *other, server, mark).await;
            }
            return ended.map_err(Unended::Left);
        }
    }
    let opened = squall_database::open(login, &Manner::asking(ANSWERS_WITHIN)).await;
    let mut session = opened.map_err(Unended::Unasked)?;
    let ended = end_with(&mut *session, server, mark, finally).await.map_err(Unended::Unasked)?;
    ended.map_err(Unended::Left)
}

/// Ends them until none is seen, then says what is to be said. The inner error is how many live on.
async fn end_with(
    session: &mut dyn Session,
    server: &ServerRef,
    mark: &str,
    finally: &[Statement],
) -> Result<Result<usize, usize>, DatabaseError> {
    let ended = end_all(session, server, mark).await?;
    if ended.is_ok() {
        for statement in finally {
            in_time(server, session.say(statement)).await?;
        }
    }
    Ok(ended)
}

/// Ends sessions by their mark until none is seen: how many there were, or how many live on.
pub(crate) async fn end_all(
    session: &mut dyn Session,
    server: &ServerRef,
    mark: &str,
) -> Result<Result<usize, usize>, DatabaseError> {
    let deadline = Instant::now() + ENDED_WITHIN;
    let mut most = 0;
    loop {
        let left = end_marked(session, server, mark).await?;
        most = most.max(left);
        if left == 0 {
            return Ok(Ok(most));
        }
        if Instant::now() > deadline {
            return Ok(Err(left));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
