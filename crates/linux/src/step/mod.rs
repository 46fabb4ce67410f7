//! Steps carried out, one file a kind: capture, apply, observe, revert. The match arms here are all that joins them.

pub mod container;
pub mod file_value;
pub mod fill;
pub mod packet_filter;
pub mod qdisc;
pub mod signal;
pub mod worker;

use crate::machine::LinuxMachine;
use squall_model::machine::MachineError;
use squall_model::step::{ProcessRef, Step};
use squall_model::undo::{Evidence, Reverted, Undo};
use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

/// Reads what must be known to undo the step.
pub(crate) fn capture(step: &Step, injection: &str) -> Result<Undo, MachineError> {
    match step {
        Step::Signal(step) => signal::capture(step),
        Step::FileValue(step) => file_value::capture(step),
        Step::Worker(step) => worker::capture(step),
        Step::Qdisc(step) => qdisc::capture(step, injection),
        Step::PacketFilter(step) => packet_filter::capture(step),
        Step::Fill(step) => fill::capture(step),
        Step::Container(step) => container::capture(step),
        Step::Sessions(_) | Step::Setting(_) | Step::Instance(_) | Step::Template(_) | Step::Object(_) => {
            Err(elsewhere())
        }
    }
}

/// Makes the change, unless what it would change is no longer as it was captured.
pub(crate) fn apply(machine: &mut LinuxMachine, step: &Step, undo: &Undo) -> Result<(), MachineError> {
    match step {
        Step::Signal(step) => signal::apply(step, undo),
        Step::FileValue(step) => file_value::apply(step, undo, &mut machine.writes),
        Step::Worker(step) => machine.workers.apply(step),
        Step::Qdisc(step) => qdisc::apply(step, undo),
        Step::PacketFilter(step) => machine.tables.apply(step),
        Step::Fill(step) => fill::apply(step),
        Step::Container(step) => container::apply(step),
        Step::Sessions(_) | Step::Setting(_) | Step::Instance(_) | Step::Template(_) | Step::Object(_) => {
            Err(elsewhere())
        }
    }
}

/// When a look for effects began. All that is looked at in one look shares its patience.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look(Instant);

impl Look {
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// What is left of this patience.
    pub(crate) fn left_of(self, patience: Duration) -> Duration {
        patience.saturating_sub(self.0.elapsed())
    }
}

/// Looks for the effect.
pub(crate) fn observe(
    machine: &mut LinuxMachine,
    step: &Step,
    undo: &Undo,
    look: Look,
) -> Result<Evidence, MachineError> {
    match step {
        Step::Signal(step) => Ok(signal::observe(step, look)),
        Step::FileValue(step) => file_value::observe(step, undo, &machine.writes),
        Step::Worker(step) => Ok(machine.workers.observe(step, look)),
        Step::Qdisc(step) => qdisc::observe(step, undo),
        Step::PacketFilter(step) => machine.tables.observe(step),
        Step::Fill(step) => fill::observe(step, undo),
        Step::Container(step) => container::observe(step),
        Step::Sessions(_) | Step::Setting(_) | Step::Instance(_) | Step::Template(_) | Step::Object(_) => {
            Err(elsewhere())
        }
    }
}

/// Puts back and looks again.
pub(crate) fn revert(machine: &mut LinuxMachine, undo: &Undo) -> Result<Reverted, MachineError> {
    match undo {
        Undo::Signal { process, signal } => signal::revert(process, *signal),
        Undo::FileValue { path, before, ours, boot_id } => file_value::revert(path, before, ours, boot_id),
        Undo::Worker { mark, boot_id } => machine.workers.revert(mark, boot_id),
        Undo::Fill { directory, name, owner, available } => fill::revert(directory, name, *owner, *available),
        Undo::Container { container, began } => container::revert(container, began),
        Undo::Sessions { .. }
        | Undo::Setting { .. }
        | Undo::Instance { .. }
        | Undo::Template { .. }
        | Undo::Object { .. }
        | Undo::Created { .. } => Err(elsewhere()),
        Undo::Nothing { why } => Ok(Reverted::AlreadyGone { looked_at: why.clone() }),
        Undo::Qdisc { namespace, link, handle, before, queue_length } => qdisc::revert(&qdisc::Record {
            namespace,
            link,
            handle: *handle,
            before: before.as_ref(),
            queue_length: *queue_length,
        }),
        Undo::PacketFilter { namespace, table } => machine.tables.revert(namespace, table),
    }
}

/// A step that no kernel carries out.
fn elsewhere() -> MachineError {
    MachineError::Refused { message: "this step is not about a kernel, and a kernel was asked".to_owned() }
}

/// What was tried and what came back.
pub(crate) fn failed(what: impl Display, error: &io::Error) -> MachineError {
    MachineError::Failed { message: format!("could not {what}: {error}") }
}

/// A process that was there when the plan was made.
pub(crate) fn gone(process: &ProcessRef) -> MachineError {
    MachineError::Gone {
        message: format!("could not find {process}: it has ended since it was planned for; plan again"),
    }
}
