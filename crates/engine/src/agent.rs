//! The agent without I/O: what it answers, and when it puts everything back by itself.
//!
//! ```text
//! AgentCore::new(hands, faults, warden)        faults: the table of all faults; warden: its process number
//! core.handle(now, request) -> Response        one answer for each request, in order
//! core.answered(now)                           call when the answer is written: the lease counts anew from here, and
//!                                              what was made has its whole time
//! core.tick(now, halt_file_present) -> Vec<Restored>     call at `next_deadline`, and often enough for the halt file
//! core.next_deadline() -> Option<Duration>     when `tick` must be called at the latest; none while nothing is live
//! core.stream_ended() -> Vec<Restored>         the brain is gone: put everything back, then exit
//! core.finished()                              whether `Bye` was answered
//! core.owes()                                  whether something could not be put back (its log is kept)
//! ```
//!
//! `now` is a monotonic time since the agent's start, so no clock jump matters; for a request, best the time at which
//! its first byte was read.
//!
//! Three things end the injections without being asked: nothing was heard for longer than the lease; the `halt` file
//! is there; an injection is older than it may last, which is its own time, the lease and [`GRACE`], because its
//! brain talks and has forgotten it. After each, the agent is *halted*: it holds nothing more, and answers `Inject`,
//! `Observe` and `Renew` with [`CallErrorKind::Halted`] and the reason. What it could not put back it tries again, with
//! growing pauses, until it can. What it put back by itself is told in the answer to the next `Undo`, `Recover` or `Bye`.

use crate::hands::Hands;
use squall_model::fault::AnyFault;
use squall_model::machine::Machine;
use squall_model::protocol::{self, Answer, Call, CallError, CallErrorKind, Request, Response, Restored};
use squall_model::undo_log::Disk;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How much longer than its own time and the lease an injection may live before the agent ends it.
pub const GRACE: Duration = Duration::from_secs(2);

/// The pauses between tries to put back what a halted agent still owes: the first, and the longest. Each is twice the
/// one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// The table of all faults.
pub type Faults = &'static [&'static dyn AnyFault];

/// The agent's logic. See the module for how it is driven.
pub struct AgentCore<M, D> {
    hands: Hands<M, D>,
    faults: Faults,
    warden: u32,
    /// What `Hello` agreed on; none before it.
    lease: Option<Duration>,
    /// When the brain was last heard, or last answered.
    heard: Duration,
    /// When each injection that is owed must be over.
    deadlines: BTreeMap<String, Duration>,
    /// What the last call asked to be made.
    made: Vec<String>,
    /// Whether `Hello` said that nothing is to be touched.
    looks_only: bool,
    /// Why injections are no longer held.
    halted: Option<String>,
    /// When a halted agent tries again, and the pause before that.
    again: (Duration, Duration),
    /// What was put back without being asked and is not told yet.
    untold: Vec<Restored>,
    finished: bool,
}

impl<M: Machine, D: Disk> AgentCore<M, D> {
    /// An agent that waits for its first call. `warden` is the number of the process that watches it.
    pub fn new(hands: Hands<M, D>, faults: Faults, warden: u32) -> Self {
        Self {
            hands,
            faults,
            warden,
            lease: None,
            heard: Duration::ZERO,
            deadlines: BTreeMap::new(),
            made: Vec::new(),
            looks_only: false,
            halted: None,
            again: Default::default(),
            untold: Vec::new(),
            finished: false,
        }
    }

    /// Answers a request that was heard at `now`.
    pub fn handle(&mut self, now: Duration, request: Request) -> Response {
        self.expire(now);
        self.heard = now;
        Response { number: request.number, answer: self.answer(request.call) }
    }

    /// An answer was written at `now`. A brain that waits for an answer is not silent, however long it took; and what
    /// was made meanwhile has its whole time from now on.
    pub fn answered(&mut self, now: Duration) {
        self.heard = self.heard.max(now);
        let lease = self.lease.unwrap_or_default();
        // Thousands are made in parts; the first wait for the last, and all have their whole time from then on. Who joins
        // them later has less time, and gives them none.
        let part = |injection: &String| Some((self.hands.entry(injection)?, self.hands.lasts(injection)?));
        let parts: BTreeSet<_> = std::mem::take(&mut self.made).iter().filter_map(part).collect();
        for injection in self.hands.live() {
            let lasts = self.hands.lasts(&injection).unwrap_or_default().0;
            let is_of_part = part(&injection).is_some_and(|one| parts.contains(&one));
            let deadline = now + lasts + lease + GRACE;
            let known = self.deadlines.entry(injection).or_insert(deadline);
            if is_of_part {
                *known = deadline;
            }
        }
    }

    /// Looks whether injections must end, and puts them back if so.
    pub fn tick(&mut self, now: Duration, halt_file_present: bool) -> Vec<Restored> {
        if halt_file_present && self.halted.is_none() {
            return self.halt(
                now,
                "the file `halt` is there: everything was put back, and nothing is injected until it is removed",
            );
        }
        self.expire(now)
    }

    /// When [`tick`](Self::tick) must be called at the latest.
    pub fn next_deadline(&self) -> Option<Duration> {
        if !self.hands.owes() {
            None
        } else if self.halted.is_some() {
            Some(self.again.0)
        } else {
            let lease = self.heard + self.lease.unwrap_or_default();
            self.deadlines.values().copied().chain([lease]).min()
        }
    }

    /// The stream ended: puts everything back. To be repeated while [`owes`](Self::owes), a few times at most. Returns all
    /// that the brain was not told any more.
    pub fn stream_ended(&mut self) -> Vec<Restored> {
        self.put_all_back();
        self.untold.clone()
    }

    /// Whether it was greeted by somebody who only looks.
    pub fn only_looks(&self) -> bool {
        self.looks_only
    }

    /// Whether the last call was answered.
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Whether something is not put back.
    pub fn owes(&self) -> bool {
        self.hands.owes()
    }

    /// The hands.
    pub fn hands(&mut self) -> &mut Hands<M, D> {
        &mut self.hands
    }

    /// Ends what has lived too long: everything, because a brain that forgets one injection cannot be trusted with
    /// the others.
    fn expire(&mut self, now: Duration) -> Vec<Restored> {
        if !self.hands.owes() {
            return Vec::new();
        }
        if self.halted.is_some() {
            let (at, pause) = self.again;
            return if now < at { Vec::new() } else { self.put_back(now, (pause * 2).min(PAUSES.1)) };
        }
        let lease = self.lease.unwrap_or_default();
        if now > self.heard + lease {
            let lease = squall_model::units::Duration(lease);
            return self.halt(
                now,
                &format!(
                    "the lease expired: nothing was heard for longer than {lease}, so everything was put back"
                ),
            );
        }
        match self.deadlines.iter().find(|(_, deadline)| now > **deadline) {
            None => Vec::new(),
            Some((injection, _)) => {
                let reason =
                    format!("injection {injection} was not ended in its time, so everything was put back");
                self.halt(now, &reason)
            }
        }
    }

    fn halt(&mut self, now: Duration, reason: &str) -> Vec<Restored> {
        self.halted = Some(reason.to_owned());
        self.put_back(now, PAUSES.0)
    }

    /// Puts everything back without being asked; what cannot be is tried again after the pause.
    fn put_back(&mut self, now: Duration, pause: Duration) -> Vec<Restored> {
        self.again = (now + pause, pause);
        self.put_all_back()
    }

    fn put_all_back(&mut self) -> Vec<Restored> {
        self.deadlines.clear();
        let restored = self.hands.undo(&[]);
        Restored::supersede(&mut self.untold, &restored);
        restored
    }

    fn answer(&mut self, call: Call) -> Result<Answer, CallError> {
        match (&self.lease, &call) {
            (None, Call::Hello { .. } | Call::Bye) => {}
            (None, _) => return Err(invalid("the first call must be hello")),
            (Some(_), Call::Hello { .. }) => return Err(invalid("hello was said already")),
            (Some(_), _) => {}
        }
        if let (Some(reason), Call::Inject { .. } | Call::Observe | Call::Renew) = (&self.halted, &call) {
            return Err(CallError { kind: CallErrorKind::Halted, message: reason.clone(), entry: None });
        }
        if let (true, Call::Inject { .. } | Call::Recover) = (self.looks_only, &call) {
            return Err(invalid("this agent was greeted by somebody who only looks: it touches nothing"));
        }
        match call {
            Call::Hello { version, run, lease, looks_only, servers } => {
                self.looks_only = looks_only;
                self.hands.machine().hear_of(&servers);
                self.hello(version, &run, lease)
            }
            Call::Host => Ok(Answer::Host(self.hands.machine().host()?)),
            Call::Plan(request) => self.hands.plan(&request, self.faults).map(Answer::Plan),
            Call::Inject { injections } => {
                self.made.clone_from(&injections);
                self.hands.inject(&injections).map(Answer::Injected)
            }
            Call::Observe => Ok(Answer::Observed { evidence: self.hands.observe() }),
            Call::Undo { injections } => Ok(Answer::Restored { restored: self.undo(&injections) }),
            Call::Renew => Ok(Answer::Renewed { live: self.hands.live() }),
            Call::Recover => {
                let mut restored = std::mem::take(&mut self.untold);
                restored.extend(self.hands.recover()?);
                Ok(Answer::Restored { restored })
            }
            Call::Leftovers => Ok(Answer::Leftovers { found: self.hands.leftovers()? }),
            Call::Bye => {
                self.finished = true;
                Ok(Answer::Restored { restored: self.undo(&[]) })
            }
        }
    }

    /// Orphans are put back before anything else, even for a brain that cannot be served; not for one that only looks.
    fn hello(
        &mut self,
        version: u32,
        run: &str,
        lease: squall_model::units::Duration,
    ) -> Result<Answer, CallError> {
        let recovered = if self.looks_only { Vec::new() } else { self.hands.recover()? };
        if version != protocol::VERSION {
            self.untold.extend(recovered);
            return Err(invalid(format!(
                "this agent speaks version {} of the protocol and was called in version {version}; use the same \
                 release of squall on both sides",
                protocol::VERSION
            )));
        }
        protocol::check_lease(lease).map_err(invalid)?;
        self.hands.begin(run, lease);
        self.lease = Some(lease.0);
        let pid = self.hands.owner().pid;
        Ok(Answer::Hello { version: protocol::VERSION, pid, warden: self.warden, recovered })
    }

    /// Puts back what is asked for, and tells what was put back before without being asked. Where the two are about
    /// the same injection, as when a second try succeeds, the later word counts.
    fn undo(&mut self, injections: &[String]) -> Vec<Restored> {
        let now = self.hands.undo(injections);
        let live: BTreeSet<String> = self.hands.live().into_iter().collect();
        self.deadlines.retain(|injection, _| live.contains(injection));
        let is_asked =
            |restored: &Restored| injections.is_empty() || injections.contains(&restored.injection);
        let (told, untold) = std::mem::take(&mut self.untold).into_iter().partition(is_asked);
        self.untold = untold;
        let newer: BTreeSet<&String> = now.iter().map(|restored| &restored.injection).collect();
        let is_newer = |restored: &Restored| newer.contains(&restored.injection);
        Vec::into_iter(told).filter(|restored| !is_newer(restored)).chain(now.clone()).collect()
    }
}

fn invalid(message: impl Into<String>) -> CallError {
    CallError { kind: CallErrorKind::Invalid, message: message.into(), entry: None }
}
