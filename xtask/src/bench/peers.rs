//! The peers: programs that do what Squall does, installed where that can be done.

use super::figures::{Peer, Samples};
use super::processes::{Scratch, time};
use super::release;
use crate::{Outcome, packages, shell};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NEEDED: &[packages::Needed] = &[
    ("wrk", "wrk", "the load generator to compare with"),
    ("nginx", "nginx-light", "the server that both load"),
    ("prometheus", "prometheus", "what is asked for conditions"),
    ("psql", "postgresql", "the server on which sessions are held, and pgbench"),
    ("ip", "iproute2", "network namespaces"),
    ("tc", "iproute2", "the way by hand to shape traffic"),
    ("nft", "nftables", "the way by hand to drop packets"),
    ("taskset", "util-linux", "one processor for the server, one for the load"),
];

/// Installs what is missing as root; says what to install otherwise.
pub(super) fn provide() -> Outcome {
    packages::provide_all(NEEDED)
}

/// Runs Squall and Chaos Toolkit with their arguments, turn by turn, and measures each from start to end.
pub(super) fn beside_chaos(
    scratch: &Scratch,
    repetitions: usize,
    ours: &[&str],
    theirs: &[&str],
) -> Result<(Samples, Peer), String> {
    let squall = release("squall", None)?;
    let chaos = chaos();
    let (mut our_times, mut their_times) = (Samples::default(), Samples::default());
    for _ in 0..repetitions {
        our_times.add_time(time(&mut scratch.command(&squall, ours))?);
        if let Ok(chaos) = &chaos {
            their_times.add_time(time(&mut scratch.command(chaos, theirs))?);
        }
    }
    let measured = |chaos: PathBuf| Peer::Measured(version_of_chaos(&chaos), their_times);
    Ok((our_times, chaos.map_or_else(Peer::Missing, measured)))
}

/// Chaos Toolkit's program, in a virtual environment of its own; or why it cannot be had.
fn chaos() -> Result<PathBuf, String> {
    let folder = shell::root().join("target/bench/venv");
    let program = folder.join("bin/chaos");
    if !program.is_file() {
        let environment = folder.to_string_lossy();
        quietly(&mut shell::command("python3", &["-m", "venv", &environment]))?;
        let pip = folder.join("bin/pip");
        quietly(&mut shell::command(&pip.to_string_lossy(), &["install", "--quiet", "chaostoolkit"]))?;
    }
    Ok(program)
}

/// Its name and version.
fn version_of_chaos(chaos: &Path) -> String {
    let output = Command::new(chaos).arg("--version").stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    format!("Chaos Toolkit {}", text.trim().rsplit(' ').next().unwrap_or_default())
}

fn quietly(command: &mut Command) -> Outcome {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}", text.trim().lines().last().unwrap_or_default()))
}
