//! The undo logs on this machine, as `status`, `halt` and `leftovers` look at them: reading only.

use crate::exit::Failure;
use crate::state::State;
use serde::Serialize;
use squall_linux::disk;
use squall_linux::sys::process;
use squall_linux::trust;
use squall_model::protocol::Restored;
use squall_model::step::{Claim, ProcessRef};
use squall_model::undo_log;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// An injection that owes something.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Held {
    /// The injection.
    pub(crate) injection: String,
    /// Its run.
    pub(crate) run: String,
    /// Name of its fault.
    pub(crate) fault: String,
    /// What is struck.
    pub(crate) target: String,
    /// Process number of its agent.
    pub(crate) owner: u32,
    /// Whether that agent lives.
    pub(crate) alive: bool,
    /// How long the agent holds it without hearing from its brain.
    pub(crate) lease: String,
    /// Since when, RFC 3339.
    pub(crate) since: String,
    /// How each of its changes would be put back.
    pub(crate) owed: Vec<String>,
    /// What it holds.
    #[serde(skip)]
    pub(crate) claims: Vec<Claim>,
    /// That agent, which no other process can be taken for; none where the log does not tell any more.
    #[serde(skip)]
    pub(crate) agent: Option<ProcessRef>,
}

/// State folders of others: their wardens live on this machine. (Each agent has one, whose words name the folder.)
pub(crate) fn elsewhere(state: &State) -> Vec<State> {
    let here = std::fs::canonicalize(state.folder()).unwrap_or_else(|_| state.folder().to_owned());
    let folders: BTreeSet<PathBuf> = wardens().into_iter().map(|(_, folder)| folder).collect();
    folders.into_iter().filter(|folder| *folder != here).map(State::at).collect()
}

/// Whom the wardens on this machine watch, and with which state folder.
pub(crate) fn wardens() -> Vec<(ProcessRef, PathBuf)> {
    process::all().unwrap_or_default().into_iter().filter_map(warden_of).collect()
}

/// Whom a process watches, and the state folder, if it is a warden.
fn warden_of(pid: u32) -> Option<(ProcessRef, PathBuf)> {
    let words = process::command_line(pid).ok()?;
    let [_, role, agent, folder, ..] = words.as_slice() else { return None };
    let agent = serde_json::from_str::<ProcessRef>(agent).ok().filter(|_| role == "warden")?;
    let folder = Path::new("/proc").join(pid.to_string()).join("cwd").join(folder);
    Some((agent, std::fs::canonicalize(&folder).unwrap_or(folder)))
}

/// Every undo log. Of one that others could have written no word is believed.
pub(crate) fn all(state: &State) -> Result<Vec<Held>, Failure> {
    list(state, trust::read)
}

/// Every undo log of somebody else's folder, to be shown and for nothing else.
pub(crate) fn seen(state: &State) -> Result<Vec<Held>, Failure> {
    list(state, trust::look)
}

fn list(state: &State, read: fn(&Path) -> std::io::Result<Vec<u8>>) -> Result<Vec<Held>, Failure> {
    let folder = state.undo_logs();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Failure::failed(format!("could not look into {}: {error}", folder.display())));
        }
    };
    let mut held: Vec<Held> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?.strip_suffix(".undo")?.to_owned();
            match read(&entry.path()) {
                Ok(bytes) => Some(describe(name, &undo_log::read(&bytes))),
                // It was settled just now.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => Some(unknown(name, &format!("its log could not be read: {error}"), Vec::new())),
            }
        })
        .collect();
    held.sort_by(|a, b| (&a.since, &a.injection).cmp(&(&b.since, &b.injection)));
    Ok(held)
}

/// What is owed and was passed over, since somebody else than its dead owner holds its log: of the others something is
/// told in `restored`.
pub(crate) fn passed_over(state: &State, restored: &[Restored]) -> Result<Vec<Held>, Failure> {
    let is_told = |held: &Held| restored.iter().any(|one| one.injection == held.injection);
    let is_owed = |held: &Held| !held.alive && held.agent.is_some() && !held.owed.is_empty();
    Ok(all(state)?.into_iter().filter(|held| is_owed(held) && !is_told(held)).collect())
}

/// Who holds the log of an injection now, in words.
pub(crate) fn holder(state: &State, injection: &str) -> Option<String> {
    let pid = disk::holder(&state.undo_logs().join(format!("{injection}.undo")))?;
    let words = process::command_line(pid).unwrap_or_default();
    let role = words.get(1).filter(|role| ["agent", "warden", "recover", "halt"].contains(&role.as_str()));
    Some(role.map_or_else(|| format!("process {pid}"), |role| format!("process {pid} (squall {role})")))
}

/// The undo logs of this very process, as they are on disk: name and bytes.
pub(crate) fn own(state: &State) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let me = process::own()?;
    let is_mine = |bytes: &[u8]| undo_log::read(bytes).opened.is_some_and(|opened| opened.owner == me);
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(state.undo_logs())?.flatten() {
        let name = entry.file_name().to_string_lossy().strip_suffix(".undo").map(str::to_owned);
        if let (Some(name), Ok(bytes)) = (name, trust::read(&entry.path()))
            && is_mine(&bytes)
        {
            logs.push((name, bytes));
        }
    }
    Ok(logs)
}

fn describe(injection: String, contents: &undo_log::Contents) -> Held {
    let owed = contents.owed.iter().rev().map(|(_, undo)| undo.to_string());
    let owed = owed.chain(contents.foreign.clone()).collect();
    match &contents.opened {
        Some(opened) => Held {
            injection,
            run: opened.run.clone(),
            fault: opened.fault.clone(),
            target: opened.target.clone(),
            owner: opened.owner.pid,
            claims: opened.claims.clone(),
            agent: Some(opened.owner.clone()),
            alive: process::is_alive(&opened.owner),
            lease: opened.lease.to_string(),
            since: opened.at.clone(),
            owed,
        },
        None => unknown(injection, "its log is damaged", owed),
    }
}

/// An injection of which nothing is known but what is owed.
fn unknown(injection: String, why: &str, owed: Vec<String>) -> Held {
    Held {
        injection,
        run: String::new(),
        fault: format!("unknown ({why})"),
        target: "unknown".to_owned(),
        owner: 0,
        alive: false,
        lease: String::new(),
        since: String::new(),
        owed,
        claims: Vec::new(),
        agent: None,
    }
}
