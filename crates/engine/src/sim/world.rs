//! The world of the simulator: a small host, its twin that Squall never touched, a disk, and a clock.
//!
//! Whatever anybody but Squall does is done to the host and to its twin alike. So at the end the two must be equal:
//! that is the whole of what "everything was put back" means, foreign changes included.

use crate::crash::Point;
use squall_model::step::{NamespaceRef, ProcessRef, Signal, Step};
use squall_model::undo::Undo;
use squall_model::undo_log::{self, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A root qdisc; none is the kernel's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Qdisc {
    pub kind: String,
    pub handle: u32,
    pub options: Vec<u8>,
}

/// What a process is to the simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Something that runs on the host.
    Service,
    /// A Squall agent, warden or recoverer.
    Squall,
    /// A worker of an agent; dies with it.
    Worker { mark: String, parent: u32 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub start: u64,
    pub name: String,
    pub stopped: bool,
    pub role: Role,
}

/// A network namespace: root qdiscs by the index of their link, and tables by name with their owner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Namespace {
    pub name: String,
    pub links: BTreeMap<u32, Option<Qdisc>>,
    pub tables: BTreeMap<String, u32>,
}

/// What Squall may change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Host {
    pub processes: BTreeMap<u32, Process>,
    pub namespaces: BTreeMap<u64, Namespace>,
    /// Files by path. Which of its two banks `BANKED` shows depends on `SELECTOR`, as with a governor's tunables.
    pub files: BTreeMap<String, String>,
    /// What is on disks, which survives a power cut: directories by path, and in each what its files hold, by name.
    pub directories: BTreeMap<String, BTreeMap<String, String>>,
    /// Settings of a server elsewhere, by name: whatever happens to the host, they stay.
    pub settings: BTreeMap<String, String>,
    /// Instances in a cloud, and containers, by their numbers, with their states: whatever happens to the host, they
    /// stay.
    pub instances: BTreeMap<String, String>,
    /// Experiments that the cloud carries out, by their marks, with their templates.
    pub courses: BTreeMap<String, String>,
    /// Sessions on that server by their mark, with the process that holds them: the server ends them when that is gone.
    pub sessions: BTreeMap<String, u32>,
}

/// A file that selects the bank of another.
pub(super) const SELECTOR: &str = "/sys/governor";
/// A file whose content depends on the selector, so that the order of undoing matters.
pub(super) const BANKED: &str = "/sys/governor_limit";

/// A file that shows less than what is written to it, down to a multiple of 4096, as with limits of memory.
pub(super) const ROUNDED: &str = "/sys/limit";

impl Host {
    /// The host as it boots.
    fn booted(start: u64) -> Self {
        let mut host = Self::default();
        for (pid, name) in
            [(1, "init"), (100, "payment"), (101, "ledger"), (102, "postgres"), (103, "postgres")]
        {
            let process = Process {
                start: start + u64::from(pid),
                name: name.into(),
                stopped: false,
                role: Role::Service,
            };
            host.processes.insert(pid, process);
        }
        let custom = |handle| Qdisc { kind: "fq_codel".into(), handle, options: vec![1, 2, 3] };
        for (inode, name) in [(4_026, "this host"), (4_027, "shop"), (4_028, "db")] {
            let links = BTreeMap::from([(1, None), (2, (inode == 4_027).then(|| custom(0x8001)))]);
            host.namespaces.insert(inode, Namespace { name: name.into(), links, tables: BTreeMap::new() });
        }
        for (path, value) in [
            ("/proc/sys/vm/swappiness", "60"),
            ("/proc/sys/net/backlog", "128"),
            ("/proc/sys/vm/drop_caches", "0"),
            (ROUNDED, "8192"),
            (SELECTOR, "calm"),
            ("/sys/governor_limit@calm", "1"),
            ("/sys/governor_limit@wild", "5"),
        ] {
            host.files.insert(path.into(), value.into());
        }
        host.settings.insert("read_only".into(), "off".into());
        host.settings.insert(REPLICAS.into(), "3".into());
        host.instances.insert("i-1".into(), "running".into());
        host.instances.insert("c-1".into(), "running".into());
        host.directories.insert("/data".into(), BTreeMap::from([("orders".into(), "17".into())]));
        host
    }

    fn real_path(&self, path: &str) -> String {
        match self.files.get(SELECTOR) {
            Some(bank) if path == BANKED => format!("{BANKED}@{bank}"),
            _ => path.to_owned(),
        }
    }

    pub(super) fn file(&self, path: &str) -> Option<&String> {
        self.files.get(&self.real_path(path))
    }

    pub(super) fn write(&mut self, path: &str, value: &str) {
        let shown = match value.parse::<u64>() {
            Ok(number) if path == ROUNDED => (number / 4096 * 4096).to_string(),
            _ => value.to_owned(),
        };
        self.files.insert(self.real_path(path), shown);
    }

    pub(super) fn qdisc(&mut self, inode: u64, link: u32) -> Option<&mut Option<Qdisc>> {
        self.namespaces.get_mut(&inode)?.links.get_mut(&link)
    }

    /// All that must come back, as text; Squall's own agents are left out, all else that it makes is not.
    pub(super) fn look(&self) -> BTreeMap<String, String> {
        let mut seen = BTreeMap::new();
        for (pid, process) in self.processes.iter().filter(|(_, process)| process.role != Role::Squall) {
            let state = if process.stopped { "stopped" } else { "runs" };
            let key = match &process.role {
                Role::Worker { mark, .. } => worker_key(mark),
                _ => process_key(*pid, process.start),
            };
            seen.insert(key, format!("{} {state}", process.name));
        }
        for (inode, namespace) in &self.namespaces {
            for (link, qdisc) in &namespace.links {
                seen.insert(qdisc_key(*inode, *link), format!("{qdisc:?}"));
            }
            for table in namespace.tables.keys() {
                seen.insert(table_key(*inode, table), "there".into());
            }
        }
        for (path, value) in &self.files {
            seen.insert(file_key(path), value.clone());
        }
        for (name, value) in &self.settings {
            seen.insert(setting_key(name), value.clone());
        }
        for mark in self.sessions.keys() {
            seen.insert(sessions_key(mark), "held".into());
        }
        for (id, state) in &self.instances {
            seen.insert(instance_key(id), state.clone());
        }
        for (mark, template) in &self.courses {
            seen.insert(course_key(mark), template.clone());
        }
        for (directory, files) in &self.directories {
            for (name, content) in files {
                seen.insert(fill_key(directory, name), content.clone());
            }
        }
        seen
    }
}

pub(super) fn process_key(pid: u32, start: u64) -> String {
    format!("process {pid}/{start}")
}
pub(super) fn qdisc_key(inode: u64, link: u32) -> String {
    format!("qdisc {inode}/{link}")
}
pub(super) fn table_key(inode: u64, table: &str) -> String {
    format!("table {inode}/{table}")
}
/// The object whose one field the model keeps.
pub(super) const REPLICAS: &str = "Deployment shop/web";

pub(super) fn file_key(path: &str) -> String {
    format!("file {}", path.split('@').next().unwrap_or(path))
}
pub(super) fn fill_key(directory: &str, name: &str) -> String {
    format!("fill {directory}/{name}")
}
pub(super) fn sessions_key(mark: &str) -> String {
    format!("sessions {mark}")
}
pub(super) fn instance_key(id: &str) -> String {
    format!("instance {id}")
}
pub(super) fn course_key(mark: &str) -> String {
    format!("course {mark}")
}
pub(super) fn setting_key(name: &str) -> String {
    format!("setting {name}")
}
pub(super) fn worker_key(mark: &str) -> String {
    format!("worker {mark}")
}

/// What a step changes, by the names of [`Host::look`].
pub(super) fn key_of(step: &Step) -> String {
    match step {
        Step::Qdisc(step) => qdisc_key(step.namespace.inode, step.link.index),
        Step::PacketFilter(step) => table_key(step.namespace.inode, &step.table),
        Step::Signal(step) => process_key(step.process.pid, step.process.start_time),
        Step::FileValue(step) => file_key(&step.path),
        Step::Worker(step) => worker_key(&step.mark),
        Step::Fill(step) => fill_key(&step.directory.path, &step.name),
        Step::Container(step) => instance_key(&step.container.id),
        Step::Sessions(step) => sessions_key(&step.mark),
        Step::Setting(step) => setting_key(&step.name),
        Step::Instance(step) => instance_key(&step.instance.id),
        Step::Template(step) => course_key(&step.mark),
        // An object's field is a setting of the cluster.
        Step::Object(step) => setting_key(&step.object.to_string()),
    }
}

/// What an undo puts back, by the same names; none where there is nothing to put back.
fn key_of_undo(undo: &Undo) -> Option<String> {
    Some(match undo {
        Undo::Qdisc { namespace, link, .. } => qdisc_key(namespace.inode, link.index),
        Undo::PacketFilter { namespace, table } => table_key(namespace.inode, table),
        Undo::Signal { process, .. } => process_key(process.pid, process.start_time),
        Undo::FileValue { path, .. } => file_key(path),
        Undo::Worker { mark, .. } => worker_key(mark),
        Undo::Fill { directory, name, .. } => fill_key(&directory.path, name),
        Undo::Container { container, .. } => instance_key(&container.id),
        Undo::Sessions { mark, .. } => sessions_key(mark),
        Undo::Setting { name, .. } => setting_key(name),
        Undo::Instance { instance } => instance_key(&instance.id),
        Undo::Template { mark, .. } => course_key(mark),
        Undo::Object { object, .. } | Undo::Created { object, .. } => setting_key(&object.to_string()),
        Undo::Nothing { .. } => return None,
    })
}

/// One file of the disk.
#[derive(Debug, Clone, Default)]
pub(super) struct LogFile {
    /// What a reader sees.
    pub bytes: Vec<u8>,
    /// How much of it survives a power cut.
    pub synced: usize,
    /// Whoever holds its lock.
    pub holder: Option<u32>,
    /// The folder that it is in.
    pub folder: u8,
}

/// What to break next, for the simulator's own checks and for noise.
#[derive(Debug, Clone, Default)]
pub(super) struct Weather {
    /// The disk is full.
    pub full: bool,
    /// Of a thousand acts of the machine, how many fail.
    pub failing: u32,
    /// What the simulator's own checks break on purpose.
    pub mutant: Option<Mutant>,
    /// Whether what has one step is made and put back side by side.
    pub together: bool,
}

/// A way in which Squall could be wrong, to see that the simulator finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// Appends return before the bytes are on the disk.
    NoSync,
    /// The change is made at capture, before its undo is logged.
    ActBeforeIntend,
    /// The log is removed before the last step is put back.
    CloseBeforeRevert,
    /// Steps are put back in the order in which they were made.
    ForwardOrder,
    /// Logs of living owners are taken over.
    IgnoreLocks,
    /// A process is known by its number alone.
    TrustPids,
    /// A file's value is written back whatever is there.
    OverwriteForeign,
    /// What is remembered of a log that is gone is undone, whoever holds the same by now.
    TrustMemory,
}

/// When a process of Squall's dies by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doom {
    /// Which process.
    pub pid: u32,
    /// After how many instants.
    pub after: u64,
    /// Whether the whole host loses power with it.
    pub power_cut: bool,
}

/// Runs between two acts of a process of Squall's: whatever else happens at that moment.
pub(super) type Interrupt = Arc<dyn Fn() + Send + Sync>;

/// Everything. See the module.
pub(super) struct World {
    pub host: Host,
    pub twin: Host,
    pub now: Duration,
    pub boot: u32,
    pub logs: BTreeMap<String, LogFile>,
    removed: BTreeMap<String, LogFile>,
    pub weather: Weather,
    pub dice: fastrand::Rng,
    pub doom: Option<Doom>,
    pub interrupt: Option<Interrupt>,
    /// How many instants have passed at which a process may die.
    pub instants: u64,
    /// What somebody else has changed, by key.
    pub meddled: BTreeSet<String>,
    /// Which process of Squall's made a change that stands, by key.
    pub made_by: BTreeMap<String, u32>,
    /// Promises that were seen to be broken.
    pub violations: Vec<String>,
    /// What happened, in order.
    pub trace: Vec<String>,
    /// How many acts have changed the host.
    pub changes: u64,
    /// How often the machine failed on purpose.
    pub failures: u64,
    /// How often the disk was full.
    pub lost_notes: u64,
    /// How often a warden had not heard what was put back.
    pub unheard_notes: u64,
    ticks: u64,
    next_pid: u32,
}

/// The world as its inhabitants share it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(super) fn new(seed: u64) -> Self {
        let host = Host::booted(1_000);
        Self(Arc::new(Mutex::new(World {
            twin: host.clone(),
            host,
            now: Duration::ZERO,
            boot: 1,
            logs: BTreeMap::new(),
            removed: BTreeMap::new(),
            weather: Weather::default(),
            dice: fastrand::Rng::with_seed(seed),
            doom: None,
            interrupt: None,
            instants: 0,
            meddled: BTreeSet::new(),
            made_by: BTreeMap::new(),
            violations: Vec::new(),
            trace: Vec::new(),
            changes: 0,
            failures: 0,
            lost_notes: 0,
            unheard_notes: 0,
            ticks: 10_000,
            next_pid: 1_000,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    pub(super) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.trace.push(format!("{:>8.3}s {text}", self.now.as_secs_f64()));
    }

    pub(super) fn violation(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.note(format!("VIOLATION {text}"));
        self.violations.push(text);
    }

    pub(super) fn boot_id(&self) -> String {
        format!("boot-{}", self.boot)
    }

    pub(super) fn is_alive(&self, pid: u32) -> bool {
        self.host.processes.contains_key(&pid)
    }

    /// A new process; numbers are used again only by [`reuse`](Self::reuse).
    pub(super) fn spawn(&mut self, name: &str, role: Role) -> ProcessRef {
        self.next_pid += 1;
        self.ticks += 1;
        let process = Process { start: self.ticks, name: name.into(), stopped: false, role };
        self.host.processes.insert(self.next_pid, process);
        ProcessRef { pid: self.next_pid, start_time: self.ticks, boot_id: self.boot_id(), name: name.into() }
    }

    /// Starts a service again that is gone, as its supervisor does, under a new number.
    pub(super) fn supervise(&mut self, name: &str) {
        let runs = |host: &Host| host.processes.values().any(|process| process.name == name);
        if runs(&self.host) || runs(&self.twin) {
            return;
        }
        let started = self.start_another(name);
        self.note(format!("{name} is started again as {started}"));
    }

    /// Starts a service beside those of its name; its number.
    pub(super) fn start_another(&mut self, name: &str) -> u32 {
        let started = self.spawn(name, Role::Service);
        if let Some(process) = self.host.processes.get(&started.pid) {
            self.twin.processes.insert(started.pid, process.clone());
        }
        started.pid
    }

    /// Ends a process of Squall's. The kernel takes back what it owned.
    pub(super) fn kill(&mut self, pid: u32) {
        self.host.processes.remove(&pid);
        self.host
            .processes
            .retain(|_, process| !matches!(&process.role, Role::Worker { parent, .. } if *parent == pid));
        for namespace in self.host.namespaces.values_mut() {
            namespace.tables.retain(|_, owner| *owner != pid);
        }
        self.host.sessions.retain(|_, owner| *owner != pid);
        for log in self.logs.values_mut() {
            log.holder = log.holder.filter(|holder| *holder != pid);
        }
    }

    /// The power fails and comes back: nothing of the kernel's survives, and of the disk only what was synced, and
    /// perhaps some of the rest. A removed file may come back, since nobody waits for a removal to be synced; a file of
    /// which nothing was synced may be gone.
    pub(super) fn power_cut(&mut self) {
        self.note("power cut");
        self.boot += 1;
        self.ticks += 1;
        let start = self.ticks * 1_000;
        let booted = Host::booted(start);
        for host in [&mut self.host, &mut self.twin] {
            let directories = std::mem::take(&mut host.directories);
            let settings = std::mem::take(&mut host.settings);
            let instances = std::mem::take(&mut host.instances);
            let courses = std::mem::take(&mut host.courses);
            *host = Host { directories, settings, instances, courses, ..booted.clone() };
        }
        self.made_by.clear();
        let dice = &mut self.dice;
        self.logs.retain(|_, log| log.synced > 0 || dice.bool());
        for log in self.logs.values_mut() {
            log.holder = None;
            let kept = dice.usize(log.synced..=log.bytes.len());
            log.bytes.truncate(kept);
            log.synced = kept;
        }
        for (name, mut log) in std::mem::take(&mut self.removed) {
            if dice.bool() {
                log.bytes.truncate(log.synced);
                self.logs.insert(name, LogFile { holder: None, ..log });
            }
        }
    }

    /// Takes a log out of the folder.
    pub(super) fn remove_log(&mut self, name: &str) {
        if let Some(log) = self.logs.remove(name) {
            self.removed.insert(name.to_owned(), log);
        }
    }

    /// Logs that were removed, of owners who are dead, as their wardens heard them: nobody told those of any undo.
    pub(super) fn settled_logs_of_the_dead(&self) -> BTreeMap<String, Vec<u8>> {
        let of_the_dead = |log: &&LogFile| {
            let opened = undo_log::read(&log.bytes).opened;
            opened.is_some_and(|opened| !self.is_alive(opened.owner.pid))
        };
        let is_heard = |line: &&[u8]| {
            undo_log::is_whole(line.strip_suffix(b"\n").unwrap_or(line))
                && !matches!(records(line).first(), Some(Record::Reverted { .. }))
        };
        let logs = self.removed.iter().filter(|(_, log)| of_the_dead(log));
        let heard = |log: &LogFile| {
            log.bytes.split_inclusive(|byte| *byte == b'\n').filter(is_heard).flatten().copied().collect()
        };
        logs.map(|(name, log)| (name.clone(), heard(log))).collect()
    }

    /// Somebody else changes the host.
    pub(super) fn meddle(&mut self, change: &Meddling) {
        self.note(format!("somebody else: {change:?}"));
        for (host, is_real) in [(&mut self.host, true), (&mut self.twin, false)] {
            for key in change.strike(host, &mut self.ticks, is_real) {
                self.meddled.insert(key);
            }
        }
    }

    /// Whether residue at these keys can be true: somebody else changed them. The one known false alarm is about a step
    /// that depends on another: the disk was full when it was put back, so that nothing tells that it was, or a warden
    /// was too late to hear of it, or the kernel put it back and said three times that it had not.
    pub(super) fn explains_residue(&self, keys: &BTreeSet<String>) -> bool {
        !keys.is_disjoint(&self.meddled)
            || self.lost_notes + self.unheard_notes + self.failures > 0 && keys.contains(&file_key(BANKED))
    }

    /// Whether the record of this undo would survive a power cut now, in a log that `pid` holds.
    pub(super) fn has_synced_intent(&self, pid: u32, undo: &Undo) -> bool {
        let mut held = self.logs.values().filter(|log| log.holder == Some(pid));
        held.any(|log| undo_log::read(&log.bytes[..log.synced]).owed.iter().any(|(_, owed)| owed == undo))
    }

    /// What the injections whose logs are on the disk may have changed.
    pub(super) fn keys_of_log(&self, name: &str) -> BTreeSet<String> {
        let Some(log) = self.logs.get(name) else { return BTreeSet::new() };
        records(&log.bytes)
            .into_iter()
            .filter_map(|record| match record {
                Record::Intend { undo, .. } => key_of_undo(&undo),
                _ => None,
            })
            .collect()
    }

    /// How the host differs from its twin, by key.
    pub(super) fn differences(&self) -> BTreeMap<String, String> {
        let (host, twin) = (self.host.look(), self.twin.look());
        let keys: BTreeSet<&String> = host.keys().chain(twin.keys()).collect();
        keys.into_iter()
            .filter(|key| host.get(*key) != twin.get(*key))
            .map(|key| (key.clone(), format!("is {:?}, should be {:?}", host.get(key), twin.get(key))))
            .collect()
    }
}

/// The records of a log, without asking whether their checksums are right.
pub(super) fn records(bytes: &[u8]) -> Vec<Record> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line.get(9..)?).ok()).collect()
}

/// Whether a process is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped(pub bool);

/// What somebody else may do to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meddling {
    /// A file gets another value.
    Write { path: String, value: String },
    /// A link's root qdisc is replaced, or removed.
    Replace { inode: u64, link: u32, by: Option<Qdisc> },
    /// A namespace vanishes with all its links and tables.
    RemoveNamespace { inode: u64 },
    /// A process ends, and perhaps another gets its number, which somebody may have stopped.
    End { pid: u32, reused: Option<Stopped> },
    /// A stopped process is continued.
    Continue { pid: u32 },
    /// A table is made.
    Table { inode: u64 },
    /// A file in a directory is made, or gets another content.
    Save { directory: String, name: String, content: String },
    /// A setting of the server gets another value.
    Set { name: String, value: String },
    /// A directory is removed, and another is made in its place.
    Renew { directory: String },
}

impl Meddling {
    /// Does it to a host, and names what it touched.
    fn strike(&self, host: &mut Host, ticks: &mut u64, is_real: bool) -> Vec<String> {
        match self {
            Self::Write { path, value } => {
                host.write(path, value);
                vec![file_key(path)]
            }
            Self::Replace { inode, link, by } => {
                if let Some(qdisc) = host.qdisc(*inode, *link) {
                    by.clone_into(qdisc);
                }
                vec![qdisc_key(*inode, *link)]
            }
            Self::RemoveNamespace { inode } => {
                host.namespaces.remove(inode);
                Vec::new()
            }
            Self::End { pid, reused } => {
                let is_service = host.processes.get(pid).is_some_and(|process| process.role == Role::Service);
                if is_service {
                    host.processes.remove(pid);
                    if let Some(Stopped(stopped)) = *reused {
                        // Both hosts must agree on the start time.
                        *ticks += u64::from(is_real);
                        let name = "newcomer".to_owned();
                        let process = Process { start: *ticks, name, stopped, role: Role::Service };
                        host.processes.insert(*pid, process);
                    }
                }
                Vec::new()
            }
            Self::Continue { pid } => {
                if let Some(process) = host.processes.get_mut(pid) {
                    process.stopped = false;
                }
                Vec::new()
            }
            Self::Table { inode } => {
                if let Some(namespace) = host.namespaces.get_mut(inode) {
                    namespace.tables.insert("firewall".into(), 1);
                }
                Vec::new()
            }
            Self::Save { directory, name, content } => {
                if let Some(files) = host.directories.get_mut(directory) {
                    files.insert(name.clone(), content.clone());
                }
                vec![fill_key(directory, name)]
            }
            Self::Set { name, value } => {
                host.settings.insert(name.clone(), value.clone());
                vec![setting_key(name)]
            }
            Self::Renew { directory } => {
                host.directories.insert(directory.clone(), BTreeMap::new());
                Vec::new()
            }
        }
    }
}

/// A process of Squall's at the door of the world: each of its acts passes here, and any may be its last.
#[derive(Clone)]
pub(super) struct Door {
    world: Shared,
    pub pid: u32,
}

impl Door {
    pub(super) fn new(world: &Shared, pid: u32) -> Self {
        Self { world: world.clone(), pid }
    }

    /// Enters for one act; none where the process is dead.
    pub(super) fn enter(&self) -> Option<MutexGuard<'_, World>> {
        let interrupt = {
            let world = self.world.lock();
            if !world.is_alive(self.pid) {
                return None;
            }
            world.interrupt.clone()
        };
        if let Some(interrupt) = interrupt {
            interrupt();
        }
        let world = self.world.lock();
        world.is_alive(self.pid).then_some(world)
    }

    /// The hook for the hands: each of their crash points is such an instant.
    pub(super) fn hook(&self) -> crate::crash::Hook {
        let door = self.clone();
        Box::new(move |point: Point| {
            let mut world = door.world.lock();
            if !world.is_alive(door.pid) {
                return;
            }
            if point == Point::BeforeRevert && world.weather.mutant == Some(Mutant::CloseBeforeRevert) {
                let held = world.logs.iter().find(|(_, log)| log.holder == Some(door.pid));
                if let Some(name) = held.map(|(name, _)| name.clone()) {
                    world.remove_log(&name);
                }
            }
            world.survives(door.pid, point.name());
        })
    }
}

impl World {
    /// Counts an instant of a process; whether it lives on.
    pub(super) fn survives(&mut self, pid: u32, what: &str) -> bool {
        if !self.is_alive(pid) {
            return false;
        }
        let Some(doom) = self.doom.as_mut().filter(|doom| doom.pid == pid) else {
            self.instants += 1;
            return true;
        };
        if doom.after > 0 {
            doom.after -= 1;
            self.instants += 1;
            return true;
        }
        let power_cut = doom.power_cut;
        self.doom = None;
        self.note(format!("process {pid} is killed at {what}"));
        self.kill(pid);
        if power_cut {
            self.power_cut();
        }
        false
    }
}

/// The namespace's reference as the machine gives it.
pub(super) fn namespace_ref(world: &World, inode: u64) -> Option<NamespaceRef> {
    let namespace = world.host.namespaces.get(&inode)?;
    Some(NamespaceRef {
        inode,
        cookie: 0,
        path: format!("/run/netns/{}", namespace.name),
        boot_id: world.boot_id(),
        name: format!("netns {}", namespace.name),
    })
}

/// The signal that takes another back; none where nothing does.
pub(super) fn opposite(signal: Signal) -> Option<Signal> {
    (signal == Signal::Stop).then_some(Signal::Cont)
}
