//! Everything at once, by a seed: several agents, wardens, other people, full disks, failing kernels, deaths and
//! power cuts, also in the middle of each other's acts.

use super::actor::{Agent, recover, recover_what_was_heard};
use super::faults::samples;
use super::laws::all_is_back;
use super::systematic::request;
use super::world::{Doom, Meddling, Mutant, Qdisc, Shared, Stopped};
use squall_model::plan::PlanRequest;
use squall_model::protocol::{Answer, Call, CallErrorKind, Injected, Restored};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many agents live at the same time at most.
const AGENTS: usize = 3;

/// A run of the simulation. Clones share it, so that an interrupt can act in the middle of another act.
#[derive(Clone)]
struct Simulation {
    world: Shared,
    state: Arc<Mutex<State>>,
}

struct State {
    dice: fastrand::Rng,
    /// Agents that are not in the middle of something.
    agents: Vec<Agent>,
    started: u32,
    halt_file: bool,
    /// How deep acts are nested in each other.
    depth: u32,
    /// Of a thousand acts, how many are interrupted by another.
    interrupted: u32,
    /// Injections whose logs were damaged on purpose, with what they may have changed.
    spoilt: BTreeMap<String, BTreeSet<String>>,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happening {
    StartAgent,
    Plan,
    Inject,
    Observe,
    Undo,
    Renew,
    PassTime,
    EndStream,
    Kill,
    Doom,
    Warden,
    LateWarden,
    Meddle,
    HaltFile,
    FillDisk,
    FailKernel,
    Spoil,
    PowerCut,
}

/// How often each happens, relative to the others.
const HAPPENINGS: [(Happening, u32); 18] = [
    (Happening::StartAgent, 12),
    (Happening::Plan, 16),
    (Happening::Inject, 26),
    (Happening::Observe, 4),
    (Happening::Undo, 10),
    (Happening::Renew, 14),
    (Happening::PassTime, 14),
    (Happening::EndStream, 3),
    (Happening::Kill, 4),
    (Happening::Doom, 14),
    (Happening::Warden, 6),
    (Happening::LateWarden, 4),
    (Happening::Meddle, 8),
    (Happening::HaltFile, 1),
    (Happening::FillDisk, 2),
    (Happening::FailKernel, 2),
    (Happening::Spoil, 4),
    (Happening::PowerCut, 1),
];

impl Simulation {
    fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let world = Shared::new(seed);
        world.lock().weather.mutant = mutant;
        world.lock().weather.together = seed.is_multiple_of(2);
        let mut dice = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let interrupted = if dice.u32(0..3) == 0 { dice.u32(1..60) } else { 0 };
        let state = State {
            dice,
            agents: Vec::new(),
            started: 0,
            halt_file: false,
            depth: 0,
            interrupted,
            spoilt: BTreeMap::new(),
        };
        let simulation = Self { world, state: Arc::new(Mutex::new(state)) };
        if interrupted > 0 {
            let inner = simulation.clone();
            simulation.world.lock().interrupt = Some(Arc::new(move || inner.interrupt()));
        }
        simulation
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Between two acts of one process, another acts.
    fn interrupt(&self) {
        let strikes = {
            let mut state = self.state();
            let limit = state.interrupted;
            state.depth < 3 && state.dice.u32(0..1000) < limit
        };
        if strikes {
            self.world.lock().note("meanwhile:");
            self.happen();
            self.world.lock().note("so much for that");
        }
    }

    fn happen(&self) {
        let happening = {
            let mut state = self.state();
            state.depth += 1;
            let total = HAPPENINGS.iter().map(|(_, weight)| weight).sum();
            let mut roll = state.dice.u32(0..total);
            HAPPENINGS
                .iter()
                .find(|(_, weight)| {
                    roll < *weight || {
                        roll -= weight;
                        false
                    }
                })
                .map(|(happening, _)| *happening)
        };
        if let Some(happening) = happening {
            self.act(happening);
        }
        self.state().depth -= 1;
    }

    fn act(&self, happening: Happening) {
        match happening {
            Happening::StartAgent => self.start_agent(),
            Happening::Plan => self.with_agent(Self::plan),
            Happening::Inject => self.with_agent(Self::inject),
            Happening::Observe => self.with_agent(Self::look),
            Happening::Undo => self.with_agent(Self::undo),
            Happening::Renew => self.with_agent(Self::renew),
            Happening::PassTime => self.pass_time(),
            Happening::EndStream => {
                if let Some(agent) = self.take_agent() {
                    self.world.lock().note(format!("agent {}: its stream ends", agent.pid));
                    self.check_residue(&agent.end());
                }
            }
            Happening::Kill => {
                if let Some(agent) = self.take_agent() {
                    let mut world = self.world.lock();
                    world.note(format!("agent {} is killed", agent.pid));
                    world.kill(agent.pid);
                }
            }
            Happening::Doom => self.doom(),
            Happening::Warden => {
                self.world.lock().note("a warden recovers");
                self.check_residue(&recover(&self.world, "warden"));
            }
            Happening::LateWarden => self.late_warden(),
            Happening::Meddle => self.meddle(),
            Happening::HaltFile => {
                let mut state = self.state();
                state.halt_file = !state.halt_file;
                self.world.lock().note(format!("halt file: {}", state.halt_file));
            }
            Happening::FillDisk => {
                let mut world = self.world.lock();
                world.weather.full = !world.weather.full;
                let text = format!("disk full: {}", world.weather.full);
                world.note(text);
            }
            Happening::FailKernel => {
                let failing = [150, 500][self.state().dice.usize(0..2)];
                let mut world = self.world.lock();
                world.weather.failing = if world.weather.failing == 0 { failing } else { 0 };
                let text = format!("kernel fails: {} of 1000", world.weather.failing);
                world.note(text);
            }
            Happening::Spoil => self.spoil(),
            Happening::PowerCut => {
                self.world.lock().power_cut();
                self.state().agents.clear();
            }
        }
    }

    fn start_agent(&self) {
        if self.state().agents.len() >= AGENTS {
            return;
        }
        let run = {
            let mut state = self.state();
            state.started += 1;
            format!("run-{}", state.started)
        };
        self.world.lock().note(format!("an agent starts for {run}"));
        let mut agent = Agent::start(&self.world, &run);
        let recovered = std::mem::take(&mut agent.recovered);
        self.check_residue(&recovered);
        self.give_back(agent);
    }

    fn take_agent(&self) -> Option<Agent> {
        let mut state = self.state();
        let count = state.agents.len();
        (count > 0).then(|| {
            let chosen = state.dice.usize(0..count);
            state.agents.swap_remove(chosen)
        })
    }

    fn give_back(&self, agent: Agent) {
        if agent.is_alive() {
            self.state().agents.push(agent);
        }
    }

    fn with_agent(&self, act: impl FnOnce(&Self, &mut Agent)) {
        if let Some(mut agent) = self.take_agent() {
            act(self, &mut agent);
            self.give_back(agent);
        }
    }

    fn plan(&self, agent: &mut Agent) {
        let request = self.random_request();
        self.tick(agent);
        let before = self.world.lock().changes;
        match agent.call(Call::Plan(request)) {
            Ok(Answer::Plan(plan)) => {
                let ids: Vec<&str> = plan.injections.iter().map(|planned| planned.id.as_str()).collect();
                self.world.lock().note(format!("agent {} planned {}", agent.pid, ids.join(", ")));
                agent.planned = plan.injections;
            }
            Ok(other) => self.world.lock().violation(format!("a plan was answered with {other:?}")),
            Err(error) => self.world.lock().note(format!("agent {} cannot plan: {error}", agent.pid)),
        }
        self.nothing_changed_since(before, "a plan");
    }

    fn random_request(&self) -> PlanRequest {
        let mut state = self.state();
        let samples = samples();
        let count = state.dice.usize(1..=3);
        let chosen = (0..count).map(|_| samples[state.dice.usize(0..samples.len())].clone()).collect();
        let mut request = request(chosen, state.dice.u64(..));
        for entry in &mut request.entries {
            entry.lasts = squall_model::units::Duration::seconds(state.dice.u64(0..3));
        }
        if state.dice.bool() {
            request.together = vec![(0..count).collect()];
        }
        request
    }

    fn inject(&self, agent: &mut Agent) {
        if agent.planned.is_empty() {
            return;
        }
        let injections: Vec<String> = {
            let mut state = self.state();
            let count = state.dice.usize(1..=agent.planned.len());
            agent.planned.drain(..count).map(|planned| planned.id).collect()
        };
        self.world.lock().note(format!("agent {} is to inject {}", agent.pid, injections.join(", ")));
        let live_before = agent.core.hands().live();
        match agent.call(Call::Inject { injections: injections.clone() }) {
            Ok(Answer::Injected(Injected { evidence, gone })) => {
                let told: BTreeSet<&String> = evidence.keys().chain(gone.keys()).collect();
                let live = agent.core.hands().live();
                if told != injections.iter().collect() || live.iter().any(|one| gone.contains_key(one)) {
                    let words = format!("{injections:?} were asked for, {evidence:?} told, {gone:?} gone");
                    self.world.lock().violation(words);
                }
            }
            Ok(other) => self.world.lock().violation(format!("an injection was answered with {other:?}")),
            Err(error) => {
                self.world.lock().note(format!("agent {} could not: {error}", agent.pid));
                if error.kind == CallErrorKind::Halted && !live_before.is_empty() && !agent.core.owes() {
                    let live = agent.core.hands().live();
                    if !live.is_empty() {
                        self.world.lock().violation(format!("{live:?} live on in a halted agent"));
                    }
                }
            }
        }
    }

    fn look(&self, agent: &mut Agent) {
        self.tick(agent);
        let before = self.world.lock().changes;
        let live = agent.core.hands().live();
        if let Ok(Answer::Observed { evidence }) = agent.call(Call::Observe)
            && agent.is_alive()
            && evidence.len() != live.len()
        {
            self.world
                .lock()
                .violation(format!("{live:?} are live, and {evidence:?} is what is seen of them"));
        }
        self.nothing_changed_since(before, "a look");
    }

    /// Ends what has lived too long, so that the next call finds nothing to end.
    fn tick(&self, agent: &mut Agent) {
        let now = self.world.lock().now;
        let restored = agent.core.tick(now, false);
        self.check_residue(&restored);
    }

    fn nothing_changed_since(&self, before: u64, deed: &str) {
        let may_be_interrupted = self.state().interrupted > 0;
        let mut world = self.world.lock();
        if world.changes != before && !may_be_interrupted {
            world.violation(format!("{deed} changed the host"));
        }
    }

    fn undo(&self, agent: &mut Agent) {
        let injections = {
            let live = agent.core.hands().live();
            let mut state = self.state();
            if live.is_empty() || state.dice.bool() {
                Vec::new()
            } else {
                vec![live[state.dice.usize(0..live.len())].clone()]
            }
        };
        self.world.lock().note(format!("agent {} is to undo {injections:?}", agent.pid));
        if let Ok(Answer::Restored { restored }) = agent.call(Call::Undo { injections: injections.clone() }) {
            self.check_residue(&restored);
            let live = agent.core.hands().live();
            let lives_on = live.iter().any(|id| injections.is_empty() || injections.contains(id));
            if agent.is_alive() && lives_on {
                self.world.lock().violation(format!("{live:?} live on after an undo of {injections:?}"));
            }
        }
    }

    fn renew(&self, agent: &mut Agent) {
        match agent.call(Call::Renew) {
            Ok(Answer::Renewed { live }) if live == agent.core.hands().live() => {}
            Ok(other) => self.world.lock().violation(format!("a renewal was answered with {other:?}")),
            Err(error) => self.world.lock().note(format!("agent {} does not renew: {error}", agent.pid)),
        }
    }

    fn pass_time(&self) {
        let passed = Duration::from_millis(self.state().dice.u64(100..6_500));
        let now = {
            let mut world = self.world.lock();
            world.now += passed;
            world.note("time passes");
            world.now
        };
        let (agents, halt_file) = {
            let mut state = self.state();
            (std::mem::take(&mut state.agents), state.halt_file)
        };
        for mut agent in agents {
            let restored = agent.core.tick(now, halt_file);
            self.check_residue(&restored);
            let is_late = agent.core.next_deadline().is_some_and(|deadline| deadline < now);
            let live = agent.core.hands().live();
            if agent.is_alive() && (is_late || halt_file && !live.is_empty()) {
                let text = format!("agent {} still holds {live:?} after its deadline", agent.pid);
                self.world.lock().violation(text);
            }
            self.give_back(agent);
        }
    }

    fn doom(&self) {
        let mut state = self.state();
        let Some(pid) = state.agents.first().map(|agent| agent.pid) else { return };
        let doom = Doom { pid, after: state.dice.u64(0..40), power_cut: state.dice.u32(0..8) == 0 };
        let mut world = self.world.lock();
        world.note(format!("{doom:?}"));
        world.doom = Some(doom);
    }

    fn meddle(&self) {
        let change = {
            let mut state = self.state();
            let dice = &mut state.dice;
            let inode = [4_026, 4_027, 4_028][dice.usize(0..3)];
            let pid = dice.u32(100..104);
            match dice.u32(0..12) {
                0..3 => Meddling::Write {
                    path: ["/proc/sys/vm/swappiness", "/proc/sys/net/backlog"][dice.usize(0..2)].to_owned(),
                    // Whoever writes the very value that Squall wrote cannot be told from it.
                    value: dice.u32(20..30).to_string(),
                },
                3..5 => Meddling::Replace {
                    inode,
                    link: dice.u32(1..3),
                    by: Some(Qdisc {
                        kind: "sfq".into(),
                        handle: dice.u32(0x9000..0x9010),
                        options: vec![3],
                    }),
                },
                5 => Meddling::Replace { inode, link: dice.u32(1..3), by: None },
                6 => Meddling::RemoveNamespace { inode },
                7 | 8 => {
                    let stopped = Stopped(dice.bool());
                    Meddling::End { pid, reused: dice.bool().then_some(stopped) }
                }
                9 => Meddling::Continue { pid },
                _ => Meddling::Table { inode },
            }
        };
        self.world.lock().meddle(&change);
    }

    /// A warden that only now sees its agent dead, while somebody else has put everything back and removed the log.
    fn late_warden(&self) {
        let heard: BTreeMap<String, Vec<u8>> = self.world.lock().settled_logs_of_the_dead();
        let mut state = self.state();
        let Some(index) = (!heard.is_empty()).then(|| state.dice.usize(0..heard.len())) else { return };
        drop(state);
        let heard: BTreeMap<_, _> = heard.into_iter().skip(index).take(1).collect();
        {
            let mut world = self.world.lock();
            world.unheard_notes += 1;
            world.note(format!("a late warden recovers {:?}", heard.keys()));
        }
        self.check_residue(&recover_what_was_heard(&self.world, "late warden", heard));
    }

    /// Damages a byte of a log whose owner is dead, as a failing disk would.
    fn spoil(&self) {
        let mut world = self.world.lock();
        let orphans = world.logs.iter().filter(|(_, log)| log.holder.is_none() && log.bytes.len() > 20);
        let Some(name) = orphans.map(|(name, _)| name.clone()).next() else { return };
        let keys = world.keys_of_log(&name);
        let mut state = self.state();
        let Some(log) = world.logs.get_mut(&name) else { return };
        // A damaged last line cannot be told from a torn one; only lines before it are promised to be missed.
        let last_line = log.bytes[..log.bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        if last_line == 0 || log.bytes.last() != Some(&b'\n') {
            return;
        }
        let position = state.dice.usize(0..last_line);
        log.bytes[position] ^= 1 << state.dice.u32(0..7);
        state.spoilt.entry(name.clone()).or_default().extend(keys);
        world.note(format!("byte {position} of log {name} is damaged"));
    }

    /// What is told as residue must be true: somebody else changed it, the log is damaged, or the kernel failed.
    fn check_residue(&self, restored: &[Restored]) {
        let spoilt = self.state().spoilt.clone();
        let mut world = self.world.lock();
        for restored in restored.iter().filter(|restored| !restored.residue().is_empty()) {
            world.note(format!("residue: {}", restored.residue().join("; ")));
            let touched = world.keys_of_log(&restored.injection);
            let is_true = world.explains_residue(&touched)
                || spoilt.contains_key(&restored.injection)
                || !restored.errors.is_empty();
            if !is_true {
                world.violation(format!("residue is told and is not there: {restored:?}"));
            }
        }
    }

    fn finish(&self) {
        let agents = std::mem::take(&mut self.state().agents);
        self.world.lock().interrupt = None;
        self.world.lock().note("the end: all agents go");
        let mut silent = Vec::new();
        for agent in agents {
            let end = self.state().dice.u32(0..4);
            match end {
                0 => silent.push(agent),
                1 => self.world.lock().kill(agent.pid),
                _ => drop(agent.end()),
            }
        }
        silent.into_iter().for_each(|agent| self.say_no_more(agent));
        let spoilt = self.state().spoilt.clone();
        all_is_back(&self.world, &spoilt);
    }
}

impl Simulation {
    /// An agent whose brain is silent puts back by itself whatever can be, as soon as the kernel lets it.
    fn say_no_more(&self, mut agent: Agent) {
        self.world.lock().note(format!("agent {}: its brain is silent", agent.pid));
        for second in 0..30 {
            let now = {
                let mut world = self.world.lock();
                world.now += Duration::from_secs(1);
                world.weather.failing = if second < 8 { world.weather.failing } else { 0 };
                world.weather.full &= second < 8;
                world.now
            };
            self.check_residue(&agent.core.tick(now, false));
        }
        let mut world = self.world.lock();
        let held = world.logs.iter().filter(|(_, log)| log.holder == Some(agent.pid));
        let touched = held.flat_map(|(name, _)| world.keys_of_log(name)).collect();
        if world.is_alive(agent.pid) && agent.core.owes() && !world.explains_residue(&touched) {
            world.violation(format!("{touched:?} stay, though the brain is silent and the kernel works"));
        }
        world.kill(agent.pid);
    }
}

/// Lives through one seed and tells everything that happened; as an error where a promise was broken.
pub(super) fn live_through(seed: u64, mutant: Option<Mutant>) -> Result<String, String> {
    let simulation = Simulation::new(seed, mutant);
    let happenings = simulation.state().dice.usize(8..48);
    for _ in 0..happenings {
        simulation.happen();
    }
    simulation.finish();
    // The interrupt holds the simulation itself.
    simulation.world.lock().interrupt = None;
    let world = simulation.world.lock();
    let trace = world.trace.join("\n");
    if world.violations.is_empty() {
        Ok(trace)
    } else {
        Err(format!("{}\n\n{trace}", world.violations.join("\n")))
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn nothing_is_left_behind_whatever_happens() {
    if let Some(seed) = number_from("SQUALL_SIM_SEED") {
        let outcome = live_through(seed, None);
        assert!(outcome.is_ok(), "seed {seed}\n{}", outcome.err().unwrap_or_default());
        return;
    }
    let seeds = number_from("SQUALL_SIM_SEEDS").unwrap_or(20_000);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads as u64 {
            scope.spawn(move || (first..seeds).step_by(threads).for_each(must_hold));
        }
    });
}

fn must_hold(seed: u64) {
    if let Err(trace) = live_through(seed, None) {
        panic!("SQUALL_SIM_SEED={seed} cargo test -p squall-engine sim::random replays this\n{trace}");
    }
}

#[test]
fn the_corners_are_reached() {
    let traces: Vec<String> = (0..6_000).filter_map(|seed| live_through(seed, None).ok()).collect();
    for corner in [
        "meanwhile:",
        "is killed at append",
        "is killed at half_applied",
        "is killed at after_apply",
        "is killed at after_revert",
        "power cut",
        "is held by injection",
        "would be active at the same time",
        "the lease expired",
        "the file `halt` is there",
        "no space left on device",
        "interrupted; nothing of it is left",
        "is damaged",
        "residue:",
        "was not ended in its time",
        "a late warden recovers",
    ] {
        let count = traces.iter().filter(|trace| trace.contains(corner)).count();
        println!("{corner} {count}");
        assert!(count > 0, "{corner:?} is never reached");
    }
}
