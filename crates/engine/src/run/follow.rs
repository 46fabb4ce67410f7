//! While a fault that follows its targets is active: what has come to match since is looked for, asked about, and struck beside
//! the others, for the time that is left. Nothing of that ends the run: where more cannot be looked for or struck, it goes on
//! with what it has, and the guard decides about the rest.

use super::{Output, Purpose, Run, Stage};
use crate::approval::Approval;
use crate::link::LinkError;
use crate::method::{self, join_request};
use squall_model::event::{Event, Planned};
use squall_model::plan::{Plan, PlannedInjection};
use squall_model::protocol::{Answer, Call, CallErrorKind, Injected};

impl Run {
    /// Has those planned that a strike of the method should strike too, with so many seconds left. Nobody waits for the answer.
    pub(super) fn follow(&mut self, strike: usize, seconds: f64) {
        let joining = self.following.joining(strike);
        let request = join_request(&self.experiment, self.identity.seed, strike, seconds, &joining);
        self.calls += 1;
        self.looking = Some((self.calls, strike));
        self.out.push(Output::Call(self.calls, Call::Plan(request)));
    }

    /// What came of that.
    pub(super) fn followed(&mut self, strike: usize, answer: Result<Answer, LinkError>) {
        let plan = match answer {
            Ok(Answer::Plan(plan)) => match plan.unplanned() {
                None => plan,
                Some(why) => return self.cannot_follow(strike, &why),
            },
            Err(LinkError::Lost(why)) => return self.lost(&why),
            Err(LinkError::Refused(error)) => return self.cannot_follow(strike, &error.message),
            Ok(_) => return self.cannot_follow(strike, "the agent answered something else than a plan"),
        };
        if self.stage != Stage::Method {
            return;
        }
        let Plan { gone, notes, .. } = plan.clone();
        let notes = self.following.looked(strike, gone, notes);
        self.journal_all(notes.into_iter().map(|message| Event::Note { message }).collect());
        if plan.injections.is_empty() {
            self.has_looked(strike, Vec::new());
        } else {
            self.joining = Some((strike, plan.injections.clone()));
            self.out.push(Output::ApproveJoining(plan));
        }
    }

    /// What was said about those that would join.
    pub(super) fn joining_approved(&mut self, approval: Approval) {
        let Some((strike, injections)) = self.joining.take() else { return };
        if self.stage != Stage::Method {
            return;
        }
        if let Approval::Refused { by, why } = approval {
            return self.cannot_follow(strike, &format!("{by} said no to what matches now: {why}"));
        }
        if !self.method.is_active(strike) {
            return;
        }
        self.journal(Event::Joined { injections: injections.iter().map(Planned::from).collect() });
        self.planned.extend(injections.iter().cloned());
        self.has_looked(strike, injections);
    }

    /// A look came to its end, with those that join.
    fn has_looked(&mut self, strike: usize, joining: Vec<PlannedInjection>) {
        let told = self.following.succeeded(strike, &self.name_of(strike));
        self.journal_all(told.into_iter().map(|message| Event::Note { message }).collect());
        self.method.followed(self.now, strike, joining);
    }

    fn name_of(&self, strike: usize) -> String {
        method::strikes(&self.experiment).nth(strike).map(|strike| strike.fault.clone()).unwrap_or_default()
    }

    fn cannot_follow(&mut self, strike: usize, why: &str) {
        if self.stage != Stage::Method {
            return;
        }
        let told = self.following.failed(strike, &self.name_of(strike), why);
        self.journal_all(told.into_iter().map(|message| Event::Note { message }).collect());
        self.method.followed(self.now, strike, Vec::new());
    }

    /// Makes an injection beside those that are active. Each is asked for by itself, so that one that cannot be made is no
    /// matter of the others.
    pub(super) fn join(&mut self, injection: &PlannedInjection) {
        self.begin_to_strike(injection);
        self.count_exposure();
        self.calls += 1;
        self.pending = Some((self.calls, Purpose::Join));
        self.arriving = Some(injection.clone());
        self.out.push(Output::Call(self.calls, Call::Inject { injections: vec![injection.id.clone()] }));
    }

    pub(super) fn joined(&mut self, answer: Result<Answer, LinkError>, seconds: f64) {
        let arriving = self.arriving.take();
        match answer {
            Ok(Answer::Injected(Injected { evidence, gone })) => {
                gone.into_iter().for_each(|(injection, what)| self.pass_over(injection, what));
                for (injection, evidence) in evidence {
                    self.shown.entry(injection.clone()).or_default().joined = Some(self.now);
                    self.is_made(injection, evidence, seconds);
                }
                self.are_active();
            }
            Err(LinkError::Refused(error)) if error.kind != CallErrorKind::Halted => {
                let Some(injection) = arriving else { return };
                let (id, message) = (injection.id.clone(), error.message);
                self.journal(Event::InjectFailed { injection: id, message, hindered_by: None });
                self.following.leave_out(&injection);
                // The agent has put it back; whether it could, it says once more.
                self.restoring.begin_some(vec![injection.id]);
                self.undoing_some = true;
            }
            Ok(_) => self.could_not_inject("the agent answered something else".to_owned()),
            Err(error) => self.agent_failed(error),
        }
    }
}
