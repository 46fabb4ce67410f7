//! What brain and hands say to each other over the byte stream that joins them.
//!
//! A frame is the length of its body in bytes (32 bits, big endian) and the body, one JSON text. The brain calls, the
//! agent answers each call once, in order, with the call's number. When the stream ends, or nothing is heard for
//! longer than the lease, the agent undoes everything that it holds.

use crate::facts::HostFacts;
use crate::machine::{Leftover, MachineError};
use crate::plan::{Plan, PlanRequest};
use crate::server::ServerUrl;
use crate::undo::{Evidence, Reverted};
use crate::units::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the protocol; both sides must speak the same.
pub const VERSION: u32 = 2;

/// The shortest and the longest lease that an agent agrees to: below, a busy machine would lose it; above, nobody
/// would call it a promise that faults end soon after their owner.
pub const LEASES: (Duration, Duration) = (Duration::seconds(2), Duration::seconds(300));

/// A lease that an agent agrees to; for others, why not.
///
/// # Errors
/// In words, with the limits.
pub fn check_lease(lease: Duration) -> Result<Duration, String> {
    let (least, most) = LEASES;
    if (least..=most).contains(&lease) {
        Ok(lease)
    } else {
        Err(format!("a lease of {lease} is not one that an agent agrees to; take one from {least} to {most}"))
    }
}

/// The longest frame that is accepted, in bytes: a guard against a stream that is not ours.
pub const MAX_FRAME: usize = 16 << 20;

/// A call with its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Counts up from 1.
    pub number: u64,
    /// What is asked.
    pub call: Call,
}

/// What the brain may ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// The first call: who speaks, and how long the agent holds injections without hearing anything.
    Hello {
        /// Version of the protocol.
        version: u32,
        /// The run.
        run: String,
        /// The lease.
        lease: Duration,
        /// Nothing is to be touched, as for a plan: what dead owners left stays for now, and nothing can be injected.
        #[serde(default)]
        looks_only: bool,
        /// Servers that the brain knows, for the passwords in their addresses: an agent that takes the place of a dead
        /// one was not there when that one was told them, and no undo log has them.
        #[serde(default)]
        servers: Vec<ServerUrl>,
    },
    /// Look at the host.
    Host,
    /// Resolve targets and plan. Touches nothing; the agent keeps the plan.
    Plan(PlanRequest),
    /// Make planned injections, in order; the first that fails is undone and ends the call, those before it stay.
    Inject {
        /// Their names.
        injections: Vec<String>,
    },
    /// Look for the effect of live injections.
    Observe,
    /// Put injections back; all live ones where none is named.
    Undo {
        /// Their names.
        injections: Vec<String>,
    },
    /// I am still here.
    Renew,
    /// Put back what dead owners left.
    Recover,
    /// Look for marks.
    Leftovers,
    /// The last call: undo everything and end.
    Bye,
}

impl Call {
    /// Its name in frames.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Host => "host",
            Self::Plan(_) => "plan",
            Self::Inject { .. } => "inject",
            Self::Observe => "observe",
            Self::Undo { .. } => "undo",
            Self::Renew => "renew",
            Self::Recover => "recover",
            Self::Leftovers => "leftovers",
            Self::Bye => "bye",
        }
    }
}

/// An answer with the number of its call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The call's number.
    pub number: u64,
    /// What came of it.
    pub answer: Result<Answer, CallError>,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// What kind of failure, for the verdict.
    pub kind: CallErrorKind,
    /// For people: what was tried, on what, what came back, what to do.
    pub message: String,
    /// The plan entry that it is about, where it is about one.
    #[serde(default)]
    pub entry: Option<usize>,
}

/// What came of injections that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Injected {
    /// The first evidence of each that was made.
    #[serde(default)]
    pub evidence: BTreeMap<String, Vec<Evidence>>,
    /// Those that were not made, since their target has gone since it was planned for: in words, what is gone. Nothing is left
    /// of them.
    #[serde(default)]
    pub gone: BTreeMap<String, String>,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallErrorKind {
    /// The call makes no sense here: unknown fault, wrong parameters, missing privilege, conflict.
    Invalid,
    /// Nothing is there now that the target of a fault names.
    NothingMatches,
    /// What the target of a fault names is there, and in a state that passes, in which it cannot be struck.
    NotReady,
    /// Another injection holds what this one would take, until it is put back.
    Held,
    /// This host's kernel lacks what it takes.
    Unsupported,
    /// It could not be done.
    Failed,
    /// What it is about was there when the plan was made, and is gone.
    Gone,
    /// The agent stopped holding injections: the lease ran out or the `halt` file is there.
    Halted,
}

impl From<MachineError> for CallError {
    fn from(error: MachineError) -> Self {
        let kind = match error {
            MachineError::Failed { .. } => CallErrorKind::Failed,
            MachineError::Unsupported { .. } => CallErrorKind::Unsupported,
            MachineError::Gone { .. } => CallErrorKind::Gone,
            MachineError::Held { .. } => CallErrorKind::Held,
            _ => CallErrorKind::Invalid,
        };
        Self { kind, message: error.to_string(), entry: None }
    }
}

/// One injection put back, or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Restored {
    /// The injection.
    #[serde(default)]
    pub injection: String,
    /// Name of its fault.
    #[serde(default)]
    pub fault: String,
    /// What was struck.
    #[serde(default)]
    pub target: String,
    /// Each step, in the order in which it was put back.
    #[serde(default)]
    pub steps: Vec<Reverted>,
    /// Errors that kept a step from being put back; each is residue.
    #[serde(default)]
    pub errors: Vec<String>,
}

impl Restored {
    /// Adds what was put back later: of each injection the last word counts.
    pub fn supersede(told: &mut Vec<Self>, later: &[Self]) {
        told.retain(|earlier| later.iter().all(|later| later.injection != earlier.injection));
        told.extend_from_slice(later);
    }

    /// What became of it, in words.
    pub fn fate(&self) -> String {
        let residue = self.residue();
        if residue.is_empty() { "put back".to_owned() } else { residue.join("; ") }
    }

    /// Whether all that is not put back yet is being put back by somebody who takes his time.
    pub fn is_under_way(&self) -> bool {
        let mut drifted = self.steps.iter().filter_map(|step| match step {
            Reverted::Drifted(difference) => Some(difference.under_way),
            _ => None,
        });
        self.errors.is_empty() && drifted.clone().next().is_some() && drifted.all(|under_way| under_way)
    }

    /// Whether there is something among these that is not put back yet, and all of that is under way.
    pub fn are_under_way(restored: &[Self]) -> bool {
        let mut owed = restored.iter().filter(|one| !one.residue().is_empty()).peekable();
        owed.peek().is_some() && owed.all(Self::is_under_way)
    }

    /// What could not be put back, in words.
    pub fn residue(&self) -> Vec<String> {
        let drifted = self.steps.iter().filter_map(|step| match step {
            Reverted::Drifted(difference) => Some(difference.to_string()),
            _ => None,
        });
        drifted.chain(self.errors.iter().cloned()).collect()
    }
}

/// What the agent may answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To `Hello`: the agent's number, and what dead owners had left and was put back on start, unless it only looks.
    Hello {
        /// Version of the protocol.
        version: u32,
        /// Process number of the agent.
        pid: u32,
        /// Process number of its warden.
        warden: u32,
        /// Orphans that were put back.
        recovered: Vec<Restored>,
    },
    /// To `Host`.
    Host(HostFacts),
    /// To `Plan`.
    Plan(Plan),
    /// To `Inject`.
    Injected(Injected),
    /// To `Observe`: evidence of each step.
    Observed {
        /// By injection.
        evidence: BTreeMap<String, Vec<Evidence>>,
    },
    /// To `Undo`, `Recover` and `Bye`.
    Restored {
        /// In the order of undoing.
        restored: Vec<Restored>,
    },
    /// To `Renew`: the injections that are live.
    Renewed {
        /// Their names.
        live: Vec<String>,
    },
    /// To `Leftovers`.
    Leftovers {
        /// What was found.
        found: Vec<Leftover>,
    },
}
