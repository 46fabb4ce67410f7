//! `cpu.load`: keeps processor cores busy.

use crate::resource::{control_groups, processes as struck};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{Step, Work, WorkerStep, ranges};
use squall_model::units::Share;
use std::collections::BTreeSet;

/// See [`Fault::SUMMARY`].
pub(crate) struct Load;

/// What `cpu.load` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Share of each core that is kept busy, on top of what others use.
    #[serde(default = "whole")]
    percent: Share,
    /// How many cores; all of them where it is not given.
    #[serde(default)]
    #[schemars(range(min = 1))]
    cores: Option<u32>,
}

fn whole() -> Share {
    Share::WHOLE
}

const CONTROLLER: &str = "cpu";

/// The processors that the processes named may run on; none where no process is named, or one cannot be looked at.
fn processors(facts: &Facts) -> Result<Vec<u32>, PlanError> {
    let processes = struck(facts)?;
    if processes.iter().any(|process| process.processors.is_empty()) {
        return Ok(Vec::new());
    }
    let all: BTreeSet<u32> =
        processes.iter().flat_map(|process| process.processors.iter().copied()).collect();
    Ok(all.into_iter().collect())
}

impl Fault for Load {
    const NAME: &'static str = "cpu.load";
    const SUMMARY: &'static str = "Keeps processor cores busy: the host's, or those of a process, within its control group where it has one";
    const EXAMPLE: &'static str = "\
- fault: cpu.load
  target: {host: true}
  with: {percent: 80%, cores: 2}
  for: 30s
";
    const SCOPE: Scope = Scope::Resource;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        if parameters.percent.fraction() == 0.0 || parameters.cores == Some(0) {
            return Err(PlanError::Parameters(
                "a load of nothing has no effect; give percent: 80%, cores: 1".into(),
            ));
        }
        Ok(())
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let processors = processors(facts)?;
        let (most, whose) = match processors.len() {
            0 => (facts.host.cpus, "Squall"),
            count => (count as u32, "the target"),
        };
        let cores = parameters.cores.unwrap_or(most);
        if cores > most {
            return Err(PlanError::Parameters(format!(
                "cores: {cores} is more than the {most} that {whose} may use on this host; leave it out for all of them"
            )));
        }
        let cgroups = control_groups(facts, CONTROLLER)?;
        let work = Work::CpuLoad { percent: parameters.percent, cores, processors };
        Ok(vec![Step::Worker(WorkerStep { mark: WorkerStep::mark_of(&facts.injection), work, cgroups })])
    }

    fn notes(_parameters: &Parameters, facts: &Facts) -> Vec<String> {
        let (Ok([process, ..]), Ok(groups)) = (struck(facts), control_groups(facts, CONTROLLER)) else {
            return Vec::new();
        };
        if !groups.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "{} has no control group of its own for {CONTROLLER}: the load competes with it for the processors that it may \
             use{}, and so with all else that runs there",
            process.process,
            match process.processors.as_slice() {
                [] => String::new(),
                numbers => format!(" ({})", ranges(numbers)),
            }
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{example, golden, notes, on_group, on_host, refusal};
    use squall_model::facts::Subject;

    #[test]
    fn the_example_loads_two_cores() {
        golden::<Load>(&example::<Load>(), &on_host(), &["run a worker that keeps 2 cores 80% busy"]);
    }

    #[test]
    fn all_cores_wholly_are_the_default() {
        golden::<Load>("{}", &on_host(), &["run a worker that keeps 4 cores 100% busy"]);
    }

    #[test]
    fn a_process_is_loaded_within_its_control_group() {
        golden::<Load>(
            "{percent: 50%, cores: 1}",
            &on_group(&["/sys/fs/cgroup/system.slice/payment.service"]),
            &[
                "run a worker that keeps 1 core 50% busy on processors 0-3, in /sys/fs/cgroup/system.slice/payment.service",
            ],
        );
        assert_eq!(notes::<Load>("{}", &on_group(&["/sys/fs/cgroup/system.slice/payment.service"])), [""; 0]);
    }

    #[test]
    fn a_process_without_a_group_of_its_own_is_loaded_on_the_processors_that_it_may_use() {
        let mut facts = on_group(&[]);
        let Subject::Resource { processes } = &mut facts.subject else { panic!("no processes") };
        processes[0].processors = vec![1, 3];
        golden::<Load>(
            "{percent: 10%}",
            &facts,
            &["run a worker that keeps 2 cores 10% busy on processors 1, 3"],
        );
        let notes = notes::<Load>("{percent: 10%}", &facts);
        assert!(notes[0].contains("no control group of its own for cpu"), "{notes:?}");
        assert!(notes[0].contains("(1, 3)"), "{notes:?}");
        assert!(refusal::<Load>("{cores: 3}", &facts).contains("the 2 that the target may use"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (with, says) in [
            ("{cores: 5}", "the 4 that Squall may use"),
            ("{cores: 0}", "no effect"),
            ("{percent: 0%}", "no effect"),
            ("{percent: 150%}", "share"),
            ("{core: 1}", "unknown key `core`"),
        ] {
            let message = refusal::<Load>(with, &on_host());
            assert!(message.contains(says), "{with}: {message}");
        }
    }
}
