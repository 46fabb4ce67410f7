//! How a verb ends: with an exit code, or with an error that has one.

use squall_model::verdict::Verdict;
use std::process::ExitCode;

/// It was done, but its result could not be written where it was wanted: `EX_IOERR` of `sysexits.h`, apart from all
/// verdicts.
pub(crate) const UNWRITTEN: u8 = 74;

/// An error for people, and the exit code that scripts see.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    message: String,
    code: u8,
    /// The file and the line that it is about, where it is about one.
    place: Option<(String, usize)>,
}

impl Failure {
    fn new(message: String, code: u8) -> Self {
        Self { message, code, place: None }
    }

    /// The same, about a line of a file.
    pub(crate) fn at(self, file: impl Into<String>, line: usize) -> Self {
        Self { place: Some((file.into(), line)), ..self }
    }

    /// The file and the line that it is about.
    pub(crate) fn place(&self) -> Option<(&str, usize)> {
        self.place.as_ref().map(|(file, line)| (file.as_str(), *line))
    }

    /// The command or a file is wrong; nothing was touched.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(message.into(), Verdict::Invalid.exit_code())
    }

    /// This host lacks what it takes; nothing was touched.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(message.into(), Verdict::NoEffect.exit_code())
    }

    /// The `halt` file is there, or somebody ended it.
    pub(crate) fn halted(message: impl Into<String>) -> Self {
        Self::new(message.into(), Verdict::Aborted.exit_code())
    }

    /// It could not be done.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(message.into(), Verdict::Failed.exit_code())
    }

    /// It was done, but its result could not be written.
    pub(crate) fn unwritten(message: impl Into<String>) -> Self {
        Self::new(message.into(), UNWRITTEN)
    }

    /// Something is still not as it was.
    pub(crate) fn residue(message: impl Into<String>) -> Self {
        Self::new(message.into(), Verdict::Residue.exit_code())
    }

    /// The verdict whose exit code it has; none where it has that of none.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|verdict| verdict.exit_code() == self.code)
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

/// What a verb returns.
pub(crate) type Outcome = Result<ExitCode, Failure>;
