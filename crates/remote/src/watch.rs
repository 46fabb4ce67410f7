//! Watches over settings: sessions on the server that put a setting back should the server hear nothing more of us. What
//! they say is text that the planner wrote; here they are begun, kept, made again where somebody ends them, and ended.

use crate::{ANSWERS_WITHIN, in_time};
use squall_database::{DatabaseError, Login, Manner, Reason, Session};
use squall_model::server::{SettingStep, Statement, Watch};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// One that cannot wait says so at once.
const FAILS_WITHIN: Duration = Duration::from_millis(50);

/// How long one may take to do what it waited for: it looks several times a second.
const LEAVES_WITHIN: Duration = Duration::from_millis(500);

/// A watch that is kept until this is dropped: then its sockets close.
pub(crate) struct Watching {
    task: JoinHandle<()>,
    /// What is said to put everything back: the setting that was changed last comes first.
    pub(crate) restores: Vec<Statement>,
    tally: Arc<Mutex<Tally>>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What happened to a watch.
#[derive(Debug, Default)]
struct Tally {
    /// How often it was made again.
    again: u32,
    /// Why there is none just now, or none that is new enough.
    trouble: Option<String>,
}

impl Watching {
    /// What is to be known of it beside that it is there.
    pub(crate) fn words(&self) -> Option<String> {
        let tally = self.tally.lock().ok()?;
        let ended = "the watch that puts it back should this host be lost was ended on the server";
        match (&tally.trouble, tally.again) {
            (Some(trouble), _) => Some(format!("{ended}, and cannot be made again: {trouble}")),
            (None, 0) => None,
            (None, 1) => Some(format!("{ended}, and made again")),
            (None, times) => Some(format!("{ended}, and made again, {times} times")),
        }
    }
}

/// Begins a watch: when this returns, the server has what it is to do.
pub(crate) async fn begin(
    login: Login,
    step: &SettingStep,
    watch: &Watch,
    restores: Vec<Statement>,
) -> Result<Watching, DatabaseError> {
    let keeper = Keeper {
        login,
        mark: step.mark.clone(),
        lease: step.lease.0,
        watch: watch.clone(),
        says: said(watch, &restores),
    };
    let holder = keeper.hold().await?;
    let waiter = keeper.wait().await?;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let task = tokio::spawn(keeper.keep(holder, waiter, tally.clone()));
    Ok(Watching { task, restores, tally })
}

/// All that the one says that waits.
fn said(watch: &Watch, restores: &[Statement]) -> Vec<Statement> {
    let [last, earlier @ ..] = restores else { return vec![watch.wait.clone()] };
    let is_inside = watch.wait.0.iter().any(|word| word.contains(Watch::RESTORE));
    let put_in = |word: &String| word.replace(Watch::RESTORE, &last.to_string());
    let wait = Statement(watch.wait.0.iter().map(put_in).collect());
    let behind = if is_inside { earlier } else { restores };
    std::iter::once(wait).chain(behind.iter().cloned()).collect()
}

/// The session that waits, on a task of its own; closed when this is dropped.
struct Waiter(JoinHandle<()>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps a watch.
struct Keeper {
    login: Login,
    mark: String,
    lease: Duration,
    watch: Watch,
    says: Vec<Statement>,
}

impl Keeper {
    /// How often it is looked after.
    fn every(&self) -> Duration {
        self.watch.renew.map_or(self.lease / 6, |renew| renew.0)
    }

    async fn open(&self, lease: Option<Duration>) -> Result<Box<dyn Session>, DatabaseError> {
        // One that is to be renewed in time must not wait long for an attempt that fails.
        let within =
            if self.watch.renew.is_some() { ANSWERS_WITHIN.min(self.every()) } else { ANSWERS_WITHIN };
        squall_database::open(&self.login, &Manner { name: self.mark.clone(), lease, within }).await
    }

    /// The session that is held, where there is one.
    async fn hold(&self) -> Result<Option<Box<dyn Session>>, DatabaseError> {
        let Some(hold) = &self.watch.hold else { return Ok(None) };
        let mut holder = self.open(Some(self.lease)).await?;
        in_time(&self.login.server, holder.say(hold)).await?;
        Ok(Some(holder))
    }

    /// The session that waits: what it is to do lies at the server when this returns.
    async fn wait(&self) -> Result<Waiter, DatabaseError> {
        let mut waiter = self.open(None).await?;
        let says = self.says.clone();
        let mut waits = Box::pin(async move { waiter.say_last(&says).await });
        // The first thing that this does is to send.
        match tokio::time::timeout(FAILS_WITHIN, &mut waits).await {
            Err(_) => Ok(Waiter(tokio::spawn(async move { drop(waits.await) }))),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) => {
                let cause = "the session that would put it back should this host be lost does not wait";
                Err(DatabaseError::new(Reason::Lost, &self.login.server, "watch over a setting of", cause))
            }
        }
    }

    /// Lets the server hear of us, and makes again what was ended there.
    async fn keep(self, mut holder: Option<Box<dyn Session>>, mut waiter: Waiter, tally: Arc<Mutex<Tally>>) {
        loop {
            tokio::time::sleep(self.every()).await;
            let is_held = match &mut holder {
                Some(holder) => in_time(&self.login.server, holder.keep_alive()).await.is_ok(),
                None => true,
            };
            let is_whole = is_held && !waiter.0.is_finished();
            if is_whole && self.watch.renew.is_none() {
                continue;
            }
            let made = async {
                if !is_held {
                    holder = self.hold().await?;
                }
                if waiter.0.is_finished() || self.watch.renew.is_some() {
                    // The one before ends when this one waits.
                    waiter = self.wait().await?;
                }
                Ok::<(), DatabaseError>(())
            };
            let made = made.await;
            if let Ok(mut tally) = tally.lock() {
                tally.again += u32::from(!is_whole && made.is_ok());
                tally.trouble = made.err().map(|error| error.to_string());
            }
        }
    }
}

/// Ends what may be a watch of somebody whose undo log is not here, so that it puts back what was set: the session that was
/// opened first is the one that is held, or the one that waits for a time. The others get a moment to do so and to leave.
pub(crate) async fn let_go(login: &Login, mark: &str) -> Result<(), DatabaseError> {
    let server = &login.server;
    let mut session = squall_database::open(login, &Manner::asking(ANSWERS_WITHIN)).await?;
    let marked = in_time(server, session.marked(mark)).await?;
    let Some(first) = marked.iter().find(|other| other.mark == mark) else { return Ok(()) };
    in_time(server, session.let_go(first)).await?;
    let begun = Instant::now();
    while begun.elapsed() < LEAVES_WITHIN {
        if in_time(server, session.marked(mark)).await?.iter().all(|other| other.mark != mark) {
            break;
        }
        tokio::time::sleep(FAILS_WITHIN).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_puts_back_stands_within_or_behind() {
        let texts = |texts: &[&str]| texts.iter().map(|text| Statement::text(*text)).collect::<Vec<_>>();
        let says = |wait: &str| {
            let watch = Watch { hold: None, wait: Statement::text(wait), renew: None };
            said(&watch, &texts(&["last", "first"]))
        };
        assert_eq!(says("wait; {restore}"), texts(&["wait; last", "first"]));
        assert_eq!(says("wait"), texts(&["wait", "last", "first"]));
    }
}
