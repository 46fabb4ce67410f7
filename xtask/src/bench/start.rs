//! How long the program takes to start, beside Chaos Toolkit.

use super::Benchmark;
use super::figures::Row;
use super::peers::beside_chaos;
use super::processes::Scratch;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "start",
    title: "Start of the program",
    how: "The time of `squall --version` and of `chaos --version`.",
    slow: false,
    run,
};

const REPETITIONS: usize = 50;

fn run(scratch: &Scratch) -> Result<Vec<Row>, String> {
    let (ours, peer) = beside_chaos(scratch, REPETITIONS, &["--version"], &["--version"])?;
    Ok(vec![Row::faster("start to `--version`", &ours, &peer, None)])
}
