//! The moment of a strike: who it is, whether it may be after all, and the experiment that carries it out.

use super::config::Config;
use super::dice::{Dice, Question, number_of};
use super::group::{Eligibility, Group, Instance};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use squall_model::step::Signal;
use squall_model::units::Duration;

/// Whom it strikes.
#[derive(Debug, Clone, PartialEq)]
pub struct Victim<'i> {
    /// The instance.
    pub instance: &'i Instance,
    /// Instances of its group that are healthy, with it if it is.
    pub healthy: usize,
    /// Instances of its group.
    pub of: usize,
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
}

/// Chooses the instance of a group that is struck now, among those that are healthy.
///
/// # Errors
/// Why none is struck.
pub fn victim<'i>(
    config: &Config,
    seed: u64,
    group: &Group,
    instances: &'i [Instance],
    now: Timestamp,
) -> Result<Victim<'i>, Spared> {
    if let Some(freeze) = config.calendar.frozen(now) {
        return Err(Spared::Frozen(freeze.to_string()));
    }
    let is_member = |instance: &&Instance| matches!(config.judge(instance), Eligibility::Member { group: of, .. } if of == *group);
    let mut members: Vec<&Instance> = instances.iter().filter(is_member).collect();
    // The choice must not hang on the order in which they were found.
    members.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let of = members.len();
    let healthy: Vec<&Instance> = members.into_iter().filter(|instance| instance.healthy).collect();
    let floor = config.kill_of(&group.app).keep_healthy;
    if of == 0 {
        return Err(Spared::Empty);
    }
    if healthy.len() <= floor {
        return Err(Spared::Floor { healthy: healthy.len(), of, floor });
    }
    let day = number_of(config.calendar.date(now));
    let at = Dice::of(seed, &group.key()).pick(day, Question::Whom, healthy.len());
    Ok(Victim { instance: healthy[at], healthy: healthy.len(), of })
}

/// What the experiments are called that strike at a group.
pub fn title(config: &Config, group: &str) -> String {
    format!("monkey {}: {group}", config.name)
}

/// The fault that ends an instance, and its parameters: those of a group are ended so that the group replaces them.
fn fault(instance: &Instance, signal: Signal) -> (&'static str, Json) {
    match instance.target.get("instances") {
        Some(_) => ("aws.asg_terminate", json!({})),
        None => ("process.kill", json!({"signal": signal})),
    }
}

/// The experiment that ends an instance: what must hold before and again after is the file's, the method is one
/// `process.kill` (or its like), and at most one target may be struck.
pub fn experiment(config: &Config, group: &Group, victim: &Victim<'_>) -> Json {
    let (fault, with) = fault(victim.instance, config.kill_of(&group.app).signal);
    let mut experiment = json!({
        "apiVersion": "squall.dev/v1",
        "kind": "Experiment",
        "name": title(config, &group.to_string()),
        "hypothesis": format!("{group} does without {}, one of its {} instances", victim.instance.name, victim.of),
        "tags": ["monkey"],
        "blast_radius": {"services": [group.app], "targets": 1},
        "baseline": 0,
        "method": [{
            "fault": fault,
            "target": victim.instance.target,
            "mode": "one",
            "with": with,
            "for": Json::String(config.trial.watch.max(Duration::seconds(1)).to_string()),
        }],
    });
    if let Json::Object(map) = &mut experiment {
        map.extend(config.trial.parts.clone());
    }
    experiment
}
