//! What the faults by `netem` share: delays that make sense, and what must be said of chance in runs.

use super::filter::Filters;
use super::place::{about_loopback, qdiscs, require_netem};
use squall_model::facts::Facts;
use squall_model::fault::PlanError;
use squall_model::step::{Netem, Shape, Step};
use squall_model::units::{Duration, Share};

/// As long as the kernel can hold a packet back (`netem` counts jitter in 32 bits of 64 ns).
const LONGEST: Duration = Duration::seconds(270);

/// From here on a run lasts for a hundred packets and more.
const LONG_RUNS: f64 = 0.99;

/// A mistake in the parameters.
pub(super) fn wrong(message: impl Into<String>) -> Result<(), PlanError> {
    Err(PlanError::Parameters(message.into()))
}

/// Checks that packets can be delayed so.
pub(super) fn check_delay(delay: Duration, jitter: Duration) -> Result<(), PlanError> {
    if delay.0 > LONGEST.0 || jitter.0 > LONGEST.0 {
        return wrong("the kernel holds packets back for at most 4m30s");
    }
    if jitter.0 > delay.0 {
        return wrong("`jitter` must not be longer than `delay`: a packet cannot come before it was sent");
    }
    Ok(())
}

/// Checks that a share of packets is any.
pub(super) fn check_share(name: &str, share: Share) -> Result<(), PlanError> {
    if share.fraction() <= 0.0 {
        return wrong(format!("a `{name}` of 0% would change nothing"));
    }
    Ok(())
}

/// Checks that packets can overtake others.
pub(super) fn check_reorder(delay: Duration, gap: u32) -> Result<(), PlanError> {
    if delay.0.is_zero() {
        return wrong("packets overtake only those that wait; say for how long with `delay`");
    }
    if gap == 0 {
        return wrong("`gap` must be at least 1: of so many packets in a row, one at most overtakes");
    }
    Ok(())
}

/// The steps that harm packets so; `verb` says what could not be done without `netem`.
pub(super) fn steps(
    facts: &Facts,
    filters: &Filters<'_>,
    netem: Netem,
    verb: &str,
) -> Result<Vec<Step>, PlanError> {
    require_netem(facts, verb)?;
    qdiscs(facts, filters, &Shape::Netem(netem))
}

/// What the plan says beside the steps.
pub(super) fn notes(facts: &Facts, filters: &Filters<'_>, correlations: &[Share]) -> Vec<String> {
    let mut notes = about_loopback(facts, filters);
    let runs_are_long = correlations.iter().any(|correlation| correlation.fraction() >= LONG_RUNS);
    notes.extend(runs_are_long.then(|| {
        "with a correlation of 99% and more, chance speaks once for a hundred packets or for all: it may strike none, or \
         each"
            .to_owned()
    }));
    notes
}
