//! Workers on the real kernel: started, asked and ended by the machine, watched by other means.

#![expect(clippy::unwrap_used, reason = "a test fails by them")]

use rustix::thread::CpuSet;
use squall_engine::suite::{self, MemoryDisk, Sample, Trial};
use squall_linux::LinuxMachine;
use squall_linux::step::worker::{JOB, Job, Report};
use squall_linux::sys::{cgroup, memory, process};
use squall_model::machine::{Machine, MachineError};
use squall_model::step::{ProcessRef, Signal, Step, Work, WorkerStep};
use squall_model::target::{ProcessSelector, Target};
use squall_model::undo::{Effect, Evidence, Reverted, Undo};
use squall_model::undo_log::UndoLog;
use squall_model::units::{Duration, Share, Size};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// The worker program, which is built beside the tests.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples/worker");
    assert!(program.exists(), "{} is missing: cargo build --examples", program.display());
    program
}

fn seconds(count: f64) -> std::time::Duration {
    std::time::Duration::from_secs_f64(count)
}

/// Waits, up to ten seconds, until something is so.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + seconds(10.0);
    while !condition() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::sleep(seconds(0.02));
    }
}

/// A worker step and the machine that carries it out; undone when dropped.
struct Scene {
    machine: LinuxMachine,
    step: Step,
    mark: String,
    undo: Undo,
}

impl Scene {
    fn new(work: Work) -> Self {
        Self::within(work, Vec::new())
    }

    fn within(work: Work, cgroups: Vec<String>) -> Self {
        Self::run_by(program(), work, cgroups)
    }

    fn run_by(program: PathBuf, work: Work, cgroups: Vec<String>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = WorkerStep::mark_of(&format!("sqt-{}-{number}", std::process::id()));
        let step = Step::Worker(WorkerStep { mark: mark.clone(), work, cgroups });
        let mut machine = LinuxMachine::with_worker_program(program);
        let undo = machine.capture(&step, "sqt").unwrap();
        Self { machine, step, mark, undo }
    }

    fn apply(&mut self) -> Result<(), MachineError> {
        self.machine.apply(
            UndoLog::resume("sqt").intend(&mut MemoryDisk::default(), 0, &self.step, &self.undo).unwrap(),
        )
    }

    fn observe(&mut self) -> Evidence {
        self.machine.observe(&[(&self.step, &self.undo)]).remove(0).unwrap()
    }

    fn revert(&mut self) -> Reverted {
        self.machine.revert(&self.undo).unwrap()
    }

    /// Processes with the mark, as `ps` shows them.
    fn pids(&self) -> Vec<u32> {
        pids_by_ps(&self.mark)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.machine.revert(&self.undo);
    }
}

fn pids_by_ps(mark: &str) -> Vec<u32> {
    let output = Command::new("ps").args(["-eo", "pid=,args=", "-ww"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let bears_it = |line: &&str| line.split_whitespace().nth(3) == Some(mark);
    text.lines()
        .filter(bears_it)
        .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
        .collect()
}

/// A process of the test's own in a group of its own; ended with all that it started when dropped.
struct Victim(Child);

impl Victim {
    fn start(command: &mut Command) -> Self {
        Self(command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

fn load(percent: f64, cores: u32) -> Work {
    Work::CpuLoad { percent: Share::of(percent / 100.0), cores, processors: Vec::new() }
}

/// A spike that leaves no reserve: what is tested is small beside any host.
fn spike(size: u64) -> Work {
    Work::Memory { rate: None, limit: Size(size), leave_free: Size(0) }
}

#[test]
fn the_agent_has_precedence_over_its_worker() {
    // Field 19 of proc_pid_stat(5), counted after the name.
    let priority = |path: String| -> i32 {
        let stat = std::fs::read_to_string(path).unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap()
    };
    let own = || priority("/proc/thread-self/stat".to_owned());
    let before = own();
    // A thread of its own, since priorities are a thread's, and those of other tests shall stay.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            squall_linux::sys::process::take_precedence();
            if own() == before {
                println!("skipped: to take precedence takes root");
                return;
            }
            let mut scene = Scene::new(load(1.0, 1));
            scene.apply().unwrap();
            let pids = scene.pids();
            assert!(!pids.is_empty());
            let theirs: Vec<i32> = pids.iter().map(|pid| priority(format!("/proc/{pid}/stat"))).collect();
            assert!(theirs.iter().all(|theirs| *theirs == before), "{theirs:?} against {before}");
            assert!(own() < before);
        });
    });
}

#[test]
fn a_cpu_load_is_as_large_as_asked() {
    let mut scene = Scene::new(load(40.0, 1));
    scene.apply().unwrap();
    let pid = scene.pids()[0];
    // Fields 14 and 15 of /proc/PID/stat: processor time in ticks of 10 ms.
    let ticks = || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<i64> =
            text.rsplit_once(") ").unwrap().1.split(' ').filter_map(|f| f.parse().ok()).collect();
        fields[10] + fields[11]
    };
    let share = || {
        std::thread::sleep(seconds(0.5));
        let (began, before) = (Instant::now(), ticks());
        std::thread::sleep(seconds(3.0));
        (ticks() - before) as f64 / 100.0 / began.elapsed().as_secs_f64()
    };
    // Others may hold it below for a while, so it gets some tries; never above what it makes up for.
    let got = (0..4).map(|_| share()).find(|share| *share >= 0.25);
    assert!(got.is_some_and(|share| share < 0.5), "asked for 0.4, got {got:?}");
    let evidence = scene.observe();
    assert_eq!(evidence.effect, Effect::Seen, "{}", evidence.summary);
    assert!(evidence.measures["cpu_seconds"] > 0.5, "{}", evidence.summary);
}

#[test]
fn a_cpu_load_keeps_to_the_processors_of_its_target() {
    let last = *process::processors(std::process::id()).unwrap().last().unwrap();
    let mut scene = Scene::new(Work::CpuLoad { percent: Share::of(0.1), cores: 1, processors: vec![last] });
    scene.apply().unwrap();
    let pid = scene.pids()[0];
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(status.contains(&format!("Cpus_allowed_list:\t{last}\n")), "{status}");
    }
    let nowhere =
        Work::CpuLoad { percent: Share::of(0.1), cores: 1, processors: vec![CpuSet::MAX_CPU as u32 - 1] };
    let error = Scene::new(nowhere).apply().unwrap_err().to_string();
    assert!(error.contains("could not keep the load to processors"), "{error}");
}

#[test]
fn a_worker_is_ended_by_its_undo_and_by_any_other_machine() {
    let mut scene = Scene::new(load(1.0, 1));
    assert!(matches!(scene.revert(), Reverted::AlreadyGone { .. }));
    scene.apply().unwrap();
    assert_eq!(scene.pids().len(), 1);
    assert!(matches!(scene.revert(), Reverted::Undone { .. }));
    assert!(scene.pids().is_empty());
    assert!(matches!(scene.revert(), Reverted::AlreadyGone { .. }));
    scene.apply().unwrap();
    // One that did not start it, as in recovery. The worker stays unreaped until its parent looks.
    let mut other = LinuxMachine::with_worker_program(program());
    assert!(matches!(other.revert(&scene.undo).unwrap(), Reverted::Undone { .. }));
    assert_eq!(scene.observe().effect, Effect::NotSeen);
    let Undo::Worker { mark, .. } = &scene.undo else { panic!("no worker") };
    let earlier = Undo::Worker { mark: mark.clone(), boot_id: "earlier".into() };
    assert!(matches!(other.revert(&earlier).unwrap(), Reverted::AlreadyGone { .. }));
}

#[test]
fn a_stopped_worker_is_ended_all_the_same() {
    let mut scene = Scene::new(load(1.0, 1));
    scene.apply().unwrap();
    let pid = scene.pids()[0].to_string();
    assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
    assert!(matches!(scene.revert(), Reverted::Undone { .. }));
    assert!(scene.pids().is_empty());
}

#[test]
fn a_leftover_worker_is_found_and_removed_without_a_log() {
    let mut scene = Scene::new(load(1.0, 1));
    scene.apply().unwrap();
    let mut other = LinuxMachine::with_worker_program(program());
    let name = scene.mark.strip_prefix(WorkerStep::MARK_PREFIX).unwrap().to_owned();
    let ours = |machine: &mut LinuxMachine| {
        let found = machine.leftovers().unwrap();
        found.into_iter().find(|leftover| leftover.injection.as_deref() == Some(name.as_str()))
    };
    let leftover = ours(&mut other).unwrap();
    assert!(leftover.remedy.contains(&scene.pids()[0].to_string()));
    assert!(matches!(other.remove(&leftover).unwrap(), Reverted::Undone { .. }));
    assert_eq!(ours(&mut other), None);
    assert!(matches!(other.remove(&leftover).unwrap(), Reverted::AlreadyGone { .. }));
}

#[test]
fn a_process_that_only_speaks_of_a_mark_is_left_alone() {
    let mut scene = Scene::new(load(1.0, 1));
    scene.apply().unwrap();
    let script = "sleep 60; : \"$@\"";
    let speaker = Victim::start(Command::new("sh").args(["-c", script, "worker", &scene.mark]));
    let program = "import sys,time; time.sleep(60)";
    let impostor = Victim::start(Command::new("python3").args(["-c", program, "worker", &scene.mark]));
    scene.revert();
    for victim in [&speaker, &impostor] {
        assert!(process::is_alive(&process::reference(victim.0.id()).unwrap()));
    }
}

#[test]
fn a_spike_is_there_at_once_and_gone_after() {
    let size = 256 << 20;
    let mut scene = Scene::new(spike(size));
    scene.apply().unwrap();
    let pid = scene.pids()[0];
    wait_until("the spike is held", || scene.observe().measures["held_bytes"] as u64 >= size);
    assert_eq!(scene.observe().effect, Effect::Seen);
    assert!(memory::resident(pid).unwrap() >= size);
    assert!(memory::resident(pid).unwrap() < size + (32 << 20));
    let score = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    assert_eq!(score.trim(), "1000");
    assert!(matches!(scene.revert(), Reverted::Undone { .. }));
    assert_eq!(memory::resident(pid).unwrap_or(0), 0);
}

#[test]
fn a_leak_grows_at_its_rate() {
    let leak = Work::Memory { rate: Some(Size(20_000_000)), limit: Size(1 << 30), leave_free: Size(0) };
    let mut scene = Scene::new(leak);
    scene.apply().unwrap();
    let held = |scene: &mut Scene| scene.observe().measures["held_bytes"];
    std::thread::sleep(seconds(0.5));
    let (began, before) = (Instant::now(), held(&mut scene));
    std::thread::sleep(seconds(2.0));
    let rate = (held(&mut scene) - before) / began.elapsed().as_secs_f64();
    assert!((15e6..25e6).contains(&rate), "{rate} bytes a second");
}

#[test]
fn growth_stops_before_the_reserve() {
    let total = memory::read().unwrap().total;
    let mut scene = Scene::new(Work::Memory { rate: None, limit: Size(total), leave_free: Size(total) });
    scene.apply().unwrap();
    std::thread::sleep(seconds(0.3));
    let evidence = scene.observe();
    assert_eq!((evidence.effect, evidence.measures["held_bytes"] as u64), (Effect::NotSeen, 0));
    assert!(evidence.summary.contains("left to others"), "{}", evidence.summary);
}

#[test]
fn what_is_restarted_is_struck_again() {
    let name = format!("61.{}", std::process::id());
    let script = format!("for i in $(seq 200); do sleep {name}; done");
    let _supervisor = Victim::start(Command::new("sh").args(["-c", &script, "sh"]));
    let sleeper = || {
        let selector = ProcessSelector {
            cmdline: Some(format!("sleep {name}")),
            name: Some("sleep".into()),
            ..Default::default()
        };
        squall_linux::facts::process::strikeable(&selector).unwrap().pop().map(|facts| facts.process)
    };
    wait_until("the victim runs", || sleeper().is_some());
    let first = sleeper().unwrap();
    let mut scene = Scene::new(Work::SignalEvery {
        process: first.clone(),
        target: Target::Process(ProcessSelector {
            name: Some("sleep".into()),
            cmdline: Some(format!("sleep {name}")),
            ..Default::default()
        }),
        signal: Signal::Kill,
        every: Duration(seconds(0.2)),
        grace: None,
    });
    scene.apply().unwrap();
    wait_until("it was struck three times", || scene.observe().measures["signals_sent"] >= 3.0);
    assert!(!process::is_alive(&first));
    scene.revert();
    // The last one to be struck is on its way out; what comes after it stays.
    std::thread::sleep(seconds(0.2));
    wait_until("the last one runs", || sleeper().is_some());
    let last = sleeper().unwrap();
    std::thread::sleep(seconds(0.5));
    assert!(process::is_alive(&last));
}

/// A shell that says when it is ready and what becomes of it on SIGTERM.
fn on_term(deed: &str) -> (Victim, ProcessRef) {
    let script = format!("trap '{deed}' TERM; echo ready; while :; do sleep 0.02; done");
    let mut command = Command::new("bash");
    command.args(["-c", &script]).process_group(0).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
    let process = process::reference(child.id()).unwrap();
    (Victim(child), process)
}

#[test]
fn what_ends_within_its_grace_is_not_killed() {
    use std::os::unix::process::ExitStatusExt;
    let (mut victim, process) = on_term("exit 7");
    let mut scene =
        Scene::new(Work::SignalThenKill { process, signal: Signal::Term, grace: Duration(seconds(30.0)) });
    scene.apply().unwrap();
    assert_eq!(victim.0.wait().unwrap().code(), Some(7));
    wait_until("its end is told", || scene.observe().summary.contains("which ended within"));
    let evidence = scene.observe();
    assert_eq!((evidence.effect, evidence.measures["killed_after_grace"]), (Effect::Seen, 0.0));
    assert!(!matches!(scene.revert(), Reverted::Drifted(_)));

    // What takes no notice is killed, and not before its time.
    let (mut victim, process) = on_term("");
    let grace = seconds(0.7);
    let mut scene =
        Scene::new(Work::SignalThenKill { process, signal: Signal::Term, grace: Duration(grace) });
    let began = Instant::now();
    scene.apply().unwrap();
    assert!(scene.observe().summary.contains("still runs") || began.elapsed() > grace);
    assert_eq!(victim.0.wait().unwrap().signal(), Some(9));
    assert!(began.elapsed() >= grace, "killed after {:?}", began.elapsed());
    wait_until("its end is told", || scene.observe().measures["killed_after_grace"] > 0.0);
    assert!(scene.observe().summary.contains("was killed"));
}

#[test]
fn an_undo_within_the_grace_spares_the_process() {
    let (_victim, process) = on_term("");
    let work = Work::SignalThenKill {
        process: process.clone(),
        signal: Signal::Term,
        grace: Duration(seconds(1.0)),
    };
    let mut scene = Scene::new(work);
    scene.apply().unwrap();
    assert!(matches!(scene.revert(), Reverted::Undone { .. }));
    std::thread::sleep(seconds(1.5));
    assert!(process::is_alive(&process));
}

#[test]
fn what_is_struck_every_so_often_is_killed_after_its_grace_too() {
    let (_victim, process) = on_term("");
    let selector = ProcessSelector { pid: Some(process.pid), ..Default::default() };
    let mut scene = Scene::new(Work::SignalEvery {
        process,
        target: Target::Process(selector),
        signal: Signal::Term,
        every: Duration(seconds(0.5)),
        grace: Some(Duration(seconds(0.3))),
    });
    scene.apply().unwrap();
    wait_until("it is killed", || scene.observe().measures["killed_after_grace"] >= 1.0);
    assert!(scene.observe().measures["signals_sent"] >= 1.0);
}

#[test]
fn what_the_plan_spared_is_never_struck_and_what_is_started_since_is() {
    let seconds_of_sleep = format!("86400.{}", std::process::id());
    let start = || Victim::start(Command::new("sleep").arg(&seconds_of_sleep));
    let victims = [start(), start(), start()];
    let references = victims.each_ref().map(|victim| process::reference(victim.0.id()).unwrap());
    let living = || references.each_ref().map(process::is_alive);
    let mut scene = Scene::new(Work::SignalEvery {
        process: references[1].clone(),
        target: Target::Process(ProcessSelector {
            name: Some("sleep".into()),
            cmdline: Some(format!("sleep {seconds_of_sleep}")),
            ..Default::default()
        }),
        signal: Signal::Kill,
        every: Duration(seconds(0.1)),
        grace: None,
    });
    scene.apply().unwrap();
    wait_until("the chosen one is gone, and no other is found", || {
        scene.observe().summary.contains("no process") && scene.observe().measures["signals_sent"] >= 1.0
    });
    assert_eq!(living(), [true, false, true]);
    let fourth = start();
    let fourth = process::reference(fourth.0.id()).unwrap();
    wait_until("the one that was started since is struck", || !process::is_alive(&fourth));
    assert_eq!(living(), [true, false, true]);
}

#[test]
fn squall_is_never_struck() {
    let own = ProcessSelector { pid: Some(std::process::id()), ..Default::default() };
    let every = Duration(seconds(0.1));
    let work = Work::SignalEvery {
        process: process::own().unwrap(),
        target: Target::Process(own),
        signal: Signal::Kill,
        every,
        grace: None,
    };
    // The plan refuses it, and a worker that is started all the same does too.
    let mut scene = Scene::new(load(1.0, 1));
    let Step::Worker(step) = &mut scene.step else { unreachable!() };
    step.work = work;
    let error = scene.machine.capture(&scene.step, "sqt").unwrap_err();
    assert!(error.to_string().contains("never struck"), "{error}");
    scene.apply().unwrap();
    std::thread::sleep(seconds(0.3));
    let evidence = scene.observe();
    assert_eq!(evidence.effect, Effect::NotSeen);
    assert!(evidence.summary.contains("never struck"), "{}", evidence.summary);
}

/// A worker without a machine, as the test's own child.
fn bare(parent: u32) -> Child {
    let job = Job { work: load(1.0, 1), cgroups: vec![], priority: 0, parent };
    let mut command = Command::new(program());
    command.args(["worker", "squall-worker:sqt-bare"]).env(JOB, serde_json::to_string(&job).unwrap());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_worker_ends_with_its_questions_and_without_its_agent() {
    let mut worker = bare(std::process::id());
    let mut ready = [0; 4];
    worker.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    worker.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    drop(worker.stdin.take());
    assert!(worker.wait().unwrap().success());
    // Its agent died before it could be tied to it.
    assert!(!bare(1).wait().unwrap().success());
}

#[test]
fn a_worker_dies_with_its_agent_even_if_it_is_stopped() {
    // The agent is a shell that becomes a sleeper; the worker's pipes stay open, so only the kernel can end it.
    let mark = WorkerStep::mark_of(&format!("sqt-orphan-{}", std::process::id()));
    let job = |parent: &str| {
        let job = serde_json::to_string(&Job { work: load(1.0, 1), cgroups: vec![], priority: 0, parent: 0 })
            .unwrap();
        job.replace("\"parent\":0", &format!("\"parent\":{parent}"))
    };
    let (questions, keep_open) = std::io::pipe().unwrap();
    let script = format!("{JOB}=\"{}\" \"$0\" worker {mark} <&3 & sleep 60", job("$$").replace('"', "\\\""));
    let mut agent = Command::new("bash");
    agent.args(["-c", &format!("exec 3<&0; {script}")]).arg(program()).stdin(questions);
    let mut agent = Victim::start(&mut agent);
    wait_until("the worker runs", || pids_by_ps(&mark).len() == 1);
    std::thread::sleep(seconds(0.2));
    let pid = pids_by_ps(&mark)[0].to_string();
    assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
    agent.0.kill().unwrap();
    wait_until("the worker is gone", || pids_by_ps(&mark).is_empty());
    drop(keep_open);
}

#[test]
fn a_worker_outlives_the_thread_that_asked_for_it() {
    let mut scene = Scene::new(load(1.0, 1));
    std::thread::scope(|scope| scope.spawn(|| scene.apply().unwrap()).join().unwrap());
    std::thread::sleep(seconds(0.3));
    assert_eq!(scene.pids().len(), 1);
}

/// A worker that does next to nothing, under a mark of its own.
fn trial() -> Trial {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let injection = format!("sqt-laws-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let mark = WorkerStep::mark_of(&injection);
    let (looked, destroyed) = (mark.clone(), mark.clone());
    Trial {
        step: Step::Worker(WorkerStep { mark, work: load(1.0, 1), cgroups: vec![] }),
        injection,
        look: Box::new(move || format!("{} workers", pids_by_ps(&looked).len())),
        reversible: true,
        marked: true,
        destroy: Some(Box::new(move || {
            for pid in pids_by_ps(&destroyed) {
                assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
            }
        })),
        meddle: None,
    }
}

#[test]
fn workers_keep_the_laws() {
    let mut samples = [Sample { name: "worker", prepare: Box::new(|_: &mut LinuxMachine| trial()) }];
    let broken = suite::check(&mut LinuxMachine::with_worker_program(program()), &mut samples);
    assert!(broken.is_empty(), "{}", suite::describe(&broken));
}

/// A control group that the test made; removed when dropped.
struct TestGroup(PathBuf);

impl TestGroup {
    fn new(controller: cgroup::Controller) -> Option<Self> {
        let trees = cgroup::trees().unwrap();
        let parent = cgroup::of_process(std::process::id(), controller, &trees).unwrap()?;
        // Beside our own group: one that has processes cannot have groups within in version 2.
        let folder = match (parent.is_root(), parent.folder.parent()) {
            (false, Some(folder)) => folder.to_owned(),
            _ => parent.mount.clone(),
        };
        let folder = folder.join(format!("sqt-{}-{}", controller.name(), std::process::id()));
        std::fs::create_dir(&folder).ok()?;
        Some(Self(folder))
    }
}

impl Drop for TestGroup {
    fn drop(&mut self) {
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(seconds(0.02));
        }
    }
}

#[test]
fn a_worker_joins_control_groups_and_their_limit_holds() {
    let Some(group) = TestGroup::new(cgroup::Controller::Memory) else {
        println!("skipped: no control group for memory can be made here");
        return;
    };
    let limit = 128_u64 << 20;
    let files = ["memory.limit_in_bytes", "memory.max"].map(|file| group.0.join(file));
    let Some(file) = files.iter().find(|file| file.exists()) else {
        println!("skipped: the memory controller is not passed on to {}", group.0.display());
        return;
    };
    std::fs::write(file, limit.to_string()).unwrap();
    let leave_free = Size(32 << 20);
    let work = Work::Memory { rate: None, limit: Size(1 << 30), leave_free };
    let mut scene = Scene::within(work, vec![group.0.to_str().unwrap().to_owned()]);
    scene.apply().unwrap();
    let pid = scene.pids()[0];
    let members = std::fs::read_to_string(group.0.join("cgroup.procs")).unwrap();
    assert_eq!(members.trim(), pid.to_string());
    wait_until("growth stops", || scene.observe().summary.contains("in the control group"));
    let held = scene.observe().measures["held_bytes"] as u64;
    assert!((16 << 20..=limit - leave_free.0).contains(&held), "holds {held}");
    assert!(matches!(scene.revert(), Reverted::Undone { .. }));
}

#[test]
fn facts_about_a_process_lead_the_worker_into_its_group() {
    let Some(group) = TestGroup::new(cgroup::Controller::Memory) else {
        println!("skipped: no control group for memory can be made here");
        return;
    };
    let folder = group.0.to_str().unwrap().to_owned();
    let limits = ["memory.limit_in_bytes", "memory.max"].map(|file| group.0.join(file));
    let limited =
        limits.iter().find(|file| file.exists()).map(|file| std::fs::write(file, "67108864").unwrap());
    let victim = Victim::start(Command::new("sleep").arg("60"));
    std::fs::write(group.0.join("cgroup.procs"), victim.0.id().to_string()).unwrap();
    let selector = ProcessSelector {
        cgroup: Some(group.0.file_name().unwrap().to_str().unwrap().into()),
        ..Default::default()
    };
    let target = squall_model::target::Target::Process(selector);
    let mut machine = LinuxMachine::with_worker_program(program());
    let found = machine.resolve(squall_model::facts::Scope::Resource, &target).unwrap();
    let [squall_model::facts::Subject::Resource { processes }] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(processes.iter().map(|found| found.process.pid).collect::<Vec<_>>(), [victim.0.id()]);
    assert!(processes[0].cgroups.contains(&folder), "{:?}", processes[0].cgroups);
    assert_eq!(processes[0].memory.map(|memory| memory.limit), limited.map(|()| Size(64 << 20)));
    let mut scene = Scene::within(load(1.0, 1), vec![folder]);
    scene.apply().unwrap();
    let members = std::fs::read_to_string(group.0.join("cgroup.procs")).unwrap();
    assert_eq!(members.lines().count(), 2);
    // As a container ends: all that is in it is killed, and its end is not taken for a lack of memory.
    let worker = rustix::process::Pid::from_raw(scene.pids()[0].cast_signed()).unwrap();
    rustix::process::kill_process(worker, rustix::process::Signal::KILL).unwrap();
    wait_until("the worker has ended", || scene.observe().summary.contains("it was killed (SIGKILL)"));
    assert_eq!(scene.observe().effect, Effect::NotSeen, "what it was in is still there");
    drop(victim);
    let evidence = scene.observe();
    assert_eq!(evidence.effect, Effect::Gone, "{}", evidence.summary);
    assert!(evidence.summary.contains("its container or service is gone"), "{}", evidence.summary);
    assert!(matches!(scene.revert(), Reverted::AlreadyGone { .. }));
}

#[test]
fn a_control_group_that_cannot_be_joined_is_named_before_anything_is_done() {
    let cgroups = vec!["/sys/fs/cgroup/sqt-none".to_owned()];
    let step =
        Step::Worker(WorkerStep { mark: WorkerStep::mark_of("sqt-group"), work: load(1.0, 1), cgroups });
    let error = LinuxMachine::with_worker_program(program()).capture(&step, "sqt").unwrap_err();
    assert!(matches!(&error, MachineError::NotFound { message } if message.contains("sqt-none")), "{error}");
}

#[test]
fn a_worker_that_cannot_begin_says_why_and_leaves_nothing() {
    let Some(group) = TestGroup::new(cgroup::Controller::Memory) else {
        println!("skipped: no control group for memory can be made here");
        return;
    };
    let folder = group.0.to_str().unwrap().to_owned();
    let mut scene = Scene::within(load(1.0, 1), vec![folder.clone()]);
    drop(group);
    match scene.apply() {
        Err(error) => assert!(error.to_string().contains(&folder), "{error}"),
        // On a busy machine it says so later, and shows no effect.
        Ok(()) => wait_until("it says why", || scene.observe().summary.contains(&folder)),
    }
    assert!(!matches!(scene.revert(), Reverted::Drifted(_)));
    assert!(scene.pids().is_empty());
}

#[test]
fn a_worker_that_takes_long_to_be_ready_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (script, go) = (folder.path().join("slow"), folder.path().join("slow.go"));
    let evidence = serde_json::to_string(&Report::Evidence(Evidence::seen("it works"))).unwrap();
    let ready = serde_json::to_string(&Report::Ready).unwrap();
    let text = format!(
        "#!/bin/sh\nwhile [ ! -e \"$0.go\" ]; do sleep 0.02; done\necho '{ready}'\nwhile read -r _; do echo '{evidence}'; done\n"
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut scene = Scene::run_by(script, load(1.0, 1), Vec::new());
    scene.apply().unwrap();
    let evidence = scene.observe();
    assert_eq!(
        (evidence.effect, evidence.summary.as_str()),
        (Effect::NotSeen, "the worker is not ready yet")
    );
    std::fs::write(go, "").unwrap();
    wait_until("it is ready", || scene.observe().summary == "it works");
    assert!(matches!(scene.revert(), Reverted::Undone { .. }));
}

#[test]
fn an_idle_worker_is_small() {
    let mut scene = Scene::new(load(0.0, 1));
    scene.apply().unwrap();
    let resident = memory::resident(scene.pids()[0]).unwrap();
    // A debug build; a release is smaller still.
    assert!(resident < 8 << 20, "{resident} bytes");
    let unrelated = ProcessRef { start_time: 0, ..process::own().unwrap() };
    assert!(!process::is_alive(&unrelated));
}
