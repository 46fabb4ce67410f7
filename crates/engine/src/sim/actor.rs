//! Squall's processes in the simulation: agents, and recoverers (a warden, `squall recover`, a boot).

use super::disk::ModelDisk;
use super::faults::FAULTS;
use super::machine::ModelMachine;
use super::world::{Door, Role, Shared};
use crate::agent::AgentCore;
use crate::hands::Hands;
use jiff::Timestamp;
use squall_model::plan::PlannedInjection;
use squall_model::protocol::{Answer, Call, CallError, Request, Restored, VERSION};
use squall_model::units::Duration;
use std::collections::BTreeMap;

/// The lease of every agent.
pub(super) const LEASE: Duration = Duration::seconds(5);

pub(super) type ModelHands = Hands<ModelMachine, ModelDisk>;

/// New hands in a process of their own, with logs in the folder that all share.
pub(super) fn hands(world: &Shared, name: &str) -> (u32, ModelHands) {
    hands_in(world, name, 0)
}

/// New hands with logs in one folder of several.
pub(super) fn hands_in(world: &Shared, name: &str, folder: u8) -> (u32, ModelHands) {
    hands_that_heard(world, name, folder, BTreeMap::new())
}

/// The same, with logs in memory.
fn hands_that_heard(
    world: &Shared,
    name: &str,
    folder: u8,
    heard: BTreeMap<String, Vec<u8>>,
) -> (u32, ModelHands) {
    let owner = world.lock().spawn(name, Role::Squall);
    let pid = owner.pid;
    let door = Door::new(world, pid);
    let disk = ModelDisk { door: door.clone(), folder, heard };
    let hands = Hands::new(ModelMachine(door.clone()), disk, owner, || Timestamp::UNIX_EPOCH);
    (pid, hands.with_hook(door.hook()))
}

/// An agent with what its brain knows of it.
pub(super) struct Agent {
    pub pid: u32,
    pub core: AgentCore<ModelMachine, ModelDisk>,
    /// What was planned last.
    pub planned: Vec<PlannedInjection>,
    /// What was put back on its start.
    pub recovered: Vec<Restored>,
    calls: u64,
    world: Shared,
}

impl Agent {
    /// Starts one that nobody has greeted.
    pub(super) fn silent(world: &Shared) -> Self {
        Self::with(world, hands(world, "agent"))
    }

    fn with(world: &Shared, (pid, hands): (u32, ModelHands)) -> Self {
        let core = AgentCore::new(hands, FAULTS, 0);
        Self { pid, core, planned: Vec::new(), recovered: Vec::new(), calls: 0, world: world.clone() }
    }

    /// Starts one and says hello.
    pub(super) fn start(world: &Shared, run: &str) -> Self {
        Self::silent(world).greeted(run)
    }

    /// The same, with logs in one folder of several.
    pub(super) fn start_in(world: &Shared, run: &str, folder: u8) -> Self {
        Self::with(world, hands_in(world, "agent", folder)).greeted(run)
    }

    fn greeted(mut self, run: &str) -> Self {
        let (run, servers) = (run.to_owned(), Vec::new());
        let hello = Call::Hello { version: VERSION, run, lease: LEASE, looks_only: false, servers };
        if let Ok(Answer::Hello { recovered, .. }) = self.call(hello) {
            self.recovered = recovered;
        }
        self
    }

    pub(super) fn call(&mut self, call: Call) -> Result<Answer, CallError> {
        self.calls += 1;
        let now = self.world.lock().now;
        let response = self.core.handle(now, Request { number: self.calls, call });
        self.core.answered(now);
        assert_eq!(response.number, self.calls, "an answer bears the number of its call");
        response.answer
    }

    pub(super) fn is_alive(&self) -> bool {
        self.world.lock().is_alive(self.pid)
    }

    /// The brain is gone: puts everything back and exits.
    pub(super) fn end(mut self) -> Vec<Restored> {
        let restored = self.core.stream_ended();
        self.world.lock().kill(self.pid);
        restored
    }
}

/// A process that recovers and exits.
pub(super) fn recover(world: &Shared, name: &str) -> Vec<Restored> {
    recover_what_was_heard(world, name, BTreeMap::new())
}

/// A warden that recovers what it heard, though the logs may be gone, and exits.
pub(super) fn recover_what_was_heard(
    world: &Shared,
    name: &str,
    heard: BTreeMap<String, Vec<u8>>,
) -> Vec<Restored> {
    let (pid, mut hands) = hands_that_heard(world, name, 0, heard);
    let restored = hands.recover().unwrap_or_default();
    world.lock().kill(pid);
    restored
}
