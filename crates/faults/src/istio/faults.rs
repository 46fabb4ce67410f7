//! `istio.faults`: several parts of fault blocks at once.
//!
//! Two faults on one virtual service cannot both make it where it is not there; this one makes it with all of them.

use super::{Part, Route, abort, block, delay, notes};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;
use squall_model::units::{Duration, Share};

/// See [`Fault::SUMMARY`].
pub(crate) struct Faults;

/// What `istio.faults` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// What becomes of requests, route by route: `{route: NAME, delay: {…}, abort: {…}}`.
    routes: Vec<RouteFaults>,
}

/// What becomes of the requests of a route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RouteFaults {
    /// Only the route of this name, or at this place among the HTTP routes, counted from 0; every HTTP route where not given.
    #[serde(default)]
    route: Option<Route>,
    /// They come later.
    #[serde(default)]
    delay: Option<Delay>,
    /// They are answered with an error.
    #[serde(default)]
    abort: Option<Abort>,
}

/// How much later requests come.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delay {
    /// How much later requests come; at least 1ms.
    delay: Duration,
    /// Share of requests that are delayed; all where not given.
    #[serde(default = "super::whole")]
    probability: Share,
}

/// What requests are answered with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Abort {
    /// The status that requests are answered with: 200 to 599.
    status: u16,
    /// Share of requests that are answered so; all where not given.
    #[serde(default = "super::whole")]
    probability: Share,
}

impl RouteFaults {
    fn check(&self) -> Result<(), PlanError> {
        if self.delay.is_none() && self.abort.is_none() {
            return Err(PlanError::Parameters("a route needs `delay`, `abort`, or both".to_owned()));
        }
        self.delay.iter().try_for_each(|part| delay::check(part.delay))?;
        self.abort.iter().try_for_each(|part| abort::check(part.status))
    }

    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let part = |name, value| Part { route: self.route.as_ref(), name, value };
        let later = self.delay.iter().map(|later| delay::value(later.delay, later.probability));
        let wrong = self.abort.iter().map(|wrong| abort::value(wrong.status, wrong.probability));
        later.map(move |value| part("delay", value)).chain(wrong.map(move |value| part("abort", value)))
    }
}

impl Fault for Faults {
    const NAME: &'static str = "istio.faults";
    const SUMMARY: &'static str =
        "Lets an Istio virtual service delay requests and answer them with errors, route by route";
    const EXAMPLE: &'static str = "\
- fault: istio.faults
  target: {virtual_service: {namespace: shop, name: payment}}
  with:
    routes:
      - {route: 0, delay: {delay: 5s, probability: 10%}, abort: {status: 503, probability: 5%}}
  for: 60s
";
    const SCOPE: Scope = Scope::VirtualService;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        if parameters.routes.is_empty() {
            return Err(PlanError::Parameters("`routes` names no route".to_owned()));
        }
        parameters.routes.iter().try_for_each(RouteFaults::check)
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let parts: Vec<Part<'_>> = parameters.routes.iter().flat_map(RouteFaults::parts).collect();
        block(facts, &parts)
    }

    fn notes(_: &Parameters, facts: &Facts) -> Vec<String> {
        notes(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{meant, on_routes};
    use super::*;
    use crate::testing::{golden, plan, refusal};
    use serde_json::json;
    use squall_model::cluster::ObjectChange;

    const BOTH: &str =
        "{routes: [{route: 0, delay: {delay: 5s, probability: 10%}, abort: {status: 503, probability: 5%}}]}";

    #[test]
    fn only_the_fault_block_changes_where_there_is_a_virtual_service() {
        let step = "change VirtualService shop/payment: spec.http.0.fault.delay = \
                    {\"fixedDelay\":\"5s\",\"percentage\":{\"value\":10.0}}, spec.http.0.fault.abort = \
                    {\"httpStatus\":503,\"percentage\":{\"value\":5.0}}";
        golden::<Faults>(BOTH, &meant("[{}]", Some(r#"[{"route": []}, {}]"#)), &[step]);
    }

    #[test]
    fn one_that_is_not_there_is_made_with_the_faults() {
        let facts = meant(r#"[{"route": [{"destination": {"host": "payment"}}]}]"#, None);
        golden::<Faults>(BOTH, &facts, &["make VirtualService shop/payment"]);
        let planned = plan::<Faults>(BOTH, &facts).unwrap();
        let Step::Object(step) = &planned[0] else { panic!("{planned:?}") };
        let ObjectChange::Create { body } = &step.change else { panic!("{step:?}") };
        let http = json!([{
            "fault": {
                "delay": {"percentage": {"value": 10.0}, "fixedDelay": "5s"},
                "abort": {"percentage": {"value": 5.0}, "httpStatus": 503},
            },
            "route": [{"destination": {"host": "payment"}}],
        }]);
        assert_eq!(body["spec"]["http"], http);
        assert!(
            Faults::notes(&Parameters { routes: Vec::new() }, &facts)[0].contains("is made for the time")
        );
    }

    #[test]
    fn a_route_of_other_requests_is_not_taken_for_the_one_that_is_meant() {
        let other = r#"[{"match": [{"uri": {"prefix": "/admin"}}]}]"#;
        assert!(refusal::<Faults>(BOTH, &meant("[{}]", Some(other))).contains("is for other requests"));
        assert!(refusal::<Faults>(BOTH, &on_routes("[]")).contains("has no HTTP routes"));
        let third = "{routes: [{route: 2, abort: {status: 503}}]}";
        assert!(refusal::<Faults>(third, &on_routes("[{}]")).contains("has no HTTP route 2: it has 1"));
        let twice = "{routes: [{route: a, abort: {status: 503}}, {route: 0, abort: {status: 500}}]}";
        assert!(refusal::<Faults>(twice, &on_routes(r#"[{"name": "a"}]"#)).contains("is given twice"));
        for (wrong, words) in [
            ("{routes: []}", "names no route"),
            ("{routes: [{route: 0}]}", "needs `delay`, `abort`"),
            ("{routes: [{delay: {delay: 1us}}]}", "at least 1ms"),
            ("{routes: [{abort: {status: 700}}]}", "200 to 599"),
        ] {
            assert!(refusal::<Faults>(wrong, &on_routes("[{}]")).contains(words), "{wrong}");
        }
    }
}
