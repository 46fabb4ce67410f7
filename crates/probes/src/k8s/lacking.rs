//! In place of clusters, in a build without them.

use super::Parameters;
use serde_json::Value as Json;
use squall_model::probe::ProbeError;

/// Asks nobody, and says why.
pub(super) struct Asker;

impl Asker {
    pub(super) fn new(_: &Parameters) -> Self {
        Self
    }

    #[expect(clippy::unused_async, reason = "it stands for what asks")]
    pub(super) async fn objects(&self, _: &Parameters) -> Result<Vec<Json>, ProbeError> {
        let why = "this squall was built without Kubernetes (`--no-default-features`); build it with `--features kubernetes`";
        Err(ProbeError(why.to_owned()))
    }

    #[expect(clippy::unused_async, reason = "it stands for what asks")]
    pub(super) async fn measurements(&self, _: &Parameters) -> Result<Vec<Json>, ProbeError> {
        Ok(Vec::new())
    }
}
