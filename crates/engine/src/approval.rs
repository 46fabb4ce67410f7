//! Approval: whether a plan is carried out is somebody's to say, after it is made and before anything is touched. What
//! was said yes to is what is carried out.

use squall_model::plan::Plan;
use squall_model::probe::Pending;

/// What was said about a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// Nobody is asked: whoever started the run has said yes beforehand.
    Implied,
    /// Yes, to this plan. An entry that is planned anew later never begins with more than it tells.
    Agreed {
        /// Who said so.
        by: String,
    },
    /// No.
    Refused {
        /// Who said so.
        by: String,
        /// Why.
        why: String,
    },
}

/// Somebody who is asked.
pub trait Approver: Send + Sync {
    /// Decides about a plan. May take as long as people do; the run can be ended meanwhile, and then nobody waits for
    /// the answer any more.
    fn decide(&self, plan: Plan) -> Pending<'static, Approval>;

    /// Decides about what would join a fault that follows its targets, in the middle of the run, soon and without a person.
    /// The plan said that this would be; who looks closer at what is struck looks at this too.
    fn decide_joining(&self, _plan: Plan) -> Pending<'static, Approval> {
        Box::pin(std::future::ready(Approval::Implied))
    }
}
