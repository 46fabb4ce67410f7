//! The release binary: one static file.

use crate::{Outcome, shell};
use std::path::PathBuf;

/// Static with glibc: what is linked in needs no library of the host. Name look-ups fall back to DNS and `/etc/hosts`.
pub(crate) fn run(_: &[String]) -> Outcome {
    let binary = build()?;
    let size = std::fs::metadata(&binary).map_err(|error| format!("{}: {error}", binary.display()))?.len();
    println!("{} ({:.1} MB)", binary.display(), size as f64 / 1e6);
    Ok(())
}

/// Builds it, and says where it is.
pub(crate) fn build() -> Result<PathBuf, String> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build =
        shell::command("cargo", &["build", "--profile", "dist", "--package", "squall", "--target", &target]);
    // `--target` keeps the flag away from build scripts and procedural macros, which cannot be static.
    shell::run("static build", build.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    Ok(shell::root().join("target").join(&target).join("dist/squall"))
}
