//! `squall run --sudo`: the brain of an ordinary user, the hands of root, with a real sudo and a user of the test's own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A user who can do nothing, with a folder and a copy of the program; gone when dropped.
struct User {
    name: String,
    id: u32,
    folder: tempfile::TempDir,
}

impl User {
    /// None, with a word on why, where it takes more than there is.
    fn new() -> Option<Self> {
        let has =
            |program: &str| ["/usr/bin", "/usr/sbin"].iter().any(|bin| Path::new(bin).join(program).exists());
        if !rustix::process::geteuid().is_root() || !has("sudo") || !has("useradd") {
            println!("skipped: this test makes a user for sudo, which takes root, sudo and useradd");
            return None;
        }
        let name = format!("sqt-{}", std::process::id());
        let made =
            Command::new("useradd").args(["--no-create-home", "--shell", "/bin/sh", &name]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let folder = tempfile::tempdir().unwrap();
        let id = Command::new("id").args(["--user", &name]).output().unwrap();
        let id = String::from_utf8(id.stdout).unwrap().trim().parse().unwrap();
        let user = Self { name, id, folder };
        fs::set_permissions(user.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_squall"), user.program()).unwrap();
        fs::create_dir(user.state()).unwrap();
        chown(user.state(), Some(id), None).unwrap();
        Some(user)
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("squall")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Where root's hands keep their undo logs.
    fn live(&self) -> PathBuf {
        self.folder.path().join("root/live")
    }

    fn rule(&self) -> PathBuf {
        Path::new("/etc/sudoers.d").join(&self.name)
    }

    /// From now on sudo asks for no password.
    fn trust(&self) {
        let root = self.folder.path().join("root");
        fs::create_dir_all("/etc/sudoers.d").unwrap();
        let text = format!(
            "{0} ALL=(root) NOPASSWD: ALL\nDefaults:{0} env_file={1}\n",
            self.name,
            self.environment().display()
        );
        fs::write(self.environment(), format!("SQUALL_STATE={}\n", root.display())).unwrap();
        fs::write(self.rule(), text).unwrap();
        fs::set_permissions(self.rule(), PermissionsExt::from_mode(0o440)).unwrap();
    }

    fn environment(&self) -> PathBuf {
        self.folder.path().join("environment")
    }

    fn squall(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(words).uid(self.id).gid(self.id).current_dir(self.folder.path());
        command.env("SQUALL_STATE", self.state()).stdin(Stdio::null()).process_group(0);
        command
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.rule());
        let _ = Command::new("userdel").arg(&self.name).output();
    }
}

/// A process that ends with the value.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn state_of(pid: u32) -> char {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    text.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process of root's, and an experiment that pauses it.
fn victim(user: &User) -> (Owned, u32) {
    let victim = Owned(Command::new("sleep").arg("300").spawn().unwrap());
    let pid = victim.0.id();
    let text = format!(
        "
apiVersion: squall.dev/v1
kind: Experiment
name: sudo
hypothesis: what root's hands stop goes on
steady_state: [{{process: {{pid: {pid}}}, expect: count == 1}}]
method: [{{fault: process.pause, target: {{process: {{pid: {pid}}}}}, for: 60s}}]
baseline: 0s
"
    );
    fs::write(user.folder.path().join("pause.yaml"), text).unwrap();
    (victim, pid)
}

/// What is done to Squall, and its name.
type Deed = (&'static str, fn(&Child));

const RUN: &[&str] = &["run", "pause.yaml", "--yes", "--sudo"];

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The processes below another, whichever of its threads started them.
fn below(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children =
        threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let children: Vec<u32> =
        children.collect::<String>().split_whitespace().filter_map(|word| word.parse().ok()).collect();
    children.into_iter().flat_map(|child| std::iter::once(child).chain(below(child))).collect()
}

fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn hands_of_root_are_had_by_sudo_and_let_go_whoever_dies() {
    let Some(user) = User::new() else { return };
    let (_victim, pid) = victim(&user);

    // Without a password for it, sudo says no, and Squall says what to do.
    for words in [RUN, &["plan", "pause.yaml", "--sudo"]] {
        let refused = user.squall(words).output().unwrap();
        let said = text(&refused).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("NOPASSWD") && said.contains("sudo squall"), "{said}");
        assert!(said.contains("it says: sudo: "), "the verdict and the journal know the cause: {said}");
        assert_ne!(state_of(pid), 'T');
    }

    user.trust();
    let deeds: [Deed; 4] = [
        ("SIGKILL of the brain", |brain| signal(brain.id(), "-KILL")),
        ("SIGKILL of the agent", |brain| signal(agent(brain.id()), "-KILL")),
        ("Ctrl-C", |brain| signal(brain.id(), "-INT")),
        ("SIGKILL of brain and sudo", |brain| {
            let sudo = below(brain.id())[0];
            signal(brain.id(), "-KILL");
            signal(sudo, "-KILL");
        }),
    ];
    for (name, deed) in deeds {
        let output = fs::File::create(user.folder.path().join("said")).unwrap();
        let mut command = user.squall(RUN);
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let mut brain = Owned(command.spawn().unwrap());
        let said = || fs::read_to_string(user.folder.path().join("said")).unwrap();
        wait_until("the victim is stopped", || {
            assert!(!said().contains("verdict"), "{name}: {}", said());
            state_of(pid) == 'T'
        });
        deed(&brain.0);
        wait_until(name, || state_of(pid) != 'T');
        let code = brain.0.wait().unwrap().code();
        assert!(code.is_none_or(|code| code == 4), "{name}: {code:?}: {}", said());
        wait_until("no undo log is left", || {
            fs::read_dir(user.live()).is_ok_and(|mut logs| logs.next().is_none())
        });
    }
}

/// The agent below a brain: neither sudo nor one that came before.
fn agent(brain: u32) -> u32 {
    let is_agent = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0);
        words.next().is_some_and(|program| program.ends_with(b"/squall"))
            && words.next() == Some(b"agent".as_slice())
    };
    below(brain).into_iter().find(is_agent).unwrap_or_else(|| panic!("no agent below {brain}"))
}
