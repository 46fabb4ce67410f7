//! The hands for what is reached over a network: databases, caches, brokers. Another machine behind the same door as the
//! kernel: sessions that are held and settings that are changed are steps with an undo like any other.
//!
//! The sessions live in this process: when it dies its sockets close, and the server ends them. Where the network dies
//! instead, the server hears nothing for a lease and ends them as well. Each goes by a mark, so that whoever comes later,
//! from wherever, finds them and ends them by it.

mod cloud;
mod cluster;
mod keyring;
mod sessions;
mod setting;
mod watch;

#[cfg(feature = "kubernetes")]
pub use cluster::marks;
pub use keyring::Keyring;

use cloud::Clouds;
use cluster::Clusters;
use sessions::Held;
use squall_database::{DatabaseError, Login, Manner, Marked, Reason, Session};
use squall_model::cluster::ClusterPlace;
use squall_model::facts::{Scope, Subject};
use squall_model::machine::{Leftover, MachineError};
use squall_model::server::{self, ServerRef, ServerUrl, Statement};
use squall_model::step::Step;
use squall_model::target::Target;
use squall_model::undo::{Difference, Evidence, Reverted, Undo};
use squall_model::undo_log::Logged;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, JoinHandle};

/// How long a server may take to let us in and to answer: much less than a lease, since whoever waits for a call takes a
/// longer silence for death.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// How long a look for an effect may take: one is taken each second.
const LOOKS_WITHIN: Duration = Duration::from_secs(1);

/// All servers that experiments name.
#[derive(Default)]
pub struct RemoteMachine {
    /// Made when the first server is spoken to.
    runtime: Option<Runtime>,
    keyring: Keyring,
    held: BTreeMap<String, Held>,
    watching: BTreeMap<String, watch::Watching>,
    /// What a setting's numbers were before it was changed, by its mark and its name.
    counted: BTreeMap<(String, String), BTreeMap<String, f64>>,
    clouds: Clouds,
    clusters: Clusters,
    /// Servers whose marks are looked for.
    known: Vec<ServerRef>,
}

impl RemoteMachine {
    /// With this keyring, which others fill and read too.
    pub fn new(keyring: Keyring) -> Self {
        Self { keyring, ..Self::default() }
    }

    /// The same, which looks for marks on these servers too.
    #[must_use]
    pub fn knowing(mut self, servers: impl IntoIterator<Item = ServerUrl>) -> Self {
        for url in servers {
            self.keyring.keep(&url);
            self.known.push(url.server);
        }
        self
    }

    /// The same, which looks for marks in these clusters too.
    #[must_use]
    pub fn knowing_clusters(mut self, places: impl IntoIterator<Item = ClusterPlace>) -> Self {
        self.clusters.know(places);
        self
    }

    /// Keeps the passwords in these addresses.
    pub fn hear_of(&self, servers: &[ServerUrl]) {
        servers.iter().for_each(|url| self.keyring.keep(url));
    }

    /// Whether a target, and all that is done to it, is ours.
    pub fn has(target: &Target) -> bool {
        matches!(target, Target::Database(_)) || Clouds::has(target) || Clusters::has(target)
    }

    /// Whether a step is ours.
    pub fn makes(step: &Step) -> bool {
        Self::is_of_a_server(step) || Clouds::makes(step) || Clusters::makes(step)
    }

    fn is_of_a_server(step: &Step) -> bool {
        matches!(step, Step::Sessions(_) | Step::Setting(_))
    }

    /// Whether an undo is ours.
    pub fn undoes(undo: &Undo) -> bool {
        matches!(undo, Undo::Sessions { .. } | Undo::Setting { .. })
            || Clouds::undoes(undo)
            || Clusters::undoes(undo)
    }

    /// From now on something is active, or no longer: whoever finds targets takes no longer than a few seconds then.
    pub fn hurry(&mut self, is_hurried: bool) {
        self.clusters.hurry(is_hurried);
    }

    /// What a target is.
    ///
    /// # Errors
    /// Where the server cannot be asked, and for a fault of another scope.
    pub fn resolve(&mut self, scope: Scope, target: &Target) -> Result<Vec<Subject>, MachineError> {
        if Clouds::has(target) {
            return self.clouds.resolve(scope, target);
        }
        if Clusters::has(target) {
            return self.clusters.resolve(scope, target);
        }
        let Target::Database(url) = target else { return Ok(Vec::new()) };
        if scope != Scope::Database {
            return Err(MachineError::Refused {
                message: format!("this fault does not strike a server, as {target} is"),
            });
        }
        self.keyring.keep(url);
        let login = self.login(&url.server)?;
        let facts = self.run(async {
            let mut session = squall_database::open(&login, &Manner::asking(ANSWERS_WITHIN)).await?;
            in_time(&login.server, session.facts()).await
        })?;
        Ok(vec![Subject::Database(facts)])
    }

    /// Reads what must be known to undo a step. Changes nothing.
    ///
    /// # Errors
    /// Where the server cannot be asked, or the step would change nothing.
    pub fn capture(&mut self, step: &Step) -> Result<Undo, MachineError> {
        match step {
            Step::Sessions(step) => sessions::capture(self, step),
            Step::Setting(step) => setting::capture(self, step),
            Step::Object(_) => only(self.clusters.capture_all(&[step])),
            other => self.clouds.capture(other),
        }
    }

    /// Makes the change of a step whose undo is on disk.
    ///
    /// # Errors
    /// Where the server does not let us.
    pub fn apply(&mut self, logged: Logged<'_>) -> Result<(), MachineError> {
        match (logged.step(), logged.undo()) {
            (Step::Sessions(step), _) => sessions::apply(self, step),
            (Step::Setting(step), undo) => setting::apply(self, step, undo),
            (Step::Object(_), _) => only(self.clusters.apply_all(&[logged])),
            _ => self.clouds.apply(&logged),
        }
    }

    /// Whether such a step may be made at the same time as others: each is an object of a cluster.
    pub fn makes_at_once(step: &Step) -> bool {
        Clusters::makes_at_once(step)
    }

    /// Whether such an undo may be carried out at the same time as others.
    pub fn reverts_at_once(undo: &Undo) -> bool {
        Clusters::undoes(undo)
    }

    /// [`RemoteMachine::capture`] for steps that may be made at the same time.
    pub fn capture_all(&mut self, steps: &[&Step]) -> Vec<Result<Undo, MachineError>> {
        self.clusters.capture_all(steps)
    }

    /// [`RemoteMachine::apply`] for steps that may be made at the same time.
    pub fn apply_all(&mut self, logged: &[Logged<'_>]) -> Vec<Result<(), MachineError>> {
        self.clusters.apply_all(logged)
    }

    /// [`RemoteMachine::revert`] for undos that may be carried out at the same time.
    pub fn revert_all(&mut self, undos: &[&Undo]) -> Vec<Result<Reverted, MachineError>> {
        self.clusters.revert_all(undos)
    }

    /// Looks for the effects of applied steps, all at the same time.
    pub fn observe(&mut self, applied: &[(&Step, &Undo)]) -> Vec<Result<Evidence, MachineError>> {
        let steps = || applied.iter().map(|(step, _)| *step);
        let in_clouds: Vec<&Step> = steps().filter(|step| Clouds::makes(step)).collect();
        let in_clusters: Vec<&Step> = steps().filter(|step| Clusters::makes(step)).collect();
        // Those at servers are begun before any is waited for.
        let at_servers: Vec<_> =
            steps().map(|step| Self::is_of_a_server(step).then(|| self.begin_look(step))).collect();
        let mut of_clouds = self.clouds.observe(&in_clouds).into_iter();
        let mut of_clusters = self.clusters.observe(&in_clusters).into_iter();
        let answers = steps().zip(at_servers).filter_map(|(step, look)| match look {
            Some(look) => Some(look.and_then(|look| self.end_look(look))),
            None if Clusters::makes(step) => of_clusters.next(),
            None => of_clouds.next(),
        });
        answers.collect()
    }

    fn begin_look(&mut self, step: &Step) -> Result<Looking, MachineError> {
        match step {
            Step::Sessions(step) => {
                let look = sessions::look(self, step);
                Ok(self.runtime()?.spawn(look))
            }
            Step::Setting(step) => {
                let look = setting::look(self, step)?;
                Ok(self.runtime()?.spawn(look))
            }
            other => Err(elsewhere(other.kind())),
        }
    }

    fn end_look(&mut self, look: Looking) -> Result<Evidence, MachineError> {
        let lost = |error: JoinError| MachineError::Failed { message: format!("the look was lost: {error}") };
        self.runtime()?.block_on(look).map_err(lost)?.map_err(worded)
    }

    /// Puts back what the record describes and looks again.
    ///
    /// # Errors
    /// Where the server cannot be asked.
    pub fn revert(&mut self, undo: &Undo) -> Result<Reverted, MachineError> {
        match undo {
            Undo::Sessions { server, mark, finally } => {
                sessions::revert(self, server, mark, finally).map_err(still_owed)
            }
            Undo::Setting { .. } => setting::revert(self, undo).map_err(still_owed),
            other if Clusters::undoes(other) => only(self.clusters.revert_all(&[other])),
            other => self.clouds.revert(other),
        }
    }

    /// Sessions of ours on the servers that are known, and marks in the clusters that are.
    ///
    /// # Errors
    /// Where one of them cannot be asked: what it holds is not known then.
    pub fn leftovers(&mut self) -> Result<Vec<Leftover>, MachineError> {
        let mut found = Vec::new();
        for server in self.known.clone() {
            let marked = self.marked(&server, server::MARK_PREFIX)?;
            let mut marks: BTreeMap<String, usize> = BTreeMap::new();
            marked.into_iter().for_each(|session| *marks.entry(session.mark).or_default() += 1);
            found.extend(marks.into_iter().map(|(mark, count)| leftover(&server, &mark, count)));
        }
        found.extend(self.clusters.leftovers()?);
        Ok(found)
    }

    /// Ends what was found as a leftover; `None` where it is none of ours.
    ///
    /// # Errors
    /// Where the server cannot be asked.
    pub fn remove(&mut self, leftover: &Leftover) -> Result<Option<Reverted>, MachineError> {
        for server in self.known.clone() {
            let marks = leftover.injection.as_deref().map(server::mark_of);
            let is_it = |mark: &String| leftover.what.ends_with(&named(&server, mark));
            if let Some(mark) = marks.filter(is_it) {
                let login = self.login(&server)?;
                self.run(watch::let_go(&login, &mark))?;
                return sessions::revert(self, &server, &mark, &[]).map(Some);
            }
        }
        self.clusters.remove(leftover)
    }

    /// Asks what must be so before anything is done.
    fn check(&mut self, server: &ServerRef, checks: &[Statement]) -> Result<(), MachineError> {
        if checks.is_empty() {
            return Ok(());
        }
        let login = self.login(server)?;
        let wrong = self.run(async {
            let mut session = squall_database::open(&login, &Manner::asking(ANSWERS_WITHIN)).await?;
            for check in checks {
                let answer = in_time(server, session.say(check)).await?;
                if let Some(wrong) = answer.first().filter(|wrong| !wrong.is_empty()) {
                    return Ok(Some(wrong.to_owned()));
                }
            }
            Ok(None)
        })?;
        wrong.map_or(Ok(()), |wrong| Err(MachineError::Refused { message: format!("{server}: {wrong}") }))
    }

    fn marked(&mut self, server: &ServerRef, prefix: &str) -> Result<Vec<Marked>, MachineError> {
        let login = self.login(server)?;
        self.run(async {
            let mut session = squall_database::open(&login, &Manner::asking(ANSWERS_WITHIN)).await?;
            in_time(&login.server, session.marked(prefix)).await
        })
    }

    fn login(&self, server: &ServerRef) -> Result<Login, MachineError> {
        let server = self.keyring.way_to(server);
        Login::with(&server, self.keyring.password(&server).as_deref()).map_err(worded)
    }

    /// Waits for what is said to a server.
    fn run<T>(&mut self, work: impl Future<Output = Result<T, DatabaseError>>) -> Result<T, MachineError> {
        self.runtime()?.block_on(work).map_err(worded)
    }

    /// Two threads carry the sessions, whatever the caller does meanwhile.
    fn runtime(&mut self) -> Result<&Runtime, MachineError> {
        let make =
            || Builder::new_multi_thread().worker_threads(2).thread_name("sessions").enable_all().build();
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => make().map_err(|error| MachineError::Failed {
                message: format!("could not start the threads that hold sessions: {error}"),
            })?,
        };
        Ok(self.runtime.insert(runtime))
    }
}

/// The answer to the only question.
fn only<T>(answers: Vec<Result<T, MachineError>>) -> Result<T, MachineError> {
    let none = || Err(MachineError::Failed { message: "there was no answer".to_owned() });
    answers.into_iter().next().unwrap_or_else(none)
}

/// A look for an effect that is under way.
type Looking = JoinHandle<Result<Evidence, DatabaseError>>;

/// Waits no longer than a server may take.
async fn in_time<T>(
    server: &ServerRef,
    answer: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    let late = || {
        DatabaseError::new(Reason::Unreachable, server, "ask", format!("no answer within {ANSWERS_WITHIN:?}"))
    };
    tokio::time::timeout(ANSWERS_WITHIN, answer).await.unwrap_or_else(|_| Err(late()))
}

/// Waits no longer than a look may take.
async fn in_sight<T>(
    server: &ServerRef,
    answer: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    let late = || DatabaseError::new(Reason::Unreachable, server, "look at", "no answer in time");
    tokio::time::timeout(LOOKS_WITHIN, answer).await.unwrap_or_else(|_| Err(late()))
}

/// The same error with what puts things right.
fn still_owed(error: MachineError) -> MachineError {
    MachineError::Failed {
        message: format!("{error}; once the server can be reached, `squall recover` puts it back"),
    }
}

/// What went wrong, as the door says it.
fn worded(error: DatabaseError) -> MachineError {
    let message = error.to_string();
    match error.reason {
        Reason::Denied => MachineError::Forbidden { message, needs: None },
        Reason::Unsupported => MachineError::Unsupported { message },
        _ => MachineError::Failed { message },
    }
}

fn elsewhere(kind: &str) -> MachineError {
    MachineError::Refused { message: format!("a step of the kind {kind} is not about a server") }
}

fn named(server: &ServerRef, mark: &str) -> String {
    format!("named {mark} on {}", server.place())
}

fn leftover(server: &ServerRef, mark: &str, count: usize) -> Leftover {
    let sessions = if count == 1 { "a session".to_owned() } else { format!("{count} sessions") };
    Leftover {
        what: format!("{sessions} {}", named(server, mark)),
        injection: server::injection_of(mark).map(str::to_owned),
        claim: None,
        digest: None,
        held: None,
        remedy: server::removal(server, mark),
    }
}

fn drifted(looked_at: String, before: &str, now: &str, remedy: String) -> Reverted {
    Reverted::Drifted(Difference {
        looked_at,
        before: before.to_owned(),
        now: now.to_owned(),
        remedy,
        under_way: false,
    })
}

/// A session that others may use one after the other.
type Shared = std::sync::Arc<tokio::sync::Mutex<Box<dyn Session>>>;
