//! The real machine: the door through which the engine looks at a Linux host and changes it.

use crate::step::file_value::Writes;
use crate::step::fill;
use crate::step::packet_filter::Tables;
use crate::step::worker::Workers;
use crate::step::{self, Look};
use crate::{facts, leftovers};
use squall_model::facts::{HostFacts, Scope, Subject};
use squall_model::machine::{Leftover, Machine, MachineError};
use squall_model::step::{ProcessRef, Step};
use squall_model::target::Target;
use squall_model::undo::{Evidence, Reverted, Undo};
use squall_model::undo_log::Logged;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// This host. What it remembers (the pipes of workers, how large the caches were) serves evidence only; everything can
/// be undone by another that knows nothing but the undo record.
#[derive(Debug)]
pub struct LinuxMachine {
    pub(crate) workers: Workers,
    pub(crate) writes: Writes,
    pub(crate) tables: Tables,
    /// Where Squall keeps what it must be able to write at all times.
    state: Option<PathBuf>,
}

impl LinuxMachine {
    /// This host, with the running program as its workers' program.
    pub fn new() -> Self {
        Self::with_worker_program("/proc/self/exe")
    }

    /// This host, with another program that takes `worker MARK`.
    pub fn with_worker_program(program: impl Into<PathBuf>) -> Self {
        Self {
            workers: Workers::new(program.into()),
            writes: Writes::default(),
            tables: Tables::default(),
            state: None,
        }
    }

    /// The same, with the folder of the undo logs: the file system that it is on is never filled to its end.
    #[must_use]
    pub fn keeping(self, state: impl Into<PathBuf>) -> Self {
        Self { state: Some(state.into()), ..self }
    }
}

impl Default for LinuxMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine for LinuxMachine {
    fn host(&mut self) -> Result<HostFacts, MachineError> {
        facts::host()
    }

    fn resolve(&mut self, scope: Scope, target: &Target) -> Result<Vec<Subject>, MachineError> {
        let mut found = facts::resolve(scope, target)?;
        if let Some(state) = &self.state {
            facts::mark_state(&mut found, state);
        }
        Ok(found)
    }

    fn addresses(&mut self, names: &[String]) -> Result<BTreeMap<String, Vec<IpAddr>>, MachineError> {
        facts::addresses(names)
    }

    fn is_alive(&mut self, process: &ProcessRef) -> bool {
        crate::sys::process::is_alive(process)
    }

    fn capture(&mut self, step: &Step, injection: &str) -> Result<Undo, MachineError> {
        step::capture(step, injection)
    }

    fn apply(&mut self, logged: Logged<'_>) -> Result<(), MachineError> {
        step::apply(self, logged.step(), logged.undo())
    }

    fn observe(&mut self, applied: &[(&Step, &Undo)]) -> Vec<Result<Evidence, MachineError>> {
        // Asked before any is waited for: they work on their answers at the same time.
        for (step, _) in applied {
            if let Step::Worker(step) = step {
                self.workers.ask(step);
            }
        }
        let look = Look::begin();
        applied.iter().map(|(step, undo)| step::observe(self, step, undo, look)).collect()
    }

    fn revert(&mut self, undo: &Undo) -> Result<Reverted, MachineError> {
        step::revert(self, undo)
    }

    fn leftovers(&mut self) -> Result<Vec<Leftover>, MachineError> {
        let workers = self.workers.leftovers().into_iter().map(|(_, leftover)| leftover);
        let files = fill::leftovers().into_iter().map(|(_, leftover)| leftover);
        Ok(workers.chain(leftovers::network()?).chain(files).collect())
    }

    fn remove(&mut self, leftover: &Leftover) -> Result<Reverted, MachineError> {
        if let Some(outcome) = self.workers.remove(leftover)? {
            return Ok(outcome);
        }
        if let Some(outcome) = fill::remove(leftover)? {
            return Ok(outcome);
        }
        // What went by itself since it was found is gone all the same.
        let gone = || Reverted::AlreadyGone { looked_at: leftover.what.clone() };
        Ok(leftovers::remove(&mut self.tables, leftover)?.unwrap_or_else(gone))
    }
}
