//! From a JSON Schema, as editors take it, to a structural one, as a cluster takes it for its kinds.
//!
//! A structural schema says of each value what type it has, once, and nothing depends on anything: references are put in
//! place, alternatives are laid over each other. Where they do not agree, the cluster lets everything through and our reader
//! judges: it is the one that can point at a mistake. For the same reason unknown keys of what users write are kept: a cluster
//! would drop them without a word.
//!
//! Source: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>

use serde_json::{Map, Value as Json, json};

/// What becomes of keys that the schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// They are kept, for our reader to tell.
    Kept,
    /// They are dropped: nobody but us writes there.
    Dropped,
}

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// What is said of a value of one type, and means the same in both.
const LIMITS: [&str; 9] = [
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
];

/// The formats that clusters know.
const FORMATS: [&str; 5] = ["date-time", "int32", "int64", "float", "double"];

/// What a schema says besides what a value must have: alternatives that say nothing else are conditions, and our reader's.
const CONDITIONS: [&str; 5] = ["required", "not", "minProperties", "maxProperties", "description"];

/// A description is as long as that at most, in letters: it is there to remind, and a cluster keeps it with every kind.
const LONGEST: usize = 160;

/// References lead into each other as often as that at most; what lies deeper is let through.
const DEEPEST: usize = 24;

/// The structural schema that lets through whatever a schema does.
pub(crate) fn structural(schema: &Json, unknown: Unknown) -> Json {
    let definitions = schema.get("$defs").and_then(Json::as_object).cloned().unwrap_or_default();
    Maker { definitions, unknown }.node(schema, 0)
}

/// Anything.
fn anything() -> Json {
    json!({ PRESERVE: true })
}

struct Maker {
    definitions: Map<String, Json>,
    unknown: Unknown,
}

impl Maker {
    fn node(&self, schema: &Json, depth: usize) -> Json {
        let Json::Object(map) = schema else { return anything() };
        if depth > DEEPEST {
            return anything();
        }
        let said = self.own(map, depth);
        let others = ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| map.get(*word)?.as_array());
        let others = others.filter_map(|list| self.alternatives(list, depth));
        let referred = map.get("$ref").map(|name| self.referred(name, depth));
        let all = [said].into_iter().flatten().chain(referred).chain(others);
        let mut node = all.reduce(conjoined).unwrap_or_else(anything);
        if let Some(words) = map.get("description").and_then(Json::as_str) {
            node["description"] = shortened(words).into();
        }
        node
    }

    fn referred(&self, name: &Json, depth: usize) -> Json {
        let name = name.as_str().and_then(|name| name.strip_prefix("#/$defs/"));
        let definition = name.and_then(|name| self.definitions.get(name));
        definition.map_or_else(anything, |definition| self.node(definition, depth + 1))
    }

    /// What a list of alternatives, or of cases, lets through together; none where they are mere conditions.
    fn alternatives(&self, list: &[Json], depth: usize) -> Option<Json> {
        let cases =
            list.iter().filter_map(|schema| schema.get("if").map_or(Some(schema), |_| schema.get("then")));
        let is_condition = |schema: &&Json| {
            schema.as_object().is_some_and(|map| map.keys().all(|key| CONDITIONS.contains(&key.as_str())))
        };
        let nodes = cases.filter(|schema| !is_condition(schema)).map(|schema| self.node(schema, depth + 1));
        let mut nodes: Vec<Json> = nodes.collect();
        let is_nullable = nodes.iter().any(is_null);
        nodes.retain(|node| !is_null(node));
        let mut node = nodes.into_iter().reduce(merged)?;
        if is_nullable && node.get("type").is_some() {
            node["nullable"] = true.into();
        }
        Some(node)
    }

    /// What a schema says itself, without references and alternatives; none where that is nothing.
    fn own(&self, map: &Map<String, Json>, depth: usize) -> Option<Json> {
        if let Some(value) = map.get("const") {
            return Some(one_of(std::slice::from_ref(value)));
        }
        if let Some(values) = map.get("enum").and_then(Json::as_array) {
            return Some(one_of(values));
        }
        let kinds: Vec<&str> = match map.get("type") {
            Some(Json::String(kind)) => vec![kind],
            Some(Json::Array(kinds)) => kinds.iter().filter_map(Json::as_str).collect(),
            _ if map.contains_key("properties") => vec!["object"],
            _ => return None,
        };
        let nodes = kinds.iter().filter(|kind| **kind != "null").map(|kind| self.typed(kind, map, depth));
        let mut node = nodes.reduce(merged).unwrap_or_else(|| json!({"type": "null"}));
        if kinds.contains(&"null") && kinds.len() > 1 && node.get("type").is_some() {
            node["nullable"] = true.into();
        }
        Some(node)
    }

    fn typed(&self, kind: &str, map: &Map<String, Json>, depth: usize) -> Json {
        let mut node = json!({"type": kind});
        let limits = match kind {
            "string" => &LIMITS[0..3],
            "integer" | "number" => &LIMITS[3..5],
            "array" => &LIMITS[5..7],
            "object" => &LIMITS[7..9],
            _ => &[],
        };
        for word in limits {
            if let Some(value) = map.get(*word) {
                node[*word] = value.clone();
            }
        }
        if let Some(least) = map.get("exclusiveMinimum").filter(|_| limits.contains(&"minimum")) {
            node["minimum"] = least.clone();
            node["exclusiveMinimum"] = true.into();
        }
        if let Some(format) = map.get("format").and_then(Json::as_str).filter(|name| FORMATS.contains(name)) {
            node["format"] = format.into();
        }
        match kind {
            "array" => {
                node["items"] = map.get("items").map_or_else(anything, |items| self.node(items, depth + 1));
            }
            "object" => self.object(&mut node, map, depth),
            _ => {}
        }
        node
    }

    fn object(&self, node: &mut Json, map: &Map<String, Json>, depth: usize) {
        let properties =
            map.get("properties").and_then(Json::as_object).filter(|properties| !properties.is_empty());
        match (properties, map.get("additionalProperties")) {
            // A map from any name to values of one kind.
            (None, Some(values @ Json::Object(_))) => {
                node["additionalProperties"] = self.node(values, depth + 1);
                return;
            }
            (Some(properties), others) => {
                let parts = properties.iter().map(|(name, part)| (name.clone(), self.node(part, depth + 1)));
                node["properties"] = Json::Object(parts.collect());
                if self.unknown == Unknown::Kept || matches!(others, Some(Json::Object(_))) {
                    node[PRESERVE] = true.into();
                }
            }
            (None, _) => node[PRESERVE] = true.into(),
        }
        if let Some(required) =
            map.get("required").filter(|names| names.as_array().is_some_and(|list| !list.is_empty()))
        {
            node["required"] = required.clone();
        }
    }
}

fn is_null(node: &Json) -> bool {
    node["type"] == "null"
}

/// One of some values. Those of several types are not told apart.
fn one_of(values: &[Json]) -> Json {
    let kind = |value: &Json| match value {
        Json::Bool(_) => "boolean",
        Json::String(_) => "string",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::Null => "null",
        Json::Array(_) | Json::Object(_) => "object",
    };
    let mut kinds: Vec<&str> = values.iter().map(kind).collect();
    kinds.dedup();
    match kinds.as_slice() {
        ["object"] => anything(),
        ["null"] => json!({"type": "null"}),
        [kind] => json!({"type": kind, "enum": values}),
        _ => values
            .iter()
            .map(|value| one_of(std::slice::from_ref(value)))
            .reduce(merged)
            .unwrap_or_else(anything),
    }
}

/// What lets through what either does.
fn merged(one: Json, other: Json) -> Json {
    let words = ["description", "nullable"].map(|word| {
        let value = one.get(word).or_else(|| other.get(word)).cloned();
        (word, value)
    });
    let mut node = match (kind(&one), kind(&other)) {
        ("object", "object") => objects_merged(&one, &other),
        ("array", "array") => {
            json!({"type": "array", "items": merged(one["items"].clone(), other["items"].clone())})
        }
        (a @ ("string" | "boolean" | "integer" | "number"), b) if a == b => scalars_merged(a, &one, &other),
        ("integer" | "string" | "either", "integer" | "string" | "either") => json!({ INT_OR_STRING: true }),
        ("integer" | "number", "integer" | "number") => json!({"type": "number"}),
        _ => anything(),
    };
    for (word, value) in words {
        let is_said = word == "description" || node.get("type").is_some();
        if let Some(value) = value.filter(|_| is_said) {
            node[word] = value;
        }
    }
    node
}

fn kind(node: &Json) -> &str {
    match node["type"].as_str() {
        Some(kind) => kind,
        None if node.get(INT_OR_STRING).is_some() => "either",
        None => "anything",
    }
}

/// Scalars of one type: their values together, and the limits that both have.
fn scalars_merged(kind: &str, one: &Json, other: &Json) -> Json {
    let mut node = json!({"type": kind});
    if let (Some(Json::Array(a)), Some(Json::Array(b))) = (one.get("enum"), other.get("enum")) {
        let more = b.iter().filter(|value| !a.contains(value));
        node["enum"] = a.iter().chain(more).cloned().collect::<Vec<_>>().into();
    }
    for word in LIMITS.iter().chain(&["exclusiveMinimum", "format"]) {
        if let (Some(a), Some(b)) = (one.get(*word), other.get(*word))
            && a == b
        {
            node[*word] = a.clone();
        }
    }
    node
}

fn objects_merged(one: &Json, other: &Json) -> Json {
    let mut node = json!({"type": "object"});
    match (one.get("additionalProperties"), other.get("additionalProperties")) {
        (Some(a), Some(b)) => {
            node["additionalProperties"] = merged(a.clone(), b.clone());
            return node;
        }
        // A map and what has names of its own.
        (Some(_), None) | (None, Some(_)) => {
            node[PRESERVE] = true.into();
            return node;
        }
        (None, None) => {}
    }
    let mut properties = properties(one).cloned().unwrap_or_default();
    for (name, part) in self::properties(other).into_iter().flatten() {
        let both = match properties.remove(name) {
            Some(before) => merged(before, part.clone()),
            None => part.clone(),
        };
        properties.insert(name.clone(), both);
    }
    node["properties"] = properties.into();
    if [one, other].iter().any(|node| node.get(PRESERVE).is_some()) {
        node[PRESERVE] = true.into();
    }
    if let (Some(Json::Array(a)), Some(Json::Array(b))) = (one.get("required"), other.get("required")) {
        let both: Vec<&Json> = a.iter().filter(|name| b.contains(name)).collect();
        if !both.is_empty() {
            node["required"] = json!(both);
        }
    }
    node
}

fn properties(node: &Json) -> Option<&Map<String, Json>> {
    node.get("properties")?.as_object()
}

/// What lets through what both do, as far as that can be said: the first says what is meant, the other fills in.
fn conjoined(one: Json, other: Json) -> Json {
    match (kind(&one), kind(&other)) {
        ("object", "object") => {
            let mut node = one.clone();
            // What only some cases ask for is nobody's duty.
            for (name, part) in properties(&other).into_iter().flatten() {
                if !node["properties"].is_object() {
                    node["properties"] = json!({});
                }
                if node["properties"].get(name).is_none() {
                    node["properties"][name] = part.clone();
                }
            }
            if properties(&one).is_none()
                && let Some(required) = other.get("required")
            {
                node["required"] = required.clone();
            }
            node
        }
        (_, "anything") => one,
        ("anything", _) => other,
        _ => one,
    }
}

/// The first sentence.
fn shortened(words: &str) -> String {
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = words.find(". ").map_or(words.len(), |at| at + 1);
    let sentence = &words[..end];
    if sentence.chars().count() <= LONGEST {
        return sentence.trim_end_matches('.').to_owned();
    }
    let cut: String = sentence.chars().take(LONGEST).collect();
    let whole = cut.rfind(' ').map_or(cut.as_str(), |at| &cut[..at]);
    format!("{}…", whole.trim_end_matches([',', ';', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(schema: &Json) -> Json {
        structural(schema, Unknown::Dropped)
    }

    #[test]
    fn references_are_put_in_place() {
        let schema = json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": {"a": {"$ref": "#/$defs/name", "description": "A name. Of some kind."}},
            "$defs": {"name": {"type": "string", "minLength": 1, "title": "Name", "examples": ["x"]}},
        });
        let name = json!({"type": "string", "minLength": 1, "description": "A name"});
        let expected = json!({"type": "object", "required": ["a"], "properties": {"a": name}});
        assert_eq!(made(&schema), expected);
        let kept = structural(&schema, Unknown::Kept);
        assert_eq!(kept[PRESERVE], true);
    }

    #[test]
    fn what_leads_into_itself_ends() {
        let schema = json!({
            "$ref": "#/$defs/tree",
            "$defs": {"tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}}},
        });
        let mut node = &made(&schema);
        let mut depth = 0;
        while let Some(next) = node["properties"].get("left") {
            (node, depth) = (next, depth + 1);
        }
        assert!(depth > 3 && *node == anything(), "{node}");
    }

    #[test]
    fn alternatives_are_laid_over_each_other() {
        let of = |a: Json, b: Json| made(&json!({"anyOf": [a, b]}));
        let integer = || json!({"type": "integer", "minimum": 1});
        let text = || json!({"type": "string", "pattern": "^x$"});
        assert_eq!(of(integer(), text()), json!({ INT_OR_STRING: true }));
        assert_eq!(of(json!({"type": "number"}), text()), anything());
        assert_eq!(of(text(), json!({"type": "array", "items": text()})), anything());
        assert_eq!(
            of(text(), json!({"type": "null"})),
            json!({"type": "string", "pattern": "^x$", "nullable": true})
        );
        let named = [json!({"const": "a", "description": "First."}), json!({"const": "b"})];
        let merged = made(&json!({"description": "Which.", "oneOf": named}));
        assert_eq!(merged, json!({"type": "string", "enum": ["a", "b"], "description": "Which"}));
        let object = |name: &str, kind: &str| json!({"type": "object", "required": [name, "c"], "properties": {name: {"type": kind}, "c": {"type": kind}}});
        let merged = of(object("a", "string"), object("b", "boolean"));
        assert_eq!(merged["required"], json!(["c"]));
        assert_eq!(
            merged["properties"],
            json!({"a": {"type": "string"}, "b": {"type": "boolean"}, "c": anything()})
        );
    }

    #[test]
    fn conditions_are_left_to_our_reader() {
        let schema = json!({
            "type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
            "properties": {"a": {"type": "string"}, "b": {"type": ["object", "string"]}},
            "allOf": [{"if": {"properties": {"a": {"const": "x"}}}, "then": {"properties": {"b": {"type": "object", "properties": {"y": {"type": "string"}}}}, "required": ["b"]}}],
        });
        let expected = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": anything()}});
        assert_eq!(made(&schema), expected);
        let cases = json!({"type": "object", "oneOf": [{"required": ["a"]}], "allOf": [
            {"if": {"required": ["a"]}, "then": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}},
            {"if": {"required": ["b"]}, "then": {"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}}},
        ]});
        let made = structural(&cases, Unknown::Kept);
        assert_eq!(made["properties"].as_object().unwrap().len(), 2);
        assert_eq!(made.get("required"), None);
    }

    #[test]
    fn a_description_is_a_sentence() {
        assert_eq!(shortened("One\n two. Three."), "One two");
        let long = shortened(&"word ".repeat(100));
        assert!(long.ends_with("word…") && long.chars().count() <= LONGEST + 1, "{long}");
    }
}
