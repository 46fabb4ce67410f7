//! The JSON Schema of experiment files, for editors: built from the catalog, so that it knows what the binary knows.

use super::experiment::{API_VERSION, KIND};
use super::method::{MAX_STEPS, TARGETS};
use crate::catalog::Catalog;
use crate::cloud::{InstanceSelector, TemplateSelector};
use crate::cluster::{NodeSelector, ObjectSelector, PodSelector};
use crate::experiment::{
    Concurrency, DEFAULT_ANSWER, DEFAULT_BASELINE, DEFAULT_FRESH, DEFAULT_LASTS, DEFAULT_RECOVERY,
    DEFAULT_WINDOW,
};
use crate::quantity::load_metrics;
use crate::target::{ContainerSelector, Mode, ProcessSelector, Round};
use crate::units::{Duration, Frequency, Share};
use schemars::{Schema, schema_for};
use serde_json::{Map, Value as Json, json};

/// The JSON Schema (draft 2020-12) of an experiment file with all that the catalog can name.
pub fn schema(catalog: &dyn Catalog) -> Json {
    let mut definitions = Definitions::default();
    let duration = definitions.add("", &schema_for!(Duration));
    let share = definitions.add("", &schema_for!(Share));
    let frequency = definitions.add("", &schema_for!(Frequency));
    let concurrency = definitions.add("", &schema_for!(Concurrency));
    let strike = strike(catalog, &mut definitions, &duration);
    let check = check(catalog, &mut definitions, &duration);
    let load = load(catalog, &mut definitions, &duration, &frequency);
    let metric = metric(catalog, &mut definitions, &duration);

    definitions.set("variable", json!({
        "description": "A variable: `${name}`. Written as `$${`, the characters `${` stand for themselves.",
        "type": "string",
        "pattern": r"\$\{.+\}"
    }));
    definitions.set(
        "condition",
        json!({
            "description": format!(
                "NAME OP VALUE, joined by `and`, `or`, `not`, parentheses and `for DURATION`; OP is one of \
                 < <= > >= == != =~. A load measures {}; with several loads, `NAME.error_rate` and so on.",
                load_metrics().collect::<Vec<_>>().join(", ")
            ),
            "type": "string",
            "examples": ["error_rate < 1%", "latency_p99 > 2s for 3s", "status == 200 and body =~ \"ok\""]
        }),
    );
    definitions.set("check", check);
    let ask = ask(catalog, &mut definitions, &duration);
    definitions.set("ask", ask);
    definitions.set("strike", strike.clone());
    definitions.set("member", member(strike));
    let checks =
        |description: &str| json!({"description": description, "type": "array", "items": reference("check")});
    let properties = json!({
        "apiVersion": {"description": "The version of this format.", "const": API_VERSION},
        "kind": {"description": "What this file is.", "const": KIND},
        "name": {"description": "What reports and metrics call it.", "type": "string", "minLength": 1},
        "hypothesis": {"description": "What is believed, in a sentence.", "type": "string"},
        "tags": {"description": "Words to choose experiments by.", "type": ["array", "string"],
            "items": {"type": "string"}},
        "schedule": {
            "description": "When rounds of it begin, for whoever keeps schedules; `squall run` carries out one.",
            "type": "object", "required": ["cron"], "additionalProperties": false,
            "properties": {
                "cron": {"description": "`@every 2h`, or the five or six fields of cron.", "type": "string", "minLength": 1},
                "concurrency": described(&concurrency, "Whether a round may begin while another goes on."),
                "starting_deadline": described(&duration, "How late a round may begin."),
                "history": {"description": "How many rounds are remembered.", "type": "integer", "minimum": 0}
            }
        },
        "variables": {
            "description": "Defaults of variables. `{env: NAME, default: …, secret: true}` takes one from the \
                environment. Overridden by SQUALL_VAR_NAME, --var-file and --var.",
            "type": "object"
        },
        "load": {"description": "Traffic that Squall sends and measures itself, by name.", "type": "object",
            "additionalProperties": load},
        "metrics": {"description": "Anything else that is measured every second, by name.", "type": "object",
            "additionalProperties": metric},
        "steady_state": checks("What must hold before, and hold again after."),
        "blast_radius": {
            "description": "Hard limits.", "type": "object", "additionalProperties": false,
            "properties": {
                "services": {"description": "The services concerned, for people and metrics.",
                    "type": ["array", "string"], "items": {"type": "string"}},
                "targets": {
                    "description": "At most so many of the targets that match an entry of the method: `1` is one \
                        target, `30%` or `0.3` a share of them (rounded down, at least one), `100%` or `1.0` all.",
                    "anyOf": [{"type": "integer", "minimum": 1}, share]
                },
                "duration": described(&duration, "At most this long with any fault active, over the whole run.")
            }
        },
        "method": {
            "description": "What is done, in order.", "type": "array", "minItems": 1,
            "items": entry(&duration)
        },
        "guard": {
            "description": "Any one of these ends the run at once; so does a metric that cannot be read.",
            "type": "array",
            "items": {"type": "object", "additionalProperties": false, "required": ["abort_if"],
                "properties": {"abort_if": reference("condition")}}
        },
        "hypothesis_holds": checks("Judged over the time the fault was active. Default: the steady state."),
        "baseline": {"description": format!(
            "How long to measure before; {DEFAULT_BASELINE} where there is a load or a metric, else nothing."
        ), "anyOf": [duration, {"const": 0}]},
        "recovery": {
            "type": "object", "additionalProperties": false,
            "description": "How soon the steady state must hold again.",
            "properties": {"within": {"description": format!("After the undo; {DEFAULT_RECOVERY} where not given."),
                "anyOf": [duration, {"const": 0}]}}
        }
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Squall experiment",
        "description": "A chaos engineering experiment: what must hold, what is done, what ends it.",
        "type": "object",
        "required": ["apiVersion", "kind", "name", "method"],
        "additionalProperties": false,
        "properties": properties,
        "$defs": definitions.0
    })
}

fn reference(name: &str) -> Json {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// The same schema with a description of its own.
fn described(schema: &Json, description: &str) -> Json {
    let mut schema = schema.clone();
    schema["description"] = description.into();
    schema
}

/// Schemas that are referred to by name.
#[derive(Default)]
struct Definitions(Map<String, Json>);

impl Definitions {
    fn set(&mut self, name: &str, schema: Json) {
        self.0.insert(name.to_owned(), schema);
    }

    /// Takes in a type's schema with what it refers to. Definitions that are the same for all are shared; others are
    /// named after their `owner`.
    fn add(&mut self, owner: &str, schema: &Schema) -> Json {
        let mut schema = schema.clone().to_value();
        let own = schema.as_object_mut().and_then(|map| {
            map.remove("$schema");
            map.remove("title");
            map.remove("$defs")
        });
        let Some(Json::Object(own)) = own else {
            allow_variables(&mut schema);
            return schema;
        };
        let names: Vec<(String, String)> = own
            .iter()
            .map(|(name, definition)| {
                let mut definition = definition.clone();
                allow_variables(&mut definition);
                let is_free = self.0.get(name).is_none_or(|known| *known == definition);
                (name.clone(), if is_free { name.clone() } else { format!("{owner}.{name}") })
            })
            .collect();
        for (name, mut definition) in own {
            allow_variables(&mut definition);
            rename(&mut definition, &names);
            if let Some((_, new)) = names.iter().find(|(old, _)| *old == name) {
                self.0.insert(new.clone(), definition);
            }
        }
        allow_variables(&mut schema);
        rename(&mut schema, &names);
        schema
    }
}

/// Points references at the new names.
fn rename(schema: &mut Json, names: &[(String, String)]) {
    match schema {
        Json::Object(map) => {
            if let Some(Json::String(target)) = map.get_mut("$ref") {
                let new = target
                    .strip_prefix("#/$defs/")
                    .and_then(|old| names.iter().find(|(name, _)| name == old));
                if let Some((_, new)) = new {
                    *target = format!("#/$defs/{new}");
                }
            }
            map.values_mut().for_each(|value| rename(value, names));
        }
        Json::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        _ => {}
    }
}

/// Lets `${name}` stand for every value of a map or list that is not a text anyway.
fn allow_variables(schema: &mut Json) {
    let Json::Object(map) = schema else { return };
    for (name, part) in map.iter_mut() {
        match (name.as_str(), part) {
            ("properties", Json::Object(properties)) => properties.values_mut().for_each(or_variable),
            ("items" | "additionalProperties", part) => or_variable(part),
            ("oneOf" | "anyOf" | "allOf" | "prefixItems", Json::Array(parts)) => {
                parts.iter_mut().for_each(allow_variables);
            }
            _ => {}
        }
    }
}

fn or_variable(schema: &mut Json) {
    allow_variables(schema);
    let Json::Object(map) = schema else { return };
    // A quantity says by its pattern that a variable will do; a free text holds one by nature.
    let takes_text = match map.get("type") {
        Some(Json::String(kind)) => kind == "string",
        Some(Json::Array(kinds)) => kinds.contains(&json!("string")),
        _ => false,
    };
    let is_free = !map.contains_key("enum") && !map.contains_key("const") && !map.contains_key("format");
    if takes_text && is_free {
        return;
    }
    let mut outside = Map::new();
    for word in ["description", "default"] {
        if let Some(value) = map.remove(word) {
            outside.insert(word.to_owned(), value);
        }
    }
    let inside = std::mem::take(map);
    outside.insert("anyOf".to_owned(), json!([inside, reference("variable")]));
    *map = outside;
}

/// An entry of the method. Which it is shows by its key, so that editors point at the mistake within it.
fn entry(duration: &Json) -> Json {
    let kinds = [
        ("fault", reference("strike")),
        ("together", together(duration)),
        ("wait", wait(duration)),
        ("ask", reference("ask")),
    ];
    let cases = kinds.iter().map(|(key, schema)| json!({"if": {"required": [key]}, "then": schema}));
    let one = kinds.iter().map(|(key, _)| json!({"required": [key]}));
    json!({"type": "object", "allOf": cases.collect::<Vec<_>>(), "oneOf": one.collect::<Vec<_>>()})
}

/// One fault with its target: which parameters it takes depends on which fault it is.
fn strike(catalog: &dyn Catalog, definitions: &mut Definitions, duration: &Json) -> Json {
    let mut names = Vec::new();
    let mut cases = Vec::new();
    for fault in catalog.faults() {
        let schema = definitions.add(fault.name(), &fault.schema());
        let needs_parameters =
            schema.get("required").and_then(Json::as_array).is_some_and(|list| !list.is_empty());
        let name = format!("fault.{}", fault.name());
        definitions.set(&name, schema);
        names.push(json!({"const": fault.name(), "description": fault.summary()}));
        let mut then = json!({"properties": {"with": reference(&name)}});
        if needs_parameters {
            then["required"] = json!(["with"]);
        }
        cases.push(json!({
            // A ramp gives some parameters itself.
            "if": {"properties": {"fault": {"const": fault.name()}}, "required": ["fault"], "not": {"required": ["ramp"]}},
            "then": then
        }));
    }
    let target = target(definitions);
    definitions.set("target", target);
    json!({
        "type": "object",
        "description": "A fault.",
        "required": ["fault", "target"],
        "additionalProperties": false,
        "properties": {
            "fault": {"description": "Which fault.", "anyOf": names},
            "target": reference("target"),
            "with": {"description": "The fault's parameters.", "type": ["object", "string"]},
            "for": {"description": format!("How long it lasts; {DEFAULT_LASTS} where not given."),
                "anyOf": [duration]},
            "ramp": {
                "description": "Parameters that grow from one value to another in stages; each stage lasts as long as `for` says.",
                "type": "object", "required": ["steps"], "minProperties": 2,
                "properties": {"steps": {"description": "How many stages.", "type": "integer", "minimum": 2, "maximum": MAX_STEPS}},
                "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2}
            },
            "repeat": {"description": "How many times, one after another.", "type": "integer", "minimum": 1},
            "mode": mode(definitions),
            "value": value(),
            "optional": {"description": "Whether an empty match is no error.", "type": "boolean"},
            "follow": {"description": "Whether what begins to match while the fault is active is struck too.", "type": "boolean"},
            "when": when()
        },
        "allOf": cases
    })
}

/// A strike within `together`: it begins when the others do, or later, and is not repeated by itself.
fn member(mut strike: Json) -> Json {
    if let Some(properties) = strike["properties"].as_object_mut() {
        properties.remove("ramp");
        properties.remove("repeat");
        properties.insert(
            "after".to_owned(),
            json!({
                "description": "Begins this long after the others.", "type": ["string", "integer"]
            }),
        );
    }
    strike
}

fn together(duration: &Json) -> Json {
    json!({
        "type": "object",
        "description": "Several faults at the same time.",
        "required": ["together"],
        "additionalProperties": false,
        "properties": {
            "together": {"type": "array", "minItems": 1, "items": reference("member")},
            "for": described(duration, "How long those last that do not say it themselves."),
            "when": when(),
            "repeat": {"description": "How many times, one after another.", "type": "integer", "minimum": 1}
        }
    })
}

fn wait(duration: &Json) -> Json {
    json!({
        "type": "object",
        "description": "Nothing for a while, under guard.",
        "required": ["wait"],
        "additionalProperties": false,
        "properties": {"wait": {"anyOf": [duration, {"const": 0}]}, "when": when()}
    })
}

/// A question to any probe, whose answer is kept.
fn ask(catalog: &dyn Catalog, definitions: &mut Definitions, duration: &Json) -> Json {
    let mut probes = Map::new();
    for probe in catalog.probes() {
        let schema = definitions.add(probe.name(), &probe.schema());
        probes.insert(probe.name().to_owned(), described(&schema, probe.summary()));
    }
    let within = format!("How long the answer may take; {DEFAULT_ANSWER} where not given.");
    json!({
        "type": "object",
        "description": "A question, whose answer decides which of the later entries are carried out.",
        "required": ["ask", "as"],
        "additionalProperties": false,
        "properties": {
            "ask": {"description": "The probe that is asked.", "type": "object", "minProperties": 1, "maxProperties": 1,
                "additionalProperties": false, "properties": probes},
            "as": {"description": "What the answer is called in `when`.", "type": "string", "minLength": 1},
            "within": described(duration, &within),
            "when": when()
        }
    })
}

fn when() -> Json {
    json!({
        "description": "Over answers that were asked for before (`decision.exit_code == 0`); where it does not hold, this is left out.",
        "anyOf": [reference("condition")]
    })
}

fn mode(definitions: &mut Definitions) -> Json {
    let mut schema = definitions.add("target", &schema_for!(Mode));
    schema["description"] = "How many of those that match are struck.".into();
    schema
}

fn value() -> Json {
    json!({"description": "The number or share that `mode` asks for.", "type": ["number", "string"]})
}

fn target(definitions: &mut Definitions) -> Json {
    let process = named(definitions.add("target", &schema_for!(ProcessSelector)));
    let container = named(definitions.add("target", &schema_for!(ContainerSelector)));
    let instances = named(definitions.add("target", &schema_for!(InstanceSelector)));
    let template = named(definitions.add("target", &schema_for!(TemplateSelector)));
    let pod = named(definitions.add("target", &schema_for!(PodSelector)));
    let node = named(definitions.add("target", &schema_for!(NodeSelector)));
    let object = named(definitions.add("target", &schema_for!(ObjectSelector)));
    let round = definitions.add("target", &schema_for!(Round));
    json!({
        "type": "object",
        "description": "What is struck. One key says the kind.",
        "additionalProperties": false,
        "oneOf": TARGETS.map(|kind| json!({"required": [kind]})),
        "properties": {
            "process": described(&process, "Processes; for a network fault, the network namespaces that they live in."),
            "container": described(&container, "Containers of Docker, or of what speaks its API."),
            "service": {"description": "Units of the service manager, by name: payment.service, payment@*.",
                "type": "string"},
            "interface": {"description": "A network interface of this host, by name.", "type": "string", "minLength": 1},
            "netns": {"description": "A named network namespace (as `ip netns list` shows them).", "type": "string",
                "minLength": 1},
            "path": {"description": "A directory, by its absolute path, with the file system that it is on.",
                "type": "string", "pattern": "^/"},
            "database": {"description": "A database, cache or broker, by its address.", "type": "string", "minLength": 1},
            "instances": described(&instances, "Instances in a cloud."),
            "template": described(&template, "A template of experiments that a cloud carries out itself."),
            "pod": described(&pod, "Pods of a Kubernetes cluster."),
            "node": described(&node, "Nodes of a Kubernetes cluster."),
            "workload": described(&object, "Deployments and the like of a Kubernetes cluster."),
            "virtual_service": described(&object, "Istio's virtual services in a Kubernetes cluster."),
            "host": {"description": "This host as a whole.", "const": true},
            "mode": mode(definitions),
            "value": value(),
            "round": described(&round, "How the share of `fixed-percent` becomes a number."),
            "optional": {"description": "Whether an empty match is no error.", "type": "boolean"},
            "follow": {"description": "Whether what begins to match while the fault is active is struck too.", "type": "boolean"}
        }
    })
}

/// A selector that names something, and nothing by an empty text.
fn named(mut selector: Json) -> Json {
    selector["minProperties"] = 1.into();
    for property in selector["properties"].as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
        if property["type"].to_string().contains("string") {
            property["minLength"] = 1.into();
        }
    }
    selector
}

/// A probe, a condition, or both.
fn check(catalog: &dyn Catalog, definitions: &mut Definitions, duration: &Json) -> Json {
    let mut properties = Map::new();
    let mut needs = vec![json!({"required": ["expect"]})];
    for probe in catalog.probes() {
        let schema = definitions.add(probe.name(), &probe.schema());
        properties.insert(probe.name().to_owned(), described(&schema, probe.summary()));
        if probe.default_expectation().is_some() {
            needs.push(json!({"required": [probe.name()]}));
        }
    }
    properties.insert("expect".to_owned(), reference("condition"));
    let within = "How long it may take to hold: in `hypothesis_holds` after each fault began (and from then on), in \
                  `steady_state` after the undo, in place of `recovery`.";
    properties.insert("within".to_owned(), described(duration, within));
    properties.insert(
        "name".to_owned(),
        json!({"description": "A short name for people.", "type": "string", "minLength": 1}),
    );
    json!({
        "type": "object",
        "description": "What is expected of a probe's answer, or of metrics.",
        "additionalProperties": false,
        "anyOf": needs,
        "properties": properties
    })
}

fn load(catalog: &dyn Catalog, definitions: &mut Definitions, duration: &Json, frequency: &Json) -> Json {
    let mut properties = Map::new();
    let mut kinds = Vec::new();
    for load in catalog.loads() {
        let schema = definitions.add(&format!("load.{}", load.name()), &load.schema());
        properties.insert(load.name().to_owned(), described(&schema, load.summary()));
        kinds.push(json!({"required": [load.name()]}));
    }
    properties.insert("rate".to_owned(), described(frequency, "Requests a second."));
    properties.insert("timeout".to_owned(), described(duration, "When a request counts as unanswered."));
    let window = format!("The sliding window of its metrics; {DEFAULT_WINDOW} where not given.");
    properties.insert("window".to_owned(), described(duration, &window));
    let mut schema = json!({
        "type": "object", "required": ["rate"], "additionalProperties": false, "properties": properties
    });
    if !kinds.is_empty() {
        schema["oneOf"] = kinds.into();
    }
    schema
}

fn metric(catalog: &dyn Catalog, definitions: &mut Definitions, duration: &Json) -> Json {
    let mut properties = Map::new();
    let mut sources = Vec::new();
    for source in catalog.metric_sources() {
        let schema = definitions.add(source.name(), &source.schema());
        properties.insert(source.name().to_owned(), described(&schema, source.summary()));
        sources.push(json!({"required": [source.name()]}));
    }
    let fresh = format!(
        "How old its value may be, counted from when it was asked for: what is older is unknown, which ends a run that \
         is guarded by it. For sources that need longer than a second; {DEFAULT_FRESH} where not given."
    );
    properties.insert("fresh_for".to_owned(), described(duration, &fresh));
    let mut schema = json!({"type": "object", "additionalProperties": false, "properties": properties});
    if !sources.is_empty() {
        schema["oneOf"] = sources.into();
    }
    schema
}
