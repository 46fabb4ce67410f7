//! `memory.drop_caches`: empties the kernel's page cache and other caches, so that reads go to the disk again.

use crate::resource::processes;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{FileValueStep, Step};

/// See [`Fault::SUMMARY`].
pub(crate) struct DropCaches;

/// `memory.drop_caches` takes none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {}

impl Fault for DropCaches {
    const NAME: &'static str = "memory.drop_caches";
    const SUMMARY: &'static str =
        "Empties the host's page cache once, so that what was read from memory is read from disks again";
    const EXAMPLE: &'static str = "\
- fault: memory.drop_caches
  target: {host: true}
  for: 10s
";
    const SCOPE: Scope = Scope::Resource;
    const PRIVILEGES: &'static [Privilege] = &[Privilege::DacOverride];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(_parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        if let Some(process) = processes(facts)?.first() {
            return Err(PlanError::Parameters(format!(
                "the page cache belongs to the whole host, not to {}; say `target: {{host: true}}`",
                process.process
            )));
        }
        // 3: the page cache and the caches of directories and inodes (`Documentation/admin-guide/sysctl/vm.rst`).
        let button =
            FileValueStep { path: "/proc/sys/vm/drop_caches".into(), value: "3".into(), restore: false };
        Ok(vec![Step::FileValue(button)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{example, golden, on_group, on_host, refusal};

    #[test]
    fn the_example_presses_the_button() {
        golden::<DropCaches>(
            &example::<DropCaches>(),
            &on_host(),
            &["write \"3\" to /proc/sys/vm/drop_caches"],
        );
    }

    #[test]
    fn a_process_has_no_page_cache_of_its_own() {
        assert!(refusal::<DropCaches>("{}", &on_group(&[])).contains("whole host"));
    }
}
