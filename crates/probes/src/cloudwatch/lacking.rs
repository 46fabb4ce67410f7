//! In place of the question, in a build without AWS.

use super::Parameters;
use squall_model::probe::ProbeError;

/// Never made.
pub(super) struct Asker(std::convert::Infallible);

impl Asker {
    pub(super) fn new(_: Parameters) -> Result<Self, ProbeError> {
        Err(ProbeError(
            "this squall was built without AWS (`--no-default-features`); build it with `--features aws`"
                .to_owned(),
        ))
    }

    #[expect(clippy::unused_async, reason = "as the one that asks")]
    pub(super) async fn ask(&self) -> Result<Option<f64>, ProbeError> {
        match self.0 {}
    }

    pub(super) fn nothing(&self) -> ProbeError {
        match self.0 {}
    }
}
