//! What the user sees while a run goes on: a live view at a terminal, plain lines elsewhere; then the summary.
//!
//! A thread of its own draws, so that a terminal that does not take what is written (Ctrl-S, a full pipe) cannot hold
//! up the run.

use super::View;
use crate::out;
use rustix::termios::tcgetwinsize;
use squall_model::event::{Entry, Event, Phase};
use squall_report::live::{self, Live};
use squall_report::{Colour, Lines, Story, text};
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How often the live view is drawn at least, for the clock in it.
const REDRAWS: Duration = Duration::from_millis(250);
/// How long the end of a run waits for the terminal to take what is left.
const FAREWELL: Duration = Duration::from_secs(2);
/// The live view takes at most this many lines.
const HEIGHT: usize = 18;

/// The terminal, or what stands in its place.
pub(super) struct Screen {
    view: View,
    entries: Sender<Entry>,
    /// Ends when everything is shown.
    drawing: Receiver<()>,
}

impl Screen {
    /// With `asks`, the terminal belongs to the question about the plan until that is answered.
    pub(super) fn open(view: View, asks: bool) -> Self {
        let (entries, receiver) = mpsc::channel();
        let (end, drawing) = mpsc::channel();
        std::thread::spawn(move || {
            // Dropped when all is drawn, however that ends.
            let _end: Sender<()> = end;
            let known = if asks { until_answered(&receiver) } else { Vec::new() };
            match view {
                View::Full { colour } if is_lively() => draw_live(known, &receiver, colour_of(colour)),
                View::Full { .. } => {
                    let lines = lines_for(io::stdout().is_terminal());
                    print_lines(known, &receiver, lines, |line| out::write(&format!("{line}\n")));
                }
                View::Quiet => {
                    let lines = lines_for(io::stderr().is_terminal());
                    print_lines(known, &receiver, lines, |line| {
                        writeln!(io::stderr().lock(), "{line}").is_ok()
                    });
                }
                View::Nothing => receiver.iter().for_each(drop),
            }
        });
        Self { view, entries, drawing }
    }

    /// Is shown every entry; never blocks.
    pub(super) fn watcher(&self) -> impl FnMut(&Entry) + Send + 'static {
        let entries = self.entries.clone();
        move |entry| {
            // A screen that is gone shows nothing, which is no reason to end a run.
            let _ = entries.send(entry.clone());
        }
    }

    /// Ends the view and prints the summary.
    pub(super) fn close(self, entries: &[Entry]) {
        drop(self.entries);
        // Nothing is ever sent: this ends when the view does, or when it takes too long.
        let _ = self.drawing.recv_timeout(FAREWELL);
        if let View::Full { colour } = self.view {
            let summary = text::summary(&Story::of(entries), colour_of(colour));
            out::write(&format!("\n{summary}"));
        }
    }
}

fn colour_of(wanted: bool) -> Colour {
    if wanted { Colour::On } else { Colour::Off }
}

/// Whether the terminal can take back what was drawn.
fn is_lively() -> bool {
    io::stdout().is_terminal() && std::env::var("TERM").is_ok_and(|name| !name.is_empty() && name != "dumb")
}

/// What happens until the question about the plan is answered, or needs no answer any more.
fn until_answered(entries: &Receiver<Entry>) -> Vec<Entry> {
    let mut known = Vec::new();
    for entry in entries {
        let is_over = match &entry.event {
            Event::PhaseStarted { phase } => *phase != Phase::Plan,
            event => matches!(
                event,
                Event::Approved { .. }
                    | Event::Refused { .. }
                    | Event::Aborted { .. }
                    | Event::Verdict { .. }
            ),
        };
        if matches!(entry.event, Event::Aborted { .. }) {
            // The question stays where it stands, without an answer.
            out::write("\n");
        }
        known.push(entry);
        if is_over {
            break;
        }
    }
    known
}

/// In a file or a pipe nothing is cut: there it is read later, and searched.
fn lines_for(is_terminal: bool) -> Lines {
    if is_terminal { Lines::for_a_terminal() } else { Lines::default() }
}

fn print_lines(known: Vec<Entry>, entries: &Receiver<Entry>, mut lines: Lines, write: impl Fn(&str) -> bool) {
    for entry in known.into_iter().chain(entries) {
        if let Some(line) = lines.on(&entry)
            && !write(&line)
        {
            return;
        }
    }
}

/// Draws the view over itself until the run is over, and takes it away.
fn draw_live(known: Vec<Entry>, entries: &Receiver<Entry>, colour: Colour) {
    let mut live = Live::default();
    known.iter().for_each(|entry| live.on(entry));
    let mut known = (known.last().map_or(0.0, |entry| entry.elapsed), Instant::now());
    let mut drawn = 0;
    loop {
        match entries.recv_timeout(REDRAWS) {
            Ok(entry) => {
                known = (entry.elapsed, Instant::now());
                live.on(&entry);
                // What has come meanwhile is drawn with it.
                entries.try_iter().for_each(|entry| live.on(&entry));
            }
            Err(RecvTimeoutError::Timeout) => live.tick(known.0 + known.1.elapsed().as_secs_f64()),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let (width, height) = size();
        let lines = live::draw(&live, width, height.saturating_sub(1).min(HEIGHT));
        if !redraw(drawn, lines.iter().map(|line| line.text(colour))) {
            return;
        }
        drawn = lines.len();
    }
    redraw(drawn, std::iter::empty());
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => (80, 24),
    }
}

/// Goes back over what was drawn and draws anew (ECMA-48: cursor up, erase in display); whether the terminal took it.
fn redraw(drawn: usize, lines: impl Iterator<Item = String>) -> bool {
    let mut text = if drawn > 0 { format!("\x1b[{drawn}A\r\x1b[J") } else { String::new() };
    lines.for_each(|line| {
        text.push_str(&line);
        text.push('\n');
    });
    out::write(&text)
}
