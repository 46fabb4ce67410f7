//! All tests, in the order in which they fail fastest.

use crate::ledger::Ledger;
use crate::{Outcome, lab, licences, packages, python, shell, tidy};
use std::process::Command;

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
    ledger.test("unit tests", |names| {
        let mut command = shell::command(
            "cargo",
            &["test", "--workspace", "--quiet", "--no-fail-fast", "--", "--show-output"],
        );
        only(&mut command, names);
        Ok(command)
    })?;
    let myself = std::env::current_exe().map_err(|error| error.to_string())?;
    ledger.run("torture", &mut shell::command(&myself.to_string_lossy(), &["torture", "--short"]))?;
    second_kernel(&mut ledger)?;
    ledger.conclude()
}

/// What this kernel may lack, in a kernel that has it.
fn second_kernel(ledger: &mut Ledger) -> Outcome {
    let Some(script) = lab::script() else {
        ledger.skip(
            "the second kernel",
            "tests in a second kernel; there is no lab/kernel beside the project, or you are not root",
        );
        return Ok(());
    };
    let binaries = test_binaries("squall-linux")?;
    for binary in binaries {
        ledger.test("kernel tests in a kernel with netem", |names| {
            let words = ["--test-threads=1", "--show-output", "netem", "a_rate_is_kept"];
            let shared = if names.is_empty() { &words[..] } else { &words[1..2] };
            let arguments: Vec<String> =
                std::iter::once(&*binary).chain(shared.iter().copied()).map(str::to_owned).collect();
            let mut command = lab::command(&script, &arguments)?;
            only(&mut command, names);
            Ok(command)
        })?;
    }
    Ok(())
}

/// Has a command of tests run those of these names only, one after the other, if there are names.
fn only(command: &mut Command, names: &[String]) {
    if !names.is_empty() {
        command.args(["--test-threads=1", "--exact"]).args(names);
    }
}

/// The test programs of a package, built already.
fn test_binaries(package: &str) -> Result<Vec<String>, String> {
    let output = shell::command(
        "cargo",
        &["test", "--package", package, "--no-run", "--message-format=json", "--quiet"],
    )
    .output()
    .map_err(|error| error.to_string())?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let executables = lines.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["profile"]["test"] == true).then(|| message["executable"].as_str().map(str::to_owned))?
    });
    Ok(executables.collect())
}
