//! `memory.leak`: takes memory at a rate, as a program with a leak does.

use super::{Room, take};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;
use squall_model::units::{Rate, Size};

/// See [`Fault::SUMMARY`].
pub(crate) struct Leak;

/// What `memory.leak` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How fast memory is taken: 10MB/s.
    rate: Rate,
    /// Where the growth stops and what is taken is held. By default all that is available but `leave_free`.
    #[serde(default)]
    size: Option<Size>,
    /// How much must stay available to others. By default 5% of the host's memory, at least 256MiB; in a control group
    /// with a limit, 5% of the limit.
    #[serde(default)]
    leave_free: Option<Size>,
}

impl Fault for Leak {
    const NAME: &'static str = "memory.leak";
    const SUMMARY: &'static str =
        "Takes more and more memory at a rate, on the host or within the control group of a process";
    const EXAMPLE: &'static str = "\
- fault: memory.leak
  target: {host: true}
  with: {rate: 10MB/s, size: 512MiB}
  for: 30s
";
    const SCOPE: Scope = Scope::Resource;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        if parameters.rate.bytes_per_second() < 1.0 {
            return Err(PlanError::Parameters("a leak of nothing has no effect; give rate: 10MB/s".into()));
        }
        Ok(())
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let room = Room::of(facts, parameters.leave_free)?;
        let limit = parameters.size.unwrap_or_else(|| room.most());
        room.holds(limit)?;
        take(facts, Some(Size(parameters.rate.bytes_per_second() as u64)), limit, room.leave_free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{example, golden, on_host, on_limited_group, refusal};

    #[test]
    fn the_example_grows_to_half_a_gibibyte() {
        golden::<Leak>(
            &example::<Leak>(),
            &on_host(),
            &["run a worker whose memory grows by 10MB/s up to 512MiB"],
        );
    }

    #[test]
    fn growth_stops_at_the_reserve_by_default() {
        golden::<Leak>(
            "{rate: 1MB/s, leave_free: 2GiB}",
            &on_host(),
            &["run a worker whose memory grows by 1MB/s up to 4GiB"],
        );
        golden::<Leak>(
            "{rate: 1MB/s, leave_free: 50MiB}",
            &on_limited_group("512MiB", "112MiB"),
            &["run a worker whose memory grows by 1MB/s up to 350MiB, in /sys/fs/cgroup/payment"],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (with, says) in [
            ("{rate: 10MB/s, size: 100GiB}", "at most 5.6GiB"),
            ("{rate: 10MB/s, leave_free: 7GiB}", "no effect"),
            ("{rate: 0MB/s}", "no effect"),
            ("{rate: 10MB}", "10mbit"),
            ("{rate: 10MB/s, limit: 1GiB}", "unknown key `limit`"),
        ] {
            let message = refusal::<Leak>(with, &on_host());
            assert!(message.contains(says), "{with}: {message}");
        }
    }
}
