//! The only door to a host. The real one is `crates/linux`; the simulator's is a model that crashes where told.
//! Both pass the same suite.

use crate::facts::{Facts, HostFacts, Privilege, Scope, Subject};
use crate::server::ServerUrl;
use crate::step::{Claim, ProcessRef, Step};
use crate::target::Target;
use crate::undo::{Evidence, Reverted, Undo};
use crate::undo_log::Logged;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Why a machine could not do what was asked. Each message says what was tried, on what, what came back, and what
/// to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum MachineError {
    /// Nothing matches what was named, or it is gone.
    #[error("{message}")]
    NotFound {
        /// What was looked for and where.
        message: String,
    },
    /// It was there when the plan was made, and has ended or was deleted since.
    #[error("{message}")]
    Gone {
        /// What is gone.
        message: String,
    },
    /// A privilege is missing.
    #[error("{message}")]
    Forbidden {
        /// What was tried.
        message: String,
        /// What is missing, where that is known.
        needs: Option<Privilege>,
    },
    /// The kernel lacks something.
    #[error("{message}")]
    Unsupported {
        /// What is missing and how to get it.
        message: String,
    },
    /// It would harm what must not be harmed, or could not be undone exactly.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
    },
    /// Another injection changed it, and puts it back in its time.
    #[error("{message}")]
    Held {
        /// Which.
        message: String,
    },
    /// Anything else that came back.
    #[error("{message}")]
    Failed {
        /// What was tried and what came back.
        message: String,
    },
}

/// Something that carries Squall's mark and should not be there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Leftover {
    /// What it is, for people: `qdisc 5c07: on eth0 in netns shop`.
    pub what: String,
    /// The injection that made it, where the mark tells.
    pub injection: Option<String>,
    /// What it holds, where the mark has no room for the injection: one that lives and holds this claim made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// What the mark keeps of the injection's name, where it has no room for all of it: see [`digest_of`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<u8>,
    /// Who means to hold it, and for how long, where the mark tells: until then it may be a living run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
    /// The command that would remove it by hand.
    pub remedy: String,
}

/// Who means to hold a change, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hold {
    /// The run.
    pub run: String,
    /// The latest instant at which its agent still holds it.
    pub until: Timestamp,
}

/// How much longer than it says a hold is left to whoever has it: clocks may go differently.
const DOUBT: SignedDuration = SignedDuration::from_secs(60);

impl Hold {
    /// Whether its time has been over for so long that nobody can mean it any more, whatever clock he goes by.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        now.duration_since(self.until) > DOUBT
    }
}

impl Leftover {
    /// Whether an injection may have made it. `claims` is what the injection holds, where that is known.
    pub fn may_be_of(&self, injection: &str, claims: Option<&[Claim]>) -> bool {
        match (&self.injection, self.digest) {
            (Some(maker), _) => maker == injection,
            (None, Some(digest)) => {
                let fits = |claim| claims.is_none_or(|claims| claims.contains(claim));
                digest == digest_of(injection) && self.claim.as_ref().is_none_or(fits)
            }
            (None, None) => false,
        }
    }
}

/// What stands for an injection in a mark of eight bits. Others may have the same, so it excludes and never proves.
pub fn digest_of(injection: &str) -> u8 {
    let digest = injection.bytes().fold(7_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    digest.to_le_bytes()[0]
}

/// A host that steps are carried out on.
///
/// The laws that every implementation keeps (and `squall_engine::suite` checks):
/// `capture` changes nothing; `revert` is idempotent, is safe if `apply` never ran or ran in part, and never touches
/// what the undo record does not identify; what `apply` makes carries Squall's mark, so that `leftovers` finds it.
pub trait Machine {
    /// Is told of servers, for the passwords in their addresses, which the undo may need. None is spoken to.
    fn hear_of(&mut self, _servers: &[ServerUrl]) {}

    /// From now on something is active, or no longer: a longer silence than a few seconds would be taken for death then, so
    /// that looks for targets give up sooner.
    fn hurry(&mut self, _is_hurried: bool) {}

    /// Looks at the host.
    fn host(&mut self) -> Result<HostFacts, MachineError>;

    /// Finds what a target names, as things of the scope that a fault acts on. Empty where nothing matches.
    fn resolve(&mut self, scope: Scope, target: &Target) -> Result<Vec<Subject>, MachineError>;

    /// Looks up host names, as the target's host would.
    fn addresses(&mut self, names: &[String]) -> Result<BTreeMap<String, Vec<IpAddr>>, MachineError>;

    /// Whether exactly this process still lives. For words and looks only: who may put a log back is decided by its
    /// lock.
    fn is_alive(&mut self, process: &ProcessRef) -> bool;

    /// Reads what must be known to undo the step. Changes nothing.
    fn capture(&mut self, step: &Step, injection: &str) -> Result<Undo, MachineError>;

    /// Makes the change of a step whose undo is on disk.
    fn apply(&mut self, logged: Logged<'_>) -> Result<(), MachineError>;

    /// Whether such a step may be made at the same time as others like it: each waits for somebody far away, so that one after
    /// another would take as long as all of them.
    fn makes_at_once(&self, _step: &Step) -> bool {
        false
    }

    /// Whether such an undo may be carried out at the same time as others like it.
    fn reverts_at_once(&self, _undo: &Undo) -> bool {
        false
    }

    /// [`Machine::capture`] for many steps, each with its injection: an answer for each, in order.
    fn capture_all(&mut self, steps: &[(&Step, &str)]) -> Vec<Result<Undo, MachineError>> {
        steps.iter().map(|(step, injection)| self.capture(step, injection)).collect()
    }

    /// [`Machine::apply`] for many steps: an answer for each, in order.
    fn apply_all(&mut self, logged: Vec<Logged<'_>>) -> Vec<Result<(), MachineError>> {
        logged.into_iter().map(|logged| self.apply(logged)).collect()
    }

    /// [`Machine::revert`] for many undos: an answer for each, in order.
    fn revert_all(&mut self, undos: &[&Undo]) -> Vec<Result<Reverted, MachineError>> {
        undos.iter().map(|undo| self.revert(undo)).collect()
    }

    /// Looks for the effects of applied steps: an answer for each, in order. However many they are, the look takes
    /// little more than a second, since whoever waits for it takes a longer silence for death.
    fn observe(&mut self, applied: &[(&Step, &Undo)]) -> Vec<Result<Evidence, MachineError>>;

    /// Puts back what the record describes and looks again.
    fn revert(&mut self, undo: &Undo) -> Result<Reverted, MachineError>;

    /// Looks for Squall's marks on the whole machine, without any log.
    fn leftovers(&mut self) -> Result<Vec<Leftover>, MachineError>;

    /// Removes what carries Squall's mark and is found by `leftovers`; for what a damaged log can no longer describe.
    fn remove(&mut self, leftover: &Leftover) -> Result<Reverted, MachineError>;
}

/// The name of what is acted on, for plans and reports.
pub fn subject_name(facts: &Facts) -> String {
    match &facts.subject {
        Subject::Process(process) => process.process.to_string(),
        Subject::Group(group) => group.name.clone(),
        Subject::Network(network) if network.link_named => {
            let links: Vec<&str> = network.links.iter().map(|link| link.link.name.as_str()).collect();
            format!("interface {} ({})", links.join(", "), network.namespace.name)
        }
        Subject::Network(network) => network.namespace.name.clone(),
        Subject::Path(path) => path.directory.path.clone(),
        Subject::Database(database) => database.server.to_string(),
        Subject::Instance(facts) => facts.instance.to_string(),
        Subject::Template(facts) => facts.template.to_string(),
        Subject::Pod(facts) => facts.object.to_string(),
        Subject::Node(facts) => facts.object.to_string(),
        Subject::Object(facts) => facts.object.to_string(),
        Subject::Resource { processes } if processes.is_empty() => "this host".to_owned(),
        Subject::Resource { processes } => {
            processes.iter().map(|process| process.process.to_string()).collect::<Vec<_>>().join(", ")
        }
    }
}
