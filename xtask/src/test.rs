//! All tests, in the order in which they fail fastest.

use crate::cluster::Cluster;
use crate::ledger::{Ledger, Program};
use crate::{Outcome, lab, licences, packages, python, shell, tidy};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// How many test programs run at a time. Most wait for real servers, clocks and processes most of the time.
const SIDE_BY_SIDE: usize = 2;

/// Programs of tests that all others would be disturbed by.
const ALONE: &[&str] = &["halts"];

/// `cargo xtask test`
pub(crate) fn run(_: &[String]) -> Outcome {
    packages::provide()?;
    python::provide();
    tidy::run(&[])?;
    let cargo = |title: &str, arguments: &[&str]| shell::run(title, &mut shell::command("cargo", arguments));
    cargo("format", &["fmt", "--all", "--check"])?;
    cargo("lints", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"])?;
    licences::check()?;
    if shell::has("cargo-deny") {
        cargo("licences and advisories", &["deny", "check", "--hide-inclusion-graph"])?;
    }
    let mut ledger = Ledger::default();
    let built = built()?;
    let (alone, together): (Vec<Program>, Vec<Program>) =
        built.iter().map(Built::program).partition(|program| ALONE.contains(&&*program.title));
    let cluster = Cluster::found();
    let tested = ledger.test(&together, SIDE_BY_SIDE).and_then(|()| ledger.test(&alone, 1));
    cluster.end()?;
    tested?;
    cargo("examples in the documentation", &["test", "--workspace", "--doc", "--quiet"])?;
    let myself = std::env::current_exe().map_err(|error| error.to_string())?;
    ledger.run("torture", &mut shell::command(&myself.to_string_lossy(), &["torture", "--short"]))?;
    second_kernel(&built, &mut ledger)?;
    ledger.conclude()
}

/// What this kernel may lack, in a kernel that has it.
fn second_kernel(built: &[Built], ledger: &mut Ledger) -> Outcome {
    let Some(script) = lab::script() else {
        ledger.skip(
            "the second kernel",
            "tests in a second kernel; there is no lab/kernel beside the project, or you are not root",
        );
        return Ok(());
    };
    let in_kernel = |Built { name, executable, .. }: &Built| {
        let (script, executable) = (script.clone(), executable.clone());
        let command = move |names: &[String]| {
            let words = ["--test-threads=1", "--show-output", "netem", "a_rate_is_kept"];
            let shared = if names.is_empty() { &words[..] } else { &words[1..2] };
            let words = shared.iter().map(|word| (*word).to_owned());
            let arguments: Vec<String> = std::iter::once(executable.clone()).chain(words).collect();
            let mut command = lab::command(&script, &arguments)?;
            only(&mut command, names);
            Ok(command)
        };
        Program { title: format!("{name} in a kernel with netem"), command: Box::new(command) }
    };
    let of_the_kernel = built.iter().filter(|built| built.folder.ends_with("crates/linux"));
    let programs: Vec<Program> = of_the_kernel.map(in_kernel).collect();
    ledger.test(&programs, 1)
}

/// Has a command of tests run those of these names only, one after the other, if there are names.
fn only(command: &mut Command, names: &[String]) {
    if !names.is_empty() {
        command.args(["--test-threads=1", "--exact"]).args(names);
    }
}

/// A test program that is built already.
struct Built {
    name: String,
    executable: String,
    /// The folder of its package, in which its tests run.
    folder: PathBuf,
    /// Whether it tries the package from outside: real things, for which it waits.
    from_outside: bool,
}

impl Built {
    fn of(message: &serde_json::Value) -> Option<Self> {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        Some(Self {
            executable: text(&message["executable"])?,
            name: text(&message["target"]["name"])?,
            folder: PathBuf::from(text(&message["manifest_path"])?).parent()?.to_owned(),
            from_outside: message["target"]["kind"][0] == "test",
        })
    }

    fn program(&self) -> Program<'_> {
        let command = |names: &[String]| {
            let mut command = shell::command(&self.executable, &["--quiet", "--show-output"]);
            command.current_dir(&self.folder);
            only(&mut command, names);
            Ok(command)
        };
        Program { title: self.name.clone(), command: Box::new(command) }
    }
}

/// Builds test programs. Those that wait for real things come first: the others fill what they leave free.
fn built() -> Result<Vec<Built>, String> {
    let words = ["test", "--workspace", "--no-run", "--message-format=json", "--quiet"];
    let mut command = shell::command("cargo", &words);
    command.stdout(Stdio::piped());
    let mut output = Vec::new();
    shell::timed("building the tests", &mut command, |command| {
        let mut child = command.spawn()?;
        child.stdout.take().map_or(Ok(0), |mut printed| printed.read_to_end(&mut output))?;
        child.wait()
    })?;
    let messages = output.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let tests = messages.filter(|message: &serde_json::Value| message["profile"]["test"] == true);
    let mut built: Vec<Built> = tests.filter_map(|message| Built::of(&message)).collect();
    built.sort_by(|one, other| (other.from_outside, &one.name).cmp(&(one.from_outside, &other.name)));
    Ok(built)
}
