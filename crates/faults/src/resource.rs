//! What the faults that use up a resource have in common: where the use is charged, and how much there is.

use squall_model::facts::{Facts, Feature, ProcessFacts, Subject};
use squall_model::fault::PlanError;

/// Folders of the control groups that a worker joins, so that what it uses is charged to the target. None for the
/// host, and for a process without a group of its own for the controller.
pub(crate) fn control_groups(facts: &Facts, controller: &str) -> Result<Vec<String>, PlanError> {
    let processes = processes(facts)?;
    let Some(process) = processes.first() else { return Ok(Vec::new()) };
    let is_of_controller =
        |folder: &&String| !facts.host.has(Feature::CgroupV1) || is_below(folder, controller);
    Ok(process.cgroups.iter().filter(is_of_controller).cloned().collect())
}

/// As [`control_groups`], but a process without a group of its own is refused: the use would strike all others too.
pub(crate) fn own_control_groups(facts: &Facts, controller: &str) -> Result<Vec<String>, PlanError> {
    let folders = control_groups(facts, controller)?;
    match processes(facts)? {
        [process, ..] if folders.is_empty() => Err(PlanError::Refused(format!(
            "{} has no control group of its own for {controller}, so the load would strike the whole host; run it as a \
             service or in a container, or say `target: {{host: true}}` if the host is what you mean",
            process.process
        ))),
        _ => Ok(folders),
    }
}

/// The processes whose control groups are struck; none for the host.
pub(crate) fn processes(facts: &Facts) -> Result<&[ProcessFacts], PlanError> {
    match &facts.subject {
        Subject::Resource { processes } => Ok(processes),
        Subject::Group(group) => Ok(&group.processes),
        _ => Err(PlanError::Parameters(
            "this fault strikes a host or control groups: target: {host: true}, {process: {name: …}}, {container: {name: \
             …}} or {service: …}"
                .to_owned(),
        )),
    }
}

/// Whether a folder lies in the tree of a controller of version 1: `/sys/fs/cgroup/cpu,cpuacct/…`.
fn is_below(folder: &str, controller: &str) -> bool {
    let tree = folder.split('/').skip_while(|part| *part != "cgroup").nth(1);
    tree.is_some_and(|names| names.split(',').any(|name| name == controller))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_of_version_1_are_told_by_their_names() {
        assert!(is_below("/sys/fs/cgroup/cpu,cpuacct/system.slice/a.service", "cpu"));
        assert!(is_below("/sys/fs/cgroup/memory/docker/abc", "memory"));
        assert!(!is_below("/sys/fs/cgroup/memory/cpu", "cpu"));
        assert!(!is_below("/sys/fs/cgroup/cpuset/a", "cpu"));
    }
}
