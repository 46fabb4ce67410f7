//! The moment of a strike: who it is, whether it may be after all, and the experiment that carries it out.

use super::config::{Config, How, Kill};
use super::dice::{Dice, Question, number_of};
use super::group::{Eligibility, Group, Instance};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use squall_model::units::Duration;

/// Whom it strikes.
#[derive(Debug, Clone, PartialEq)]
pub struct Victims<'i> {
    /// The instances; at least one.
    pub instances: Vec<&'i Instance>,
    /// Instances of their group that are healthy, with them if they are.
    pub healthy: usize,
    /// Instances of their group.
    pub of: usize,
}

impl Victims<'_> {
    /// What people call them.
    pub fn name(&self) -> String {
        self.joined(|instance| &instance.name)
    }

    /// What tells them from all others.
    pub fn id(&self) -> String {
        self.joined(|instance| &instance.id)
    }

    fn joined(&self, word: impl Fn(&Instance) -> &str) -> String {
        self.instances.iter().map(|instance| word(instance)).collect::<Vec<_>>().join(", ")
    }
}

/// Why there is no strike though one was planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Spared {
    /// A freeze holds now.
    #[error("a {0} holds")]
    Frozen(String),
    /// Nothing of the group is left.
    #[error("it has no instance that may be struck any more")]
    Empty,
    /// Too few would be left.
    #[error("{healthy} of its {of} instances are healthy, and {floor} must be left")]
    Floor {
        /// Healthy instances.
        healthy: usize,
        /// Instances.
        of: usize,
        /// How many must be left.
        floor: usize,
    },
    /// Somebody else allows none to go.
    #[error("{0} allows none to go now")]
    Budget(String),
}

/// Chooses the instances of a group that are struck now, among those that are healthy.
///
/// # Errors
/// Why none is struck.
pub fn victims<'i>(
    config: &Config,
    seed: u64,
    group: &Group,
    instances: &'i [Instance],
    now: Timestamp,
) -> Result<Victims<'i>, Spared> {
    if let Some(freeze) = config.calendar.frozen(now) {
        return Err(Spared::Frozen(freeze.to_string()));
    }
    let is_member = |instance: &&Instance| matches!(config.judge(instance), Eligibility::Member { group: of, .. } if of == *group);
    let mut members: Vec<&Instance> = instances.iter().filter(is_member).collect();
    // The choice must not hang on the order in which they were found.
    members.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let of = members.len();
    let mut candidates: Vec<&Instance> = members.into_iter().filter(|instance| instance.healthy).collect();
    let (healthy, kill) = (candidates.len(), config.kill_of(&group.app));
    let floor = kill.keep_healthy;
    if of == 0 {
        return Err(Spared::Empty);
    }
    if healthy <= floor {
        return Err(Spared::Floor { healthy, of, floor });
    }
    let mut most = healthy - floor;
    if kill.how == How::Evict {
        most = most.min(within_budgets(&mut candidates)?);
    }
    let (day, key) = (number_of(config.calendar.date(now)), group.key());
    let wanted = how_many(&candidates, Dice::of(seed, &format!("{key} how many")), day).clamp(1, most);
    let pick = |number: usize, left: usize| {
        let dice =
            if number == 0 { Dice::of(seed, &key) } else { Dice::of(seed, &format!("{key} {number}")) };
        dice.pick(day, Question::Whom, left)
    };
    let instances = (0..wanted).map(|number| candidates.remove(pick(number, candidates.len()))).collect();
    Ok(Victims { instances, healthy, of })
}

/// Leaves those whom others allow to go; how many that are at most.
fn within_budgets(candidates: &mut Vec<&Instance>) -> Result<usize, Spared> {
    let refusal =
        candidates.iter().find_map(|instance| instance.budget.as_ref().filter(|budget| budget.allows == 0));
    let refusal = refusal.map(|budget| budget.name.clone());
    candidates.retain(|instance| instance.budget.as_ref().is_none_or(|budget| budget.allows > 0));
    if candidates.is_empty() {
        return Err(Spared::Budget(refusal.unwrap_or_default()));
    }
    let allowed = candidates.iter().filter_map(|instance| Some(instance.budget.as_ref()?.allows)).min();
    Ok(allowed.unwrap_or(usize::MAX).min(candidates.len()))
}

/// How many their owners want to be struck; the fewest, where they do not agree.
fn how_many(candidates: &[&Instance], dice: Dice, day: u64) -> usize {
    let total = candidates.len();
    let of = |instance: &&Instance| {
        instance.wishes.how_many.map_or(1, |wish| wish.of(total, dice.roll(day, Question::Whom)))
    };
    candidates.iter().map(of).min().unwrap_or(1)
}

/// What the experiments are called that strike at a group.
pub fn title(config: &Config, group: &str) -> String {
    format!("monkey {}: {group}", config.name)
}

/// The fault that ends an instance, and its parameters: those of a group are ended so that the group replaces them.
fn fault(target: &Json, kill: &Kill) -> (&'static str, Json) {
    let grace = || match &kill.grace {
        Some(grace) => json!({"grace": grace.to_string()}),
        None => json!({}),
    };
    if target.get("instances").is_some() {
        ("aws.asg_terminate", json!({}))
    } else if target.get("pod").is_some() {
        match kill.how {
            How::Evict => ("k8s.evict", grace()),
            How::Kill => ("k8s.pod_kill", grace()),
        }
    } else {
        ("process.kill", json!({"signal": kill.signal}))
    }
}

/// How an experiment names all of them. Only pods go together.
fn target(victims: &Victims<'_>) -> Json {
    const NAMES: &str = "/pod/names";
    let mut targets = victims.instances.iter().map(|instance| instance.target.clone());
    let mut all = targets.next().unwrap_or_default();
    if let Some(names) = all.pointer_mut(NAMES).and_then(Json::as_array_mut) {
        names.extend(targets.filter_map(|mut target| target.pointer_mut(NAMES)?.as_array_mut()?.pop()));
    }
    all
}

/// The experiment that ends instances: what must hold before and again after is the file's, the method is one
/// `process.kill` (or its like), and no more targets than these may be struck.
pub fn experiment(config: &Config, group: &Group, victims: &Victims<'_>) -> Json {
    let target = target(victims);
    let (fault, with) = fault(&target, config.kill_of(&group.app));
    let (name, count, of) = (victims.name(), victims.instances.len(), victims.of);
    let mut experiment = json!({
        "apiVersion": "squall.dev/v1",
        "kind": "Experiment",
        "name": title(config, &group.to_string()),
        "hypothesis": match count {
            1 => format!("{group} does without {name}, one of its {of} instances"),
            _ => format!("{group} does without {name}, {count} of its {of} instances"),
        },
        "tags": ["monkey"],
        "blast_radius": {"services": [group.app], "targets": count},
        "baseline": 0,
        "method": [{
            "fault": fault,
            "target": target,
            "mode": if count == 1 { "one" } else { "all" },
            "with": with,
            "for": Json::String(config.trial.watch.max(Duration::seconds(1)).to_string()),
        }],
    });
    if let Json::Object(map) = &mut experiment {
        map.extend(config.trial.parts.clone());
    }
    experiment
}
