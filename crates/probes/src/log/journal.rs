//! The journal of the host, as far as it is of one unit. It lies in files of a kind of its own, so its own program is
//! asked at each look, from where the look before ended; nothing of it runs in between.
//!
//! Source: `journalctl(1)`, `--show-cursor` and `--after-cursor`.

use super::tally::Tally;
use crate::exec;
use crate::timeout::Timeout;
use squall_model::probe::ProbeError;
use squall_model::units::Duration;
use squall_model::value::Reading;
use std::path::PathBuf;
use tokio::sync::Mutex;

/// At most so many bytes are read at a look.
const MOST_AT_ONCE: usize = 64 << 20;

/// How the line begins that tells where the journal ends.
const CURSOR: &str = "-- cursor: ";

pub(super) struct Journal {
    unit: String,
    folder: Option<PathBuf>,
    followed: Mutex<Followed>,
}

struct Followed {
    /// The last entry that was read, of any unit; none before the first look.
    cursor: Option<String>,
    tally: Tally,
}

impl Journal {
    pub(super) fn new(unit: String, folder: Option<PathBuf>, tally: Tally) -> Result<Self, ProbeError> {
        if unit.is_empty() || unit.contains('/') {
            return Err(ProbeError(format!("{unit:?} is not the name of a unit")));
        }
        Ok(Self { unit, folder, followed: Mutex::new(Followed { cursor: None, tally }) })
    }

    /// Begins at the end of the journal, where that is not done yet.
    pub(super) async fn begin(&self) -> Result<bool, ProbeError> {
        let mut followed = self.followed.lock().await;
        if followed.cursor.is_some() {
            return Ok(false);
        }
        let (_, cursor) = self.ask(&["--lines=0".to_owned()]).await.map_err(|error| self.advised(&error))?;
        let none = ProbeError("read the journal: it has no entry".to_owned());
        followed.cursor = Some(cursor.ok_or_else(|| self.advised(&none))?);
        followed.tally.begin();
        Ok(true)
    }

    pub(super) async fn reading(&self) -> Result<Reading, ProbeError> {
        let mut followed = self.followed.lock().await;
        let after = followed.cursor.iter().map(|cursor| format!("--after-cursor={cursor}"));
        let words: Vec<String> = after.chain([format!("--unit={}", self.unit)]).collect();
        // Should this be wanted no more while it is asked, the next look begins where this one did.
        let (lines, cursor) = self.ask(&words).await?;
        followed.cursor = cursor.or(followed.cursor.take());
        followed.tally.take(lines.as_bytes());
        Ok(followed.tally.reading())
    }

    fn advised(&self, error: &ProbeError) -> ProbeError {
        let remedy = match &self.folder {
            Some(folder) => format!("is {} the folder of a journal, and may you read it?", folder.display()),
            None => "does systemd-journald keep one here, and may you read it (root and members of systemd-journal may)? \
                     Else name a file by `path`, or the folder of a journal by `journal`"
                .to_owned(),
        };
        ProbeError(format!("{error}; {remedy}"))
    }

    /// What the journal's program prints, and where the journal ended then.
    async fn ask(&self, words: &[String]) -> Result<(String, Option<String>), ProbeError> {
        let mut command = ["journalctl", "--quiet", "--no-pager", "--output=cat", "--show-cursor"]
            .map(str::to_owned)
            .to_vec();
        command.extend(self.folder.iter().map(|folder| format!("--directory={}", folder.display())));
        command.extend_from_slice(words);
        let within = Timeout::try_from(Duration::seconds(10)).map_err(ProbeError)?;
        let printed = exec::printed(command, within, MOST_AT_ONCE).await?;
        Ok(match printed.rfind(CURSOR) {
            Some(at) => (printed[..at].to_owned(), Some(printed[at + CURSOR.len()..].trim().to_owned())),
            None => (format!("{printed}\n"), None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Log;
    use crate::test_probe::{ask, built, refusal};
    use serde_json::json;
    use std::io::Write;
    use std::path::Path;
    use std::process::{Command, Stdio};

    /// The program that writes journals of other hosts, from Debian's `systemd-journal-remote`.
    const WRITER: &str = "/lib/systemd/systemd-journal-remote";

    fn write(folder: &Path, unit: &str, message: &str) {
        let mut writer = Command::new(WRITER)
            .args([&format!("--output={}/host.journal", folder.display()), "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
        let mut entry =
            format!("__REALTIME_TIMESTAMP={now}\n_BOOT_ID={:032x}\n_SYSTEMD_UNIT={unit}\n", 7).into_bytes();
        // The form for texts of several lines: name, length, text.
        entry.extend_from_slice(b"MESSAGE\n");
        entry.extend_from_slice(&(message.len() as u64).to_le_bytes());
        entry.extend_from_slice(message.as_bytes());
        entry.extend_from_slice(b"\n\n");
        writer.stdin.take().unwrap().write_all(&entry).unwrap();
        assert!(writer.wait().unwrap().success());
    }

    #[test]
    fn messages_of_one_unit_are_counted_from_the_first_look_on() {
        if !Path::new(WRITER).exists() {
            println!("skipped: there is no {WRITER} here (Debian's package systemd-journal-remote)");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let probe: Log = built(json!({"unit": "payment", "journal": folder.path(), "pattern": "ERROR"}));
        let error = ask(&probe).unwrap_err().to_string();
        assert!(error.contains("journalctl") && error.contains("the folder of a journal"), "{error}");
        write(folder.path(), "payment.service", "ERROR of yesterday");
        let look = || {
            let reading = ask(&probe).unwrap();
            (reading["count"].number().unwrap() as u64, reading["lines"].number().unwrap() as u64)
        };
        assert_eq!(look(), (0, 0));
        write(folder.path(), "payment.service", "all well\nERROR a");
        write(folder.path(), "other.service", "ERROR of another");
        assert_eq!(look(), (1, 2));
        assert_eq!(look(), (1, 2));
        write(folder.path(), "payment.service", "ERROR b");
        assert_eq!(look(), (2, 3));
        assert_eq!(ask(&probe).unwrap()["last"].to_string().trim_matches('"'), "ERROR b");
        assert!(refusal::<Log>(json!({"unit": "a/b", "pattern": "a"})).contains("name of a unit"));
    }
}
