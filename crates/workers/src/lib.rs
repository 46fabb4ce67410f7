//! Data planes: programs that must keep running while a fault is active.
//!
//! A worker is the binary run as `squall worker MARK` by the agent (see `squall_linux::step::worker`, which starts,
//! asks and ends it). It gets ready, says so, and then answers each line on standard input with what it has done so
//! far. When standard input ends, or the agent dies, it ends: nothing of it is left.

mod cpu_load;
mod memory;
mod signal_every;
mod signal_then_kill;
mod strike;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setpriority_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use squall_linux::step::worker::{JOB, Job, Report};
use squall_linux::sys::cgroup;
use squall_model::step::Work;
use squall_model::undo::{Effect, Evidence};
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long the first effect is waited for. The agent waits longer than this for a worker to be ready, though not for
/// long: other injections wait meanwhile.
const SHOWS_WITHIN: Duration = Duration::from_millis(200);

/// Work that goes on in threads of its own until the process ends.
trait Going {
    /// What it has done so far.
    fn evidence(&self) -> Evidence;
}

/// Why there is no work to be done.
enum Refusal {
    /// The agent is gone already, and nobody listens.
    Orphaned,
    /// What was tried, what came back, what to do.
    Failed(String),
}

/// `squall worker MARK`, the job in the environment; the mark only tells this process from others.
pub fn main(arguments: &[String]) -> ExitCode {
    let begun = match arguments {
        [_mark] => begin(&std::env::var(JOB).unwrap_or_default()),
        _ => Err(Refusal::Failed("a worker takes a mark, from the agent only".to_owned())),
    };
    match begun {
        Ok(going) => match serve(going.as_ref()) {
            Ok(()) => ExitCode::SUCCESS,
            // The agent's end of the pipe is gone, and so is the agent.
            Err(_) => ExitCode::FAILURE,
        },
        Err(Refusal::Orphaned) => ExitCode::FAILURE,
        Err(Refusal::Failed(message)) => {
            // Where this cannot be said either, the exit code says it.
            let _ = say(&Report::Failed { message });
            ExitCode::FAILURE
        }
    }
}

fn begin(job: &str) -> Result<Box<dyn Going>, Refusal> {
    let job: Job = serde_json::from_str(job)
        .map_err(|error| Refusal::Failed(format!("could not read the job in {JOB}: {error}")))?;
    die_with(job.parent)?;
    be_the_first_to_die(&job.work)?;
    setpriority_process(None, job.priority)
        .map_err(|error| Refusal::Failed(format!("could not take priority {}: {error}", job.priority)))?;
    for folder in &job.cgroups {
        cgroup::join(Path::new(folder)).map_err(|error| {
            Refusal::Failed(format!(
                "could not join control group {folder}: {error}; that takes write access to its cgroup.procs: run \
                 with --sudo, or as root"
            ))
        })?;
    }
    match job.work {
        Work::CpuLoad { percent, cores, processors } => {
            keep_to(&processors)?;
            boxed(cpu_load::start(percent, cores))
        }
        Work::Memory { rate, limit, leave_free } => {
            boxed(memory::start(memory::Growth { rate, limit, leave_free }))
        }
        Work::SignalEvery { process, target, signal, every, grace } => {
            let blow = strike::Blow { signal, grace };
            boxed(signal_every::start(signal_every::Strikes { process, target, blow, every }))
        }
        Work::SignalThenKill { process, signal, grace } => {
            boxed(signal_then_kill::start(process, strike::Blow { signal, grace: Some(grace) }))
        }
    }
}

fn boxed<T: Going + 'static>(started: io::Result<T>) -> Result<Box<dyn Going>, Refusal> {
    match started {
        Ok(going) => Ok(Box::new(going)),
        Err(error) => Err(Refusal::Failed(format!("could not start the worker's threads: {error}"))),
    }
}

/// Has the kernel kill us when the agent dies, and checks that it did not die before that was said.
fn die_with(parent: u32) -> Result<(), Refusal> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| {
        Refusal::Failed(format!("could not tie the worker's life to the agent's: {error}"))
    })?;
    let now = getppid().map(Pid::as_raw_nonzero).and_then(|pid| u32::try_from(pid.get()).ok());
    if now == Some(parent) { Ok(()) } else { Err(Refusal::Orphaned) }
}

/// When memory runs out, the kernel shall end the worker before anything that matters: 1000 is "this one first"
/// (`proc_pid_oom_score_adj(5)`).
fn be_the_first_to_die(work: &Work) -> Result<(), Refusal> {
    const FILE: &str = "/proc/self/oom_score_adj";
    let wanted = match work {
        Work::Memory { .. } => 1000,
        Work::CpuLoad { .. } | Work::SignalEvery { .. } | Work::SignalThenKill { .. } => 500,
    };
    // Anybody may raise it; to lower it takes a privilege, and there is no need to.
    let now = std::fs::read_to_string(FILE).ok().and_then(|score| score.trim().parse::<i32>().ok());
    if now.is_some_and(|now| now >= wanted) {
        return Ok(());
    }
    std::fs::write(FILE, wanted.to_string()).map_err(|error| {
        Refusal::Failed(format!("could not make the worker the first to end when memory runs out: {error}"))
    })
}

/// Keeps this thread, and those that it starts, to some processors; none named means to no ones in particular.
fn keep_to(processors: &[u32]) -> Result<(), Refusal> {
    if processors.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for number in processors.iter().map(|number| *number as usize).filter(|number| *number < CpuSet::MAX_CPU)
    {
        set.set(number);
    }
    sched_setaffinity(None, &set).map_err(|error| {
        Refusal::Failed(format!(
            "could not keep the load to processors {processors:?}, those of the target: {error}; Squall's own control \
             group (cpuset) may be kept off them"
        ))
    })
}

/// Says that we are ready, and answers until the questions end.
fn serve(going: &dyn Going) -> io::Result<()> {
    wait_for_effect(going);
    say(&Report::Ready)?;
    for question in io::stdin().lock().lines() {
        question?;
        say(&Report::Evidence(going.evidence()))?;
    }
    Ok(())
}

/// Waits until the work shows, so that "injected" means just that; for a while only, since some never does.
fn wait_for_effect(going: &dyn Going) {
    let deadline = Instant::now() + SHOWS_WITHIN;
    while going.evidence().effect == Effect::NotSeen && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn say(report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}
