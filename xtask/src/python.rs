//! What the tests use from PyPI: moto, a server that plays AWS, in a folder of its own below `target`.

use crate::{Outcome, packages, shell};
use std::path::PathBuf;
use std::process::Stdio;

/// Fixed, so that it answers tomorrow as it does today.
const MOTO: &str = "moto[server]==5.2.5";

/// Installs it where it is missing; says so where that cannot be.
pub(crate) fn provide() {
    let folder = folder();
    if folder.join("bin/moto_server").is_file() {
        return;
    }
    if let Err(why) = install(&folder) {
        eprintln!(
            "missing: moto ({why})\n  what needs it is skipped; it comes from PyPI: pip install '{MOTO}'"
        );
    }
}

/// Where the tests look for it: `crates/aws/src/testing.rs`.
fn folder() -> PathBuf {
    let own = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    own.unwrap_or_else(|| shell::root().join("target")).join("moto")
}

fn install(folder: &std::path::Path) -> Outcome {
    if !shell::has("python3") {
        return Err("there is no python3".to_owned());
    }
    let path = folder.to_string_lossy().into_owned();
    let make = |title| {
        let mut command = shell::command("python3", &["-m", "venv", "--clear", &path]);
        shell::run(title, command.stdout(Stdio::null()).stderr(Stdio::null()))
    };
    if make("a folder for moto").is_err() {
        // Debian keeps what this takes in a package that has no program.
        if !shell::is_root() || !shell::has("apt-get") {
            return Err(
                "python3 cannot make a folder for it; Debian: sudo apt-get install python3-venv".to_owned()
            );
        }
        packages::install(&["python3-venv"])?;
        make("a folder for moto, again")?;
    }
    let pip = folder.join("bin/pip").to_string_lossy().into_owned();
    shell::run(
        "installing moto",
        &mut shell::command(&pip, &["install", "--quiet", "--disable-pip-version-check", MOTO]),
    )
}
