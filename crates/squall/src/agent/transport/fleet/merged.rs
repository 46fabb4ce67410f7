//! Answers of many agents made one.

use super::roll::Roll;
use super::{Arc, Mutex, locked};
use crate::agent::transport::Post;
use serde_json::Value as Json;
use squall_engine::link::LinkError;
use squall_model::plan::{Assignment, Plan, PlannedInjection};
use squall_model::probe::Pending;
use squall_model::protocol::{Answer, CallError, Injected, Restored};
use squall_model::undo::Evidence;
use std::collections::BTreeMap;
use std::fmt;

pub(super) type Answered = Result<Answer, LinkError>;

/// One of the agents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    /// On this machine.
    Here,
    /// On a node.
    On(Post),
}

impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => formatter.write_str("here"),
            Self::On(post) => write!(formatter, "on {post}"),
        }
    }
}

impl Member {
    /// An error, with where it is from.
    pub(super) fn worded(&self, error: LinkError) -> LinkError {
        match (self, error) {
            (Self::Here, error) => error,
            (Self::On(post), LinkError::Lost(why)) => LinkError::Lost(format!("on {post}: {why}")),
            (Self::On(post), LinkError::Refused(error)) => {
                let message = format!("on {post}: {}", error.message);
                LinkError::Refused(CallError { message, ..error })
            }
        }
    }
}

/// Waits for all answers. That one is lost is told before that one refused.
pub(super) async fn gather(
    asked: Vec<(Member, Pending<'static, Answered>)>,
) -> Result<Vec<(Member, Answer)>, LinkError> {
    let (mut answers, mut refused) = (Vec::new(), None);
    for (member, answer) in asked {
        match answer.await.map_err(|error| member.worded(error)) {
            Ok(answer) => answers.push((member, answer)),
            Err(LinkError::Lost(why)) => return Err(LinkError::Lost(why)),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(answers), Err)
}

/// What was put together, in the names that the brain knows.
pub(super) fn joined(
    gathered: impl Future<Output = Result<Vec<(Member, Answer)>, LinkError>> + Send + 'static,
    roll: Arc<Mutex<Roll>>,
) -> Pending<'static, Answered> {
    Box::pin(async move {
        let mut answers = gathered.await?.into_iter().map(|(member, answer)| {
            let answer = in_our_names(&member, answer, &locked(&roll));
            (member, answer)
        });
        let Some((_, first)) = answers.next() else {
            // Nothing was asked for.
            return Ok(Answer::Restored { restored: Vec::new() });
        };
        answers.try_fold(first, |all, (member, one)| added(all, one).map_err(|error| member.worded(error)))
    })
}

fn in_our_names(member: &Member, answer: Answer, roll: &Roll) -> Answer {
    let renamed = |evidence: BTreeMap<String, Vec<Evidence>>| {
        evidence.into_iter().map(|(there, seen)| (roll.name(member, &there), seen)).collect()
    };
    let back = |restored: Vec<Restored>| {
        let named = |one: Restored| Restored { injection: roll.name(member, &one.injection), ..one };
        restored.into_iter().map(named).collect()
    };
    match answer {
        Answer::Hello { version, pid, warden, recovered } => {
            Answer::Hello { version, pid, warden, recovered: back(recovered) }
        }
        Answer::Injected(Injected { evidence, gone }) => {
            let gone = gone.into_iter().map(|(there, what)| (roll.name(member, &there), what)).collect();
            Answer::Injected(Injected { evidence: renamed(evidence), gone })
        }
        Answer::Observed { evidence } => Answer::Observed { evidence: renamed(evidence) },
        Answer::Restored { restored } => Answer::Restored { restored: back(restored) },
        Answer::Renewed { live } => {
            Answer::Renewed { live: live.iter().map(|there| roll.name(member, there)).collect() }
        }
        Answer::Leftovers { mut found } => {
            for leftover in &mut found {
                leftover.injection = leftover.injection.as_ref().map(|there| roll.name(member, there));
                if let Member::On(post) = member {
                    leftover.what = format!("on {post}: {}", leftover.what);
                    leftover.remedy = format!("on {post}: {}", leftover.remedy);
                }
            }
            Answer::Leftovers { found }
        }
        Answer::Host(_) | Answer::Plan(_) => answer,
    }
}

fn added(all: Answer, one: Answer) -> Answered {
    match (all, one) {
        (
            Answer::Hello { version, pid, warden, mut recovered },
            Answer::Hello { version: other, recovered: more, .. },
        ) if version == other => {
            recovered.extend(more);
            Ok(Answer::Hello { version, pid, warden, recovered })
        }
        // Told by the brain in its own words.
        (Answer::Hello { .. }, other @ Answer::Hello { .. }) => Ok(other),
        (Answer::Injected(mut all), Answer::Injected(more)) => {
            all.evidence.extend(more.evidence);
            all.gone.extend(more.gone);
            Ok(Answer::Injected(all))
        }
        (Answer::Observed { mut evidence }, Answer::Observed { evidence: more }) => {
            evidence.extend(more);
            Ok(Answer::Observed { evidence })
        }
        (Answer::Restored { mut restored }, Answer::Restored { restored: more }) => {
            restored.extend(more);
            Ok(Answer::Restored { restored })
        }
        (Answer::Renewed { mut live }, Answer::Renewed { live: more }) => {
            live.extend(more);
            Ok(Answer::Renewed { live })
        }
        (Answer::Leftovers { mut found }, Answer::Leftovers { found: more }) => {
            found.extend(more);
            Ok(Answer::Leftovers { found })
        }
        _ => Err(LinkError::Lost("it answered something else than was asked".to_owned())),
    }
}

/// Parameters in a line: `loss: 100%, direction: to`.
fn inline(value: &Json) -> String {
    let list = |values: &Vec<Json>| values.iter().map(inline).collect::<Vec<_>>().join(", ");
    let pair = |(name, value): (&String, &Json)| match value {
        Json::Object(_) => format!("{name}: {{{}}}", inline(value)),
        _ => format!("{name}: {}", inline(value)),
    };
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(values) => format!("[{}]", list(values)),
        Json::Object(map) => map.iter().map(pair).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Puts into words what would be planned on nodes, where no agent is to be made.
pub(super) fn describe(plan: &mut Plan) {
    for (number, assignment) in std::mem::take(&mut plan.elsewhere).into_iter().enumerate() {
        let Assignment { node, entry, pods, .. } = &assignment;
        let within = assignment.within();
        let with = match inline(&entry.with) {
            words if words.is_empty() => String::new(),
            words => format!(" with {words}"),
        };
        for (pod, target) in pods.iter().enumerate() {
            plan.injections.push(PlannedInjection {
                id: format!("node-{}-{}", number + 1, pod + 1),
                entry: entry.entry,
                fault: entry.fault.clone(),
                target: target.clone(),
                steps: Vec::new(),
                does: vec![format!(
                    "on node {node}, by an agent that is made there for the run: {} on {target}{with}",
                    entry.fault
                )],
                undone_by: vec![
                    "that agent, or its warden: at the end, when the stream to it ends, or within the lease"
                        .to_owned(),
                ],
                claims: Vec::new(),
                lasts: entry.lasts,
                within: within.clone(),
                strikes: Vec::new(),
            });
        }
        let note = "the steps on nodes are planned by agents there, which a plan does not start; a run refuses before it \
                    changes anything what a node's kernel cannot do";
        if !plan.notes.iter().any(|known| known == note) {
            plan.notes.push(note.to_owned());
        }
    }
    plan.injections.sort_by_key(|injection| injection.entry);
}
