//! `cpu.load`: keeps processor cores busy.

use crate::resource::control_groups;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{Step, Work, WorkerStep};
use squall_model::units::Share;

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

impl Fault for Load {
    const NAME: &'static str = "cpu.load";
    const SUMMARY: &'static str =
        "Keeps processor cores busy, on the host or within the control group of a process";
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
        let cores = parameters.cores.unwrap_or(facts.host.cpus);
        if cores > facts.host.cpus {
            return Err(PlanError::Parameters(format!(
                "cores: {cores} is more than the {} that Squall may use on this host; leave it out for all of them",
                facts.host.cpus
            )));
        }
        let cgroups = control_groups(facts, "cpu")?;
        let work = Work::CpuLoad { percent: parameters.percent, cores };
        Ok(vec![Step::Worker(WorkerStep { mark: WorkerStep::mark_of(&facts.injection), work, cgroups })])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{example, golden, on_group, on_host, refusal};

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
            &["run a worker that keeps 1 cores 50% busy, in /sys/fs/cgroup/system.slice/payment.service"],
        );
        let message = refusal::<Load>("{}", &on_group(&[]));
        assert!(message.contains("no control group of its own for cpu"), "{message}");
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
