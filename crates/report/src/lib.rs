//! Reports: everything that is shown during and after a run, as pure functions of its journal.
//!
//! [`Story`] folds the events once; each format tells it in its own way. Nothing here reads a clock, a file or a
//! terminal.

pub mod change;
pub mod lines;
pub mod paint;
pub mod quantity;
mod sample;
pub mod story;
pub mod text;
pub mod words;

pub use lines::Lines;
pub use paint::{Colour, Line, Span, Style};
pub use story::Story;
