//! Faults that take memory. A reserve is always left, so that neither Squall nor its agent is what runs out first.

pub(crate) mod drop_caches;
pub(crate) mod leak;
pub(crate) mod spike;

use crate::resource::{own_control_groups, processes};
use squall_model::facts::Facts;
use squall_model::fault::PlanError;
use squall_model::step::{Step, Work, WorkerStep};
use squall_model::units::Size;

/// The least that is left free on a host by default.
const LEAST_RESERVE: u64 = 256 << 20;

/// Where memory is taken, and how much of it there is.
struct Room {
    /// In words: `this host`, `the control group of payment (pid 812)`.
    place: String,
    /// How much there is in all.
    whole: Size,
    /// What is available.
    available: Size,
    /// What is left free.
    leave_free: Size,
}

impl Room {
    /// On a host 5 % and at least 256 MiB are left by default; in a control group 5 %, since it ends no one but its own.
    fn of(facts: &Facts, leave_free: Option<Size>) -> Result<Self, PlanError> {
        let processes = processes(facts)?;
        let limited = processes.iter().find_map(|process| Some((&process.process, process.memory?)));
        let twentieth = |size: Size| size.0 / 20;
        let host = facts.host.memory_available;
        let (place, whole, available, default) = if let Some((process, memory)) = limited {
            let free = memory.limit.0.saturating_sub(memory.used.0);
            let place = format!("the control group of {process}");
            (place, memory.limit, free.min(host.0), twentieth(memory.limit))
        } else {
            let total = facts.host.memory_total;
            ("this host".to_owned(), total, host.0, twentieth(total).max(LEAST_RESERVE))
        };
        Ok(Self { place, whole, available: Size(available), leave_free: leave_free.unwrap_or(Size(default)) })
    }

    /// The most that may be taken.
    fn most(&self) -> Size {
        Size(self.available.0.saturating_sub(self.leave_free.0))
    }

    /// Checks that so much may be taken.
    fn holds(&self, size: Size) -> Result<(), PlanError> {
        if size.0 == 0 {
            return Err(PlanError::Parameters(
                "0 bytes of memory have no effect; give a size, such as 1GiB".into(),
            ));
        }
        if size <= self.most() {
            return Ok(());
        }
        Err(PlanError::Refused(format!(
            "{size} of memory is too much: {} has {} available, of which {} is left free, so at most {} can be taken; \
             give a smaller size, or a smaller leave_free",
            self.place,
            self.available,
            self.leave_free,
            self.most()
        )))
    }
}

/// The step that takes memory, in the control groups of the target.
fn take(facts: &Facts, rate: Option<Size>, limit: Size, leave_free: Size) -> Result<Vec<Step>, PlanError> {
    let cgroups = own_control_groups(facts, "memory")?;
    let work = Work::Memory { rate, limit, leave_free };
    Ok(vec![Step::Worker(WorkerStep { mark: WorkerStep::mark_of(&facts.injection), work, cgroups })])
}
