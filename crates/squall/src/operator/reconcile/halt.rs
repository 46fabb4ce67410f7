//! `Halt`: while there is one, nothing runs.

use super::{Decision, World, say};
use crate::operator::conditions;
use crate::operator::object;
use crate::operator::resources::HaltStatus;
use serde_json::{Value as Json, json};

/// What a halt says of itself. `running` is how many runs still end.
pub(crate) fn decide(halt: &Json, running: usize, world: &World) -> Decision {
    let mut status: HaltStatus = object::part(halt, "status");
    status.running = u32::try_from(running).unwrap_or(u32::MAX);
    let (reason, message) =
        if running == 0 { ("NothingRuns", "") } else { ("Ending", "runs are being ended") };
    conditions::put(&mut status.conditions, "Halted", Some(running == 0), reason, message, world.now);
    Decision::of(say(halt, json!(status)).into_iter().collect())
}
