//! What ends a run early.

use super::{Link, Run, Stage};
use crate::link::LinkError;
use squall_model::event::{AbortCause, Event};
use squall_model::protocol::{CallError, CallErrorKind};

impl Run {
    pub(super) fn abort(&mut self, cause: AbortCause, reason: String) {
        let by_hand = matches!(cause, AbortCause::Signal | AbortCause::Halt);
        if self.stage >= Stage::Analysis || (self.findings.aborted.is_some() && !by_hand) {
            return;
        }
        // Who is waiting for the recovery of an aborted run may end that wait too.
        if self.findings.aborted.is_none() {
            self.journal(Event::Aborted { cause, reason: reason.clone() });
            self.findings.aborted = Some((cause, reason));
        }
        match self.stage {
            Stage::Recovery => self.begin_analysis(),
            Stage::Undo | Stage::Analysis | Stage::Over => {}
            Stage::Plan | Stage::Approval | Stage::SteadyState | Stage::Baseline | Stage::Method => {
                self.begin_undo("aborted");
            }
        }
    }

    /// The agent is gone, or says that it holds injections no more.
    pub(super) fn agent_failed(&mut self, error: LinkError) {
        match error {
            LinkError::Lost(why) => self.lost(&why),
            LinkError::Refused(error) => self.abort(AbortCause::LeaseExpired, error.message),
        }
    }

    pub(super) fn lost(&mut self, why: &str) {
        if self.link != Link::Up {
            return;
        }
        (self.link, self.pending) = (Link::Down, None);
        (self.looking, self.joining, self.arriving) = (None, None, None);
        match self.stage {
            Stage::Plan => self.refuse(format!("the agent was lost while it planned: {why}")),
            Stage::Approval => {
                self.refuse(format!("the agent was lost before its plan was agreed to: {why}"));
            }
            Stage::Undo => {
                if self.may_be_harming() {
                    self.journal(Event::Note {
                        message: format!("the agent was lost while it put back: {why}"),
                    });
                }
                self.restoring.lost(self.now, why);
            }
            Stage::Recovery | Stage::Analysis | Stage::Over => {}
            Stage::SteadyState | Stage::Baseline | Stage::Method => {
                self.restoring.lost(self.now, why);
                self.abort(AbortCause::LostAgent, format!("the agent was lost: {why}"));
            }
        }
    }

    pub(super) fn renewed(&mut self, sent: f64, live: Result<Vec<String>, CallError>) {
        match live {
            // Of what a call of before an injection says about it, nothing follows.
            Ok(live) if self.stage == Stage::Method && sent >= self.active_since => {
                let missing: Vec<&str> =
                    self.active.iter().filter(|id| !live.contains(id)).map(String::as_str).collect();
                if !missing.is_empty() {
                    let reason = format!("the agent no longer holds {}", missing.join(", "));
                    self.abort(AbortCause::LeaseExpired, reason);
                }
            }
            Err(error) if error.kind == CallErrorKind::Halted && self.stage < Stage::Undo => {
                self.abort(AbortCause::LeaseExpired, error.message);
            }
            _ => {}
        }
    }
}
