//! How long the project takes to build: from nothing, and after a change of one line.

use super::Benchmark;
use super::figures::{Row, time};
use super::processes::{self, Scratch};
use crate::shell;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "builds",
    title: "Building",
    how: "A copy of the last commit is built in a folder of its own: `cargo build --release` with nothing built before (the \
          sources of the dependencies are on the disk already), then again after a line was added to one file; likewise \
          `cargo build` for development. Processor time counts all processors, and says more on a busy machine.",
    slow: true,
    run,
};

/// In which the kernel tells processor times to programs, whatever it counts in itself (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

const AIM: Duration = Duration::from_mins(4);

fn run(scratch: &Scratch) -> Result<Vec<Row>, String> {
    let tree = scratch.path("tree");
    copy_of_last_commit(&tree)?;
    let mut rows = Vec::new();
    for (profile, flags) in [("release", &["--release"][..]), ("development", &[])] {
        let cold = build(&tree, flags)?;
        let row = Row::new(format!("{profile} build from nothing"), cold.words());
        rows.push(if profile == "release" {
            row.aiming(format!("< {}", time(AIM.as_secs_f64())), cold.wall < AIM.as_secs_f64())
        } else {
            row
        });
        for file in ["crates/faults/src/process/pause.rs", "crates/squall/src/exit.rs"] {
            add_line(&tree.join(file))?;
            rows.push(Row::new(
                format!("{profile} build after a line more in `{file}`"),
                build(&tree, flags)?.words(),
            ));
        }
    }
    Ok(rows)
}

fn copy_of_last_commit(tree: &Path) -> Result<(), String> {
    let tree = tree.to_string_lossy();
    let script = r#"mkdir -p "$0" && git archive HEAD | tar -x -C "$0""#;
    shell::run("copy of the last commit", &mut shell::command("sh", &["-c", script, &tree]))
}

/// A comment would do for the compiler's front end alone; this changes what is compiled.
fn add_line(file: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(failed)?;
    let line = format!("\n/// One line more.\npub const LINE_{}: u64 = {};\n", fastrand::u32(..), text.len());
    fs::write(file, text + &line).map_err(failed)
}

struct Built {
    wall: f64,
    processor: f64,
}

impl Built {
    fn words(&self) -> String {
        format!("{} ({} of processor time)", time(self.wall), time(self.processor))
    }
}

fn build(tree: &Path, flags: &[&str]) -> Result<Built, String> {
    let before = processor_time()?;
    let mut command = Command::new("cargo");
    command.args(["build", "--quiet", "--locked"]).args(flags).current_dir(tree);
    // Where cargo runs this program, it tells it where things are; here, that is not so.
    command.env("CARGO_TARGET_DIR", tree.join("target")).env_remove("RUSTFLAGS");
    let wall = processes::time(&mut command)?.as_secs_f64();
    Ok(Built { wall, processor: processor_time()? - before })
}

/// Processor time of the children that have ended, in seconds (`/proc/self/stat`, fields 16 and 17).
fn processor_time() -> Result<f64, String> {
    let stat = fs::read_to_string("/proc/self/stat").map_err(|error| error.to_string())?;
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let fields = after_name.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<f64>().ok());
    Ok(fields.sum::<f64>() / TICKS_PER_SECOND)
}
