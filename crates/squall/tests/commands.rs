//! The command line as users and scripts meet it: the built program is run on small files, against processes of the
//! test's own, with a state folder of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// What an exit code says that is no verdict: the result could not be written.
const UNWRITTEN: i32 = 74;

/// A folder with files and a state folder, gone with the test.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// An experiment; `body` is all but its head.
    fn experiment(&self, file: &str, body: &str) {
        let name = Path::new(file).file_stem().unwrap().to_str().unwrap();
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("apiVersion: squall.dev/v1\nkind: Experiment\nname: {name}\n{body}"))
            .unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("SQUALL_STATE", self.path("state")).env_remove("SQUALL_LOG");
        command
    }

    fn squall(&self, arguments: &[&str]) -> Told {
        Told::of(&self.command(arguments).output().unwrap())
    }

    /// With standard output on a device that is always full.
    fn squall_to_a_full_disk(&self, arguments: &[&str]) -> Told {
        let full = File::options().write(true).open("/dev/full").unwrap();
        Told::of(&self.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap())
    }
}

struct Told {
    code: i32,
    out: String,
    errors: String,
}

impl Told {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap(), out: text(&output.stdout), errors: text(&output.stderr) }
    }

    #[track_caller]
    fn is(&self, code: i32, words: &[&str]) {
        let all = format!("exit code {}\n{}{}", self.code, self.out, self.errors);
        assert_eq!(self.code, code, "{all}");
        for word in words {
            assert!(all.contains(word), "{word:?} is not in\n{all}");
        }
    }
}

/// An experiment that only asks.
const PASSES: &str = "tags: [smoke, shop]\nsteady_state:\n  - exec: {command: [\"true\"]}\n    expect: exit_code == 0\nmethod: [{wait: 10ms}]\n";
const FAILS: &str = "tags: [slow]\nsteady_state:\n  - exec: {command: [\"false\"]}\n    expect: exit_code == 0\nmethod: [{wait: 10ms}]\n";

/// A process under a name of its own that is started again whenever it ends, until this is dropped.
struct Supervised {
    name: String,
    over: Arc<AtomicBool>,
    supervisor: Option<JoinHandle<()>>,
}

impl Supervised {
    fn start(desk: &Desk, which: char) -> Self {
        let name = format!("sqt{which}{}", std::process::id());
        let program = desk.path(&name);
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let supervisor = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let mut child = Command::new(&program).arg("60").spawn().unwrap();
                while child.try_wait().unwrap().is_none() {
                    if ends.load(Ordering::Relaxed) {
                        child.kill().unwrap();
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        });
        Self { name, over, supervisor: Some(supervisor) }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
    }
}

#[test]
fn a_service_that_restarts_is_killed_again_and_again() {
    let desk = Desk::new();
    let service = Supervised::start(&desk, 'a');
    desk.experiment(
        "kill.yaml",
        &format!(
            "blast_radius: {{targets: 1}}\nmethod:\n  - {{fault: process.kill, target: {{process: {{name: {}}}}}, for: 2s, repeat: 3}}\n",
            service.name
        ),
    );
    let told = desk.squall(&["run", "kill.yaml", "--json"]);
    told.is(0, &["\"passed\""]);
    let journal = fs::read_dir(desk.path("state/runs")).unwrap().next().unwrap().unwrap().path();
    let journal = fs::read_to_string(journal).unwrap();
    let count = |event: &str| journal.matches(&format!("\"event\":\"{event}\"")).count();
    assert_eq!((count("planned"), count("replanned"), count("injected")), (1, 2, 3), "{journal}");
    let struck: std::collections::BTreeSet<&str> = journal
        .lines()
        .filter(|line| line.contains("\"event\":\"inject_started\""))
        .filter_map(|line| line.split("\"target\":").nth(1)?.split('"').nth(1))
        .collect();
    assert_eq!(struck.len(), 3, "three processes: {struck:?}");
}

#[test]
fn a_victim_of_another_run_is_said_to_be_held_by_it() {
    let desk = Desk::new();
    let service = Supervised::start(&desk, 'b');
    let pause = |file: &str, lasts: &str| {
        desk.experiment(
            file,
            &format!(
                "method:\n  - {{fault: process.pause, target: {{process: {{name: {}}}}}, for: {lasts}}}\n",
                service.name
            ),
        );
    };
    pause("first.yaml", "60s");
    pause("second.yaml", "1s");
    let mut first =
        desk.command(&["run", "first.yaml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let live = desk.path("state/live");
    for _ in 0..3000 {
        if fs::read_dir(&live)
            .is_ok_and(|logs| logs.flatten().any(|log| log.path().extension().is_some_and(|e| e == "undo")))
        {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let told = desk.squall(&["run", "second.yaml"]);
    let halted = desk.squall(&["halt"]);
    assert_eq!(first.wait().unwrap().code(), Some(4));
    halted.is(0, &["put back"]);
    told.is(2, &["is held by injection", "squall halt"]);
    assert!(!told.out.contains("stopped already"), "{}", told.out);
}

#[test]
fn what_could_not_be_written_is_an_error() {
    let desk = Desk::new();
    desk.experiment("passes.yaml", PASSES);
    desk.experiment("fails.yaml", FAILS);
    let lost = &["could not write to standard output: No space left on device"];
    for arguments in [
        &["run", "passes.yaml", "--json"][..],
        &["run", "passes.yaml"],
        &["plan", "passes.yaml"],
        &["validate", "passes.yaml"],
        &["status"],
        &["status", "--json"],
        &["faults"],
        &["probes", "--json"],
        &["schema"],
        &["completions", "bash"],
        &["doctor"],
        &["--help"],
        &["--version"],
    ] {
        desk.squall_to_a_full_disk(arguments).is(UNWRITTEN, lost);
    }
    let run = fs::read_dir(desk.path("state/runs")).unwrap().next().unwrap().unwrap().path();
    desk.squall_to_a_full_disk(&["report", run.to_str().unwrap()]).is(UNWRITTEN, lost);
    // A verdict of its own is more important.
    desk.squall_to_a_full_disk(&["run", "fails.yaml", "--json"]).is(3, lost);
    let unknown = ["report", run.to_str().unwrap(), "-o", "report.foo"];
    desk.squall(&unknown).is(2, &["report.foo does not say what kind", "`--format`"]);
    let nowhere = ["report", run.to_str().unwrap(), "-o", "/dev/full"];
    desk.squall(&nowhere).is(UNWRITTEN, &["could not write /dev/full"]);
    for (file, code) in [("passes.yaml", UNWRITTEN), ("fails.yaml", 3)] {
        desk.squall(&["run", file, "--junit", "/dev/full"]).is(code, &["could not write /dev/full"]);
    }
}

#[test]
fn a_reader_that_has_gone_away_is_no_error() {
    let desk = Desk::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = desk.command(&["schema"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    Told::of(&output).is(0, &[]);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_folder_ends_with_a_summary_and_tags_choose_from_it() {
    let desk = Desk::new();
    desk.experiment("all/a.yaml", PASSES);
    desk.experiment("all/b.yaml", FAILS);
    desk.experiment("all/c.yaml", PASSES);
    desk.squall(&["run", "all"]).is(3, &["3 experiments: 2 passed, 1 not steady"]);
    desk.squall(&["run", "all", "--tag", "smoke"]).is(0, &["2 experiments: 2 passed"]);
    desk.squall(&["run", "all", "--tag", "smoke", "--tag", "slow"]).is(3, &["3 experiments:"]);
    let one = desk.squall(&["run", "all", "--tag", "slow"]);
    one.is(3, &["NOT STEADY"]);
    assert!(!one.out.contains("experiments:"), "{}", one.out);
    let none = desk.squall(&["run", "all", "--tag", "smokey"]);
    none.is(2, &["no experiment carries the tag smokey; the tags are shop, slow, smoke"]);
    assert!(none.out.is_empty(), "{}", none.out);
}

#[test]
fn variables_that_nothing_uses_are_told_where_they_are_a_mistake() {
    let desk = Desk::new();
    let with = |file: &str, name: &str| {
        desk.experiment(
            file,
            &format!(
                "variables: {{{name}: /bin/true}}\n{}",
                PASSES.replace("\"true\"", &format!("'${{{name}}}'"))
            ),
        );
    };
    with("all/a.yaml", "left");
    with("all/b.yaml", "right");
    fs::write(desk.path("shared.env"), "left=/bin/true\nright=/bin/true\nneither=1\n").unwrap();
    desk.squall(&["run", "all", "--var", "left=/bin/true", "--var", "right=/bin/true"]).is(0, &["2 passed"]);
    desk.squall(&["validate", "all/a.yaml", "--var", "right=/bin/true"])
        .is(2, &["`right` was given", "`left`"]);
    desk.squall(&["validate", "all", "--var", "rigth=1"])
        .is(2, &["none of these 2 files uses it", "`right`"]);
    desk.squall(&["validate", "all/a.yaml", "--var-file", "shared.env"]).is(0, &[]);
    let output = desk.command(&["validate", "all/a.yaml"]).env("SQUALL_VAR_NEITHER", "1").output().unwrap();
    Told::of(&output).is(0, &[]);
}

#[test]
fn a_run_tells_the_command_that_repeats_it() {
    let desk = Desk::new();
    desk.experiment(
        "again.yaml",
        "variables: {word: x, token: {env: SQT_TOKEN, default: none, secret: true}}\nsteady_state:\n  - exec: {command: [echo, '${word}', '${token}']}\n    expect: exit_code == 0\nmethod: [{wait: 10ms}]\n",
    );
    let told = desk.squall(&[
        "run",
        "again.yaml",
        "--var",
        "word=a b",
        "--environment",
        "staging",
        "--var",
        "token=hunter2",
        "--seed",
        "7",
    ]);
    // The summary breaks long lines at spaces.
    let flat = told.out.split_whitespace().collect::<Vec<_>>().join(" ");
    let again =
        "again: squall run again.yaml --var 'token=…' --var 'word=a b' --environment staging --seed 7";
    assert!(flat.contains(again), "{}", told.out);
    assert!(!told.out.contains("hunter2") && !told.errors.contains("hunter2"), "{}{}", told.out, told.errors);
    let journal = fs::read_dir(desk.path("state/runs")).unwrap().next().unwrap().unwrap().path();
    assert!(!fs::read_to_string(journal).unwrap().contains("hunter2"));
}

/// A program under a name of its own.
struct Victims {
    program: PathBuf,
    running: Vec<Child>,
}

impl Victims {
    fn new(desk: &Desk, which: char) -> Self {
        let program = desk.path(&format!("sqt{which}{}", std::process::id()));
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        Self { program, running: Vec::new() }
    }

    fn name(&self) -> &str {
        self.program.file_name().unwrap().to_str().unwrap()
    }

    /// Starts one more.
    fn start(&mut self) -> u32 {
        self.running.push(Command::new(&self.program).arg("60").spawn().unwrap());
        self.running.last().unwrap().id()
    }
}

impl Drop for Victims {
    fn drop(&mut self) {
        for mut victim in self.running.drain(..) {
            let _ = victim.kill();
            let _ = victim.wait();
        }
    }
}

/// Runs at a terminal, waits for the question, does something, and answers.
fn at_a_terminal(desk: &Desk, file: &str, meanwhile: impl FnOnce(), answer: &str) -> Told {
    // Without `exec`, a shell that stays in between would answer Ctrl-C with an exit code of its own.
    let squall = format!("exec {} run {file} --no-color", env!("CARGO_BIN_EXE_squall"));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &squall, "/dev/null"]);
    command.current_dir(desk.0.path()).env("SQUALL_STATE", desk.path("state")).env("TERM", "dumb");
    let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keyboard, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"[y/N] ") {
        assert_eq!(screen.read(&mut byte).unwrap(), 1, "no question: {}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
    meanwhile();
    keyboard.write_all(answer.as_bytes()).unwrap();
    screen.read_to_end(&mut seen).unwrap();
    let code = script.wait().unwrap().code().unwrap();
    Told { code, out: String::from_utf8_lossy(&seen).into_owned(), errors: String::new() }
}

#[test]
fn documents_of_one_file_are_as_files_of_a_folder() {
    let desk = Desk::new();
    let one =
        |name: &str, body: &str| format!("apiVersion: squall.dev/v1\nkind: Experiment\nname: {name}\n{body}");
    let write = |name: &str, text: &str| fs::write(desk.path(name), text).unwrap();
    write("two.yaml", &format!("---\n{}---\n# nothing\n---\n{}", one("first", PASSES), one("second", FAILS)));
    desk.squall(&["validate", "two.yaml"]).is(0, &["two.yaml#1: ok (first)", "two.yaml#2: ok (second)"]);
    let told = desk.squall(&["run", "two.yaml", "--report", "report.html"]);
    told.is(3, &["two.yaml#1  passed", "two.yaml#2  not_steady"]);
    assert!(desk.path("report-two.html").exists() && desk.path("report-two-2.html").exists());
    desk.squall(&["run", "two.yaml#1"]).is(0, &["passed"]);
    desk.squall(&["run", "two.yaml#3"])
        .is(2, &["two.yaml has no document 3: those that say something are 2"]);
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n";
    let wrong = PASSES.replace("method", "methods");
    write("mixed.yaml", &format!("{}---\n{deployment}---\n{}", one("first", PASSES), one("third", &wrong)));
    let told = desk.squall(&["validate", "mixed.yaml"]);
    told.is(
        2,
        &[
            "mixed.yaml#1: ok",
            "mixed.yaml#2:10:",
            "Deployment",
            "mixed.yaml#3:21:",
            "`methods`",
            "2 of 3 files",
        ],
    );

    let kill = "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {name: kill}\n\
                spec: {action: pod-kill, mode: one, selector: {labelSelectors: {app: web}}}\n";
    write("chaos.yaml", &format!("{kill}---\n{}", kill.replace("name: kill", "name: again")));
    let told = desk.squall(&["convert", "chaos.yaml"]);
    told.is(0, &["name: kill", "\n---\n", "name: again"]);
    write("converted.yaml", &told.out);
    desk.squall(&["validate", "converted.yaml"])
        .is(0, &["converted.yaml#1: ok (kill)", "converted.yaml#2: ok (again)"]);
}

#[test]
fn files_of_every_kind_are_validated_and_experiments_alone_carried_out() {
    let desk = Desk::new();
    desk.experiment("all/passes.yaml", PASSES);
    let write = |name: &str, text: &str| fs::write(desk.path(name), text).unwrap();
    let head = "apiVersion: squall.dev/v1\nkind:";
    write(
        "all/where.yaml",
        &format!("{head} Settings\nenvironments: {{production: {{magnitude: {{delay: 1s}}}}}}\n"),
    );
    let monkey = "name: shop\nschedule: {cron: \"0 * 9-14 * * MON-FRI\"}\nkill: {mean_days: 2}\n\
                  inventory: [{processes: {app: shop, match: {name: x}}}]\n";
    write("all/monkey.yaml", &format!("{head} Monkey\n{monkey}"));
    let told = desk.squall(&["validate", "all"]);
    told.is(0, &["passes.yaml: ok", "where.yaml: ok (settings)", "monkey.yaml: ok (monkey shop)"]);
    desk.squall(&["run", "all"]).is(0, &["passed"]);
    write(
        "all/where.yaml",
        &format!("{head} Settings\nenvironments: {{production: {{magnitude: {{dely: 1s}}}}}}\n"),
    );
    desk.squall(&["validate", "all"]).is(2, &["where.yaml:3:", "did you mean \"delay\"?", "1 of 3 files"]);
}

#[test]
fn the_plan_that_is_agreed_to_is_the_one_that_is_carried_out() {
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped: there is no program `script` here");
        return;
    }
    let desk = Desk::new();
    let mut victims = Victims::new(&desk, 'v');
    desk.experiment(
        "pause.yaml",
        &format!(
            "steady_state:\n  - exec: {{command: [\"true\"]}}\n    expect: exit_code == 0\nmethod:\n  - fault: process.pause\n    target: {{process: {{name: {}}}}}\n    for: 1s\n",
            victims.name()
        ),
    );
    let first = victims.start();
    at_a_terminal(&desk, "pause.yaml", || (), "n\n").is(2, &["the answer was no; nothing was touched"]);
    // Ctrl-C is an answer too.
    at_a_terminal(&desk, "pause.yaml", || (), "\x03").is(4, &["ABORTED"]);

    let mut late = 0;
    let told = at_a_terminal(&desk, "pause.yaml", || late = victims.start(), "y\n");
    told.is(0, &[&first.to_string(), "the user at the terminal said yes"]);
    assert!(!told.out.contains(&late.to_string()), "{late} came after the plan:\n{}", told.out);
}
