//! How the kinds are made known to a cluster: definitions, made from the Rust types and from what this binary knows of
//! experiments.
//!
//! Of what users write, unknown keys are kept: our reader tells them with their place, where the cluster would drop them and
//! say nothing. What a cluster refuses itself is what needs no explanation: a missing key, a value of another type, a fault
//! that there is not.

mod structural;

use super::kinds;
use super::resources::{
    EXPERIMENT, ExperimentStatus, GROUP, HALT, HaltSpec, HaltStatus, RUN, RunSpec, RunStatus, SCHEDULE,
    ScheduleSpec, ScheduleStatus,
};
use crate::registry::Registry;
use schemars::{JsonSchema, schema_for};
use serde_json::{Value as Json, json};
use squall_kubernetes::Kind;
use structural::{Unknown, structural};

/// What `kubectl get` shows of a kind: heading, type, where it is, and whether only `-o wide` shows it.
type Column = (&'static str, &'static str, &'static str, bool);

const AGE: Column = ("Age", "date", ".metadata.creationTimestamp", false);
const PHASE: Column = ("Phase", "string", ".status.phase", false);
const VERDICT: Column = ("Verdict", "string", ".status.verdict", false);
const REASON: Column = ("Reason", "string", ".status.reason", true);

/// Squall's own kinds.
pub(crate) fn own() -> Vec<Json> {
    let experiment = Definition {
        kind: &EXPERIMENT,
        short: &["sqexp"],
        columns: &[PHASE, VERDICT, ("Last run", "string", ".status.lastRun", false), REASON, AGE],
        spec: experiment(),
        status: status::<ExperimentStatus>(),
        about: "What must hold, what is done, what ends it: carried out once, and again when it changes",
    };
    let schedule = Definition {
        kind: &SCHEDULE,
        short: &["sqsched"],
        columns: &[
            ("Schedule", "string", ".spec.schedule", false),
            ("Next", "string", ".status.nextScheduleTime", false),
            VERDICT,
            ("Accepted", "string", r#".status.conditions[?(@.type=="Accepted")].status"#, false),
            ("Suspend", "boolean", ".spec.suspend", false),
            ("Experiment", "string", ".spec.experiment", true),
            REASON,
            AGE,
        ],
        spec: spec::<ScheduleSpec>(),
        status: status::<ScheduleStatus>(),
        about: "When an experiment is carried out again and again",
    };
    let run = Definition {
        kind: &RUN,
        short: &["sqrun"],
        columns: &[PHASE, VERDICT, ("Source", "string", ".spec.source.name", false), REASON, AGE],
        spec: spec::<RunSpec>(),
        status: status::<RunStatus>(),
        about: "An experiment carried out once",
    };
    let halt = Definition {
        kind: &HALT,
        short: &["sqhalt"],
        columns: &[
            ("Running", "integer", ".status.running", false),
            ("Reason", "string", ".spec.reason", true),
            AGE,
        ],
        spec: spec::<HaltSpec>(),
        status: status::<HaltStatus>(),
        about: "Stops everything in the cluster, and keeps it stopped while it is there",
    };
    [experiment, schedule, run, halt].map(Definition::object).into()
}

/// The kinds of Chaos Mesh, as far as a cluster must know them: what stands in them, our reader judges.
pub(crate) fn chaos_mesh() -> Vec<Json> {
    let open = || json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let of = |kind: &Kind| {
        let about = "A kind of Chaos Mesh, carried out by Squall; the condition Accepted says what cannot be";
        let columns = mesh_columns(&kind.kind);
        Definition { kind, short: &[], columns: &columns, spec: open(), status: open(), about }.object()
    };
    kinds::MESH.iter().map(of).collect()
}

/// What is shown of a kind of Chaos Mesh: where it stands and why, and beside that what such an object does.
fn mesh_columns(kind: &str) -> Vec<Column> {
    const INJECTED: Column =
        ("Injected", "string", r#".status.conditions[?(@.type=="AllInjected")].status"#, false);
    const RECOVERED: Column =
        ("Recovered", "string", r#".status.conditions[?(@.type=="AllRecovered")].status"#, false);
    const PHASE: Column = ("Phase", "string", ".status.squall.phase", false);
    const VERDICT: Column = ("Verdict", "string", ".status.squall.verdict", false);
    const REASON: Column = ("Reason", "string", ".status.squall.reason", true);
    let own: &[Column] = match kind {
        "Schedule" => {
            &[("Schedule", "string", ".spec.schedule", false), ("Last", "date", ".status.time", false)]
        }
        // Their steps inject one thing after another, or nothing.
        "Workflow" | "StatusCheck" => &[],
        _ => &[INJECTED, RECOVERED],
    };
    [&[PHASE], own, &[VERDICT, REASON, AGE]].concat()
}

/// A kind, for the cluster.
struct Definition<'d> {
    kind: &'d Kind,
    short: &'static [&'static str],
    columns: &'d [Column],
    spec: Json,
    status: Json,
    about: &'static str,
}

impl Definition<'_> {
    fn object(self) -> Json {
        let Self { kind, short, columns, spec, status, about } = self;
        let has_duties = spec.get("required").is_some() || kind.group != GROUP;
        let mut schema = json!({
            "type": "object",
            "description": about,
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"type": "object"},
                "spec": spec,
                "status": status,
            },
        });
        if has_duties {
            schema["required"] = json!(["spec"]);
        }
        let mut names = json!({
            "kind": kind.kind,
            "listKind": format!("{}List", kind.kind),
            "plural": kind.plural,
            "singular": kind.kind.to_lowercase(),
            "categories": ["squall", "chaos"],
        });
        if !short.is_empty() {
            names["shortNames"] = json!(short);
        }
        json!({
            "apiVersion": Kind::CUSTOM_RESOURCE_DEFINITION.api_version(),
            "kind": Kind::CUSTOM_RESOURCE_DEFINITION.kind,
            "metadata": {"name": format!("{}.{}", kind.plural, kind.group)},
            "spec": {
                "group": kind.group,
                "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
                "names": names,
                "versions": [{
                    "name": kind.version,
                    "served": true,
                    "storage": true,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns.iter().map(column).collect::<Vec<_>>(),
                    "schema": {"openAPIV3Schema": schema},
                }],
            },
        })
    }
}

fn column((name, kind, path, is_wide): &Column) -> Json {
    let mut column = json!({"name": name, "type": kind, "jsonPath": path});
    if *is_wide {
        column["priority"] = 1.into();
    }
    column
}

/// An experiment file without what the object itself says, and with what only an object can.
fn experiment() -> Json {
    const SAID_BY_THE_OBJECT: [&str; 3] = ["apiVersion", "kind", "name"];
    let mut schema = squall_model::read::schema(&Registry);
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.retain(|name, _| !SAID_BY_THE_OBJECT.contains(&name.as_str()));
    }
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|name| name.as_str().is_none_or(|name| !SAID_BY_THE_OBJECT.contains(&name)));
    }
    schema["properties"]["suspend"] = json!({
        "description": "Is not carried out by itself; schedules and runs may name it.", "type": "boolean"
    });
    structural(&schema, Unknown::Kept)
}

fn spec<T: JsonSchema>() -> Json {
    structural(schema_for!(T).as_value(), Unknown::Kept)
}

/// What the operator says. Conditions are known by their type, so that several may say some.
fn status<T: JsonSchema>() -> Json {
    let mut status = structural(schema_for!(T).as_value(), Unknown::Dropped);
    if let Some(conditions) = status["properties"].get_mut("conditions") {
        conditions["x-kubernetes-list-type"] = "map".into();
        conditions["x-kubernetes-list-map-keys"] = json!(["type"]);
    }
    // Nobody has said anything yet: no word of it is a duty.
    if let Some(map) = status.as_object_mut() {
        map.remove("required");
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a structural schema.
    const KNOWN: [&str; 23] = [
        "type",
        "description",
        "properties",
        "additionalProperties",
        "items",
        "required",
        "enum",
        "nullable",
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
    ];

    /// What a cluster asks of a structural schema.
    fn check(node: &Json, path: &str) {
        let Json::Object(map) = node else { panic!("{path}: {node}") };
        let is_typed = map.get("type").is_some_and(|kind| kind != "null");
        let is_open = map.contains_key("x-kubernetes-preserve-unknown-fields");
        let is_either = map.contains_key("x-kubernetes-int-or-string");
        assert!(is_typed != is_either && (is_typed || is_open || is_either) || is_open, "{path}: {node}");
        assert!(!(map.contains_key("properties") && map.contains_key("additionalProperties")), "{path}");
        for word in map.keys() {
            assert!(KNOWN.contains(&word.as_str()), "{path}: {word}");
        }
        for (name, part) in map.get("properties").and_then(Json::as_object).into_iter().flatten() {
            check(part, &format!("{path}.{name}"));
        }
        for word in ["items", "additionalProperties"] {
            if let Some(part) = map.get(word) {
                check(part, &format!("{path}.{word}"));
            }
        }
    }

    fn schema(definition: &Json) -> &Json {
        &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    }

    #[test]
    fn every_kind_has_a_structural_schema_of_a_modest_size() {
        let all = [own(), chaos_mesh()].concat();
        assert_eq!(all.len(), 21);
        for definition in &all {
            let name = definition["metadata"]["name"].as_str().unwrap();
            check(schema(definition), name);
            let size = definition.to_string().len();
            assert!(size < 150_000, "{name} has {size} bytes");
        }
    }

    #[test]
    fn each_kind_shows_how_it_ended_and_wide_why() {
        let columns = |definition: &Json, priority: Json| -> Vec<String> {
            let all = definition["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
            let meant = all.iter().filter(|column| column["priority"] == priority);
            meant.map(|column| column["name"].as_str().unwrap().to_owned()).collect()
        };
        for definition in chaos_mesh() {
            assert_eq!(columns(&definition, json!(1)), ["Reason"]);
            let expected: &[&str] = match definition["spec"]["names"]["kind"].as_str().unwrap() {
                "Workflow" | "StatusCheck" => &["Phase", "Verdict", "Age"],
                "Schedule" => &["Phase", "Schedule", "Last", "Verdict", "Age"],
                _ => &["Phase", "Injected", "Recovered", "Verdict", "Age"],
            };
            assert_eq!(columns(&definition, Json::Null), expected, "{}", definition["metadata"]["name"]);
        }
        let schedule = &own()[1];
        assert!(columns(schedule, Json::Null).contains(&"Accepted".to_owned()));
        assert!(columns(schedule, json!(1)).contains(&"Reason".to_owned()));
    }

    #[test]
    fn an_experiment_is_typed_where_that_is_certain_and_open_where_it_depends() {
        let all = own();
        let spec = &schema(&all[0])["properties"]["spec"];
        assert_eq!(spec["required"], json!(["method"]));
        assert_eq!(spec["properties"].get("name"), None);
        assert_eq!(spec["x-kubernetes-preserve-unknown-fields"], true);
        let entry = &spec["properties"]["method"]["items"];
        let faults = entry["properties"]["fault"]["enum"].as_array().unwrap();
        assert!(faults.contains(&json!("k8s.pod_kill")), "{faults:?}");
        let with = &entry["properties"]["with"];
        assert!(with.get("type").is_none() && with["x-kubernetes-preserve-unknown-fields"] == true, "{with}");
        assert_eq!(entry["properties"]["target"]["properties"]["host"]["enum"], json!([true]));
        assert_eq!(entry["properties"]["together"]["type"], "array");
    }

    #[test]
    fn what_the_operator_says_is_known_by_its_types() {
        let all = own();
        let status = |place: usize| &schema(&all[place])["properties"]["status"]["properties"];
        assert_eq!(status(0)["phase"]["enum"].as_array().unwrap().len(), 5);
        assert_eq!(status(0)["conditions"]["x-kubernetes-list-map-keys"], json!(["type"]));
        assert_eq!(status(2)["injections"]["items"]["properties"]["evidence"]["type"], "array");
        assert_eq!(schema(&all[1])["properties"]["spec"]["required"], json!(["schedule", "experiment"]));
        // A halt may be empty.
        assert_eq!(schema(&all[3]).get("required"), None);
    }
}
