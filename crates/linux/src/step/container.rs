//! Containers that their daemon stops and starts again. The daemon keeps one that it was told to stop stopped, whatever
//! its restart policy; so nothing but a start brings it back, and that is the undo.

use crate::docker::{Docker, State};
use squall_model::machine::MachineError;
use squall_model::step::{ContainerRef, ContainerStep};
use squall_model::undo::{Difference, Evidence, Reverted, Undo};
use std::time::{Duration, Instant};

/// How long a stop may still be under way at the daemon when whoever asked for it is dead: its grace, and a little.
const STOPS_WITHIN: Duration = Duration::from_secs(3);
/// How long a container may take to run once it was started, and how long it must then run.
const RUNS_WITHIN: Duration = Duration::from_secs(5);
const STAYS: Duration = Duration::from_millis(300);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

fn docker(container: &ContainerRef) -> Docker {
    Docker::at(&container.daemon)
}

fn state(container: &ContainerRef) -> Result<Option<State>, MachineError> {
    docker(container).state(&container.id)
}

fn gone(container: &ContainerRef) -> MachineError {
    MachineError::Gone {
        message: format!("could not find {container}: it has gone since it was planned for; plan again"),
    }
}

/// Reads when it began. Refuses what a start would not bring back.
pub(crate) fn capture(step: &ContainerStep) -> Result<Undo, MachineError> {
    let container = &step.container;
    let state = state(container)?.ok_or_else(|| gone(container))?;
    let refused =
        |why: &str| Err(MachineError::Refused { message: format!("could not stop {container}: {why}") });
    if state.is_removed_at_end {
        return refused(
            "it was made to be removed when it ends (--rm), so that nothing could start it again",
        );
    }
    if !state.runs() {
        return refused(&format!(
            "it is {}; only one that runs can be stopped and started again",
            state.status
        ));
    }
    Ok(Undo::Container { container: container.clone(), began: state.started_at })
}

/// Has it stopped.
pub(crate) fn apply(step: &ContainerStep) -> Result<(), MachineError> {
    let container = &step.container;
    if docker(container).stop(&container.id, step.grace.0.as_secs())? {
        return Ok(());
    }
    match state(container)? {
        None => Err(gone(container)),
        Some(_) => Err(MachineError::Refused {
            message: format!("could not stop {container}: somebody else did; plan again"),
        }),
    }
}

/// Looks whether it is.
pub(crate) fn observe(step: &ContainerStep) -> Result<Evidence, MachineError> {
    let container = &step.container;
    Ok(match state(container)? {
        Some(state) if state.status == "exited" => {
            Evidence::seen(format!("{container} is stopped (exit code {})", state.exit_code))
        }
        Some(state) => Evidence::not_seen(format!("{container} is {}", state.status)),
        None => Evidence::gone(format!("{container} is gone")),
    })
}

/// Starts it, and sees that it stays.
pub(crate) fn revert(container: &ContainerRef, began: &str) -> Result<Reverted, MachineError> {
    let look = |state: &State| format!("state of {container}: {}", state.status);
    // A stop that nobody waits for any more is still carried out.
    let is_ours = |state: &State| state.runs() && state.started_at == began;
    let Some(found) = wait_for(container, STOPS_WITHIN, |state| !is_ours(state))? else {
        return Ok(Reverted::AlreadyGone { looked_at: format!("{container} is gone") });
    };
    if found.runs() {
        return Ok(Reverted::AlreadyGone { looked_at: look(&found) });
    }
    docker(container).start(&container.id)?;
    wait_for(container, RUNS_WITHIN, State::runs)?;
    std::thread::sleep(STAYS);
    Ok(match state(container)? {
        Some(state) if state.runs() => Reverted::Undone { looked_at: look(&state) },
        now => Reverted::Drifted(Difference {
            looked_at: format!("state of {container}"),
            before: "running".to_owned(),
            now: now.map_or_else(
                || "gone".to_owned(),
                |state| format!("{} (exit code {})", state.status, state.exit_code),
            ),
            remedy: container.start_by_hand(),
            under_way: false,
        }),
    })
}

/// Looks until it is as wanted, or the time is over; what it was at the last look.
fn wait_for(
    container: &ContainerRef,
    patience: Duration,
    is_so: impl Fn(&State) -> bool,
) -> Result<Option<State>, MachineError> {
    let until = Instant::now() + patience;
    loop {
        let found = state(container)?;
        if found.as_ref().is_none_or(&is_so) || Instant::now() > until {
            return Ok(found);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}
