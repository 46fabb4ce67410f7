//! The driver with a clock that jumps from one moment to the next: agents that hang, die and give up, probes that
//! never answer, disks that are full.

use super::*;
use crate::journal;
use crate::link::{AgentLink, LinkError};
use crate::load::{LoadMetrics, LoadSource, Slice};
use crate::testing::{check, experiment, injection, load, metric, metric_check, restored, strike};
use squall_model::condition::Condition;
use squall_model::experiment::{Action, Load, Metric, ProbeCall};
use squall_model::plan::Plan;
use squall_model::probe::{Observe, Pending, ProbeError};
use squall_model::protocol::{Answer, Call, CallError, CallErrorKind, Injected, VERSION};
use squall_model::undo::Evidence;
use squall_model::units;
use squall_model::value::{Reading, Value};
use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What the world does, and what was done to it.
#[derive(Default)]
struct World {
    /// Calls of this name hang, are answered by the end of the stream, or by `Halted`.
    hangs: Mutex<Option<&'static str>>,
    dies: Mutex<Option<&'static str>>,
    halts: Mutex<Option<&'static str>>,
    probe_hangs: AtomicBool,
    probe_panics: AtomicBool,
    metric_hangs: AtomicBool,
    /// The metric, and since when it is high.
    queue_rises: AtomicBool,
    disk_full: AtomicBool,
    /// Who is asked about the plan says this; or breaks down.
    says: Mutex<Option<Result<Approval, ()>>>,
    live: AtomicBool,
    started: AtomicUsize,
    loads: AtomicUsize,
    calls: Mutex<Vec<(Instant, &'static str)>>,
    written: Mutex<Vec<u8>>,
}

fn name(call: &Call) -> &'static str {
    match call {
        Call::Hello { .. } => "hello",
        Call::Plan(_) => "plan",
        Call::Inject { .. } => "inject",
        Call::Observe => "observe",
        Call::Undo { .. } => "undo",
        Call::Renew => "renew",
        Call::Leftovers => "leftovers",
        Call::Bye => "bye",
        Call::Host | Call::Recover => "other",
    }
}

struct Agent(Arc<World>);

impl Drop for Agent {
    /// The stream ends: the agent, or else its warden, puts everything back.
    fn drop(&mut self) {
        self.0.live.store(false, Ordering::SeqCst);
    }
}

impl AgentLink for Agent {
    fn call(&self, call: Call) -> Pending<'static, Result<Answer, LinkError>> {
        let (world, name) = (Arc::clone(&self.0), name(&call));
        world.calls.lock().unwrap().push((Instant::now(), name));
        let is = |what: &Mutex<Option<&str>>| *what.lock().unwrap() == Some(name);
        // Of a second agent no harm comes.
        let first = world.started.load(Ordering::SeqCst) == 1;
        if first && is(&world.hangs) {
            return Box::pin(std::future::pending());
        }
        if first && is(&world.dies) {
            world.live.store(false, Ordering::SeqCst);
            return Box::pin(async { Err(LinkError::Lost("the stream ended".into())) });
        }
        if first && is(&world.halts) {
            world.live.store(false, Ordering::SeqCst);
            let message = "the lease expired".to_owned();
            let error = CallError { kind: CallErrorKind::Halted, message, entry: None };
            return Box::pin(async { Err(LinkError::Refused(error)) });
        }
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(world.answer(&call))
        })
    }
}

impl World {
    fn answer(&self, call: &Call) -> Answer {
        let evidence = BTreeMap::from([("i0".to_owned(), vec![Evidence::seen("9 packets")])]);
        match call {
            Call::Hello { .. } => {
                Answer::Hello { version: VERSION, pid: 1, warden: 2, recovered: Vec::new() }
            }
            Call::Plan(_) => Answer::Plan(Plan { injections: vec![injection("i0", 0)], ..Plan::default() }),
            Call::Inject { .. } => {
                self.live.store(true, Ordering::SeqCst);
                Answer::Injected(Injected { evidence, gone: BTreeMap::new() })
            }
            Call::Observe => Answer::Observed { evidence },
            Call::Renew => {
                let live = self.live.load(Ordering::SeqCst);
                Answer::Renewed { live: live.then(|| "i0".to_owned()).into_iter().collect() }
            }
            Call::Leftovers => Answer::Leftovers { found: Vec::new() },
            _ => {
                let was_live = self.live.swap(false, Ordering::SeqCst);
                Answer::Restored { restored: was_live.then(|| restored("i0")).into_iter().collect() }
            }
        }
    }

    fn at(&self, call: &str) -> Vec<Instant> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(_, name)| *name == call).map(|(at, _)| *at).collect()
    }
}

struct Place(Arc<World>);

impl Links for Place {
    fn connect(&self) -> Pending<'static, Result<Arc<dyn AgentLink>, String>> {
        let world = Arc::clone(&self.0);
        Box::pin(async move {
            world.started.fetch_add(1, Ordering::SeqCst);
            Ok(Arc::new(Agent(world)) as Arc<dyn AgentLink>)
        })
    }
}

struct Health(Arc<World>);

impl Observe for Health {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        let active = self.0.live.load(Ordering::SeqCst);
        assert!(!(active && self.0.probe_panics.load(Ordering::SeqCst)), "a probe that breaks down");
        if active && self.0.probe_hangs.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        Box::pin(async { Ok(BTreeMap::from([("status".to_owned(), Value::Number(200.0))])) })
    }
}

struct Queue(Arc<World>);

impl Observe for Queue {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        let active = self.0.live.load(Ordering::SeqCst);
        if active && self.0.metric_hangs.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        let high = active && self.0.queue_rises.load(Ordering::SeqCst);
        let value = Value::Number(if high { 99.0 } else { 1.0 });
        Box::pin(async { Ok(BTreeMap::from([("value".to_owned(), value)])) })
    }
    fn patience(&self) -> units::Duration {
        units::Duration::seconds(60)
    }
}

struct Traffic(Arc<World>);
struct Running(Arc<World>, f64);

impl LoadSource for Traffic {
    fn start(&self) -> Result<Box<dyn RunningLoad>, String> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Running(Arc::clone(&self.0), 0.0)))
    }
}

impl RunningLoad for Running {
    fn window(&mut self) -> LoadMetrics {
        BTreeMap::from([("error_rate".to_owned(), 0.0)])
    }
    fn trouble(&mut self) -> Option<String> {
        self.0.live.load(Ordering::SeqCst).then(|| "connection refused".to_owned())
    }
    fn slices(&mut self, _: std::time::Instant) -> Vec<Slice> {
        self.1 += 1.0;
        let start = self.1 - 1.0;
        vec![Slice {
            start,
            end: self.1,
            ended: 9,
            success: 9,
            latencies: vec![(1000, 9)],
            ..Slice::default()
        }]
    }
    fn stop(&mut self) {
        self.0.loads.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Shelf(Arc<World>);

impl Instruments for Shelf {
    fn probe(&self, _: &ProbeCall) -> Result<Box<dyn Observe>, String> {
        Ok(Box::new(Health(Arc::clone(&self.0))))
    }
    fn metric(&self, metric: &Metric) -> Result<Box<dyn Observe>, String> {
        if metric.name == "nonsense" {
            Err("no such source".into())
        } else {
            Ok(Box::new(Queue(Arc::clone(&self.0))))
        }
    }
    fn load(&self, _: &Load) -> Result<Box<dyn LoadSource>, String> {
        Ok(Box::new(Traffic(Arc::clone(&self.0))))
    }
}

struct Boss(Result<Approval, ()>);

impl Approver for Boss {
    fn decide(&self, plan: Plan) -> Pending<'static, Approval> {
        assert_eq!(plan.injections.len(), 1);
        let says = self.0.clone();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(40)).await;
            says.expect("an approver that breaks down")
        })
    }
}

struct Disk(Arc<World>);

impl Sink for Disk {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.0.live.load(Ordering::SeqCst) && self.0.disk_full.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.0.written.lock().unwrap().extend_from_slice(line);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A probe, a metric, a load, a guard, a fault of ten seconds.
fn ordinary() -> Experiment {
    let mut experiment = experiment();
    experiment.steady_state = vec![check("health", "status == 200"), metric_check("queue < 50")];
    experiment.hypothesis_holds = vec![check("health", "status == 200"), metric_check("error_rate < 1%")];
    experiment.guard = vec![Condition::parse("queue > 20").unwrap()];
    experiment.metrics = vec![metric("queue")];
    experiment.loads = vec![load("shop")];
    experiment.method = vec![Action::Strike(vec![strike(10)])];
    experiment.baseline = units::Duration::seconds(3);
    experiment
}

fn identity() -> Identity {
    Identity {
        run: "run-1".into(),
        file: "test.yaml".into(),
        options: Vec::new(),
        seed: 7,
        squall: "0.0.0".into(),
        host: "here".into(),
        environment: String::new(),
        origin: String::new(),
        by: String::new(),
        fingerprint: String::new(),
        lease: units::Duration::seconds(5),
    }
}

/// Carries the experiment out; the switch is for whoever wants to end it.
async fn carry_out(
    experiment: Experiment,
    world: &Arc<World>,
    meanwhile: impl FnOnce(AbortSwitch),
) -> (Outcome, Vec<Entry>) {
    let (switch, aborts) = abort_switch();
    let shown = Arc::new(Mutex::new(Vec::new()));
    let screen = Arc::clone(&shown);
    let environment = Environment {
        identity: identity(),
        instruments: Box::new(Shelf(Arc::clone(world))),
        links: Arc::new(Place(Arc::clone(world))),
        journal: Box::new(Disk(Arc::clone(world))),
        watch: Box::new(move |entry| screen.lock().unwrap().push(entry.clone())),
        approver: world.says.lock().unwrap().clone().map(|says| Box::new(Boss(says)) as Box<dyn Approver>),
        aborts,
    };
    meanwhile(switch);
    let outcome =
        tokio::time::timeout(Duration::from_mins(5), drive(Arc::new(experiment), environment)).await;
    let outcome = outcome.expect("the run never ends");
    // What was let go of is dropped by tasks that end a moment later.
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!world.live.load(Ordering::SeqCst), "a fault is left");
    assert_eq!(world.loads.load(Ordering::SeqCst), 0, "the load goes on");
    let shown = std::mem::take(&mut *shown.lock().unwrap());
    assert!(matches!(shown.last().unwrap().event, Event::Verdict { .. }));
    if outcome.journal.is_ok() {
        let written = journal::read(&world.written.lock().unwrap());
        assert_eq!((written.entries.len(), written.damaged_lines), (shown.len(), 0));
    }
    (outcome, shown)
}

fn world() -> Arc<World> {
    Arc::new(World::default())
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_carried_out_once_it_is_agreed_to() {
    let by = || "alice".to_owned();
    for (says, verdict) in [
        (Ok(Approval::Agreed { by: by() }), Verdict::Passed),
        (Ok(Approval::Refused { by: by(), why: "no".to_owned() }), Verdict::Invalid),
        (Err(()), Verdict::Invalid),
    ] {
        let world = world();
        *world.says.lock().unwrap() = Some(says);
        let mut experiment = ordinary();
        experiment.loads = Vec::new();
        experiment.hypothesis_holds.truncate(1);
        let (outcome, _) = carry_out(experiment, &world, |_| ()).await;
        assert_eq!(outcome.verdict, verdict, "{:?}", outcome.reasons);
        let thought = world.at("plan")[0] + Duration::from_secs(39);
        assert!(world.at("inject").iter().all(|at| *at > thought));
        assert_eq!(world.at("inject").is_empty(), verdict == Verdict::Invalid);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_from_plan_to_verdict() {
    let world = world();
    let (outcome, journal) = carry_out(ordinary(), &world, |_| ()).await;
    assert_eq!(outcome.verdict, Verdict::Passed, "{:?}", outcome.reasons);
    assert_eq!(outcome.journal, Ok(()));
    let renewals = world.at("renew");
    assert!(
        renewals.windows(2).all(|pair| pair[1] - pair[0] <= Duration::from_millis(1005)),
        "a heartbeat is late"
    );
    assert!(journal.windows(2).all(|pair| pair[0].elapsed <= pair[1].elapsed));
    let metrics = journal.iter().filter(|entry| matches!(entry.event, Event::Metrics { .. })).count();
    assert!(metrics >= 14, "{metrics}");
    let trouble = Event::Note { message: "requests of the load `shop` failed: connection refused".into() };
    assert_eq!(journal.iter().filter(|entry| entry.event == trouble).count(), 1, "told once");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs_dies_or_gives_up_at_any_call() {
    // What is expected where it hangs, dies, and answers `Halted`.
    let expected = [
        ("plan", [Verdict::Invalid, Verdict::Invalid, Verdict::Invalid]),
        ("inject", [Verdict::Aborted, Verdict::Aborted, Verdict::Aborted]),
        ("observe", [Verdict::Aborted, Verdict::Aborted, Verdict::Aborted]),
        ("renew", [Verdict::Passed, Verdict::Invalid, Verdict::Aborted]),
        ("undo", [Verdict::Passed, Verdict::Passed, Verdict::Residue]),
        ("leftovers", [Verdict::Passed, Verdict::Passed, Verdict::Passed]),
        ("bye", [Verdict::Passed, Verdict::Passed, Verdict::Passed]),
    ];
    for (call, verdicts) in expected {
        for (how, verdict) in ["hangs", "dies", "halts"].into_iter().zip(verdicts) {
            let world = world();
            let lock = match how {
                "hangs" => &world.hangs,
                "dies" => &world.dies,
                _ => &world.halts,
            };
            *lock.lock().unwrap() = Some(call);
            let (outcome, _) = carry_out(ordinary(), &world, |_| ()).await;
            assert_eq!(outcome.verdict, verdict, "{call} {how}: {:?}", outcome.reasons);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_guard_ends_the_run_within_the_tick_whatever_hangs() {
    let world = world();
    world.probe_hangs.store(true, Ordering::SeqCst);
    world.queue_rises.store(true, Ordering::SeqCst);
    let (outcome, journal) = carry_out(ordinary(), &world, |_| ()).await;
    assert_eq!(outcome.verdict, Verdict::Aborted);
    let injected = world.at("inject")[0];
    let undone = world.at("undo")[0];
    // The metric is asked every second and looked at every second.
    assert!(undone - injected < Duration::from_millis(2100), "{:?}", undone - injected);
    let at = |wanted: fn(&Event) -> bool| journal.iter().find(|entry| wanted(&entry.event)).unwrap().elapsed;
    let crossed = at(|event| matches!(event, Event::Aborted { .. }));
    let put_back = at(|event| matches!(event, Event::Restored { .. }));
    assert!(put_back - crossed < 0.05, "{}", put_back - crossed);
}

#[tokio::test(start_paused = true)]
async fn a_metric_that_no_longer_comes_is_unreadable() {
    let world = world();
    world.metric_hangs.store(true, Ordering::SeqCst);
    let (outcome, _) = carry_out(ordinary(), &world, |_| ()).await;
    assert_eq!(outcome.verdict, Verdict::Aborted);
    assert!(outcome.reasons[0].contains("its last answer is 2.2 s old"), "{:?}", outcome.reasons);
    // However long the source itself would wait: a minute.
    let (injected, undone) = (world.at("inject")[0], world.at("undo")[0]);
    assert!(undone - injected < Duration::from_millis(3100), "{:?}", undone - injected);
}

#[tokio::test(start_paused = true)]
async fn a_metric_may_say_how_old_its_value_may_be() {
    let world = world();
    world.metric_hangs.store(true, Ordering::SeqCst);
    let mut experiment = ordinary();
    experiment.metrics[0].fresh_for = units::Duration::seconds(30);
    let (outcome, _) = carry_out(experiment.clone(), &world, |_| ()).await;
    // The guard is content with it, but it says nothing of the time since the undo.
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert!(outcome.reasons[0].contains("the steady state was not back"), "{:?}", outcome.reasons);
    experiment.steady_state.pop();
    let world = self::world();
    world.metric_hangs.store(true, Ordering::SeqCst);
    let (outcome, _) = carry_out(experiment, &world, |_| ()).await;
    assert_eq!(outcome.verdict, Verdict::Passed, "{:?}", outcome.reasons);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_or_breaks_down_does_not_hold() {
    for panics in [false, true] {
        let world = world();
        world.probe_hangs.store(!panics, Ordering::SeqCst);
        world.probe_panics.store(panics, Ordering::SeqCst);
        let (outcome, _) = carry_out(ordinary(), &world, |_| ()).await;
        assert_eq!(outcome.verdict, Verdict::Failed);
        let why = if panics { "broke down" } else { "no answer within 5s" };
        assert!(outcome.reasons[0].contains(why), "{:?}", outcome.reasons);
    }
}

#[tokio::test(start_paused = true)]
async fn a_switch_ends_the_run_and_a_full_disk_does() {
    let (world, started) = (world(), Instant::now());
    let (outcome, _) = carry_out(ordinary(), &world, |switch| {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(8300)).await;
            switch.abort(AbortCause::Signal, "Ctrl-C");
        });
    })
    .await;
    assert_eq!((outcome.verdict, outcome.reasons[0].as_str()), (Verdict::Aborted, "Ctrl-C"));
    assert_eq!((world.at("undo")[0] - started).as_millis(), 8300);

    let world = self::world();
    world.disk_full.store(true, Ordering::SeqCst);
    let (outcome, _) = carry_out(ordinary(), &world, |_| ()).await;
    assert_eq!(outcome.verdict, Verdict::Aborted);
    assert!(outcome.reasons[0].contains("the journal could not be written"), "{:?}", outcome.reasons);
    assert!(outcome.journal.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_is_invalid_and_no_agent_is_started() {
    let world = world();
    let mut experiment = ordinary();
    experiment.metrics.push(metric("nonsense"));
    let (outcome, _) = carry_out(experiment, &world, |_| ()).await;
    assert_eq!(
        (outcome.verdict, outcome.reasons),
        (Verdict::Invalid, vec!["metric nonsense: no such source".to_owned()])
    );
    assert_eq!(world.started.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_run_lets_go_of_the_agent() {
    let world = world();
    let driving = carry_out(ordinary(), &world, |_| ());
    assert!(tokio::time::timeout(Duration::from_millis(9500), driving).await.is_err());
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(world.at("inject").len(), 1);
    assert!(!world.live.load(Ordering::SeqCst), "the agent was not let go");
}

#[tokio::test(start_paused = true)]
async fn secrets_are_neither_written_nor_shown() {
    let world = world();
    let mut experiment = ordinary();
    experiment.hypothesis = "the key is hunter2".into();
    experiment.secrets = vec!["hunter2".into()];
    let (_, journal) = carry_out(experiment, &world, |_| ()).await;
    let written = String::from_utf8(world.written.lock().unwrap().clone()).unwrap();
    assert!(written.contains("the key is [hidden]") && !written.contains("hunter2"));
    assert!(!format!("{journal:?}").contains("hunter2"));
}

/// In real time, with a thread of the runtime blocked: the loop and the guard are not held up by it.
#[test]
fn a_probe_that_blocks_its_thread_does_not_hold_up_the_guard() {
    struct Blocking(Arc<World>);
    impl Observe for Blocking {
        fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
            Box::pin(async {
                if self.0.live.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_secs(4));
                }
                Ok(BTreeMap::from([("status".to_owned(), Value::Number(200.0))]))
            })
        }
    }
    struct Blocked(Shelf);
    impl Instruments for Blocked {
        fn probe(&self, _: &ProbeCall) -> Result<Box<dyn Observe>, String> {
            Ok(Box::new(Blocking(Arc::clone(&self.0.0))))
        }
        fn metric(&self, metric: &Metric) -> Result<Box<dyn Observe>, String> {
            self.0.metric(metric)
        }
        fn load(&self, load: &Load) -> Result<Box<dyn LoadSource>, String> {
            self.0.load(load)
        }
    }

    let world = world();
    world.queue_rises.store(true, Ordering::SeqCst);
    let mut experiment = ordinary();
    (experiment.baseline, experiment.loads, experiment.steady_state) = Default::default();
    experiment.hypothesis_holds.truncate(1);
    let (_switch, aborts) = abort_switch();
    let shown = Arc::new(Mutex::new(Vec::new()));
    let screen = Arc::clone(&shown);
    let environment = Environment {
        identity: identity(),
        instruments: Box::new(Blocked(Shelf(Arc::clone(&world)))),
        links: Arc::new(Place(Arc::clone(&world))),
        journal: Box::new(Disk(Arc::clone(&world))),
        watch: Box::new(move |entry: &Entry| screen.lock().unwrap().push(entry.event.clone())),
        approver: None,
        aborts,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outcome = runtime.block_on(drive(Arc::new(experiment), environment));
    assert_eq!(outcome.verdict, Verdict::Aborted, "{:?}", outcome.reasons);
    let shown = shown.lock().unwrap();
    let position = |wanted: fn(&Event) -> bool| shown.iter().position(wanted);
    let restored = position(|event| matches!(event, Event::Restored { .. })).unwrap();
    let replied = position(|event| matches!(event, Event::Probe { .. }));
    assert!(replied.is_none_or(|replied| restored < replied), "the guard waited for the probe");
}
