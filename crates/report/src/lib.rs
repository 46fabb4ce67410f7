//! Reports: everything that is shown during and after a run, as pure functions of its journal.
//!
//! [`Story`] folds the events once; each format tells it in its own way. Nothing here reads a clock, a file or a
//! terminal.

pub mod change;
mod chart;
pub mod csv;
pub mod gameday;
pub mod grafana;
pub mod html;
pub mod json;
pub mod junit;
pub mod lines;
pub mod live;
pub mod markdown;
pub mod maturity;
pub mod paint;
mod sample;
pub mod story;
pub mod text;
pub mod words;

pub use lines::Lines;
pub use live::Live;
pub use paint::{Colour, Line, Span, Style};
pub use story::Story;

use squall_model::event::Entry;
use std::path::Path;

/// A way to tell runs.
#[derive(Debug)]
pub struct Format {
    /// The name that the command line knows it by.
    pub name: &'static str,
    /// What the names of its files end in, the usual one first.
    pub endings: &'static [&'static str],
    tell: Tell,
}

/// How many runs one file of a format tells.
#[derive(Debug)]
enum Tell {
    One(fn(&Story) -> String),
    Several(fn(&[Story]) -> String),
}

/// Every format, in the order in which they are named to people.
pub const FORMATS: &[Format] = &[
    Format { name: "html", endings: &["html", "htm"], tell: Tell::One(html::page) },
    Format { name: "markdown", endings: &["md", "markdown"], tell: Tell::One(markdown::page) },
    Format { name: "junit", endings: &["xml"], tell: Tell::Several(junit::suite) },
    Format { name: "json", endings: &["json"], tell: Tell::Several(json::objects) },
    Format { name: "text", endings: &["txt"], tell: Tell::One(text::plain) },
];

impl Format {
    /// The format of this name.
    ///
    /// # Errors
    /// There is none; says which there are.
    pub fn named(name: &str) -> Result<&'static Self, String> {
        FORMATS.iter().find(|format| format.name == name).ok_or_else(|| {
            let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
            format!("{name:?} is no format of a report; known are {}", names.join(", "))
        })
    }

    /// The format that the ending of a file's name asks for.
    ///
    /// # Errors
    /// It asks for none; says which endings do.
    pub fn of_file(file: &Path) -> Result<&'static Self, String> {
        let ending = file.extension().unwrap_or_default();
        let asked = |format: &&Self| format.endings.iter().any(|known| ending.eq_ignore_ascii_case(known));
        FORMATS.iter().find(asked).ok_or_else(|| {
            let endings: Vec<String> =
                FORMATS.iter().flat_map(|format| format.endings).map(|ending| format!(".{ending}")).collect();
            format!(
                "the name of {} does not say what kind of report it is; end it in one of {}",
                file.display(),
                endings.join(", ")
            )
        })
    }

    /// Whether one file can tell several runs; where not, each has its own.
    pub fn tells_several(&self) -> bool {
        matches!(self.tell, Tell::Several(_))
    }

    /// Tells runs. A format that tells one run a file tells them one below the other.
    pub fn tell(&self, stories: &[Story]) -> String {
        match self.tell {
            Tell::One(tell) => stories.iter().map(tell).collect(),
            Tell::Several(tell) => tell(stories),
        }
    }

    /// Tells one run, from its journal alone.
    pub fn render(&self, entries: &[Entry]) -> String {
        self.tell(&[Story::of(entries)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_known_by_its_name_and_its_endings() {
        for format in FORMATS {
            assert_eq!(Format::named(format.name).unwrap().name, format.name);
            for ending in format.endings {
                let file = format!("out/two.runs.{}", ending.to_uppercase());
                assert_eq!(Format::of_file(Path::new(&file)).unwrap().name, format.name);
            }
        }
        assert!(Format::named("pdf").unwrap_err().contains("markdown"));
        assert!(Format::of_file(Path::new("report")).unwrap_err().contains(".html, .htm, .md"));
    }
}
