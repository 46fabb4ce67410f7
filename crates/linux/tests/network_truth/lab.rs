//! Two network namespaces on a cable, and steps made in one of them.

use squall_engine::suite::MemoryDisk;
use squall_linux::LinuxMachine;
use squall_linux::sys::{link, namespace};
use squall_model::facts::{Feature, NetworkFacts, Scope, Subject};
use squall_model::machine::{Machine, MachineError};
use squall_model::step::{
    Denial, Direction, LinkRef, NamespaceRef, PacketFilter, PacketFilterStep, PacketRule, QdiscStep, Shape,
    Step,
};
use squall_model::target::Target;
use squall_model::undo::{Evidence, Reverted, Undo};
use squall_model::undo_log::UndoLog;
use squall_model::units::Share;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A number that no other has in this process.
fn number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A name for an injection.
pub(crate) fn injection() -> String {
    format!("sqt-{}-{}", std::process::id(), number())
}

/// A named network namespace, removed when dropped.
pub(crate) struct Net(pub(crate) String);

impl Net {
    pub(crate) fn new() -> Self {
        let net = Self(format!("sqt-truth-{}-{}", std::process::id(), number()));
        link::create_namespace(&net.0).unwrap();
        net
    }

    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        namespace::Namespace::open(link::namespace_path(&self.0)).unwrap().run(work).unwrap()
    }

    /// Runs a program inside.
    pub(crate) fn output(&self, command: &[&str]) -> Output {
        Command::new("ip").args(["netns", "exec", &self.0]).args(command).output().unwrap()
    }

    /// Runs a program inside, which must succeed, and returns what it printed.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let output = self.output(command);
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the machine finds there.
    pub(crate) fn facts(&self, machine: &mut LinuxMachine) -> NetworkFacts {
        let mut found = machine.resolve(Scope::Network, &Target::Netns(self.0.clone())).unwrap();
        match found.pop() {
            Some(Subject::Network(network)) => network,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn reference(&self, machine: &mut LinuxMachine) -> (NamespaceRef, LinkRef) {
        let facts = self.facts(machine);
        let eth0 = facts.links.iter().find(|link| link.link.name == "eth0").unwrap();
        (facts.namespace.clone(), eth0.link.clone())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = link::delete_namespace(&self.0);
    }
}

/// Two namespaces on a cable: `eth0` has 10.9.0.1 and `fd09::1` here, where faults are made, 10.9.0.2 and `fd09::2`
/// there.
pub(crate) struct Lab {
    pub(crate) machine: LinuxMachine,
    pub(crate) here: Net,
    pub(crate) there: Net,
}

impl Lab {
    /// None, with a word on why, where the kernel or the privilege is missing.
    pub(crate) fn with(features: &[Feature]) -> Option<Self> {
        if namespace::run_in_fresh(|| ()).is_err() {
            println!("skipped: this test makes network namespaces, which takes root");
            return None;
        }
        let mut machine = LinuxMachine::new();
        let host = machine.host().unwrap();
        if let Some(missing) = features.iter().find(|feature| !host.has(**feature)) {
            println!("skipped: this kernel has no {missing:?}");
            return None;
        }
        let (here, there) = (Net::new(), Net::new());
        cable(&here, &there);
        Some(Self { machine, here, there })
    }

    /// A step with a queueing discipline on `eth0`.
    pub(crate) fn qdisc(&mut self, shape: Shape, only: Vec<PacketFilter>) -> Step {
        let (namespace, link) = self.here.reference(&mut self.machine);
        Step::Qdisc(QdiscStep { namespace, link, shape, only, except: Vec::new() })
    }

    /// A step that denies packets on `eth0`.
    pub(crate) fn packet_filter(&mut self, injection: &str, rules: Vec<PacketRule>) -> Step {
        let (namespace, link) = self.here.reference(&mut self.machine);
        let table = PacketFilterStep::table_of(injection);
        Step::PacketFilter(PacketFilterStep {
            namespace,
            table,
            links: vec![link],
            rules,
            except: Vec::new(),
        })
    }

    /// Makes a step, with its undo on disk as the machine asks for.
    pub(crate) fn make(&mut self, step: &Step, injection: &str) -> Result<Undo, MachineError> {
        let undo = self.machine.capture(step, injection)?;
        let (mut log, mut disk) = (UndoLog::resume(injection), MemoryDisk::default());
        let logged = log.intend(&mut disk, 0, step, &undo).unwrap();
        self.machine.apply(logged)?;
        Ok(undo)
    }

    pub(crate) fn observe(&mut self, step: &Step, undo: &Undo) -> Evidence {
        self.machine.observe(&[(step, undo)]).remove(0).unwrap()
    }

    /// Undoes what must still be there.
    pub(crate) fn undo(&mut self, undo: &Undo) {
        let outcome = self.machine.revert(undo).unwrap();
        assert!(matches!(outcome, Reverted::Undone { .. }), "{outcome:?}");
    }
}

/// Lays a cable and makes both ends known to each other.
pub(crate) fn cable(here: &Net, there: &Net) {
    here.inside(|| link::add_cable("eth0", "eth0", &link::namespace_path(&there.0)).unwrap());
    for (net, last) in [(here, 1), (there, 2)] {
        net.inside(|| {
            link::add_address("eth0", std::net::IpAddr::from([10, 9, 0, last]), 24).unwrap();
            link::add_address("eth0", format!("fd09::{last}").parse().unwrap(), 64).unwrap();
            link::set_up("eth0").unwrap();
        });
    }
    for address in ["10.9.0.2:9", "[fd09::2]:9"] {
        crate::probe::wait_until_reachable(here, there, address.parse().unwrap());
    }
}

/// A rule that denies a share of packets.
pub(crate) fn rule(direction: Direction, filter: PacketFilter, share: f64, denial: Denial) -> PacketRule {
    PacketRule { direction, filter, probability: Share::of(share), denial }
}
