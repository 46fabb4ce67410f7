//! `postgres.failover`: a primary that answers nobody for a time, so that whoever watches over it lets another one take its
//! place.

use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Freezer, GroupFacts, Privilege, ProcessFacts, Scope, Subject};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{ContainerStep, FileValueStep, ProcessRef, Signal, SignalStep, Step};
use squall_model::units::Duration;

/// How long a server has to end by itself. A daemon that stops a container is waited for, so it is short: a primary that
/// fails does not take its leave either, and PostgreSQL recovers from that.
const GRACE: Duration = Duration::seconds(1);

/// See [`Fault::SUMMARY`].
pub(crate) struct Failover;

/// What `postgres.failover` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// `pause` has the server stand still with all its sessions: whoever speaks to it waits. At the end it goes on where it
    /// was, which a cluster that chose another primary meanwhile must live with: that is what is tested. `stop` has the
    /// container of a server stopped by its daemon, and started again at the end; sessions are cut off. Anything but a
    /// container is refused, since Squall could not start it as its supervisor does.
    #[serde(default)]
    how: How,
}

/// What happens to the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// It stands still.
    #[default]
    Pause,
    /// It ends, and is started again.
    Stop,
}

impl Fault for Failover {
    const NAME: &'static str = "postgres.failover";
    const SUMMARY: &'static str = "Has a PostgreSQL server stand still, sessions and all, or stops its container, so that its cluster must do \
         without it, and brings it back after";
    const EXAMPLE: &'static str = "\
- fault: postgres.failover
  target: {service: postgresql@15-main}
  for: 30s
";
    const SCOPE: Scope = Scope::Process;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        if parameters.how == How::Stop {
            return stopped(&facts.subject);
        }
        // Sessions come and go; the main process must be there.
        let main = match &facts.subject {
            Subject::Process(process) => Some(&process.process),
            Subject::Group(group) => group.processes.first().map(|first| &first.process),
            _ => None,
        };
        let stop = |process: &ProcessRef| {
            let may_be_gone = main != Some(process);
            Step::Signal(SignalStep { process: process.clone(), signal: Signal::Stop, may_be_gone })
        };
        match &facts.subject {
            Subject::Group(group) if group.processes.iter().any(is_postgres) => Ok(match &group.freezer {
                Some(Freezer { path, frozen }) => {
                    let step = FileValueStep { path: path.clone(), value: frozen.clone(), restore: true };
                    vec![Step::FileValue(step)]
                }
                None => group.processes.iter().map(|process| stop(&process.process)).collect(),
            }),
            // First the main one, so that no session begins meanwhile; each session is a process that it started.
            Subject::Process(process) if is_postgres(process) => {
                let all = std::iter::once(&process.process).chain(&process.children);
                Ok(all.map(stop).collect())
            }
            Subject::Group(group) => Err(no_postgres(&group.name)),
            Subject::Process(process) => Err(no_postgres(&process.process.to_string())),
            _ => Err(PlanError::Parameters(
                "this fault strikes the processes of a server: target: {service: …}, {container: {name: …}} or \
                 {process: {port: 5432}}"
                    .to_owned(),
            )),
        }
    }
}

/// The step that has the container of a server stopped.
fn stopped(subject: &Subject) -> Result<Vec<Step>, PlanError> {
    match subject {
        Subject::Group(GroupFacts { container: Some(container), processes, name, .. }) => {
            if !processes.iter().any(is_postgres) {
                return Err(no_postgres(name));
            }
            let step = ContainerStep { container: container.clone(), grace: GRACE };
            Ok(vec![Step::Container(step)])
        }
        _ => Err(PlanError::Parameters(
            "how: stop is for a container, which its daemon starts again; use how: pause here, or process.kill with \
             signal: QUIT where a supervisor starts the server again"
                .to_owned(),
        )),
    }
}

/// Its main process goes by one of two names; its sessions by others, on their command lines.
fn is_postgres(process: &ProcessFacts) -> bool {
    matches!(process.process.name.as_str(), "postgres" | "postmaster")
}

fn no_postgres(name: &str) -> PlanError {
    PlanError::Refused(format!(
        "{name} is no PostgreSQL server; process.pause stops any process, container or service"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{golden, on_container, on_process, refusal};

    #[test]
    fn the_main_process_is_stopped_first_and_its_sessions_too() {
        let mut facts = on_process("postgres");
        if let Subject::Process(process) = &mut facts.subject {
            process.children = vec![ProcessRef { pid: 813, ..process.process.clone() }];
        }
        let steps = ["send SIGSTOP to postgres (pid 812)", "send SIGSTOP to postgres (pid 813)"];
        golden::<Failover>("{}", &facts, &steps);
    }

    #[test]
    fn a_container_is_frozen_if_it_is_a_server() {
        let mut facts = on_container();
        for parameters in ["{}", "{how: stop}"] {
            assert!(refusal::<Failover>(parameters, &facts).contains("no PostgreSQL"));
        }
        if let Subject::Group(group) = &mut facts.subject {
            group.processes[1].process.name = "postgres".into();
        }
        let steps = ["write \"FROZEN\" to /sys/fs/cgroup/freezer/docker/abc/freezer.state"];
        golden::<Failover>("{how: pause}", &facts, &steps);
        let step = "have container web stopped by its daemon, within 1s";
        golden::<Failover>("{how: stop}", &facts, &[step]);
    }

    #[test]
    fn what_could_not_be_undone_is_refused() {
        assert!(refusal::<Failover>("{how: stop}", &on_process("postgres")).contains("process.kill"));
        assert!(refusal::<Failover>("{}", &on_process("payment")).contains("process.pause"));
    }
}
