//! The house rules that the compiler does not know.

use crate::{Outcome, shell};
use std::fs;
use std::path::{Path, PathBuf};

/// Which crates a crate may use: the floors of ARCHITECTURE.md.
const FLOORS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("faults", &["model"]),
    ("linux", &["model"]),
    ("http", &[]),
    ("aws", &["http"]),
    ("kubernetes", &["http"]),
    ("database", &["model", "http"]),
    ("remote", &["model", "database", "aws", "kubernetes"]),
    ("probes", &["model", "http", "aws", "database", "kubernetes"]),
    ("report", &["model"]),
    ("history", &["model"]),
    ("engine", &["model"]),
    ("practice", &["model"]),
    ("outbox", &["model", "http"]),
    ("workers", &["model", "linux"]),
    (
        "squall",
        &[
            "model",
            "http",
            "aws",
            "kubernetes",
            "database",
            "remote",
            "faults",
            "linux",
            "probes",
            "report",
            "history",
            "engine",
            "practice",
            "outbox",
            "workers",
        ],
    ),
];

/// Words that only some files may use: the word, where it is allowed, and why.
const BANS: &[(&str, &[&str], &str)] = &[
    (
        "Command::new",
        &[
            "crates/workers/",
            "crates/linux/src/step/worker.rs",
            "crates/probes/src/exec.rs",
            "crates/squall/src/agent/",
            "crates/squall/src/demo/",
        ],
        "programs are started by workers, transports, the demo and the exec probe only",
    ),
    (
        "unsafe",
        &["crates/linux/src/sys/"],
        "unsafe code lives in crates/linux/src/sys alone, each block with its reason",
    ),
    ("Instant::now", &["crates/"], "the engine's clock is injected: only driver.rs reads it"),
    ("SystemTime::now", &["crates/"], "the engine's clock is injected: only driver.rs reads it"),
    ("Timestamp::now", &["crates/"], "the engine's clock is injected: only driver.rs reads it"),
    ("todo!", &[], "unfinished work is not committed"),
    ("unimplemented!", &[], "unfinished work is not committed"),
    ("allow(dead_code)", &[], "what nobody uses is removed"),
];

/// The roles of the binary, which do not import each other; what they share lies beside them and imports none but the
/// transport of agents.
const ROLES: &[&str] = &["cli", "agent", "demo", "server", "operator"];

/// The table of verbs names the roles that are started from there, the table of roles all of them.
const MAY_NAME_ROLES: &[&str] = &["crates/squall/src/cli/mod.rs", "crates/squall/src/main.rs"];

/// In these places the clock is injected even though the crate is listed above.
const CLOCKLESS: &[&str] = &[
    "crates/engine/src/",
    "crates/model/src/",
    "crates/faults/src/",
    "crates/report/src/",
    "crates/history/src/",
    "crates/practice/src/",
];

/// `cargo xtask tidy`
pub(crate) fn run(_: &[String]) -> Outcome {
    let mut problems = Vec::new();
    let root = shell::root();
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&root.join(folder), &mut files);
    }
    for file in &files {
        let name = file.strip_prefix(&root).unwrap_or(file).to_string_lossy().into_owned();
        match fs::read_to_string(file) {
            Ok(text) => check_file(&name, &text, &mut problems),
            Err(error) => problems.push(format!("{name}: {error}")),
        }
    }
    check_registered(&root, &files, &mut problems);
    check_floors(&root, &mut problems);
    if problems.is_empty() {
        println!("tidy: {} files in order", files.len());
        return Ok(());
    }
    Err(format!("the house is not tidy:\n  {}", problems.join("\n  ")))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn check_file(name: &str, text: &str, problems: &mut Vec<String>) {
    if !text.starts_with("//!") {
        problems.push(format!("{name}: does not begin with `//!` and what it is"));
    }
    // Tests may start programs and read clocks; this file names the banned words.
    let is_test = name.contains("/tests") || name.contains("/examples/") || name.contains("testing");
    if is_test || name.starts_with("xtask/") {
        return;
    }
    check_roles(name, text, problems);
    let product = text.split("mod tests {").next().unwrap_or(text);
    for (number, line) in product.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        for (word, allowed, why) in BANS {
            let clock = word.ends_with("::now");
            let free = if clock {
                name.contains("/driver") || !CLOCKLESS.iter().any(|place| name.starts_with(place))
            } else {
                allowed.iter().any(|place| name.starts_with(place))
            };
            if has_word(code, word) && !free {
                problems.push(format!("{name}:{}: `{}`: {why}", number + 1, word.trim()));
            }
        }
    }
}

/// Whether a text has a word of code, and not as a part of a longer one.
fn has_word(code: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(word).any(|(at, _)| {
        let after = &code[at + word.len()..];
        // Within a text `unsafe` is a word as any: `'unsafe-inline'`.
        let is_code = word != "unsafe" || after.is_empty() || after.starts_with([' ', '{']);
        is_code && !code[..at].ends_with(is_part) && !after.starts_with(is_part)
    })
}

fn check_roles(name: &str, text: &str, problems: &mut Vec<String>) {
    let Some(place) = name.strip_prefix("crates/squall/src/") else { return };
    if MAY_NAME_ROLES.contains(&name) {
        return;
    }
    let own = ROLES.iter().find(|role| place.starts_with(&format!("{role}/")));
    for (number, line) in text.lines().enumerate() {
        let used = ROLES.iter().find(|role| Some(*role) != own && has_word(line, &format!("crate::{role}")));
        let Some(role) = used else { continue };
        if own.is_none() && line.contains("crate::agent::transport") {
            continue;
        }
        problems.push(format!(
            "{name}:{}: `crate::{role}`: roles do not import each other; what they share lies beside them",
            number + 1
        ));
    }
}

/// Every file is declared as a module by its parent: a file that nothing registers is dead.
fn check_registered(root: &Path, files: &[PathBuf], problems: &mut Vec<String>) {
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy().into_owned();
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if ["lib", "main", "build"].contains(&stem) || !name.contains("/src/") {
            continue;
        }
        let Some(folder) = file.parent() else { continue };
        let (module, folder) = if stem == "mod" {
            (
                folder.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
                folder.parent().unwrap_or(folder),
            )
        } else {
            (stem, folder)
        };
        let parents = [
            folder.join("mod.rs"),
            folder.join("lib.rs"),
            folder.join("main.rs"),
            folder.with_extension("rs"),
        ];
        let declared = parents.iter().any(|parent| {
            fs::read_to_string(parent).is_ok_and(|text| text.contains(&format!("mod {module};")))
        });
        if !declared {
            problems.push(format!("{name}: no parent declares `mod {module};`"));
        }
    }
}

fn check_floors(root: &Path, problems: &mut Vec<String>) {
    for (name, allowed) in FLOORS {
        let manifest =
            fs::read_to_string(root.join("crates").join(name).join("Cargo.toml")).unwrap_or_default();
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for line in dependencies.lines().filter(|line| line.starts_with("squall-")) {
            let used = line.trim_start_matches("squall-").split(['.', ' ', '=']).next().unwrap_or_default();
            if !allowed.contains(&used) {
                problems.push(format!(
                    "crates/{name}/Cargo.toml: {name} may not use {used}; see ARCHITECTURE.md"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(name: &str, text: &str) -> usize {
        let mut problems = Vec::new();
        check_file(name, text, &mut problems);
        problems.len()
    }

    #[test]
    fn unsafe_code_is_found_however_it_is_written() {
        for text in ["//!\nunsafe{}", "//!\nlet x = unsafe {", "//!\npub unsafe fn x()"] {
            assert_eq!(problems("crates/engine/src/run.rs", text), 1, "{text}");
            assert_eq!(problems("crates/linux/src/sys/x.rs", text), 0, "{text}");
        }
        assert_eq!(problems("crates/engine/src/run.rs", "//!\n#![deny(unsafe_code)] // unsafe"), 0);
    }

    #[test]
    fn roles_do_not_import_each_other() {
        let of_cli = "//!\nuse crate::cli::run;";
        assert_eq!(problems("crates/squall/src/demo/mod.rs", of_cli), 1);
        assert_eq!(problems("crates/squall/src/files.rs", of_cli), 1);
        assert_eq!(problems("crates/squall/src/cli/halt.rs", of_cli), 0);
        assert_eq!(problems("crates/squall/src/cli/mod.rs", "//!\nuse crate::demo;"), 0);
        let of_agent = "//!\nuse crate::agent::transport::ChildAgents;";
        assert_eq!(problems("crates/squall/src/carry.rs", of_agent), 0);
        assert_eq!(problems("crates/squall/src/cli/plan.rs", of_agent), 1);
    }
}
