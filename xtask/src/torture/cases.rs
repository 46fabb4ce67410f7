//! The kinds of cases: what is done to Squall while its faults are live, and what must hold then.

use super::arena::tool;
use super::product::{End, Run};
use super::trial::{ABORTED_OR_OVER, Blow, LASTING, Moment, ROLES, SILENCE, Trial};
use rustix::process::Signal;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

/// What a kind of case needs besides faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// A build that has crash points.
    CrashPoints,
    /// Mounts of its own.
    Isolation,
    /// A clock that may be set without harm to anybody.
    OwnClock,
}

type Outcome = Result<(), String>;

/// A kind of case.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// For the table of figures.
    pub(super) does: &'static str,
    /// How many cases a whole run has.
    pub(super) cases: usize,
    /// How many the short run has.
    pub(super) short: usize,
    pub(super) needs: Needs,
    pub(super) run: fn(&mut Trial) -> Outcome,
}

/// Declares a kind of case in one line.
const fn kind(
    (name, does): (&'static str, &'static str),
    (cases, short): (usize, usize),
    needs: Needs,
    run: fn(&mut Trial) -> Outcome,
) -> Kind {
    Kind { name, does, cases, short, needs, run }
}

pub(super) const KINDS: &[Kind] = &[
    kind(("kill-brain", "SIGKILL of the brain"), (36, 3), Needs::Nothing, |t| kill(t, &["run"])),
    kind(("kill-agent", "SIGKILL of the agent"), (36, 3), Needs::Nothing, |t| kill(t, &["agent"])),
    kind(
        ("kill-warden", "SIGKILL of the warden, later SIGTERM of the brain"),
        (18, 1),
        Needs::Nothing,
        kill_warden,
    ),
    kind(("kill-brain-agent", "SIGKILL of brain and agent"), (27, 3), Needs::Nothing, |t| {
        kill(t, &["run", "agent"])
    }),
    kind(("kill-brain-warden", "SIGKILL of brain and warden"), (27, 2), Needs::Nothing, |t| {
        kill(t, &["run", "warden"])
    }),
    kind(("kill-agent-warden", "SIGKILL of agent and warden"), (27, 3), Needs::Nothing, |t| {
        kill(t, &["agent", "warden"])
    }),
    kind(("kill-all", "SIGKILL of all three, then `squall recover`"), (27, 3), Needs::Nothing, kill_all),
    kind(("next-run", "SIGKILL of all three, then another `squall run`"), (9, 1), Needs::Nothing, next_run),
    kind(
        ("recover-killed", "SIGKILL of all three and of `squall recover`, then it again"),
        (18, 1),
        Needs::Nothing,
        recover_killed,
    ),
    kind(("crash-point", "the agent dies at a crash point"), (144, 16), Needs::CrashPoints, crash_point),
    kind(
        ("crash-point-alone", "brain and warden die, then the agent at a crash point, then `squall recover`"),
        (36, 2),
        Needs::CrashPoints,
        crash_point_alone,
    ),
    kind(
        ("crash-in-recovery", "SIGKILL of all three; the next agent dies at a crash point of its recovery"),
        (24, 2),
        Needs::CrashPoints,
        crash_in_recovery,
    ),
    kind(
        (
            "crash-warden",
            "SIGKILL of brain and agent, the warden dies at a crash point, then `squall recover`",
        ),
        (24, 2),
        Needs::CrashPoints,
        crash_warden,
    ),
    kind(
        ("crash-recover", "SIGKILL of all three, `squall recover` dies at a crash point, then it again"),
        (24, 2),
        Needs::CrashPoints,
        crash_recover,
    ),
    kind(("stop-brain", "SIGSTOP of the brain beyond the lease"), (6, 1), Needs::Nothing, stop_brain),
    kind(("stop-agent", "SIGSTOP of the agent"), (6, 1), Needs::Nothing, stop_agent),
    kind(("end-brain", "SIGTERM or SIGINT of the brain"), (18, 2), Needs::Nothing, end_brain),
    kind(("closed-output", "nobody reads standard output any more"), (6, 1), Needs::Nothing, closed_output),
    kind(("full-disk", "the disk under the undo log is full"), (12, 2), Needs::Isolation, full_disk),
    kind(
        ("lost-disk", "the folder of undo logs is removed or read-only, then SIGKILL of brain and agent"),
        (12, 2),
        Needs::Isolation,
        lost_disk,
    ),
    kind(
        ("damaged-log", "the undo log is overwritten, cut or removed, then SIGKILL of the agent"),
        (18, 2),
        Needs::Nothing,
        damaged_log,
    ),
    kind(
        ("damaged-log-alone", "the same, then SIGKILL of all three and `squall recover`"),
        (18, 2),
        Needs::Nothing,
        damaged_log_alone,
    ),
    kind(
        ("clock-jump", "the clock jumps by hours, then SIGKILL of the brain or the end of the fault"),
        (6, 1),
        Needs::OwnClock,
        clock_jump,
    ),
];

fn moment(trial: &mut Trial) -> Moment {
    [Moment::Early, Moment::Active, Moment::Active, Moment::Late][trial.random.usize(..4)]
}

/// One or two of the three die; the others put everything back.
fn kill(trial: &mut Trial, roles: &[&str]) -> Outcome {
    let faults = trial.choose();
    let moment = moment(trial);
    let mut run = trial.run_until(moment, &faults)?;
    let blow = trial.strike(roles, Signal::KILL);
    trial.injections = run.count("injected");
    if roles.contains(&"run") {
        return trial.clean(blow);
    }
    match moment {
        Moment::Active => trial.clean_with_end(&mut run, blow, &[4]),
        Moment::Early | Moment::Late => trial.clean_with_end(&mut run, blow, &ABORTED_OR_OVER),
    }
}

/// Nothing is lost with the warden; the run goes on or ends itself, and can be ended.
fn kill_warden(trial: &mut Trial) -> Outcome {
    let faults = trial.choose();
    let mut run = trial.run_until(Moment::Active, &faults)?;
    trial.strike(&["warden"], Signal::KILL);
    trial.nap(Duration::from_millis(300));
    trial.injections = run.count("injected");
    let blow = trial.strike(&["run"], Signal::TERM);
    trial.clean_with_end(&mut run, blow, &[4])
}

/// Faults that nobody is left to put back.
fn orphan(trial: &mut Trial) -> Outcome {
    let faults = trial.choose();
    let moment = moment(trial);
    let run = trial.run_until(moment, &faults)?;
    trial.strike(&ROLES, Signal::KILL);
    trial.kill_all_three();
    trial.injections = run.count("injected");
    Ok(())
}

fn kill_all(trial: &mut Trial) -> Outcome {
    orphan(trial)?;
    trial.recover_all()
}

fn next_run(trial: &mut Trial) -> Outcome {
    orphan(trial)?;
    let faults = trial.choose();
    let mut run = trial.start(&faults, Duration::from_millis(200))?;
    // What it puts back is in the way of nothing that it makes.
    trial.ends_with(&mut run, &[0, 5])?;
    trial.injections += run.count("injected");
    let blow = trial.blow();
    trial.clean(blow)
}

fn recover_killed(trial: &mut Trial) -> Outcome {
    orphan(trial)?;
    for _ in 0..=trial.random.usize(..2) {
        let recovery = trial.arena.command(&["recover"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut recovery = recovery.map_err(|error| format!("could not start squall recover: {error}"))?;
        trial.nap(Duration::from_millis(40));
        // It may be over already.
        let _ = recovery.kill();
        let _ = recovery.wait();
    }
    trial.recover_all()
}

/// The agent dies at each point in turn, for the first or second time that it is reached, with each fault in turn.
fn crash_point(trial: &mut Trial) -> Outcome {
    let turn = trial.turn(trial.points.len());
    let point = trial.points[turn].clone();
    let faults = trial.choose();
    let at = format!("{point}:{}", 1 + trial.random.usize(..2));
    trial.say(at.clone());
    let mut run = trial.start_with(&faults, Duration::from_millis(250), |command| {
        command.env("SQUALL_CRASH_AT", &at);
    })?;
    let blow = await_agent_death(trial, &mut run);
    trial.clean_with_end(&mut run, blow, &ABORTED_OR_OVER)?;
    trial.injections = run.count("inject_started");
    Ok(())
}

/// The first agent's end, by its crash point or at the end of a run that does not reach it.
fn await_agent_death(trial: &mut Trial, run: &mut Run) -> Blow {
    let mut seen = None;
    loop {
        let agents = trial.of_role("agent");
        match seen {
            None => seen = agents.first().map(|agent| agent.pid),
            Some(pid) if !agents.iter().any(|agent| agent.pid == pid) => return trial.blow(),
            Some(_) => {}
        }
        if matches!(run.end(), Some(End::Exit(_) | End::Signal(_))) {
            return trial.blow();
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Nobody watches the agent when it dies in the middle of putting back.
fn crash_point_alone(trial: &mut Trial) -> Outcome {
    let of_the_undo: Vec<String> = trial
        .points
        .iter()
        .filter(|point| point.contains("revert") || point.contains("close"))
        .cloned()
        .collect();
    let point =
        of_the_undo.get(trial.turn(of_the_undo.len())).ok_or("there are no crash points of the undo")?;
    let at = format!("{point}:{}", 1 + trial.random.usize(..2));
    let faults = trial.choose();
    trial.say(at.clone());
    let deaths = trial.arena.victims.deaths;
    let mut run = trial.start_with(&faults, LASTING, |command| {
        command.env("SQUALL_CRASH_AT", &at);
    })?;
    trial.wait_active(&mut run, &faults, deaths)?;
    trial.injections = run.count("injected");
    trial.strike(&["warden"], Signal::KILL);
    trial.strike(&["run"], Signal::KILL);
    // Where the point is not reached, the agent puts everything back and ends.
    let blow = trial.blow();
    trial.wait_for(blow, "the agent to end", |trial| Ok(trial.owners().is_empty()))?;
    trial.recover_all()
}

/// An instant of a recovery, in turn.
fn in_recovery(trial: &mut Trial) -> Result<String, String> {
    let points: Vec<String> = trial
        .points
        .iter()
        .filter(|point| ["take_over", "revert", "close"].iter().any(|word| point.contains(word)))
        .cloned()
        .collect();
    let point = points.get(trial.turn(points.len())).ok_or("there are no crash points of the recovery")?;
    let at = format!("{point}:1");
    trial.say(at.clone());
    Ok(at)
}

/// The last that knows what is owed dies in the middle of putting it back.
fn crash_warden(trial: &mut Trial) -> Outcome {
    let at = in_recovery(trial)?;
    let faults = trial.choose();
    let deaths = trial.arena.victims.deaths;
    let mut run = trial.start_with(&faults, LASTING, |command| {
        command.env("SQUALL_CRASH_WARDEN_AT", &at);
    })?;
    trial.wait_active(&mut run, &faults, deaths)?;
    trial.injections = run.count("injected");
    let blow = trial.strike(&["run", "agent"], Signal::KILL);
    trial.wait_for(blow, "the warden to end", |trial| Ok(trial.owners().is_empty()))?;
    trial.recover_all()
}

/// A recovery that somebody started by hand dies; the next goes on.
fn crash_recover(trial: &mut Trial) -> Outcome {
    let at = in_recovery(trial)?;
    orphan(trial)?;
    let ended = trial.arena.command(&["recover"]).env("SQUALL_CRASH_RECOVERY_AT", &at).output();
    ended.map_err(|error| format!("could not start squall recover: {error}"))?;
    trial.recover_all()
}

/// The next agent finds orphans and dies while it puts them back; its warden goes on.
fn crash_in_recovery(trial: &mut Trial) -> Outcome {
    let at = in_recovery(trial)?;
    let faults = trial.choose();
    let run = trial.start_active(&faults, LASTING)?;
    trial.kill_all_three();
    trial.injections = run.count("injected");
    drop(run);
    let faults = trial.choose();
    let mut run = trial.start_with(&faults, Duration::from_millis(100), |command| {
        command.env("SQUALL_CRASH_AT", &at);
    })?;
    let blow = await_agent_death(trial, &mut run);
    let _ = trial.end_of(&mut run)?;
    trial.clean(blow)
}

fn stop_brain(trial: &mut Trial) -> Outcome {
    let faults = trial.choose();
    let mut run = trial.run_until(Moment::Active, &faults)?;
    trial.injections = run.count("injected");
    let blow = trial.strike(&["run"], Signal::STOP);
    trial.clean_but_the_run(blow)?;
    let blow = trial.strike(&["run"], Signal::CONT);
    trial.clean_with_end(&mut run, blow, &[4])
}

/// The brain takes over, or, where it is dead as well, the warden alone.
fn stop_agent(trial: &mut Trial) -> Outcome {
    let faults = trial.choose();
    let mut run = trial.run_until(Moment::Active, &faults)?;
    trial.injections = run.count("injected");
    let blow = trial.strike(&["agent"], Signal::STOP);
    let limit = trial.lease.max(SILENCE);
    if trial.random.bool() {
        trial.say("and SIGKILL of the brain");
        trial.strike(&["run"], Signal::KILL);
        return trial.clean_within(blow, limit, false);
    }
    trial.clean_within(blow, limit, true)?;
    let clean = trial.blow();
    trial.clean_with_end(&mut run, clean, &[4])
}

fn end_brain(trial: &mut Trial) -> Outcome {
    let faults = trial.choose();
    let moment = moment(trial);
    let (signal, name) =
        if trial.random.bool() { (Signal::TERM, "SIGTERM") } else { (Signal::INT, "SIGINT") };
    trial.say(name);
    let mut run = trial.run_until(moment, &faults)?;
    trial.injections = run.count("injected");
    let blow = trial.strike(&["run"], signal);
    match moment {
        Moment::Active => trial.clean_with_end(&mut run, blow, &[4]),
        // It may come before the run listens to signals, and then nothing was touched; or when all is over.
        Moment::Early | Moment::Late => {
            trial.clean(blow)?;
            let end = trial.end_of(&mut run)?;
            let is_fine = match end {
                End::Exit(code) => ABORTED_OR_OVER.contains(&code),
                End::Signal(_) => run.count("injected") == 0,
            };
            if is_fine { Ok(()) } else { Err(format!("the run ended with {end:?}; {}", run.last_words())) }
        }
    }
}

fn closed_output(trial: &mut Trial) -> Outcome {
    let faults = trial.choose();
    let both = trial.random.bool();
    trial.say(if both { "standard output and error" } else { "standard output" });
    let mut run = trial.start_with(&faults, Duration::from_millis(600), |command| {
        command.stdout(Stdio::piped());
        if both {
            command.stderr(Stdio::piped());
        }
    })?;
    trial.nap(*trial.startup);
    drop((run.child().stdout.take(), run.child().stderr.take()));
    let end = trial.end_of(&mut run)?;
    trial.injections = run.count("injected");
    let blow = trial.blow();
    trial.clean(blow)?;
    match end {
        End::Exit(code) if ABORTED_OR_OVER.contains(&code) => Ok(()),
        end => Err(format!("the run ended with {end:?}; {}", run.last_words())),
    }
}

/// A small file system under the undo logs.
fn full_disk(trial: &mut Trial) -> Outcome {
    let live = trial.arena.state().join("live");
    fs::create_dir_all(&live).map_err(|error| error.to_string())?;
    let variant =
        [no_room_for_a_line, no_room_for_a_file, full_meanwhile, full_before_the_next][trial.turn(4)];
    tool("mount", &["-t", "tmpfs", "-o", "size=256k,nr_inodes=20", "sqt", &live.to_string_lossy()])?;
    let outcome = variant(trial, &live);
    let logs = fs::read_dir(&live).into_iter().flatten().flatten();
    let logs = logs.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "undo")).count();
    let unmounted = tool("umount", &[&live.to_string_lossy()]);
    outcome.and(unmounted)?;
    if logs > 0 {
        return Err(format!("{logs} undo logs were left on the full disk"));
    }
    let blow = trial.blow();
    trial.clean(blow)
}

fn no_room_for_a_line(trial: &mut Trial, live: &Path) -> Outcome {
    trial.say("no room for the first line");
    fill(&live.join("filler"));
    injects_nothing(trial)
}

fn no_room_for_a_file(trial: &mut Trial, live: &Path) -> Outcome {
    trial.say("no room for a file");
    for number in 0..20 {
        // Until there is no more room.
        let _ = File::create(live.join(format!("filler-{number}")));
    }
    injects_nothing(trial)
}

/// What cannot be written down is not done.
fn injects_nothing(trial: &mut Trial) -> Outcome {
    let faults = trial.choose();
    let mut run = trial.start(&faults, LASTING)?;
    trial.ends_with(&mut run, &[5])?;
    match run.count("injected") {
        0 => Ok(()),
        count => Err(format!("{count} injections were made though their undo could not be written down")),
    }
}

/// What is written down already is put back, even though that cannot be noted.
fn full_meanwhile(trial: &mut Trial, live: &Path) -> Outcome {
    let faults = trial.choose();
    let mut run = trial.run_until(Moment::Active, &faults)?;
    trial.injections = run.count("injected");
    fill(&live.join("filler"));
    let (roles, signal) = if trial.random.bool() { ("agent", Signal::KILL) } else { ("run", Signal::TERM) };
    trial.say(format!("full, then signal {} of {roles}", signal.as_raw()));
    trial.strike(&[roles], signal);
    trial.ends_with(&mut run, &[4])
}

/// The second fault finds the disk full; the first is put back.
fn full_before_the_next(trial: &mut Trial, live: &Path) -> Outcome {
    let faults = trial.choose();
    trial.say("full before the second");
    let deaths = trial.arena.victims.deaths;
    let first = faults[0].entry(trial.arena, &mut trial.random, "60s");
    let mut second = json!({"fault": "cpu.load", "target": {"host": true}, "with": {"percent": "10%", "cores": 1}, "for": "60s"});
    second["after"] = json!("1500ms");
    let method = json!([{"together": [first, second]}]);
    let mut run = Run::start(trial.arena, &method, trial.lease, |_| ())?;
    trial.wait_active(&mut run, &faults[..1], deaths)?;
    trial.injections = run.count("injected");
    fill(&live.join("filler"));
    trial.ends_with(&mut run, &[5])
}

fn fill(path: &Path) {
    let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) else { return };
    // Until it is full: that is the point.
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
}

/// How an undo log is spoiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Overwritten,
    Cut,
    Removed,
}

/// Spoils every undo log.
fn damage(trial: &mut Trial) -> Result<Damage, String> {
    let kind = [Damage::Overwritten, Damage::Cut, Damage::Removed][trial.random.usize(..3)];
    trial.say(format!("{kind:?}").to_lowercase());
    let entries = fs::read_dir(trial.arena.state().join("live")).map_err(|error| error.to_string())?;
    let logs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for log in logs {
        let failed = |error: std::io::Error| format!("{}: {error}", log.display());
        let length = fs::metadata(&log).map_err(failed)?.len();
        match kind {
            Damage::Removed => fs::remove_file(&log).map_err(failed)?,
            Damage::Cut => {
                let file = OpenOptions::new().write(true).open(&log).map_err(failed)?;
                file.set_len(trial.random.u64(..length.max(1))).map_err(failed)?;
            }
            Damage::Overwritten => {
                let mut file = OpenOptions::new().write(true).open(&log).map_err(failed)?;
                for _ in 0..8 {
                    file.seek(SeekFrom::Start(trial.random.u64(..length.max(1)))).map_err(failed)?;
                    file.write_all(&[trial.random.u8(..)]).map_err(failed)?;
                }
            }
        }
    }
    Ok(kind)
}

/// What the warden heard is enough, where there is no disk any more.
fn lost_disk(trial: &mut Trial) -> Outcome {
    let live = trial.arena.state().join("live");
    let place = live.to_string_lossy().into_owned();
    let is_removed = trial.turn(2) == 0;
    trial.say(if is_removed { "removed" } else { "read-only" });
    let faults = trial.choose();
    let run = trial.start_active(&faults, LASTING)?;
    trial.injections = run.count("injected");
    if is_removed {
        fs::remove_dir_all(&live).map_err(|error| format!("{place}: {error}"))?;
    } else {
        tool("mount", &["--bind", &place, &place])?;
        tool("mount", &["-o", "remount,bind,ro", &place])?;
    }
    let blow = trial.strike(&["run", "agent"], Signal::KILL);
    let gone = trial.wait_for(blow, "the warden to end", |trial| Ok(trial.owners().is_empty()));
    if !is_removed {
        tool("umount", &[&place])?;
        // What could not be removed describes what is as it was.
        let logs = fs::read_dir(&live).map_err(|error| format!("{place}: {error}"))?;
        logs.flatten().try_for_each(|log| fs::remove_file(log.path())).map_err(|error| error.to_string())?;
    }
    gone?;
    trial.clean(blow)
}

/// What the warden heard is enough.
fn damaged_log(trial: &mut Trial) -> Outcome {
    let faults = trial.choose();
    let mut run = trial.run_until(Moment::Active, &faults)?;
    trial.injections = run.count("injected");
    damage(trial)?;
    let roles: &[&str] = if trial.random.bool() { &["agent"] } else { &["agent", "run"] };
    trial.say(format!("SIGKILL of {}", roles.join(" and ")));
    let blow = trial.strike(roles, Signal::KILL);
    if roles.len() > 1 {
        return trial.clean(blow);
    }
    trial.clean_with_end(&mut run, blow, &[4])
}

/// Nobody remembers: what has a mark is found by it, and the rest is told, as far as the log tells of it.
fn damaged_log_alone(trial: &mut Trial) -> Outcome {
    let faults = trial.choose();
    let run = trial.run_until(Moment::Active, &faults)?;
    trial.injections = run.count("injected");
    let kind = damage(trial)?;
    trial.kill_all_three();
    drop(run);
    let (blow, code, said) = trial.recover()?;
    match code {
        // Told, with the log kept for whoever looks; what only the log knew is for a person to put back.
        Some(6) if said.contains("damaged") => return trial.arena.mend(),
        Some(0) => {}
        _ => return Err(format!("squall recover ended with {code:?} and said {said:?}")),
    }
    if kind == Damage::Overwritten {
        return trial.clean(blow);
    }
    // A line that is cut off, or gone with its file, is a line that never was: nobody can tell what stood there. Which
    // process was stopped has no other mark; what has one is found by it.
    if faults.iter().any(|fault| !fault.marked) {
        trial.arena.victims.resume();
    }
    let leftovers = trial.arena.command(&["leftovers"]).output().map_err(|error| error.to_string())?;
    if kind == Damage::Removed && !leftovers.status.success() {
        return trial.arena.mend();
    }
    trial.clean(blow)
}

/// Forwards and backwards, by hours.
fn clock_jump(trial: &mut Trial) -> Outcome {
    let faults = trial.choose();
    let jump = ["+ 3 hours", "- 3 hours", "+ 400 days"][trial.turn(3)];
    trial.say(jump);
    let kills = trial.random.bool();
    let lasts = if kills { LASTING } else { Duration::from_secs(3) };
    let mut run = trial.start_active(&faults, lasts)?;
    trial.injections = run.count("injected");
    tool("date", &["--set", &format!("now {jump}")])?;
    if kills {
        let blow = trial.strike(&["run"], Signal::KILL);
        return trial.clean(blow);
    }
    // The fault must not end at once, nor last for hours.
    thread::sleep(Duration::from_secs(1));
    if run.end().is_some() || run.count("undo_started") > 0 {
        return Err(format!("the fault ended with the jump; {}", run.last_words()));
    }
    trial.ends_with(&mut run, &[0])?;
    let blow = trial.blow();
    trial.clean(blow)
}
