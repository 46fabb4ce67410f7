//! Torture: real injections on a real kernel, and everything that can happen to Squall while they are live.
//!
//! Nothing here asks Squall whether all is well: `tc`, `nft` and `/proc` are compared with what they said before (see
//! `snapshot.rs`). As root, all of it happens in namespaces of its own (see `arena.rs`). A case is a kind and a seed;
//! the same two make the same choices again.
//!
//! Two processes take part. The outer one builds Squall, makes the folder and takes it away again. The inner one, alone
//! in its namespaces, carries the cases out; when the outer one is gone, its standard input ends, and it ends too.

mod arena;
mod cases;
mod faults;
mod figures;
mod memory;
mod noise;
mod processes;
mod product;
mod snapshot;
mod trial;

use crate::{Outcome, lab, shell};
use arena::Arena;
use cases::{KINDS, Kind, Needs};
use faults::{FAULTS, Fault};
use figures::Figures;
use memory::MemoryGroup;
use noise::Noise;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use trial::Trial;

const USAGE: &str =
    "usage: cargo xtask torture [--rounds N] [--seed S] [--only KIND|FAULT] [--short] [--release]";

/// Fewer injections than this would prove little; a whole run has more.
const LEAST_INJECTIONS: usize = 300;

/// How long an agent holds faults without hearing from its brain: Squall's own default, and the least that it takes.
const LEASE: Duration = Duration::from_secs(5);
const SHORT_LEASE: Duration = Duration::from_secs(2);

/// How the outer process tells the inner one what it is.
const INSIDE: &str = "--inside";
const ISOLATED_INSIDE: &str = "--isolated-inside";

/// What was asked for.
#[derive(Debug, Clone, Default)]
struct Options {
    /// How many cases in all; else as many as each kind says.
    rounds: Option<usize>,
    seed: u64,
    only: Option<String>,
    short: bool,
    release: bool,
    /// Where this is the inner process: the folder, and whether it has namespaces of its own.
    inside: Option<(PathBuf, bool)>,
    /// Whether this is the second kernel, whose clock is its own.
    second_kernel: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { seed: 1, ..Self::default() };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value; {USAGE}"));
            let number =
                |text: &String| text.parse().map_err(|_| format!("{text:?} is no whole number; {USAGE}"));
            match word.as_str() {
                "--rounds" => options.rounds = Some(number(value()?)? as usize),
                "--seed" => options.seed = number(value()?)?,
                "--only" => options.only = Some(value()?.clone()),
                "--short" => options.short = true,
                "--release" => options.release = true,
                INSIDE => options.inside = Some((PathBuf::from(value()?), false)),
                ISOLATED_INSIDE => options.inside = Some((PathBuf::from(value()?), true)),
                "--second-kernel" => options.second_kernel = true,
                _ => return Err(format!("{word:?} is not known; {USAGE}")),
            }
        }
        let known = |name: &String| {
            KINDS.iter().any(|kind| kind.name == name) || FAULTS.iter().any(|fault| fault.name == name)
        };
        match options.only.as_ref().filter(|name| !known(name)) {
            None => Ok(options),
            Some(name) => {
                let names = KINDS.iter().map(|kind| kind.name).chain(FAULTS.iter().map(|fault| fault.name));
                Err(format!(
                    "{name:?} is neither a kind of case nor a fault; known are {}",
                    names.collect::<Vec<_>>().join(", ")
                ))
            }
        }
    }

    /// The same choices for another process.
    fn words(&self) -> Vec<String> {
        let mut words = vec!["torture".to_owned(), "--seed".to_owned(), self.seed.to_string()];
        words.extend(self.rounds.iter().flat_map(|rounds| ["--rounds".to_owned(), rounds.to_string()]));
        words.extend(self.only.iter().flat_map(|only| ["--only".to_owned(), only.clone()]));
        words.extend(self.short.then(|| "--short".to_owned()));
        words.extend(self.second_kernel.then(|| "--second-kernel".to_owned()));
        words
    }

    /// How many cases of a kind.
    fn cases(&self, kind: &Kind) -> usize {
        let whole: usize = KINDS.iter().map(|kind| kind.cases).sum();
        match (self.rounds, &self.only) {
            (Some(rounds), Some(only)) if only == kind.name => rounds,
            (_, Some(only)) if KINDS.iter().any(|kind| kind.name == only) && only != kind.name => 0,
            (Some(rounds), _) => (rounds * kind.cases).div_ceil(whole),
            _ if self.short => kind.short,
            _ => kind.cases,
        }
    }
}

/// `cargo xtask torture`
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let options = Options::parse(arguments)?;
    match options.inside.clone() {
        Some((folder, isolated)) => inside(&options, &folder, isolated),
        None => outside(&options),
    }
}

/// Builds, makes the folder, starts the inner process and clears up after it.
fn outside(options: &Options) -> Outcome {
    let binary = product::binary(options.release)?;
    let folder = Folder::make(options)?;
    let copied = fs::copy(&binary, folder.0.join("squall"));
    copied.map_err(|error| format!("could not copy {}: {error}", binary.display()))?;
    let group = MemoryGroup::make();
    let myself = std::env::current_exe().map_err(|error| error.to_string())?;
    let isolated = can_isolate();
    let mut command = if isolated { isolating(&myself) } else { Command::new(&myself) };
    command.args(options.words()).arg(if isolated { ISOLATED_INSIDE } else { INSIDE }).arg(&folder.0);
    if let Some(group) = &group {
        command.env(memory::VARIABLE, group.folder());
    }
    // A Ctrl-C at the terminal reaches this process alone; the inner one sees its standard input end.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.stdin(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("could not start {command:?}: {error}"))?;
    let lifeline = child.stdin.take();
    let status = child.wait().map_err(|error| error.to_string())?;
    drop((lifeline, folder, group));
    if !status.success() {
        return Err("torture failed; see above".to_owned());
    }
    if options.second_kernel || options.short { Ok(()) } else { in_the_second_kernel(options, &binary) }
}

/// The faults and cases that this kernel cannot have, in one that can.
fn in_the_second_kernel(options: &Options, binary: &Path) -> Outcome {
    let is_asked = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let cases: Vec<_> =
        [("network.latency", 40), ("clock-jump", 6)].into_iter().filter(|(name, _)| is_asked(name)).collect();
    if cases.is_empty() {
        return Ok(());
    }
    let Some(script) = lab::script() else {
        eprintln!(
            "skipped: torture in a second kernel; there is no lab/kernel beside the project, or you are not root"
        );
        return Ok(());
    };
    let myself = std::env::current_exe().map_err(|error| error.to_string())?.display().to_string();
    for (only, rounds) in cases {
        let asked = Options {
            only: Some(only.to_owned()),
            rounds: Some(options.rounds.unwrap_or(rounds).min(rounds)),
            second_kernel: true,
            ..options.clone()
        };
        let words: Vec<String> = std::iter::once(myself.clone()).chain(asked.words()).collect();
        let mut command = lab::command(&script, &words)?;
        command.env("SQUALL_BIN", binary).env("LAB_TIMEOUT", "900");
        shell::run(&format!("torture in a second kernel: {only}"), &mut command)?;
    }
    Ok(())
}

/// A folder that goes when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make(options: &Options) -> Result<Self, String> {
        // What a second kernel leaves there when it is ended goes with it.
        let place = if options.second_kernel { "/tmp" } else { "/var/tmp" };
        let folder = PathBuf::from(format!("{place}/sqt-{}-{:04x}", std::process::id(), fastrand::u16(..)));
        fs::create_dir(&folder).map_err(|error| format!("could not make {}: {error}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        processes::end_all(&self.0);
        // The next torture makes a folder of its own.
        let _ = fs::remove_dir_all(&self.0);
    }
}

const ISOLATE: [&str; 7] = ["--pid", "--mount", "--net", "--ipc", "--fork", "--kill-child", "--mount-proc"];

fn can_isolate() -> bool {
    let tried = Command::new("unshare").args(ISOLATE).args(["mount", "-t", "tmpfs", "sqt", "/mnt"]).output();
    shell::is_root()
        && ["ip", "tc", "nft"].iter().all(|tool| shell::has(tool))
        && tried.is_ok_and(|tried| tried.status.success())
}

/// A shell is the first process there: it waits for whatever loses its parent.
fn isolating(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(ISOLATE).args(["sh", "-c", "\"$@\"; exit $?", "sh"]).arg(program);
    command
}

/// Carries the cases out.
fn inside(options: &Options, folder: &Path, isolated: bool) -> Outcome {
    end_with_the_outer_process(folder.to_owned());
    memory::join();
    let mut arena = Arena::make(folder, isolated)?;
    let points = product::crash_points(&arena.squall(), &folder.join("points"));
    let faults = available(options, &arena);
    if faults.is_empty() {
        return Err("none of the faults that were asked for can be made here".to_owned());
    }
    let outcome = carry_out(options, &mut arena, &points, &faults);
    drop(arena);
    outcome
}

/// Whatever happens to the outer process, nothing of the inner one is left.
fn end_with_the_outer_process(folder: PathBuf) {
    std::thread::spawn(move || {
        // Nothing is ever written there: this returns when the outer process is gone.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        // The case that goes on may start something anew meanwhile.
        for _ in 0..20 {
            processes::end_all(&folder);
            if fs::remove_dir_all(&folder).is_ok() {
                break;
            }
        }
        std::process::exit(130);
    });
}

/// The faults that can be made here; the others are named.
fn available(options: &Options, arena: &Arena) -> Vec<&'static Fault> {
    let catalog =
        arena.command(&["faults", "--json"]).output().map(|output| output.stdout).unwrap_or_default();
    let catalog = String::from_utf8_lossy(&catalog);
    let wanted = |fault: &&Fault| match &options.only {
        Some(only) => only == fault.name || KINDS.iter().any(|kind| kind.name == only),
        None => true,
    };
    let can = |fault: &&Fault| {
        let unknown = !catalog.contains(&format!("\"{}\"", fault.name));
        let why = if unknown {
            Some("this Squall does not have it")
        } else {
            fault.missing(arena.isolated, arena.root)
        };
        why.inspect(|why| println!("skipped: {}: {why}", fault.name)).is_none()
    };
    FAULTS.iter().filter(wanted).filter(can).collect()
}

/// Why a kind of case cannot be tried here.
fn missing(kind: &Kind, options: &Options, arena: &Arena, points: &[String]) -> Option<&'static str> {
    match kind.needs {
        Needs::CrashPoints if points.is_empty() => Some("this Squall was built without crash points"),
        Needs::Isolation if !arena.isolated => Some("it needs mounts of the torture's own, as root"),
        Needs::OwnClock if !options.second_kernel => {
            Some("this machine's clock is not the torture's to set; it is tested in a second kernel")
        }
        _ => None,
    }
}

fn carry_out(options: &Options, arena: &mut Arena, points: &[String], faults: &[&'static Fault]) -> Outcome {
    let noise = Noise::measure();
    let mut startup = Duration::from_millis(400);
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for kind in KINDS {
        let count = options.cases(kind);
        if let Some(why) = missing(kind, options, arena, points).filter(|_| count > 0) {
            println!("skipped: {}: {why}", kind.name);
            continue;
        }
        let mut figures = Figures { kind: kind.name, does: kind.does, ..Figures::default() };
        for seed in (options.seed..).take(count) {
            let mut trial = Trial {
                arena: &mut *arena,
                seed,
                random: fastrand::Rng::with_seed(seed),
                lease: if options.short { SHORT_LEASE } else { LEASE },
                noise: &noise,
                faults,
                points,
                startup: &mut startup,
                words: Vec::new(),
                injections: 0,
                time: None,
            };
            let outcome = (kind.run)(&mut trial).and_then(|()| trial.conclude());
            figures.add(&trial);
            report(kind, seed, &trial, &outcome);
            if let Err(failure) = outcome {
                failures.push(format!(
                    "{} seed {seed}: {failure}\n  again: {}",
                    kind.name,
                    again(kind, seed, options)
                ));
                arena.mend()?;
            }
            arena.renew_state()?;
        }
        rows.push(figures);
    }
    conclude(options, &rows, &failures)
}

fn again(kind: &Kind, seed: u64, options: &Options) -> String {
    let lab = if options.second_kernel { "lab target/debug/xtask " } else { "" };
    let short = if options.short { " --short" } else { "" };
    format!("cargo xtask {lab}torture --only {} --seed {seed} --rounds 1{short}", kind.name)
}

/// One line a case.
fn report(kind: &Kind, seed: u64, trial: &Trial, outcome: &Outcome) {
    let time = trial.time.map_or_else(String::new, |time| format!(", clean after {} ms", time.as_millis()));
    let words = trial.words.join(", ");
    match outcome {
        Ok(()) => println!("ok      {} {seed}: {words}{time}", kind.name),
        Err(failure) => println!("FAILED  {} {seed}: {words}{time}\n        {failure}", kind.name),
    }
}

fn conclude(options: &Options, rows: &[Figures], failures: &[String]) -> Outcome {
    println!("\n{}", figures::table(rows));
    let injections: usize = rows.iter().map(|row| row.injections).sum();
    let whole = options.rounds.is_none() && options.only.is_none() && !options.short && shell::is_root();
    if !failures.is_empty() {
        return Err(format!("{} cases failed:\n{}", failures.len(), failures.join("\n")));
    }
    if whole && injections < LEAST_INJECTIONS {
        return Err(format!("only {injections} injections were made, fewer than {LEAST_INJECTIONS}"));
    }
    Ok(())
}
