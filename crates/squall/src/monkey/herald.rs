//! Telling owners before and after: whoever wants to be told is a [`Herald`].

use crate::out;
use serde::Serialize;

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct News {
    /// Who is to know it; none where the file names nobody.
    pub(crate) owner: Option<String>,
    /// The group that it is about.
    pub(crate) group: String,
    /// What, in a sentence.
    pub(crate) words: String,
}

/// Somebody who passes news on. Whether they arrive is not the monkey's affair: it neither waits nor fails for them.
pub(crate) trait Herald: Send + Sync {
    /// Passes them on.
    fn tell(&self, news: &News);
}

/// Prints news on standard error.
pub(crate) struct Printer;

impl Herald for Printer {
    fn tell(&self, news: &News) {
        let owner = news.owner.as_ref().map(|owner| format!(" [{owner}]")).unwrap_or_default();
        out::warn(format!("monkey: {}: {}{owner}", news.group, news.words));
    }
}
