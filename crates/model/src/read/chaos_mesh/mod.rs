//! Manifests of Chaos Mesh (`chaos-mesh.org/v1alpha1`, and the form of its first version) as experiments.
//!
//! Each kind is a file that reads a specification to the end, with every key known, and says which faults it comes to. What
//! Chaos Mesh would pass over in silence, and what Squall does otherwise, is a note. See `docs/chaos-mesh.md`.

mod aws;
mod dns;
mod expression;
mod form;
mod http;
mod io;
mod layout;
mod network;
mod pod;
mod refused;
mod schedule;
mod selector;
mod status_check;
mod stress;
mod task;
mod time;
mod workflow;

use super::dialect::{ADDED_BY_CLUSTERS, Dialect, Translated, Translation, Wanted};
use super::experiment::{API_VERSION, KIND};
use super::fields::{Fields, Reader};
use super::make::{Entries, entry};
use super::{ReadError, go, make, nearest};
use crate::catalog::Catalog;
use crate::experiment::DEFAULT_LASTS;
use crate::node::{Content, Node, Place};
use form::{Span, Translator};

/// The API whose objects these are.
const GROUP: &str = "chaos-mesh.org";
/// The version of it that is read.
const VERSION: &str = "chaos-mesh.org/v1alpha1";
/// What says that pods are chosen more than once.
const FOLLOW: &str = "squall.dev/follow";

/// See the module.
pub(super) const DIALECT: Dialect = Dialect { name: "chaos-mesh", is_spoken, translate };

/// The kinds that are faults.
const KINDS: [Kind; 8] =
    [pod::KIND, network::KIND, stress::KIND, io::KIND, time::KIND, dns::KIND, http::KIND, aws::KIND];

/// A kind of manifest that comes to faults.
struct Kind {
    /// What `kind` says.
    name: &'static str,
    /// What a specification is called within a schedule or workflow.
    embedded: &'static str,
    /// Reads what is its own in a specification.
    read: fn(&mut Translator<'_>, &mut Fields<'_>) -> Option<Chaos>,
}

/// What a specification comes to: faults that are active at the same time.
#[derive(Debug, Clone)]
struct Chaos {
    strikes: Vec<Strike>,
    /// Whether they happen once and are over, as a kill is.
    once: bool,
    /// How long they last, where it is said.
    lasts: Option<Span>,
}

/// One fault.
#[derive(Debug, Clone)]
struct Strike {
    fault: &'static str,
    /// What asked for it.
    place: Place,
    target: Node,
    with: Entries,
}

/// What goes into an experiment beside its name.
#[derive(Debug, Default)]
struct Parts {
    metrics: Entries,
    steady_state: Vec<Node>,
    method: Vec<Node>,
    guard: Vec<Node>,
    hypothesis_holds: Vec<Node>,
    schedule: Option<Node>,
}

impl Strike {
    /// As an entry of a method, so far as it is not about time.
    fn entries(&self) -> Entries {
        let mut entries =
            vec![entry("fault", make::text(self.fault, self.place)), entry("target", self.target.clone())];
        if !self.with.is_empty() {
            entries.push(entry("with", make::map(self.with.clone(), self.place)));
        }
        entries
    }
}

impl Chaos {
    /// As one entry of a method.
    fn entry(&self, place: Place) -> Node {
        let lasts = self.lasts.map(|span| entry("for", span.node()));
        if let [strike] = self.strikes.as_slice() {
            return make::map(strike.entries().into_iter().chain(lasts).collect(), place);
        }
        let strikes = self.strikes.iter().map(|strike| make::map(strike.entries(), strike.place)).collect();
        let together = entry("together", make::list(strikes, place));
        make::map([together].into_iter().chain(lasts).collect(), place)
    }
}

fn is_spoken(root: &Node) -> bool {
    let version = root.get("apiVersion").map(|node| &node.content);
    matches!(version, Some(Content::Text(version)) if version.split('/').next().is_some_and(|group| group.ends_with(GROUP)))
}

fn translate(root: &Node, text: &str, catalog: &dyn Catalog) -> Translated {
    let reader = Reader { text, catalog, secrets: &[], errors: Vec::new() };
    let mut translator = Translator {
        reader,
        notes: Vec::new(),
        endless: false,
        namespace: None,
        follow: None,
        wanted: Vec::new(),
    };
    let experiment = translator.manifest(root);
    let Translator { reader, notes, endless, wanted, .. } = translator;
    match experiment {
        Some(mut root) if reader.errors.is_empty() => {
            make::escape(&mut root);
            Ok(Translation { root, notes, endless, wanted })
        }
        // Nothing is read and nothing said: some reader forgot to say what is wrong.
        None if reader.errors.is_empty() => {
            Err(vec![ReadError::at(root.place, "this manifest says nothing that could be carried out")])
        }
        _ => Err(reader.errors),
    }
}

impl Translator<'_> {
    fn manifest(&mut self, root: &Node) -> Option<Node> {
        let mut fields = self.reader.fields(root, "a manifest")?;
        let version = fields.get("apiVersion");
        if let Some(node) = version.filter(|node| node.content != Content::Text(VERSION.to_owned())) {
            let error = ReadError::at(node.place, format!("of Chaos Mesh, `apiVersion: {VERSION}` is read"));
            self.error(error.label("another version"));
        }
        let kind = self.required(&mut fields, "kind", "what the manifest describes")?;
        let name = self.text(kind)?;
        if let Some(refusal) = refused::refusal(&name) {
            self.error(refusal.error(&name, kind.place));
            return None;
        }
        let title = self.metadata(&mut fields);
        let spec = self.required(&mut fields, "spec", "what is to be done");
        // What a cluster wrote down about it is no part of the experiment.
        fields.get("status");
        let parts = self.parts(&name, kind.place, spec);
        fields.finish(&mut self.reader);
        Some(experiment(title?, parts?, root.place))
    }

    /// What a specification comes to, by its kind.
    fn parts(&mut self, name: &str, place: Place, spec: Option<&Node>) -> Option<Parts> {
        let current = if name == "IoChaos" { "IOChaos" } else { name };
        match current {
            "Schedule" => self.schedule(spec?),
            "Workflow" => self.workflow(spec?),
            "StatusCheck" => self.lone_status_check(spec?),
            _ => self.lone_of_kind(current, place, spec),
        }
    }

    fn lone_of_kind(&mut self, name: &str, place: Place, spec: Option<&Node>) -> Option<Parts> {
        if let Some(kind) = KINDS.iter().find(|kind| kind.name == name) {
            return self.lone(kind, spec?);
        }
        let known = KINDS.iter().map(|kind| kind.name).chain(["Schedule", "Workflow", "StatusCheck"]);
        let known: Vec<&str> = known.collect();
        let error = ReadError::at(place, format!("unknown kind `{name}` of Chaos Mesh"));
        self.error(error.label("not known here").help(nearest::advice(name, &known)));
        None
    }

    /// The name, and in passing the namespace.
    fn metadata(&mut self, fields: &mut Fields<'_>) -> Option<Node> {
        let node = self.required(fields, "metadata", "the name of the experiment")?;
        let mut fields = self.reader.fields(node, "`metadata`")?;
        self.namespace = self.optional_text(&mut fields, "namespace");
        let name = self.optional_text(&mut fields, "name");
        let generated = self.optional_text(&mut fields, "generateName").map(|node| match node.content {
            Content::Text(text) => make::text(text.trim_end_matches('-'), node.place),
            _ => node,
        });
        fields.get("labels");
        self.annotations(&mut fields);
        // What a cluster adds.
        for key in ADDED_BY_CLUSTERS {
            fields.get(key);
        }
        let place = fields.key_place("name");
        fields.finish(&mut self.reader);
        let found = name.or(generated);
        if found.is_none() {
            self.error(ReadError::at(place, "`name` is missing: what the experiment is called"));
        }
        found
    }

    fn annotations(&mut self, fields: &mut Fields<'_>) {
        let Some(node) = fields.get("annotations") else { return };
        let says =
            |key: &str| node.get(key).is_some_and(|node| node.content == Content::Text("true".to_owned()));
        if let Some(follow) = node.get(FOLLOW) {
            self.followed(follow);
        }
        if says("experiment.chaos-mesh.org/pause") {
            self.note("the annotation `experiment.chaos-mesh.org/pause` holds this back in Chaos Mesh; `squall run` carries it out");
        }
    }

    /// Whether pods that begin to match are struck too, as Chaos Mesh never does.
    fn followed(&mut self, node: &Node) {
        match &node.content {
            Content::Text(text) if text == "true" => {
                self.follow = Some(node.place);
                self.note("pods that begin to match while a fault lasts are struck too, as the annotation says; Chaos Mesh chooses once");
            }
            Content::Text(text) if text == "false" => {}
            _ => {
                let message = format!("the annotation `{FOLLOW}` is `\"true\"` or `\"false\"`");
                self.error(ReadError::at(node.place, message).help("without it, pods are chosen once"));
            }
        }
    }

    /// A manifest that is one fault, or some at once.
    fn lone(&mut self, kind: &Kind, spec: &Node) -> Option<Parts> {
        let mut fields = self.reader.fields(spec, "`spec`")?;
        let chaos = self.chaos(kind, &mut fields);
        let scheduler = fields.get("scheduler").map(|node| self.scheduler(node));
        fields.finish(&mut self.reader);
        let chaos = chaos?;
        self.about_duration(&chaos);
        self.endless = !chaos.once && chaos.lasts.is_none() && scheduler.is_none();
        let schedule = match scheduler {
            Some(scheduler) => Some(scheduler?),
            None => None,
        };
        Some(Parts { method: vec![chaos.entry(spec.place)], schedule, ..Parts::default() })
    }

    /// A specification within a schedule or a workflow.
    fn embedded(&mut self, kind: &Kind, spec: &Node) -> Option<Chaos> {
        let mut fields = self.reader.fields(spec, &format!("`{}`", kind.embedded))?;
        let chaos = self.chaos(kind, &mut fields);
        fields.finish(&mut self.reader);
        chaos
    }

    /// What a specification says, but for what only a manifest of its own may.
    fn chaos(&mut self, kind: &Kind, fields: &mut Fields<'_>) -> Option<Chaos> {
        let before = self.reader.errors.len();
        let chaos = (kind.read)(self, fields);
        let lasts = self.optional_span(fields, "duration");
        let why = "Squall strikes in the cluster of its kubeconfig";
        let remedy = "leave it away, and name that cluster by its kubeconfig: `KUBECONFIG=… squall run …`";
        self.refuse(fields, "remoteCluster", why, remedy);
        let mut chaos = chaos.filter(|_| self.reader.errors.len() == before)?;
        chaos.strikes.iter_mut().for_each(|strike| self.follow_pods(&mut strike.target));
        let shorter = [lasts, chaos.lasts].into_iter().flatten().min_by_key(|span| span.nanoseconds);
        let who = |strike: &Strike| Wanted { fault: strike.fault, place: strike.place, who: kind.name };
        self.wanted.extend(chaos.strikes.iter().map(who));
        Some(Chaos { lasts: shorter, ..chaos })
    }

    fn follow_pods(&self, target: &mut Node) {
        let Some(place) = self.follow.filter(|_| target.get("pod").is_some()) else { return };
        if let Content::Map(entries) = &mut target.content {
            entries.push(entry("follow", Node { content: Content::Bool(true), place }));
        }
    }

    /// What is to be known of how long a fault lasts.
    fn about_duration(&mut self, chaos: &Chaos) {
        self.note(match (chaos.once, chaos.lasts) {
            (true, Some(_)) => {
                "this happens once; `duration` is how long Squall goes on watching (Chaos Mesh passes over it)".to_owned()
            }
            (true, None) => format!("this happens once; Squall goes on watching for {DEFAULT_LASTS}, or as long as `duration` says"),
            (false, None) => format!(
                "no `duration` is given: Chaos Mesh leaves the fault until somebody deletes the object, Squall takes it back after \
                 {DEFAULT_LASTS}"
            ),
            (false, Some(_)) => return,
        });
    }
}

/// The tree of an experiment.
fn experiment(name: Node, parts: Parts, place: Place) -> Node {
    let mut entries = vec![
        entry("apiVersion", make::text(API_VERSION, place)),
        entry("kind", make::text(KIND, place)),
        entry("name", name),
    ];
    entries.extend(parts.schedule.map(|schedule| entry("schedule", schedule)));
    if !parts.metrics.is_empty() {
        entries.push(entry("metrics", make::map(parts.metrics, place)));
    }
    let mut list = |name: &str, items: Vec<Node>| {
        if !items.is_empty() {
            entries.push(entry(name, make::list(items, place)));
        }
    };
    list("steady_state", parts.steady_state);
    list("method", parts.method);
    list("guard", parts.guard);
    list("hypothesis_holds", parts.hypothesis_holds);
    make::map(entries, place)
}
