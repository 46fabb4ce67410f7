//! All tests, in the order in which they fail fastest.

use crate::skips::Skips;
use crate::{Outcome, lab, licences, packages, shell, tidy};

/// `cargo xtask test`
pub(crate) fn run(_: &[String]) -> Outcome {
    packages::provide()?;
    tidy::run(&[])?;
    let cargo = |title: &str, arguments: &[&str]| shell::run(title, &mut shell::command("cargo", arguments));
    cargo("format", &["fmt", "--all", "--check"])?;
    cargo("lints", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"])?;
    licences::check()?;
    if shell::has("cargo-deny") {
        cargo("licences and advisories", &["deny", "check", "--hide-inclusion-graph"])?;
    }
    let mut skips = Skips::default();
    let unit_tests = ["test", "--workspace", "--quiet", "--", "--show-output"];
    skips.run("unit tests", &mut shell::command("cargo", &unit_tests))?;
    let myself = std::env::current_exe().map_err(|error| error.to_string())?;
    skips.run("torture", &mut shell::command(&myself.to_string_lossy(), &["torture", "--short"]))?;
    second_kernel(&mut skips)?;
    skips.conclude()
}

/// What this kernel may lack, in a kernel that has it.
fn second_kernel(skips: &mut Skips) -> Outcome {
    let Some(script) = lab::script() else {
        skips.add(
            "the second kernel",
            "tests in a second kernel; there is no lab/kernel beside the project, or you are not root",
        );
        return Ok(());
    };
    let binaries = test_binaries("squall-linux")?;
    for binary in binaries {
        let words = ["--test-threads=1", "--show-output", "netem", "a_rate_is_kept"];
        let arguments: Vec<String> = std::iter::once(binary).chain(words.map(str::to_owned)).collect();
        let title = "kernel tests in a kernel with netem";
        skips.run_elsewhere(title, &mut lab::command(&script, &arguments)?)?;
    }
    Ok(())
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
