//! Faults that Istio makes: the `fault` block of a virtual service's routes, and nothing else of it.

pub(crate) mod abort;
pub(crate) mod delay;

use crate::k8s::{change, object};
use serde_json::{Value as Json, json};
use squall_model::cluster::{Field, ObjectFacts, Shows};
use squall_model::facts::Facts;
use squall_model::fault::PlanError;
use squall_model::step::Step;
use squall_model::units::Share;

/// What the block is called within a route.
const FAULT: &str = "fault";

fn service(facts: &Facts) -> Result<&ObjectFacts, PlanError> {
    object(facts, "virtual services of Istio")
}

/// Puts a part into the fault block of the routes that are meant, in place of the same part of an earlier one.
fn block(facts: &Facts, route: Option<&str>, part: &str, value: &Json) -> Result<Vec<Step>, PlanError> {
    let service = service(facts)?;
    let none = Vec::new();
    let routes = service.content["spec"]["http"].as_array().unwrap_or(&none);
    let is_meant = |known: &Json| route.is_none_or(|name| known["name"] == name);
    let fields: Vec<Field> = routes
        .iter()
        .enumerate()
        .filter(|(_, known)| is_meant(known))
        .map(|(position, known)| {
            let before = known.get(FAULT).and_then(|fault| fault.get(part)).cloned();
            Field::put(&["spec", "http", &position.to_string(), FAULT, part], value.clone(), before)
        })
        .collect();
    if fields.is_empty() {
        let names: Vec<&str> = routes.iter().filter_map(|known| known["name"].as_str()).collect();
        return Err(PlanError::Refused(match route {
            Some(name) if !names.is_empty() => {
                format!("{} has no route named {name:?}; it has: {}", service.object, names.join(", "))
            }
            Some(name) => format!("{} has no route named {name:?}: its routes have no names", service.object),
            None => format!("{} has no HTTP routes, and only those can have faults", service.object),
        }));
    }
    Ok(vec![change(facts, &service.object, fields, Shows::Itself)])
}

/// A share as Istio takes it.
fn percentage(share: Share) -> Json {
    // Shares are binary fractions: 0.07 × 100 is 7.000000000000001.
    json!({"value": (share.fraction() * 1e8).round() / 1e6})
}

/// The share of requests, where none is given.
fn whole() -> Share {
    Share::WHOLE
}

/// What whoever reads the plan should know.
fn notes() -> Vec<String> {
    vec![
        "sidecars take the change over within a second or two, and give it back as fast; that a request was struck is seen by \
         whoever sends it, not here"
            .to_owned(),
    ]
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::k8s::testing::on_object;
    use squall_model::cluster::ObjectKind;
    use squall_model::facts::Facts;

    /// A virtual service with these HTTP routes.
    pub(crate) fn on_routes(routes: &str) -> Facts {
        let kind = ObjectKind::new("networking.istio.io", "v1beta1", "VirtualService", "virtualservices");
        on_object(kind, "payment", &format!(r#"{{"spec": {{"http": {routes}}}}}"#))
    }
}
