//! Conditions of a file and the names that they may speak of.

use super::fields::Reader;
use super::{ReadError, nearest, within};
use crate::condition::{Against, Condition};
use crate::node::{Content, Node, Place};
use crate::probe::{AnyProbe, ValueKind};
use crate::quantity::load_metrics;

/// The metrics that an experiment measures, by which its conditions can speak.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Names of the loads.
    pub(super) loads: Vec<String>,
    /// Names of the other metrics.
    pub(super) metrics: Vec<String>,
}

impl Measured {
    /// Every name that can be used.
    fn names(&self) -> Vec<String> {
        let bare = (self.loads.len() == 1).then(|| load_metrics().map(str::to_owned));
        let full =
            self.loads.iter().flat_map(|load| load_metrics().map(move |name| format!("{load}.{name}")));
        bare.into_iter().flatten().chain(self.metrics.iter().cloned()).chain(full).collect()
    }
}

/// Answers that the method has asked for so far, by which its conditions can speak: their names, and the probes.
#[derive(Debug, Default)]
pub(super) struct Asked(Vec<(String, &'static str)>);

impl Asked {
    /// Adds one; whether the name was free.
    pub(super) fn add(&mut self, name: &str, probe: &'static str) -> bool {
        let is_free = self.0.iter().all(|(known, _)| known != name);
        if is_free {
            self.0.push((name.to_owned(), probe));
        }
        is_free
    }
}

/// Whether a probe answers with something by this name.
fn answers_with(probe: &dyn AnyProbe, name: &str) -> bool {
    probe.values().iter().any(|(value, _)| match value.strip_suffix(".*") {
        // `json.*` covers `json.a` and `json[0]`, and `json` where the whole is one value.
        Some(prefix) => {
            name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        }
        None => name == *value,
    })
}

impl Reader<'_> {
    /// Whether what stands in a text came from a secret variable; what the file itself says is known to its readers.
    pub(super) fn holds_a_secret(&self, node: &Node) -> bool {
        let Content::Text(text) = &node.content else { return false };
        let written = self.text.get(node.place.start..node.place.end).unwrap_or_default();
        !written.contains(text) && self.secrets.iter().any(|secret| text.contains(secret))
    }

    /// A condition; mistakes point at the characters that they are about.
    pub(super) fn condition(&mut self, node: &Node) -> Option<Condition> {
        let Content::Text(text) = &node.content else {
            self.error(
                ReadError::at(node.place, format!("expected a condition, found {}", node.kind()))
                    .label("expected a condition")
                    .help("such as `error_rate < 1%` or `status == 200`"),
            );
            return None;
        };
        let is_verbatim =
            self.text.get(node.place.start..node.place.end).is_some_and(|slice| slice.contains(text));
        if self.holds_a_secret(node) {
            let error =
                ReadError::at(node.place, "a condition is shown to everyone, and this one holds a secret")
                    .label("holds a secret")
                    .help("leave the variable away, or declare it without `secret: true`");
            self.error(error);
            return None;
        }
        match Condition::parse(text) {
            Ok(condition) => Some(condition),
            Err(error) => {
                let whole = within(self.text, node.place, text);
                let place = if is_verbatim {
                    Place { start: whole.start + error.start, end: whole.start + error.end }
                } else {
                    node.place
                };
                self.error(ReadError::at(place, error.message).label("in this condition"));
                None
            }
        }
    }

    /// A condition over metrics, all of whose names are measured.
    pub(super) fn metric_condition(&mut self, node: &Node, measured: &Measured) -> Option<Condition> {
        let condition = self.condition(node)?;
        let known = measured.names();
        for name in condition.names().iter().filter(|name| !known.contains(name)) {
            if self.is_full() {
                break;
            }
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let is_of_load = load_metrics().any(|known| known == name);
            let help = if is_of_load && measured.loads.is_empty() {
                format!(
                    "`{name}` is measured by a load: add `load: {{NAME: {{http: {{url: …}}, rate: 50/s}}}}`"
                )
            } else if is_of_load {
                let full: Vec<String> =
                    measured.loads.iter().map(|load| format!("`{load}.{name}`")).collect();
                format!("there are several loads: write {}", full.join(" or "))
            } else if known.is_empty() {
                "nothing is: add a `load:`, a `metrics:` entry, or a probe beside `expect`".to_owned()
            } else {
                nearest::advice(name, &shortened(&known, name))
            };
            let place = within(self.text, node.place, name);
            let message = format!("`{name}` is not measured in this experiment");
            self.error(ReadError::at(place, message).label("not measured").help(help));
        }
        Some(condition)
    }

    /// Notes what a value of a probe's answer cannot be compared with. Returns the probe's name.
    fn kinds_fit(&mut self, node: &Node, probe: &dyn AnyProbe, condition: &Condition) -> &'static str {
        for (name, against) in condition.comparisons() {
            self.kind_fits(node, probe, &name, &name, against);
        }
        probe.name()
    }

    /// The same for one value, by its name in the answer and in the condition.
    fn kind_fits(&mut self, node: &Node, probe: &dyn AnyProbe, value: &str, name: &str, against: Against) {
        let kind = probe.kinds().iter().find(|(known, _)| *known == value).map(|(_, kind)| *kind);
        let wanted = match (kind, against) {
            (Some(ValueKind::Number), Against::Quantity | Against::Text | Against::YesOrNo) => {
                "a number without a unit"
            }
            (Some(ValueKind::YesOrNo), Against::Number | Against::Quantity | Against::Text) => {
                "`true` or `false`"
            }
            _ => return,
        };
        let place = within(self.text, node.place, name);
        let message = format!("`{name}` is {wanted}, and is compared with something else");
        self.error(ReadError::at(place, message).label(format!("is {wanted}")));
    }

    /// A condition over answers that the method asked for before.
    pub(super) fn when(&mut self, node: &Node, asked: &Asked) -> Option<Condition> {
        let condition = self.condition(node)?;
        if condition.takes() > 0.0 {
            let error = ReadError::at(
                node.place,
                "an answer is looked at once, so that nothing can hold `for` a time",
            );
            self.error(error.label("no `for` here"));
            return None;
        }
        for (name, against) in condition.comparisons() {
            self.is_asked(node, asked, &name, against);
        }
        Some(condition)
    }

    /// Notes where a name is no part of an answer that was asked for before, or cannot be compared so.
    fn is_asked(&mut self, node: &Node, asked: &Asked, name: &str, against: Against) {
        let place = within(self.text, node.place, name);
        let (answer, value) = name.split_once('.').unwrap_or((name, ""));
        let known = asked.0.iter().find(|(known, _)| known == answer);
        let Some(probe) = known.and_then(|(_, probe)| self.catalog.probe(probe)) else {
            let known: Vec<&str> = asked.0.iter().map(|(known, _)| known.as_str()).collect();
            let help = if known.is_empty() {
                format!(
                    "an entry before this one asks: `- ask: {{exec: {{command: […]}}}}` with `as: {answer}`"
                )
            } else {
                nearest::advice(answer, &known)
            };
            let error =
                ReadError::at(place, format!("no answer called `{answer}` was asked for before this"));
            self.error(error.label("not known here").help(help));
            return;
        };
        if answers_with(probe, value) {
            self.kind_fits(node, probe, value, name, against);
            return;
        }
        let known: Vec<&str> = probe.values().iter().map(|(value, _)| *value).collect();
        let message = format!("the probe `{}` does not answer with `{value}`", probe.name());
        let error = ReadError::at(place, message).label("not in its answer");
        self.error(error.help(nearest::advice(value, &known)));
    }

    /// A condition over the answer of a probe.
    pub(super) fn answer_condition(&mut self, node: &Node, probe: &dyn AnyProbe) -> Option<Condition> {
        let condition = self.condition(node)?;
        let (values, called) = (probe.values(), self.kinds_fit(node, probe, &condition));
        let known = |name: &String| answers_with(probe, name);
        for name in condition.names().iter().filter(|name| !known(name)) {
            let known: Vec<&str> = values.iter().map(|(value, _)| *value).collect();
            let place = within(self.text, node.place, name);
            let help = if load_metrics().any(|known| known == name) {
                format!("metrics are judged in an entry of their own: `- expect: {}`", condition.text)
            } else {
                nearest::advice(name, &known)
            };
            let message = format!("the probe `{called}` does not answer with `{name}`");
            self.error(ReadError::at(place, message).label("not in its answer").help(help));
        }
        Some(condition)
    }
}

/// The names to list: with many loads, only the full names that are like the one that was meant.
fn shortened<'k>(known: &[&'k str], name: &str) -> Vec<&'k str> {
    if known.len() <= 30 {
        return known.to_vec();
    }
    let near = nearest::nearest(name, known.iter().copied());
    let bare = known.iter().copied().filter(|known| !known.contains('.')).take(29);
    near.into_iter().chain(bare).collect()
}
