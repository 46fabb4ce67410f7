//! Experiments that a cloud carries out itself: started from a template, watched, ended by the undo.

use super::provider::Course;
use super::{Clouds, worded};
use squall_model::cloud::{TemplateRef, TemplateSelector, TemplateStep};
use squall_model::machine::MachineError;
use squall_model::undo::{Difference, Evidence, Reverted, Undo};
use std::time::Duration;

/// How long after a first look for experiments that finds none another one is made: a list may be a little old.
const LOOKS_AGAIN: Duration = Duration::from_millis(700);

/// The template is still there, and its owners still allow it.
pub(super) fn capture(clouds: &mut Clouds, step: &TemplateStep) -> Result<Undo, MachineError> {
    let TemplateStep { template, opt_in, mark } = step;
    let place = template.place.clone();
    let selector = TemplateSelector {
        id: template.id.clone(),
        opt_in: opt_in.clone(),
        cloud: place.cloud,
        region: place.region,
        profile: place.profile,
        endpoint: place.endpoint,
    };
    let found = clouds.of(template.place.cloud).template(&selector).map_err(worded)?;
    let facts = found
        .ok_or_else(|| MachineError::NotFound { message: format!("there is no {template} any more") })?;
    if let Some(why) = facts.protected {
        return Err(MachineError::Refused {
            message: format!("no experiment is started from {template}: {why}"),
        });
    }
    Ok(Undo::Template { template: template.clone(), mark: mark.clone() })
}

pub(super) fn apply(clouds: &mut Clouds, step: &TemplateStep) -> Result<(), MachineError> {
    clouds.of(step.template.place.cloud).begin(&step.template, &step.mark).map_err(worded)
}

fn found(clouds: &mut Clouds, template: &TemplateRef, mark: &str) -> Result<Vec<Course>, MachineError> {
    clouds.of(template.place.cloud).experiments(template, mark).map_err(worded)
}

pub(super) fn observe(clouds: &mut Clouds, step: &TemplateStep) -> Result<Evidence, MachineError> {
    let found = found(clouds, &step.template, &step.mark)?;
    let Some(course) = found.first() else {
        return Ok(Evidence::not_seen("the experiment is not to be seen yet"));
    };
    let words = words(course);
    Ok(if course.struck { Evidence::seen(words) } else { Evidence::not_seen(words) })
}

fn words(course: &Course) -> String {
    let reason = Some(course.reason.trim_end_matches('.')).filter(|reason| !reason.is_empty());
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("experiment {} is {}{reason}", course.id, course.state)
}

pub(super) fn revert(
    clouds: &mut Clouds,
    template: &TemplateRef,
    mark: &str,
) -> Result<Reverted, MachineError> {
    let mut before = found(clouds, template, mark)?;
    if before.is_empty() {
        std::thread::sleep(LOOKS_AGAIN);
        before = found(clouds, template, mark)?;
    }
    let looked_at = format!("experiments of {template} with the tag {mark}");
    if before.is_empty() {
        return Ok(Reverted::AlreadyGone { looked_at: format!("{looked_at}: there is none") });
    }
    for course in before.iter().filter(|course| !course.is_over) {
        // One that is over meanwhile cannot be ended, which the look after this one tells.
        let _ = clouds.of(template.place.cloud).end(template, &course.id);
    }
    let after = found(clouds, template, mark)?;
    let told = after.iter().map(words).collect::<Vec<_>>().join(", ");
    if after.iter().all(|course| course.is_over) {
        return Ok(Reverted::Undone { looked_at: told });
    }
    Ok(Reverted::Drifted(Difference {
        looked_at,
        before: "none".to_owned(),
        now: told,
        remedy: format!("wait for its end, or `squall recover`; by hand: {}", template.stop_by_hand(mark)),
        under_way: true,
    }))
}
