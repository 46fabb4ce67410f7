//! Containers and services: processes that are one thing. A container is asked for at Docker, a service is known by the
//! name of its control group, and so are the containers of pods, whose numbers the cluster told.
//!
//! Either is protected where Squall itself or what started it is among its processes, or where one of them keeps the host
//! or its containers (see [`super::process`]); a container with an SSH server or a service manager of its own is free. A worker
//! of Squall's that a fault has moved in is none of its processes, and protects nothing.

use super::process::{Snapshot, protected};
use crate::docker::{Container, Docker};
use crate::sys::cgroup::{self, Version};
use crate::sys::process::Stat;
use squall_model::cluster::PlacedPod;
use squall_model::facts::{Freezer, GroupFacts};
use squall_model::machine::MachineError;
use squall_model::step::ContainerRef;
use squall_model::target::{ContainerSelector, Target, fits};
use std::collections::BTreeMap;

/// What a container may run by itself though the host's own is protected.
const OWN_PILLARS: [&str; 6] = ["systemd", "init", "dbus-", "sshd", "NetworkManager", "docker-init"];
/// Endings of the names of units that have processes.
const UNITS: [&str; 3] = [".service", ".scope", ".slice"];

/// The containers or services that a target names. Empty where nothing matches.
pub(super) fn find(target: &Target) -> Result<Vec<GroupFacts>, MachineError> {
    match target {
        Target::Container(selector) => containers(&Docker::from_environment()?, selector),
        Target::Service(pattern) => services(pattern),
        Target::Pod(selector) => pods(&selector.placed),
        _ => Ok(Vec::new()),
    }
}

fn containers(docker: &Docker, selector: &ContainerSelector) -> Result<Vec<GroupFacts>, MachineError> {
    let wanted: Vec<Container> =
        docker.containers()?.into_iter().filter(|container| container.matches(selector)).collect();
    let mut main = Vec::new();
    for container in wanted {
        // One that ended meanwhile is left out.
        if let Some(pid) = docker.main_process(&container.id)? {
            main.push((container, pid));
        }
    }
    let snapshot = Snapshot::take()?;
    main.into_iter()
        .filter_map(|(container, pid)| of_container(docker, &snapshot, &container, pid, selector))
        .collect()
}

fn of_container(
    docker: &Docker,
    snapshot: &Snapshot,
    container: &Container,
    main: u32,
    selector: &ContainerSelector,
) -> Option<Result<GroupFacts, MachineError>> {
    let is_in = |stat: &Stat| {
        cgroup::paths(stat.pid).is_ok_and(|paths| paths.iter().any(|path| path.contains(&container.id)))
    };
    let name = format!("container {}", container.name);
    let members: Vec<&Stat> = snapshot.processes.iter().filter(|stat| is_in(stat)).collect();
    // One that ended since it was asked for is left out, and its number may be another's by now.
    let Some(first) = members.iter().find(|stat| stat.pid == main).copied() else {
        if snapshot.processes.iter().all(|stat| stat.pid != main) {
            return None;
        }
        return Some(Err(MachineError::Refused {
            message: format!(
                "could not take {name} as the target: its main process would be {main}, but that is in no control group \
                 of it; does Docker run on another host?"
            ),
        }));
    };
    let by_number = selector.id.as_ref().is_some_and(|id| *id == container.id);
    let pillar = |stat: &Stat| if by_number { None } else { pillar_but_own(stat) };
    let freezer = |name: &str| name.contains(&container.id);
    let found = group(snapshot, name, first, &members, &pillar, &freezer)?;
    let (id, name) = (container.id.clone(), container.name.clone());
    let daemon = docker.socket().to_string_lossy().into_owned();
    Some(Ok(GroupFacts { container: Some(ContainerRef { daemon, id, name }), ..found }))
}

/// The containers of pods that run here. One that is gone meanwhile is left out.
fn pods(placed: &[PlacedPod]) -> Result<Vec<GroupFacts>, MachineError> {
    let snapshot = Snapshot::take()?;
    let paths: Vec<(&Stat, Vec<String>)> =
        snapshot.processes.iter().map(|stat| (stat, cgroup::paths(stat.pid).unwrap_or_default())).collect();
    let mut found = Vec::new();
    for (pod, container) in placed.iter().flat_map(|pod| pod.containers.iter().map(move |one| (pod, one))) {
        let is_in = |paths: &[String]| paths.iter().any(|path| path.contains(&container.id));
        let members: Vec<&Stat> =
            paths.iter().filter(|(_, paths)| is_in(paths)).map(|(stat, _)| *stat).collect();
        let name = pod.name_of(container);
        let Some(main) = main_of(&snapshot, &members) else { continue };
        let is_its_folder = |name: &str| name.contains(&container.id);
        found.extend(group(&snapshot, name, main, &members, &pillar_but_own, &is_its_folder));
    }
    Ok(found)
}

/// What keeps the host or its containers, but for what a container may run by itself.
fn pillar_but_own(stat: &Stat) -> Option<String> {
    if OWN_PILLARS.iter().any(|own| stat.name.starts_with(own)) { None } else { protected(stat) }
}

fn services(pattern: &str) -> Result<Vec<GroupFacts>, MachineError> {
    let pattern = if UNITS.iter().any(|ending| pattern.ends_with(ending)) {
        pattern.to_owned()
    } else {
        format!("{pattern}.service")
    };
    let snapshot = Snapshot::take()?;
    let mut units: BTreeMap<String, Vec<&Stat>> = BTreeMap::new();
    for stat in &snapshot.processes {
        let paths = cgroup::paths(stat.pid).unwrap_or_default();
        if let Some(unit) = paths.iter().flat_map(|path| path.split('/')).find(|part| fits(&pattern, part)) {
            units.entry(unit.to_owned()).or_default().push(stat);
        }
    }
    let of_unit = |(unit, members): (String, Vec<&Stat>)| {
        let main = main_of(&snapshot, &members)?;
        group(&snapshot, format!("service {unit}"), main, &members, &protected, &|name| name == unit)
    };
    Ok(units.into_iter().filter_map(of_unit).collect())
}

/// The oldest process that none of the others started, and that is no worker of ours.
fn main_of<'s>(snapshot: &Snapshot, members: &[&'s Stat]) -> Option<&'s Stat> {
    let is_child = |stat: &Stat| members.iter().any(|other| other.pid == stat.parent);
    let could_be = members.iter().filter(|stat| !is_child(stat) && !snapshot.is_worker(stat));
    could_be.min_by_key(|stat| (stat.start_time, stat.pid)).copied()
}

fn group(
    snapshot: &Snapshot,
    name: String,
    main: &Stat,
    members: &[&Stat],
    pillar: &dyn Fn(&Stat) -> Option<String>,
    is_its_folder: &dyn Fn(&str) -> bool,
) -> Option<GroupFacts> {
    let (workers, members): (Vec<&Stat>, Vec<&Stat>) =
        members.iter().copied().partition(|stat| snapshot.is_worker(stat));
    let never =
        |stat: &Stat| snapshot.never(stat).map(|why| format!("{} (pid {}) in it {why}", stat.name, stat.pid));
    let why = |stat: &&Stat| {
        never(stat)
            .or_else(|| pillar(stat).map(|why| format!("{} (pid {}) is in it: {why}", stat.name, stat.pid)))
    };
    let protected = members.iter().find_map(why);
    let others = members.iter().filter(|stat| stat.pid != main.pid);
    // Without the main process there is nothing to strike any more.
    let first = snapshot.facts(main, None)?;
    let processes =
        std::iter::once(first).chain(others.filter_map(|stat| snapshot.facts(stat, None))).collect();
    let freezer = |stat: &Stat| cgroup::freezer(stat.pid, &snapshot.trees, is_its_folder);
    // Version 1 lets nothing end that is frozen, and the undo of the other fault would wait for its worker.
    let would_hold = |worker: &&Stat| freezer(worker).is_some_and(|(_, version, _)| version == Version::V1);
    let freezer = if workers.iter().any(would_hold) { None } else { freezer(main) };
    let freezer = freezer.map(|(path, _, frozen)| Freezer {
        path: path.to_string_lossy().into_owned(),
        frozen: frozen.to_owned(),
    });
    Some(GroupFacts { name, processes, freezer, container: None, protected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{resolve, signalled};
    use crate::sys::process::tests::{Victim, wait_until};
    use squall_model::facts::{Scope, Subject};
    use squall_model::target::ProcessSelector;
    use std::path::PathBuf;

    /// A unit without a service manager: a control group named as one, in the tree in which they are named.
    struct Unit(PathBuf);

    impl Unit {
        fn new(name: &str) -> Option<Self> {
            let trees = cgroup::trees().ok()?;
            let named = |tree: &&cgroup::Tree| {
                tree.version == cgroup::Version::V2 || tree.controllers.iter().any(|name| name == "freezer")
            };
            let folder = trees.iter().find(named)?.mount.join(name);
            std::fs::create_dir(&folder).ok()?;
            Some(Self(folder))
        }
        fn take(&self, victim: &Victim) {
            std::fs::write(self.0.join("cgroup.procs"), victim.pid().to_string()).unwrap();
        }
    }

    impl Drop for Unit {
        fn drop(&mut self) {
            for _ in 0..100 {
                if std::fs::remove_dir(&self.0).is_ok() {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }

    #[test]
    fn a_service_is_its_control_group_and_its_oldest_process_is_the_main_one() {
        let name = format!("sqt-{}@1.service", std::process::id());
        let Some(unit) = Unit::new(&name) else {
            println!("skipped: no control group can be made here");
            return;
        };
        let parent = Victim::start("sh", &["-c", "sleep 60 & sleep 61; :"]);
        unit.take(&parent);
        let children = || crate::sys::process::children(parent.pid()).unwrap_or_default();
        wait_until(|| children().len() == 2);
        for child in children() {
            std::fs::write(unit.0.join("cgroup.procs"), child.pid.to_string()).unwrap();
        }
        for pattern in [name.clone(), format!("sqt-{}@*", std::process::id()), name.replace(".service", "")] {
            let target = Target::Service(pattern);
            let found = resolve(Scope::Process, &target).unwrap();
            let [Subject::Group(group)] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((group.name.clone(), group.processes.len()), (format!("service {name}"), 3));
            assert_eq!(group.processes[0].process.pid, parent.pid());
            assert_eq!(group.protected, None);
            let freezer = group.freezer.as_ref().unwrap();
            assert!(std::path::Path::new(&freezer.path).starts_with(&unit.0), "{freezer:?}");
            assert_eq!(signalled(&target).unwrap()[0].process.pid, parent.pid());
            assert_eq!(resolve(Scope::Network, &target).unwrap().len(), 1);
        }
        assert_eq!(resolve(Scope::Process, &Target::Service("sqt-none".into())).unwrap(), []);
    }

    #[test]
    fn a_service_that_holds_squall_is_protected() {
        let name = format!("sqt-{}-own.service", std::process::id());
        let Some(unit) = Unit::new(&name) else {
            println!("skipped: no control group can be made here");
            return;
        };
        // What runs our program as an agent is Squall; a test cannot be moved itself, it has threads of others.
        let victim = Victim::sleeping();
        unit.take(&victim);
        let snapshot = Snapshot::take().unwrap();
        let of = |pid: u32| snapshot.processes.iter().find(|stat| stat.pid == pid).unwrap();
        let (sleeper, own) = (of(victim.pid()), of(std::process::id()));
        let made = |members: &[&Stat]| {
            group(&snapshot, name.clone(), sleeper, members, &|_| None, &|_| true).unwrap().protected
        };
        assert_eq!(made(&[sleeper]), None);
        assert!(made(&[sleeper, own]).unwrap().contains("is Squall itself"));
    }

    #[test]
    fn a_service_that_holds_a_worker_of_squall_is_free_but_for_the_worker() {
        let name = format!("sqt-{}-struck.service", std::process::id());
        let Some(unit) = Unit::new(&name) else {
            println!("skipped: no control group can be made here");
            return;
        };
        let (folder, victim) = (tempfile::tempdir().unwrap(), Victim::sleeping());
        let worker = worker_in(folder.path());
        unit.take(&worker);
        unit.take(&victim);
        let target = Target::Service(name.clone());
        let found = resolve(Scope::Process, &target).unwrap();
        let [Subject::Group(group)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(group.protected, None);
        let members: Vec<u32> = group.processes.iter().map(|process| process.process.pid).collect();
        assert_eq!(members, [victim.pid()], "the older worker is neither the main process nor any other");
        assert_eq!(signalled(&target).unwrap().len(), 1);
        assert!(matches!(resolve(Scope::Network, &target).unwrap().as_slice(), [Subject::Network(_)]));
        // Frozen by version 1 the worker could not be ended any more; without the file each process is stopped by itself.
        let by_number = ProcessSelector { pid: Some(worker.pid()), ..ProcessSelector::default() };
        let refusal = resolve(Scope::Process, &Target::Process(by_number)).unwrap_err().to_string();
        assert!(refusal.contains("is Squall itself, and is never struck"), "{refusal}");
        let is_version_1 = unit.0.join("freezer.state").exists();
        assert_eq!(group.freezer.is_none(), is_version_1, "{:?}", group.freezer);
    }

    /// What is run like a worker: a shell by the name of this program, which waits.
    fn worker_in(folder: &std::path::Path) -> Victim {
        let own = std::env::current_exe().unwrap();
        let program = folder.join(own.file_name().unwrap());
        std::fs::copy("/bin/sh", &program).unwrap();
        std::fs::write(folder.join("worker"), "kill -STOP $$").unwrap();
        let line = format!("cd {} && exec {} worker squall-t", folder.display(), program.display());
        let worker = Victim::start("sh", &["-c", &line]);
        wait_until(|| crate::sys::process::stat(worker.pid()).is_ok_and(|stat| stat.state == 'T'));
        worker
    }
}
