//! Metrics in a file, for the text file collector of Prometheus' node exporter: there is never half of one.
//!
//! <https://github.com/prometheus/node_exporter#textfile-collector>

use crate::letter::Letter;
use crate::outlet::{Exporter, Happened, Outlet};
use crate::surroundings::Surroundings;
use std::path::PathBuf;

pub(crate) struct TextFile {
    path: PathBuf,
}

impl Outlet for TextFile {
    const NAME: &'static str = "file";
    const SUMMARY: &'static str = "Metrics in a file for the text file collector of the node exporter";
    const EXAMPLE: &'static str = "file: /var/lib/node_exporter/textfile_collector/squall.prom";
    type Parameters = String;

    fn new(path: String, surroundings: &Surroundings) -> Result<Self, String> {
        let path = surroundings.folder.join(path);
        let is_there = path.parent().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir());
        if path.extension().is_none_or(|ending| ending != "prom") {
            return Err(format!(
                "{} does not end in .prom; the node exporter reads no other file",
                path.display()
            ));
        }
        if !is_there {
            return Err(format!("the folder of {} is not there; make it first", path.display()));
        }
        Ok(Self { path })
    }
}

impl Exporter for TextFile {
    fn destination(&self) -> String {
        format!("file ({})", self.path.display())
    }

    fn letters(&self, happened: Happened<'_>) -> Vec<Letter> {
        if !happened.changed {
            return Vec::new();
        }
        vec![Letter::file(self.path.clone(), happened.metrics.text()).superseding()]
    }
}
