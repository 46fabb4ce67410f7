//! Undo records: what must be known to put one step's change back, written down before the change is made.
//!
//! The undo law: a revert tolerates that its step never ran, ran in part or ran twice, that the target is gone, and
//! that the revert itself runs again. A record carries the identity of what it may touch, so it cannot hit another.

use crate::cloud::{InstanceRef, TemplateRef};
use crate::cluster::{Field, FieldChange, ObjectRef};
use crate::server::{ServerRef, Statement};
use crate::step::{ContainerRef, DirectoryRef, LinkRef, NamespaceRef, ProcessRef, Signal};
use crate::units::Size;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A root queueing discipline as it was, in the kernel's own bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QdiscBefore {
    /// Its kind, such as `fq_codel`.
    pub kind: String,
    /// Its handle; 0 for one that the kernel attached by itself and brings back by itself.
    pub handle: u32,
    /// Its options, as the kernel gave them.
    pub options: Vec<u8>,
}

/// How to put one step back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case")]
pub enum Undo {
    /// Remove our root qdisc (known by its handle) and bring back what was there.
    Qdisc {
        /// Namespace of the interface.
        namespace: NamespaceRef,
        /// The interface.
        link: LinkRef,
        /// Major part of the handle of our qdisc.
        handle: u32,
        /// What was there; none where the kernel's own default was.
        before: Option<QdiscBefore>,
        /// The length of the interface's queue, where the kernel forgets it when a qdisc is added: for 0 it puts 1000.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        queue_length: Option<u32>,
    },
    /// Remove our table.
    PacketFilter {
        /// Namespace of the table.
        namespace: NamespaceRef,
        /// Its name.
        table: String,
    },
    /// Send a signal that takes the first one back.
    Signal {
        /// The process.
        process: ProcessRef,
        /// The signal that undoes.
        signal: Signal,
    },
    /// Write the value back.
    FileValue {
        /// Absolute path.
        path: String,
        /// The value before.
        before: String,
        /// The value that we write, to tell our change from somebody else's.
        ours: String,
        /// The boot that the value belongs to: a restart resets what the kernel keeps.
        boot_id: String,
    },
    /// End the worker that carries this mark.
    Worker {
        /// The mark on its command line.
        mark: String,
        /// The boot that it lives in.
        boot_id: String,
    },
    /// Remove our file, and nothing but it.
    Fill {
        /// The directory that it is in.
        directory: DirectoryRef,
        /// Its name.
        name: String,
        /// The number of the user whose file it is.
        owner: u32,
        /// What was free before, to be compared by people: others write there too.
        available: Size,
    },
    /// Start the container again, and see that it runs.
    Container {
        /// Which.
        container: ContainerRef,
        /// When it last began, in its daemon's words: another time says that somebody else started it.
        began: String,
    },
    /// End the sessions that go by a mark, wherever they come from.
    Sessions {
        /// The server.
        server: ServerRef,
        /// The mark.
        mark: String,
        /// What is said once they are gone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        finally: Vec<Statement>,
    },
    /// Give a server's setting its value back.
    Setting {
        /// The server.
        server: ServerRef,
        /// The mark of the sessions that watch over it.
        mark: String,
        /// What it is, for people.
        name: String,
        /// Asks for the value.
        read: Statement,
        /// What it was; none where it was not set.
        before: Option<String>,
        /// What we set, to tell our change from somebody else's.
        ours: String,
        /// Puts back what was there.
        restore: Statement,
        /// What is said after that.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        finally: Vec<Statement>,
    },
    /// Start an instance again, and see that it runs.
    Instance {
        /// Which.
        instance: InstanceRef,
    },
    /// End the experiments that carry our mark, and see that they are over.
    Template {
        /// From which template.
        template: TemplateRef,
        /// The mark.
        mark: String,
    },
    /// Give fields of an object their values back.
    Object {
        /// Which.
        object: Box<ObjectRef>,
        /// What we changed, each with what was there before.
        fields: Vec<Field>,
        /// The mark that it carries beside, which goes with the change; empty for none.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        mark: String,
    },
    /// Delete an object that we made.
    Created {
        /// Which, by its name.
        object: Box<ObjectRef>,
        /// The mark that it carries.
        mark: String,
    },
    /// The step cannot be taken back and leaves nothing to take back, such as a kill.
    Nothing {
        /// Why there is nothing to do.
        why: String,
    },
}

impl Undo {
    /// The name of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Qdisc { .. } => "qdisc",
            Self::PacketFilter { .. } => "packet_filter",
            Self::Signal { .. } => "signal",
            Self::FileValue { .. } => "file_value",
            Self::Worker { .. } => "worker",
            Self::Fill { .. } => "fill",
            Self::Container { .. } => "container",
            Self::Sessions { .. } => "sessions",
            Self::Setting { .. } => "setting",
            Self::Instance { .. } => "instance",
            Self::Template { .. } => "template",
            Self::Object { .. } => "object",
            Self::Created { .. } => "created",
            Self::Nothing { .. } => "nothing",
        }
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Qdisc { namespace, link, before, .. } => {
                let before = before.as_ref().map_or("the kernel's default", |before| &before.kind);
                write!(
                    formatter,
                    "remove our qdisc from {} ({}), leaving {before}",
                    link.name, namespace.name
                )
            }
            Self::PacketFilter { namespace, table } => {
                write!(formatter, "remove table {table} ({})", namespace.name)
            }
            Self::Signal { process, signal } => write!(formatter, "send {signal} to {process}"),
            Self::FileValue { path, before, .. } => write!(formatter, "write {before:?} back to {path}"),
            Self::Worker { mark, .. } => write!(formatter, "end worker {mark}"),
            Self::Fill { directory, name, .. } => write!(formatter, "remove {}", directory.file(name)),
            Self::Container { container, .. } => write!(formatter, "start {container}"),
            Self::Sessions { server, mark, finally } => {
                write!(formatter, "end the sessions named {mark} on {server}")?;
                finally.iter().try_for_each(|statement| write!(formatter, ", then {statement}"))
            }
            Self::Setting { server, name, restore, finally, .. } => {
                write!(formatter, "give {name} on {server} its value back: {restore}")?;
                finally.iter().try_for_each(|statement| write!(formatter, ", then {statement}"))
            }
            Self::Instance { instance } => write!(formatter, "start {instance} again"),
            Self::Template { template, .. } => write!(formatter, "stop the experiment from {template}"),
            Self::Object { object, fields, .. } => {
                let before = |field: &Field| match &field.change {
                    FieldChange::Put { before: Some(before), .. } => format!("{} = {before}", field.name()),
                    FieldChange::Put { before: None, .. } => format!("{} away", field.name()),
                    FieldChange::Append { element } => format!("{} without {element}", field.name()),
                };
                let fields: Vec<String> = fields.iter().map(before).collect();
                write!(formatter, "give {object} back: {}", fields.join(", "))
            }
            Self::Created { object, .. } => write!(formatter, "delete {object}"),
            Self::Nothing { why } => formatter.write_str(why),
        }
    }
}

/// What is there and what should be, where the two differ after an undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What was looked at.
    pub looked_at: String,
    /// What was there before the fault.
    pub before: String,
    /// What is there now.
    pub now: String,
    /// The command or the deed that would put it right.
    pub remedy: String,
    /// Whether it is being put right, by somebody who takes his time: there is nothing to do but to look again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub under_way: bool,
}

/// The outcome of a revert, after a second look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Reverted {
    /// Put back, and seen to be.
    Undone {
        /// What was looked at, for people.
        looked_at: String,
    },
    /// There was nothing to put back: the step never ran, or its target or change is gone.
    AlreadyGone {
        /// What was looked at, for people.
        looked_at: String,
    },
    /// Nothing of ours is there any more, and it is not as it was either: somebody else decided otherwise since, which stands.
    LetStand {
        /// What was looked at, what it was, what it is now, for people.
        looked_at: String,
    },
    /// It is not as it was.
    Drifted(Difference),
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { looked_at, before, now, remedy, under_way: _ } = self;
        write!(formatter, "{looked_at}: was {before}, is {now}; {remedy}")
    }
}

impl Reverted {
    /// The outcome in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Undone { .. } => "undone",
            Self::AlreadyGone { .. } => "already_gone",
            Self::LetStand { .. } => "let_stand",
            Self::Drifted(_) => "drifted",
        }
    }

    /// What was looked at to know.
    pub fn looked_at(&self) -> &str {
        match self {
            Self::Undone { looked_at } | Self::AlreadyGone { looked_at } | Self::LetStand { looked_at } => {
                looked_at
            }
            Self::Drifted(difference) => &difference.looked_at,
        }
    }
}

/// Whether a fault shows that it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It was seen.
    Seen,
    /// It was looked for and not seen (yet).
    NotSeen,
    /// What it strikes is not there any more, so that nothing can be seen of it.
    Gone,
    /// What was made or changed for it is not there any more: somebody else took it back, and with it the whole fault.
    Lost,
}

/// A fault's own evidence: what it has done so far, as counted by whoever does it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Whether an effect shows.
    pub effect: Effect,
    /// One line for people: `412 packets delayed`.
    #[serde(default)]
    pub summary: String,
    /// The same as numbers, in base units.
    #[serde(default)]
    pub measures: BTreeMap<String, f64>,
}

impl Evidence {
    /// Evidence with an effect.
    pub fn seen(summary: impl Into<String>) -> Self {
        Self { effect: Effect::Seen, summary: summary.into(), measures: BTreeMap::new() }
    }
    /// A look that found no effect.
    pub fn not_seen(summary: impl Into<String>) -> Self {
        Self { effect: Effect::NotSeen, summary: summary.into(), measures: BTreeMap::new() }
    }
    /// A look that found the target gone.
    pub fn gone(summary: impl Into<String>) -> Self {
        Self { effect: Effect::Gone, summary: summary.into(), measures: BTreeMap::new() }
    }
    /// Evidence of a step whose change somebody else took back.
    pub fn lost(summary: impl Into<String>) -> Self {
        Self { effect: Effect::Lost, summary: summary.into(), measures: BTreeMap::new() }
    }
    /// What several steps show together: an effect where any does, unless one of them is lost, without which the others are not
    /// the fault that was meant; and a target that is gone where it is for all of them.
    pub fn effect_of(evidence: &[Self]) -> Effect {
        let mut effects = evidence.iter().map(|one| one.effect);
        if effects.clone().any(|effect| effect == Effect::Lost) {
            Effect::Lost
        } else if effects.clone().any(|effect| effect == Effect::Seen) {
            Effect::Seen
        } else if !evidence.is_empty() && effects.all(|effect| effect == Effect::Gone) {
            Effect::Gone
        } else {
            Effect::NotSeen
        }
    }
    /// Evidence of several steps in one line: of those that are lost or else show an effect, where any is or does.
    pub fn line(evidence: &[Self]) -> String {
        let effect = Self::effect_of(evidence);
        let is_telling = matches!(effect, Effect::Lost | Effect::Seen);
        let told = evidence.iter().filter(|one| !is_telling || one.effect == effect);
        let mut summaries: Vec<&str> = told.map(|one| one.summary.as_str()).collect();
        summaries.dedup();
        summaries.join("; ")
    }
    /// Adds a number.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.measures.insert(name.to_owned(), value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_steps_have_lost_their_target_where_all_of_them_have() {
        let (seen, not_seen, gone) =
            (Evidence::seen("9 packets"), Evidence::not_seen("none"), Evidence::gone("it is gone"));
        let of = |evidence: &[&Evidence]| {
            Evidence::effect_of(&evidence.iter().map(|one| (*one).clone()).collect::<Vec<_>>())
        };
        assert_eq!(of(&[]), Effect::NotSeen);
        assert_eq!(of(&[&gone, &seen]), Effect::Seen);
        assert_eq!(of(&[&gone, &not_seen]), Effect::NotSeen);
        assert_eq!(of(&[&gone, &gone]), Effect::Gone);
        assert_eq!(serde_json::to_string(&Effect::Gone).unwrap(), "\"gone\"");
    }

    #[test]
    fn of_several_steps_one_that_somebody_took_back_takes_the_others_with_it() {
        let evidence = [Evidence::seen("the label is there"), Evidence::lost("the policy is not there")];
        assert_eq!(Evidence::effect_of(&evidence), Effect::Lost);
        assert_eq!(Evidence::line(&evidence), "the policy is not there");
        let evidence = [Evidence::not_seen("none"), Evidence::seen("9 packets")];
        assert_eq!(
            (Evidence::effect_of(&evidence), Evidence::line(&evidence).as_str()),
            (Effect::Seen, "9 packets")
        );
    }
}
