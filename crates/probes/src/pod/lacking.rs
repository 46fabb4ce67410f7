//! In place of clusters, in a build without them.

use super::Parameters;
use squall_model::probe::{Keep, ProbeError};
use squall_model::value::Reading;

#[expect(clippy::unused_async, reason = "it stands for what asks")]
pub(super) async fn ask(_: &Parameters, _: &dyn Keep) -> Result<Reading, ProbeError> {
    let why = "this squall was built without Kubernetes (`--no-default-features`); build it with `--features kubernetes`";
    Err(ProbeError(why.to_owned()))
}
