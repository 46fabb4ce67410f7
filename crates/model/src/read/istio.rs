//! Virtual services of Istio with faults in them (`networking.istio.io`) as experiments.
//!
//! Where the object is in the cluster, only its fault blocks change; where it is not, it is made for the time of the faults. See
//! `docs/kubernetes.md`.

use super::dialect::{ADDED_BY_CLUSTERS, Dialect, Translated, Translation, Wanted};
use super::experiment::{API_VERSION, KIND as EXPERIMENT};
use super::fields::{Fields, Reader};
use super::make::{self, Entries, entry};
use super::{ReadError, go, nearest};
use crate::catalog::Catalog;
use crate::experiment::DEFAULT_LASTS;
use crate::node::{Content, Node, Place};

/// The API whose objects these are.
const GROUP: &str = "networking.istio.io";
/// The versions of it that are read; they say the same.
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha3"];
/// The kind that can have faults.
const KIND: &str = "VirtualService";
/// What a specification has beside its HTTP routes.
const OF_SPEC: [&str; 5] = ["hosts", "gateways", "exportTo", "tls", "tcp"];
/// What an HTTP route has beside its name and its faults.
const OF_ROUTE: [&str; 15] = [
    "match",
    "route",
    "redirect",
    "directResponse",
    "delegate",
    "rewrite",
    "timeout",
    "retries",
    "mirror",
    "mirrors",
    "mirrorPercent",
    "mirror_percent",
    "mirrorPercentage",
    "corsPolicy",
    "headers",
];
/// What Istio can tell apart, in nanoseconds.
const SHORTEST: i128 = 1_000_000;
/// What requests can be answered with.
const STATUSES: std::ops::Range<i64> = 200..600;

/// See the module.
pub(super) const DIALECT: Dialect = Dialect { name: "istio", is_spoken, translate };

/// What becomes of the requests of a route.
struct RouteFaults {
    route: Node,
    /// By the names of the parts, what the faults of that name take.
    parts: Vec<(&'static str, Node)>,
}

fn is_spoken(root: &Node) -> bool {
    let version = root.get("apiVersion").map(|node| &node.content);
    matches!(version, Some(Content::Text(version)) if version.split('/').next() == Some(GROUP))
}

fn translate(root: &Node, text: &str, catalog: &dyn Catalog) -> Translated {
    let reader = Reader { text, catalog, secrets: &[], errors: Vec::new() };
    let mut translator = Translator { reader, notes: Vec::new() };
    let strike = translator.manifest(root);
    let Translator { reader, notes } = translator;
    let Some((name, strike, wanted)) = strike.filter(|_| reader.errors.is_empty()) else {
        return Err(reader.errors);
    };
    let mut root = make::map(
        vec![
            entry("apiVersion", make::text(API_VERSION, root.place)),
            entry("kind", make::text(EXPERIMENT, root.place)),
            entry("name", name),
            entry("method", make::list(vec![strike], root.place)),
        ],
        root.place,
    );
    make::escape(&mut root);
    Ok(Translation { root, notes, endless: true, wanted: vec![wanted] })
}

/// A manifest that is being read. Whatever is nothing has a noted mistake.
struct Translator<'r> {
    reader: Reader<'r>,
    notes: Vec<String>,
}

impl Translator<'_> {
    fn mistake(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.reader.error(ReadError::at(place, message).help(help));
    }

    /// The name, the one entry of the method, and the fault that it names.
    fn manifest(&mut self, root: &Node) -> Option<(Node, Node, Wanted)> {
        let mut fields = self.reader.fields(root, "a manifest")?;
        self.version(&mut fields);
        let kind = fields.get("kind");
        let place = kind.map_or(root.place, |node| node.place);
        if kind.is_none_or(|node| node.content != Content::Text(KIND.to_owned())) {
            let message = format!("of Istio, only a `kind: {KIND}` has faults and can be an experiment");
            self.mistake(place, message, "put the manifest of the virtual service into the file");
            return None;
        }
        let metadata = self.metadata(&mut fields);
        let spec = self.required(&mut fields, "spec", "what the virtual service does");
        // What a cluster wrote down about it is no part of the experiment.
        fields.get("status");
        fields.finish(&mut self.reader);
        let (bare, faults) = self.spec(spec?)?;
        let (name, mut target, mut made) = metadata?;
        if faults.is_empty() {
            self.without_faults(spec?);
            return None;
        }
        made.push(entry("spec", bare));
        target.push(entry("make", make::map(made, root.place)));
        self.about(&name);
        let target = make::map(vec![entry("virtual_service", make::map(target, name.place))], name.place);
        let (fault, with) = strike(faults, place);
        let method =
            vec![entry("fault", make::text(fault, place)), entry("target", target), entry("with", with)];
        Some((name, make::map(method, root.place), Wanted { fault, place, who: KIND }))
    }

    fn without_faults(&mut self, spec: &Node) {
        self.mistake(
            spec.get("http").map_or(spec.place, |node| node.place),
            "this virtual service has no `fault` in any of its `http` routes: nothing would be broken",
            "give a route one, such as `fault: {delay: {percentage: {value: 10}, fixedDelay: 5s}}`; an experiment of Squall strikes it as \
             it is, by `istio.delay` or `istio.abort` on `target: {virtual_service: …}`",
        );
    }

    fn about(&mut self, name: &Node) {
        let Content::Text(name) = &name.content else { return };
        self.notes.push(format!(
            "a manifest does not say how long: Istio leaves the faults until somebody takes them out, Squall takes them back after \
             {DEFAULT_LASTS}"
        ));
        self.notes.push(format!(
            "where {name} is in the cluster, only its fault blocks change, and are put back; where it is not, it is made for that time, \
             and deleted after"
        ));
    }

    fn version(&mut self, fields: &mut Fields<'_>) {
        let Some(node) = fields.get("apiVersion") else { return };
        let Content::Text(text) = &node.content else { return };
        if text.split_once('/').is_none_or(|(_, version)| !VERSIONS.contains(&version)) {
            let known = VERSIONS.map(|version| format!("{GROUP}/{version}"));
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let help = format!("it is one of: {}", nearest::list(&known));
            self.mistake(node.place, "this version of Istio's API is not known here", help);
        }
    }

    /// The entry of this name; a mistake where it is missing.
    fn required<'n>(&mut self, fields: &mut Fields<'n>, name: &str, why: &str) -> Option<&'n Node> {
        let found = fields.get(name);
        if found.is_none() {
            self.reader.error(ReadError::at(fields.key_place(name), format!("`{name}` is missing: {why}")));
        }
        found
    }

    /// The name, what the object is found by, and its labels and annotations.
    fn metadata(&mut self, fields: &mut Fields<'_>) -> Option<(Node, Entries, Entries)> {
        let node = self.required(fields, "metadata", "the name of the virtual service")?;
        let mut fields = self.reader.fields(node, "`metadata`")?;
        let name = self.required(&mut fields, "name", "what the virtual service is called");
        let namespace = fields.get("namespace");
        let made = ["labels", "annotations"]
            .into_iter()
            .filter_map(|key| Some(entry(key, fields.get(key)?.clone())));
        let made: Entries = made.collect();
        for key in ADDED_BY_CLUSTERS {
            fields.get(key);
        }
        fields.finish(&mut self.reader);
        let name = name.filter(|name| self.reader.name(name, "`name`").is_some())?.clone();
        let place = namespace.map(|namespace| entry("namespace", namespace.clone()));
        let target = place.into_iter().chain([entry("name", name.clone())]).collect();
        Some((name, target, made))
    }

    /// The specification without its faults, and the faults.
    fn spec(&mut self, spec: &Node) -> Option<(Node, Vec<RouteFaults>)> {
        let mut fields = self.reader.fields(spec, "`spec`")?;
        let mut bare: Entries =
            OF_SPEC.into_iter().filter_map(|key| Some(entry(key, fields.get(key)?.clone()))).collect();
        let http = fields.get("http");
        fields.finish(&mut self.reader);
        let mut faults = Vec::new();
        if let Some(http) = http {
            let mut routes = Vec::new();
            for (position, route) in self.reader.list(http, "`http`").iter().enumerate() {
                let (route, of_route) = self.route(route, position)?;
                routes.push(route);
                faults.extend(of_route);
            }
            bare.push(entry("http", make::list(routes, http.place)));
        }
        Some((make::map(bare, spec.place), faults))
    }

    /// A route without its faults, and the faults. One without a name is known by its place.
    fn route(&mut self, node: &Node, position: usize) -> Option<(Node, Option<RouteFaults>)> {
        let mut fields = self.reader.fields(node, "a route")?;
        let name = fields.get("name");
        let fault = fields.get("fault");
        let keys = ["name"].into_iter().chain(OF_ROUTE);
        let bare: Entries = keys.filter_map(|key| Some(entry(key, fields.get(key)?.clone()))).collect();
        fields.finish(&mut self.reader);
        let bare = make::map(bare, node.place);
        let Some(fault) = fault else { return Some((bare, None)) };
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        let route = name.cloned().unwrap_or_else(|| make::whole(position, fault.place));
        let parts = self.fault(fault)?;
        Some((bare, (!parts.is_empty()).then_some(RouteFaults { route, parts })))
    }

    /// The parts of a fault block.
    fn fault(&mut self, node: &Node) -> Option<Vec<(&'static str, Node)>> {
        let mut fields = self.reader.fields(node, "`fault`")?;
        let (delay, abort) = (fields.get("delay"), fields.get("abort"));
        fields.finish(&mut self.reader);
        let mut parts = Vec::new();
        if let Some(delay) = delay {
            parts.push(("delay", self.delay(delay)?));
        }
        if let Some(abort) = abort {
            parts.push(("abort", self.abort(abort)?));
        }
        Some(parts)
    }

    fn delay(&mut self, node: &Node) -> Option<Node> {
        let mut fields = self.reader.fields(node, "`delay`")?;
        let why = "Istio itself has given it up";
        self.refuse(&mut fields, "exponentialDelay", why, "say `fixedDelay`");
        let fixed = self.required(&mut fields, "fixedDelay", "how much later requests come");
        let share = self.share(&mut fields, node.place);
        fields.finish(&mut self.reader);
        let fixed = self.duration(fixed?)?;
        Some(make::map(vec![entry("delay", fixed), entry("probability", share?)], node.place))
    }

    fn duration(&mut self, node: &Node) -> Option<Node> {
        let text: String = self.reader.value(node)?;
        let help = "such as 5s, 1m30s or 250ms";
        match go::nanoseconds(&text) {
            Ok(nanoseconds) if nanoseconds >= SHORTEST => {
                Some(make::text(go::duration(nanoseconds), node.place))
            }
            Ok(_) => {
                self.mistake(node.place, "`fixedDelay` is at least 1ms", help);
                None
            }
            Err(message) => {
                self.mistake(node.place, message, help);
                None
            }
        }
    }

    fn abort(&mut self, node: &Node) -> Option<Node> {
        let mut fields = self.reader.fields(node, "`abort`")?;
        let why = "of what requests are answered with, Squall has statuses of HTTP";
        for name in ["grpcStatus", "http2Error"] {
            self.refuse(
                &mut fields,
                name,
                why,
                "say `httpStatus`, such as 503, which clients of gRPC see as UNAVAILABLE",
            );
        }
        let status = self.required(&mut fields, "httpStatus", "what requests are answered with");
        let share = self.share(&mut fields, node.place);
        fields.finish(&mut self.reader);
        let status = status?;
        if !matches!(status.content, Content::Integer(number) if STATUSES.contains(&number)) {
            self.mistake(status.place, "`httpStatus` is a whole number from 200 to 599", "such as 503");
            return None;
        }
        Some(make::map(vec![entry("status", status.clone()), entry("probability", share?)], node.place))
    }

    /// The share of requests that are struck: of none where nothing is said, which is a mistake here.
    fn share(&mut self, fields: &mut Fields<'_>, place: Place) -> Option<Node> {
        let help = "such as `percentage: {value: 10}`";
        let (precise, old) = (fields.get("percentage"), fields.get("percent"));
        let value = match (precise, old) {
            (Some(node), _) => {
                let mut fields = self.reader.fields(node, "`percentage`")?;
                let value =
                    self.required(&mut fields, "value", "how many percent of the requests are struck");
                fields.finish(&mut self.reader);
                value?
            }
            (None, Some(node)) => node,
            (None, None) => {
                self.mistake(place, "`percentage` is missing: without it Istio strikes no request", help);
                return None;
            }
        };
        let number = match value.content {
            Content::Integer(number) => Some(number as f64),
            Content::Float(number) if precise.is_some() => Some(number),
            _ => None,
        };
        let found = number.filter(|number| *number > 0.0 && *number <= 100.0);
        if found.is_none() {
            let message = "expected a number of percent, more than 0 and at most 100";
            self.mistake(value.place, message, help);
        }
        found.map(|number| make::percent(number, value.place))
    }

    /// Refuses an entry, with the reason.
    fn refuse(&mut self, fields: &mut Fields<'_>, name: &str, why: &str, remedy: &str) {
        if let Some(node) = fields.get(name) {
            let error = ReadError::at(node.place, format!("`{name}`: {why}")).label("cannot be honoured");
            self.reader.error(error.help(remedy));
        }
    }
}

/// The fault that these come to, and what it takes. Several parts are one fault, which can make the object with all of them.
fn strike(faults: Vec<RouteFaults>, place: Place) -> (&'static str, Node) {
    if let [RouteFaults { route, parts }] = faults.as_slice()
        && let [(part, with)] = parts.as_slice()
        && let Content::Map(entries) = &with.content
    {
        let fault = if *part == "delay" { "istio.delay" } else { "istio.abort" };
        let entries = entries.iter().cloned().chain([entry("route", route.clone())]);
        return (fault, make::map(entries.collect(), with.place));
    }
    let of_route = |RouteFaults { route, parts }: RouteFaults| {
        let place = route.place;
        let parts = parts.into_iter().map(|(part, with)| entry(part, with));
        make::map([entry("route", route)].into_iter().chain(parts).collect(), place)
    };
    let routes = make::list(faults.into_iter().map(of_route).collect(), place);
    ("istio.faults", make::map(vec![entry("routes", routes)], place))
}
