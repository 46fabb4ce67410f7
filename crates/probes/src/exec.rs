//! A command: what it printed and how it ended as a probe, the number that it printed as a metric.
//!
//! The command runs as the user who runs Squall, with its rights, in a process group of its own. Whatever is left of
//! that group when the command has ended, has taken too long, or is wanted no more, is killed. (What a command moves
//! to a session of its own, as daemons do, is out of reach.)

use crate::timeout::Timeout;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, Interest};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How much of each output is kept, in bytes; the rest is read and dropped.
const OUTPUT_KEPT: usize = 64 * 1024;

/// Once its whole group is dead, how long to wait for the end of the outputs: what escaped may hold them open.
const DRAIN: std::time::Duration = std::time::Duration::from_millis(200);

/// A program and its arguments as a list, or a text for `sh -c`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a command is a text for `sh -c`, or a list of a program and its arguments")]
#[schemars(inline)]
pub enum CommandLine {
    /// For `sh -c`.
    Shell(String),
    /// A program and its arguments, started without a shell.
    Words(Vec<String>),
}

impl CommandLine {
    fn check(&self) -> Result<(), ProbeError> {
        let empty = match self {
            Self::Shell(text) => text.trim().is_empty(),
            Self::Words(words) => words.first().is_none_or(String::is_empty),
        };
        if empty { Err(ProbeError("`command` is empty".to_owned())) } else { Ok(()) }
    }

    fn command(&self) -> Command {
        match self {
            Self::Shell(text) => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(text);
                command
            }
            Self::Words(words) => {
                let mut command = Command::new(words.first().map_or("", String::as_str));
                command.args(words.iter().skip(1));
                command
            }
        }
    }
}

/// The program alone: arguments may hold a password, and so may variables that are set before it.
impl fmt::Display for CommandLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = match self {
            Self::Shell(text) => program_of(text),
            Self::Words(words) => words.first().map_or("", String::as_str),
        };
        write!(formatter, "run `{program}`")
    }
}

/// The first word of a shell's text that sets no variable; the shell itself where quotes or the like make words of
/// something else than blanks.
fn program_of(text: &str) -> &str {
    let is_plain = |word: &str| !word.contains(|c: char| "'\"\\$`(){};&|<>".contains(c));
    let sets_a_variable = |word: &str| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+'))
        })
    };
    for word in text.split_whitespace() {
        if !is_plain(word) {
            break;
        }
        if !sets_a_variable(word) {
            return word;
        }
    }
    "sh"
}

/// What stands under `exec:`, as a probe and as a metric.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// A text for `sh -c`, or a list of a program and its arguments. It runs as the user who runs Squall.
    command: CommandLine,
    /// How long it may take; it is killed then, with all that it started.
    #[serde(default)]
    timeout: Timeout,
    /// Environment variables to set beside those of Squall.
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// The folder to run in; that of Squall, where not given.
    #[serde(default)]
    directory: Option<PathBuf>,
}

/// How a command ended and what it printed.
struct Outcome {
    status: ExitStatus,
    stdout: String,
    stderr: String,
    seconds: f64,
}

impl Outcome {
    /// The exit code, or as a shell says it 128 and the number of the signal that ended the command.
    fn exit_code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// The number on standard output, if that is all there is.
    fn number(&self) -> Option<f64> {
        self.stdout.parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn reading(self) -> Reading {
        let mut reading = Reading::from([
            ("exit_code".to_owned(), Value::Number(f64::from(self.exit_code()))),
            ("latency".to_owned(), Value::Number(self.seconds)),
        ]);
        if let Some(number) = self.number() {
            reading.insert("value".to_owned(), Value::Number(number));
        }
        reading.insert("stdout".to_owned(), Value::Text(self.stdout));
        reading.insert("stderr".to_owned(), Value::Text(self.stderr));
        reading
    }
}

/// A command that runs. Dropped, it dies with all that it started.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    /// Ends what is left of the group. Must be called before the child is waited for: until then its number, which is
    /// also the group's, cannot be anyone else's.
    fn kill_group(&mut self) {
        if let Some(group) = self.group.take() {
            // That nobody is left in it is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Waits until the command has ended, without taking note of it: its number stays its own.
    async fn ended(&self) -> io::Result<()> {
        let Some(pid) = self.group else { return Ok(()) };
        // A pidfd can be read from when its process has ended, see pidfd_open(2).
        watched(pidfd_open(pid, PidfdFlags::empty())?)?.readable().await?.retain_ready();
        Ok(())
    }
}

#[expect(
    deprecated,
    reason = "deprecated for fds that are closed while registered; an OwnedFd is open while it lives"
)]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
    }
}

impl Parameters {
    fn start(&self) -> io::Result<Running> {
        let mut command = self.command.command();
        command.envs(&self.environment).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let child = command.spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Running { child, group })
    }

    async fn run(&self, kept: usize) -> Result<Outcome, ProbeError> {
        let failed =
            |error: io::Error| ProbeError(format!("{}: {error}{}", self.command, self.advice(&error)));
        let begun = Instant::now();
        let mut running = self.start().map_err(failed)?;
        let late = || {
            ProbeError(format!(
                "{}: not done within {}, so it was killed",
                self.command,
                Duration::from(self.timeout)
            ))
        };
        let ended = timeout(self.timeout.get(), running.outcome(begun, kept)).await;
        ended.map_err(|_| late())?.map_err(failed)
    }

    fn advice(&self, error: &io::Error) -> &'static str {
        match (error.kind(), &self.directory) {
            (io::ErrorKind::NotFound, None) => "; is it installed, and in PATH?",
            (io::ErrorKind::NotFound, Some(_)) => {
                "; is it installed and in PATH, and does `directory` exist?"
            }
            _ => "",
        }
    }
}

impl Running {
    /// Reads both outputs until the command has ended and its group is dead.
    async fn outcome(&mut self, begun: Instant, kept: usize) -> io::Result<Outcome> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (out, err) = (self.child.stdout.take(), self.child.stderr.take());
        let seconds = {
            let read = async {
                tokio::join!(keep_beginning(out, &mut stdout, kept), keep_beginning(err, &mut stderr, kept))
            };
            tokio::pin!(read);
            let mut all_read = false;
            loop {
                tokio::select! {
                    _ = &mut read, if !all_read => all_read = true,
                    ended = self.ended() => break ended?,
                }
            }
            let seconds = begun.elapsed().as_secs_f64();
            self.kill_group();
            if !all_read {
                // What was read counts, also if something that escaped keeps the outputs open.
                let _ = timeout(DRAIN, read).await;
            }
            seconds
        };
        let status = self.child.wait().await?;
        Ok(Outcome { status, stdout: text(&stdout), stderr: text(&stderr), seconds })
    }
}

/// Reads to the end and keeps the beginning, at most so many bytes.
async fn keep_beginning(output: Option<impl AsyncRead + Unpin>, beginning: &mut Vec<u8>, kept: usize) {
    let Some(mut output) = output else { return };
    let mut buffer = vec![0; 8192];
    // An output that cannot be read any more has ended.
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        beginning.extend_from_slice(&buffer[..count.min(kept - beginning.len())]);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// What a program of the system prints, for probes that ask one; more than `kept` bytes are a mistake.
pub(crate) async fn printed(words: Vec<String>, within: Timeout, kept: usize) -> Result<String, ProbeError> {
    let (environment, directory) = (BTreeMap::new(), None);
    let asked = Parameters { command: CommandLine::Words(words), timeout: within, environment, directory };
    let Outcome { status, stdout, stderr, .. } = asked.run(kept).await?;
    let why = match (status.success(), &*stderr) {
        (true, _) if stdout.len() < kept => return Ok(stdout),
        (true, _) => format!("it printed more than {} MiB", kept >> 20),
        (false, "") => format!("it found nothing ({status})"),
        (false, stderr) => stderr.to_owned(),
    };
    Err(ProbeError(format!("{}: {why}", asked.command)))
}

/// The `exec` probe.
pub struct Exec(Parameters);

impl Probe for Exec {
    const NAME: &'static str = "exec";
    const SUMMARY: &'static str =
        "Runs a command, as the user who runs Squall, and reads how it ended and what it printed";
    const EXAMPLE: &'static str = "\
- exec: {command: [pg_isready, --host, 127.0.0.1], timeout: 3s}
  expect: exit_code == 0
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("exit_code", "the exit code; 128 and the number of the signal, where one ended the command"),
        ("stdout", "what it printed, at most 64 KiB, without white space around it"),
        ("stderr", "what it printed to standard error, likewise"),
        ("value", "the number that it printed; absent where it printed anything else"),
        ("latency", "seconds that it took"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] = &[("exit_code", ValueKind::Number)];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("exit_code == 0");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        parameters.command.check()?;
        Ok(Self(parameters))
    }
}

impl Observe for Exec {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async { Ok(self.0.run(OUTPUT_KEPT).await?.reading()) })
    }

    fn patience(&self) -> Duration {
        self.0.timeout.patience()
    }
}

/// The `exec` metric source.
pub struct ExecMetric(Parameters);

impl Probe for ExecMetric {
    const NAME: &'static str = "exec";
    const SUMMARY: &'static str =
        "Runs a command, as the user who runs Squall, and takes the number that it prints";
    const EXAMPLE: &'static str = "\
open_files: {exec: {command: \"cut -f1 /proc/sys/fs/file-nr\"}}
";
    const VALUES: &'static [(&'static str, &'static str)] =
        &[("value", "the number, in the unit that the command prints it in")];
    const DEFAULT_EXPECTATION: Option<&'static str> = None;
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        parameters.command.check()?;
        Ok(Self(parameters))
    }
}

impl Observe for ExecMetric {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            let outcome = self.0.run(OUTPUT_KEPT).await?;
            let wrong = |what: String| ProbeError(format!("{}: {what}", self.0.command));
            if outcome.exit_code() != 0 {
                // Whole: whoever tells it cuts it, once it is without secrets.
                let said = &outcome.stderr;
                return Err(wrong(format!("ended with exit code {}: {said}", outcome.exit_code())));
            }
            let number = outcome
                .number()
                .ok_or_else(|| wrong(format!("printed {:?}, which is no number", outcome.stdout)))?;
            Ok(Reading::from([("value".to_owned(), Value::Number(number))]))
        })
    }

    fn patience(&self) -> Duration {
        self.0.timeout.patience()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_probe::{ask, built, refusal};
    use serde_json::json;
    use std::path::Path;
    use std::time::Duration as StdDuration;

    fn run(command: serde_json::Value) -> Result<Reading, ProbeError> {
        ask(&built::<Exec>(json!({"command": command, "timeout": "30s"})))
    }

    /// Whether a process lives that is not yet dead and unburied.
    fn lives(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    fn wait_until(seen: impl Fn() -> bool) {
        for _ in 0..500 {
            if seen() {
                return;
            }
            std::thread::sleep(StdDuration::from_millis(20));
        }
        panic!("not seen within 10 s");
    }

    #[test]
    fn output_and_exit_code_are_read() {
        let reading = run(json!(["printf", "12.5\n"])).unwrap();
        assert_eq!(reading["exit_code"], Value::Number(0.0));
        assert_eq!((&reading["stdout"], &reading["value"]), (&Value::from("12.5"), &Value::Number(12.5)));
        let reading = run(json!("echo no; echo bad >&2; exit 3")).unwrap();
        assert_eq!(reading["exit_code"], Value::Number(3.0));
        assert_eq!((&reading["stdout"], &reading["stderr"]), (&Value::from("no"), &Value::from("bad")));
        assert!(!reading.contains_key("value"));
        assert_eq!(run(json!("kill -TERM $$")).unwrap()["exit_code"], Value::Number(143.0));
    }

    #[test]
    fn a_command_is_told_by_its_program_alone() {
        for (text, program) in [
            ("psql --host db", "psql"),
            ("PGPASSWORD=hunter2 PGUSER=x psql --host db", "psql"),
            ("PGPASSWORD='hunter 2' psql", "sh"),
            ("PGPASSWORD=\"$(cat hunter2)\" psql", "sh"),
            ("X=hunter2;psql", "sh"),
            ("X=hunter2", "sh"),
            ("\"a b\" c", "sh"),
            ("./a=b c", "./a=b"),
        ] {
            assert_eq!(CommandLine::Shell(text.to_owned()).to_string(), format!("run `{program}`"));
        }
    }

    #[test]
    fn environment_and_directory_are_set() {
        let folder = tempfile::tempdir().unwrap();
        let probe = built::<Exec>(json!({
            "command": "echo $SHOP in $(pwd)", "environment": {"SHOP": "one"}, "directory": folder.path()
        }));
        let folder = folder.path().canonicalize().unwrap();
        assert_eq!(ask(&probe).unwrap()["stdout"], Value::from(format!("one in {}", folder.display())));
    }

    #[test]
    fn a_flood_of_output_is_cut_and_read_to_its_end() {
        let reading = run(json!("head -c 3000000 /dev/zero | tr '\\0' x")).unwrap();
        let Value::Text(stdout) = &reading["stdout"] else { panic!("{reading:?}") };
        assert_eq!((stdout.len(), &reading["exit_code"]), (OUTPUT_KEPT, &Value::Number(0.0)));
    }

    #[test]
    fn what_takes_too_long_dies_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        let probe = built::<Exec>(json!({
            "command": ["sh", "-c", "sleep 61.125 & echo $$ $! >\"$0\"; wait", file], "timeout": "1s"
        }));
        let error = ask(&probe).unwrap_err().to_string();
        assert!(error.contains("1s") && error.contains("killed"), "{error}");
        assert_dead(&file);
    }

    #[test]
    fn being_dropped_ends_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        let probe = built::<Exec>(json!({
            "command": ["sh", "-c", "sleep 61.25 & echo $$ $! >\"$0\"; wait", file], "timeout": "1h"
        }));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let asked = runtime.block_on(async { timeout(StdDuration::from_secs(1), probe.observe()).await });
        assert!(asked.is_err());
        assert_dead(&file);
    }

    fn assert_dead(file: &Path) {
        let pids = std::fs::read_to_string(file).unwrap();
        let pids: Vec<&str> = pids.split_whitespace().collect();
        assert_eq!(pids.len(), 2, "{pids:?}");
        wait_until(|| !pids.iter().any(|pid| lives(pid)));
    }

    #[test]
    fn a_child_left_in_the_background_does_not_outlive_the_command() {
        let reading = run(json!("sleep 61.5 & echo $!")).unwrap();
        let Value::Number(pid) = reading["value"] else { panic!("{reading:?}") };
        assert!(reading["latency"].number().unwrap() < 60.0);
        wait_until(|| !lives(&pid.to_string()));
    }

    #[test]
    fn what_cannot_be_run_is_no_answer() {
        let error = run(json!(["no-such-program", "--password", "sesame"])).unwrap_err().to_string();
        assert!(
            error.contains("no-such-program") && error.contains("PATH") && !error.contains("sesame"),
            "{error}"
        );
        for (parameters, words) in [
            (json!({"command": " "}), "empty"),
            (json!({"command": []}), "empty"),
            (json!({"command": 5}), "sh -c"),
            (json!({"command": "true", "shell": "bash"}), "shell"),
        ] {
            let error = refusal::<Exec>(parameters);
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_metric_is_the_number_that_was_printed() {
        let metric = |command: &str| ask(&built::<ExecMetric>(json!({"command": command})));
        assert_eq!(
            metric("echo ' -4e2 '").unwrap(),
            Reading::from([("value".to_owned(), Value::Number(-400.0))])
        );
        for (command, words) in [
            ("echo many", "printed \"many\""),
            ("echo nan", "no number"),
            ("true", "printed \"\""),
            ("echo 5; echo broken >&2; exit 2", "exit code 2: broken"),
        ] {
            let error = metric(command).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
