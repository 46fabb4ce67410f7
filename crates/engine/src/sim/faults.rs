//! Faults of the simulator: one for each kind of step, and some of several steps.

use crate::agent::Faults;
use serde_json::{Value as Json, json};
use squall_model::cloud::{InstanceChange, InstanceStep, TemplateStep};
use squall_model::cluster::{Field, ObjectChange, ObjectStep, Shows};
use squall_model::facts::{Facts, Feature, NetworkFacts, Privilege, Scope, Subject};
use squall_model::fault::{Fault, PlanError, of};
use squall_model::server::{self, Look, ServerRef, SessionsStep, SettingStep, Statement};
use squall_model::step::{
    ContainerRef, ContainerStep, Denial, Direction, FileValueStep, FillStep, FillUntil, PacketFilter,
    PacketFilterStep, PacketRule, QdiscStep, Shape, Signal, SignalStep, Step, Work, WorkerStep,
};
use squall_model::target::{Mode, ProcessSelector, Round, Selection, Target};
use squall_model::units::{Duration, Rate, Share, Size};

use super::world::{BANKED, SELECTOR};
use std::collections::BTreeMap;

/// All of them.
pub(super) static FAULTS: Faults = &[
    &of::<Queue>(),
    &of::<Filter>(),
    &of::<Pause>(),
    &of::<Kill>(),
    &of::<Value>(),
    &of::<Button>(),
    &of::<Governor>(),
    &of::<Load>(),
    &of::<Fill>(),
    &of::<Container>(),
    &of::<Sessions>(),
    &of::<Setting>(),
    &of::<Stop>(),
    &of::<Begin>(),
    &of::<Scale>(),
    &of::<Everything>(),
    &of::<Dud>(),
    &of::<Forbidden>(),
    &of::<Unsupported>(),
];

/// Each fault with a target and parameters that suit it.
pub(super) fn samples() -> Vec<(&'static str, Target, Json)> {
    let process = |name: &str| {
        Target::Process(ProcessSelector { name: Some(name.into()), ..ProcessSelector::default() })
    };
    vec![
        ("sim.queue", Target::Netns("shop".into()), json!({})),
        ("sim.queue", Target::Netns("db".into()), json!({})),
        ("sim.filter", Target::Netns("shop".into()), json!({})),
        ("sim.pause", process("postgres"), json!({})),
        ("sim.pause", process("payment"), json!({})),
        ("sim.kill", process("ledger"), json!({})),
        ("sim.value", Target::Host(true), json!({"path": "/proc/sys/vm/swappiness"})),
        ("sim.value", Target::Host(true), json!({"path": "/proc/sys/net/backlog"})),
        ("sim.button", Target::Host(true), json!({})),
        ("sim.governor", Target::Host(true), json!({})),
        ("sim.load", Target::Host(true), json!({})),
        ("sim.everything", Target::Netns("shop".into()), json!({})),
        ("sim.fill", Target::Path("/data".into()), json!({})),
        ("sim.container", Target::Host(true), json!({})),
        ("sim.sessions", database(), json!({})),
        ("sim.setting", database(), json!({})),
        ("sim.stop", instances(), json!({})),
        ("sim.begin", template(), json!({})),
        ("sim.scale", workload(), json!({})),
    ]
}

fn instances() -> Target {
    Target::Instances(Box::new(serde_json::from_value(json!({"id": "i-1"})).unwrap()))
}

fn workload() -> Target {
    Target::Workload(Box::new(serde_json::from_value(json!({"name": "web"})).unwrap()))
}

fn template() -> Target {
    Target::Template(Box::new(serde_json::from_value(json!({"id": "EXT1"})).unwrap()))
}

fn database() -> Target {
    Target::Database(Box::new("postgres://squall@db/shop".parse().unwrap()))
}

/// A target of which every match is struck.
pub(super) fn all_of(target: Target) -> Selection {
    Selection { target, mode: Mode::All, value: None, round: Round::Down, optional: false, follow: false }
}

/// Parameters by name.
type With = BTreeMap<String, String>;

/// Declares a fault in one line.
macro_rules! fault {
    ($type:ident, $name:literal, $scope:ident, $privileges:expr, $plan:expr) => {
        fault!($type, $name, $scope, $privileges, &[], $plan);
    };
    ($type:ident, $name:literal, $scope:ident, $privileges:expr, $features:expr, $plan:expr) => {
        struct $type;
        impl Fault for $type {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = "a fault of the simulator";
            const EXAMPLE: &'static str = "";
            const SCOPE: Scope = Scope::$scope;
            const PRIVILEGES: &'static [Privilege] = $privileges;
            const FEATURES: &'static [Feature] = $features;
            type Parameters = With;
            fn plan(parameters: &With, facts: &Facts) -> Result<Vec<Step>, PlanError> {
                let plan: fn(&With, &Facts) -> Vec<Step> = $plan;
                Ok(plan(parameters, facts))
            }
        }
    };
}

fault!(Queue, "sim.queue", Network, &[Privilege::NetAdmin], |_, facts| {
    let network = network(facts);
    (0..network.links.len()).map(|position| queue(network, position)).collect()
});
fault!(Filter, "sim.filter", Network, &[Privilege::NetAdmin], |_, facts| vec![filter(facts)]);
fault!(Pause, "sim.pause", Process, &[Privilege::Kill], |_, facts| vec![signal(facts, Signal::Stop)]);
fault!(Kill, "sim.kill", Process, &[Privilege::Kill], |_, facts| vec![signal(facts, Signal::Kill)]);
fault!(Value, "sim.value", Resource, &[], |with, _| vec![value(&with["path"], "7", true)]);
fault!(Button, "sim.button", Resource, &[], |_, _| { vec![value("/proc/sys/vm/drop_caches", "3", false)] });
fault!(Governor, "sim.governor", Resource, &[], |_, _| {
    vec![value(SELECTOR, "wild", true), value(BANKED, "9", true)]
});
fault!(Load, "sim.load", Resource, &[], |_, facts| vec![load(facts)]);
fault!(Sessions, "sim.sessions", Database, &[], |_, facts| vec![sessions(facts)]);
fault!(Setting, "sim.setting", Database, &[], |_, facts| vec![setting(facts)]);
fault!(Stop, "sim.stop", Instance, &[], |_, facts| vec![stop(facts)]);
fault!(Scale, "sim.scale", Workload, &[], |_, facts| vec![scale(facts)]);
fault!(Begin, "sim.begin", Template, &[], |_, facts| vec![begin(facts)]);
fault!(Fill, "sim.fill", Path, &[], |_, facts| vec![fill(facts)]);
fault!(Container, "sim.container", Resource, &[], |_, _| vec![container()]);
// These two want what the model does not have.
fault!(Forbidden, "sim.forbidden", Resource, &[Privilege::SysAdmin], |_, facts| vec![load(facts)]);
fault!(Unsupported, "sim.unsupported", Resource, &[], &[Feature::Tbf], |_, facts| vec![load(facts)]);
// A worker that does nothing shows no effect.
fault!(Dud, "sim.dud", Resource, &[], |_, facts| vec![worker(facts, 0.0)]);
fault!(Everything, "sim.everything", Network, &[Privilege::NetAdmin], |_, facts| {
    vec![
        value(SELECTOR, "wild", true),
        queue(network(facts), 1),
        filter(facts),
        load(facts),
        value(BANKED, "9", true),
    ]
});

fn network(facts: &Facts) -> &NetworkFacts {
    match &facts.subject {
        Subject::Network(network) => network,
        other => panic!("a network fault was given {other:?}"),
    }
}

fn queue(network: &NetworkFacts, position: usize) -> Step {
    Step::Qdisc(QdiscStep {
        namespace: network.namespace.clone(),
        link: network.links[position].link.clone(),
        shape: Shape::Bandwidth {
            rate: Rate { bits_per_second: 1_000_000 },
            burst: Size(1 << 15),
            queue: Duration::milliseconds(50),
        },
        only: Vec::new(),
        except: Vec::new(),
    })
}

fn filter(facts: &Facts) -> Step {
    Step::PacketFilter(PacketFilterStep {
        namespace: network(facts).namespace.clone(),
        table: format!("squall_{}", facts.injection),
        links: Vec::new(),
        rules: vec![PacketRule {
            direction: Direction::In,
            filter: PacketFilter::default(),
            probability: Share::WHOLE,
            denial: Denial::Drop,
        }],
        except: Vec::new(),
    })
}

fn signal(facts: &Facts, signal: Signal) -> Step {
    match &facts.subject {
        Subject::Process(process) => {
            Step::Signal(SignalStep { process: process.process.clone(), signal, may_be_gone: false })
        }
        other => panic!("a process fault was given {other:?}"),
    }
}

fn value(path: &str, value: &str, restore: bool) -> Step {
    Step::FileValue(FileValueStep { path: path.into(), value: value.into(), restore })
}

fn fill(facts: &Facts) -> Step {
    let Subject::Path(path) = &facts.subject else { panic!("no directory: {:?}", facts.subject) };
    Step::Fill(FillStep {
        directory: path.directory.clone(),
        name: FillStep::name_of(&facts.injection),
        until: FillUntil::By(Size(1 << 20)),
        leave_free: Size(0),
    })
}

fn container() -> Step {
    let container =
        ContainerRef { daemon: "/run/docker.sock".into(), id: "c-1".into(), name: "shop-db".into() };
    Step::Container(ContainerStep { container, grace: Duration::seconds(1) })
}

fn server(facts: &Facts) -> ServerRef {
    match &facts.subject {
        Subject::Database(database) => database.server.clone(),
        other => panic!("a database fault was given {other:?}"),
    }
}

fn stop(facts: &Facts) -> Step {
    let Subject::Instance(instance) = &facts.subject else {
        panic!("a fault on instances was given {:?}", facts.subject)
    };
    Step::Instance(InstanceStep {
        instance: instance.instance.clone(),
        opt_in: instance.opt_in.clone(),
        change: InstanceChange::Stop { force: false },
    })
}

fn scale(facts: &Facts) -> Step {
    let Subject::Object(workload) = &facts.subject else {
        panic!("a fault on workloads was given {:?}", facts.subject)
    };
    let before = workload.content["spec"]["replicas"].clone();
    let fields = vec![Field::put(&["spec", "replicas"], 0, Some(before))];
    Step::Object(Box::new(ObjectStep {
        object: workload.object.clone(),
        change: ObjectChange::Fields { fields },
        shows: Shows::Itself,
        mark: facts.injection.clone(),
        held: None,
    }))
}

fn begin(facts: &Facts) -> Step {
    let Subject::Template(template) = &facts.subject else {
        panic!("a fault on templates was given {:?}", facts.subject)
    };
    Step::Template(TemplateStep {
        template: template.template.clone(),
        opt_in: template.opt_in.clone(),
        mark: facts.injection.clone(),
    })
}

fn sessions(facts: &Facts) -> Step {
    Step::Sessions(SessionsStep {
        server: server(facts),
        mark: server::mark_of(&facts.injection),
        count: 3,
        or_fewer: false,
        room: None,
        check: Vec::new(),
        begin: Vec::new(),
        blame: None,
        again: None,
        finally: Vec::new(),
        lease: facts.lease,
        look: Look::telling("", "held"),
    })
}

fn setting(facts: &Facts) -> Step {
    Step::Setting(SettingStep {
        server: server(facts),
        mark: server::mark_of(&facts.injection),
        name: "read_only".into(),
        check: Vec::new(),
        read: Statement::text("read"),
        write: Statement::text("write"),
        ours: "on".into(),
        restore: Statement::text("restore {before}"),
        then: Vec::new(),
        unset: None,
        finally: Vec::new(),
        watch: None,
        lease: facts.lease,
        look: None,
    })
}

fn load(facts: &Facts) -> Step {
    worker(facts, 1.0)
}

fn worker(facts: &Facts, percent: f64) -> Step {
    Step::Worker(WorkerStep {
        mark: facts.injection.clone(),
        work: Work::CpuLoad { percent: Share::of(percent), cores: 1, processors: Vec::new() },
        cgroups: Vec::new(),
    })
}
