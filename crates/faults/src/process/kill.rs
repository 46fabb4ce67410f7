//! `process.kill`: ends a process by a signal, once or again and again, at once or after a time of grace.

use super::struck;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{Signal, SignalStep, Step, Work, WorkerStep};
use squall_model::target::Target;
use squall_model::units::Duration;
use std::borrow::Cow;

/// Strikes more often than this would keep a core busy with looking for processes.
const SHORTEST_PERIOD: Duration = Duration::milliseconds(100);

/// See [`Fault::SUMMARY`].
pub(crate) struct Kill;

/// What `process.kill` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The signal: KILL, TERM, INT, QUIT, ABRT, HUP, USR1 or USR2. Without it KILL, or TERM where there is a `grace`.
    #[serde(default)]
    signal: Option<Ending>,
    /// How often to strike again, so that what is restarted is struck too; at least 100ms. Once the
    /// process that was chosen is gone, one that matches the target and was started since is struck; what else matches
    /// is spared. Without it the signal is sent once.
    #[serde(default)]
    every: Option<Duration>,
    /// How long the process may take to end by itself after the signal; if it still runs then, it is killed. At most
    /// `every`, where that is given; the fault must last as long, since its end spares what still runs. Without it a
    /// process that outlives the signal is left alone.
    #[serde(default)]
    grace: Option<Duration>,
}

/// A signal that can end a process.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Ending(Signal);

impl Ending {
    const ALL: [Signal; 8] = [
        Signal::Kill,
        Signal::Term,
        Signal::Int,
        Signal::Quit,
        Signal::Abrt,
        Signal::Hup,
        Signal::Usr1,
        Signal::Usr2,
    ];

    fn names() -> Vec<String> {
        Self::ALL.iter().map(|signal| signal.to_string().trim_start_matches("SIG").to_owned()).collect()
    }
}

impl TryFrom<String> for Ending {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let names = Self::names();
        match names.iter().position(|name| *name == text) {
            Some(position) => Ok(Self(Self::ALL[position])),
            None if matches!(text.as_str(), "STOP" | "CONT") => Err(format!(
                "SIG{text} does not end a process; to stop one for a time, use the fault process.pause"
            )),
            None => Err(format!("{text:?} is no signal that ends a process; known: {}", names.join(", "))),
        }
    }
}

impl JsonSchema for Ending {
    fn schema_name() -> Cow<'static, str> {
        "EndingSignal".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": Self::names() })
    }
}

impl Parameters {
    fn signal(&self) -> Signal {
        let otherwise = if self.grace.is_some() { Signal::Term } else { Signal::Kill };
        self.signal.map_or(otherwise, |Ending(signal)| signal)
    }
}

impl Fault for Kill {
    const NAME: &'static str = "process.kill";
    const SUMMARY: &'static str = "Ends a process, or the main one of a container or a service, by a signal, once or every so often, politely \
         first where asked; starting it again is its supervisor's part";
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
        let wrong = |message: String| Err(PlanError::Parameters(message));
        let signal = parameters.signal();
        if let Some(every) = parameters.every.filter(|every| *every < SHORTEST_PERIOD) {
            return wrong(format!(
                "every: {every} is too often; at least {SHORTEST_PERIOD} must lie between two signals"
            ));
        }
        match (parameters.grace, parameters.every) {
            (Some(_), _) if signal == Signal::Kill => wrong(
                "SIGKILL ends a process at once, so there is no time of grace; leave out `grace`, or send TERM first"
                    .to_owned(),
            ),
            (Some(grace), Some(every)) if grace > every => wrong(format!(
                "grace: {grace} is longer than every: {every}; a process that was struck must have ended before the next \
                 is struck"
            )),
            _ => Ok(()),
        }
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let process = struck(facts)?.process.clone();
        let signal = parameters.signal();
        let work = match (parameters.every, parameters.grace) {
            (None, None) => {
                return Ok(vec![Step::Signal(SignalStep { process, signal, may_be_gone: false })]);
            }
            (None, Some(grace)) => Work::SignalThenKill { process, signal, grace },
            (Some(_), _) if matches!(&facts.target, Target::Process(selector) if selector.pid.is_some()) => {
                return Err(PlanError::Parameters(format!(
                    "{process} is named by its number, which it does not keep when it is restarted; with `every`, name it \
                     by name, port, cgroup or cmdline"
                )));
            }
            (Some(every), grace) => {
                Work::SignalEvery { process, target: facts.target.clone(), signal, every, grace }
            }
        };
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
            &[
                "run a worker that sends SIGKILL every 5s to web (pid 812), and once it is gone to what is started of container name web",
            ],
        );
    }

    #[test]
    fn a_repeated_kill_looks_for_its_target_anew() {
        golden::<Kill>(
            "{signal: TERM, every: 5s}",
            &on_process("payment"),
            &[
                "run a worker that sends SIGTERM every 5s to payment (pid 812), and once it is gone to what is started of process name payment",
            ],
        );
    }

    #[test]
    fn grace_is_a_polite_signal_first() {
        golden::<Kill>(
            "{grace: 10s}",
            &on_process("payment"),
            &["run a worker that sends SIGTERM to payment (pid 812), and SIGKILL 10s later if it still runs"],
        );
        golden::<Kill>(
            "{signal: INT, every: 10s, grace: 2s}",
            &on_process("payment"),
            &[
                "run a worker that sends SIGINT every 10s to payment (pid 812), and once it is gone to what is started of process name payment; and SIGKILL 2s later to what still runs",
            ],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let facts = on_process("payment");
        for (with, says) in [
            ("{signal: STOP}", "process.pause"),
            ("{every: 1ms}", "at least 100ms"),
            (
                "{signal: SIGKILL}",
                "no signal that ends a process; known: KILL, TERM, INT, QUIT, ABRT, HUP, USR1, USR2",
            ),
            ("{signal: KILL, grace: 1s}", "no time of grace"),
            ("{every: 1s, grace: 2s}", "longer than every"),
            ("{signals: KILL}", "unknown key `signals`"),
        ] {
            let message = refusal::<Kill>(with, &facts);
            assert!(message.contains(says), "{message}");
        }
        let message = refusal::<Kill>("{every: 1s}", &on_pid(812));
        assert!(message.contains("by its number"), "{message}");
    }
}
