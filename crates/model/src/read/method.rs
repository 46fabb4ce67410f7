//! The method of an experiment: faults one after another or together, waits, ramps and repetitions.
//!
//! Ramps and repetitions are unrolled here. Each stage of a ramp lasts as long as `for` says.

use super::fields::{Fields, Reader};
use super::names::Asked;
use super::{ReadError, nearest};
use crate::cluster::{ObjectSelector, Operator, PodSelector};
use crate::condition::Condition;
use crate::experiment::{Action, Ask, DEFAULT_ANSWER, DEFAULT_LASTS, ProbeCall, Strike, Wait};
use crate::facts::Scope;
use crate::magnitude::Magnitude;
use crate::node::{Content, Key, Node, Place};
use crate::target::{Mode, Round, Selection, Target};
use crate::units::Duration;

/// The kinds of target that this version can strike.
pub(super) const TARGETS: [&str; 14] = [
    "process",
    "container",
    "service",
    "interface",
    "netns",
    "path",
    "database",
    "instances",
    "template",
    "pod",
    "node",
    "workload",
    "virtual_service",
    "host",
];
/// Kinds of target that experiments may name elsewhere, and this version cannot strike.
const OTHER_TARGETS: [&str; 1] = ["proxy"];
/// How to choose among several targets, beside the target or within it.
const CHOICES: [&str; 6] = ["mode", "value", "round", "optional", "follow", "on"];
/// Kinds of workload that have replicas.
const WORKLOADS: [&str; 3] = ["Deployment", "StatefulSet", "ReplicaSet"];
/// How many strikes a method may come to, with ramps and repetitions unrolled.
const MAX_STRIKES: usize = 1000;
/// How many stages a ramp may have.
pub(super) const MAX_STEPS: u64 = 100;

/// A strike, and the place of its duration.
struct Timed {
    strike: Strike,
    lasts_place: Place,
}

/// A parameter that grows.
struct Growth {
    key: Key,
    place: Place,
    from: Magnitude,
    to: Magnitude,
}

impl Reader<'_> {
    /// All entries of the method. `limit` is the blast radius' duration.
    pub(super) fn method(&mut self, node: &Node, limit: Option<Duration>) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut strikes = 0_usize;
        let mut active = std::time::Duration::ZERO;
        let mut asked = Asked::default();
        for entry in self.list(node, "`method`") {
            for group in self.entry(entry, &mut asked) {
                let timed = match group {
                    Group::Strikes(timed) => timed,
                    Group::Other(action) => {
                        actions.push(action);
                        continue;
                    }
                };
                strikes += timed.len();
                if strikes > MAX_STRIKES {
                    let message = format!("the method comes to more than {MAX_STRIKES} strikes");
                    self.error(ReadError::at(entry.place, message).label("here the limit is passed"));
                    return actions;
                }
                let before = active;
                active = active.saturating_add(span(&timed));
                self.limit(&timed, before, active, limit);
                actions.push(Action::Strike(timed.into_iter().map(|timed| timed.strike).collect()));
            }
        }
        actions
    }

    /// Refuses what would be active for longer than the blast radius allows.
    fn limit(
        &mut self,
        timed: &[Timed],
        before: std::time::Duration,
        active: std::time::Duration,
        limit: Option<Duration>,
    ) {
        let Some(limit) = limit.filter(|limit| before <= limit.0 && active > limit.0) else { return };
        let Some(longest) =
            timed.iter().max_by_key(|timed| timed.strike.after.0.saturating_add(timed.strike.lasts.0))
        else {
            return;
        };
        let message = if before.is_zero() {
            format!("this lasts {}, and `blast_radius` allows faults for {limit}", Duration(active))
        } else {
            let active = Duration(active);
            format!("with this, faults last {active} in all, and `blast_radius` allows {limit}")
        };
        self.error(
            ReadError::at(longest.lasts_place, message)
                .label("longer than the limit")
                .help("shorten `for:`, or raise `blast_radius: {duration: …}`"),
        );
    }

    /// One entry: a wait, a question, or one or more groups of strikes.
    fn entry(&mut self, node: &Node, asked: &mut Asked) -> Vec<Group> {
        let Some(mut fields) = self.fields(node, "an entry of `method`") else { return Vec::new() };
        let kinds = ["fault", "together", "wait", "ask"];
        let Content::Map(entries) = &node.content else { return Vec::new() };
        let found: Vec<&Key> =
            entries.iter().map(|(key, _)| key).filter(|key| kinds.contains(&key.name.as_str())).collect();
        match found.as_slice() {
            [] => {
                let (place, help) = match entries
                    .iter()
                    .find_map(|(key, _)| nearest::nearest(&key.name, kinds).map(|near| (key, near)))
                {
                    Some((key, near)) => (key.place, format!("did you mean `{near}`?")),
                    None => (
                        node.place,
                        "such as `- fault: network.latency` with `target:` and `for:`".to_owned(),
                    ),
                };
                let message = "an entry of `method` says `fault`, `together`, `wait` or `ask`";
                self.error(ReadError::at(place, message).label("none of these").help(help));
                Vec::new()
            }
            [_, second, ..] => {
                let message = format!("`{}` cannot stand beside `{}`", second.name, found[0].name);
                self.error(ReadError::at(second.place, message).help("make it an entry of its own: `- …`"));
                Vec::new()
            }
            [kind] => {
                let when = fields.get("when").and_then(|node| self.when(node, asked));
                let groups = match kind.name.as_str() {
                    "wait" => {
                        let lasts = fields.get("wait").and_then(|node| self.duration(node));
                        fields.finish(self);
                        let wait = lasts.map(|lasts| Action::Wait(Wait { lasts, when: when.clone() }));
                        wait.map(Group::Other).into_iter().collect()
                    }
                    "ask" => {
                        let ask = self.ask(fields, when.clone(), asked);
                        ask.map(|ask| Group::Other(Action::Ask(ask))).into_iter().collect()
                    }
                    "together" => self.together(fields, asked),
                    _ => self.single(node, fields),
                };
                groups.into_iter().map(|group| group.only(when.as_ref())).collect()
            }
        }
    }

    /// A question, and what its answer is called.
    fn ask(&mut self, mut fields: Fields<'_>, when: Option<Condition>, asked: &mut Asked) -> Option<Ask> {
        let question = fields.get("ask");
        let within = self.positive(fields.get("within"), DEFAULT_ANSWER);
        let place = fields.key_place("ask");
        let called = fields.get("as");
        fields.finish(self);
        let name = if let Some(node) = called {
            self.value(node).map(|name| Key { name, place: node.place })
        } else {
            let error = ReadError::at(place, "`as` is missing: what the answer is called");
            self.error(
                error.help("such as `as: decision`; `when: decision.exit_code == 0` speaks of it then"),
            );
            None
        };
        let probe = question.and_then(|node| self.question(node));
        let name = name.filter(|name| self.metric_name(name, false))?;
        let (kind, probe) = probe?;
        if !asked.add(&name.name, kind) {
            let error = ReadError::at(name.place, format!("a second answer is called `{}`", name.name));
            self.error(error.label("taken").help("choose another name"));
            return None;
        }
        Some(Ask { name: name.name, probe, within: within?, when })
    }

    /// The probe that is asked, by its name in the catalog.
    fn question(&mut self, node: &Node) -> Option<(&'static str, ProbeCall)> {
        let kinds: Vec<&'static str> = self.catalog.probes().iter().map(|probe| probe.name()).collect();
        let fields = self.fields(node, "`ask`")?;
        let before = self.errors.len();
        let Some((kind, parameters)) = fields.kind(&kinds, "probe", self) else {
            if self.errors.len() == before {
                let error = ReadError::at(node.place, "`ask` says which probe is asked");
                self.error(error.help(format!("one of: {}", nearest::list(&kinds))));
            }
            return None;
        };
        let probe = self.catalog.probe(&kind.name)?;
        probe.build(parameters).map_err(|error| self.error(error)).ok()?;
        Some((probe.name(), ProbeCall { kind: kind.name.clone(), parameters: parameters.clone() }))
    }

    fn together(&mut self, mut fields: Fields<'_>, asked: &Asked) -> Vec<Group> {
        let members = fields.get("together");
        let lasts = fields.get("for").and_then(|node| self.lasts(node));
        let times = self.repeat(&mut fields);
        let place = fields.key_place("together");
        fields.finish(self);
        let members = members.map_or(&[][..], |node| self.list(node, "`together`"));
        if members.is_empty() {
            self.error(ReadError::at(place, "`together` is empty").help("list two or more faults under it"));
        }
        let mut group = Vec::new();
        for member in members {
            let Some(mut fields) = self.fields(member, "an entry of `together`") else { continue };
            for other in ["wait", "together", "ask", "ramp", "repeat"] {
                if member.get(other).is_some() {
                    let help = match other {
                        "wait" => "`after: 10s` beside a fault lets it begin later than the others",
                        "repeat" => "`repeat` stands beside `together` and repeats all of it",
                        _ => "make it an entry of `method`",
                    };
                    let message = format!("`{other}` cannot stand within `together`");
                    self.error(ReadError::at(fields.key_place(other), message).help(help));
                    fields.get(other);
                }
            }
            if ["wait", "together", "ask"].iter().any(|other| member.get(other).is_some()) {
                continue;
            }
            let after = fields.get("after").and_then(|node| self.duration(node)).unwrap_or_default();
            let when = fields.get("when").and_then(|node| self.when(node, asked));
            let Some(timed) = self.strike(member, &mut fields, lasts) else {
                fields.finish(self);
                continue;
            };
            fields.finish(self);
            group.push(Timed { strike: Strike { after, when, ..timed.strike }, ..timed });
        }
        if group.is_empty() {
            return Vec::new();
        }
        (1..=times)
            .map(|turn| {
                let mark = |timed: &Timed| {
                    let stage = (times > 1).then(|| format!("{turn} of {times}"));
                    Timed { strike: Strike { stage, ..timed.strike.clone() }, ..*timed }
                };
                Group::Strikes(group.iter().map(mark).collect())
            })
            .collect()
    }

    fn single(&mut self, node: &Node, mut fields: Fields<'_>) -> Vec<Group> {
        let times = self.repeat(&mut fields);
        let ramp = fields.get("ramp");
        if node.get("after").is_some() {
            let message = "`after` is for faults within `together`";
            let error =
                ReadError::at(fields.key_place("after"), message).help("put `- wait: …` before this entry");
            self.error(error);
            fields.get("after");
        }
        let timed = match ramp {
            None => self.strike(node, &mut fields, None).map(|timed| vec![timed]),
            Some(ramp) => self.ramp(node, &mut fields, ramp),
        };
        fields.finish(self);
        let Some(stages) = timed else { return Vec::new() };
        let mut groups = Vec::new();
        for turn in 1..=times {
            for timed in &stages {
                let turn = (times > 1).then(|| format!("{turn} of {times}"));
                let stage = match (timed.strike.stage.clone(), turn) {
                    (Some(stage), Some(turn)) => Some(format!("{stage}, {turn}")),
                    (stage, turn) => stage.or(turn),
                };
                groups.push(Group::Strikes(vec![Timed {
                    strike: Strike { stage, ..timed.strike.clone() },
                    ..*timed
                }]));
                if groups.len() > MAX_STRIKES {
                    return groups;
                }
            }
        }
        groups
    }

    fn repeat(&mut self, fields: &mut Fields<'_>) -> usize {
        let Some(node) = fields.get("repeat") else { return 1 };
        match node.content {
            Content::Integer(times) if (1..=MAX_STRIKES as u64).contains(&times.cast_unsigned()) => {
                times as usize
            }
            _ => {
                let message = format!("`repeat` is a whole number between 1 and {MAX_STRIKES}");
                self.error(ReadError::at(node.place, message));
                1
            }
        }
    }

    fn lasts(&mut self, node: &Node) -> Option<Duration> {
        let lasts: Duration = self.value(node)?;
        if lasts == Duration::default() {
            self.error(
                ReadError::at(node.place, "a fault must last for some time").label("this is no time at all"),
            );
            return None;
        }
        Some(lasts)
    }

    /// One fault with its target, parameters and duration.
    fn strike(&mut self, node: &Node, fields: &mut Fields<'_>, lasts: Option<Duration>) -> Option<Timed> {
        let strike = self.strike_without_parameters(node, fields, lasts)?;
        let with = fields.get("with").cloned().unwrap_or_else(|| no_parameters(fields.key_place("fault")));
        self.check(&strike.strike.fault, &with)?;
        Some(Timed { strike: Strike { with, ..strike.strike }, ..strike })
    }

    /// Asks the fault whether it takes these parameters.
    fn check(&mut self, fault: &str, with: &Node) -> Option<()> {
        let fault = self.catalog.fault(fault)?;
        fault.check(with).map_err(|error| self.error(error)).ok()
    }

    fn strike_without_parameters(
        &mut self,
        node: &Node,
        fields: &mut Fields<'_>,
        lasts: Option<Duration>,
    ) -> Option<Timed> {
        let name = fields.get("fault");
        let target = fields.get("target");
        let lasts_node = fields.get("for");
        let choices = CHOICES.map(|choice| fields.get(choice));
        let lasts_place = lasts_node.map_or(fields.key_place("fault"), |node| node.place);
        let lasts = match lasts_node {
            Some(node) => self.lasts(node),
            None => Some(lasts.unwrap_or(DEFAULT_LASTS)),
        };
        let fault = if let Some(node) = name {
            self.fault_name(node)
        } else {
            self.error(ReadError::at(node.place, "`fault` is missing").help("`squall faults` lists them"));
            None
        };
        let selection = if let Some(target) = target {
            self.selection(target, choices)
        } else {
            let message = "`target` is missing: nothing is struck that was not named";
            let error = ReadError::at(fields.key_place("fault"), message)
                .label("on what?")
                .help("such as `target: {process: {name: postgres}}`, `{interface: eth0}` or `{host: true}`");
            self.error(error);
            None
        };
        if let (Some(fault), Some(selection), Some(target)) = (&fault, &selection, target) {
            self.fits(fault, selection, target);
        }
        // Parameters are checked also where the rest is wrong, so that all mistakes are told at once.
        let (Some(fault), Some(selection), Some(lasts)) = (fault.clone(), selection, lasts) else {
            if let (Some(fault), Some(with), None) = (fault, fields.get("with"), node.get("ramp")) {
                self.check(&fault, with);
            }
            return None;
        };
        let strike = Strike {
            fault,
            selection,
            with: no_parameters(node.place),
            lasts,
            after: Duration::default(),
            place: node.place,
            stage: None,
            when: None,
        };
        Some(Timed { strike, lasts_place })
    }

    fn fault_name(&mut self, node: &Node) -> Option<String> {
        let name: String = self.value(node)?;
        if self.catalog.fault(&name).is_some() {
            return Some(name);
        }
        let known: Vec<&str> = self.catalog.faults().iter().map(|fault| fault.name()).collect();
        let error = ReadError::at(node.place, format!("unknown fault `{name}`"))
            .label("not known here")
            .help(nearest::advice(&name, &known));
        self.error(error);
        None
    }

    /// Whether the fault can act on such a target at all.
    fn fits(&mut self, fault: &str, selection: &Selection, node: &Node) {
        let Some(scope) = self.catalog.fault(fault).map(crate::fault::AnyFault::scope) else { return };
        let has_processes = matches!(
            selection.target,
            Target::Process(_) | Target::Container(_) | Target::Service(_) | Target::Pod(_)
        );
        let (can, words) = match scope {
            Scope::Process => (
                has_processes,
                "processes, containers, services or pods: `{process: {name: …}}`, `{container: {name: …}}`, `{service: …}`, \
                 `{pod: {labels: {app: …}}}`",
            ),
            Scope::Network => (
                has_processes
                    || matches!(selection.target, Target::Netns(_) | Target::Interface(_) | Target::Host(_)),
                "networks: `{netns: …}`, `{interface: eth0}`, `{host: true}`, or processes, containers, services or pods",
            ),
            Scope::Path => (matches!(selection.target, Target::Path(_)), "a directory: `{path: /data}`"),
            Scope::Database => (
                matches!(selection.target, Target::Database(_)),
                "a database: `{database: postgres://user@host:5432/database}`",
            ),
            Scope::Instance => (
                matches!(selection.target, Target::Instances(_)),
                "instances in a cloud: `{instances: {tag: app=shop}}`, `{instances: {group: shop}}`, `{instances: {id: i-…}}`",
            ),
            Scope::Template => (
                matches!(selection.target, Target::Template(_)),
                "a template of a cloud's own experiments: `{template: {id: EXT…}}`",
            ),
            Scope::Resource => (
                has_processes || matches!(selection.target, Target::Host(_)),
                "the host or control groups: `{host: true}`, `{process: {name: …}}`, `{container: {name: …}}`, \
                 `{service: …}` or `{pod: {labels: {app: …}}}`",
            ),
            Scope::Pod => (
                matches!(selection.target, Target::Pod(_)),
                "pods of a cluster: `{pod: {namespace: shop, labels: {app: payment}}}`",
            ),
            Scope::Node => (
                matches!(selection.target, Target::Node(_)),
                "nodes of a cluster: `{node: {name: worker-1}}`, `{node: {labels: {pool: spot}}}`",
            ),
            Scope::Workload => (
                matches!(selection.target, Target::Workload(_)),
                "workloads of a cluster: `{workload: {namespace: shop, name: payment}}`",
            ),
            Scope::VirtualService => (
                matches!(selection.target, Target::VirtualService(_)),
                "virtual services of Istio: `{virtual_service: {namespace: shop, name: payment}}`",
            ),
        };
        if let Target::Database(url) = &selection.target
            && let kind = url.server.kind
            && can
            && !fault.starts_with(&format!("{}.", kind.group()))
        {
            let message = format!("`{fault}` does not act on {}", kind.name());
            self.error(ReadError::at(node.place, message).label(format!("an address of {}", kind.name())));
        }
        if !can {
            let message = format!("`{fault}` acts on {words}");
            let label = format!("not on {}", selection.target);
            self.error(ReadError::at(node.place, message).label(label));
        }
    }

    fn selection(&mut self, node: &Node, beside: [Option<&Node>; 6]) -> Option<Selection> {
        let Content::Map(entries) = &node.content else {
            let message = format!("expected a target, found {}", node.kind());
            let help = "such as `{process: {name: postgres}}`, `{container: {name: web}}`, `{interface: eth0}`, \
                        `{netns: shop}`, `{path: /data}` or `{host: true}`";
            self.error(ReadError::at(node.place, message).label("expected a map").help(help));
            return None;
        };
        let chosen = |index: usize| {
            node.get(CHOICES[index]).or(beside[index]).filter(|node| node.content != Content::Null)
        };
        let [mode, value, round, optional, follow, on] = [0, 1, 2, 3, 4, 5].map(chosen);
        let mut is_right = true;
        if let Some(on) = on {
            self.error(
                ReadError::at(on.place, "this version strikes only the host that it runs on")
                    .label("another host")
                    .help("run `squall` there, and leave `on:` away"),
            );
            is_right = false;
        }
        let kinds: Vec<_> =
            entries.iter().filter(|(key, _)| !CHOICES.contains(&key.name.as_str())).cloned().collect();
        if let Some((key, _)) = kinds.iter().find(|(key, _)| OTHER_TARGETS.contains(&key.name.as_str())) {
            self.error(
                ReadError::at(
                    key.place,
                    format!("this version cannot strike a target of the kind `{}`", key.name),
                )
                .label("not in this version")
                .help(format!("it can: {}", nearest::list(&TARGETS))),
            );
            return None;
        }
        // The password of a database's address is kept apart and never shown.
        let is_database = kinds.iter().all(|(key, _)| key.name == "database");
        if let Some(secret) = secret_within(self, node).filter(|_| !is_database) {
            self.error(
                ReadError::at(
                    secret.place,
                    "a target cannot hold a secret: plans, undo logs and reports name it",
                )
                .label("holds a secret")
                .help("name the target by something else, or declare the variable without `secret: true`"),
            );
            return None;
        }
        let target: Option<Target> = self.value(&Node { content: Content::Map(kinds), place: node.place });
        let target = target.filter(|target| self.target_makes_sense(target, node));
        if let (Some(shown), Some(secret)) =
            (target.as_ref().map(Target::to_string), secret_within(self, node))
            && self.secrets.iter().any(|hidden| shown.contains(hidden))
        {
            let error = ReadError::at(secret.place, "only the password of an address can be secret");
            self.error(
                error
                    .label("holds a secret elsewhere")
                    .help("plans, undo logs and reports name the rest of it"),
            );
            return None;
        }
        if let (Some(Target::Instances(selector)), None) = (&target, mode)
            && selector.id.is_none()
        {
            let error = ReadError::at(node.place, "how many of these instances?");
            self.error(error.help(
                "`mode: one`, `mode: fixed` or `fixed-percent` with a `value`, or `mode: all`; in a cloud nothing is assumed",
            ));
            return None;
        }
        let optional = optional.and_then(|node| self.value(node)).unwrap_or(false);
        let follow = self.follow(follow, target.as_ref());
        let mode_and_value = self.mode(mode, value);
        let round = self.round(round, mode_and_value.map(|(mode, _)| mode))?;
        let (target, (mode, value)) = target.zip(mode_and_value)?;
        let follow = follow?;
        is_right.then_some(Selection { target, mode, value, round, optional, follow })
    }

    /// Whether what comes to match is struck too.
    fn follow(&mut self, node: Option<&Node>, target: Option<&Target>) -> Option<bool> {
        let Some(node) = node else { return Some(false) };
        let follows: bool = self.value(node)?;
        let one = target.filter(|target| follows && !target.may_be_followed());
        if let Some(target) = one {
            let error = ReadError::at(node.place, format!("{target} cannot be followed: nothing joins it"));
            self.error(error.label("not for this target").help(
                "`follow` is for processes, containers, services, pods, nodes, workloads and virtual services; leave it away",
            ));
            return None;
        }
        let is_made =
            matches!(target, Some(Target::VirtualService(selector)) if follows && selector.make.is_some());
        if is_made {
            let error = ReadError::at(node.place, "what is made where it is not there cannot be followed");
            self.error(error.label("not beside `make`").help("leave one of `follow` and `make` away"));
            return None;
        }
        Some(follows)
    }

    fn round(&mut self, round: Option<&Node>, mode: Option<Mode>) -> Option<Round> {
        let Some(node) = round else { return Some(Round::default()) };
        if mode.is_some_and(|mode| mode != Mode::FixedPercent) {
            let error = ReadError::at(node.place, "`round` without a share that could be rounded");
            self.error(error.help("`round` goes with `mode: fixed-percent`"));
            return None;
        }
        self.value(node)
    }

    fn target_makes_sense(&mut self, target: &Target, node: &Node) -> bool {
        let inner = |name: &str| node.get(name).map_or(node.place, |node| node.place);
        let wrong = match target {
            Target::Process(selector) => {
                let place = inner("process");
                let texts = [&selector.name, &selector.cgroup, &selector.cmdline];
                if selector.is_empty() {
                    let error = ReadError::at(place, "this would match every process")
                        .help("give at least one of `name`, `pid`, `port`, `cgroup`, `cmdline`");
                    Some(error)
                } else if texts.into_iter().flatten().any(|text| text.trim().is_empty()) {
                    Some(ReadError::at(place, "an empty text would match every process"))
                } else if selector.pid == Some(0) || selector.port == Some(0) {
                    Some(ReadError::at(place, "no process has the number or port 0"))
                } else {
                    None
                }
            }
            Target::Container(selector) => {
                let place = inner("container");
                let texts = [&selector.name, &selector.id, &selector.label, &selector.image];
                let is_number = |id: &String| {
                    (12..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
                };
                if selector.is_empty() {
                    let error = ReadError::at(place, "this would match every container")
                        .help("give at least one of `name`, `id`, `label`, `image`");
                    Some(error)
                } else if texts.into_iter().flatten().any(|text| text.trim().trim_matches('*').is_empty()) {
                    Some(ReadError::at(place, "an empty text or a lone `*` would match every container"))
                } else if selector.id.as_ref().is_some_and(|id| !is_number(id)) {
                    Some(ReadError::at(place, "`id` is the container's number: 12 to 64 hexadecimal digits"))
                } else {
                    None
                }
            }
            Target::Service(name)
                if name.trim_matches(['*', '.']).is_empty()
                    || name.len() > 255
                    || name.contains(['/', '\0']) =>
            {
                let error =
                    ReadError::at(inner("service"), format!("{name:?} cannot be the name of a service"));
                Some(error.help("such as `payment.service`, `payment` or `payment@*`"))
            }
            // Names are parts of paths below /sys and /run/netns; the kernel allows interfaces 15 bytes.
            Target::Interface(name) if name.is_empty() || name.len() > 15 || has_no_place_in_a_path(name) => {
                Some(ReadError::at(
                    inner("interface"),
                    format!("{name:?} cannot be the name of an interface"),
                ))
            }
            Target::Netns(name) if name.is_empty() || name.len() > 255 || has_no_place_in_a_path(name) => {
                Some(ReadError::at(
                    inner("netns"),
                    format!("{name:?} cannot be the name of a network namespace"),
                ))
            }
            Target::Path(path)
                if !path.starts_with('/')
                    || path.contains(|letter: char| letter.is_control())
                    || path.split('/').any(|part| part == "..") =>
            {
                let error =
                    ReadError::at(inner("path"), format!("{path:?} cannot be the path of a directory"));
                Some(error.help("such as `/data`: an absolute path without `..`"))
            }
            Target::Instances(selector) => {
                let place = inner("instances");
                let texts = [&selector.id, &selector.group, &selector.zone, &selector.region];
                if selector.is_empty() {
                    let error = ReadError::at(place, "this would match every instance");
                    Some(error.help("give at least one of `id`, `tag`, `group`"))
                } else if texts.into_iter().flatten().any(|text| text.trim().trim_matches('*').is_empty()) {
                    Some(ReadError::at(place, "an empty text or a lone `*` names no instance"))
                } else {
                    None
                }
            }
            Target::Template(selector) if selector.id.trim().is_empty() => Some(ReadError::at(
                inner("template"),
                "`id` is the template's number, such as EXT1a2b3c4d5e6f7",
            )),
            Target::Pod(selector) => pods_make_sense(selector, inner("pod")),
            Target::Node(selector) if selector.name.is_empty() && selector.labels.is_empty() => Some(
                ReadError::at(inner("node"), "this would match every node")
                    .help("give at least one of `name` and `labels`"),
            ),
            Target::Workload(selector) => {
                let known = selector.kind.as_ref().is_none_or(|kind| WORKLOADS.contains(&kind.as_str()));
                if selector.make.is_some() {
                    let error = ReadError::at(inner("workload"), "`make` is for virtual services alone");
                    Some(error.help("make the workload before the run"))
                } else if known {
                    objects_make_sense(selector, inner("workload"), "workload")
                } else {
                    let error = ReadError::at(inner("workload"), "`kind` is none that has replicas");
                    Some(error.help(format!("it is one of: {}", nearest::list(&WORKLOADS))))
                }
            }
            Target::VirtualService(selector) => {
                let place = inner("virtual_service");
                objects_make_sense(selector, place, "virtual service")
                    .or_else(|| made_by_name(selector, place))
            }
            Target::Host(false) => Some(
                ReadError::at(inner("host"), "`host: false` names nothing")
                    .help("write `host: true`, or another target"),
            ),
            Target::Service(_)
            | Target::Interface(_)
            | Target::Netns(_)
            | Target::Path(_)
            | Target::Database(_)
            | Target::Template(_)
            | Target::Node(_)
            | Target::Host(true) => None,
        };
        let makes_sense = wrong.is_none();
        self.errors.extend(wrong);
        makes_sense
    }

    fn mode(&mut self, mode: Option<&Node>, value: Option<&Node>) -> Option<(Mode, Option<f64>)> {
        let chosen: Mode = match mode {
            Some(node) => self.value(node)?,
            None => Mode::All,
        };
        let wanted = match chosen {
            Mode::One | Mode::All => {
                let Some(value) = value else { return Some((chosen, None)) };
                let help = "`value` goes with `mode: fixed`, `fixed-percent` or `random-max-percent`";
                self.error(ReadError::at(value.place, "`value` without a mode that takes one").help(help));
                return None;
            }
            Mode::Fixed => "a whole number of targets, such as 2",
            Mode::FixedPercent | Mode::RandomMaxPercent => "a share of the targets, such as 30%",
        };
        let Some(node) = value else {
            let place = mode.map_or_else(Place::default, |node| node.place);
            self.error(ReadError::at(place, "this mode needs a `value`").help(format!("give {wanted}")));
            return None;
        };
        let number = match &node.content {
            Content::Integer(number) => Some(*number as f64),
            Content::Float(number) => Some(*number),
            Content::Text(text) if chosen != Mode::Fixed => {
                text.trim().strip_suffix('%').and_then(|number| number.trim().parse().ok())
            }
            _ => None,
        };
        let fits = |number: f64| match chosen {
            Mode::Fixed => number >= 1.0 && number.fract() == 0.0 && number <= 1e6,
            _ => number > 0.0 && number <= 100.0,
        };
        if let Some(number) = number.filter(|number| fits(*number)) {
            return Some((chosen, Some(number)));
        }
        self.error(ReadError::at(node.place, format!("`value` is {wanted}")).label("expected this"));
        None
    }

    /// The stages of a ramp: a strike each, with the parameters between their first and last value.
    fn ramp(&mut self, node: &Node, fields: &mut Fields<'_>, ramp: &Node) -> Option<Vec<Timed>> {
        let strike = self.strike_without_parameters(node, fields, None);
        let with = fields.get("with").cloned().unwrap_or_else(|| no_parameters(ramp.place));
        let (parameters, steps) = self.ramp_parameters(ramp, &with)?;
        let base = strike?;
        let mut stages = Vec::new();
        for step in 0..steps {
            let part = step as f64 / (steps - 1) as f64;
            let mut with = with.clone();
            let mut words = Vec::new();
            for Growth { key, place, from, to } in &parameters {
                let value = from.towards(to, part);
                words.push(format!("{} {value}", key.name));
                if let Content::Map(entries) = &mut with.content {
                    entries.push((key.clone(), Node { content: value.content(), place: *place }));
                }
            }
            self.check(&base.strike.fault, &with)?;
            let stage = Some(format!("{} ({} of {steps})", words.join(", "), step + 1));
            stages.push(Timed { strike: Strike { with, stage, ..base.strike.clone() }, ..base });
        }
        Some(stages)
    }

    fn ramp_parameters(&mut self, ramp: &Node, with: &Node) -> Option<(Vec<Growth>, usize)> {
        let Content::Map(entries) = &ramp.content else {
            let error = ReadError::at(ramp.place, format!("`ramp` is a map, and this is {}", ramp.kind()))
                .help("such as `ramp: {delay: [10ms, 200ms], steps: 5}`");
            self.error(error);
            return None;
        };
        let steps = match ramp.get("steps").map(|node| (&node.content, node.place)) {
            Some((Content::Integer(steps), _)) if (2..=MAX_STEPS).contains(&steps.cast_unsigned()) => {
                Some(*steps as usize)
            }
            Some((_, place)) => {
                self.error(ReadError::at(
                    place,
                    format!("`steps` is a whole number between 2 and {MAX_STEPS}"),
                ));
                None
            }
            None => {
                let error = ReadError::at(ramp.place, "`steps` is missing: how many stages the ramp has");
                self.error(error.help("such as `ramp: {delay: [10ms, 200ms], steps: 5}`"));
                None
            }
        };
        let mut parameters = Vec::new();
        for (key, node) in entries.iter().filter(|(key, _)| key.name != "steps") {
            if with.get(&key.name).is_some() {
                let message = format!("`{}` is both in `with` and in `ramp`", key.name);
                self.error(ReadError::at(key.place, message).help("leave it away in `with`"));
                continue;
            }
            match ends(node) {
                Ok((from, to)) => {
                    parameters.push(Growth { key: key.clone(), place: node.place, from, to });
                }
                Err(error) => self.error(error),
            }
        }
        if entries.iter().all(|(key, _)| key.name == "steps") {
            let error = ReadError::at(ramp.place, "`ramp` names no parameter that grows");
            self.error(error.help("such as `ramp: {delay: [10ms, 200ms], steps: 5}`"));
            return None;
        }
        (!parameters.is_empty()).then_some(parameters).zip(steps)
    }
}

/// Whether it says which pods.
fn pods_make_sense(selector: &PodSelector, place: Place) -> Option<ReadError> {
    const PHASES: [&str; 5] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
    if selector.is_empty() {
        let error = ReadError::at(place, "this would match every pod of a namespace that is not named");
        return Some(error.help("give at least one of `namespace`, `labels`, `names`, …"));
    }
    if !selector.placed.is_empty() {
        return Some(ReadError::at(
            place,
            "`placed` is chosen by Squall; name the pods by `labels` or `names`",
        ));
    }
    let names = [&selector.namespace.0, &selector.names, &selector.nodes, &selector.containers];
    if names.into_iter().flatten().any(|name| name.trim().is_empty()) {
        return Some(ReadError::at(place, "an empty name names nothing"));
    }
    if let Some(phase) = selector.phases.iter().find(|phase| !PHASES.contains(&phase.as_str())) {
        let error = ReadError::at(place, format!("{phase:?} is no phase of a pod"));
        return Some(error.help(format!("one of: {}", nearest::list(&PHASES))));
    }
    selector.expressions.iter().find_map(|expression| {
        let wants = matches!(expression.operator, Operator::In | Operator::NotIn);
        let has = !expression.values.is_empty();
        (wants != has).then(|| {
            let rule = if wants { "needs `values`" } else { "takes no `values`" };
            ReadError::at(place, format!("the condition on {:?} {rule}", expression.key))
        })
    })
}

/// Whether it says which objects.
fn objects_make_sense(selector: &ObjectSelector, place: Place, what: &str) -> Option<ReadError> {
    let all = selector.name.is_empty() && selector.labels.is_empty();
    all.then(|| {
        ReadError::at(place, format!("this would match every {what} of the namespace"))
            .help("give at least one of `name` and `labels`")
    })
}

/// What is made must be named, and nothing else can be asked of what is not there yet.
fn made_by_name(selector: &ObjectSelector, place: Place) -> Option<ReadError> {
    let is_named = selector.name.0.len() == 1 && selector.labels.is_empty();
    (selector.make.is_some() && !is_named).then(|| {
        ReadError::at(place, "what is made where it is not there needs one `name`, and no `labels`")
            .help("name it, and leave `labels` away, or leave `make` away")
    })
}

fn has_no_place_in_a_path(name: &str) -> bool {
    name.contains('/')
        || name == "."
        || name == ".."
        || name.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn no_parameters(place: Place) -> Node {
    Node { content: Content::Map(Vec::new()), place }
}

/// How long a group keeps faults active.
fn span(timed: &[Timed]) -> std::time::Duration {
    let end = timed.iter().map(|timed| timed.strike.after.0.saturating_add(timed.strike.lasts.0)).max();
    let start = timed.iter().map(|timed| timed.strike.after.0).min();
    end.unwrap_or_default().saturating_sub(start.unwrap_or_default())
}

/// What an entry of the method comes to.
enum Group {
    /// No fault.
    Other(Action),
    Strikes(Vec<Timed>),
}

impl Group {
    /// The same, each of its faults only where this holds too.
    fn only(mut self, when: Option<&Condition>) -> Self {
        if let (Self::Strikes(timed), Some(when)) = (&mut self, when) {
            for Timed { strike, .. } in timed {
                strike.when = Some(strike.when.as_ref().map_or_else(|| when.clone(), |own| when.and(own)));
            }
        }
        self
    }
}

/// The first and the last value of a ramp.
fn ends(node: &Node) -> Result<(Magnitude, Magnitude), ReadError> {
    let example = "such as [10ms, 200ms]";
    let Content::List(items) = &node.content else {
        let message = format!("a ramp goes from one value to another, and this is {}", node.kind());
        return Err(ReadError::at(node.place, message).label("expected a list of two").help(example));
    };
    let [from, to] = items.as_slice() else {
        let message = format!("a ramp goes from one value to another, and these are {}", items.len());
        return Err(ReadError::at(node.place, message).label("expected two values").help(example));
    };
    let read = |node: &Node| {
        Magnitude::of(&node.content).ok_or_else(|| {
            let message = "only quantities can grow: durations, shares, sizes, rates, frequencies, numbers";
            ReadError::at(node.place, message).label("not a quantity").help(example)
        })
    };
    let (first, last) = (read(from)?, read(to)?);
    Magnitude::alike(first, last).ok_or_else(|| {
        let message = format!("a ramp goes from {} to {}: {first} and {last}", first.words(), last.words());
        ReadError::at(to.place, message).label("not of the same kind").help(example)
    })
}

/// The first text in a tree that holds a secret.
fn secret_within<'n>(reader: &Reader<'_>, node: &'n Node) -> Option<&'n Node> {
    match &node.content {
        Content::List(items) => items.iter().find_map(|item| secret_within(reader, item)),
        Content::Map(entries) => entries.iter().find_map(|(_, item)| secret_within(reader, item)),
        _ => reader.holds_a_secret(node).then_some(node),
    }
}
