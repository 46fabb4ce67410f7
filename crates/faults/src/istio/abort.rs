//! `istio.abort`: requests through Istio are answered with an error.

use super::{Part, Route, block, notes, percentage};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;
use squall_model::units::Share;

/// See [`Fault::SUMMARY`].
pub(crate) struct Abort;

/// What `istio.abort` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The status that requests are answered with: 200 to 599.
    status: u16,
    /// Share of requests that are answered so; all where not given.
    #[serde(default = "super::whole")]
    probability: Share,
    /// Only the route of this name, or at this place among the HTTP routes, counted from 0; every HTTP route where not given.
    #[serde(default)]
    route: Option<Route>,
}

/// Whether requests can be answered so.
pub(super) fn check(status: u16) -> Result<(), PlanError> {
    if (200..600).contains(&status) {
        return Ok(());
    }
    Err(PlanError::Parameters(format!(
        "status: {status} is none that a request is answered with: 200 to 599"
    )))
}

/// The part of a fault block.
pub(super) fn value(status: u16, probability: Share) -> Json {
    json!({"percentage": percentage(probability), "httpStatus": status})
}

impl Fault for Abort {
    const NAME: &'static str = "istio.abort";
    const SUMMARY: &'static str = "Lets an Istio virtual service answer requests with an error";
    const EXAMPLE: &'static str = "\
- fault: istio.abort
  target: {virtual_service: {namespace: shop, name: payment}}
  with: {status: 503, probability: 5%}
  for: 60s
";
    const SCOPE: Scope = Scope::VirtualService;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        check(parameters.status)
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let value = value(parameters.status, parameters.probability);
        block(facts, &[Part { route: parameters.route.as_ref(), name: "abort", value }])
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
    fn an_earlier_abort_is_known_from_before() {
        let step = "change VirtualService shop/payment: spec.http.0.fault.abort = \
                    {\"httpStatus\":503,\"percentage\":{\"value\":5.0}}";
        let facts = on_routes(r#"[{"fault": {"abort": {"httpStatus": 500}}}]"#);
        golden::<Abort>("{status: 503, probability: 5%}", &facts, &[step]);
        assert!(refusal::<Abort>("{status: 700}", &facts).contains("200 to 599"));
    }
}
