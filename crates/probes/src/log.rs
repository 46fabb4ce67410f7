//! Logs: how many lines match a pattern, and how fast they come. They stand in a file, or in the journal of the host.

mod file;
mod journal;
mod tally;

use file::LogFile;
use journal::Journal;
use regex_lite::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::units::Duration;
use squall_model::value::Reading;
use std::path::PathBuf;
use tally::Tally;

/// How long the first look takes: without two looks there is no rate.
const FIRST_LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// Over which time a rate is taken, where the file does not say.
const WINDOW: Duration = Duration::seconds(10);

/// What stands under `log:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The log file. It may be rotated, renamed or cut to nothing meanwhile.
    #[serde(default)]
    path: Option<PathBuf>,
    /// In place of a file, a unit of the service manager, whose messages are read from the journal: `payment`,
    /// `payment@1.service`.
    #[serde(default)]
    unit: Option<String>,
    /// The folder with the journal's files, where it is not the one of this host.
    #[serde(default)]
    journal: Option<PathBuf>,
    /// A regular expression; lines in which it is found are counted: `ERROR|panic`, `(?i)timed out`.
    pattern: String,
    /// Over which time up to now `per_second` is taken; over less where it was not looked for so long.
    #[serde(default = "ten_seconds")]
    window: Duration,
}

fn ten_seconds() -> Duration {
    WINDOW
}

/// The `log` probe.
pub struct Log(Source);

/// Where the lines come from.
enum Source {
    File(LogFile),
    Journal(Box<Journal>),
}

impl Probe for Log {
    const NAME: &'static str = "log";
    const SUMMARY: &'static str =
        "Counts the lines of a log that match a pattern: of a file, or of a unit's journal";
    const EXAMPLE: &'static str = "\
- log: {path: /var/log/shop.log, pattern: \"ERROR|panic\"}
  expect: count == 0
- log: {unit: payment, pattern: \"timed out\"}
  expect: per_second < 2
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("count", "how many lines matched that were written since the first look"),
        ("per_second", "how many a second, over `window`"),
        ("last", "the last one that matched, at most 1000 characters; absent where none did"),
        ("lines", "how many lines were written since the first look"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] =
        &[("count", ValueKind::Number), ("lines", ValueKind::Number)];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("count == 0");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let refused = |why: &str| Err(ProbeError(why.to_owned()));
        let pattern = Regex::new(&parameters.pattern)
            .map_err(|error| ProbeError(format!("`pattern` is no regular expression: {error}")))?;
        if parameters.window.0 < FIRST_LOOK {
            return refused("`window` is at least 1s");
        }
        let tally = Tally::new(pattern, parameters.window);
        match (parameters.path, parameters.unit, parameters.journal) {
            (Some(path), None, None) => Ok(Self(Source::File(LogFile::new(path, tally)))),
            (None, Some(unit), folder) => {
                Ok(Self(Source::Journal(Box::new(Journal::new(unit, folder, tally)?))))
            }
            (None, None, _) => {
                refused("which log? give the `path` of a file, or a `unit` whose journal is read")
            }
            (Some(_), ..) => {
                refused("`path` is of a log file, `unit` and `journal` of the journal; give one of the two")
            }
        }
    }
}

impl Observe for Log {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            if self.begin().await? {
                tokio::time::sleep(FIRST_LOOK).await;
            }
            match &self.0 {
                Source::File(file) => file.reading().await,
                Source::Journal(journal) => journal.reading().await,
            }
        })
    }

    fn patience(&self) -> Duration {
        Duration::seconds(15)
    }
}

impl Log {
    /// Begins at the end of the log, where that is not done yet.
    async fn begin(&self) -> Result<bool, ProbeError> {
        match &self.0 {
            Source::File(file) => file.begin().await,
            Source::Journal(journal) => journal.begin().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_probe::{ask, built, refusal};
    use serde_json::json;
    use std::fs::{self, File};
    use std::io::{Seek, SeekFrom, Write};
    use tally::LONGEST_LINE;

    struct Written {
        folder: tempfile::TempDir,
        file: File,
        probe: Log,
    }

    impl Written {
        /// A log with a line from before, looked at once.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("shop.log");
            let mut file = File::create(&path).unwrap();
            file.write_all(b"ERROR of yesterday\n").unwrap();
            let probe = built(json!({"path": path, "pattern": "ERROR|panic"}));
            let mut written = Self { folder, file, probe };
            assert_eq!(written.look(""), (0, 0, None));
            written
        }

        /// What is read once this is written: how many matched, how many lines, the last that matched.
        fn look(&mut self, text: &str) -> (u64, u64, Option<String>) {
            self.file.write_all(text.as_bytes()).unwrap();
            let reading = ask(&self.probe).unwrap();
            let [count, lines] = ["count", "lines"].map(|name| reading[name].number().unwrap() as u64);
            let last = reading.get("last").map(|last| last.to_string().trim_matches('"').to_owned());
            assert_eq!(reading["per_second"].number().unwrap() > 0.0, count > 0, "{reading:?}");
            (count, lines, last)
        }

        fn renew(&mut self) {
            let path = self.folder.path().join("shop.log");
            fs::rename(&path, self.folder.path().join("shop.log.1")).unwrap();
            let mut new = File::create(&path).unwrap();
            new.write_all(b"panic in the new one\n").unwrap();
            self.file = new;
        }
    }

    #[test]
    fn lines_that_match_are_counted_from_the_first_look_on() {
        let mut log = Written::new();
        assert_eq!(log.look("all well\nERROR a\nERR"), (1, 2, Some("ERROR a".to_owned())));
        assert_eq!(log.look("OR b\n"), (2, 3, Some("ERROR b".to_owned())));
        let long = format!("{}ERROR\n", "x".repeat(LONGEST_LINE));
        assert_eq!(log.look(&long).0, 2, "only the beginning of a line is looked at");
        assert_eq!(log.look("ERROR c\r\n").2, Some("ERROR c".to_owned()));
    }

    #[test]
    fn a_rotated_file_is_read_to_its_end_and_its_successor_from_the_beginning() {
        let mut log = Written::new();
        log.file.write_all(b"ERROR late\nERROR without an end").unwrap();
        log.renew();
        assert_eq!(log.look(""), (3, 3, Some("panic in the new one".to_owned())));
        // Renamed, and nothing in its place yet.
        fs::rename(log.folder.path().join("shop.log"), log.folder.path().join("shop.log.2")).unwrap();
        assert_eq!(log.look("ERROR d\n").0, 4);
        // Cut to nothing, and written to again.
        let mut log = Written::new();
        log.look("ERROR e\n");
        log.file.set_len(0).unwrap();
        log.file.seek(SeekFrom::Start(0)).unwrap();
        assert_eq!(log.look("ERROR f\n"), (2, 2, Some("ERROR f".to_owned())));
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let of = |path: PathBuf| {
            ask(&built::<Log>(json!({"path": path, "pattern": "a"}))).unwrap_err().to_string()
        };
        let error = of(folder.path().join("none.log"));
        assert!(error.contains("none.log: No such file"), "{error}");
        assert!(of(folder.path().to_owned()).contains("not a file"));
        assert!(refusal::<Log>(json!({"path": "/a", "pattern": "("})).contains("regular expression"));
        assert!(refusal::<Log>(json!({"path": "/a", "pattern": "a", "window": "1ms"})).contains("1s"));
        assert!(refusal::<Log>(json!({"pattern": "a"})).contains("which log?"));
        assert!(
            refusal::<Log>(json!({"path": "/a", "unit": "b", "pattern": "a"})).contains("one of the two")
        );
    }
}
