//! `istio.delay`: requests through Istio come later.

use super::{Part, Route, block, notes, percentage};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;
use squall_model::units::{Duration, Share};

/// See [`Fault::SUMMARY`].
pub(crate) struct Delay;

/// What `istio.delay` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How much later requests come; at least 1ms.
    delay: Duration,
    /// Share of requests that are delayed; all where not given.
    #[serde(default = "super::whole")]
    probability: Share,
    /// Only the route of this name, or at this place among the HTTP routes, counted from 0; every HTTP route where not given.
    #[serde(default)]
    route: Option<Route>,
}

/// Whether requests can come so much later.
pub(super) fn check(delay: Duration) -> Result<(), PlanError> {
    if delay >= Duration::milliseconds(1) {
        return Ok(());
    }
    Err(PlanError::Parameters("`delay` is at least 1ms, which is what Istio can tell apart".to_owned()))
}

/// The part of a fault block.
pub(super) fn value(delay: Duration, probability: Share) -> Json {
    json!({"percentage": percentage(probability), "fixedDelay": format!("{}s", delay.as_seconds())})
}

impl Fault for Delay {
    const NAME: &'static str = "istio.delay";
    const SUMMARY: &'static str = "Lets requests through an Istio virtual service come later";
    const EXAMPLE: &'static str = "\
- fault: istio.delay
  target: {virtual_service: {namespace: shop, name: payment}}
  with: {delay: 5s, probability: 10%}
  for: 60s
";
    const SCOPE: Scope = Scope::VirtualService;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        check(parameters.delay)
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let value = value(parameters.delay, parameters.probability);
        block(facts, &[Part { route: parameters.route.as_ref(), name: "delay", value }])
    }

    fn notes(_: &Parameters, facts: &Facts) -> Vec<String> {
        notes(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_routes;
    use super::*;
    use crate::testing::{golden, refusal};

    #[test]
    fn only_the_part_of_the_block_changes() {
        let step = "change VirtualService shop/payment: spec.http.1.fault.delay = \
                    {\"fixedDelay\":\"0.25s\",\"percentage\":{\"value\":7.0}}";
        let facts = on_routes(r#"[{"name": "a"}, {"name": "b", "fault": {"abort": {"httpStatus": 500}}}]"#);
        golden::<Delay>("{delay: 250ms, probability: 7%, route: b}", &facts, &[step]);
        assert!(refusal::<Delay>("{delay: 1s, route: c}", &facts).contains("it has: a, b"));
        assert!(refusal::<Delay>("{delay: 1s}", &on_routes("[]")).contains("no HTTP routes"));
        assert!(refusal::<Delay>("{delay: 100us}", &facts).contains("at least 1ms"));
    }
}
