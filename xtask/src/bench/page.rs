//! The page `docs/benchmarks.md`: each benchmark has a part of its own between two markers, written by nobody else.

use super::processes::output;
use crate::{Outcome, shell};
use std::fs;

/// What is around the parts where there is no page yet.
const INTRODUCTION: &str = "# Benchmarks

Each figure stands beside its peer's, both measured in the same run, turn by turn: `cargo xtask bench --write` writes the
tables again (as root it installs the peers: wrk, nginx, nftables, iproute2 as Debian packages, Chaos Toolkit with pip).
Figures are medians; in parentheses the range from the first to the last decile. On a machine that does other work at the
same time, as the one below did, trust the factors more than the times. An aim that is missed is said to be.
";

/// When, where and how the figures come about.
pub(super) fn circumstances(name: &str) -> Result<String, String> {
    let date = output(&mut shell::command("date", &["--utc", "+%F"]))?;
    let kernel = output(&mut shell::command("uname", &["-srm"]))?;
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy = load.split(' ').next().unwrap_or("unknown");
    let commit = output(&mut shell::command("git", &["rev-parse", "--short", "HEAD"])).unwrap_or_default();
    Ok(format!(
        "*{}, {}, {processors} processors, load average {busy} before the start, commit {}: `cargo xtask bench {name} --write`*",
        date.trim(),
        kernel.trim(),
        commit.trim(),
    ))
}

/// Puts a part in its place in the page; at the end where it is new.
pub(super) fn write(name: &str, body: &str) -> Outcome {
    let path = shell::root().join("docs/benchmarks.md");
    let page = fs::read_to_string(&path).unwrap_or_else(|_| INTRODUCTION.to_owned());
    fs::write(&path, with_part(&page, name, body))
        .map_err(|error| format!("could not write {}: {error}", path.display()))
}

fn with_part(page: &str, name: &str, body: &str) -> String {
    let (begin, end) = (format!("<!-- bench {name} -->"), format!("<!-- end of bench {name} -->"));
    let part = format!("{begin}\n{}\n{end}", body.trim_end());
    let found =
        page.find(&begin).and_then(|first| Some((first, first + page[first..].find(&end)? + end.len())));
    match found {
        Some((first, last)) => format!("{}{part}{}", &page[..first], &page[last..]),
        None => format!("{}\n\n{part}\n", page.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_replaced_and_the_rest_stays() {
        let page = with_part(&with_part("# Page\n", "a", "one\n"), "b", "two");
        let page = with_part(&page, "a", "three");
        assert_eq!(
            page,
            "# Page\n\n<!-- bench a -->\nthree\n<!-- end of bench a -->\n\n<!-- bench b -->\ntwo\n<!-- end of bench b -->\n"
        );
    }
}
