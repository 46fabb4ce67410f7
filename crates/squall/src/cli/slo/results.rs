//! Objectives measured by somebody else, from a file.

use super::check::Findings;
use crate::exit::Failure;
use squall_practice::slo;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// No file is read further than this many bytes: some millions of requests.
const READ_AT_MOST: u64 = 1 << 30;

pub(super) fn measure(file: &Path) -> Result<Findings, Failure> {
    let name = file.display().to_string();
    let wrong = |why: String| Failure::invalid(format!("could not read the results in {name}: {why}"));
    let mut text = String::new();
    let read = File::open(file).and_then(|opened| opened.take(READ_AT_MOST).read_to_string(&mut text));
    let length = read.map_err(|error| wrong(error.to_string()))?;
    if length as u64 == READ_AT_MOST {
        return Err(wrong(format!("it has {READ_AT_MOST} bytes or more; give a part of it")));
    }
    let measured = slo::read_results(&name, &text).map_err(wrong)?;
    let requests = measured.requests;
    Ok(Findings { measured, source: name, requests, notes: Vec::new() })
}
