//! Breaking points that were found before, one JSON object a line of `limits.jsonl` in the state folder: a margin that shrinks
//! from time to time tells of a failure before it comes.

use crate::state::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use squall_linux::trust;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// How much of a fault an experiment took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Margin {
    pub(crate) at: Timestamp,
    pub(crate) experiment: String,
    pub(crate) environment: String,
    pub(crate) parameter: String,
    pub(crate) held_up_to: Option<String>,
    pub(crate) broke_at: Option<String>,
}

/// All that were kept.
pub(crate) struct Margins(PathBuf);

impl Margins {
    pub(crate) fn of(state: &State) -> Self {
        Self(state.folder().join("limits.jsonl"))
    }

    /// The latest of the same experiment, environment and parameter. Lines that cannot be read are passed over.
    pub(crate) fn last_like(&self, wanted: &Margin) -> Option<Margin> {
        let text = String::from_utf8(trust::read(&self.0).ok()?).ok()?;
        let mut margins = text.lines().filter_map(|line| serde_json::from_str::<Margin>(line).ok());
        let of = |margin: &Margin| {
            (margin.experiment.clone(), margin.environment.clone(), margin.parameter.clone())
        };
        margins.rfind(|margin| of(margin) == of(wanted))
    }

    /// Adds one.
    pub(crate) fn keep(&self, margin: &Margin) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.0)?;
        file.write_all(format!("{}\n", serde_json::to_string(margin)?).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_the_same_kind_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let margins = Margins::of(&State::at(folder.path()));
        let margin = |parameter: &str, held: &str| Margin {
            at: Timestamp::UNIX_EPOCH,
            experiment: "x".into(),
            environment: String::new(),
            parameter: parameter.into(),
            held_up_to: Some(held.into()),
            broke_at: None,
        };
        assert_eq!(margins.last_like(&margin("delay", "")), None);
        for (parameter, held) in [("delay", "1ms"), ("delay", "2ms"), ("loss", "3%")] {
            margins.keep(&margin(parameter, held)).unwrap();
        }
        assert_eq!(margins.last_like(&margin("delay", "")), Some(margin("delay", "2ms")));
    }
}
