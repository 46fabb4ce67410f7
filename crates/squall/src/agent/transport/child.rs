//! How the brain reaches its agent on this machine: a child process, its standard input and output the stream.

use super::stream::StreamLink;
use crate::log;
use squall_engine::link::{AgentLink, Links};
use squall_model::probe::Pending;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};
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
            let why = move |is_heard| Box::pin(why_lost(through_sudo, is_heard)) as Pending<'static, String>;
            let link: Arc<dyn AgentLink> = Arc::new(StreamLink::new(stdin, stdout, why));
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

/// Why an agent is lost whose stream ended.
async fn why_lost(through_sudo: bool, is_heard: bool) -> String {
    if !through_sudo || is_heard {
        return "the agent is gone: its stream ended".to_owned();
    }
    let refusal = refusal_of_sudo().await;
    let said = refusal.map_or("what was wrong stands above".to_owned(), |said| format!("it says: {said}"));
    format!(
        "`sudo -n` started none, or it ended at once; {said}. If sudo wants a password, give it one for a while with \
         `sudo -v`, or allow it without one in /etc/sudoers (NOPASSWD), or {WITHOUT_SUDO}"
    )
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
