//! The chores of the project: `cargo xtask CHORE`.

mod bench;
mod chart;
mod cluster;
mod dist;
mod image;
mod lab;
mod ledger;
mod licences;
mod output;
mod packages;
mod python;
mod shell;
mod sim;
mod test;
mod tidy;
mod torture;

use std::process::ExitCode;

/// What a chore returns: why it failed, in words.
type Outcome = Result<(), String>;

/// A chore: its name, what it does, and how.
type Chore = (&'static str, &'static str, fn(&[String]) -> Outcome);

const CHORES: &[Chore] = &[
    ("test", "installs what the tests need (as root) and runs all of them", test::run),
    ("tidy", "checks the house: layers, file headers, registered files, banned calls", tidy::run),
    (
        "torture",
        "kills Squall in every way while faults are live: `torture --short`, or one case again",
        torture::run,
    ),
    ("sim", "runs the simulator: `sim --seeds 100000`, or one again: `sim --seed 7`", sim::run),
    ("bench", "measures beside the peers: `bench [NAME…]`; `--write` updates docs/benchmarks.md", bench::run),
    ("lab", "runs a command in a second kernel that has netem: `lab COMMAND…`", lab::run),
    ("dist", "builds the release binary as one static file", dist::run),
    ("chart", "writes the chart for Helm: `chart [--binary PATH]`", chart::run),
    ("image", "packs it into an image: `image [--binary PATH] [-o FILE] [--tag NAME:TAG]`", image::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chosen = arguments.first().and_then(|name| CHORES.iter().find(|(chore, _, _)| chore == name));
    let Some((_, _, run)) = chosen else {
        eprintln!("cargo xtask CHORE, one of:");
        CHORES.iter().for_each(|(name, does, _)| eprintln!("  {name:8} {does}"));
        return ExitCode::from(2);
    };
    match run(&arguments[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
