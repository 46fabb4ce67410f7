//! How big the program is.

use super::figures::Row;
use super::processes::Scratch;
use super::{Benchmark, release};
use crate::shell;
use std::path::{Path, PathBuf};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "size",
    title: "Size of the program",
    how: "`cargo build --release`, and the one static file of `cargo xtask dist` where it was made before.",
    slow: false,
    run,
};

const AIM: f64 = 20.0;

/// The program that `cargo xtask dist` made.
pub(super) fn dist() -> Option<PathBuf> {
    let target = format!("target/{}-unknown-linux-gnu/dist/squall", std::env::consts::ARCH);
    Some(shell::root().join(target)).filter(|path| path.is_file())
}

fn run(_: &Scratch) -> Result<Vec<Row>, String> {
    let mut rows = vec![row("release build", &release("squall", None)?)?];
    match dist() {
        Some(binary) => rows.push(row("static `dist` build", &binary)?),
        None => rows.push(Row::new("static `dist` build", "skipped: run `cargo xtask dist` first")),
    }
    Ok(rows)
}

fn row(what: &str, binary: &Path) -> Result<Row, String> {
    let bytes = std::fs::metadata(binary).map_err(|error| format!("{}: {error}", binary.display()))?.len();
    let megabytes = bytes as f64 / 1e6;
    Ok(Row::new(what, format!("{megabytes:.1} MB")).aiming(format!("< {AIM:.0} MB"), megabytes < AIM))
}
