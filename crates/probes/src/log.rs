//! Log files: how many lines match a pattern, and how fast they come. A file that is rotated is followed: what was
//! written to the old one is read to its end, then the new one from its beginning.
//!
//! What journald keeps lies in files of a kind of its own, which only its own program reads; that program can be asked
//! by `exec`.

use regex_lite::Regex;
use rustix::fs::OFlags;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::collections::VecDeque;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// How long the first look takes: without two looks there is no rate.
const FIRST_LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// At most so many bytes are read at a look.
const MOST_AT_ONCE: u64 = 256 << 20;

/// Of a longer line, only the beginning is looked at, in bytes.
const LONGEST_LINE: usize = 64 << 10;

/// Of the last line that matched, so many characters are kept.
const LONGEST_SHOWN: usize = 1000;

/// Over which time a rate is taken, where the file does not say.
const WINDOW: Duration = Duration::seconds(10);

/// What stands under `log:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The log file. It may be rotated, renamed or cut to nothing meanwhile.
    path: PathBuf,
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
pub struct Log {
    parameters: Arc<Parameters>,
    pattern: Regex,
    watch: Arc<Mutex<Option<Watch>>>,
}

impl Probe for Log {
    const NAME: &'static str = "log";
    const SUMMARY: &'static str = "Counts the lines of a log file that match a pattern";
    const EXAMPLE: &'static str = "\
- log: {path: /var/log/shop.log, pattern: \"ERROR|panic\"}
  expect: count == 0
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
        let pattern = Regex::new(&parameters.pattern)
            .map_err(|error| ProbeError(format!("`pattern` is no regular expression: {error}")))?;
        if parameters.window.0 < FIRST_LOOK {
            return Err(ProbeError("`window` is at least 1s".to_owned()));
        }
        Ok(Self { parameters: Arc::new(parameters), pattern, watch: Arc::default() })
    }
}

impl Observe for Log {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            let failed = |why: String| ProbeError(format!("read {}: {why}", self.parameters.path.display()));
            if self.look(Watch::begin).await.map_err(failed)? {
                tokio::time::sleep(FIRST_LOOK).await;
            }
            self.look(Watch::reading).await.map_err(failed)
        })
    }

    fn patience(&self) -> Duration {
        Duration::seconds(10)
    }
}

impl Log {
    /// Looks on a thread of its own: a disk may take its time.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Option<Watch>, &Parameters, &Regex) -> io::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let (watch, parameters, pattern) =
            (self.watch.clone(), self.parameters.clone(), self.pattern.clone());
        let looking = tokio::task::spawn_blocking(move || {
            look(&mut watch.lock().unwrap_or_else(PoisonError::into_inner), &parameters, &pattern)
        });
        looking.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// A file that is watched.
struct Watch {
    file: File,
    at: u64,
    /// The beginning of a line whose end is not written yet.
    open_line: Vec<u8>,
    begun: Instant,
    lines: u64,
    count: u64,
    last: Option<String>,
    /// How many had matched, and when; the oldest is at most just older than the window.
    looks: VecDeque<(Instant, u64)>,
}

fn open(parameters: &Parameters) -> io::Result<File> {
    // A pipe would keep its opener waiting for whoever writes to it.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&parameters.path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("this is not a file that can be read again"))
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Watch {
    /// Begins at the end of the file, where that is not done yet.
    fn begin(watch: &mut Option<Self>, parameters: &Parameters, _: &Regex) -> io::Result<bool> {
        if watch.is_some() {
            return Ok(false);
        }
        let mut file = open(parameters)?;
        let at = file.seek(SeekFrom::End(0))?;
        let begun = Instant::now();
        let (looks, open_line) = (VecDeque::from([(begun, 0)]), Vec::new());
        *watch = Some(Self { file, at, open_line, begun, lines: 0, count: 0, last: None, looks });
        Ok(true)
    }

    fn reading(watch: &mut Option<Self>, parameters: &Parameters, pattern: &Regex) -> io::Result<Reading> {
        let watch = watch.as_mut().ok_or_else(|| io::Error::other("it was not looked at before"))?;
        watch.follow(parameters, pattern)?;
        let (count, now) = (watch.count, Instant::now());
        watch.looks.push_back((now, count));
        let is_out = |at: &(Instant, u64)| now.duration_since(at.0) >= parameters.window.0;
        while watch.looks.get(1).is_some_and(is_out) {
            watch.looks.pop_front();
        }
        let (since, before) = watch.looks.front().copied().unwrap_or((watch.begun, 0));
        let rate = (count - before) as f64 / now.duration_since(since).as_secs_f64();
        let mut reading = Reading::from([
            ("count".to_owned(), Value::Number(count as f64)),
            ("lines".to_owned(), Value::Number(watch.lines as f64)),
            ("per_second".to_owned(), Value::Number(rate)),
        ]);
        reading.extend(watch.last.clone().map(|last| ("last".to_owned(), Value::Text(last))));
        Ok(reading)
    }

    /// Reads what was written since the last look.
    fn follow(&mut self, parameters: &Parameters, pattern: &Regex) -> io::Result<()> {
        let named = match fs::metadata(&parameters.path) {
            Ok(named) => Some(identity(&named)),
            // Renamed, and its successor is not there yet: who writes still writes to the old one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let own = self.file.metadata()?;
        if own.len() < self.at {
            // Cut to nothing, as `copytruncate` does.
            self.begin_anew(pattern);
        }
        self.read(pattern)?;
        if named.is_some_and(|named| named != identity(&own)) {
            self.file = open(parameters)?;
            self.begin_anew(pattern);
            self.read(pattern)?;
        }
        Ok(())
    }

    fn begin_anew(&mut self, pattern: &Regex) {
        self.at = 0;
        if !self.open_line.is_empty() {
            self.end_line(pattern);
        }
    }

    fn read(&mut self, pattern: &Regex) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.at))?;
        let mut room = vec![0; 64 << 10];
        let mut read = 0;
        loop {
            let length = self.file.read(&mut room)?;
            if length == 0 {
                return Ok(());
            }
            self.at += length as u64;
            read += length as u64;
            self.take(&room[..length], pattern);
            if read >= MOST_AT_ONCE {
                return Err(io::Error::other("it grows faster than it can be read"));
            }
        }
    }

    fn take(&mut self, bytes: &[u8], pattern: &Regex) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = LONGEST_LINE - self.open_line.len();
            self.open_line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line(pattern);
            }
        }
    }

    fn end_line(&mut self, pattern: &Regex) {
        let line = String::from_utf8_lossy(&self.open_line);
        self.lines += 1;
        if pattern.is_match(&line) {
            self.count += 1;
            self.last = Some(line.trim_end().chars().take(LONGEST_SHOWN).collect());
        }
        self.open_line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_probe::{ask, built, refusal};
    use serde_json::json;
    use std::io::Write;

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
    }
}
