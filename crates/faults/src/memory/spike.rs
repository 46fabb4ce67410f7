//! `memory.spike`: takes an amount of memory at once and holds it.

use super::{Room, take};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;
use squall_model::units::{Share, Size};

/// See [`Fault::SUMMARY`].
pub(crate) struct Spike;

/// What `memory.spike` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How much is taken; this or `percent`.
    #[serde(default)]
    size: Option<Size>,
    /// How much is taken, as a share of the control group's limit, or of the host's memory where there is none.
    #[serde(default)]
    percent: Option<Share>,
    /// How much must stay available to others. By default 5% of the host's memory, at least 256MiB; in a control group
    /// with a limit, 5% of the limit.
    #[serde(default)]
    leave_free: Option<Size>,
}

impl Fault for Spike {
    const NAME: &'static str = "memory.spike";
    const SUMMARY: &'static str = "Takes an amount of memory at once and holds it, on the host or within the control group of a process";
    const EXAMPLE: &'static str = "\
- fault: memory.spike
  target: {host: true}
  with: {size: 1GiB}
  for: 30s
";
    const SCOPE: Scope = Scope::Resource;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        match (parameters.size, parameters.percent) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            (None, None) => Err(PlanError::Parameters(
                "`size` is missing, such as 1GiB, or `percent`, such as 50%".into(),
            )),
            (Some(_), Some(_)) => Err(PlanError::Parameters(
                "`size` and `percent` say the same; leave one of the two away".into(),
            )),
        }
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let room = Room::of(facts, parameters.leave_free)?;
        let share = parameters.percent.unwrap_or_default().fraction();
        let size = parameters.size.unwrap_or(Size((room.whole.0 as f64 * share) as u64));
        room.holds(size)?;
        take(facts, None, size, room.leave_free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{example, golden, on_group, on_host, on_limited_group, refusal};

    #[test]
    fn the_example_holds_a_gibibyte() {
        golden::<Spike>(&example::<Spike>(), &on_host(), &["run a worker that holds 1GiB of memory"]);
    }

    #[test]
    fn the_hosts_reserve_is_kept() {
        // 8 GiB, of which 6 GiB are available and 5 % are kept.
        let message = refusal::<Spike>("{size: 6GiB}", &on_host());
        assert!(
            message.contains("this host has 6GiB available, of which 409.6MiB is left free"),
            "{message}"
        );
        assert!(message.contains("at most 5.6GiB"), "{message}");
        golden::<Spike>(
            "{size: 6000MiB, leave_free: 100MiB}",
            &on_host(),
            &["run a worker that holds 6000MiB of memory"],
        );
    }

    #[test]
    fn a_control_groups_limit_is_kept() {
        let group = on_limited_group("512MiB", "112MiB");
        let message = refusal::<Spike>("{size: 400MiB}", &group);
        assert!(message.contains("the control group of payment (pid 812) has 400MiB available"), "{message}");
        golden::<Spike>(
            "{size: 300MiB}",
            &group,
            &["run a worker that holds 300MiB of memory, in /sys/fs/cgroup/payment"],
        );
        golden::<Spike>(
            "{percent: 50%}",
            &group,
            &["run a worker that holds 256MiB of memory, in /sys/fs/cgroup/payment"],
        );
        assert!(refusal::<Spike>("{size: 1MiB}", &on_group(&[])).contains("of its own for memory"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (with, says) in [
            ("{}", "`size` is missing"),
            ("{size: 0B}", "no effect"),
            ("{percent: 0%}", "no effect"),
            ("{size: 5}", "64KiB"),
            ("{size: 1MiB, percent: 5%}", "leave one of the two away"),
        ] {
            let message = refusal::<Spike>(with, &on_host());
            assert!(message.contains(says), "{with}: {message}");
        }
    }
}
