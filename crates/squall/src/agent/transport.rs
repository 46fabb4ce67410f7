//! How the brain reaches its agent on this machine: a child process, its standard input and output the stream.

use super::frames;
use crate::log;
use squall_engine::link::{AgentLink, LinkError, Links};
use squall_model::probe::Pending;
use squall_model::protocol::{Answer, Call, Request, Response};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long an agent may take to end once its stream has ended, and again once it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Starts agents as child processes, one after another: the one before must be gone before the next begins.
pub(crate) struct ChildAgents {
    program: PathBuf,
    arguments: Vec<String>,
    through_sudo: bool,
    last: Arc<tokio::sync::Mutex<Option<Child>>>,
}

impl ChildAgents {
    /// Agents of this same binary, with their undo logs in `state`; through `sudo -n` where asked, with root's state.
    pub(crate) fn new(state: &crate::state::State, through_sudo: bool) -> std::io::Result<Self> {
        let mut arguments = vec!["agent".to_owned()];
        if !through_sudo {
            arguments.extend(["--state".to_owned(), state.folder().to_string_lossy().into_owned()]);
        }
        // sudo takes the environment away.
        if let Some(filter) = log::asked().filter(|_| through_sudo) {
            arguments.extend(["--log".to_owned(), filter.to_string_lossy().into_owned()]);
        }
        Ok(Self { program: std::env::current_exe()?, arguments, through_sudo, last: Arc::default() })
    }

    fn command(&self) -> Command {
        let mut command = if self.through_sudo {
            let mut sudo = Command::new("sudo");
            sudo.arg("-n").arg("--").arg(&self.program);
            sudo
        } else {
            Command::new(&self.program)
        };
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // A Ctrl-C at the terminal is the brain's to answer; the agent ends when its stream does.
        command.process_group(0);
        command
    }
}

impl Links for ChildAgents {
    fn connect(&self) -> Pending<'static, Result<Arc<dyn AgentLink>, String>> {
        let mut command = self.command();
        let last = Arc::clone(&self.last);
        let through_sudo = self.through_sudo;
        Box::pin(async move {
            let mut last = last.lock().await;
            end(&mut last).await?;
            let mut child = command.spawn().map_err(|error| could_not_start(&error, through_sudo))?;
            let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
                return Err("could not start an agent: it has no stream".to_owned());
            };
            *last = Some(child);
            let link: Arc<dyn AgentLink> = Arc::new(ChildLink::new(stdin, stdout, through_sudo));
            Ok(link)
        })
    }
}

/// Sees to it that the agent before is gone; while it is not, there is no other. Its stream has ended already. What it
/// still holds when it dies, its warden puts back.
async fn end(last: &mut Option<Child>) -> Result<(), String> {
    let Some(before) = last else { return Ok(()) };
    if timeout(ENDS_WITHIN, before.wait()).await.is_err() {
        let could_not = |error: String| format!("could not end the agent before: {error}");
        // Not ours to kill where it runs through sudo; its warden does so.
        before.start_kill().map_err(|error| could_not(error.to_string()))?;
        if timeout(ENDS_WITHIN, before.wait()).await.is_err() {
            return Err(could_not("it was killed and is not gone yet".to_owned()));
        }
    }
    *last = None;
    Ok(())
}

/// What to do where sudo does not do it.
const WITHOUT_SUDO: &str = "run all of Squall as root: `sudo squall …`";

fn could_not_start(error: &std::io::Error, through_sudo: bool) -> String {
    match (error.kind(), through_sudo) {
        (std::io::ErrorKind::NotFound, true) => {
            format!(
                "could not start an agent through `sudo`: there is no sudo here; install it, or {WITHOUT_SUDO}"
            )
        }
        (_, true) => format!("could not start an agent through `sudo`: {error}; {WITHOUT_SUDO}"),
        (_, false) => format!("could not start an agent: {error}"),
    }
}

type Answered = Result<Answer, LinkError>;

/// Calls that wait for their answer; `None` once the stream has ended.
type Waiting = Mutex<Option<BTreeMap<u64, oneshot::Sender<Answered>>>>;

/// A stream to a child. Two tasks serve it: one writes calls, one reads answers.
struct ChildLink {
    next: AtomicU64,
    calls: mpsc::UnboundedSender<Request>,
    desk: Arc<Desk>,
}

/// What the two tasks and the callers share.
struct Desk {
    waiting: Waiting,
    through_sudo: bool,
    /// Whether anything was ever answered.
    answered: AtomicBool,
    /// What sudo says where it starts nothing.
    refusal: Mutex<Option<String>>,
}

impl Desk {
    fn lost(&self) -> LinkError {
        let why = if self.is_unheard() {
            let refusal = self.refusal.lock().ok().and_then(|refusal| refusal.clone());
            let said =
                refusal.map_or("what was wrong stands above".to_owned(), |said| format!("it says: {said}"));
            format!(
                "`sudo -n` started none, or it ended at once; {said}. If sudo wants a password, give \
                 it one for a while with `sudo -v`, or allow it without one in /etc/sudoers (NOPASSWD), or {WITHOUT_SUDO}"
            )
        } else {
            "the agent is gone: its stream ended".to_owned()
        };
        LinkError::Lost(why)
    }

    /// Whether sudo was to start an agent of which nothing was heard.
    fn is_unheard(&self) -> bool {
        self.through_sudo && !self.answered.load(Ordering::Relaxed)
    }

    /// Gives up on every call that waits, now and later.
    async fn give_up(&self) {
        if self.is_unheard() {
            let said = refusal_of_sudo().await;
            if let Ok(mut refusal) = self.refusal.lock() {
                *refusal = said;
            }
        }
        let calls = self.waiting.lock().map(|mut waiting| waiting.take()).unwrap_or_default();
        for (_, caller) in calls.into_iter().flatten() {
            // A caller that no longer listens has its own reasons.
            let _ = caller.send(Err(self.lost()));
        }
    }
}

impl ChildLink {
    fn new(stdin: ChildStdin, stdout: ChildStdout, through_sudo: bool) -> Self {
        let (calls, queue) = mpsc::unbounded_channel();
        let waiting = Mutex::new(Some(BTreeMap::new()));
        let (answered, refusal) = (AtomicBool::new(false), Mutex::new(None));
        let desk = Arc::new(Desk { waiting, through_sudo, answered, refusal });
        tokio::spawn(write_calls(stdin, queue, Arc::clone(&desk)));
        tokio::spawn(read_answers(stdout, Arc::clone(&desk)));
        Self { next: AtomicU64::new(1), calls, desk }
    }
}

async fn write_calls(mut stdin: ChildStdin, mut queue: mpsc::UnboundedReceiver<Request>, desk: Arc<Desk>) {
    while let Some(request) = queue.recv().await {
        if frames::send(&mut stdin, &request).await.is_err() {
            desk.give_up().await;
            return;
        }
    }
    // The last handle is gone: dropping the stream tells the agent to undo everything and end.
}

async fn read_answers(mut stdout: ChildStdout, desk: Arc<Desk>) {
    while let Ok(response) = frames::receive::<Response>(&mut stdout).await {
        desk.answered.store(true, Ordering::Relaxed);
        let caller = desk.waiting.lock().ok().and_then(|mut calls| calls.as_mut()?.remove(&response.number));
        if let Some(caller) = caller {
            let _ = caller.send(response.answer.map_err(LinkError::Refused));
        }
    }
    desk.give_up().await;
}

/// What sudo says when it is asked once more, for something harmless: what it said of the agent went to the terminal,
/// where the journal and a verdict cannot quote it. None where it has nothing against it.
async fn refusal_of_sudo() -> Option<String> {
    let mut sudo = Command::new("sudo");
    sudo.arg("-n").arg("--").arg(std::env::current_exe().ok()?).arg("--version");
    sudo.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(ENDS_WITHIN, sudo.output()).await.ok()?.ok()?;
    let said = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    (!output.status.success() && !said.is_empty()).then_some(said)
}

impl AgentLink for ChildLink {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    #[test]
    fn there_is_no_other_agent_while_the_one_before_cannot_be_ended() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: to start a process of another user takes root");
            return;
        }
        // Capabilities are a thread's own, and a runtime of one thread runs on the caller's.
        let without = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut command = Command::new("sleep");
                let mut last = Some(command.arg("60").uid(65534).spawn().unwrap());
                let all = capabilities(None).unwrap();
                let mut few = all;
                few.effective.remove(CapabilitySet::KILL);
                set_capabilities(None, few).unwrap();
                for _ in 0..2 {
                    let error = end(&mut last).await.unwrap_err();
                    assert!(error.contains("could not end the agent before"), "{error}");
                    assert!(last.is_some(), "it is forgotten, and the next would be started beside it");
                }
                set_capabilities(None, all).unwrap();
                assert_eq!((end(&mut last).await, last.is_none()), (Ok(()), true));
            });
        };
        std::thread::scope(|scope| scope.spawn(without).join().unwrap());
    }
}
