//! A circuit breaker: stop calling what does not answer, and ask again with one call at a time.
//!
//! Waiting out a timeout on every call is slow for the customer and keeps the failing service under load.
//! So when many of the last calls failed, the breaker *opens*: calls fail at once, and the caller goes
//! straight to its fallback. After a rest it is *half open*: a single call may try; its success closes the
//! breaker, its failure opens it for another rest. Source: Nygard, *Release It!*, chapter 5, "Circuit Breaker".

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::config::BreakerSettings;
use super::lock;

/// A circuit breaker for one upstream.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Calls flow; these are the last of them, `true` for those that failed.
    Closed(VecDeque<bool>),
    /// No calls before this.
    Open(Instant),
    /// One call is out to see whether the upstream is back.
    HalfOpen,
}

impl Breaker {
    /// A closed breaker.
    pub(super) fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: Mutex::new(State::Closed(VecDeque::new())) }
    }

    /// Leave for one call, or none.
    pub(super) fn admit(&self) -> Option<Pass<'_>> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<Pass<'_>> {
        let mut state = lock(&self.state);
        let scout = match *state {
            State::Closed(_) => false,
            State::Open(until) if now >= until => {
                *state = State::HalfOpen;
                true
            }
            State::Open(_) | State::HalfOpen => return None,
        };
        Some(Pass { breaker: self, scout, verdict: None })
    }

    /// Whether calls are turned away.
    pub(super) fn is_open(&self) -> bool {
        !matches!(*lock(&self.state), State::Closed(_))
    }

    fn judge(&self, scout: bool, failed: bool, now: Instant) {
        let mut state = lock(&self.state);
        if scout {
            *state = if failed { self.rest(now) } else { State::Closed(VecDeque::new()) };
            return;
        }
        // A call from before it opened comes back too late to matter.
        let State::Closed(recent) = &mut *state else { return };
        if recent.len() == self.settings.of {
            recent.pop_front();
        }
        recent.push_back(failed);
        if recent.iter().filter(|failed| **failed).count() >= self.settings.failures {
            *state = self.rest(now);
        }
    }

    fn rest(&self, now: Instant) -> State {
        State::Open(now.checked_add(Duration::from_millis(self.settings.open_ms)).unwrap_or(now))
    }
}

/// Leave for one call. A call that is given up before it has an end says nothing, except for the one call of a
/// half-open breaker: that one has not come back, and so the breaker opens again.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    scout: bool,
    verdict: Option<bool>,
}

impl Pass<'_> {
    /// Reports how the call ended.
    pub(super) fn end(mut self, failed: bool) {
        self.verdict = Some(failed);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.scout || self.verdict.is_some() {
            self.breaker.judge(self.scout, self.verdict.unwrap_or(true), Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_hours(1);

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings { failures: 3, of: 5, open_ms: REST.as_millis() as u64 })
    }

    fn fail(breaker: &Breaker, times: usize) {
        for _ in 0..times {
            breaker.admit().unwrap().end(true);
        }
    }

    #[test]
    fn opens_at_the_limit_and_not_before() {
        let breaker = breaker();
        fail(&breaker, 2);
        assert!(!breaker.is_open());
        fail(&breaker, 1);
        assert!(breaker.is_open());
        assert!(breaker.admit().is_none());
    }

    #[test]
    fn only_the_last_calls_count() {
        let breaker = breaker();
        for _ in 0..20 {
            fail(&breaker, 2);
            for _ in 0..4 {
                breaker.admit().unwrap().end(false);
            }
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn after_a_rest_one_call_decides() {
        let breaker = breaker();
        fail(&breaker, 3);
        let later = Instant::now() + 2 * REST;
        let scout = breaker.admit_at(later).unwrap();
        assert!(breaker.admit_at(later).is_none());
        scout.end(true);
        assert!(breaker.is_open());
        breaker.admit_at(later).unwrap().end(false);
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_scout_that_never_returns_does_not_leave_it_half_open() {
        let breaker = breaker();
        fail(&breaker, 3);
        drop(breaker.admit_at(Instant::now() + 2 * REST).unwrap());
        assert!(breaker.admit().is_none());
        assert!(breaker.admit_at(Instant::now() + 2 * REST).is_some());
    }

    #[test]
    fn late_answers_change_nothing() {
        let breaker = breaker();
        let early = breaker.admit().unwrap();
        fail(&breaker, 3);
        early.end(false);
        assert!(breaker.is_open());
    }
}
