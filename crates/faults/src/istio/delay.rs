//! `istio.delay`: requests through Istio come later.

use super::{block, notes, percentage};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
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
    /// Only the route of this name; every HTTP route where not given.
    #[serde(default)]
    route: Option<String>,
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
        if parameters.delay < Duration::milliseconds(1) {
            return Err(PlanError::Parameters(
                "`delay` is at least 1ms, which is what Istio can tell apart".to_owned(),
            ));
        }
        Ok(())
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let seconds = format!("{}s", parameters.delay.as_seconds());
        let value = json!({"percentage": percentage(parameters.probability), "fixedDelay": seconds});
        block(facts, parameters.route.as_deref(), "delay", &value)
    }

    fn notes(_: &Parameters, _: &Facts) -> Vec<String> {
        notes()
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
