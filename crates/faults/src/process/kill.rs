//! `process.kill`: ends a process by a signal, once or again and again.

use super::struck;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{Signal, SignalStep, Step, Work, WorkerStep};
use squall_model::target::Target;
use squall_model::units::Duration;

/// Strikes more often than this would keep a core busy with looking for processes.
const SHORTEST_PERIOD: Duration = Duration::milliseconds(100);

/// See [`Fault::SUMMARY`].
pub(crate) struct Kill;

/// What `process.kill` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The signal: KILL, TERM, INT, QUIT, ABRT, HUP, USR1 or USR2.
    #[serde(default)]
    signal: Signal,
    /// How often to strike again, so that what is restarted is struck too; at least 100ms. Each time the target is
    /// looked for anew and one that matches is struck. Without it the signal is sent once.
    #[serde(default)]
    every: Option<Duration>,
}

impl Fault for Kill {
    const NAME: &'static str = "process.kill";
    const SUMMARY: &'static str = "Ends a process, or the main one of a container or a service, by a signal, once or every so often; starting it \
         again is its supervisor's part";
    const EXAMPLE: &'static str = "\
- fault: process.kill
  target: {process: {name: payment}}
  with: {signal: KILL}
  for: 30s
";
    const SCOPE: Scope = Scope::Process;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        if matches!(parameters.signal, Signal::Stop | Signal::Cont) {
            return Err(PlanError::Parameters(format!(
                "{} does not end a process; to stop one for a time, use the fault process.pause",
                parameters.signal
            )));
        }
        match parameters.every {
            Some(every) if every < SHORTEST_PERIOD => Err(PlanError::Parameters(format!(
                "every: {every} is too often; at least {SHORTEST_PERIOD} must lie between two signals"
            ))),
            _ => Ok(()),
        }
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let process = struck(facts)?.process.clone();
        let Some(every) = parameters.every else {
            return Ok(vec![Step::Signal(SignalStep { process, signal: parameters.signal })]);
        };
        if matches!(&facts.target, Target::Process(selector) if selector.pid.is_some()) {
            return Err(PlanError::Parameters(format!(
                "{process} is named by its number, which it does not keep when it is restarted; with `every`, name it \
                 by name, port, cgroup or cmdline"
            )));
        }
        let work =
            Work::SignalEvery { target: facts.target.clone(), signal: parameters.signal, every, at_most: 1 };
        let mark = WorkerStep::mark_of(&facts.injection);
        Ok(vec![Step::Worker(WorkerStep { mark, work, cgroups: Vec::new() })])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{example, golden, on_container, on_pid, on_process, refusal};

    #[test]
    fn the_example_sends_one_signal() {
        golden::<Kill>(&example::<Kill>(), &on_process("payment"), &["send SIGKILL to payment (pid 812)"]);
    }

    #[test]
    fn of_a_container_the_main_process_is_struck() {
        golden::<Kill>("{}", &on_container(), &["send SIGKILL to web (pid 812)"]);
        golden::<Kill>(
            "{every: 5s}",
            &on_container(),
            &["run a worker that sends SIGKILL to container name web every 5s"],
        );
    }

    #[test]
    fn a_repeated_kill_looks_for_its_target_anew() {
        golden::<Kill>(
            "{signal: TERM, every: 5s}",
            &on_process("payment"),
            &["run a worker that sends SIGTERM to process name payment every 5s"],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let facts = on_process("payment");
        for (with, says) in [
            ("{signal: STOP}", "process.pause"),
            ("{every: 1ms}", "at least 100ms"),
            ("{signal: SIGKILL}", "KILL"),
            ("{signals: KILL}", "unknown key `signals`"),
        ] {
            let message = refusal::<Kill>(with, &facts);
            assert!(message.contains(says), "{message}");
        }
        let message = refusal::<Kill>("{every: 1s}", &on_pid(812));
        assert!(message.contains("by its number"), "{message}");
    }
}
