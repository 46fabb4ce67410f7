//! The facilitator's terminal: the whole of it, with keys, while the day goes on. What is on it is drawn by
//! `squall_report`; this owns the terminal and gives it back as it was.

use super::commands;
use super::run::Told;
use crate::exit::Failure;
use jiff::Zoned;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use squall_model::gameday::{NoteKind, Outcome};
use squall_practice::gameday::Command;
use squall_report::Colour;
use squall_report::gameday::Chronicle;
use squall_report::gameday::screen::{Bottom, Prompt, draw};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::sync::mpsc::Sender;

/// The alternate screen, without a cursor (xterm's private modes 1049 and 25), and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// The longest line that is typed.
const LONGEST: usize = 500;

/// What a line that is typed is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    Note(NoteKind),
    FollowUp,
    Go(bool),
    Answer(Outcome),
    /// Asked before leaving.
    Leave,
}

/// The terminal in use.
pub(super) struct Screen {
    before: Termios,
    colour: Colour,
    typing: Option<(Purpose, Prompt)>,
    /// What is told until the next key.
    hint: Option<String>,
    /// Bytes of a character that is not whole yet.
    partial: Vec<u8>,
    shown: Vec<String>,
}

impl Screen {
    /// Whether the terminal can do what is needed.
    pub(super) fn is_possible() -> bool {
        std::env::var("TERM").is_ok_and(|name| !name.is_empty() && name != "dumb")
    }

    /// Takes the terminal. Keys come to `sender`.
    pub(super) fn open(colour: bool, sender: Sender<Told>) -> Result<Self, Failure> {
        let failed = |error: rustix::io::Errno| {
            Failure::failed(format!("could not use the terminal: {error}; try --plain"))
        };
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        let screen = Self {
            before,
            colour: if colour { Colour::On } else { Colour::Off },
            typing: None,
            hint: None,
            partial: Vec::new(),
            shown: Vec::new(),
        };
        put(ENTER);
        std::thread::spawn(move || {
            let mut bytes = [0; 256];
            loop {
                match io::stdin().lock().read(&mut bytes) {
                    Ok(0) | Err(_) => break,
                    Ok(length) if sender.send(Told::Typed(bytes[..length].to_vec())).is_err() => return,
                    Ok(_) => {}
                }
            }
            let _ = sender.send(Told::Closed);
        });
        Ok(screen)
    }

    /// Gives the terminal back.
    pub(super) fn close(self) {
        drop(self);
    }

    /// Draws what changed.
    pub(super) fn draw(&mut self, chronicle: &Chronicle, now: f64) {
        let (columns, rows) = match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (usize::from(size.ws_col), usize::from(size.ws_row))
            }
            _ => (80, 24),
        };
        let wall = Zoned::now().strftime("%H:%M:%S").to_string();
        let bottom = match (&self.typing, &self.hint) {
            (Some((_, prompt)), _) => Bottom::Prompt(prompt),
            (None, Some(hint)) => Bottom::Hint(hint),
            (None, None) => Bottom::Keys,
        };
        let lines: Vec<String> = draw(chronicle, now, &wall, bottom, (columns, rows))
            .iter()
            .map(|line| line.text(self.colour))
            .collect();
        let mut text = String::new();
        if self.shown.len() != lines.len() {
            text.push_str("\x1b[2J");
            self.shown.clear();
        }
        for (row, line) in lines.iter().enumerate() {
            if self.shown.get(row) != Some(line) {
                // Cursor to the row, the line, erase what is left of the old one (ECMA-48).
                let _ = write!(text, "\x1b[{};1H{line}\x1b[K", row + 1);
            }
        }
        self.shown = lines;
        if !text.is_empty() {
            put(&text);
        }
    }

    /// Tells something until the next key.
    pub(super) fn hint(&mut self, text: String) {
        self.hint = Some(text);
    }

    /// What was typed, as commands. `takes`: whether a go means anything now, and a no-go.
    pub(super) fn typed(&mut self, bytes: &[u8], chronicle: &Chronicle, takes: [bool; 2]) -> Vec<Command> {
        self.partial.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.partial);
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text.to_owned(),
            Err(error) => {
                let whole = error.valid_up_to();
                // What may still become a character waits for its rest.
                if error.error_len().is_none() {
                    self.partial = bytes[whole..].to_vec();
                }
                String::from_utf8_lossy(&bytes[..whole]).into_owned()
            }
        };
        // Arrows and the like begin with Escape and have no meaning here; Escape alone has.
        if text.len() > 1 && text.starts_with('\x1b') {
            return Vec::new();
        }
        text.chars().filter_map(|key| self.key(key, chronicle, takes)).collect()
    }

    fn key(&mut self, key: char, chronicle: &Chronicle, [go, no_go]: [bool; 2]) -> Option<Command> {
        self.hint = None;
        // Ctrl-C halts, whatever is being typed: it is what hands reach for.
        if key == '\x03' {
            self.typing = None;
            return Some(Command::Halt("Ctrl-C".to_owned()));
        }
        if let Some((purpose, prompt)) = &mut self.typing {
            match key {
                '\r' | '\n' => {
                    let (purpose, typed) = (purpose.clone(), prompt.typed.trim().to_owned());
                    self.typing = None;
                    return self.finished(&purpose, typed);
                }
                '\x1b' => self.typing = None,
                '\x7f' | '\x08' => drop(prompt.typed.pop()),
                // Ctrl-U takes the line away.
                '\x15' => prompt.typed.clear(),
                key if !key.is_control() && prompt.typed.len() < LONGEST => prompt.typed.push(key),
                _ => {}
            }
            return None;
        }
        let asked = chronicle.asked.is_some();
        let ask = |purpose: Purpose, label: &str| {
            let prompt = Prompt { label: label.to_owned(), typed: String::new() };
            Some((purpose, prompt))
        };
        self.typing = match key.to_ascii_lowercase() {
            'n' => ask(Purpose::Note(NoteKind::Note), "note"),
            'd' => ask(Purpose::Note(NoteKind::Decision), "decision"),
            'f' => ask(Purpose::FollowUp, "follow-up (what; owner; due date)"),
            'y' if asked => ask(Purpose::Answer(Outcome::Met), "met, because"),
            'x' if asked => ask(Purpose::Answer(Outcome::NotMet), "not met, because"),
            'u' if asked => ask(Purpose::Answer(Outcome::Unknown), "unknown, because"),
            'g' if go => ask(Purpose::Go(true), "go, with a remark or none"),
            'x' if no_go => ask(Purpose::Go(false), "no-go, because"),
            'q' => {
                ask(Purpose::Leave, "leave? everything is put back, and the session can go on later (y/n)")
            }
            'h' => return Some(Command::Halt("the facilitator".to_owned())),
            'g' | 'x' if !asked => {
                let word = if key.eq_ignore_ascii_case(&'g') { "go" } else { "no-go" };
                self.hint = Some(format!("nothing waits for a {word}; h halts the day"));
                None
            }
            _ => None,
        };
        None
    }

    /// The command of a line that was typed to its end.
    fn finished(&mut self, purpose: &Purpose, typed: String) -> Option<Command> {
        match purpose {
            Purpose::Note(_) | Purpose::FollowUp if typed.is_empty() => None,
            Purpose::Note(kind) => Some(Command::Note(*kind, typed)),
            Purpose::FollowUp => match commands::agreed(&typed) {
                Ok((command, unread)) => {
                    self.hint = unread;
                    Some(command)
                }
                Err(why) => {
                    self.hint = Some(why);
                    None
                }
            },
            Purpose::Go(true) => Some(Command::Go(typed)),
            Purpose::Go(false) => Some(Command::NoGo(typed)),
            Purpose::Answer(outcome) => Some(Command::Answer(*outcome, typed)),
            Purpose::Leave => {
                let sure = matches!(typed.to_lowercase().as_str(), "y" | "yes");
                let said = sure.then(|| commands::parse("quit", false).ok().flatten()).flatten();
                said.map(|(command, _)| command)
            }
        }
    }
}

fn put(text: &str) {
    let mut stdout = io::stdout().lock();
    // A terminal that is gone shows nothing; its signal ends the session.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

impl Drop for Screen {
    fn drop(&mut self) {
        put(LEAVE);
        // That it cannot be given back leaves nothing to be done here.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
