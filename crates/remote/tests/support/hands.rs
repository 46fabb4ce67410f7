//! Hands on what is elsewhere, without a kernel beside them: a machine as the suite and the tests of single steps want it.

use serde_json::Value as Json;
use squall_faults::ALL;
use squall_model::facts::{Facts, HostFacts, Scope, Subject};
use squall_model::machine::{Leftover, Machine, MachineError};
use squall_model::step::{ProcessRef, Step};
use squall_model::target::Target;
use squall_model::undo::{Evidence, Reverted, Undo};
use squall_model::undo_log::Logged;
use squall_model::units::{Duration, Size};
use squall_remote::RemoteMachine;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The hands, and nothing else.
pub(crate) struct Hands(pub(crate) RemoteMachine);

impl Machine for Hands {
    fn host(&mut self) -> Result<HostFacts, MachineError> {
        Ok(HostFacts {
            boot_id: "boot".into(),
            kernel: "6.1".into(),
            cpus: 1,
            memory_total: Size(1 << 30),
            memory_available: Size(1 << 30),
            privileges: BTreeSet::new(),
            features: BTreeSet::new(),
            unknown: BTreeSet::new(),
        })
    }
    fn resolve(&mut self, scope: Scope, target: &Target) -> Result<Vec<Subject>, MachineError> {
        self.0.resolve(scope, target)
    }
    fn addresses(&mut self, _: &[String]) -> Result<BTreeMap<String, Vec<IpAddr>>, MachineError> {
        Ok(BTreeMap::new())
    }
    fn is_alive(&mut self, _: &ProcessRef) -> bool {
        true
    }
    fn capture(&mut self, step: &Step, _: &str) -> Result<Undo, MachineError> {
        self.0.capture(step)
    }
    fn apply(&mut self, logged: Logged<'_>) -> Result<(), MachineError> {
        self.0.apply(logged)
    }
    fn observe(&mut self, applied: &[(&Step, &Undo)]) -> Vec<Result<Evidence, MachineError>> {
        self.0.observe(applied)
    }
    fn revert(&mut self, undo: &Undo) -> Result<Reverted, MachineError> {
        match undo {
            // As a kernel answers, which is asked for what is nobody's.
            Undo::Nothing { why } => Ok(Reverted::AlreadyGone { looked_at: why.clone() }),
            undo => self.0.revert(undo),
        }
    }
    fn leftovers(&mut self) -> Result<Vec<Leftover>, MachineError> {
        self.0.leftovers()
    }
    fn remove(&mut self, leftover: &Leftover) -> Result<Reverted, MachineError> {
        Ok(self.0.remove(leftover)?.expect("a leftover of ours"))
    }
}

/// What the steps of a fault on the first thing that matches are.
pub(crate) fn planned(
    machine: &mut Hands,
    injection: &str,
    fault: &str,
    target: &Target,
    with: &Json,
) -> Result<Vec<Step>, String> {
    let fault = ALL.iter().find(|known| known.name() == fault).unwrap();
    let subjects = machine.resolve(fault.scope(), target).map_err(|error| error.to_string())?;
    let subject = subjects.into_iter().next().ok_or("nothing matches")?;
    let facts = Facts {
        injection: injection.into(),
        host: machine.host().unwrap(),
        lease: Duration::seconds(5),
        lasts: Duration::default(),
        subject,
        target: target.clone(),
        addresses: BTreeMap::new(),
    };
    fault.plan(with, &facts).map_err(|error| error.to_string())
}
