//! What was counted of a log since the first look at it.

use regex_lite::Regex;
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::collections::VecDeque;
use std::time::Instant;

/// Of a longer line, only the beginning is looked at, in bytes.
pub(super) const LONGEST_LINE: usize = 64 << 10;

/// Of the last line that matched, so many characters are kept.
const LONGEST_SHOWN: usize = 1000;

pub(super) struct Tally {
    pattern: Regex,
    window: Duration,
    /// The beginning of a line whose end is not written yet.
    open_line: Vec<u8>,
    lines: u64,
    count: u64,
    last: Option<String>,
    /// How many had matched, and when; the oldest is at most just older than the window.
    looks: VecDeque<(Instant, u64)>,
}

impl Tally {
    pub(super) fn new(pattern: Regex, window: Duration) -> Self {
        let (open_line, looks) = (Vec::new(), VecDeque::new());
        Self { pattern, window, open_line, lines: 0, count: 0, last: None, looks }
    }

    /// Rates are counted from here.
    pub(super) fn begin(&mut self) {
        self.looks = VecDeque::from([(Instant::now(), self.count)]);
    }

    /// Counts the lines of a piece of the log; the end of its last line may come with the next one.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = LONGEST_LINE - self.open_line.len();
            self.open_line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line();
            }
        }
    }

    /// What was begun will have no end: the log begins anew.
    pub(super) fn break_off(&mut self) {
        if !self.open_line.is_empty() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.open_line);
        self.lines += 1;
        if self.pattern.is_match(&line) {
            self.count += 1;
            self.last = Some(line.trim_end().chars().take(LONGEST_SHOWN).collect());
        }
        self.open_line.clear();
    }

    pub(super) fn reading(&mut self) -> Reading {
        let (count, now) = (self.count, Instant::now());
        self.looks.push_back((now, count));
        let is_out = |at: &(Instant, u64)| now.duration_since(at.0) >= self.window.0;
        while self.looks.get(1).is_some_and(is_out) {
            self.looks.pop_front();
        }
        let (since, before) = self.looks.front().copied().unwrap_or((now, count));
        // Of one look alone there is no rate.
        let rate = (count - before) as f64 / now.duration_since(since).as_secs_f64().max(f64::MIN_POSITIVE);
        let mut reading = Reading::from([
            ("count".to_owned(), Value::Number(count as f64)),
            ("lines".to_owned(), Value::Number(self.lines as f64)),
            ("per_second".to_owned(), Value::Number(rate)),
        ]);
        reading.extend(self.last.clone().map(|last| ("last".to_owned(), Value::Text(last))));
        reading
    }
}
