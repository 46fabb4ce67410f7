//! A shop, a Prometheus that watches it, and a desk to work at; all of it the test's own and gone with it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The plan of a database failure as a team wrote it.
pub(crate) const PLAN: &str = include_str!("../../../../examples/gameday/database-failure.md");
const COMPANION: &str = include_str!("../../../../examples/gameday/database-failure.squall.yaml");
const EXPERIMENT: &str = include_str!("../../../../examples/gameday/ledger-hangs.yaml");

/// How long something may take that takes no time on a quiet machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// `nobody`, who may do nothing that others may not.
const NOBODY: u32 = 65534;

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A folder with a state folder, and the user who works there.
pub(crate) struct Desk {
    folder: TempDir,
    user: Option<u32>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), user: None }
    }

    /// A desk of a user without any privilege; needs root.
    pub(crate) fn of_nobody() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        Self { folder, user: Some(NOBODY) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("SQUALL_STATE", self.path("state")).env_remove("SQUALL_LOG");
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Runs a command to its end: exit code and all that it said.
    pub(crate) fn squall(&self, arguments: &[&str]) -> (i32, String) {
        self.squall_in("", arguments)
    }

    /// The same, from a folder within.
    pub(crate) fn squall_in(&self, folder: &str, arguments: &[&str]) -> (i32, String) {
        let mut command = self.command(arguments);
        let output = command.current_dir(self.path(folder)).stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    /// Writes the plan as it is, with what it is measured with beside it.
    pub(crate) fn set_plan(&self, shop: &Shop, alerts: Option<&str>) -> Vec<String> {
        self.write("database-failure.md", PLAN);
        let alerts = alerts.map_or_else(String::new, |server| {
            format!("\nalerts: {{prometheus: \"{server}\", expect: [LedgerDown], within: 1m, resolved_within: 1m}}\n")
        });
        // A loaded machine is slow; that is not what is tested here.
        let companion = COMPANION.replace("- expect: latency_p99 < 500ms", "- expect: latency_p99 < 60s");
        self.write("database-failure.squall.yaml", &(companion + &alerts));
        self.write("ledger-hangs.yaml", EXPERIMENT);
        let variable = |name: &str, value: &str| ["--var".to_owned(), format!("{name}={value}")];
        [
            variable("gateway", shop.address("gateway")),
            variable("ledger", shop.address("ledger")),
            variable("cache", shop.address("cache")),
            variable("ledger_pid", &shop.pid("ledger").to_string()),
        ]
        .concat()
    }

    /// The journal of the only session.
    pub(crate) fn journal(&self) -> Vec<serde_json::Value> {
        let folder = self.path("state/gamedays");
        let files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        let [file] = &files[..] else { panic!("{files:?}") };
        read_journal(file)
    }

    /// What came of a criterion that begins so.
    #[track_caller]
    pub(crate) fn outcome(&self, criterion: &str) -> String {
        let journal = self.journal();
        let judged = journal.iter().rev().find(|entry| entry["event"] == "judged").unwrap();
        let judgements = judged["judgements"].as_array().unwrap();
        let found = judgements.iter().find(|one| one["criterion"].as_str().unwrap().starts_with(criterion));
        found.unwrap_or_else(|| panic!("{judgements:?}"))["outcome"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn read_journal(file: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The demo shop.
pub(crate) struct Shop {
    process: Child,
    input: Option<ChildStdin>,
    services: Vec<(String, String, u32)>,
}

impl Shop {
    pub(crate) fn open(desk: &Desk, options: &[&str]) -> Self {
        let arguments: Vec<&str> = ["demo", "--open", "--loopback"].iter().chain(options).copied().collect();
        let mut process =
            desk.command(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut services = Vec::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        for line in lines.by_ref().map_while(Result::ok) {
            if line.starts_with("The shop is open") {
                break;
            }
            // `  ledger   http://127.0.0.1:44899 (pid 6984)`
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [name, address, "(pid", pid, ..] = words[..] {
                let pid = pid.trim_end_matches([')', ',']).parse().unwrap();
                services.push((name.to_owned(), address.trim_start_matches("http://").to_owned(), pid));
            }
        }
        assert_eq!(services.len(), 4, "the shop did not open");
        let input = process.stdin.take();
        Self { process, input, services }
    }

    fn service(&self, name: &str) -> &(String, String, u32) {
        self.services.iter().find(|(known, ..)| known == name).unwrap()
    }

    pub(crate) fn address(&self, name: &str) -> &str {
        &self.service(name).1
    }

    pub(crate) fn pid(&self, name: &str) -> u32 {
        self.service(name).2
    }

    /// Whether a service is stopped by a signal.
    pub(crate) fn is_stopped(&self, name: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid(name))).unwrap();
        let state = stat.rsplit_once(')').unwrap().1.trim_start().chars().next();
        state == Some('T')
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // The shop closes when its input ends.
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

/// Stands in for a Prometheus with one rule: `LedgerDown` fires while the ledger does not answer.
pub(crate) struct Alerting {
    pub(crate) url: String,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Alerting {
    pub(crate) fn watch(shop: &Shop) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (over, ledger) = (Arc::new(AtomicBool::new(false)), shop.address("ledger").to_owned());
        let ended = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => answer(stream, &ledger),
                    Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
            }
        });
        Self { url, over, thread: Some(thread) }
    }
}

impl Drop for Alerting {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

fn answer(mut stream: TcpStream, ledger: &str) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut request = [0; 1024];
    let _ = stream.read(&mut request);
    let rule = r#"{"labels": {"alertname": "LedgerDown"}, "state": "firing"}"#;
    let alerts = if is_healthy(ledger) { "" } else { rule };
    let body = format!(r#"{{"status": "success", "data": {{"alerts": [{alerts}]}}}}"#);
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn is_healthy(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_millis(900)));
    let asked = stream.write_all(b"GET /health HTTP/1.1\r\nhost: ledger\r\nconnection: close\r\n\r\n");
    let mut head = [0; 12];
    asked.is_ok() && stream.read_exact(&mut head).is_ok() && &head == b"HTTP/1.1 200"
}

/// A session that is spoken with on lines.
pub(crate) struct Spoken {
    pub(crate) process: Child,
    input: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Spoken {
    pub(crate) fn begin(desk: &Desk, arguments: &[&str]) -> Self {
        let mut process =
            desk.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = process.stdin.take();
        let said = Arc::new(Mutex::new(String::new()));
        let (output, heard) = (process.stdout.take().unwrap(), Arc::clone(&said));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let mut heard = heard.lock().unwrap();
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        Self { process, input, said, reader: Some(reader) }
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn hear(&self, words: &str) {
        until(words, || self.said().contains(words).then_some(()));
    }

    /// Waits for its end: exit code and all that it said.
    pub(crate) fn end(mut self) -> (i32, String) {
        let status = self.process.wait().unwrap();
        drop(self.input.take());
        self.reader.take().unwrap().join().unwrap();
        (status.code().unwrap_or(-1), self.said())
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
