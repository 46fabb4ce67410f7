//! A whole experiment with one process probe and no fault, beside Chaos Toolkit.

use super::Benchmark;
use super::figures::Row;
use super::peers::beside_chaos;
use super::processes::Scratch;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "experiment",
    title: "An experiment, from start to end",
    how: "One probe that runs `/bin/true`, asked before and after, and no fault: the time of `squall run` (journal synced to \
          disk) and of `chaos run` on the equivalent file (journal written, its look for new versions switched off).",
    slow: false,
    run,
};

const REPETITIONS: usize = 30;

const OURS: &str = "
apiVersion: squall.dev/v1
kind: Experiment
name: one-probe
hypothesis: the program answers
steady_state:
  - exec: {command: [/bin/true]}
    expect: exit_code == 0
method:
  - wait: 0s
";

const THEIRS: &str = "
title: one-probe
description: the program answers
steady-state-hypothesis:
  title: the program answers
  probes:
    - type: probe
      name: program
      tolerance: 0
      provider: {type: process, path: /bin/true}
method: []
";

fn run(scratch: &Scratch) -> Result<Vec<Row>, String> {
    scratch.file("ours.yaml", OURS)?;
    scratch.file("theirs.yaml", THEIRS)?;
    let theirs = ["--no-version-check", "run", "theirs.yaml"];
    let (ours, peer) = beside_chaos(scratch, REPETITIONS, &["run", "ours.yaml"], &theirs)?;
    Ok(vec![Row::faster("wall time of the run", &ours, &peer, Some(20.0))])
}
