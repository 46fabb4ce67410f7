//! Where a fault strikes: the words of an experiment's `target:` and what they turn out to be on a host.

use crate::cloud::{InstanceSelector, TemplateSelector};
use crate::cluster::{ClusterPlace, NodeSelector, ObjectSelector, PodSelector};
use crate::server::ServerUrl;
use crate::units::Share;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an experiment names. One key says the kind: `{process: {name: postgres}}`, `{interface: eth0}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// Processes; for a network fault, the network namespaces that they live in.
    Process(ProcessSelector),
    /// A network interface of this host, by name.
    Interface(String),
    /// A named network namespace (as `ip netns list` shows them).
    Netns(String),
    /// Containers of Docker, or of what speaks its API.
    Container(ContainerSelector),
    /// Units of the service manager, by name: `payment.service`, `payment@*`.
    Service(String),
    /// A directory, by its absolute path, with the file system that it is on.
    Path(String),
    /// A database, cache or broker, by its address: `postgres://user@host:5432/database`.
    Database(Box<ServerUrl>),
    /// Instances in a cloud.
    Instances(Box<InstanceSelector>),
    /// A template of experiments that a cloud carries out itself.
    Template(Box<TemplateSelector>),
    /// Pods of a Kubernetes cluster.
    Pod(Box<PodSelector>),
    /// Nodes of a Kubernetes cluster.
    Node(Box<NodeSelector>),
    /// Deployments and the like of a Kubernetes cluster.
    Workload(Box<ObjectSelector>),
    /// Istio's virtual services in a Kubernetes cluster.
    VirtualService(Box<ObjectSelector>),
    /// This host as a whole; always `true`.
    Host(bool),
}

/// Which processes. All that is given must match; at least one must be given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessSelector {
    /// The name of the program: the kernel's short name, or the last part of the path of its executable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// One process by its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The process that listens on this TCP port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// All processes of a control group, by its path below the mount point, or any part of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// A text that the command line contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
}

impl ProcessSelector {
    /// Whether nothing was said, which would match every process.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which containers, among those that run. All that is given must match; at least one must be given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerSelector {
    /// The container's name; a `*` stands for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The container's number, or at least 12 digits of its beginning. The whole of it also names what is protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A label, with its value or with any: `app=payment`, `app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The image that it was made from, with its tag or with any: `nginx:1.27`, `nginx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl ContainerSelector {
    /// Whether nothing was said, which would match every container.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for ContainerSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.name.as_ref().map(|name| format!("name {name}")),
            self.id.as_ref().map(|id| format!("id {}", id.get(..12).unwrap_or(id))),
            self.label.as_ref().map(|label| format!("label {label}")),
            self.image.as_ref().map(|image| format!("image {image}")),
        ];
        formatter.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for ProcessSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.name.as_ref().map(|name| format!("name {name}")),
            self.pid.map(|pid| format!("pid {pid}")),
            self.port.map(|port| format!("port {port}")),
            self.cgroup.as_ref().map(|cgroup| format!("cgroup {cgroup}")),
            self.cmdline.as_ref().map(|text| format!("command line with {text:?}")),
        ];
        formatter.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(selector) => write!(formatter, "process {selector}"),
            Self::Interface(name) => write!(formatter, "interface {name}"),
            Self::Netns(name) => write!(formatter, "network namespace {name}"),
            Self::Container(selector) => write!(formatter, "container {selector}"),
            Self::Service(name) => write!(formatter, "service {name}"),
            Self::Path(path) => write!(formatter, "path {path}"),
            Self::Database(url) => write!(formatter, "database {url}"),
            Self::Instances(selector) => write!(formatter, "instances {selector}"),
            Self::Template(selector) => write!(formatter, "template {}", selector.id),
            Self::Pod(selector) => write!(formatter, "pod {selector}"),
            Self::Node(selector) => write!(formatter, "node {selector}"),
            Self::Workload(selector) => write!(formatter, "workload {selector}"),
            Self::VirtualService(selector) => write!(formatter, "virtual service {selector}"),
            Self::Host(_) => formatter.write_str("this host"),
        }
    }
}

impl Target {
    /// Whether more can come to match it while a fault is active, and be looked for in a moment.
    pub fn may_be_followed(&self) -> bool {
        let is_of_host = matches!(self, Self::Process(_) | Self::Container(_) | Self::Service(_));
        is_of_host || self.is_in_cluster()
    }

    /// Whether it is in a Kubernetes cluster.
    pub fn is_in_cluster(&self) -> bool {
        self.cluster().is_some()
    }

    /// The Kubernetes cluster that it is in.
    pub fn cluster(&self) -> Option<ClusterPlace> {
        match self {
            Self::Pod(selector) => Some(selector.place()),
            Self::Node(selector) => Some(selector.place()),
            Self::Workload(selector) | Self::VirtualService(selector) => Some(selector.place()),
            _ => None,
        }
    }
}

/// Whether a name fits a pattern in which each `*` stands for any text, also none.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    // The first part stands at the beginning, the last at the end, the others wherever they come first.
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// How many of the targets that match are struck.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One, chosen by the run's seed.
    One,
    /// Every one.
    #[default]
    All,
    /// As many as `value` says.
    Fixed,
    /// The share that `value` says, rounded as `round` says, at least one.
    FixedPercent,
    /// A random share up to what `value` says, by the run's seed, at least one.
    RandomMaxPercent,
}

impl Mode {
    /// How many of `total` that is, for a `value` of 1 where none is given, with `dice` (uniform in `[0, 1)`) for what is left
    /// to chance.
    pub fn count(
        self,
        value: Option<f64>,
        round: Round,
        total: usize,
        dice: &mut dyn FnMut() -> f64,
    ) -> usize {
        let value = value.unwrap_or(1.0);
        let rounded = |exact: f64, round| match round {
            // The small parts are those of binary fractions: 29 % of 100 are 29.
            Round::Down => (exact + 1e-9).floor(),
            Round::Up => (exact - 1e-9).ceil(),
        };
        let share = |percent: f64, round| {
            (rounded(total as f64 * percent / 100.0, round) as usize).clamp(1, total.max(1))
        };
        let wanted = match self {
            Self::All => total,
            Self::One => 1,
            Self::Fixed => value.max(0.0) as usize,
            Self::FixedPercent => share(value, round),
            Self::RandomMaxPercent => share(dice() * value, Round::Down),
        };
        wanted.min(total)
    }
}

/// How a share of the targets that match becomes a number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Round {
    /// Never more than the share, but at least one.
    #[default]
    Down,
    /// Never fewer than the share.
    Up,
}

impl Round {
    /// Whether it is what is meant where nothing is said.
    pub fn is_usual(&self) -> bool {
        *self == Self::Down
    }
}

/// How many of the targets that match may be struck at most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// So many.
    Count(u64),
    /// This share of them, rounded down, at least one.
    Share(Share),
}

impl Limit {
    /// How many that are, of so many that match.
    pub fn of(self, matching: usize) -> usize {
        match self {
            Self::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            // The small addition mends 0.29 × 100 = 28.999….
            Self::Share(share) => ((matching as f64 * share.fraction() + 1e-9).floor() as usize).max(1),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(formatter, "{count}"),
            Self::Share(share) => share.fmt(formatter),
        }
    }
}

/// A target with the choice among what matches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// What is named.
    pub target: Target,
    /// How many of those that match.
    #[serde(default)]
    pub mode: Mode,
    /// The number or share that `mode` asks for: a count, or a share of 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// How the share of `fixed-percent` becomes a number.
    #[serde(default, skip_serializing_if = "Round::is_usual")]
    pub round: Round,
    /// Whether an empty match is no error.
    #[serde(default)]
    pub optional: bool,
    /// Whether what begins to match while the fault is active is struck too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

impl Selection {
    /// Chooses among `found` by the mode, with `dice` (uniform in `[0, 1)`) for what is left to chance. The order of
    /// what is chosen is the order of `found`.
    pub fn choose<T>(&self, found: Vec<T>, dice: &mut dyn FnMut() -> f64) -> Vec<T> {
        let wanted = self.wanted(found.len(), dice);
        pick(found, wanted, dice)
    }

    /// How many of `total` that match are struck.
    pub fn wanted(&self, total: usize, dice: &mut dyn FnMut() -> f64) -> usize {
        self.mode.count(self.value, self.round, total, dice)
    }
}

/// So many of `found`, by chance, in their order.
pub fn pick<T>(found: Vec<T>, wanted: usize, dice: &mut dyn FnMut() -> f64) -> Vec<T> {
    let total = found.len();
    if wanted >= total {
        return found;
    }
    // Selection sampling (Knuth, The Art of Computer Programming, volume 2, algorithm S): one pass, order kept.
    let mut missing = wanted;
    let mut chosen = Vec::with_capacity(missing);
    for (index, item) in found.into_iter().enumerate() {
        if dice() * ((total - index) as f64) < missing as f64 {
            chosen.push(item);
            missing -= 1;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_count_or_a_share_of_at_least_one() {
        assert_eq!([Limit::Count(1).of(7), Limit::Count(9).of(7)], [1, 9]);
        let share = |fraction| Limit::Share(Share::of(fraction));
        assert_eq!(
            [share(0.3).of(7), share(0.01).of(7), share(0.29).of(100), share(1.0).of(7)],
            [2, 1, 29, 7]
        );
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "a"),
            ("web", "web"),
            ("web*", "web-1"),
            ("*-canary", "shop-canary"),
            ("a*b*c", "a-b-bc"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("web", "web-1"),
            ("web*", "a-web"),
            ("*-canary", "canary"),
            ("a*b*c", "acb"),
            ("ab*ba", "aba"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn modes_choose_as_many_as_they_say() {
        let mut state = 1_u64;
        let mut dice = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut rounded = |mode, value, round, of: usize| {
            Selection { target: Target::Host(true), mode, value, round, optional: false, follow: false }
                .choose((0..of).collect::<Vec<_>>(), &mut dice)
                .len()
        };
        assert_eq!(rounded(Mode::FixedPercent, Some(50.0), Round::Up, 3), 2);
        assert_eq!(rounded(Mode::FixedPercent, Some(29.0), Round::Up, 100), 29);
        assert_eq!(rounded(Mode::FixedPercent, Some(29.0), Round::Down, 100), 29);
        let mut count = |mode, value, of| rounded(mode, value, Round::Down, of);
        assert_eq!(count(Mode::All, None, 7), 7);
        assert_eq!(count(Mode::One, None, 7), 1);
        assert_eq!(count(Mode::Fixed, Some(3.0), 7), 3);
        assert_eq!(count(Mode::Fixed, Some(30.0), 7), 7);
        assert_eq!(count(Mode::FixedPercent, Some(50.0), 7), 3);
        assert_eq!(count(Mode::FixedPercent, Some(1.0), 7), 1);
        assert!((1..=3).contains(&count(Mode::RandomMaxPercent, Some(50.0), 7)));
        assert_eq!(count(Mode::One, None, 0), 0);
    }
}
