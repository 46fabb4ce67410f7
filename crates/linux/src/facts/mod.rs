//! Facts about the host, and what a target turns out to be on it. Reads only.

mod group;
pub mod network;
mod path;
pub mod process;

pub(crate) use path::mark_state;

use crate::step::failed;
use crate::sys::cgroup::{Controller, Version};
use crate::sys::{cgroup, memory};
use squall_model::facts::{Feature, HostFacts, Privilege, ProcessFacts, Scope, Subject};
use squall_model::machine::MachineError;
use squall_model::target::Target;
use squall_model::units::Size;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, ToSocketAddrs};

/// Looks at the host.
pub fn host() -> Result<HostFacts, MachineError> {
    let (total, available) = host_memory()?;
    let network = network::features();
    Ok(HostFacts {
        boot_id: crate::sys::process::boot_id().to_owned(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        cpus: processors(),
        memory_total: Size(total),
        memory_available: Size(available),
        privileges: privileges()?,
        features: features(&network),
        unknown: network.unknown,
    })
}

/// Finds what a target names, as things of a scope.
pub fn resolve(scope: Scope, target: &Target) -> Result<Vec<Subject>, MachineError> {
    match (scope, target) {
        (Scope::Process, Target::Process(selector)) => {
            Ok(process::strikeable(selector)?.into_iter().map(Subject::Process).collect())
        }
        (Scope::Resource, Target::Process(selector)) => Ok(process::by_control_groups(selector)?),
        (Scope::Process | Scope::Resource, Target::Container(_) | Target::Service(_) | Target::Pod(_)) => {
            Ok(group::find(target)?.into_iter().map(Subject::Group).collect())
        }
        (Scope::Resource, Target::Host(_)) => Ok(vec![Subject::Resource { processes: Vec::new() }]),
        (Scope::Process, _) => Err(misfit("strikes processes", &of_processes(), target)),
        (Scope::Resource, _) => {
            let wanted = format!("{{host: true}}, {}", of_processes());
            Err(misfit("strikes a host or control groups", &wanted, target))
        }
        (Scope::Network, _) => network::resolve(target),
        (Scope::Path, Target::Path(path)) => Ok(path::find(path)?.map(Subject::Path).into_iter().collect()),
        (Scope::Instance, _) => Err(misfit("strikes instances", "{instances: {tag: app=shop}}", target)),
        (Scope::Template, _) => Err(misfit("strikes templates", "{template: {id: EXT…}}", target)),
        (Scope::Database, _) => Err(misfit("strikes servers", "{database: postgres://…}", target)),
        (Scope::Pod | Scope::Node | Scope::Workload | Scope::VirtualService, _) => {
            let wanted = "{pod: {labels: {app: shop}}} or another of a cluster";
            Err(misfit("strikes objects of a cluster", wanted, target))
        }
        (Scope::Path, _) => Err(misfit("strikes directories", "{path: /data}", target)),
    }
}

/// The targets that have processes, as they are written.
fn of_processes() -> String {
    "{process: {name: …}}, {container: {name: …}} or {service: …}".to_owned()
}

/// Processes that a signal to a target goes to, without those that are protected: each that is named, or the main one
/// of each container or service. Empty where nothing matches.
pub fn signalled(target: &Target) -> Result<Vec<ProcessFacts>, MachineError> {
    let groups = match target {
        Target::Process(selector) => {
            let found = process::strikeable(selector)?;
            return Ok(found.into_iter().filter(|process| process.protected.is_none()).collect());
        }
        Target::Container(_) | Target::Service(_) | Target::Pod(_) => group::find(target)?,
        _ => return Err(misfit("strikes processes", &of_processes(), target)),
    };
    let free = groups.into_iter().filter(|group| group.protected.is_none());
    Ok(free.filter_map(|group| group.processes.into_iter().next()).collect())
}

/// Looks up host names. A name without an address is an error.
pub fn addresses(names: &[String]) -> Result<BTreeMap<String, Vec<IpAddr>>, MachineError> {
    let look_up = |name: &String| {
        let found = (name.as_str(), 0).to_socket_addrs().map_err(|error| MachineError::NotFound {
            message: format!(
                "could not find the address of {name:?}: {error}; check the name, or give an address"
            ),
        })?;
        let addresses: BTreeSet<IpAddr> = found.map(|address| address.ip()).collect();
        Ok((name.clone(), addresses.into_iter().collect()))
    };
    names.iter().map(look_up).collect()
}

/// Memory in all and available, in bytes: the host's, or less where our own control groups, and so our workers', are
/// limited.
fn host_memory() -> Result<(u64, u64), MachineError> {
    let memory = memory::read().map_err(|error| failed("read the host's memory", &error))?;
    let trees = cgroup::trees().unwrap_or_default();
    let group = cgroup::of_process(std::process::id(), Controller::Memory, &trees).ok().flatten();
    Ok(match group.as_ref().and_then(cgroup::memory_use) {
        Some(limited) => (memory.total.min(limited.limit), memory.available.min(limited.free())),
        None => (memory.total, memory.available),
    })
}

/// Processors that our threads, and so our workers, may run on.
fn processors() -> u32 {
    let allowed = rustix::thread::sched_getaffinity(None).map(|set| set.count());
    allowed.unwrap_or(1).max(1)
}

/// Numbers of capabilities are those of `include/uapi/linux/capability.h`.
fn privileges() -> Result<BTreeSet<Privilege>, MachineError> {
    let status = crate::sys::process::status(std::process::id())
        .map_err(|error| failed("read our own capabilities", &error))?;
    let all = [
        (Privilege::DacOverride, 1),
        (Privilege::Kill, 5),
        (Privilege::NetAdmin, 12),
        (Privilege::SysPtrace, 19),
        (Privilege::SysAdmin, 21),
    ];
    let has = |bit: u32| status.capabilities & (1 << bit) != 0;
    Ok(all.into_iter().filter(|(_, bit)| has(*bit)).map(|(privilege, _)| privilege).collect())
}

/// What the kernel can do.
fn features(network: &network::Features) -> BTreeSet<Feature> {
    let trees = cgroup::trees().unwrap_or_default();
    let own = std::process::id();
    let group = |controller| cgroup::of_process(own, controller, &trees).ok().flatten();
    let versions =
        [Controller::Cpu, Controller::Memory].map(|controller| group(controller).map(|group| group.version));
    let mut features = network.known.clone();
    if versions == [Some(Version::V1); 2] {
        features.insert(Feature::CgroupV1);
    }
    if versions == [Some(Version::V2); 2] {
        features.insert(Feature::CgroupV2);
    }
    features
}

fn misfit(does: &str, wanted: &str, target: &Target) -> MachineError {
    MachineError::Refused { message: format!("this fault {does}: its target must be {wanted}, not {target}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::target::ProcessSelector;

    #[test]
    fn the_host_is_as_other_programs_see_it() {
        let host = host().unwrap();
        let output = std::process::Command::new("nproc").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), host.cpus.to_string());
        let output = std::process::Command::new("uname").arg("-r").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), host.kernel);
        assert!(host.memory_available <= host.memory_total);
        assert_eq!(host.privileges.contains(&Privilege::Kill), rustix::process::geteuid().is_root());
    }

    #[test]
    fn a_scope_takes_only_targets_of_its_kind() {
        for (scope, target) in [
            (Scope::Process, Target::Host(true)),
            (Scope::Process, Target::Interface("lo".into())),
            (Scope::Resource, Target::Netns("sqt".into())),
            (Scope::Network, Target::Path("/".into())),
            (Scope::Path, Target::Host(true)),
        ] {
            let error = resolve(scope, &target).unwrap_err();
            assert!(matches!(&error, MachineError::Refused { .. }), "{error}");
        }
        let host = resolve(Scope::Resource, &Target::Host(true)).unwrap();
        assert_eq!(host, [Subject::Resource { processes: vec![] }]);
        let nothing = ProcessSelector { name: Some("sqt-no-such".into()), ..Default::default() };
        assert_eq!(resolve(Scope::Process, &Target::Process(nothing)).unwrap(), []);
    }

    #[test]
    fn names_are_looked_up() {
        let found = addresses(&["localhost".to_owned(), "10.0.0.7".to_owned()]).unwrap();
        assert!(found["localhost"].iter().all(IpAddr::is_loopback) && !found["localhost"].is_empty());
        assert_eq!(found["10.0.0.7"], ["10.0.0.7".parse::<IpAddr>().unwrap()]);
        assert!(matches!(addresses(&["sqt.invalid".to_owned()]), Err(MachineError::NotFound { .. })));
    }
}
