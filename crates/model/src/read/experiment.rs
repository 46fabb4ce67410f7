//! From a file to an experiment: every name known, every condition understood, everything that can be known without
//! a host checked.

use super::dialect::{self, Translation};
use super::fields::{Fields, Reader};
use super::names::Measured;
use super::variables::{passwords, redacted, substitute};
use super::{Overrides, ReadError, Source, decode, nearest, parse};
use crate::catalog::Catalog;
use crate::condition::Condition;
use crate::experiment::{
    Action, BlastRadius, Check, DEFAULT_BASELINE, DEFAULT_FRESH, DEFAULT_RECOVERY, DEFAULT_WINDOW,
    Experiment, Load, Metric, ProbeCall, Schedule,
};
use crate::node::{Content, Key, Node, Place};
use crate::quantity::load_metrics;
use crate::redaction::Redactor;
use crate::target::Limit;
use crate::units::{Duration, Frequency, Share};

/// The version of the format that is read.
pub(super) const API_VERSION: &str = "squall.dev/v1";
/// What a file of experiments says it is.
pub(super) const KIND: &str = "Experiment";
/// When a request of a load counts as unanswered, where the file does not say.
const DEFAULT_TIMEOUT: Duration = Duration::seconds(5);

/// Keys that are no experiment's own, though they look like it, and where they belong.
const ELSEWHERE: [(&str, &str); 8] = [
    ("window", "it belongs in a load: `load: {NAME: {http: {url: …}, rate: 50/s, window: 10s}}`"),
    ("rate", "it belongs in a load: `load: {NAME: {http: {url: …}, rate: 50/s}}`"),
    ("timeout", "it belongs in a load, or in a probe: `- http: {url: …, timeout: 2s}`"),
    ("fresh_for", "it belongs in a metric: `metrics: {NAME: {exec: {…}, fresh_for: 10s}}`"),
    ("within", "it belongs in `recovery: {within: 30s}`"),
    ("abort_if", "it belongs in `guard: [{abort_if: …}]`"),
    ("fault", "it belongs in an entry of `method`"),
    ("target", "it belongs in an entry of `method`"),
];

/// How many loads an experiment may have.
const MAX_LOADS: usize = 100;
/// How many metrics an experiment may have beside those of loads.
const MAX_METRICS: usize = 1000;

/// Reads an experiment.
///
/// # Errors
/// All mistakes that could be found, in the order of the file. What is secret is blotted out of them.
pub fn experiment(
    source: &Source,
    catalog: &dyn Catalog,
    overrides: &Overrides,
) -> Result<Experiment, Vec<ReadError>> {
    let root = parse(source).map_err(|error| vec![error])?;
    let Translation { mut root, notes, endless, wanted } = if let Some(dialect) = dialect::of(&root) {
        dialect::translate(dialect, &root, &source.text, catalog)?
    } else {
        header(&root).map_err(|error| vec![error])?;
        Translation { root, notes: Vec::new(), endless: false, wanted: Vec::new() }
    };
    let mut secrets = substitute(&source.text, &mut root, overrides)?;
    passwords(&root, &mut secrets);
    let mut reader = Reader { text: &source.text, catalog, secrets: &secrets, errors: Vec::new() };
    let experiment = reader.experiment(&root);
    let errors = dialect::explain(reader.errors, &wanted, catalog);
    match experiment {
        Some(experiment) if errors.is_empty() => Ok(Experiment { endless, notes, ..experiment }),
        _ => Err(redacted(in_order(errors), &secrets)),
    }
}

/// Mistakes in the order of the file, each once.
pub(super) fn in_order(mut errors: Vec<ReadError>) -> Vec<ReadError> {
    errors.sort_by_key(|error| error.place.start);
    errors.dedup();
    errors
}

/// Checks that the file says it is an experiment; of a file for another tool, says what it is.
fn header(root: &Node) -> Result<(), ReadError> {
    let Content::Map(entries) = &root.content else {
        let message = format!("an experiment is a map, and this file is {}", root.kind());
        return Err(
            ReadError::at(root.place, message).help(format!("it begins with `apiVersion: {API_VERSION}`"))
        );
    };
    let place = |name: &str| root.get(name).map_or(first_key(root, entries), |node| node.place);
    let text = |name: &str| match root.get(name).map(|node| &node.content) {
        Some(Content::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let ours = format!("an experiment of Squall begins with `apiVersion: {API_VERSION}` and `kind: {KIND}`");
    let version = text("apiVersion");
    if version != Some(API_VERSION) {
        let (message, help) = match version {
            Some(other) if other.starts_with("squall.dev/") => {
                (format!("this version of Squall reads `{API_VERSION}`, and this file is `{other}`"), None)
            }
            Some(other) => {
                (format!("{}, not an experiment of Squall", foreign(other, text("kind"))), Some(ours))
            }
            None if root.get("steady-state-hypothesis").is_some() => {
                ("this is a file of Chaos Toolkit, not an experiment of Squall".to_owned(), Some(ours))
            }
            None => {
                match entries.iter().find(|(key, _)| nearest::nearest(&key.name, ["apiVersion"]).is_some()) {
                    Some((key, _)) if key.name != "apiVersion" => {
                        return Err(ReadError::at(key.place, format!("unknown key `{}`", key.name))
                            .label("not known here")
                            .help("did you mean `apiVersion`?"));
                    }
                    _ => ("`apiVersion` is missing".to_owned(), Some(ours)),
                }
            }
        };
        return Err(ReadError { help, ..ReadError::at(place("apiVersion"), message) });
    }
    match text("kind") {
        Some(KIND) => Ok(()),
        Some(other) => {
            Err(ReadError::at(place("kind"), format!("`kind` is `{other}`, which this cannot read"))
                .help(format!("write `kind: {KIND}`")))
        }
        None => Err(ReadError::at(place("kind"), "`kind` is missing").help(format!("write `kind: {KIND}`"))),
    }
}

fn first_key(root: &Node, entries: &[(Key, Node)]) -> Place {
    entries.first().map_or(root.place, |(key, _)| key.place)
}

/// What another tool's file is, by its `apiVersion`.
fn foreign(version: &str, kind: Option<&str>) -> String {
    let tool = match version.split('/').next().unwrap_or(version) {
        group if group.ends_with("litmuschaos.io") => "a Litmus object",
        group if group.ends_with("chaosblade.io") => "a ChaosBlade object",
        group if group.ends_with("istio.io") => "an Istio object",
        _ => "a Kubernetes object",
    };
    match kind {
        Some(kind) => format!("this is {tool} (`{kind}`)"),
        None => format!("this is {tool}"),
    }
}

impl Reader<'_> {
    fn experiment(&mut self, root: &Node) -> Option<Experiment> {
        let mut fields = self.fields(root, "an experiment")?;
        fields.get("apiVersion");
        fields.get("kind");
        let name = if let Some(node) = fields.get("name") {
            self.name(node, "`name`")
        } else {
            self.error(
                ReadError::at(fields.key_place("kind"), "`name` is missing")
                    .help("such as `name: payment-survives-a-slow-database`"),
            );
            None
        };
        let hypothesis =
            fields.get("hypothesis").and_then(|node| self.value::<String>(node)).unwrap_or_default();
        let tags = fields.get("tags").map_or_else(Vec::new, |node| self.names(node, "tags"));
        let schedule = fields.get("schedule").and_then(|node| self.schedule(node));
        // Not there any more, but known.
        fields.get("variables");
        let mut measured = Measured::default();
        let loads = fields.get("load").map_or_else(Vec::new, |node| self.loads(node, &mut measured));
        let metrics = fields.get("metrics").map_or_else(Vec::new, |node| self.metrics(node, &mut measured));
        let steady_state = fields
            .get("steady_state")
            .map_or_else(Vec::new, |node| self.checks(node, "steady_state", &measured));
        let blast_radius =
            fields.get("blast_radius").and_then(|node| self.blast_radius(node)).unwrap_or_default();
        let method = self.whole_method(&mut fields, blast_radius.duration);
        let guard = fields.get("guard").map_or_else(Vec::new, |node| self.guard(node, &measured));
        let hypothesis_holds = match fields.get("hypothesis_holds") {
            Some(node) => {
                self.times_fit(node, &method);
                self.checks(node, "hypothesis_holds", &measured)
            }
            // How soon it must hold again after the undo says nothing of the time before.
            None => steady_state.iter().map(|check| Check { within: None, ..check.clone() }).collect(),
        };
        let baseline = match fields.get("baseline") {
            Some(node) => self.duration(node).unwrap_or_default(),
            None if loads.is_empty() && metrics.is_empty() => Duration::default(),
            None => DEFAULT_BASELINE,
        };
        let recovery_within =
            fields.get("recovery").and_then(|node| self.recovery(node)).unwrap_or(DEFAULT_RECOVERY);
        for (key, owner) in ELSEWHERE {
            if root.get(key).is_some() {
                let place = fields.key_place(key);
                self.error(
                    ReadError::at(place, format!("`{key}` stands here for nothing"))
                        .label("not here")
                        .help(owner),
                );
                fields.get(key);
            }
        }
        fields.finish(self);
        let mut experiment = Experiment {
            name: name?,
            hypothesis,
            tags,
            loads,
            metrics,
            steady_state,
            blast_radius,
            method,
            guard,
            hypothesis_holds,
            baseline,
            recovery_within,
            schedule,
            endless: false,
            notes: Vec::new(),
            secrets: self.secrets.to_vec(),
        };
        let redactor = Redactor::new(self.secrets);
        name_apart(&mut experiment.steady_state, &redactor);
        name_apart(&mut experiment.hypothesis_holds, &redactor);
        Some(experiment)
    }

    /// When rounds begin. What is said of the hours is checked by whoever keeps schedules.
    fn schedule(&mut self, node: &Node) -> Option<Schedule> {
        let mut fields = self.fields(node, "`schedule`")?;
        let cron = if let Some(node) = fields.get("cron") {
            self.name(node, "`cron`")
        } else {
            let help = "such as `cron: \"@every 2h\"` or `cron: \"0 3 * * *\"`";
            self.error(ReadError::at(node.place, "`cron` is missing: when rounds begin").help(help));
            None
        };
        let concurrency = fields.get("concurrency").and_then(|node| self.value(node)).unwrap_or_default();
        let starting_deadline =
            fields.get("starting_deadline").and_then(|node| self.positive(Some(node), Duration::default()));
        let history = fields.get("history").and_then(|node| self.value(node));
        fields.finish(self);
        Some(Schedule { cron: cron?, concurrency, starting_deadline, history })
    }

    /// A list of words; one word alone will do.
    pub(super) fn names(&mut self, node: &Node, what: &str) -> Vec<String> {
        if let Content::Text(_) = &node.content {
            self.name(node, what).into_iter().collect()
        } else {
            let items = self.list(node, what);
            items.iter().filter_map(|item| self.name(item, what)).collect()
        }
    }

    fn whole_method(
        &mut self,
        fields: &mut Fields<'_>,
        limit: Option<Duration>,
    ) -> Vec<crate::experiment::Action> {
        let help = "`- fault: …` does something; `- wait: 10s` only watches";
        match fields.get_or_null("method") {
            None => {
                let place = fields.key_place("name");
                self.error(ReadError::at(place, "`method` is missing: what is to be done").help(help));
                Vec::new()
            }
            Some(Node { content: Content::Null, .. }) => {
                self.error(ReadError::at(fields.key_place("method"), "`method` is empty").help(help));
                Vec::new()
            }
            Some(node) if node.content == Content::List(Vec::new()) => {
                self.error(ReadError::at(node.place, "`method` is empty").help(help));
                Vec::new()
            }
            Some(node) => self.method(node, limit),
        }
    }

    /// Whether conditions can speak of something by this name.
    pub(super) fn metric_name(&mut self, key: &Key, dots: bool) -> bool {
        let fits = key.name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && key.name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-') || (dots && c == '.'))
            && !["and", "or", "not", "for"].contains(&key.name.as_str());
        if !fits {
            let message = format!("conditions could not speak of `{}`", key.name);
            let help = format!(
                "a name begins with a letter and has letters, digits, `_`, `-`{}",
                if dots { ", `.`" } else { "" }
            );
            self.error(ReadError::at(key.place, message).label("not a name").help(help));
        }
        fits
    }

    pub(super) fn loads(&mut self, node: &Node, measured: &mut Measured) -> Vec<Load> {
        let Content::Map(entries) = &node.content else {
            let message = format!("`load` is a map of named loads, and this is {}", node.kind());
            let help = "such as `load: {shop: {http: {url: …}, rate: 50/s}}`";
            self.error(ReadError::at(node.place, message).help(help));
            return Vec::new();
        };
        let mut loads = Vec::new();
        for (key, node) in self.at_most(entries, MAX_LOADS, "loads") {
            // Named also where the rest is wrong, so that conditions over it are no mistakes on top.
            measured.loads.push(key.name.clone());
            if self.metric_name(key, false) {
                loads.extend(self.load(key, node));
            }
        }
        loads
    }

    fn load(&mut self, key: &Key, node: &Node) -> Option<Load> {
        let kinds: Vec<&'static str> = self.catalog.loads().iter().map(|load| load.name()).collect();
        let mut fields = self.fields(node, "a load")?;
        let rate = if let Some(node) = fields.get("rate") {
            self.value::<Frequency>(node)
        } else {
            let message = format!("`rate` is missing: how often `{}` sends", key.name);
            self.error(ReadError::at(key.place, message).help("such as `rate: 50/s`"));
            None
        };
        let timeout = self.positive(fields.get("timeout"), DEFAULT_TIMEOUT);
        let window = self.positive(fields.get("window"), DEFAULT_WINDOW);
        if let (Some(window), Some(node)) = (window, node.get("window")) {
            // Metrics are sampled every second; less would be empty more often than not.
            if window < Duration::seconds(1) || window > Duration::seconds(3600) {
                self.error(ReadError::at(node.place, "`window` lies between 1s and 1h"));
            }
        }
        let before = self.errors.len();
        let Some((kind, parameters)) = fields.kind(&kinds, "kind of load", self) else {
            if self.errors.len() == before {
                let message = format!("the load `{}` does not say what it sends", key.name);
                self.error(
                    ReadError::at(key.place, message).help(format!("known: {}", nearest::list(&kinds))),
                );
            }
            return None;
        };
        if let Some(load) = self.catalog.load(&kind.name) {
            load.check(parameters).map_err(|error| self.error(error)).ok()?;
        }
        Some(Load {
            name: key.name.clone(),
            kind: kind.name.clone(),
            parameters: parameters.clone(),
            rate: rate?,
            timeout: timeout?,
            window: window?,
        })
    }

    /// A duration above zero.
    pub(super) fn positive(&mut self, node: Option<&Node>, default: Duration) -> Option<Duration> {
        let Some(node) = node else { return Some(default) };
        let duration: Duration = self.value(node)?;
        if duration == Duration::default() {
            self.error(ReadError::at(node.place, "this must be longer than nothing"));
            return None;
        }
        Some(duration)
    }

    pub(super) fn metrics(&mut self, node: &Node, measured: &mut Measured) -> Vec<Metric> {
        let Content::Map(entries) = &node.content else {
            let message = format!("`metrics` is a map of named metrics, and this is {}", node.kind());
            let help = "such as `metrics: {queue: {prometheus: {url: …, query: …}}}`";
            self.error(ReadError::at(node.place, message).help(help));
            return Vec::new();
        };
        let sources: Vec<&'static str> =
            self.catalog.metric_sources().iter().map(|source| source.name()).collect();
        let mut metrics = Vec::new();
        for (key, node) in self.at_most(entries, MAX_METRICS, "metrics") {
            self.taken(key, measured);
            measured.metrics.push(key.name.clone());
            if self.metric_name(key, true) {
                metrics.extend(self.metric(key, node, &sources));
            }
        }
        metrics
    }

    /// Refuses a metric that is called like one of a load.
    fn taken(&mut self, key: &Key, measured: &Measured) {
        let bare = (measured.loads.len() == 1) && load_metrics().any(|known| known == key.name);
        let full =
            key.name.split_once('.').is_some_and(|(load, _)| measured.loads.iter().any(|name| name == load));
        if bare || full {
            let message = format!("`{}` is the name of what a load measures", key.name);
            self.error(ReadError::at(key.place, message).label("taken").help("choose another name"));
        }
    }

    pub(super) fn metric(&mut self, key: &Key, node: &Node, sources: &[&str]) -> Option<Metric> {
        let mut fields = self.fields(node, "a metric")?;
        let fresh_for = self.positive(fields.get("fresh_for"), DEFAULT_FRESH);
        if let (Some(fresh_for), Some(node)) = (fresh_for, node.get("fresh_for")) {
            // It is asked every second, so that the value before may count while the next is on its way.
            if fresh_for < DEFAULT_FRESH || fresh_for > Duration::seconds(3600) {
                self.error(ReadError::at(
                    node.place,
                    format!("`fresh_for` lies between {DEFAULT_FRESH} and 1h"),
                ));
            }
        }
        let before = self.errors.len();
        let Some((source, parameters)) = fields.kind(sources, "metric source", self) else {
            if self.errors.len() == before {
                let message = format!("the metric `{}` does not say where it comes from", key.name);
                self.error(
                    ReadError::at(key.place, message).help(format!("known: {}", nearest::list(sources))),
                );
            }
            return None;
        };
        if let Some(known) = self.catalog.metric_source(&source.name) {
            known.build(parameters).map_err(|error| self.error(error)).ok()?;
        }
        Some(Metric {
            name: key.name.clone(),
            source: source.name.clone(),
            parameters: parameters.clone(),
            fresh_for: fresh_for?,
        })
    }

    pub(super) fn checks(&mut self, node: &Node, what: &str, measured: &Measured) -> Vec<Check> {
        let items = self.list(node, &format!("`{what}`"));
        items.iter().filter_map(|item| self.check_entry(item, what, measured)).collect()
    }

    pub(super) fn check_entry(&mut self, node: &Node, what: &str, measured: &Measured) -> Option<Check> {
        let mut fields = self.fields(node, &format!("an entry of `{what}`"))?;
        let name = fields.get("name").and_then(|node| self.name(node, "`name`"));
        let expect = fields.get("expect");
        let within = match fields.get("within") {
            Some(node) => self.positive(Some(node), Duration::default()),
            None => None,
        };
        let kinds: Vec<&'static str> = self.catalog.probes().iter().map(|probe| probe.name()).collect();
        let before = self.errors.len();
        match fields.kind(&kinds, "probe", self) {
            Some((kind, parameters)) => {
                let check = self.probe_check(kind, parameters, expect, name)?;
                Some(Check { within, ..check })
            }
            None if self.errors.len() > before => {
                // What the condition speaks of is not known, but its form can be checked.
                expect.and_then(|node| self.condition(node));
                None
            }
            None => {
                let Some(expect) = expect else {
                    let message =
                        format!("an entry of `{what}` says a probe, or `expect` over metrics, or both");
                    let help =
                        format!("such as `- expect: error_rate < 1%`; probes: {}", nearest::list(&kinds));
                    self.error(ReadError::at(node.place, message).help(help));
                    return None;
                };
                let condition = self.metric_condition(expect, measured)?;
                Some(Check {
                    name: name.unwrap_or_else(|| condition.text.clone()),
                    probe: None,
                    expect: condition,
                    within,
                })
            }
        }
    }

    /// What must hold within some time of a fault needs faults that last for longer.
    fn times_fit(&mut self, node: &Node, method: &[Action]) {
        let lasts = |action: &Action| {
            let ends =
                action.strikes().iter().map(|strike| Duration(strike.after.0.saturating_add(strike.lasts.0)));
            ends.max()
        };
        let shortest = method.iter().filter_map(lasts).min();
        let Content::List(items) = &node.content else { return };
        for within in items.iter().filter_map(|item| item.get("within")) {
            let Ok(time) = decode::<Duration>(within) else { continue };
            let message = match shortest {
                None => "there is no fault, and this is about the time after one began".to_owned(),
                Some(shortest) if shortest <= time => {
                    format!(
                        "a fault is over after {shortest}, so that it would not be seen whether this held within {time}"
                    )
                }
                Some(_) => continue,
            };
            let help = "let each fault last (`for`) some seconds longer than `within`";
            self.error(ReadError::at(within.place, message).help(help));
        }
    }

    fn probe_check(
        &mut self,
        kind: &Key,
        parameters: &Node,
        expect: Option<&Node>,
        name: Option<String>,
    ) -> Option<Check> {
        let probe = self.catalog.probe(&kind.name)?;
        let built = probe.build(parameters).map_err(|error| self.error(error));
        let condition = match (expect, probe.default_expectation()) {
            (Some(node), _) => self.answer_condition(node, probe),
            (None, Some(default)) => Condition::parse(default)
                .map_err(|error| self.error(ReadError::at(kind.place, error.message)))
                .ok(),
            (None, None) => {
                let known: Vec<&str> = probe.values().iter().map(|(value, _)| *value).collect();
                let message = format!("`expect` is missing: what the answer of `{}` should be", kind.name);
                self.error(
                    ReadError::at(kind.place, message)
                        .help(format!("it answers with {}", nearest::list(&known))),
                );
                None
            }
        };
        built.ok()?;
        Some(Check {
            name: name.unwrap_or_else(|| probe_name(&kind.name, parameters, &Redactor::new(self.secrets))),
            probe: Some(ProbeCall { kind: kind.name.clone(), parameters: parameters.clone() }),
            expect: condition?,
            within: None,
        })
    }

    fn blast_radius(&mut self, node: &Node) -> Option<BlastRadius> {
        let mut fields = self.fields(node, "`blast_radius`")?;
        let services = fields.get("services").map_or_else(Vec::new, |node| self.names(node, "`services`"));
        let targets = fields.get("targets").and_then(|node| self.targets_limit(node));
        let duration = match fields.get("duration") {
            Some(node) => self.positive(Some(node), Duration::default()),
            None => None,
        };
        fields.finish(self);
        Some(BlastRadius { services, targets, duration, ..BlastRadius::default() })
    }

    /// A whole number counts targets; with `%` or a decimal point it is a share of those that match.
    fn targets_limit(&mut self, node: &Node) -> Option<Limit> {
        let count = match &node.content {
            Content::Integer(count) => Some(*count),
            Content::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let limit = match count {
            Some(count) => u64::try_from(count).ok().map(Limit::Count),
            None => decode::<Share>(node).ok().map(Limit::Share),
        };
        match limit {
            None => {
                let message = "this is neither a number of targets nor a share of those that match";
                self.error(
                    ReadError::at(node.place, message).help(
                        "such as `1` for one target, `30%` or `0.3` for a share, `100%` or `1.0` for all",
                    ),
                );
            }
            Some(limit) if limit == Limit::Count(0) || limit == Limit::Share(Share::of(0.0)) => {
                self.error(ReadError::at(node.place, "no target at all may be struck with this limit"));
            }
            Some(_) => {}
        }
        limit
    }

    pub(super) fn guard(&mut self, node: &Node, measured: &Measured) -> Vec<Condition> {
        let mut guard = Vec::new();
        for item in self.list(node, "`guard`") {
            let Some(mut fields) = self.fields(item, "an entry of `guard`") else { continue };
            let condition = fields.get("abort_if");
            let is_empty = item.content == Content::Map(Vec::new());
            match condition {
                Some(node) => guard.extend(self.metric_condition(node, measured)),
                // Another key is a mistake of its own that says `abort_if` already.
                None if !is_empty && item.get("abort_if").is_none() => {}
                None => {
                    let help = "such as `- abort_if: error_rate > 5% for 3s`";
                    self.error(ReadError::at(item.place, "`abort_if` is missing").help(help));
                }
            }
            fields.finish(self);
        }
        guard
    }

    pub(super) fn recovery(&mut self, node: &Node) -> Option<Duration> {
        let mut fields = self.fields(node, "`recovery`")?;
        let within = fields.get("within").and_then(|node| self.duration(node));
        fields.finish(self);
        within
    }
}

/// A short name for a probe: its kind and the first thing that it is asked about.
fn probe_name(kind: &str, parameters: &Node, redactor: &Redactor) -> String {
    let first = match &parameters.content {
        Content::Map(entries) => entries.iter().find_map(|(_, node)| match &node.content {
            Content::Text(text) => Some(text.clone()),
            Content::Integer(number) => Some(number.to_string()),
            Content::List(items) => {
                let words = items.iter().map(|item| match &item.content {
                    Content::Text(text) => Some(text.as_str()),
                    _ => None,
                });
                words.collect::<Option<Vec<_>>>().map(|words| words.join(" "))
            }
            _ => None,
        }),
        Content::Text(text) => Some(text.clone()),
        _ => None,
    };
    // Before anything is changed or cut: half a secret is not known for one.
    let what = redactor.text(&first.unwrap_or_default()).replace(char::is_control, " ");
    let short: String = what.chars().take(80).collect();
    format!("{kind} {short}").trim_end().to_owned()
}

/// Gives checks of the same name a number, and takes what is secret out of the names.
pub(super) fn name_apart(checks: &mut [Check], redactor: &Redactor) {
    let mut seen = std::collections::HashMap::new();
    for check in checks {
        check.name = redactor.text(&check.name);
        let count = seen.entry(check.name.clone()).or_insert(0_usize);
        *count += 1;
        if *count > 1 {
            check.name = format!("{} ({count})", check.name);
        }
    }
}
