//! Reports of whole runs: compared with golden files, checked for their structure, fed with hostile journals.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod documents;
mod live;
mod pages;
mod replay;
mod support;
mod texts;

use squall_model::event::Entry;

/// Makes a journal.
type Run = fn() -> Vec<Entry>;

/// One run of each kind.
const RUNS: [(&str, Run); 5] = [
    ("failed", support::failed),
    ("passed", support::passed),
    ("aborted", support::aborted),
    ("residue", support::residue),
    ("truncated", support::truncated),
];

/// Compares with a file in `golden/`; `UPDATE_GOLDEN=1` writes it anew.
fn same_as_golden(name: &str, found: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{path} differs; UPDATE_GOLDEN=1 writes it anew. Found:\n{found}");
}
