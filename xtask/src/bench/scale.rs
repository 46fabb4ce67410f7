//! Very many pods and experiments, on a real API server.

use super::figures::Row;
use super::processes::{Scratch, output};
use super::{Benchmark, release};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "scale",
    title: "Very many pods and experiments",
    how: "A real API server of Kubernetes 1.20 (with etcd, controllers and scheduler on the same machine) with 100 simulated nodes \
          and 10,000 simulated pods: objects without a kubelet, made by `crates/kubernetes/examples/scale.rs`. The strikes are \
          manifests of Chaos Mesh run from the command line, their times those of the journal: from the first that was asked for to \
          the last that was made, each with its undo log synced to disk. The experiments are objects of `squall.dev/v1`, each with \
          a NetworkPolicy that is made, seen and taken back.",
    slow: true,
    run,
};

fn run(scratch: &Scratch) -> Result<Vec<Row>, String> {
    let squall = release("squall", None)?;
    let scale = release("squall-kubernetes", Some("scale"))?;
    let printed = output(
        &mut scratch.command(scale, &[&squall.to_string_lossy(), &scratch.path("").to_string_lossy()]),
    )?;
    Ok(printed.lines().filter_map(Row::read).collect())
}
