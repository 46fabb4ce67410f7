//! Reports: everything that is shown during and after a run, as pure functions of its journal.
//!
//! [`Story`] folds the events once; each format tells it in its own way. Nothing here reads a clock, a file or a
//! terminal.

pub mod change;
mod chart;
pub mod html;
pub mod json;
pub mod junit;
pub mod lines;
pub mod live;
pub mod markdown;
pub mod paint;
pub mod quantity;
mod sample;
pub mod story;
pub mod text;
pub mod words;

pub use lines::Lines;
pub use live::Live;
pub use paint::{Colour, Line, Span, Style};
pub use story::Story;

use squall_model::event::Entry;
use std::str::FromStr;

/// How a run can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One page for a browser, a phone or a printer.
    Html,
    /// For a comment on a pull request.
    Markdown,
    /// For a CI system.
    Junit,
    /// For a script.
    Json,
    /// For a terminal.
    Text,
}

/// Tells a run in a format.
type Render = fn(&Story) -> String;

/// Every format: its name, and what tells a run in it.
const FORMATS: [(Format, &str, Render); 5] = [
    (Format::Html, "html", html::page),
    (Format::Markdown, "markdown", markdown::page),
    (Format::Junit, "junit", |story| junit::suite(std::slice::from_ref(story))),
    (Format::Json, "json", json::object),
    (Format::Text, "text", |story| text::summary(story, Colour::Off)),
];

impl Format {
    /// Every format, in the order in which they are named to people.
    pub const ALL: [Self; 5] = [Self::Html, Self::Markdown, Self::Junit, Self::Json, Self::Text];

    /// The name that the command line knows it by.
    pub fn name(self) -> &'static str {
        FORMATS[self as usize].1
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = FORMATS.iter().find(|(_, known, _)| *known == name);
        known.map(|(format, _, _)| *format).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.into_iter().map(Self::name).collect();
            format!("{name:?} is no format of a report; known are {}", names.join(", "))
        })
    }
}

/// A run in a format, from its journal alone.
pub fn render(format: Format, entries: &[Entry]) -> String {
    FORMATS[format as usize].2(&Story::of(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_format_at_its_place() {
        for (index, format) in Format::ALL.into_iter().enumerate() {
            assert_eq!(FORMATS[index].0, format);
            assert_eq!(format as usize, index);
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert!("pdf".parse::<Format>().unwrap_err().contains("markdown"));
    }
}
