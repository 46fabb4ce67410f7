//! `process.pause`: stops a process for a time, with all of its threads.

use super::struck;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Freezer, Privilege, ProcessFacts, Scope, Subject};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{FileValueStep, Signal, SignalStep, Step};

/// See [`Fault::SUMMARY`].
pub(crate) struct Pause;

/// `process.pause` takes none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {}

impl Fault for Pause {
    const NAME: &'static str = "process.pause";
    const SUMMARY: &'static str = "Stops a process with all its threads (SIGSTOP), or all of a container or service (frozen by its control \
         group), as a long pause or a hung machine would, and continues it after";
    const EXAMPLE: &'static str = "\
- fault: process.pause
  target: {process: {name: payment}}
  for: 10s
";
    const SCOPE: Scope = Scope::Process;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(_parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let stop = |process: &ProcessFacts| {
            Step::Signal(SignalStep {
                process: process.process.clone(),
                signal: Signal::Stop,
                may_be_gone: false,
            })
        };
        let Subject::Group(group) = &facts.subject else { return Ok(vec![stop(struck(facts)?)]) };
        // The freezer also holds what is started meanwhile.
        Ok(match &group.freezer {
            Some(Freezer { path, frozen }) => {
                let step = FileValueStep { path: path.clone(), value: frozen.clone(), restore: true };
                vec![Step::FileValue(step)]
            }
            None => group.processes.iter().map(stop).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{example, golden, on_container, on_host, on_process, refusal};

    #[test]
    fn the_example_stops_the_process() {
        golden::<Pause>(&example::<Pause>(), &on_process("payment"), &["send SIGSTOP to payment (pid 812)"]);
    }

    #[test]
    fn a_container_is_frozen_as_a_whole() {
        let steps = ["write \"FROZEN\" to /sys/fs/cgroup/freezer/docker/abc/freezer.state"];
        golden::<Pause>("{}", &on_container(), &steps);
        let mut facts = on_container();
        if let Subject::Group(group) = &mut facts.subject {
            group.freezer = None;
        }
        golden::<Pause>(
            "{}",
            &facts,
            &["send SIGSTOP to web (pid 812)", "send SIGSTOP to web-worker (pid 812)"],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(refusal::<Pause>("{signal: STOP}", &on_process("payment")).contains("unknown key `signal`"));
        assert!(refusal::<Pause>("{}", &on_host()).contains("strikes processes"));
    }
}
