//! `process.pause`: stops a process for a time, with all of its threads.

use super::struck;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{Signal, SignalStep, Step};

/// See [`Fault::SUMMARY`].
pub(crate) struct Pause;

/// `process.pause` takes none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {}

impl Fault for Pause {
    const NAME: &'static str = "process.pause";
    const SUMMARY: &'static str = "Stops a process with all its threads (SIGSTOP), as a long pause or a hung machine would, and continues it after";
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
        let process = struck(facts)?.process.clone();
        Ok(vec![Step::Signal(SignalStep { process, signal: Signal::Stop })])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{example, golden, on_host, on_process, refusal};

    #[test]
    fn the_example_stops_the_process() {
        golden::<Pause>(&example::<Pause>(), &on_process("payment"), &["send SIGSTOP to payment (pid 812)"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(refusal::<Pause>("{signal: STOP}", &on_process("payment")).contains("unknown key `signal`"));
        assert!(refusal::<Pause>("{}", &on_host()).contains("strikes processes"));
    }
}
