//! The cluster of Kubernetes that tests start when they need it (`lab/kube`, a script beside the project): whoever runs all
//! tests ends it, unless it was there before.

use crate::{Outcome, shell};
use std::path::PathBuf;
use std::process::Command;

/// The cluster, as it was found.
pub(crate) struct Cluster {
    was_there: bool,
}

impl Cluster {
    /// Before any test.
    pub(crate) fn found() -> Self {
        Self { was_there: is_there() }
    }

    /// After all tests: it is ended, with all that it made, if they started it.
    pub(crate) fn end(self) -> Outcome {
        let script = shell::root().join("../shared/lab/kube");
        if self.was_there || !is_there() || !script.is_file() {
            return Ok(());
        }
        shell::run("ending the cluster", Command::new(script).arg("down"))
    }
}

/// Whether it is there, or was when the machine was last on.
fn is_there() -> bool {
    let folder =
        std::env::var_os("LAB_KUBE").map_or_else(|| PathBuf::from("/var/lib/lab-kube"), PathBuf::from);
    // Its settings stay when it ends, its process numbers do not.
    folder.join("apiserver.pid").is_file()
}
