//! Breaking points that were found before, one JSON object a line of `limits.jsonl` in the state folder: a margin that shrinks
//! from time to time tells of a failure before it comes.

use crate::state::State;
use squall_linux::trust;
use squall_model::past::Limit;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// All that were kept.
pub(crate) struct Margins(PathBuf);

impl Margins {
    pub(crate) fn of(state: &State) -> Self {
        Self(state.folder().join("limits.jsonl"))
    }

    /// Each, the oldest first. Lines that cannot be read are passed over.
    pub(crate) fn all(&self) -> Vec<Limit> {
        let text = trust::read(&self.0).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.unwrap_or_default().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The latest of the same experiment, environment and parameter.
    pub(crate) fn last_like(&self, wanted: &Limit) -> Option<Limit> {
        self.all().into_iter().rfind(|limit| limit.is_like(wanted))
    }

    /// Adds one.
    pub(crate) fn keep(&self, margin: &Limit) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.0)?;
        file.write_all(format!("{}\n", serde_json::to_string(margin)?).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn the_last_of_the_same_kind_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let margins = Margins::of(&State::at(folder.path()));
        let margin = |parameter: &str, held: &str| Limit {
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
        assert_eq!(margins.all().len(), 3);
    }
}
