//! Whether an experiment may be carried out in an environment now, as far as can be known before anything is looked at; and
//! the limits that hold while it is.

use super::magnitude::Magnitude;
use super::{Environment, Policy};
use crate::calendar::Freeze;
use jiff::Timestamp;
use serde_json::Value as Json;
use squall_model::experiment::{Action, Experiment, Strike};
use squall_model::node::Place;
use squall_model::quantity::span;
use squall_model::target::Limit;
use squall_model::units::Duration;

/// What is known of earlier runs.
pub trait Record {
    /// The last run of an experiment of this name that passed in this environment, and when it was; `alike`: of those only
    /// whose faults were the same, wherever they struck.
    ///
    /// # Errors
    /// Nobody knows, for this reason.
    fn last_passed(
        &self,
        experiment: &Experiment,
        environment: &str,
        alike: bool,
    ) -> Result<Option<(String, Timestamp)>, String>;
}

/// What is to be judged.
pub struct Request<'r> {
    /// What is to be carried out.
    pub experiment: &'r Experiment,
    /// Where.
    pub environment: &'r str,
    /// When.
    pub at: Timestamp,
    /// What is known of earlier runs.
    pub record: &'r dyn Record,
    /// Whether a person will be asked, or has said yes.
    pub approved: bool,
}

/// A rule that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Where the rule stands.
    pub place: Place,
    /// What the rule says.
    pub rule: String,
    /// How it is broken.
    pub why: String,
    /// What would be allowed.
    pub allowed: String,
}

/// The rules that a run would break, in the order of the file; none where it may be carried out.
///
/// # Errors
/// There is no such environment; says which there are.
pub fn judge(policy: &Policy, request: &Request<'_>) -> Result<Vec<Denial>, String> {
    let rules = find(policy, request.environment)?;
    let mut denials = Vec::new();
    denials.extend(protected(policy, request.experiment));
    denials.extend(targets(rules, request.experiment));
    denials.extend(magnitudes(rules, request.experiment));
    denials.extend(duration(rules, request.experiment));
    denials.extend(times(rules, request));
    denials.extend(promotion(rules, request));
    denials.extend(approval(rules, request));
    denials.sort_by_key(|denial| denial.place.start);
    Ok(denials)
}

fn find<'p>(policy: &'p Policy, name: &str) -> Result<&'p Environment, String> {
    policy.environments.get(name).ok_or_else(|| {
        let known: Vec<&str> = policy.environments.keys().map(String::as_str).collect();
        format!("there is no environment {name:?}; there are {}", known.join(", "))
    })
}

/// Narrows an experiment to what an environment allows, so that its limits hold also for what is found later. An environment
/// that is not there narrows nothing.
pub fn constrain(policy: &Policy, environment: &str, experiment: &mut Experiment) {
    experiment.blast_radius.spared.clone_from(&policy.protected);
    let Some(rules) = policy.environments.get(environment) else { return };
    let radius = &mut experiment.blast_radius;
    if let Some(rule) = &rules.targets {
        radius.targets = Some(stricter(radius.targets, rule.value));
    }
    if let Some(rule) = &rules.duration {
        radius.duration = Some(radius.duration.map_or(rule.value, |own| own.min(rule.value)));
    }
}

/// The stricter of two limits of one kind. Which of a count and a share is stricter only a look would tell, and [`judge`]
/// denies a run that has both.
fn stricter(own: Option<Limit>, rule: Limit) -> Limit {
    match (own, rule) {
        (Some(Limit::Count(own)), Limit::Count(rule)) => Limit::Count(own.min(rule)),
        (Some(Limit::Share(own)), Limit::Share(share)) if own < share => Limit::Share(own),
        _ => rule,
    }
}

/// The denial for a run that would strike more targets than its environment allows, as a look at what there is has told.
pub fn judge_targets(policy: &Policy, environment: &str, told: &str) -> Option<Denial> {
    let rule = policy.environments.get(environment)?.targets.as_ref()?;
    Some(Denial {
        place: rule.place,
        rule: format!("at most {} of the targets", rule.value),
        why: told.to_owned(),
        allowed: format!(
            "an entry that strikes no more, such as one with `mode: fixed` and a `value`, up to {}",
            rule.value
        ),
    })
}

fn strikes(experiment: &Experiment) -> impl Iterator<Item = &Strike> {
    experiment.method.iter().flat_map(Action::strikes)
}

/// What is named just as the settings protect it; in another way, only a look tells.
fn protected(policy: &Policy, experiment: &Experiment) -> Option<Denial> {
    let named = strikes(experiment).find(|strike| policy.protected.contains(&strike.selection.target))?;
    judge_protected(policy, &format!("{} strikes {}", named.fault, named.selection.target))
}

/// The denial for a run that would strike what is protected, as a look at what there is has told.
pub fn judge_protected(policy: &Policy, told: &str) -> Option<Denial> {
    (!policy.protected.is_empty()).then(|| Denial {
        place: policy.protected_place,
        rule: "what is protected is not struck".to_owned(),
        why: told.to_owned(),
        allowed: "a target that matches none of these".to_owned(),
    })
}

fn targets(rules: &Environment, experiment: &Experiment) -> Option<Denial> {
    let rule = rules.targets.as_ref()?;
    let own = experiment.blast_radius.targets?;
    let kinds_differ =
        matches!((own, rule.value), (Limit::Count(_), Limit::Share(_)) | (Limit::Share(_), Limit::Count(_)));
    kinds_differ.then(|| Denial {
        place: rule.place,
        rule: format!("at most {} of the targets", rule.value),
        why: format!("the experiment's own limit, `blast_radius.targets: {own}`, cannot be compared with it"),
        allowed: format!("`blast_radius: {{targets: {}}}`, or none of its own", rule.value),
    })
}

fn magnitudes(rules: &Environment, experiment: &Experiment) -> Vec<Denial> {
    let mut denials: Vec<Denial> = Vec::new();
    for rule in &rules.magnitude {
        for strike in strikes(experiment) {
            let with = strike.with.to_json();
            let values = rule.value.of(&strike.fault, &with);
            let Some(why) = values.into_iter().find_map(|value| breach(&rule.value, &strike.fault, value))
            else {
                continue;
            };
            // A ramp breaks it at several stages; the first will do.
            if denials.iter().any(|known| known.place == rule.place) {
                continue;
            }
            denials.push(Denial {
                place: rule.place,
                rule: rule.value.to_string(),
                why,
                allowed: rule.value.to_string(),
            });
        }
    }
    denials
}

/// Why a value does not keep to a limit; nothing where it does.
fn breach(limit: &Magnitude, fault: &str, value: &Json) -> Option<String> {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let parameter = &limit.parameter;
    match limit.allows(value) {
        Some(true) => None,
        Some(false) => Some(format!("{fault} has {parameter} {shown}")),
        None => Some(format!("{fault} has {parameter} {shown}, which cannot be compared with the rule")),
    }
}

/// How long faults are active at most, in seconds: what the method adds up to, or the experiment's own limit.
fn active(experiment: &Experiment) -> f64 {
    let of_action = |action: &Action| {
        let ends =
            action.strikes().iter().map(|strike| strike.after.as_seconds() + strike.lasts.as_seconds());
        ends.fold(0.0, f64::max)
    };
    let method: f64 = experiment.method.iter().map(of_action).sum();
    experiment.blast_radius.duration.map_or(method, |own| method.min(own.as_seconds()))
}

fn duration(rules: &Environment, experiment: &Experiment) -> Option<Denial> {
    let rule = rules.duration.as_ref()?;
    let active = active(experiment);
    (active > rule.value.as_seconds() + 1e-9).then(|| Denial {
        place: rule.place,
        rule: format!("faults are active for at most {}", rule.value),
        why: format!("the faults of the experiment are active for {}", span(active)),
        allowed: format!("shorter faults (`for:`), or `blast_radius: {{duration: {}}}`", rule.value),
    })
}

/// How long the run takes if all goes well: the time before the faults, and the method.
fn length(experiment: &Experiment) -> Duration {
    let waits: f64 = experiment
        .method
        .iter()
        .map(|action| match action {
            Action::Wait(wait) => wait.lasts.as_seconds(),
            Action::Ask(ask) => ask.within.as_seconds(),
            Action::Strike(_) => 0.0,
        })
        .sum();
    let seconds = experiment.baseline.as_seconds() + active(experiment) + waits;
    Duration(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Hours, holidays and freezes, each of which must allow the beginning of the run and its end.
fn times(rules: &Environment, request: &Request<'_>) -> Vec<Denial> {
    let ends = request
        .at
        .checked_add(jiff::SignedDuration::try_from(length(request.experiment).0).unwrap_or_default());
    let moments = [("it is", Some(request.at)), ("it would last until", ends.ok())];
    let mut denials: Vec<Denial> = Vec::new();
    for (words, moment) in moments {
        let Some(moment) = moment else { continue };
        let local = rules.time_zone.at(moment);
        let why = format!("{words} {} {}", local.strftime("%a %Y-%m-%d %H:%M"), rules.time_zone);
        let mut deny = |place: Place, rule: String, why: String, allowed: String| {
            if !denials.iter().any(|known| known.place == place) {
                denials.push(Denial { place, rule, why, allowed });
            }
        };
        if let Some(hours) = rules.hours.as_ref().filter(|hours| !hours.value.holds(local.datetime())) {
            let rule = format!("only {} {}", hours.value, rules.time_zone);
            deny(
                hours.place,
                rule.clone(),
                why.clone(),
                format!("runs that begin and end within them: {rule}"),
            );
        }
        let holiday =
            rules.holidays.as_ref().and_then(|days| Some((days.place, days.value.on(local.date())?)));
        if let Some((place, name)) = holiday {
            let rule = "not on holidays".to_owned();
            deny(place, rule, format!("{why}, a holiday ({name})"), "another day".to_owned());
        }
        for freeze in rules.freeze.iter().filter(|freeze| freeze.value.holds(local.datetime())) {
            let rule = freeze.value.to_string();
            deny(freeze.place, rule, why.clone(), after(&freeze.value));
        }
    }
    denials
}

fn after(freeze: &Freeze) -> String {
    format!("runs that do not touch the {freeze}")
}

fn promotion(rules: &Environment, request: &Request<'_>) -> Option<Denial> {
    let rule = rules.promotion.as_ref()?;
    let (from, within) = (&rule.value.from, rule.value.within);
    let name = &request.experiment.name;
    let last_passed = |alike| request.record.last_passed(request.experiment, from, alike);
    let why = match last_passed(true).and_then(|alike| Ok((alike, last_passed(false)?))) {
        Err(why) => format!("nobody knows whether {name} passed in {from}: {why}"),
        Ok((None, None)) => format!("{name} never passed in {from}"),
        Ok((None, Some((run, _)))) => format!(
            "what passed as {name} in {from} had other faults, or other parameters, times or numbers of targets (run {run})"
        ),
        Ok((Some((run, at)), _)) => {
            let age = request.at.duration_since(at).as_secs_f64();
            if age <= within.as_seconds() {
                return None;
            }
            format!("{name} passed in {from} {} ago (run {run})", span(age))
        }
    };
    Some(Denial {
        place: rule.place,
        rule: format!("it must have passed in {from} within {within}"),
        why,
        allowed: format!("to let it pass there first, with `--environment {from}`"),
    })
}

fn approval(rules: &Environment, request: &Request<'_>) -> Option<Denial> {
    let place = rules.approval.filter(|_| !request.approved)?;
    Some(Denial {
        place,
        rule: "a person must say yes".to_owned(),
        why: "nobody is there to be asked".to_owned(),
        allowed: "to run it at a terminal and say yes, or to name who has said so with --approved-by NAME"
            .to_owned(),
    })
}
