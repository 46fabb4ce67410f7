//! Which pods, and how many of them: `selector`, `mode`, `value`, `containerNames`.

use super::super::ReadError;
use super::super::fields::Fields;
use super::form::{Translator, is_blank};
use super::make::{self, Entries, entry};
use crate::node::{Content, Node, Place};

/// The phases of a pod.
const PHASES: [&str; 5] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
/// The ways to choose among pods.
const MODES: [&str; 5] = ["one", "all", "fixed", "fixed-percent", "random-max-percent"];
/// How labels are compared.
const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

/// Pods, and how many of those that match.
#[derive(Debug, Clone)]
pub(super) struct Pods {
    selector: Entries,
    choice: Entries,
    place: Place,
    /// Whether every pod that matches is meant.
    pub(super) all: bool,
}

impl Pods {
    /// As a target or as an entry of a filter.
    pub(super) fn node(&self) -> Node {
        let pod = make::map(self.selector.clone(), self.place);
        let entries = [entry("pod", pod)].into_iter().chain(self.choice.iter().cloned());
        make::map(entries.collect(), self.place)
    }

    /// The same pods, but only these of their containers.
    pub(super) fn containers(mut self, names: Vec<Node>) -> Self {
        if let (Some(first), Some(last)) = (names.first(), names.last()) {
            let place = Place { start: first.place.start, end: last.place.end };
            self.selector.push(entry("containers", make::list(names, place)));
        }
        self
    }
}

impl Translator<'_> {
    /// The pods of a specification.
    pub(super) fn pods(&mut self, fields: &mut Fields<'_>) -> Option<Pods> {
        let selector = self.required(fields, "selector", "which pods").and_then(|node| {
            let entries = self.selector(node)?;
            Some((entries, node.place))
        });
        // An empty selector means every pod of the namespace, and is no mistake.
        let choice = self.choice(fields);
        let ((selector, place), (choice, all)) = selector.zip(choice)?;
        Some(Pods { selector, choice, place, all })
    }

    /// The pods of a specification with the containers that it names, also by the word of earlier versions.
    pub(super) fn containers(&mut self, fields: &mut Fields<'_>) -> Option<Pods> {
        let pods = self.pods(fields);
        let mut names = self.optional_texts(fields, "containerNames");
        names.extend(self.optional_text(fields, "containerName"));
        Some(pods?.containers(names))
    }

    fn selector(&mut self, node: &Node) -> Option<Entries> {
        let mut fields = self.reader.fields(node, "`selector`")?;
        let names = self.names(&mut fields);
        let mut entries = Entries::new();
        if let Some(names) = names {
            let others = ["namespaces", "nodes", "nodeSelectors", "fieldSelectors", "labelSelectors"];
            self.pass_over(&mut fields, &others, "`pods`");
            let others = ["expressionSelectors", "annotationSelectors", "podPhaseSelectors"];
            self.pass_over(&mut fields, &others, "`pods`");
            entries.push(entry("names", names));
        } else {
            entries.extend(self.namespaces(&mut fields));
            for (theirs, ours) in [
                ("labelSelectors", "labels"),
                ("annotationSelectors", "annotations"),
                ("fieldSelectors", "fields"),
            ] {
                entries.extend(self.optional_text_map(&mut fields, theirs).map(|map| entry(ours, map)));
            }
            let expressions = fields.get("expressionSelectors").filter(|node| !is_blank(node));
            entries.extend(expressions.map(|node| entry("expressions", self.expressions(node))));
            entries.extend(self.nodes(&mut fields));
            match fields.get("podPhaseSelectors").filter(|node| !is_blank(node)) {
                Some(node) => entries.extend(self.phases(node)),
                None => self.note("pods that run are meant; Chaos Mesh strikes them in any phase, unless `podPhaseSelectors` says which"),
            }
        }
        fields.finish(&mut self.reader);
        Some(entries)
    }

    /// `pods: {namespace: [names]}` as `namespace/name`.
    fn names(&mut self, fields: &mut Fields<'_>) -> Option<Node> {
        let node = fields.get("pods").filter(|node| !is_blank(node))?;
        let Content::Map(entries) = &node.content else {
            let message = format!("`pods` is a map of namespaces, and this is {}", node.kind());
            self.error(
                ReadError::at(node.place, message).help("such as `pods: {shop: [payment-0, payment-1]}`"),
            );
            return None;
        };
        let mut names = Vec::new();
        for (namespace, pods) in entries {
            for pod in self.texts(pods, "the names of pods") {
                if let Content::Text(name) = &pod.content {
                    names.push(make::text(format!("{}/{name}", namespace.name), pod.place));
                }
            }
        }
        Some(make::list(names, node.place))
    }

    /// The namespaces that are named, else that of the manifest.
    fn namespaces(&mut self, fields: &mut Fields<'_>) -> Option<(crate::node::Key, Node)> {
        let named = self.optional_texts(fields, "namespaces");
        let node = match (fields.get("namespaces"), &self.namespace) {
            (Some(node), _) if !named.is_empty() => make::list(named, node.place),
            (_, Some(namespace)) => namespace.clone(),
            (_, None) => {
                self.note(
                    "neither the manifest nor its selector names a namespace: that of the kubeconfig's context is meant",
                );
                return None;
            }
        };
        Some(entry("namespace", node))
    }

    fn nodes(&mut self, fields: &mut Fields<'_>) -> Entries {
        let names = self.optional_texts(fields, "nodes");
        let labels = self.optional_text_map(fields, "nodeSelectors");
        if let (false, Some(labels)) = (names.is_empty(), &labels) {
            let message = "`nodes` and `nodeSelectors` together mean the nodes of either, and a target of Squall means those \
                           of both";
            self.error(ReadError::at(labels.place, message).help("name the nodes by one of them"));
        }
        let place = fields.key_place("nodes");
        let names = (!names.is_empty()).then(|| entry("nodes", make::list(names, place)));
        names.into_iter().chain(labels.map(|labels| entry("node_labels", labels))).collect()
    }

    fn expressions(&mut self, node: &Node) -> Node {
        let items = self.reader.list(node, "`expressionSelectors`");
        let expressions = items.iter().filter_map(|item| self.expression(item)).collect();
        make::list(expressions, node.place)
    }

    fn expression(&mut self, node: &Node) -> Option<Node> {
        let mut fields = self.reader.fields(node, "an entry of `expressionSelectors`")?;
        let key = self.required(&mut fields, "key", "which label").and_then(|node| {
            self.text(node)?;
            Some(node.clone())
        });
        let operator = self
            .required(&mut fields, "operator", "how its value is compared")
            .and_then(|node| Some((self.word(node, "operator", &OPERATORS)?, node.place)));
        let values = self.optional_texts(&mut fields, "values");
        let place = fields.key_place("values");
        fields.finish(&mut self.reader);
        let (operator, operator_place) = operator?;
        let wants_values = matches!(operator, "In" | "NotIn");
        if wants_values == values.is_empty() {
            let message = if wants_values {
                format!("`{operator}` compares with `values`, and there are none")
            } else {
                format!("`{operator}` takes no `values`")
            };
            self.error(ReadError::at(if values.is_empty() { operator_place } else { place }, message));
            return None;
        }
        let mut entries = vec![entry("key", key?), entry("operator", make::text(operator, operator_place))];
        if !values.is_empty() {
            entries.push(entry("values", make::list(values, place)));
        }
        Some(make::map(entries, node.place))
    }

    /// The phases that are named, without those named with a `!`.
    fn phases(&mut self, node: &Node) -> Option<(crate::node::Key, Node)> {
        let mut named = Vec::new();
        for item in self.texts(node, "`podPhaseSelectors`") {
            let Content::Text(text) = &item.content else { continue };
            let (excluded, bare) = match text.strip_prefix('!') {
                Some(bare) => (true, bare),
                None => (false, text.as_str()),
            };
            let phase = self.word(&make::text(bare, item.place), "phase of a pod", &PHASES)?;
            named.push((excluded, phase));
        }
        let includes = named.iter().any(|(excluded, _)| !excluded);
        let meant = PHASES.iter().filter(|phase| {
            (!includes || named.contains(&(false, **phase))) && !named.contains(&(true, **phase))
        });
        let meant: Vec<Node> = meant.map(|phase| make::text(*phase, node.place)).collect();
        if meant.is_empty() {
            self.error(ReadError::at(node.place, "no phase is left that a pod could be in"));
            return None;
        }
        Some(entry("phases", make::list(meant, node.place)))
    }

    /// How many of those that match, and whether that is all of them.
    fn choice(&mut self, fields: &mut Fields<'_>) -> Option<(Entries, bool)> {
        let value = fields.get("value").filter(|node| !is_blank(node));
        let node = self.required(fields, "mode", "one, all, fixed, fixed-percent or random-max-percent")?;
        let mode = self.word(node, "mode", &MODES)?;
        let mut entries = vec![entry("mode", make::text(mode, node.place))];
        match (mode, value) {
            ("one" | "all", None) => {}
            ("one" | "all", Some(_)) => self.note(format!(
                "`value` means nothing with `mode: {mode}`; Chaos Mesh passes over it, and so does Squall"
            )),
            (_, None) => {
                let message = format!("`mode: {mode}` needs a `value`");
                self.error(ReadError::at(node.place, message).help("such as `value: \"30\"`"));
                return None;
            }
            (_, Some(value)) => entries.push(entry("value", self.value(mode, value)?)),
        }
        if mode == "fixed-percent" {
            entries.push(entry("round", make::text("up", node.place)));
        }
        if mode == "random-max-percent" {
            self.note(
                "`random-max-percent` may come to no pod at all in Chaos Mesh; Squall strikes at least one",
            );
        }
        Some((entries, mode == "all"))
    }

    fn value(&mut self, mode: &str, node: &Node) -> Option<Node> {
        let number: Option<f64> = match &node.content {
            Content::Integer(number) => Some(*number as f64),
            Content::Float(number) => Some(*number),
            Content::Text(text) => text.parse().ok(),
            _ => None,
        };
        let (fits, wanted): (fn(f64) -> bool, _) = if mode == "fixed" {
            (|number| number >= 1.0 && number.fract() == 0.0, "a whole number of pods, at least 1")
        } else {
            (|number| number > 0.0 && number <= 100.0, "a number of percent, more than 0 and at most 100")
        };
        if let Some(number) = number.filter(|number| fits(*number)) {
            return Some(make::number(number, node.place));
        }
        let error = ReadError::at(node.place, format!("with `mode: {mode}`, `value` is {wanted}"));
        self.error(error.label("expected this").help("such as `value: \"30\"`"));
        None
    }
}
