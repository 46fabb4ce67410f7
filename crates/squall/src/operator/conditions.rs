//! Conditions of objects: put in their list, with the moment at which they became so.

use super::resources::Condition;
use jiff::Timestamp;

/// The longest message, in characters.
const LONGEST_MESSAGE: usize = 2000;

/// The condition of this kind, where it holds.
pub(crate) fn holding<'c>(conditions: &'c [Condition], kind: &str) -> Option<&'c Condition> {
    said(conditions, kind, "True")
}

/// The condition of this kind, where it is said that it does not hold.
pub(crate) fn failing<'c>(conditions: &'c [Condition], kind: &str) -> Option<&'c Condition> {
    said(conditions, kind, "False")
}

fn said<'c>(conditions: &'c [Condition], kind: &str, status: &str) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.kind == kind && condition.status == status)
}

/// Says of a condition whether it holds; not known where that is `None`. The moment changes only with that.
pub(crate) fn put(
    conditions: &mut Vec<Condition>,
    kind: &str,
    holds: Option<bool>,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let status = match holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let message: String = message.chars().take(LONGEST_MESSAGE).collect();
    let known = conditions.iter_mut().find(|condition| condition.kind == kind);
    if let Some(known) = known {
        if known.status != status {
            known.last_transition_time = now;
        }
        status.clone_into(&mut known.status);
        reason.clone_into(&mut known.reason);
        known.message = message;
        return;
    }
    conditions.push(Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: now,
        observed_generation: None,
    });
}
