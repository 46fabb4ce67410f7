//! Which packages may be linked in: the licences, bans and sources of `deny.toml`, checked where `cargo deny` is not
//! installed. Advisories need `cargo deny` and the network.

use crate::{Outcome, shell};
use serde_json::Value as Json;
use std::fs;

/// Checks every package of the lock file.
pub(crate) fn check() -> Outcome {
    let rules =
        fs::read_to_string(shell::root().join("deny.toml")).map_err(|error| format!("deny.toml: {error}"))?;
    let allowed = quoted_after(&rules, "allow = [");
    let banned = quoted_after(&rules, "{ crate = ");
    let output =
        shell::command("cargo", &["metadata", "--format-version", "1", "--all-features", "--locked"])
            .output()
            .map_err(|error| error.to_string())?;
    let metadata: Json =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let mut problems = Vec::new();
    for package in packages {
        let (name, source) = (text(&package["name"]), text(&package["source"]));
        if !source.is_empty() && !source.starts_with("registry+") {
            problems.push(format!("{name} comes from {source}"));
        }
        if banned.contains(&name) {
            problems.push(format!("{name} is banned"));
        }
        let licence = text(&package["license"]);
        if !is_allowed(licence, &allowed) {
            problems.push(format!("{name} has the licence {licence:?}"));
        }
    }
    if problems.is_empty() {
        println!("licences: {} packages in order", packages.len());
        return Ok(());
    }
    Err(format!("deny.toml forbids:\n  {}", problems.join("\n  ")))
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

/// The quoted words that follow each occurrence of `start`, up to the end of its line.
fn quoted_after<'r>(rules: &'r str, start: &str) -> Vec<&'r str> {
    let lines = rules.lines().filter_map(|line| line.split_once(start)).map(|(_, rest)| rest);
    let firsts = lines
        .map(|rest| if start.ends_with('[') { rest } else { rest.split(',').next().unwrap_or_default() });
    firsts.flat_map(|rest| rest.split('"').skip(1).step_by(2)).collect()
}

/// Whether an SPDX expression can be met with allowed licences: each `AND` part has an allowed `OR` part.
fn is_allowed(licence: &str, allowed: &[&str]) -> bool {
    let flat = licence.replace(['(', ')'], " ").replace('/', " OR ");
    !flat.trim().is_empty()
        && flat.split(" AND ").all(|part| part.split(" OR ").any(|one| allowed.contains(&one.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_by_any_allowed_alternative() {
        let allowed = ["MIT", "Apache-2.0", "ISC"];
        for good in ["MIT", "MIT OR GPL-3.0", "Apache-2.0/MIT", "(MIT OR Apache-2.0) AND ISC"] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0-or-later", "MIT AND GPL-3.0"] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }
}
