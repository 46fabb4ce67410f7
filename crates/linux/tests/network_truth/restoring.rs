//! What was there is back exactly, whoever undoes and whatever happened meanwhile.

use crate::lab::{Lab, Net, injection, rule};
use squall_linux::LinuxMachine;
use squall_model::facts::Feature;
use squall_model::machine::{Machine, MachineError};
use squall_model::step::{Denial, Direction, PacketFilter, Shape, Step};
use squall_model::undo::{Reverted, Undo};
use squall_model::units::{Duration as Time, Size};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

pub(crate) fn limit() -> Shape {
    let queue = Time::milliseconds(50);
    Shape::Bandwidth { rate: "1mbit".parse().unwrap(), burst: Size(15_000), queue }
}

/// All of traffic control on `eth0`, and its queue length, as `tc` and `ip` show them.
pub(crate) fn shown(net: &Net) -> String {
    let tc = |object: &str| {
        let text = net.run(&["tc", "-d", object, "show", "dev", "eth0"]);
        // Among its options htb shows how many packets passed it by.
        let mut words: Vec<&str> = text.split_whitespace().collect();
        if let Some(at) = words.iter().position(|word| *word == "direct_packets_stat") {
            words.drain(at..(at + 2).min(words.len()));
        }
        words.join(" ")
    };
    let link = net.run(&["ip", "-o", "link", "show", "dev", "eth0"]);
    let state = link.find("state ").map_or("", |at| &link[at..]);
    let length = link.find("qlen ").map_or("", |at| link[at..].split_whitespace().nth(1).unwrap_or_default());
    let link_state = state.split_whitespace().nth(1).unwrap_or_default();
    [tc("qdisc"), tc("class"), tc("filter"), format!("{link_state} {length}")].join("|")
}

#[test]
fn root_qdiscs_of_others_are_back_exactly() {
    let Some(mut lab) = Lab::with(&[Feature::Tbf, Feature::PacketClassifier]) else { return };
    let commands = [
        "handle 10: tbf rate 777kbit burst 5kb latency 70ms",
        "handle 8: pfifo limit 123",
        "bfifo limit 99999",
        "handle 42: fq_codel limit 900 target 7ms interval 120ms ecn",
        "handle 3: sfq perturb 10",
        "handle 4: prio bands 4",
        "handle 5: red limit 400000 min 30000 max 90000 avpkt 1000 burst 55 ecn bandwidth 10mbit",
        "handle 6: fq",
        "",
    ];
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        if !words.is_empty()
            && !lab
                .here
                .output(&[&["tc", "qdisc", "replace", "dev", "eth0", "root"], &words[..]].concat())
                .status
                .success()
        {
            println!("skipped: this kernel has no {command}");
            continue;
        }
        let before = shown(&lab.here);
        for only in [
            vec![],
            vec![PacketFilter { remote: vec!["10.9.0.2".parse().unwrap()], ..PacketFilter::default() }],
        ] {
            let name = injection();
            let step = lab.qdisc(limit(), only);
            match lab.make(&step, &name) {
                Ok(undo) => {
                    assert_ne!(shown(&lab.here), before, "{command}");
                    lab.undo(&undo);
                }
                // What cannot be brought back must be refused, with nothing touched.
                Err(error) => {
                    assert!(matches!(error, MachineError::Refused { .. }), "{command}: {error}");
                    assert!(command.contains("red") || command.contains("sfq"), "{command}: {error}");
                    println!("refused: {error}");
                }
            }
            assert_eq!(shown(&lab.here), before, "{command}");
        }
        lab.here.output(&["tc", "qdisc", "delete", "dev", "eth0", "root"]);
    }
}

#[test]
fn a_queue_length_of_nothing_is_given_back() {
    let Some(mut lab) = Lab::with(&[Feature::Tbf]) else { return };
    lab.here.run(&["ip", "link", "set", "eth0", "txqueuelen", "0"]);
    let before = shown(&lab.here);
    let name = injection();
    let step = lab.qdisc(limit(), vec![]);
    let undo = lab.make(&step, &name).unwrap();
    lab.undo(&undo);
    assert_eq!(shown(&lab.here), before);
    // Once more, with an undo that was interrupted before the length was given back.
    let undo = lab.make(&step, &name).unwrap();
    lab.here.run(&["tc", "qdisc", "delete", "dev", "eth0", "root"]);
    assert!(matches!(lab.machine.revert(&undo).unwrap(), Reverted::AlreadyGone { .. }));
    assert_eq!(shown(&lab.here), before);
}

#[test]
fn a_root_qdisc_with_classes_is_refused_by_name() {
    let Some(mut lab) = Lab::with(&[Feature::Tbf]) else { return };
    lab.here.run(&["tc", "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb", "default", "0x10"]);
    lab.here.run(&[
        "tc", "class", "add", "dev", "eth0", "parent", "1:", "classid", "1:10", "htb", "rate", "5mbit",
    ]);
    let before = shown(&lab.here);
    let step = lab.qdisc(limit(), vec![]);
    let error = lab.make(&step, &injection()).unwrap_err();
    assert!(
        matches!(&error, MachineError::Refused { message } if message.contains("htb 1:") && message.contains("classes")),
        "{error}"
    );
    assert!(lab.here.facts(&mut lab.machine).links.iter().any(|link| link.root_qdisc.has_children));
    assert_eq!(shown(&lab.here), before);
}

#[test]
fn a_qdisc_of_somebody_else_is_left_alone() {
    let Some(mut lab) = Lab::with(&[Feature::Tbf]) else { return };
    let name = injection();
    let step = lab.qdisc(limit(), vec![]);
    let undo = lab.make(&step, &name).unwrap();
    lab.here.run(&["tc", "qdisc", "replace", "dev", "eth0", "root", "handle", "77:", "pfifo", "limit", "33"]);
    let theirs = shown(&lab.here);
    assert!(matches!(lab.machine.revert(&undo).unwrap(), Reverted::AlreadyGone { .. }));
    assert_eq!(shown(&lab.here), theirs);
    // What was there before and is not any more is told.
    let undo = lab.make(&step, &name).unwrap();
    lab.here.run(&["tc", "qdisc", "delete", "dev", "eth0", "root"]);
    let Reverted::Drifted(difference) = lab.machine.revert(&undo).unwrap() else { panic!("not told") };
    assert_eq!((difference.before.as_str(), difference.now.as_str()), ("pfifo 77:", "the kernel's default"));
    assert!(
        difference.remedy.contains(&format!("ip netns exec {} tc qdisc replace", lab.here.0)),
        "{difference:?}"
    );
}

#[test]
fn a_second_qdisc_of_squall_is_refused() {
    let Some(mut lab) = Lab::with(&[Feature::Tbf]) else { return };
    let step = lab.qdisc(limit(), vec![]);
    let undo = lab.make(&step, &injection()).unwrap();
    let error = lab.make(&step, &injection()).unwrap_err();
    assert!(
        matches!(&error, MachineError::Refused { message } if message.contains("squall recover")),
        "{error}"
    );
    lab.undo(&undo);
}

/// A process in a namespace without a name, ended when dropped.
struct Resident(Child);

impl Resident {
    fn alone() -> Self {
        Self::start(&["unshare", "--net"])
    }
    fn with(other: &Resident) -> Self {
        Self::start(&["nsenter", &format!("--net=/proc/{}/ns/net", other.pid())])
    }
    fn start(prefix: &[&str]) -> Self {
        let mut child = Command::new(prefix[0])
            .args(&prefix[1..])
            .args(["sh", "-c", "ip link set lo up && echo ready && exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Steps on the loopback interface of the namespace that a process lives in.
fn steps_on(resident: &Resident, machine: &mut LinuxMachine, name: &str) -> [Step; 2] {
    use squall_model::facts::{Scope, Subject};
    use squall_model::step::{PacketFilterStep, QdiscStep};
    let selector = squall_model::target::ProcessSelector { pid: Some(resident.pid()), ..Default::default() };
    let mut found =
        machine.resolve(Scope::Network, &squall_model::target::Target::Process(selector)).unwrap();
    let Some(Subject::Network(network)) = found.pop() else { panic!("{found:?}") };
    assert!(!network.is_host && network.namespace.path.starts_with("/proc/"));
    let (namespace, link) = (network.namespace, network.links[0].link.clone());
    let rules = vec![rule(Direction::Out, PacketFilter::default(), 1.0, Denial::Drop)];
    [
        Step::Qdisc(QdiscStep {
            namespace: namespace.clone(),
            link: link.clone(),
            shape: limit(),
            only: vec![],
            except: vec![],
        }),
        Step::PacketFilter(PacketFilterStep {
            namespace,
            table: PacketFilterStep::table_of(name),
            links: vec![link],
            rules,
            except: vec![],
        }),
    ]
}

#[test]
fn a_namespace_that_outlives_its_process_is_found_again() {
    let Some(mut lab) = Lab::with(&[Feature::Tbf, Feature::PacketFilter]) else { return };
    let first = Resident::alone();
    let second = Resident::with(&first);
    let name = injection();
    let undos = steps_on(&first, &mut lab.machine, &name).map(|step| lab.make(&step, &name).unwrap());
    drop(first);
    for undo in &undos {
        lab.undo(undo);
    }
    let left = Command::new("nsenter")
        .args([&format!("--net=/proc/{}/ns/net", second.pid()), "tc", "qdisc", "show", "dev", "lo"])
        .output()
        .unwrap();
    assert!(!String::from_utf8_lossy(&left.stdout).contains("tbf"));
    // And once it has ended for good, there is nothing left to undo.
    let undos = steps_on(&second, &mut lab.machine, &name).map(|step| lab.make(&step, &name).unwrap());
    drop(second);
    for undo in &undos {
        // The table that we hold keeps nothing alive; the qdisc went with the namespace.
        let outcome = lab.machine.revert(undo).unwrap();
        assert!(matches!(outcome, Reverted::AlreadyGone { .. }), "{outcome:?}");
    }
}

#[test]
fn a_table_goes_when_its_holder_is_killed() {
    const HOLD: &str = "SQUALL_TEST_HOLD_IN";
    let cut = || vec![rule(Direction::Both, PacketFilter::default(), 1.0, Denial::Drop)];
    if let Ok(name) = std::env::var(HOLD) {
        let net = std::mem::ManuallyDrop::new(Net(name.clone()));
        let mut machine = LinuxMachine::new();
        let (namespace, link) = net.reference(&mut machine);
        let table = squall_model::step::PacketFilterStep::table_of(&name);
        let rules = cut().into_iter().flat_map(|rule| {
            [Direction::In, Direction::Out]
                .map(|direction| squall_model::step::PacketRule { direction, ..rule.clone() })
        });
        let step = Step::PacketFilter(squall_model::step::PacketFilterStep {
            namespace,
            table,
            links: vec![link],
            rules: rules.collect(),
            except: vec![],
        });
        let undo = machine.capture(&step, &name).unwrap();
        let mut disk = squall_engine::suite::MemoryDisk::default();
        let mut log = squall_model::undo_log::UndoLog::resume(&name);
        machine.apply(log.intend(&mut disk, 0, &step, &undo).unwrap()).unwrap();
        println!("undo {}", serde_json::to_string(&undo).unwrap());
        std::thread::sleep(std::time::Duration::from_secs(30));
        return;
    }
    let Some(mut lab) = Lab::with(&[Feature::PacketFilter, Feature::SilentEgress]) else { return };
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "restoring::a_table_goes_when_its_holder_is_killed"])
        .env(HOLD, &lab.here.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines().map_while(Result::ok);
    let undo = lines.find_map(|line| Some(line.split_once("undo ")?.1.to_owned()));
    let during = lab.here.run(&["nft", "list", "tables"]);
    let found = lab.machine.leftovers().unwrap();
    let refused = undo.as_ref().map(|undo| lab.machine.revert(&serde_json::from_str::<Undo>(undo).unwrap()));
    holder.kill().unwrap();
    holder.wait().unwrap();
    let undo: Undo = serde_json::from_str(&undo.unwrap()).unwrap();
    assert!(during.contains("squall_"), "{during}");
    let leftover = found.iter().find(|leftover| leftover.injection.as_ref() == Some(&lab.here.0));
    assert!(leftover.is_some_and(|leftover| leftover.remedy.starts_with("kill ")), "{found:?}");
    // While its holder lives nobody else can take it away, and is told so.
    assert!(
        matches!(&refused, Some(Err(MachineError::Refused { message })) if message.contains("is alive")),
        "{refused:?}"
    );
    assert_eq!(lab.here.run(&["nft", "list", "ruleset"]), "");
    assert!(matches!(lab.machine.revert(&undo).unwrap(), Reverted::AlreadyGone { .. }));
}
