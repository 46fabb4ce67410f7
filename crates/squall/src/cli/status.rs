//! `squall status`: the runs and injections that are alive on this machine, with their leases.

use crate::exit::Outcome;
use crate::out;
use crate::state::{LiveRun, State};
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
        let state = State::locate();
        let (runs, injections) = (state.live_runs(), undo_logs::all(&state)?);
        let halted = state.halt_file().exists();
        if self.json {
            out::say_json(
                &json!({ "halted": halted, "runs": runs, "injections": injections, "state": state.folder() }),
            );
        } else {
            out::say(describe(&state, halted, &runs, &injections));
        }
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
        lines.push("nothing is alive on this machine".to_owned());
    }
    for run in runs {
        lines.push(format!(
            "run {} of {} (pid {}), since {}",
            run.run, run.experiment, run.brain.pid, run.started
        ));
    }
    for held in injections {
        let owner = if held.alive {
            format!("held by pid {}", held.owner)
        } else {
            "ORPHANED; `squall recover` puts it back".into()
        };
        lines.push(format!(
            "  {}: {} on {}, lease {}, {owner}",
            held.injection, held.fault, held.target, held.lease
        ));
    }
    lines.join("\n")
}
