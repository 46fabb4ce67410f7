//! Who sends what: hands each request that came due to a connection that is free, and keeps the rest waiting.
//!
//! Since intended times follow from a request's number alone, the line of waiting requests is two numbers,
//! however long it grows. Plain state, without I/O or clock: `now` is given.
//!
//! The pacer looks at the schedule at least every [`BEAT`]. When it did not for much longer, the generator itself was held
//! up: somebody stopped its process, or its machine was paused or starved. What was due or under way meanwhile tells
//! nothing of the server. It is booked as unknown, and what was not sent is not sent any more: all of it at once would be
//! a burst that no user makes.

use super::ledger::Ledger;
use super::schedule::Schedule;
use super::slice::End;
use squall_http::ErrorKind;

/// In place of an intended time: the sender is free.
const FREE: u64 = u64::MAX;

/// The pacer looks at the schedule at least this often, in nanoseconds.
pub(super) const BEAT: u64 = 100_000_000;

/// Looks further apart than this, in nanoseconds, mean that the generator was held up.
const HELD_UP: u64 = 350_000_000;

/// The line of waiting requests is sampled to at most this many ages for a reading.
const SAMPLED_AGES: u64 = 1000;

pub(super) struct Dispatch {
    /// None: each sender sends its next request when the last has ended.
    schedule: Option<Schedule>,
    timeout: u64,
    /// Requests `head..tail` of the schedule wait for a sender.
    head: u64,
    tail: u64,
    /// The intended time of what each sender is busy with, or [`FREE`].
    senders: Vec<u64>,
    senders_max: usize,
    free: Vec<usize>,
    /// When the generator's thread looked last.
    looked: u64,
    /// From when until when it was held up the last time; requests meant for before its end, and not booked by then, are
    /// unknown.
    held: Option<(u64, u64)>,
    pub(super) ledger: Ledger,
}

/// What the pacer has to do after a look at the schedule.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Wake this sender: it has been given a request.
    Wake(usize),
    /// Start a new sender with this number: it has been given a request.
    Hire(usize),
    /// Nothing more now; look again at this time.
    SleepUntil(u64),
}

impl Dispatch {
    /// `timeout` in nanoseconds.
    pub(super) fn new(schedule: Option<Schedule>, timeout: u64, senders_max: usize, ledger: Ledger) -> Self {
        Self {
            schedule,
            timeout,
            head: 0,
            tail: 0,
            senders: Vec::new(),
            senders_max,
            free: Vec::new(),
            looked: 0,
            held: None,
            ledger,
        }
    }

    /// Finds out whether the generator's thread is held up, or was until now. Anybody may ask.
    pub(super) fn notice(&mut self, now: u64) {
        if now.saturating_sub(self.looked) > HELD_UP {
            self.held = Some((self.looked, now));
        }
    }

    /// The same, asked by the generator's thread itself: it does look.
    fn look(&mut self, now: u64) {
        self.notice(now);
        self.looked = self.looked.max(now);
    }

    fn is_unknown(&self, intended: u64) -> bool {
        self.held.is_some_and(|(_, until)| intended <= until)
    }

    /// How long a request has waited while somebody looked, in nanoseconds.
    fn seen_waiting(&self, intended: u64, now: u64) -> u64 {
        let held = self.held.map_or(0, |(from, until)| until.saturating_sub(from.max(intended)));
        now.saturating_sub(intended).saturating_sub(held)
    }

    /// How a request truly ended. Of one that was under way while the generator was held up nothing is known, unless it had
    /// hung for most of its time by then: else short hold-ups again and again would hide all that hangs.
    fn end_of(&self, intended: u64, now: u64, end: End) -> End {
        let hung = match &end {
            End::Failed(error) => error.kind == ErrorKind::Timeout,
            End::Unsent => true,
            End::Answered { .. } | End::Unknown => false,
        };
        let is_told = hung && self.seen_waiting(intended, now) >= self.timeout / 2;
        if self.is_unknown(intended) && !is_told { End::Unknown } else { end }
    }

    /// The pacer's next task. To be asked until it says to sleep.
    pub(super) fn next_task(&mut self, now: u64) -> Task {
        self.look(now);
        let Some(schedule) = self.schedule else {
            return self.hire_all(now);
        };
        self.note_due(now);
        self.expire(now);
        if self.head == self.tail {
            return Task::SleepUntil(schedule.intended(self.tail));
        }
        let intended = schedule.intended(self.head);
        // The last one freed first: its connection is the least likely to have been closed for idleness.
        if let Some(sender) = self.free.pop() {
            self.head += 1;
            self.senders[sender] = intended;
            return Task::Wake(sender);
        }
        if self.senders.len() < self.senders_max {
            self.head += 1;
            self.senders.push(intended);
            return Task::Hire(self.senders.len() - 1);
        }
        Task::SleepUntil(schedule.intended(self.tail).min(intended.saturating_add(self.timeout)))
    }

    /// Books how `sender`'s request ended. Gives it the next one and its intended time, or sets it free.
    pub(super) fn finish(&mut self, sender: usize, now: u64, end: End) -> Option<u64> {
        self.look(now);
        let end = self.end_of(self.senders[sender], now, end);
        self.ledger.end(self.senders[sender], now, end);
        let next = self.take(now);
        self.senders[sender] = next.unwrap_or(FREE);
        if next.is_none() {
            self.free.push(sender);
        }
        next
    }

    /// The intended time of what `sender` has been given, if anything.
    pub(super) fn given(&self, sender: usize) -> Option<u64> {
        self.senders.get(sender).copied().filter(|intended| *intended != FREE)
    }

    /// Up to when all due requests have been booked.
    pub(super) fn noted(&self, now: u64) -> u64 {
        self.schedule.map_or(now, |schedule| schedule.intended(self.tail))
    }

    /// How many requests are with a sender.
    pub(super) fn in_flight(&self) -> u64 {
        (self.senders.len() - self.free.len()) as u64
    }

    /// How many requests wait for a sender.
    pub(super) fn waiting(&self) -> u64 {
        self.tail - self.head
    }

    /// The ages, in nanoseconds, of all requests that came due and have not ended, each with how many it stands for.
    pub(super) fn outstanding(&self, now: u64) -> Vec<(u64, u64)> {
        let busy = self.senders.iter().filter(|intended| **intended != FREE);
        let mut ages: Vec<_> = busy.map(|intended| (self.seen_waiting(*intended, now), 1)).collect();
        if let Some(schedule) = self.schedule {
            let step = self.waiting().div_ceil(SAMPLED_AGES).max(1);
            let mut number = self.head;
            while number < self.tail {
                let stands_for = step.min(self.tail - number);
                // The youngest of those it stands for: ages are lower bounds.
                let intended = schedule.intended(number + stands_for - 1);
                ages.push((self.seen_waiting(intended, now), stands_for));
                number += stands_for;
            }
        }
        ages
    }

    /// Forgets all that has not ended: the load was stopped.
    pub(super) fn abandon(&mut self, now: u64) {
        self.head = self.tail;
        self.senders.clear();
        self.free.clear();
        self.ledger.settle_all(now);
    }

    fn hire_all(&mut self, now: u64) -> Task {
        if self.senders.len() == self.senders_max {
            return Task::SleepUntil(u64::MAX);
        }
        self.ledger.due(now, now);
        self.senders.push(now);
        Task::Hire(self.senders.len() - 1)
    }

    /// The next request to be sent: the longest waiting one that can still be in time.
    fn take(&mut self, now: u64) -> Option<u64> {
        let Some(schedule) = self.schedule else {
            self.ledger.due(now, now);
            return Some(now);
        };
        self.note_due(now);
        self.expire(now);
        (self.head < self.tail).then(|| {
            self.head += 1;
            schedule.intended(self.head - 1)
        })
    }

    fn note_due(&mut self, now: u64) {
        let Some(schedule) = self.schedule else { return };
        while self.tail < schedule.due(now) {
            let intended = schedule.intended(self.tail);
            if self.is_unknown(intended) {
                self.give_up_line(now);
                self.ledger.missed(intended, now);
                self.head += 1;
            } else {
                self.ledger.due(intended, now);
            }
            self.tail += 1;
        }
    }

    /// Nobody knows what those that wait would have met: books all of them.
    fn give_up_line(&mut self, now: u64) {
        if let Some(schedule) = self.schedule {
            for number in std::mem::replace(&mut self.head, self.tail)..self.tail {
                self.ledger.end(schedule.intended(number), now, End::Unknown);
            }
        }
    }

    /// Books as unsent what has waited for the whole timeout.
    fn expire(&mut self, now: u64) {
        let Some(schedule) = self.schedule else { return };
        while self.head < self.tail && schedule.intended(self.head).saturating_add(self.timeout) <= now {
            let intended = schedule.intended(self.head);
            let end = self.end_of(intended, now, End::Unsent);
            self.ledger.end(intended, now, end);
            self.head += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use squall_http::HttpError;

    const MS: u64 = 1_000_000;

    /// 100 requests per second, at most `senders`, 50 ms timeout.
    fn dispatch(senders: usize) -> Dispatch {
        let ledger = Ledger::new(Instant::now(), Duration::from_millis(250), Duration::from_secs(1));
        Dispatch::new(Some(Schedule::new(100.0, 0, 1)), 50 * MS, senders, ledger)
    }

    fn ok() -> End {
        End::Answered { status: 200, expected: true }
    }

    #[test]
    fn senders_are_hired_when_none_is_free_and_reused_when_one_is() {
        let mut dispatch = dispatch(8);
        assert_eq!(dispatch.next_task(0), Task::Hire(0));
        assert_eq!(dispatch.next_task(0), Task::SleepUntil(10 * MS));
        assert_eq!(dispatch.finish(0, MS, ok()), None);
        assert_eq!(dispatch.next_task(10 * MS), Task::Wake(0));
        assert_eq!(dispatch.given(0), Some(10 * MS));
        assert_eq!(dispatch.next_task(20 * MS), Task::Hire(1));
        assert_eq!(dispatch.in_flight(), 2);
    }

    #[test]
    fn beyond_the_bound_requests_wait_and_then_count_as_unsent() {
        let mut dispatch = dispatch(1);
        assert_eq!(dispatch.next_task(0), Task::Hire(0));
        assert_eq!(dispatch.next_task(35 * MS), Task::SleepUntil(40 * MS));
        assert_eq!(dispatch.waiting(), 3);
        assert_eq!(dispatch.next_task(62 * MS), Task::SleepUntil(70 * MS));
        assert_eq!(dispatch.waiting(), 5, "the one of 10 ms has waited 50 ms");
        // The sender was held for 85 ms: those of 20 and 30 ms are lost too, that of 40 ms goes out.
        assert_eq!(dispatch.finish(0, 85 * MS, ok()), Some(40 * MS));
        let counts = dispatch.ledger.running(85 * MS).counts;
        assert_eq!((counts.success, counts.unsent), (1, 3));
        assert_eq!(dispatch.outstanding(85 * MS).len(), 5);
    }

    #[test]
    fn lateness_is_the_pacers_not_the_servers() {
        let mut dispatch = dispatch(8);
        dispatch.next_task(0);
        dispatch.finish(0, 25 * MS, ok());
        // Requests of 10 and 20 ms are seen at 25 ms only, whatever held the pacer up.
        let late = dispatch.ledger.running(25 * MS).late;
        assert_eq!(
            (late.count, late.max, late.mean()),
            (3, Duration::from_millis(15), Duration::from_micros(6666) + Duration::from_nanos(666))
        );
    }

    #[test]
    fn what_was_due_or_under_way_while_the_generator_was_held_up_is_unknown() {
        let mut dispatch = dispatch(2);
        assert_eq!((dispatch.next_task(0), dispatch.next_task(10 * MS)), (Task::Hire(0), Task::Hire(1)));
        assert_eq!(dispatch.finish(0, 15 * MS, ok()), None);
        assert_eq!(dispatch.next_task(20 * MS), Task::Wake(0));
        assert_eq!(dispatch.next_task(32 * MS), Task::SleepUntil(40 * MS), "one waits for a sender");
        // Whoever looks from outside is not told that the server is slow.
        dispatch.notice(4020 * MS);
        assert_eq!(dispatch.outstanding(4020 * MS), [(12 * MS, 1), (22 * MS, 1), (2 * MS, 1)]);
        // The generator goes on: an answer that came meanwhile, a timeout that went off, one in time.
        let timeout = HttpError::timeout("GET /".to_owned(), Duration::from_millis(50));
        assert_eq!(dispatch.finish(1, 4021 * MS, End::Failed(timeout)), None, "no burst of what was missed");
        assert_eq!(dispatch.finish(0, 4021 * MS, ok()), None);
        assert_eq!(dispatch.next_task(4025 * MS), Task::SleepUntil(4030 * MS));
        assert_eq!(dispatch.next_task(4030 * MS), Task::Wake(0));
        assert_eq!(dispatch.finish(0, 4031 * MS, ok()), None);
        dispatch.ledger.settle_all(4031 * MS);
        let settled = dispatch.ledger.settled();
        let mut counts = settled[0].counts;
        settled.iter().skip(1).for_each(|slice| counts.merge(&slice.counts));
        assert_eq!((counts.intended, counts.success, counts.ended(), counts.unknown), (404, 2, 2, 402));
        assert_eq!(counts.unfinished(), 0);
        assert!(settled.iter().all(|slice| slice.late.max < Duration::from_millis(30)));
        assert_eq!(counts.throughput(Duration::from_secs(4)), Some(101.0), "of those known, for all");
    }

    #[test]
    fn what_hung_before_the_generator_was_held_up_is_no_unknown() {
        let mut dispatch = dispatch(2);
        dispatch.next_task(0);
        for now in [10, 20, 30, 40] {
            dispatch.next_task(now * MS);
        }
        // Held up for 400 ms, when the first had waited for 40 of its 50 ms.
        let timeout = HttpError::timeout("GET /".to_owned(), Duration::from_millis(50));
        dispatch.finish(0, 440 * MS, End::Failed(timeout));
        assert_eq!(dispatch.ledger.running(440 * MS).counts.timeout, 1);
    }

    #[test]
    fn a_long_line_is_sampled_by_lower_bounds() {
        let ledger = Ledger::new(Instant::now(), Duration::from_millis(250), Duration::from_secs(1));
        let mut dispatch = Dispatch::new(Some(Schedule::new(1e6, 0, 1)), u64::MAX, 0, ledger);
        dispatch.next_task(10 * MS);
        let ages = dispatch.outstanding(10 * MS);
        assert!(ages.len() <= 1000, "{}", ages.len());
        assert_eq!(ages.iter().map(|(_, count)| count).sum::<u64>(), dispatch.waiting());
        assert_eq!(dispatch.waiting(), 10_001);
    }

    #[test]
    fn without_a_schedule_each_sender_goes_on_by_itself() {
        let ledger = Ledger::new(Instant::now(), Duration::from_millis(250), Duration::from_secs(1));
        let mut dispatch = Dispatch::new(None, 50 * MS, 2, ledger);
        assert_eq!(dispatch.next_task(MS), Task::Hire(0));
        assert_eq!(dispatch.next_task(MS), Task::Hire(1));
        assert_eq!(dispatch.next_task(MS), Task::SleepUntil(u64::MAX));
        assert_eq!(dispatch.finish(1, 3 * MS, ok()), Some(3 * MS));
    }
}
