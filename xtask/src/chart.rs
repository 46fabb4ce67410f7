//! The chart for Helm, written anew by the program that makes plain manifests of the same parts.

use crate::{Outcome, shell};
use std::process::Command;

const USAGE: &str = "cargo xtask chart [--binary PATH]";

/// `cargo xtask chart`: builds the program and has it write the chart; with `--binary`, has that one write it.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let mut command = match arguments {
        [] => {
            let mut command = shell::command("cargo", &["run", "--quiet", "--package", "squall", "--"]);
            command.current_dir(shell::root());
            command
        }
        [option, binary] if option == "--binary" => Command::new(binary),
        _ => return Err(format!("it takes nothing else: {USAGE}")),
    };
    let folder = shell::root().join("deploy/helm/squall");
    let templates = folder.join("templates");
    // What is not made any more goes.
    let removed = std::fs::remove_dir_all(&templates);
    removed
        .or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .map_err(|error| format!("{}: {error}", templates.display()))?;
    shell::run("writing the chart", command.args(["operator", "chart"]).arg(&folder))
}
