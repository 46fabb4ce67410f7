//! Clouds: instances that are stopped, rebooted and ended, and experiments that a cloud carries out itself.
//!
//! What is done is the same for all clouds and stands here; what each is asked is one file beside it and one line in
//! [`Clouds::of`]. A cloud takes its time: no call waits for it. What is accepted is seen on the next look, and what
//! an undo has asked for is *under way* until it is seen to be done.

#[cfg(feature = "aws")]
mod aws;
#[cfg(not(feature = "aws"))]
mod lacking;
mod provider;
mod template;

use provider::{Phase, Provider, Seen, Trouble, TroubleKind};
use squall_model::cloud::{Cloud, InstanceChange, InstanceRef, InstanceStep};
use squall_model::facts::{Scope, Subject};
use squall_model::machine::MachineError;
use squall_model::step::Step;
use squall_model::target::Target;
use squall_model::undo::{Difference, Evidence, Reverted, Undo};
use squall_model::undo_log::Logged;
use std::collections::{BTreeMap, BTreeSet};

/// All clouds that experiments name.
#[derive(Default)]
pub(crate) struct Clouds {
    /// Each is made when it is first asked.
    providers: BTreeMap<Cloud, Box<dyn Provider>>,
    /// Instances that were seen to be started by our undo, so that a later look knows whose deed it was.
    started: BTreeSet<String>,
}

impl Clouds {
    /// A cloud's hands. Another cloud is one file and one line here.
    fn of(&mut self, cloud: Cloud) -> &mut dyn Provider {
        let made = self.providers.entry(cloud).or_insert_with(|| match cloud {
            #[cfg(feature = "aws")]
            Cloud::Aws => Box::new(aws::Aws::default()),
            #[cfg(not(feature = "aws"))]
            Cloud::Aws => Box::new(lacking::Lacking),
        });
        &mut **made
    }

    /// Whether a target is in a cloud.
    pub(crate) fn has(target: &Target) -> bool {
        matches!(target, Target::Instances(_) | Target::Template(_))
    }

    /// Whether a step is for a cloud.
    pub(crate) fn makes(step: &Step) -> bool {
        matches!(step, Step::Instance(_) | Step::Template(_))
    }

    /// Whether an undo is for a cloud.
    pub(crate) fn undoes(undo: &Undo) -> bool {
        matches!(undo, Undo::Instance { .. } | Undo::Template { .. })
    }

    pub(crate) fn resolve(&mut self, scope: Scope, target: &Target) -> Result<Vec<Subject>, MachineError> {
        match (scope, target) {
            (Scope::Instance, Target::Instances(selector)) => {
                let found = self.of(selector.cloud).instances(selector).map_err(worded)?;
                Ok(found.into_iter().map(Subject::Instance).collect())
            }
            (Scope::Template, Target::Template(selector)) => {
                let found = self.of(selector.cloud).template(selector).map_err(worded)?;
                Ok(found.map(Subject::Template).into_iter().collect())
            }
            _ => Err(MachineError::Refused { message: format!("this fault does not strike {target}") }),
        }
    }

    pub(crate) fn capture(&mut self, step: &Step) -> Result<Undo, MachineError> {
        match step {
            Step::Instance(step) => self.capture_instance(step),
            Step::Template(step) => template::capture(self, step),
            other => Err(elsewhere(other.kind())),
        }
    }

    /// An instance is struck only where it runs and its owners still allow it.
    fn capture_instance(&mut self, step: &InstanceStep) -> Result<Undo, MachineError> {
        let InstanceStep { instance, opt_in, change } = step;
        let seen = self.seen(instance)?;
        let refused = |message: String| Err(MachineError::Refused { message });
        if !opt_in.is_in(&seen.tags) {
            return refused(format!("{instance} is not struck: it has no tag {opt_in} (any more)"));
        }
        if seen.phase != Phase::Running {
            return refused(format!("could not strike {instance}: it is {}, and not running", seen.phase));
        }
        Ok(match change {
            InstanceChange::Stop { .. } => Undo::Instance { instance: instance.clone() },
            InstanceChange::Reboot => Undo::Nothing { why: "a reboot ends by itself".to_owned() },
            InstanceChange::Terminate => Undo::Nothing {
                why: format!("nothing brings {instance} back; what it was made from can make another"),
            },
            InstanceChange::Replace { group } => Undo::Nothing {
                why: format!("nothing brings {instance} back; its group {group} launches another"),
            },
        })
    }

    pub(crate) fn apply(&mut self, logged: &Logged<'_>) -> Result<(), MachineError> {
        match logged.step() {
            Step::Instance(InstanceStep { instance, change, .. }) => {
                let provider = self.of(instance.place.cloud);
                provider.change(instance, change).map_err(worded)
            }
            Step::Template(step) => template::apply(self, step),
            other => Err(elsewhere(other.kind())),
        }
    }

    /// Each place is asked once, however many instances are there.
    pub(crate) fn observe(&mut self, applied: &[&Step]) -> Vec<Result<Evidence, MachineError>> {
        let mut places: BTreeMap<_, Vec<&InstanceRef>> = BTreeMap::new();
        for step in applied {
            if let Step::Instance(step) = step {
                places.entry(&step.instance.place).or_default().push(&step.instance);
            }
        }
        let mut seen: BTreeMap<&str, Result<Seen, MachineError>> = BTreeMap::new();
        for (place, instances) in places {
            let looked = self.of(place.cloud).look(&instances).map_err(worded);
            for instance in instances {
                let one = looked.as_ref().map_err(Clone::clone);
                let one = one.map(|found| found.get(&instance.id).cloned().unwrap_or_default());
                seen.insert(&instance.id, one);
            }
        }
        let evidence = |step: &&Step| match step {
            Step::Instance(step) => match seen.get(step.instance.id.as_str()) {
                Some(Ok(seen)) => Ok(self.effect(step, seen)),
                Some(Err(error)) => Err(error.clone()),
                None => Err(elsewhere("instance")),
            },
            Step::Template(step) => template::observe(self, step),
            other => Err(elsewhere(other.kind())),
        };
        applied.iter().map(evidence).collect()
    }

    fn effect(&mut self, step: &InstanceStep, seen: &Seen) -> Evidence {
        let InstanceStep { instance, change, .. } = step;
        let words = format!("{} is {}", instance.id, seen.phase);
        match change {
            InstanceChange::Stop { .. } if seen.phase.is_down() => Evidence::seen(words).with("stopped", 1.0),
            InstanceChange::Terminate if seen.phase.is_gone() => {
                Evidence::seen(words).with("terminated", 1.0)
            }
            // Its state does not change; that the cloud took the order is all that it ever tells.
            InstanceChange::Reboot => Evidence::seen(format!("the reboot of {} was accepted", instance.id)),
            InstanceChange::Replace { group } if seen.phase.is_gone() => {
                let evidence = Evidence::seen(words).with("terminated", 1.0);
                // What the group does about it is worth telling, and no reason to doubt what was seen.
                match self.of(instance.place.cloud).group(&instance.place, group) {
                    Ok(Some(size)) => Evidence {
                        summary: format!(
                            "{}; {} of {} in service in group {group}",
                            evidence.summary, size.in_service, size.desired
                        ),
                        ..evidence
                    }
                    .with("in_service", size.in_service as f64)
                    .with("desired", size.desired as f64),
                    Ok(None) | Err(_) => evidence,
                }
            }
            _ => Evidence::not_seen(words),
        }
    }

    pub(crate) fn revert(&mut self, undo: &Undo) -> Result<Reverted, MachineError> {
        match undo {
            Undo::Instance { instance } => self.start(instance),
            Undo::Template { template, mark } => template::revert(self, template, mark),
            other => Err(elsewhere(other.kind())),
        }
    }

    /// Starts an instance, whatever it looks like: what a cloud shows may be older than what it does, so that one which
    /// is about to be stopped may still seem to run. To start one that runs changes nothing.
    fn start(&mut self, instance: &InstanceRef) -> Result<Reverted, MachineError> {
        let seen = self.seen(instance)?;
        if seen.phase.is_gone() {
            return Ok(gone(instance, seen.phase));
        }
        let phase = match self.of(instance.place.cloud).start(instance) {
            Ok(before) => {
                if before == Phase::Running && !self.started.contains(&instance.id) {
                    return Ok(Reverted::AlreadyGone { looked_at: format!("{instance}: it runs") });
                }
                self.started.insert(instance.id.clone());
                self.seen(instance)?.phase
            }
            Err(trouble) if trouble.kind == TroubleKind::State => self.seen(instance)?.phase,
            Err(trouble) if trouble.kind == TroubleKind::NotFound => Phase::Gone,
            Err(trouble) => return Err(worded(trouble)),
        };
        Ok(match phase {
            Phase::Running => Reverted::Undone { looked_at: format!("{instance}: it runs") },
            Phase::Gone | Phase::Ending => gone(instance, phase),
            Phase::Stopping | Phase::Stopped | Phase::Starting => Reverted::Drifted(Difference {
                looked_at: instance.to_string(),
                before: Phase::Running.to_string(),
                now: format!(
                    "{phase}{}",
                    if phase == Phase::Stopping { ", and is started as soon as it is" } else { "" }
                ),
                remedy: format!("wait for it, or `squall recover`; by hand: {}", instance.start_by_hand()),
                under_way: true,
            }),
        })
    }

    fn seen(&mut self, instance: &InstanceRef) -> Result<Seen, MachineError> {
        let mut found = self.of(instance.place.cloud).look(&[instance]).map_err(worded)?;
        Ok(found.remove(&instance.id).unwrap_or_default())
    }
}

fn gone(instance: &InstanceRef, phase: Phase) -> Reverted {
    Reverted::AlreadyGone {
        looked_at: format!("{instance}: it is {phase}, and nothing of it can be started"),
    }
}

fn elsewhere(kind: &str) -> MachineError {
    MachineError::Refused { message: format!("a step of the kind {kind} is not for a cloud") }
}

fn worded(trouble: Trouble) -> MachineError {
    let Trouble { kind, message } = trouble;
    match kind {
        TroubleKind::NotFound => MachineError::NotFound { message },
        TroubleKind::Forbidden => MachineError::Forbidden { message, needs: None },
        TroubleKind::Lacking => MachineError::Unsupported { message },
        TroubleKind::State | TroubleKind::Invalid => MachineError::Refused { message },
        TroubleKind::Unknown => MachineError::Failed { message },
    }
}
