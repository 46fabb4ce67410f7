//! What a game day is measured with: a `squall` block in a plan of Markdown, or a file beside it.
//!
//! ```yaml
//! load: {shop: {http: {url: "http://127.0.0.1:8080/checkout"}, rate: 50/s}}
//! probes:                                   # the health of services, by name
//!   database: {tcp: {address: "127.0.0.1:5432"}}
//! steady_state:                             # default with a load: error_rate < 0.1%, latency_p99 < 100ms
//!   - expect: error_rate < 1%
//! data:                                     # counted before and after: not_less (default), unchanged, or a condition
//!   orders: {exec: {command: "psql -Atc 'select count(*) from orders'"}, expect: not_less}
//! alerts: {prometheus: "http://127.0.0.1:9090", expect: [DatabaseDown], within: 1m, resolved_within: 5m}
//! experiments: [database-fails.yaml]        # or {file: …, variables: {…}}
//! observe: 300s
//! criteria:                                 # for what words alone do not tell
//!   "Caches stay warm": {expect: "hit_ratio > 80%"}
//!   "Queue drains": {recovery: 2m}
//! ```

use super::experiment::{API_VERSION, name_apart};
use super::fields::Reader;
use super::names::Measured;
use super::variables::{passwords, redacted, substitute};
use super::{Overrides, ReadError, Source, nearest, parse};
use crate::catalog::Catalog;
use crate::condition::Condition;
use crate::experiment::{Check, DEFAULT_FRESH, Metric, ProbeCall};
use crate::gameday::{AlertSource, Assigned, DataProbe, Keeps, LinkedExperiment, Measures, Test};
use crate::node::{Content, Key, Node};
use crate::redaction::Redactor;
use crate::units::Duration;

/// What a file of measures may say it is.
const KIND: &str = "GameDay";
/// The probe that reads alerts.
const ALERTS: &str = "alerts";
/// What must hold where there is traffic and the plan does not say.
const DEFAULT_STEADY_STATE: [&str; 2] = ["error_rate < 0.1%", "latency_p99 < 100ms"];
/// How soon alerts must fire, and be over again, where the plan does not say.
const ALERTS_WITHIN: (Duration, Duration) = (Duration::seconds(120), Duration::seconds(300));

/// A text in which everything but `kept` is blank: places in it are places in the whole.
pub fn blanked(text: &str, kept: std::ops::Range<usize>) -> String {
    let bytes = text.bytes().enumerate();
    let keep = |(at, byte)| if kept.contains(&at) || byte == b'\n' { byte } else { b' ' };
    String::from_utf8_lossy(&bytes.map(keep).collect::<Vec<u8>>()).into_owned()
}

/// Reads what a game day is measured with.
///
/// # Errors
/// All mistakes that could be found, in the order of the file. What is secret is blotted out of them.
pub fn gameday(
    source: &Source,
    catalog: &dyn Catalog,
    overrides: &Overrides,
) -> Result<Measures, Vec<ReadError>> {
    let mut root = parse(source).map_err(|error| vec![error])?;
    if !matches!(root.content, Content::Map(_)) {
        let message = format!("what a game day is measured with is a map, and this is {}", root.kind());
        return Err(vec![ReadError::at(root.place, message).help("such as `load: …` and `probes: …`")]);
    }
    let mut secrets = substitute(&source.text, &mut root, overrides)?;
    passwords(&root, &mut secrets);
    let mut reader = Reader { text: &source.text, catalog, secrets: &secrets, errors: Vec::new() };
    let measures = reader.measures(&root);
    let mut errors = reader.errors;
    match measures {
        Some(measures) if errors.is_empty() => Ok(measures),
        _ => {
            errors.sort_by_key(|error| error.place.start);
            errors.dedup();
            Err(redacted(errors, &secrets))
        }
    }
}

impl Reader<'_> {
    fn measures(&mut self, root: &Node) -> Option<Measures> {
        let mut fields = self.fields(root, "what a game day is measured with")?;
        for (name, wanted) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            if let Some(node) = fields.get(name).filter(|node| node.content != Content::Text(wanted.into())) {
                self.error(ReadError::at(node.place, format!("`{name}` is not `{wanted}`")));
            }
        }
        fields.get("variables");
        let mut measured = Measured::default();
        let loads = fields.get("load").map_or_else(Vec::new, |node| self.loads(node, &mut measured));
        let metrics = fields.get("metrics").map_or_else(Vec::new, |node| self.metrics(node, &mut measured));
        let services = fields.get("probes").map_or_else(Vec::new, |node| self.services(node, &measured));
        let mut steady_state = match fields.get("steady_state") {
            Some(node) => {
                self.without_time(node);
                self.checks(node, "steady_state", &measured)
            }
            None if loads.len() == 1 => default_steady_state(),
            None => Vec::new(),
        };
        name_apart(&mut steady_state, &Redactor::new(self.secrets));
        let data = fields.get("data").map_or_else(Vec::new, |node| self.data(node));
        let alerts = fields.get("alerts").and_then(|node| self.alerts(node));
        let experiments = fields.get("experiments").map_or_else(Vec::new, |node| self.linked(node));
        let guard = fields.get("guard").map_or_else(Vec::new, |node| self.guard(node, &measured));
        let observe = fields.get("observe").and_then(|node| self.duration(node));
        let baseline = fields.get("baseline").and_then(|node| self.duration(node));
        let recovery_within = fields.get("recovery").and_then(|node| self.recovery(node));
        let criteria = fields.get("criteria").map_or_else(Vec::new, |node| self.criteria(node, &measured));
        fields.finish(self);
        Some(Measures {
            loads,
            metrics,
            steady_state,
            services,
            data,
            alerts,
            experiments,
            guard,
            observe,
            baseline,
            recovery_within,
            criteria,
            secrets: self.secrets.to_vec(),
        })
    }

    /// The entries of a map of named things.
    fn named<'n>(&mut self, node: &'n Node, what: &str, example: &str) -> &'n [(Key, Node)] {
        if let Content::Map(entries) = &node.content {
            return self.at_most(entries, 100, what);
        }
        let message = format!("{what} are named, and this is {}", node.kind());
        self.error(ReadError::at(node.place, message).help(format!("such as `{example}`")));
        &[]
    }

    /// Refuses checks with a time of their own: here criteria say how soon what must hold.
    fn without_time(&mut self, node: &Node) {
        let Content::List(items) = &node.content else { return };
        for within in items.iter().filter_map(|item| item.get("within")) {
            let message = "`within` is for checks of experiments";
            self.error(
                ReadError::at(within.place, message).help("here `recovery: {within: 30s}` is for all checks"),
            );
        }
    }

    fn services(&mut self, node: &Node, measured: &Measured) -> Vec<Check> {
        let example = "probes: {api: {http: {url: …}}}";
        let entries = self.named(node, "probes", example);
        let mut services = Vec::new();
        for (key, node) in entries {
            if let Some(check) = self.check_entry(node, "probes", measured) {
                if check.probe.is_none() {
                    let message = format!("`{}` does not say which probe asks it", key.name);
                    self.error(ReadError::at(node.place, message).help(format!("such as `{example}`")));
                }
                services.push(Check { name: key.name.clone(), ..check });
            }
        }
        services
    }

    fn data(&mut self, node: &Node) -> Vec<DataProbe> {
        let example = "data: {orders: {exec: {command: \"…\"}, expect: not_less}}";
        let entries = self.named(node, "data probes", example);
        let sources: Vec<&'static str> =
            self.catalog.metric_sources().iter().map(|source| source.name()).collect();
        let mut probes = Vec::new();
        for (key, node) in entries {
            let Some(mut fields) = self.fields(node, "a data probe") else { continue };
            let keeps = fields.get("expect").map_or(Some(Keeps::NotLess), |node| self.keeps(node));
            let before = self.errors.len();
            let found = fields.kind(&sources, "metric source", self);
            let Some((source, parameters)) = found else {
                if self.errors.len() == before {
                    let message = format!("`{}` does not say what counts it", key.name);
                    let help = format!("known: {}", nearest::list(&sources));
                    self.error(ReadError::at(key.place, message).help(help));
                }
                continue;
            };
            if let Some(Err(error)) =
                self.catalog.metric_source(&source.name).map(|source| source.build(parameters).map(|_| ()))
            {
                self.error(error);
            }
            let source = Metric {
                name: key.name.clone(),
                source: source.name.clone(),
                parameters: parameters.clone(),
                fresh_for: DEFAULT_FRESH,
            };
            probes.extend(keeps.map(|keeps| DataProbe { name: key.name.clone(), source, keeps }));
        }
        probes
    }

    fn keeps(&mut self, node: &Node) -> Option<Keeps> {
        match &node.content {
            Content::Text(text) if text == "not_less" => return Some(Keeps::NotLess),
            Content::Text(text) if text == "unchanged" => return Some(Keeps::Unchanged),
            _ => {}
        }
        let condition = self.condition(node)?;
        if let Some(name) = condition.names().into_iter().find(|name| name != "value") {
            let message = format!("a data probe counts `value`, and this speaks of `{name}`");
            let help = "`not_less`, `unchanged`, or a condition such as `value == 0`";
            self.error(ReadError::at(node.place, message).help(help));
        }
        Some(Keeps::Condition(condition))
    }

    fn alerts(&mut self, node: &Node) -> Option<AlertSource> {
        let mut fields = self.fields(node, "`alerts`")?;
        let names = fields.get("expect").map_or_else(Vec::new, |node| self.names(node, "`expect`"));
        let (within, resolved) = ALERTS_WITHIN;
        let within = self.positive(fields.get("within"), within);
        let resolved_within = self.positive(fields.get("resolved_within"), resolved);
        if names.is_empty() {
            let help = "such as `expect: [DatabaseDown, HighErrorRate]`";
            self.error(
                ReadError::at(node.place, "`expect` is missing: the alerts that must fire").help(help),
            );
        }
        let Content::Map(entries) = &node.content else { return None };
        let own = ["expect", "within", "resolved_within"];
        let rest = entries.iter().filter(|(key, _)| !own.contains(&key.name.as_str())).cloned().collect();
        let parameters = Node { content: Content::Map(rest), place: node.place };
        match self.catalog.probe(ALERTS)?.build(&parameters) {
            Ok(_) => Some(AlertSource {
                probe: ProbeCall { kind: ALERTS.to_owned(), parameters },
                names,
                within: within?,
                resolved_within: resolved_within?,
            }),
            Err(error) => {
                self.error(error);
                None
            }
        }
    }

    fn linked(&mut self, node: &Node) -> Vec<(LinkedExperiment, crate::node::Place)> {
        let items = self.list(node, "`experiments`");
        items.iter().filter_map(|item| Some((self.linked_one(item)?, item.place))).collect()
    }

    fn linked_one(&mut self, node: &Node) -> Option<LinkedExperiment> {
        if let Content::Text(_) = &node.content {
            let file = self.name(node, "an experiment's file")?;
            return Some(LinkedExperiment { name: file.clone(), file, variables: Vec::new() });
        }
        let mut fields = self.fields(node, "an experiment's file")?;
        let file = if let Some(node) = fields.get("file") {
            self.name(node, "`file`")
        } else {
            self.error(ReadError::at(node.place, "`file` is missing: the experiment"));
            None
        };
        let mut variables = Vec::new();
        if let Some(node) = fields.get("variables") {
            for (key, node) in self.named(node, "variables", "variables: {db_port: 5432}") {
                // In the form of `--var`: texts in quotes, so that none of them becomes a number.
                variables.push((key.name.clone(), node.to_json().to_string()));
            }
        }
        fields.finish(self);
        let file = file?;
        Some(LinkedExperiment { name: file.clone(), file, variables })
    }

    fn criteria(&mut self, node: &Node, measured: &Measured) -> Vec<Assigned> {
        let example = "criteria: {\"Caches stay warm\": {expect: \"hit_ratio > 80%\"}}";
        let mut assigned = Vec::new();
        for (key, node) in self.named(node, "criteria", example) {
            let test = if node.content == Content::Text("people".to_owned()) {
                None
            } else {
                let Some(test) = self.test(node, measured) else { continue };
                Some(test)
            };
            assigned.push(Assigned { criterion: key.name.clone(), place: key.place, test });
        }
        assigned
    }

    fn test(&mut self, node: &Node, measured: &Measured) -> Option<Test> {
        let mut fields = self.fields(node, "how a criterion is checked")?;
        let known = ["expect", "failover", "recovery", "alerts", "data", "services"];
        let (key, node) = fields.kind(&known, "way to check a criterion", self).or_else(|| {
            let help = "`expect: CONDITION`, `failover: 2m`, `recovery: 2m`, `alerts: [NAME]`, `data: [NAME]`, \
                        `services: all`, or `people`";
            self.error(ReadError::at(fields.place, "this does not say how it is checked").help(help));
            None
        })?;
        fields.get(&key.name);
        fields.finish(self);
        match key.name.as_str() {
            "expect" => {
                let condition: Condition = self.metric_condition(node, measured)?;
                Some(Test::Conditions { conditions: vec![condition], each_second: true })
            }
            "failover" => Some(Test::Failover { within: self.duration(node)?.as_seconds() }),
            "recovery" => Some(Test::Recovery { within: self.duration(node)?.as_seconds() }),
            "alerts" => {
                let names = self.names(node, "`alerts`");
                let (within, resolved) = ALERTS_WITHIN;
                let (within, resolved_within) = (within.as_seconds(), resolved.as_seconds());
                Some(Test::Alerts { names, within, resolved_within })
            }
            "data" => Some(Test::Data { probes: self.names(node, "`data`") }),
            _ => Some(Test::Services),
        }
    }
}

fn default_steady_state() -> Vec<Check> {
    let conditions = DEFAULT_STEADY_STATE.iter().filter_map(|text| Condition::parse(text).ok());
    conditions
        .map(|condition| Check { name: condition.text.clone(), probe: None, expect: condition, within: None })
        .collect()
}
