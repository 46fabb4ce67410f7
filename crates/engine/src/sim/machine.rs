//! The model of a host behind the same door as the real one. It keeps the laws of [`Machine`], checks that its
//! callers keep theirs, and fails when told to.

use super::world::{
    Door, Mutant, Process, Qdisc, Role, World, course_key, file_key, fill_key, instance_key, key_of,
    namespace_ref, opposite, process_key, qdisc_key, sessions_key, setting_key, table_key, worker_key,
};
use squall_model::cloud::{CloudPlace, InstanceFacts, InstanceRef, Tag, TemplateFacts, TemplateRef};
use squall_model::cluster::{
    ClusterPlace, ClusterRef, Field, FieldChange, ObjectChange, ObjectFacts, ObjectKind, ObjectRef,
};
use squall_model::facts::{
    DatabaseFacts, Feature, HostFacts, LinkFacts, NetworkFacts, PathFacts, Privilege, ProcessFacts,
    QdiscFacts, Scope, Subject,
};
use squall_model::machine::{Leftover, Machine, MachineError, digest_of};
use squall_model::server::{self, ServerRef};
use squall_model::step::{
    Claim, ContainerRef, DirectoryRef, FillStep, LinkRef, ProcessRef, Signal, SignalStep, Step, Work,
    WorkerStep,
};
use squall_model::target::{ProcessSelector, Target};
use squall_model::undo::{Difference, Evidence, QdiscBefore, Reverted, Undo};
use squall_model::undo_log::Logged;
use squall_model::units::Size;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::MutexGuard;

/// The upper byte of a handle of ours, as a mark.
const MARK: u32 = 0x5c00;

/// The host as one process of Squall's sees it.
pub(super) struct ModelMachine(pub Door);

type Outcome<T> = Result<T, MachineError>;

fn failed(message: impl Into<String>) -> MachineError {
    MachineError::Failed { message: message.into() }
}

fn not_found(message: impl Into<String>) -> MachineError {
    MachineError::NotFound { message: message.into() }
}

fn is_gone(what: &impl std::fmt::Display) -> MachineError {
    MachineError::Gone { message: format!("{what} is gone") }
}

fn refused(message: impl Into<String>) -> MachineError {
    MachineError::Refused { message: message.into() }
}

fn undone(looked_at: impl Into<String>) -> Reverted {
    Reverted::Undone { looked_at: looked_at.into() }
}

fn gone(looked_at: impl Into<String>) -> Reverted {
    Reverted::AlreadyGone { looked_at: looked_at.into() }
}

fn drifted(looked_at: impl Into<String>, before: impl Into<String>, now: impl Into<String>) -> Reverted {
    Reverted::Drifted(Difference {
        looked_at: looked_at.into(),
        before: before.into(),
        now: now.into(),
        remedy: "put it right by hand".into(),
        under_way: false,
    })
}

impl ModelMachine {
    fn enter(&self) -> Outcome<MutexGuard<'_, World>> {
        self.0.enter().ok_or_else(|| failed("the process is dead"))
    }

    /// Enters for an act that may fail by bad luck.
    fn enter_with_luck(&self) -> Outcome<(MutexGuard<'_, World>, bool)> {
        let mut world = self.enter()?;
        let failing = world.weather.failing;
        let fails = failing > 0 && world.dice.u32(0..1000) < failing;
        world.failures += u64::from(fails);
        Ok((world, fails))
    }
}

impl Machine for ModelMachine {
    fn host(&mut self) -> Outcome<HostFacts> {
        let world = self.enter()?;
        Ok(HostFacts {
            boot_id: world.boot_id(),
            kernel: "6.1.0-model".into(),
            cpus: 2,
            memory_total: Size(4 << 30),
            memory_available: Size(3 << 30),
            privileges: BTreeSet::from([Privilege::NetAdmin, Privilege::Kill]),
            features: BTreeSet::from([Feature::Netem, Feature::PacketFilter]),
            unknown: BTreeSet::new(),
        })
    }

    fn resolve(&mut self, scope: Scope, target: &Target) -> Outcome<Vec<Subject>> {
        let world = self.enter()?;
        let processes = |selector: &ProcessSelector| -> Vec<ProcessFacts> {
            let matching = world.host.processes.iter().filter(|(pid, process)| {
                selector.pid.is_none_or(|wanted| wanted == **pid)
                    && selector.name.as_ref().is_none_or(|name| *name == process.name)
            });
            matching.map(|(pid, process)| process_facts(&world, *pid, process)).collect()
        };
        let network = |inode: &u64| network_facts(&world, *inode).map(Subject::Network);
        Ok(match (scope, target) {
            (Scope::Process, Target::Process(selector)) => {
                processes(selector).into_iter().map(Subject::Process).collect()
            }
            (Scope::Network, Target::Netns(name)) => {
                let named = world.host.namespaces.iter().filter(|(_, namespace)| namespace.name == *name);
                named.filter_map(|(inode, _)| network(inode)).collect()
            }
            (Scope::Network, Target::Host(_)) => network(&4_026).into_iter().collect(),
            (Scope::Resource, Target::Host(_)) => vec![Subject::Resource { processes: Vec::new() }],
            (Scope::Path, Target::Path(path)) => {
                let there = world.host.directories.contains_key(path);
                there.then(|| Subject::Path(path_facts(&world, path))).into_iter().collect()
            }
            (Scope::Instance, Target::Instances(_)) => vec![Subject::Instance(instance_facts())],
            (Scope::Template, Target::Template(selector)) => {
                vec![Subject::Template(template_facts(&selector.id))]
            }
            (Scope::Workload, Target::Workload(_)) => vec![Subject::Object(Box::new(workload_facts()))],
            (Scope::Database, Target::Database(url)) => vec![Subject::Database(database_facts(&url.server))],
            (Scope::Resource, Target::Process(selector)) => match processes(selector) {
                none if none.is_empty() => Vec::new(),
                processes => vec![Subject::Resource { processes }],
            },
            _ => return Err(refused(format!("{target} is not a target of {scope:?}"))),
        })
    }

    fn addresses(&mut self, names: &[String]) -> Outcome<BTreeMap<String, Vec<IpAddr>>> {
        drop(self.enter()?);
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        Ok(names.iter().map(|name| (name.clone(), vec![address])).collect())
    }

    fn is_alive(&mut self, process: &ProcessRef) -> bool {
        self.enter().is_ok_and(|world| {
            let known =
                world.host.processes.get(&process.pid).filter(|known| known.start == process.start_time);
            known.is_some() && process.boot_id == world.boot_id()
        })
    }

    fn capture(&mut self, step: &Step, injection: &str) -> Outcome<Undo> {
        let (mut world, fails) = self.enter_with_luck()?;
        if fails {
            return Err(failed("could not look: interrupted"));
        }
        let undo = capture(&world, step, injection)?;
        let is_planning =
            world.logs.values().all(|log| log.holder != Some(self.0.pid)) && !is_suite(injection);
        if world.weather.mutant == Some(Mutant::ActBeforeIntend) && !is_planning {
            make(&mut world, self.0.pid, step, &undo, false)?;
        }
        Ok(undo)
    }

    fn apply(&mut self, logged: Logged<'_>) -> Outcome<()> {
        let (mut world, fails) = self.enter_with_luck()?;
        let pid = self.0.pid;
        if !world.has_synced_intent(pid, logged.undo()) {
            world.violation(format!("{} is made and its undo is not on the disk", logged.step()));
        }
        // A failure may come before the change was made, in the middle of it or after.
        if !fails || world.dice.bool() {
            let in_part = fails && world.dice.bool();
            make(&mut world, pid, logged.step(), logged.undo(), in_part)?;
        }
        if fails { Err(failed(format!("could not {}: interrupted", logged.step()))) } else { Ok(()) }
    }

    fn makes_at_once(&self, _: &Step) -> bool {
        self.0.enter().is_some_and(|world| world.weather.together)
    }

    fn reverts_at_once(&self, _: &Undo) -> bool {
        self.0.enter().is_some_and(|world| world.weather.together)
    }

    fn observe(&mut self, applied: &[(&Step, &Undo)]) -> Vec<Outcome<Evidence>> {
        applied.iter().map(|(step, _)| Ok(observe(&*self.enter()?, step))).collect()
    }

    fn revert(&mut self, undo: &Undo) -> Outcome<Reverted> {
        let (mut world, fails) = self.enter_with_luck()?;
        // A failure may come before the change was put back or after.
        if fails && world.dice.bool() {
            return Err(failed("interrupted"));
        }
        let reverted = revert(&mut world, self.0.pid, undo);
        if fails { Err(failed("interrupted")) } else { Ok(reverted) }
    }

    fn leftovers(&mut self) -> Outcome<Vec<Leftover>> {
        let world = self.enter()?;
        let mut found = Vec::new();
        for (inode, namespace) in &world.host.namespaces {
            for (link, qdisc) in &namespace.links {
                // As on a real kernel, a handle has no room for the injection's name.
                if qdisc.as_ref().is_some_and(|qdisc| qdisc.handle & 0xff00 == MARK) {
                    let [digest, ..] = qdisc.as_ref().map_or([0; 4], |qdisc| qdisc.handle.to_le_bytes());
                    let claim = Some(Claim::root_qdisc(*inode, &format!("eth{link}")));
                    let unnamed = leftover(&qdisc_key(*inode, *link), None);
                    found.push(Leftover { claim, digest: Some(digest), ..unnamed });
                }
            }
            for table in namespace.tables.keys().filter_map(|table| table.strip_prefix("squall_")) {
                found.push(leftover(&table_key(*inode, &format!("squall_{table}")), Some(table)));
            }
        }
        for process in world.host.processes.values() {
            if let Role::Worker { mark, .. } = &process.role {
                found.push(leftover(&worker_key(mark), Some(mark)));
            }
        }
        for mark in world.host.courses.keys() {
            found.push(leftover(&course_key(mark), Some(mark)));
        }
        for mark in world.host.sessions.keys() {
            found.push(leftover(&sessions_key(mark), server::injection_of(mark)));
        }
        for (directory, files) in &world.host.directories {
            for (name, content) in files {
                if let Some(injection) = FillStep::injection_of(name).filter(|_| is_marked(name, content)) {
                    found.push(leftover(&fill_key(directory, name), Some(injection)));
                }
            }
        }
        Ok(found)
    }

    fn remove(&mut self, leftover: &Leftover) -> Outcome<Reverted> {
        let (mut world, fails) = self.enter_with_luck()?;
        if fails {
            return Err(failed("interrupted"));
        }
        let pid = self.0.pid;
        let (kind, name) = leftover.what.split_once(' ').unwrap_or_default();
        match kind {
            "qdisc" => {
                let (inode, link) = name.split_once('/').unwrap_or_default();
                let place =
                    world.host.qdisc(inode.parse().unwrap_or_default(), link.parse().unwrap_or_default());
                if let Some(place) = place {
                    *place = None;
                }
            }
            "table" => {
                let (inode, table) = name.split_once('/').unwrap_or_default();
                if let Some(namespace) = world.host.namespaces.get_mut(&inode.parse().unwrap_or_default()) {
                    namespace.tables.remove(table);
                }
            }
            "fill" => {
                let (directory, name) = name.rsplit_once('/').unwrap_or_default();
                if let Some(files) = world.host.directories.get_mut(directory) {
                    files.remove(name);
                }
            }
            "sessions" => {
                world.host.sessions.remove(name);
            }
            "course" => {
                world.host.courses.remove(name);
            }
            _ => end_worker(&mut world, name),
        }
        put_back(&mut world, pid, &leftover.what);
        Ok(undone(&leftover.what))
    }
}

fn workload_facts() -> ObjectFacts {
    let (place, uid) = (ClusterPlace::default(), "c".to_owned());
    let cluster = ClusterRef { place, server: "https://cluster".into(), uid };
    let kind = ObjectKind::new("apps", "v1", "Deployment", "deployments");
    let (namespace, name, uid) = (Some("shop".into()), "web".into(), "1".into());
    let object = ObjectRef { cluster, kind, namespace, name, uid };
    ObjectFacts { object, content: serde_json::json!({"spec": {"replicas": 3}}), protected: None }
}

fn instance_facts() -> InstanceFacts {
    let instance = InstanceRef {
        place: CloudPlace { region: Some("model-1".into()), ..CloudPlace::default() },
        id: "i-1".into(),
        name: None,
        zone: "model-1a".into(),
        account: "1".into(),
    };
    InstanceFacts {
        instance,
        group: None,
        kind: "model".into(),
        tags: BTreeMap::new(),
        unstoppable: None,
        opt_in: Tag::opt_in(),
        protected: None,
    }
}

fn template_facts(id: &str) -> TemplateFacts {
    TemplateFacts {
        template: TemplateRef { place: instance_facts().instance.place, id: id.to_owned() },
        description: String::new(),
        does: Vec::new(),
        strikes: Vec::new(),
        ended_by: Vec::new(),
        opt_in: Tag::opt_in(),
        protected: None,
    }
}

fn database_facts(server: &ServerRef) -> DatabaseFacts {
    DatabaseFacts {
        server: server.clone(),
        version: "15.0".into(),
        user: "model".into(),
        is_superuser: false,
        is_replica: false,
        limit: Some(100),
        reserved: 3,
        used: 1,
        clients: Vec::new(),
        settings: BTreeMap::new(),
    }
}

/// The suite keeps no log, so its captures cannot be told from a plan's by that.
fn is_suite(injection: &str) -> bool {
    injection.starts_with("suite-")
}

/// That an instance or a container runs. The suite captures once more what it has struck.
fn runs(world: &World, id: &str, injection: &str) -> Outcome<()> {
    match world.host.instances.get(id) {
        Some(state) if state == "running" || is_suite(injection) => Ok(()),
        Some(state) => Err(refused(format!("{id} is {state}"))),
        None => Err(not_found(format!("there is no {id}"))),
    }
}

fn leftover(key: &str, injection: Option<&str>) -> Leftover {
    Leftover {
        what: key.to_owned(),
        injection: injection.map(ToOwned::to_owned),
        claim: None,
        digest: None,
        held: None,
        remedy: format!("remove {key}"),
    }
}

/// Whether a file is ours; one whose allocation was killed at once is still empty.
fn is_marked(name: &str, content: &str) -> bool {
    content.is_empty() || content == FillStep::mark_of(name)
}

fn path_facts(world: &World, path: &str) -> PathFacts {
    let directory = DirectoryRef {
        path: path.into(),
        device: path.len() as u64,
        inode: 2,
        boot_id: world.boot_id(),
        mounted_on: path.into(),
        in_memory: false,
    };
    let (size, available) = (Size(10 << 30), Size(8 << 30));
    PathFacts { directory, file_system: "ext4".into(), size, available, is_root: false, holds_state: false }
}

fn process_facts(world: &World, pid: u32, process: &Process) -> ProcessFacts {
    let protected = match (pid, &process.role) {
        (1, _) => Some("process 1".to_owned()),
        (_, Role::Squall | Role::Worker { .. }) => Some("Squall itself".to_owned()),
        _ => None,
    };
    ProcessFacts {
        process: ProcessRef {
            pid,
            start_time: process.start,
            boot_id: world.boot_id(),
            name: process.name.clone(),
        },
        command: process.name.clone(),
        user: 0,
        state: if process.stopped { 'T' } else { 'S' },
        listens: Vec::new(),
        cgroups: Vec::new(),
        processors: Vec::new(),
        memory: None,
        children: Vec::new(),
        protected,
    }
}

fn network_facts(world: &World, inode: u64) -> Option<NetworkFacts> {
    let namespace = namespace_ref(world, inode)?;
    let links = &world.host.namespaces.get(&inode)?.links;
    let links = links.iter().map(|(index, qdisc)| LinkFacts {
        link: LinkRef { index: *index, name: format!("eth{index}") },
        up: true,
        loopback: false,
        addresses: Vec::new(),
        root_qdisc: QdiscFacts {
            kind: qdisc.as_ref().map_or("noqueue".into(), |qdisc| qdisc.kind.clone()),
            handle: qdisc.as_ref().map_or(0, |qdisc| qdisc.handle),
            has_children: false,
        },
    });
    Some(NetworkFacts {
        is_host: inode == 4_026,
        links: links.collect(),
        link_named: false,
        listens: Vec::new(),
        control_paths: Vec::new(),
        namespace,
    })
}

fn same_process<'w>(world: &'w World, known: &ProcessRef) -> Option<&'w Process> {
    let trusts_pids = world.weather.mutant == Some(Mutant::TrustPids);
    let is_same = |process: &&Process| {
        trusts_pids || (process.start == known.start_time && known.boot_id == world.boot_id())
    };
    world.host.processes.get(&known.pid).filter(is_same)
}

fn capture(world: &World, step: &Step, injection: &str) -> Outcome<Undo> {
    match step {
        Step::Qdisc(step) => {
            let place = world.host.namespaces.get(&step.namespace.inode);
            let is_current = step.namespace.boot_id == world.boot_id();
            let qdisc = place
                .filter(|_| is_current)
                .and_then(|namespace| namespace.links.get(&step.link.index))
                .ok_or_else(|| is_gone(&step.link.name))?;
            if qdisc.as_ref().is_some_and(|qdisc| qdisc.handle & 0xff00 == MARK) {
                return Err(refused(format!("{} carries a qdisc of Squall's already", step.link.name)));
            }
            let before = qdisc.as_ref().map(|qdisc| QdiscBefore {
                kind: qdisc.kind.clone(),
                handle: qdisc.handle,
                options: qdisc.options.clone(),
            });
            let handle = MARK | u32::from(digest_of(injection));
            Ok(Undo::Qdisc {
                namespace: step.namespace.clone(),
                link: step.link.clone(),
                handle,
                before,
                queue_length: None,
            })
        }
        Step::PacketFilter(step) => {
            if !world.host.namespaces.contains_key(&step.namespace.inode) {
                return Err(is_gone(&step.namespace.name));
            }
            Ok(Undo::PacketFilter { namespace: step.namespace.clone(), table: step.table.clone() })
        }
        Step::Signal(step) => {
            let process = same_process(world, &step.process).ok_or_else(|| is_gone(&step.process))?;
            Ok(match opposite(step.signal) {
                Some(signal) if !process.stopped => Undo::Signal { process: step.process.clone(), signal },
                _ => Undo::Nothing { why: "there is nothing to take back".into() },
            })
        }
        Step::FileValue(step) => {
            let before =
                world.host.file(&step.path).ok_or_else(|| not_found(format!("{} is gone", step.path)))?;
            Ok(if step.restore {
                Undo::FileValue {
                    path: step.path.clone(),
                    before: before.clone(),
                    ours: step.value.clone(),
                    boot_id: world.boot_id(),
                }
            } else {
                Undo::Nothing { why: "a button is not pressed back".into() }
            })
        }
        Step::Worker(step) => Ok(Undo::Worker { mark: step.mark.clone(), boot_id: world.boot_id() }),
        Step::Fill(step) => {
            let path = &step.directory.path;
            if !world.host.directories.contains_key(path) {
                return Err(not_found(format!("{path} is gone")));
            }
            let (directory, name) = (step.directory.clone(), step.name.clone());
            Ok(Undo::Fill { directory, name, owner: 0, available: Size(8 << 30) })
        }
        Step::Instance(step) => {
            runs(world, &step.instance.id, injection)?;
            Ok(Undo::Instance { instance: step.instance.clone() })
        }
        Step::Container(step) => {
            runs(world, &step.container.id, injection)?;
            Ok(Undo::Container { container: step.container.clone(), began: "1".into() })
        }
        Step::Template(step) => {
            Ok(Undo::Template { template: step.template.clone(), mark: step.mark.clone() })
        }
        Step::Sessions(step) => Ok(Undo::Sessions {
            server: step.server.clone(),
            mark: step.mark.clone(),
            finally: step.finally.clone(),
        }),
        Step::Object(step) => match &step.change {
            ObjectChange::Fields { fields } => {
                let mut fields = fields.clone();
                let now = world.host.settings.get(&step.object.to_string());
                if let Some(Field { change: FieldChange::Put { before, .. }, .. }) = fields.first_mut() {
                    *before = now.and_then(|now| now.parse::<i64>().ok()).map(Into::into);
                }
                let (object, mark) = (Box::new(step.object.clone()), step.mark.clone());
                Ok(Undo::Object { object, fields, mark })
            }
            _ => Err(refused("the model changes fields only")),
        },
        Step::Setting(step) => {
            let before = world.host.settings.get(&step.name).cloned();
            if before.as_ref() == Some(&step.ours) && !is_suite(injection) {
                return Err(refused(format!("{} is {} already", step.name, step.ours)));
            }
            Ok(Undo::Setting {
                server: step.server.clone(),
                mark: step.mark.clone(),
                name: step.name.clone(),
                read: step.read.clone(),
                before,
                ours: step.ours.clone(),
                restore: step.restore.clone(),
                finally: step.finally.clone(),
            })
        }
    }
}

/// Whether somebody else changed what is to be changed after its capture.
fn is_overtaken(world: &mut World, undo: &Undo) -> bool {
    match undo {
        Undo::Qdisc { namespace, link, handle, before, .. } => {
            let place = world.host.qdisc(namespace.inode, link.index);
            place.is_some_and(|place| {
                let handle_now = place.as_ref().map(|qdisc| qdisc.handle);
                handle_now != before.as_ref().map(|before| before.handle) && handle_now != Some(*handle)
            })
        }
        Undo::FileValue { path, before, ours, .. } => {
            world.host.file(path).is_some_and(|now| now != before && now != ours)
        }
        Undo::Setting { name, before, ours, .. } => {
            let now = world.host.settings.get(name);
            now != before.as_ref() && now != Some(ours)
        }
        Undo::Object { object, fields, .. } => {
            let (before, ours) = values(fields);
            let now = world.host.settings.get(&object.to_string());
            now != before.as_ref() && now != Some(&ours)
        }
        _ => false,
    }
}

/// What the only field of an object was, and what we make of it.
fn values(fields: &[Field]) -> (Option<String>, String) {
    let Some(Field { change: FieldChange::Put { value, before, .. }, .. }) = fields.first() else {
        return (None, String::new());
    };
    (before.as_ref().map(ToString::to_string), value.to_string())
}

/// Gives a setting its value back, unless somebody else changed it.
fn put_setting_back(
    world: &mut World,
    pid: u32,
    name: &str,
    before: Option<&String>,
    ours: &str,
) -> Reverted {
    let key = setting_key(name);
    let overwrites = world.weather.mutant == Some(Mutant::OverwriteForeign);
    let now = world.host.settings.get(name).cloned();
    let before_text = before.cloned().unwrap_or_default();
    match now {
        now if now.as_ref() == before => gone(key),
        Some(now) if now == *ours || overwrites => {
            world.host.settings.insert(name.to_owned(), before_text);
            put_back(world, pid, &key);
            undone(key)
        }
        now => drifted(key, before_text, now.unwrap_or_default()),
    }
}

/// Makes a step's change, by `pid`; only its first part, where it has several and that is wanted.
fn make(world: &mut World, pid: u32, step: &Step, undo: &Undo, in_part: bool) -> Outcome<()> {
    if is_overtaken(world, undo) {
        return Err(refused(format!("somebody else changed it meanwhile: {step}")));
    }
    world.changes += 1;
    world.note(format!("process {pid}: {step}"));
    match step {
        Step::Qdisc(step) => {
            let Undo::Qdisc { handle, .. } = undo else { return Err(failed("the undo is of another step")) };
            let place = world
                .host
                .qdisc(step.namespace.inode, step.link.index)
                .ok_or_else(|| is_gone(&step.link.name))?;
            // In two parts, as on a real kernel: the discipline, then what it is to do.
            *place = Some(Qdisc { kind: "netem".into(), handle: *handle, options: Vec::new() });
            let key = qdisc_key(step.namespace.inode, step.link.index);
            world.made_by.insert(key, pid);
            if !world.survives(pid, "half_applied") {
                return Err(failed("the process is dead"));
            }
            if in_part {
                return Ok(());
            }
            if let Some(Some(made)) = world.host.qdisc(step.namespace.inode, step.link.index) {
                made.options = vec![9];
            }
        }
        Step::PacketFilter(step) => {
            let namespace = world
                .host
                .namespaces
                .get_mut(&step.namespace.inode)
                .ok_or_else(|| is_gone(&step.namespace.name))?;
            namespace.tables.insert(step.table.clone(), pid);
        }
        Step::Signal(step) => {
            if same_process(world, &step.process).is_none() {
                return Err(is_gone(&step.process));
            }
            signal(world, step.process.pid, step.signal, matches!(undo, Undo::Nothing { .. }));
        }
        Step::FileValue(step) => {
            world.host.write(&step.path, &step.value);
            if let Undo::FileValue { path, before, ours, .. } = undo
                && world.host.file(path) != Some(ours)
            {
                world.host.write(path, before);
                return Err(refused(format!("{path} shows {ours} in other words")));
            }
            if !step.restore {
                // What cannot be taken back was asked for.
                world.twin.write(&step.path, &step.value);
            }
        }
        Step::Worker(step) => {
            let role = Role::Worker { mark: step.mark.clone(), parent: pid };
            world.spawn("squall-worker", role);
        }
        Step::Instance(step) => stop(world, &step.instance.id),
        Step::Container(step) => stop(world, &step.container.id),
        Step::Template(step) => {
            world.host.courses.insert(step.mark.clone(), step.template.id.clone());
        }
        Step::Sessions(step) => {
            world.host.sessions.insert(step.mark.clone(), pid);
        }
        Step::Setting(step) => {
            world.host.settings.insert(step.name.clone(), step.ours.clone());
        }
        Step::Object(step) => {
            if let Undo::Object { fields, .. } = undo {
                world.host.settings.insert(step.object.to_string(), values(fields).1);
            }
        }
        Step::Fill(step) => {
            let path = &step.directory.path;
            let files =
                world.host.directories.get_mut(path).ok_or_else(|| not_found(format!("{path} is gone")))?;
            if files.contains_key(&step.name) {
                return Err(refused(format!("there is a file {} already", step.name)));
            }
            // In two parts, as on a real disk: the file, then its mark.
            files.insert(step.name.clone(), String::new());
            world.made_by.insert(fill_key(path, &step.name), pid);
            if !world.survives(pid, "half_applied") {
                return Err(failed("the process is dead"));
            }
            if in_part {
                return Ok(());
            }
            if let Some(content) =
                world.host.directories.get_mut(path).and_then(|files| files.get_mut(&step.name))
            {
                *content = FillStep::mark_of(&step.name);
            }
        }
    }
    world.made_by.insert(key_of(step), pid);
    Ok(())
}

fn stop(world: &mut World, id: &str) {
    if let Some(state) = world.host.instances.get_mut(id) {
        "stopped".clone_into(state);
    }
}

/// A signal arrives. What cannot be taken back was asked for, so the twin gets it too.
fn signal(world: &mut World, pid: u32, signal: Signal, for_good: bool) {
    let hosts: &mut [_] =
        if for_good { &mut [&mut world.host, &mut world.twin] } else { &mut [&mut world.host] };
    for host in hosts {
        match signal {
            Signal::Stop | Signal::Cont => {
                if let Some(process) = host.processes.get_mut(&pid) {
                    process.stopped = signal == Signal::Stop;
                }
            }
            _ => {
                host.processes.remove(&pid);
            }
        }
    }
}

fn revert(world: &mut World, pid: u32, undo: &Undo) -> Reverted {
    let boot_id = world.boot_id();
    match undo {
        Undo::Qdisc { namespace, link, handle, before, .. } => {
            let key = qdisc_key(namespace.inode, link.index);
            let is_current = namespace.boot_id == boot_id;
            let place = world.host.qdisc(namespace.inode, link.index).filter(|_| is_current);
            let Some(place) = place else { return gone(key) };
            let was = before.as_ref().map(|before| Qdisc {
                kind: before.kind.clone(),
                handle: before.handle,
                options: before.options.clone(),
            });
            if *place == was {
                gone(key)
            } else if place.as_ref().is_some_and(|qdisc| qdisc.handle == *handle) {
                *place = was;
                put_back(world, pid, &key);
                undone(key)
            } else {
                drifted(key, format!("{was:?}"), format!("{place:?}"))
            }
        }
        Undo::PacketFilter { namespace, table } => {
            let key = table_key(namespace.inode, table);
            let tables =
                world.host.namespaces.get_mut(&namespace.inode).map(|namespace| &mut namespace.tables);
            if tables.is_some_and(|tables| tables.remove(table).is_some()) {
                put_back(world, pid, &key);
                undone(key)
            } else {
                gone(key)
            }
        }
        Undo::Signal { process, signal: opposite } => {
            let key = process_key(process.pid, process.start_time);
            if same_process(world, process).is_some_and(|process| process.stopped) {
                signal(world, process.pid, *opposite, false);
                put_back(world, pid, &key);
                undone(key)
            } else {
                gone(key)
            }
        }
        Undo::FileValue { path, before, ours, boot_id: known_boot } => {
            let now = world.host.file(path).filter(|_| *known_boot == boot_id).cloned();
            let overwrites = world.weather.mutant == Some(Mutant::OverwriteForeign);
            match now {
                None => gone(file_key(path)),
                Some(now) if now == *before => gone(file_key(path)),
                Some(now) if now == *ours || overwrites => {
                    world.host.write(path, before);
                    put_back(world, pid, &file_key(path));
                    undone(file_key(path))
                }
                Some(now) => drifted(file_key(path), before, now),
            }
        }
        Undo::Instance { instance: InstanceRef { id, .. } }
        | Undo::Container { container: ContainerRef { id, .. }, .. } => {
            let key = instance_key(id);
            match world.host.instances.get_mut(id) {
                None => gone(key),
                Some(state) if state == "running" => gone(key),
                Some(state) => {
                    "running".clone_into(state);
                    put_back(world, pid, &key);
                    undone(key)
                }
            }
        }
        Undo::Template { mark, .. } => {
            if world.host.courses.remove(mark).is_none() {
                return gone(course_key(mark));
            }
            put_back(world, pid, &course_key(mark));
            undone(course_key(mark))
        }
        Undo::Sessions { mark, .. } => {
            if world.host.sessions.remove(mark).is_none() {
                return gone(sessions_key(mark));
            }
            put_back(world, pid, &sessions_key(mark));
            undone(sessions_key(mark))
        }
        Undo::Setting { name, before, ours, .. } => put_setting_back(world, pid, name, before.as_ref(), ours),
        Undo::Object { object, fields, .. } => {
            let (before, ours) = values(fields);
            put_setting_back(world, pid, &object.to_string(), before.as_ref(), &ours)
        }
        Undo::Created { object, .. } => gone(object.to_string()),
        Undo::Worker { mark, boot_id: known_boot } => {
            let is_there = world.host.look().contains_key(&worker_key(mark)) && *known_boot == boot_id;
            if !is_there {
                return gone(worker_key(mark));
            }
            end_worker(world, mark);
            put_back(world, pid, &worker_key(mark));
            undone(worker_key(mark))
        }
        Undo::Fill { directory, name, .. } => {
            let key = fill_key(&directory.path, name);
            let overwrites = world.weather.mutant == Some(Mutant::OverwriteForeign);
            let files = world.host.directories.get_mut(&directory.path);
            match files.and_then(|files| Some((files.get(name)?.clone(), files))) {
                None => gone(key),
                Some((content, files)) if overwrites || is_marked(name, &content) => {
                    files.remove(name);
                    put_back(world, pid, &key);
                    undone(key)
                }
                Some((content, _)) => drifted(key, "no such file", content),
            }
        }
        Undo::Nothing { why } => gone(why),
    }
}

/// Looks for the effect of an applied step.
fn observe(world: &World, step: &Step) -> Evidence {
    if let Step::Signal(SignalStep { signal: Signal::Stop, process, .. }) = step
        && same_process(world, process).is_none()
    {
        return Evidence::gone(format!("{process} is gone"));
    }
    let stands = match step {
        Step::Signal(step) => {
            let victim = world.host.processes.get(&step.process.pid);
            match step.signal {
                Signal::Stop => victim.is_some_and(|victim| victim.stopped),
                _ => victim.is_none_or(|victim| victim.start != step.process.start_time),
            }
        }
        Step::FileValue(step) => world.host.file(&step.path) == Some(&step.value),
        Step::Worker(WorkerStep { work: Work::CpuLoad { percent, .. }, .. }) => percent.fraction() > 0.0,
        other => world.made_by.contains_key(&key_of(other)),
    };
    if stands { Evidence::seen("it stands") } else { Evidence::not_seen("it does not stand") }
}

fn end_worker(world: &mut World, wanted: &str) {
    world
        .host
        .processes
        .retain(|_, process| !matches!(&process.role, Role::Worker { mark, .. } if mark == wanted));
}

/// Notes that `pid` put something back, which only its maker may while the maker lives.
fn put_back(world: &mut World, pid: u32, key: &str) {
    world.changes += 1;
    world.note(format!("process {pid} puts back {key}"));
    if let Some(maker) = world.made_by.remove(key)
        && maker != pid
        && world.is_alive(maker)
    {
        world.violation(format!("process {pid} put back {key}, which belongs to {maker}, who lives"));
    }
}
