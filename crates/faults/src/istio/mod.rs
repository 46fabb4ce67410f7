//! Faults that Istio makes: the `fault` block of a virtual service's routes, and nothing else of it.

pub(crate) mod abort;
pub(crate) mod delay;
pub(crate) mod faults;

use crate::k8s::{change, object, step};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use squall_model::cluster::{Field, FieldChange, ObjectChange, ObjectFacts, Shows};
use squall_model::facts::{Facts, Subject};
use squall_model::fault::PlanError;
use squall_model::step::Step;
use squall_model::target::Target;
use squall_model::units::Share;

/// What the block is called within a route.
const FAULT: &str = "fault";

/// Which route: by its name, or by its place among the HTTP routes, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Route {
    /// Its place.
    Place(u16),
    /// Its name.
    Name(String),
}

/// A part of a fault block, and the routes that get it.
struct Part<'p> {
    /// Every HTTP route where there is none.
    route: Option<&'p Route>,
    /// What it is called within the block.
    name: &'static str,
    value: Json,
}

/// Puts parts into the fault blocks of the routes that are meant, in place of the same parts of earlier ones. A virtual service that
/// is not there yet is made with them.
fn block(facts: &Facts, parts: &[Part<'_>]) -> Result<Vec<Step>, PlanError> {
    let service = object(facts, "virtual services of Istio")?;
    let mut fields: Vec<Field> = Vec::new();
    for part in parts {
        for field in fields_of(facts, service, part)? {
            if fields.iter().any(|known| known.path == field.path) {
                let (service, name) = (&service.object, field.name());
                return Err(PlanError::Refused(format!(
                    "{name} of {service} is given twice: name each route once"
                )));
            }
            fields.push(field);
        }
    }
    Ok(vec![if service.object.uid.is_empty() {
        step(
            facts,
            &service.object,
            ObjectChange::Create { body: with(&service.content, &fields) },
            Shows::Itself,
        )
    } else {
        change(facts, &service.object, fields, Shows::Itself)
    }])
}

/// The fields that a part changes.
fn fields_of(facts: &Facts, service: &ObjectFacts, part: &Part<'_>) -> Result<Vec<Field>, PlanError> {
    let none = Vec::new();
    let routes = service.content["spec"]["http"].as_array().unwrap_or(&none);
    let is_meant = |(place, known): &(usize, &Json)| match part.route {
        None => true,
        Some(Route::Name(name)) => known["name"] == *name,
        Some(Route::Place(number)) => *place == usize::from(*number),
    };
    let meant: Vec<(usize, &Json)> = routes.iter().enumerate().filter(is_meant).collect();
    if meant.is_empty() {
        return Err(PlanError::Refused(no_route(service, routes, part.route)));
    }
    if let (Some(Route::Place(_)), [(place, known)]) = (part.route, meant.as_slice()) {
        check_same_requests(facts, service, *place, known)?;
    }
    let field = |(place, known): (usize, &Json)| {
        let before = known.get(FAULT).and_then(|fault| fault.get(part.name)).cloned();
        Field::put(&["spec", "http", &place.to_string(), FAULT, part.name], part.value.clone(), before)
    };
    Ok(meant.into_iter().map(field).collect())
}

/// Why there is no such route.
fn no_route(service: &ObjectFacts, routes: &[Json], route: Option<&Route>) -> String {
    let object = &service.object;
    let names: Vec<&str> = routes.iter().filter_map(|known| known["name"].as_str()).collect();
    match route {
        _ if routes.is_empty() => format!("{object} has no HTTP routes, and only those can have faults"),
        Some(Route::Name(name)) if names.is_empty() => {
            format!("{object} has no route named {name:?}: its routes have no names")
        }
        Some(Route::Name(name)) => {
            format!("{object} has no route named {name:?}; it has: {}", names.join(", "))
        }
        Some(Route::Place(number)) => {
            format!("{object} has no HTTP route {number}: it has {}, counted from 0", routes.len())
        }
        None => format!("{object} has no route that is meant"),
    }
}

/// A route that is known by its place alone must be for the requests that the author of the other one had in mind.
fn check_same_requests(
    facts: &Facts,
    service: &ObjectFacts,
    place: usize,
    known: &Json,
) -> Result<(), PlanError> {
    let Target::VirtualService(selector) = &facts.target else { return Ok(()) };
    let Some(made) = &selector.make else { return Ok(()) };
    let wanted = made.spec.get("http").and_then(|routes| routes.get(place));
    if wanted.is_none_or(|wanted| wanted.get("match") == known.get("match")) {
        return Ok(());
    }
    let object = &service.object;
    Err(PlanError::Refused(format!(
        "HTTP route {place} of {object} is for other requests (`match`) than the one that is meant; give the routes names, or correct \
         their order"
    )))
}

/// What an object is made of, with these fields in it.
fn with(content: &Json, fields: &[Field]) -> Json {
    let mut body = content.clone();
    for field in fields {
        if let FieldChange::Put { value, .. } = &field.change {
            let inner = field.path.iter().fold(&mut body, |inner, name| match name.parse::<usize>() {
                Ok(place) if inner.is_array() => &mut inner[place],
                _ => &mut inner[name.as_str()],
            });
            *inner = value.clone();
        }
    }
    body
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
fn notes(facts: &Facts) -> Vec<String> {
    let missing = match &facts.subject {
        Subject::Object(service) if service.object.uid.is_empty() => Some(&service.object),
        _ => None,
    };
    let made = missing.map(|object| {
        format!(
            "{object} is not in the cluster: it is made for the time of the fault, and deleted after; another virtual service for the \
             same hosts may keep it from having an effect"
        )
    });
    let seen = "sidecars take the change over within a second or two, and give it back as fast; that a request was struck is seen by \
                whoever sends it, not here";
    made.into_iter().chain([seen.to_owned()]).collect()
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::k8s::testing::on_object;
    use squall_model::cluster::ObjectKind;
    use squall_model::facts::{Facts, Subject};
    use squall_model::target::Target;

    /// A virtual service with these HTTP routes.
    pub(crate) fn on_routes(routes: &str) -> Facts {
        let kind = ObjectKind::new("networking.istio.io", "v1beta1", "VirtualService", "virtualservices");
        on_object(kind, "payment", &format!(r#"{{"spec": {{"http": {routes}}}}}"#))
    }

    /// The same, where what is meant has these routes, and is to be made with them where it is not there.
    pub(crate) fn meant(routes: &str, is_there: Option<&str>) -> Facts {
        let mut facts = on_routes(is_there.unwrap_or(routes));
        let made = format!(r#"{{"name": "payment", "make": {{"spec": {{"http": {routes}}}}}}}"#);
        facts.target = Target::VirtualService(Box::new(serde_json::from_str(&made).unwrap()));
        if let (Subject::Object(service), None) = (&mut facts.subject, is_there) {
            service.object.uid.clear();
        }
        facts
    }
}
