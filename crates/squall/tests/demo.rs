//! The demo's network as root makes it: whose it is, and that it goes with its demo, however that ends.

#![expect(clippy::unwrap_used, reason = "a test fails by them")]

use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// For what must come and may take its time on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

fn wait_until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn squall(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(arguments).env("SQUALL_STATE", state.join("state")).current_dir(state);
    command
}

fn said(state: &Path, arguments: &[&str]) -> String {
    let output = squall(state, arguments).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// A demo that runs in a folder of its own; killed when dropped, should it still live.
struct Demo {
    child: Child,
    folder: tempfile::TempDir,
}

impl Demo {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = squall(folder.path(), &["demo"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, folder }
    }

    /// Its children whose first word is this, with their other words.
    fn children(&self, role: &str) -> Vec<(u32, Vec<String>)> {
        let demo = self.child.id();
        let tasks = std::fs::read_dir(format!("/proc/{demo}/task")).unwrap();
        let listed =
            tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).ok());
        let pids: Vec<u32> = listed
            .flat_map(|text| text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
            .collect();
        let words = |pid: u32| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<String> = text.split('\0').map(str::to_owned).collect();
            (words.get(1).map(String::as_str) == Some(role)).then_some((pid, words))
        };
        pids.into_iter().filter_map(words).collect()
    }

    /// The name of its network and the process number of its keeper, once all of its shop is there.
    fn network(&self) -> (String, u32) {
        let (keeper, words) = wait_until("a demo with a shop", || {
            let keeper = self.children("shop-keeper").into_iter().next()?;
            (self.children("shop").len() == 4).then_some(keeper)
        });
        (format!("squall-shop-{}", words[2]), keeper)
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Names of the network namespaces and links of a network that are there.
fn names(network: &str) -> Vec<String> {
    let listed = |folder: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let all = [listed("/run/netns"), listed("/sys/class/net")].concat();
    let of_it = |name: &String| name == network || name.starts_with(&format!("{network}-"));
    all.into_iter().filter(of_it).collect()
}

#[test]
fn two_demos_have_a_network_each_and_it_goes_when_they_are_killed() {
    if squall_linux::sys::namespace::run_in_fresh(|| ()).is_err() {
        println!("skipped: making network namespaces takes CAP_SYS_ADMIN");
        return;
    }
    let (mut one, mut other) = (Demo::start(), Demo::start());
    let ((first, _), (second, keeper)) = (one.network(), other.network());
    assert_ne!(first, second);
    assert_eq!((names(&first).len(), names(&second).len()), (6, 6));
    let leftovers = said(one.folder.path(), &["leftovers"]);
    let leftovers: Vec<&str> = leftovers.lines().filter(|line| !line.starts_with("left alone")).collect();
    let leftovers = leftovers.join("\n");
    assert!(!leftovers.contains(&first) && !leftovers.contains(&second), "{leftovers}");

    one.kill();
    wait_until("the network goes with its demo", || names(&first).is_empty().then_some(()));
    assert_eq!(names(&second).len(), 6, "the other demo's network is its own");

    // With its keeper, nobody is left who could take it away; but it is known by its name.
    kill(keeper);
    other.kill();
    let told = wait_until("the services end", || {
        let told = said(other.folder.path(), &["leftovers"]);
        told.contains(&second).then_some(told)
    });
    assert!(told.contains("remedy: squall recover"), "{told}");
    let told = said(other.folder.path(), &["recover"]);
    assert!(told.contains(&format!("put back: the network on a demo that ended ({second})")), "{told}");
    assert!(names(&second).is_empty());
    assert!(!said(other.folder.path(), &["leftovers"]).contains(&second));
}
