//! One case while it goes on: what it has started, what it chose by its seed, and how it looks whether all is clean.

use super::arena::Arena;
use super::faults::Fault;
use super::noise::Noise;
use super::processes::{self, Process};
use super::product::{End, Run};
use super::snapshot::Snapshot;
use fastrand::Rng;
use rustix::process::Signal;
use serde_json::json;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// What the promise adds to the lease.
const GRACE: Duration = Duration::from_secs(1);
/// How long a silent agent is left alone by its warden, whatever the lease.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// How much longer than it should take is waited, to tell what is late from what never comes.
const PATIENCE: Duration = Duration::from_secs(15);
/// Pause between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(3);

/// How long faults last that are to be there until something happens.
pub(super) const LASTING: Duration = Duration::from_mins(1);

/// The brain, the agent and the warden, by the word on their command lines.
pub(super) const ROLES: [&str; 3] = ["run", "agent", "warden"];

/// What a run may end with when its agent was lost at any time: aborted, or over; never residue, never a panic.
pub(super) const ABORTED_OR_OVER: [i32; 4] = [0, 1, 4, 5];

/// When, in the course of a run, something happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// While it starts, plans and injects.
    Early,
    /// While the faults are active.
    Active,
    /// While it puts them back.
    Late,
}

/// A case that goes on.
pub(super) struct Trial<'a> {
    pub(super) arena: &'a mut Arena,
    /// What is left of the seed for choices that are made in turn.
    pub(super) seed: u64,
    pub(super) random: Rng,
    pub(super) lease: Duration,
    pub(super) noise: &'a Noise,
    /// Faults that can be made here.
    pub(super) faults: &'a [&'static Fault],
    /// Names of crash points.
    pub(super) points: &'a [String],
    /// How long a run takes from its start until its faults are active: what the last one took.
    pub(super) startup: &'a mut Duration,
    /// What was chosen, for the report.
    pub(super) words: Vec<String>,
    /// Injections made.
    pub(super) injections: usize,
    /// From the blow to the first clean look.
    pub(super) time: Option<Duration>,
}

/// When something was done to Squall, and how noisy the machine had been until then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blow {
    at: Instant,
    noise: Duration,
}

impl Trial<'_> {
    /// One of `count`, in turn. Each call takes a digit of the seed, so consecutive seeds go through all combinations.
    pub(super) fn turn(&mut self, count: usize) -> usize {
        let count = count.max(1) as u64;
        let digit = self.seed % count;
        self.seed /= count;
        digit as usize
    }

    pub(super) fn say(&mut self, words: impl Into<String>) {
        self.words.push(words.into());
    }

    pub(super) fn nap(&mut self, at_most: Duration) {
        thread::sleep(at_most.mul_f64(self.random.f64()));
    }

    /// One to three faults that go with each other; the first in turn.
    pub(super) fn choose(&mut self) -> Vec<&'static Fault> {
        let turn = self.turn(self.faults.len());
        let first = self.faults[turn];
        let mut chosen = vec![first];
        for _ in 0..self.random.usize(..3) {
            let other = self.faults[self.random.usize(..self.faults.len())];
            if chosen.iter().all(|fault| fault.goes_with(other)) {
                chosen.push(other);
            }
        }
        self.say(chosen.iter().map(|fault| fault.name).collect::<Vec<_>>().join(" + "));
        chosen
    }

    /// Starts a run that makes these faults together.
    pub(super) fn start(&mut self, faults: &[&Fault], lasts: Duration) -> Result<Run, String> {
        self.start_with(faults, lasts, |_| ())
    }

    pub(super) fn start_with(
        &mut self,
        faults: &[&Fault],
        lasts: Duration,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Run, String> {
        let lasts = format!("{}ms", lasts.as_millis());
        let entries: Vec<_> =
            faults.iter().map(|fault| fault.entry(self.arena, &mut self.random, &lasts)).collect();
        Run::start(self.arena, &json!([{"together": entries}]), self.lease, prepare)
    }

    /// A run whose faults are active and seen to be.
    pub(super) fn start_active(&mut self, faults: &[&Fault], lasts: Duration) -> Result<Run, String> {
        let (started, deaths) = (Instant::now(), self.arena.victims.deaths);
        let mut run = self.start(faults, lasts)?;
        self.wait_active(&mut run, faults, deaths)?;
        *self.startup = started.elapsed();
        Ok(run)
    }

    /// Waits until as many injections were made as there are faults, and looks for each by other means.
    pub(super) fn wait_active(
        &mut self,
        run: &mut Run,
        faults: &[&Fault],
        deaths: usize,
    ) -> Result<(), String> {
        let before = self.blow();
        self.wait_for(before, "the faults to be active", |_| {
            if run.count("injected") >= faults.len() {
                return Ok(true);
            }
            match run.end() {
                Some(end) => {
                    Err(format!("the run ended with {end:?} before it injected; {}", run.last_words()))
                }
                None => Ok(false),
            }
        })?;
        for fault in faults {
            let name = fault.name;
            self.wait_for(before, &format!("the effect of {name} to be seen"), |trial| {
                Ok(fault.is_seen(trial.arena, deaths))
            })?;
        }
        Ok(())
    }

    pub(super) fn wait_for(
        &mut self,
        since: Blow,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Result<bool, String>,
    ) -> Result<(), String> {
        while !done(self)? {
            if since.at.elapsed() > PATIENCE + self.noise.allowance(since.noise) {
                return Err(format!("waited in vain for {what}"));
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        Ok(())
    }

    /// This moment, from which the time is counted.
    pub(super) fn blow(&self) -> Blow {
        Blow { at: Instant::now(), noise: self.noise.so_far() }
    }

    /// A run to which something may be done now.
    pub(super) fn run_until(&mut self, moment: Moment, faults: &[&Fault]) -> Result<Run, String> {
        self.say(format!("{moment:?}").to_lowercase());
        match moment {
            Moment::Early => {
                let run = self.start(faults, LASTING)?;
                self.nap(*self.startup);
                Ok(run)
            }
            Moment::Active => {
                let run = self.start_active(faults, LASTING)?;
                self.nap(Duration::from_millis(300));
                Ok(run)
            }
            Moment::Late => {
                let lasts = Duration::from_millis(500);
                let mut run = self.start(faults, lasts)?;
                let since = self.blow();
                self.wait_for(since, "the undo to begin", |_| {
                    Ok(run.count("undo_started") > 0 || run.end().is_some())
                })?;
                self.nap(Duration::from_millis(30));
                Ok(run)
            }
        }
    }

    /// Living processes of a role.
    pub(super) fn of_role(&self, role: &str) -> Vec<Process> {
        processes::of_folder(&self.arena.folder).into_iter().filter(|process| process.role == role).collect()
    }

    /// Sends a signal to all processes of some roles, in an order and with gaps left to chance; waits for a role that is
    /// not there yet. Returns the moment of the last signal.
    pub(super) fn strike(&mut self, roles: &[&str], signal: Signal) -> Blow {
        let mut order = roles.to_vec();
        self.random.shuffle(&mut order);
        let gap = Duration::from_millis([0, 0, 5, 40][self.random.usize(..4)]);
        let mut last = self.blow();
        for role in order {
            let began = Instant::now();
            loop {
                let found = self.of_role(role);
                if !found.is_empty()
                    || began.elapsed() > Duration::from_millis(500)
                    || self.of_role("run").is_empty()
                {
                    found.iter().for_each(|process| processes::send(process.pid, signal));
                    last = self.blow();
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(gap);
        }
        last
    }

    /// Kills all three until none is left, so that nobody puts anything back.
    pub(super) fn kill_all_three(&mut self) {
        loop {
            let left = self.owners();
            if left.is_empty() {
                return;
            }
            left.iter().for_each(|process| processes::send(process.pid, Signal::KILL));
        }
    }

    /// Brains, agents and wardens that are not wholly gone.
    pub(super) fn owners(&self) -> Vec<Process> {
        let squalls = processes::of_folder(&self.arena.folder).into_iter();
        squalls.filter(|process| process.program == "squall" && process.role != "worker").collect()
    }

    /// Runs `squall recover` and returns when it was started, how it ended and what it said.
    pub(super) fn recover(&mut self) -> Result<(Blow, Option<i32>, String), String> {
        let blow = self.blow();
        let output = self.arena.command(&["recover"]).output();
        let output = output.map_err(|error| format!("could not start squall recover: {error}"))?;
        let said =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("");
        Ok((blow, output.status.code(), said))
    }

    /// `squall recover` that must put back everything.
    pub(super) fn recover_all(&mut self) -> Result<(), String> {
        let (blow, code, said) = self.recover()?;
        if code != Some(0) {
            return Err(format!("squall recover ended with {code:?} and said {said:?}"));
        }
        self.clean(blow).map_err(|failure| format!("{failure}; squall recover said {said:?}"))
    }

    /// Waits until nothing is left, in time.
    pub(super) fn clean(&mut self, since: Blow) -> Result<(), String> {
        self.clean_within(since, self.lease, false)
    }

    /// Waits until nothing of the faults is left, while the processes of the run may live.
    pub(super) fn clean_but_the_run(&mut self, since: Blow) -> Result<(), String> {
        self.clean_within(since, self.lease, true)
    }

    pub(super) fn clean_within(
        &mut self,
        since: Blow,
        limit: Duration,
        but_the_run: bool,
    ) -> Result<(), String> {
        let promised = limit + GRACE;
        loop {
            let look = Instant::now();
            let residue = Snapshot::residue(self.arena, but_the_run);
            let time = since.at.elapsed();
            let allowed = promised + self.noise.allowance(since.noise) + look.elapsed();
            if residue.is_empty() {
                // What is waited for first is what the blow has done.
                self.time.get_or_insert(time);
                let late =
                    format!("clean only after {time:.2?}; promised {promised:.2?}, with noise {allowed:.2?}");
                return if time <= allowed { Ok(()) } else { Err(late) };
            }
            if time > allowed + PATIENCE {
                return Err(format!("residue {time:.2?} after the blow: {}", residue.join("; ")));
            }
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Waits until nothing of the faults is left, then for the end of the run, which must have one of these exit codes,
    /// and then until nothing at all is left.
    pub(super) fn clean_with_end(&mut self, run: &mut Run, since: Blow, codes: &[i32]) -> Result<(), String> {
        self.clean_but_the_run(since)?;
        self.ends_with(run, codes)?;
        let ended = self.blow();
        self.clean(ended)
    }

    /// Waits for the end of a run, which must have one of these exit codes.
    pub(super) fn ends_with(&mut self, run: &mut Run, codes: &[i32]) -> Result<(), String> {
        match self.end_of(run)? {
            End::Exit(code) if codes.contains(&code) => Ok(()),
            // Nothing was begun: to be told that the run is not valid is as good.
            End::Exit(2) if codes == ABORTED_OR_OVER && run.count("inject_started") == 0 => Ok(()),
            end => {
                Err(format!("the run ended with {end:?}, expected one of {codes:?}; {}", run.last_words()))
            }
        }
    }

    /// Waits for the end of a run.
    pub(super) fn end_of(&mut self, run: &mut Run) -> Result<End, String> {
        let mut end = None;
        let began = self.blow();
        let ended = self.wait_for(began, "the run to end", |_| {
            end = run.end();
            Ok(end.is_some())
        });
        match (ended, end) {
            (Ok(()), Some(end)) => Ok(end),
            (ended, _) => Err(format!("{}; {}", ended.err().unwrap_or_default(), run.last_words())),
        }
    }

    /// The last look of every case: Squall says so too, nothing comes back, and nobody is struck any more.
    pub(super) fn conclude(&mut self) -> Result<(), String> {
        self.arena.victims.tend();
        let deaths = self.arena.victims.deaths;
        for (verb, what) in [("status", "nothing is alive"), ("leftovers", "no leftovers")] {
            let output =
                self.arena.command(&[verb]).output().map_err(|error| format!("squall {verb}: {error}"))?;
            let said = String::from_utf8_lossy(&output.stdout);
            if !output.status.success() || !said.contains(what) {
                return Err(format!("squall {verb} ended with {} and said {said:?}", output.status));
            }
        }
        if self.words.iter().any(|words| words.contains("process.kill")) {
            thread::sleep(Duration::from_millis(250));
        }
        let residue = Snapshot::residue(self.arena, false);
        if !residue.is_empty() {
            return Err(format!("it came back: {}", residue.join("; ")));
        }
        if self.arena.victims.deaths > deaths {
            return Err("victims are still killed after all was clean".to_owned());
        }
        let notes = std::fs::read_dir(self.arena.state().join("brains")).into_iter().flatten().count();
        if notes > 0 {
            return Err(format!("{notes} notes of runs that are over are left"));
        }
        self.journals_have_an_end()
    }

    /// Whoever was killed, each journal ends with a verdict.
    fn journals_have_an_end(&self) -> Result<(), String> {
        let folder = self.arena.state().join("runs");
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            // One that was killed before its first line tells of nothing.
            if text.contains('\n')
                && !text.lines().last().is_some_and(|line| line.contains(r#""event":"verdict""#))
            {
                return Err(format!("{} has no verdict at its end", entry.path().display()));
            }
        }
        Ok(())
    }
}
