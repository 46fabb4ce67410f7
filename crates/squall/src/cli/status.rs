//! `squall status`: the runs and injections that are alive on this machine, with their leases.

use crate::epilogue;
use crate::exit::{Failure, Outcome};
use crate::out;
use crate::state::{Audience, LiveRun, State};
use crate::undo_logs::{self, Held};
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let state = State::locate()?;
        // Who is told of them is nobody's affair here.
        let quiet = |run| LiveRun { audience: Audience::default(), ..run };
        let runs: Vec<LiveRun> = state.live_runs().into_iter().map(quiet).collect();
        let injections = undo_logs::all(&state)?;
        let halted = state.halt_file().exists();
        let elsewhere: Vec<(State, Result<Vec<Held>, Failure>)> = undo_logs::elsewhere(&state)
            .into_iter()
            .map(|other| {
                let held = undo_logs::seen(&other);
                (other, held)
            })
            .collect();
        if self.json {
            let others = elsewhere.iter().map(|(other, held)| match held {
                Ok(held) => json!({ "state": other.folder(), "injections": held }),
                Err(error) => json!({ "state": other.folder(), "error": error.to_string() }),
            });
            out::say_json(&json!({
                "halted": halted,
                "runs": runs,
                "injections": injections,
                "state": state.folder(),
                "elsewhere": others.collect::<Vec<_>>(),
            }));
        } else {
            out::say(describe(&state, halted, &runs, &injections));
            elsewhere.iter().for_each(|(other, held)| out::say(describe_other(other, held)));
        }
        // Whoever is told of a killed run may take their time.
        epilogue::write(&state, &[]);
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(state: &State, halted: bool, runs: &[LiveRun], injections: &[Held]) -> String {
    let mut lines = Vec::new();
    if halted {
        let file = state.halt_file();
        lines.push(format!(
            "halted: nothing is injected while {} is there; remove it to go on",
            file.display()
        ));
    }
    if runs.is_empty() && injections.is_empty() {
        lines.push(format!("nothing is alive with the state folder {}", state.folder().display()));
    }
    for run in runs {
        let agent = if run.through_sudo { "; its agent is root's: see `sudo squall status`" } else { "" };
        lines.push(format!(
            "run {} of {} (pid {}), since {}{agent}",
            run.run, run.experiment, run.brain.pid, run.started
        ));
    }
    lines.extend(injections.iter().map(injection));
    lines.join("\n")
}

fn injection(held: &Held) -> String {
    let owner = if held.alive {
        format!("held by pid {}", held.owner)
    } else {
        "ORPHANED; `squall recover` puts it back".into()
    };
    format!("  {}: {} on {}, lease {}, {owner}", held.injection, held.fault, held.target, held.lease)
}

/// What an agent with another state folder holds.
fn describe_other(other: &State, held: &Result<Vec<Held>, Failure>) -> String {
    let mut lines = vec![format!("an agent with the state folder {}", other.folder().display())];
    match held {
        Ok(held) if held.is_empty() => lines.push("  holds nothing".to_owned()),
        Ok(held) => lines.extend(held.iter().map(injection)),
        Err(error) => lines.push(format!("  holds what only its user may know: {error}")),
    }
    lines.join("\n")
}
