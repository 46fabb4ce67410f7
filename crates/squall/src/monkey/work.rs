//! Carrying days out: plan, wait, tell, strike, tell, write down.

use super::settle::{After, words};
use super::teller::Announcer;
use super::{Clock, Event, Records, Seen, Teller, look, overrides};
use crate::audit;
use crate::carry::{self, AgentOptions, Order, View};
use crate::exit::Failure;
use crate::files;
use crate::out;
use crate::state::{Audience, State};
use crate::telling;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use squall_model::target::Target;
use squall_model::verdict::Verdict;
use squall_outbox::Outbox;
use squall_practice::monkey::{Choice, Config, DayPlan, Victims, experiment, victims};
use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long after its time a strike is still made; what is later was missed.
const TOO_LATE: SignedDuration = SignedDuration::from_secs(60);
/// How often the clock, the `halt` file and the day are looked at.
const LOOKS: Duration = Duration::from_millis(500);
/// How often a day that could not be planned, or is to be planned next, is tried again.
const LOOKS_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// When the next day is planned, at the latest: so long before it begins.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// How long the monkey works.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// Until it is stopped.
    Stopped,
    /// Until all of today's strikes are through.
    DayIsDone,
    /// Until then.
    Time(Timestamp),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    /// As it was asked to; with the worst verdict of its strikes, if there were any.
    AsAsked(Option<Verdict>),
    /// By a signal.
    Stopped,
    /// By the `halt` file, or an experiment was halted.
    Halted,
}

/// A monkey at work.
pub(crate) struct Work<'w> {
    pub(crate) config: &'w Config,
    pub(crate) file: PathBuf,
    pub(crate) seed: u64,
    /// Whether it only tells what it would do.
    pub(crate) dry: bool,
    pub(crate) state: &'w State,
    pub(crate) records: &'w Records,
    pub(crate) clock: Clock,
    pub(crate) agent: AgentOptions,
    pub(crate) teller: Arc<Teller>,
    /// Tells other systems of the strikes.
    pub(crate) outbox: &'w Outbox,
    pub(crate) audience: Audience,
    /// What the settings protect.
    pub(crate) spared: Vec<Target>,
    /// What was last said of places that could not be looked at: it is not said twice in a row.
    pub(crate) warned: RefCell<Option<String>>,
}

/// Waits, and hears signals also while nobody waits.
struct Patience {
    runtime: Runtime,
    signals: Vec<Signal>,
}

impl Patience {
    fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let inside = runtime.enter();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let signals = kinds.into_iter().map(signal).collect::<io::Result<_>>()?;
        drop(inside);
        Ok(Self { runtime, signals })
    }

    /// Waits for a while; whether a signal came.
    fn wait(&mut self, at_most: Duration) -> bool {
        let [first, second, third] = self.signals.as_mut_slice() else { return false };
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = first.recv() => true,
                _ = second.recv() => true,
                _ = third.recv() => true,
                () = tokio::time::sleep(at_most) => false,
            }
        })
    }
}

/// One thing to be done on a day.
#[derive(Debug, Clone)]
struct Task {
    at: Timestamp,
    choice: Choice,
    strike: bool,
}

impl Work<'_> {
    /// Works until it is time to end.
    pub(crate) fn carry_on(&self, until: Until) -> Result<Done, Failure> {
        let mut patience = Patience::new()?;
        let mut worst = None;
        let began = self.clock.now();
        let mut is_idle = true;
        let mut date = self.today();
        let mut unsettled = self.settle_what_was_begun()?;
        let mut tasks = self.begin_day(date)?;
        let mut looked = self.clock.now();
        loop {
            if self.state.halt_file().exists() {
                return Ok(Done::Halted);
            }
            if unsettled {
                unsettled = self.settle_what_was_begun()?;
            }
            let now = self.clock.now();
            if self.is_over(until, now, date, tasks.is_empty()) {
                if is_idle {
                    let why = self.idle(until, began);
                    out::warn(format!("monkey {}: nothing was done: {why}", self.config.name));
                }
                return Ok(Done::AsAsked(worst));
            }
            if self.today() > date {
                date = self.today();
                tasks = self.begin_day(date)?;
            } else if now.duration_since(looked) > LOOKS_AGAIN {
                looked = now;
                // Not everything could be looked at when the day was planned: now, maybe.
                if self.records.plan(date).is_none() {
                    tasks = self.begin_day(date)?;
                }
                self.plan_ahead(date, now)?;
            }
            if tasks.first().is_some_and(|task| task.at <= now) {
                let task = tasks.remove(0);
                is_idle &= self.is_settled(date, &task.choice);
                worst = worst.max(self.attend_to(date, &task)?);
                continue;
            }
            let next = tasks.first().map_or(LOOKS, |task| {
                Duration::try_from(task.at.duration_since(now)).unwrap_or_default().min(LOOKS)
            });
            if patience.wait(next) {
                return Ok(Done::Stopped);
            }
        }
    }

    /// Whether it has worked as long as it was asked to.
    fn is_over(&self, until: Until, now: Timestamp, date: Date, is_through: bool) -> bool {
        match until {
            Until::Stopped => false,
            Until::Time(end) => now >= end,
            Until::DayIsDone => is_through || self.today() > date,
        }
    }

    /// Why there was nothing to do.
    fn idle(&self, until: Until, began: Timestamp) -> String {
        let time = |at: Timestamp| {
            self.config.calendar.time_zone.at(at).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
        };
        if let Until::Time(end) = until
            && end <= began
        {
            return format!("--until {} was over already when it began ({})", time(end), time(began));
        }
        let date = self.config.calendar.date(began);
        let Some(plan) = self.records.plan(date) else {
            return format!("{date} could not be planned, since not everything could be looked at");
        };
        let strikes = plan.strikes();
        match (&plan.closed, strikes.first().zip(strikes.last())) {
            (Some(why), _) => format!("on {date} there is no instant for a strike: {why}"),
            (None, None) => format!("no strike is planned for {date}; `squall monkey explain` says why"),
            (None, Some((first, last))) => format!(
                "of the {} planned for {date}, from {} to {}, none was due; `squall monkey explain` says what became of them",
                if strikes.len() == 1 { "1 strike".to_owned() } else { format!("{} strikes", strikes.len()) },
                time(first.0),
                time(last.0)
            ),
        }
    }

    fn today(&self) -> Date {
        self.config.calendar.date(self.clock.now())
    }

    /// Plans a day unless it is planned, and lists what is to be done on it.
    fn begin_day(&self, date: Date) -> Result<Vec<Task>, Failure> {
        let plan = self.plan(date)?;
        self.plan_ahead(date, self.clock.now())?;
        let before = SignedDuration::try_from(self.config.told_before.0).unwrap_or_default();
        let mut tasks = Vec::new();
        for (at, choice) in plan.strikes() {
            // Right before the strike its owner is told in any case.
            if before > SignedDuration::ZERO {
                let early = at.saturating_sub(before).unwrap_or(at);
                tasks.push(Task { at: early, choice: choice.clone(), strike: false });
            }
            tasks.push(Task { at, choice: choice.clone(), strike: true });
        }
        tasks.sort_by_key(|task| task.at);
        let now = self.clock.now();
        let (missed, open): (Vec<Task>, Vec<Task>) =
            tasks.into_iter().partition(|task| now.duration_since(task.at) > TOO_LATE);
        for task in missed.into_iter().filter(|task| task.strike && !self.is_settled(date, &task.choice)) {
            self.spare(date, &task.choice, "its time passed while nobody was at work".to_owned())?;
        }
        Ok(open)
    }

    /// The plan of a day: as it was written, or written now.
    fn plan(&self, date: Date) -> Result<DayPlan, Failure> {
        if let Some(plan) = self.records.plan(date) {
            if !plan.is_of(self.config, self.seed) {
                out::warn(format!("monkey: note: {}", super::stays(date)));
            }
            return Ok(plan);
        }
        let seen = look(self.config);
        for why in &seen.unknown {
            self.note_once(date, Event::Spared { why: why.clone() })?;
        }
        let history = self.records.history(self.dry);
        let plan = DayPlan::make(self.config, self.seed, date, &seen.instances, &history);
        // A place that could not be looked at may be seen later; what is written down is not made again.
        if seen.unknown.is_empty() {
            self.records.write_plan(&plan).map_err(|error| self.unwritten(&error))?;
            self.note(date, None, Event::Planned { strikes: plan.strikes().len() })?;
        }
        Ok(plan)
    }

    /// Plans the next day on which it may strike, when that is a day away.
    fn plan_ahead(&self, today: Date, now: Timestamp) -> Result<(), Failure> {
        let Some(next) = self.config.calendar.next_work_day(today) else { return Ok(()) };
        let begins = self.config.calendar.time_zone.start_of(next);
        if begins.duration_since(now) <= AHEAD && self.records.plan(next).is_none() {
            self.plan(next)?;
        }
        Ok(())
    }

    /// Tells or strikes; the verdict where something was carried out.
    fn attend_to(&self, date: Date, task: &Task) -> Result<Option<Verdict>, Failure> {
        if self.is_settled(date, &task.choice) {
            return Ok(None);
        }
        if task.strike {
            return self.strike(date, &task.choice);
        }
        let instances = task.choice.instances;
        if instances <= self.config.kill_of(&task.choice.group.app).keep_healthy {
            // The file asks for a higher floor since the plan was written: nothing is announced that cannot be.
            return Ok(None);
        }
        let words = format!("{}one of {instances} instances is to be ended today", self.would());
        self.tell(date, &task.choice, words)?;
        Ok(None)
    }

    fn would(&self) -> &'static str {
        if self.dry { "(leashed: it will not be) " } else { "" }
    }

    /// Whether a group's turn of a day is over: it was struck, or it was decided that it is not.
    fn is_settled(&self, date: Date, choice: &Choice) -> bool {
        let key = Some(choice.group.key());
        self.records.log().iter().any(|entry| {
            entry.date == date && entry.group == key && !matches!(entry.event, Event::Told { .. })
        })
    }

    fn strike(&self, date: Date, choice: &Choice) -> Result<Option<Verdict>, Failure> {
        let now = self.clock.now();
        let Seen { instances, unknown } = look(self.config);
        let chosen = match victims(self.config, self.seed, &choice.group, &instances, now) {
            Ok(chosen) => chosen,
            Err(spared) => {
                let why: Vec<String> = std::iter::once(spared.to_string()).chain(unknown).collect();
                self.spare(date, choice, why.join("; "))?;
                return Ok(None);
            }
        };
        let name = chosen.name();
        if self.dry {
            self.note(date, Some(choice), Event::Leashed { instance: name.clone() })?;
            self.tell(date, choice, format!("leashed: {name} would have been ended now"))?;
            return Ok(None);
        }
        let striking =
            Event::Striking { instance: name.clone(), id: chosen.id(), by_host: Some(Timestamp::now()) };
        self.note(date, Some(choice), striking)?;
        // Its owner hears of it when nothing speaks against it any more.
        let words_now = match chosen.instances.len() {
            1 => format!("{name} is ended now, one of {} instances", chosen.of),
            count => format!("{name} are ended now, {count} of {} instances", chosen.of),
        };
        let announcer = Announcer::new(&self.teller, date, choice, words_now);
        let after = match self.carry_out(choice, &chosen, announcer) {
            Ok(carried) => After::of(carried),
            Err(failure) => After::nothing(Verdict::Invalid, failure.to_string()),
        };
        self.settle(date, choice, &name, &after)?;
        Ok(Some(after.verdict).filter(|verdict| !matches!(verdict, Verdict::Invalid | Verdict::NotSteady)))
    }

    /// Writes down and tells what came of a strike.
    pub(super) fn settle(
        &self,
        date: Date,
        choice: &Choice,
        name: &str,
        after: &After,
    ) -> Result<(), Failure> {
        if !after.touched {
            return self.spare(date, choice, after.spared(name));
        }
        let (instance, reason) = (name.to_owned(), after.reason.clone());
        let struck = Event::Struck { instance, verdict: after.verdict.to_string(), reason, touched: true };
        self.note(date, Some(choice), struck)?;
        let details = [("instance", name), ("verdict", after.verdict.name()), ("why", after.reason.as_str())];
        self.audit("monkey_killed", choice, &details);
        self.tell(date, choice, words(self.config, name, after))
    }

    fn carry_out(
        &self,
        choice: &Choice,
        chosen: &Victims<'_>,
        announcer: Announcer,
    ) -> Result<carry::Carried, Failure> {
        let mut witnesses = telling::witnesses(self.outbox);
        witnesses.push(Box::new(announcer));
        let name = format!("{}: {}", self.file.display(), choice.group);
        let text = experiment(self.config, &choice.group, chosen).to_string();
        let mut experiment = files::of_text(&name, text, &overrides()?)?;
        experiment.blast_radius.spared.clone_from(&self.spared);
        let order = Order {
            file: self.file.clone(),
            experiment,
            options: Vec::new(),
            seed: self.seed,
            environment: String::new(),
            origin: format!("monkey {}", self.config.name),
            agent: self.agent.clone(),
            journal: None,
            approver: None,
            view: View::Quiet,
            witnesses,
            audience: self.audience.clone(),
            halts: None,
            run: None,
        };
        carry::out(self.state, order)
    }

    fn spare(&self, date: Date, choice: &Choice, why: String) -> Result<(), Failure> {
        self.note(date, Some(choice), Event::Spared { why: why.clone() })?;
        self.audit("monkey_spared", choice, &[("why", &why)]);
        self.tell(date, choice, format!("spared: {why}"))
    }

    fn audit(&self, what: &str, choice: &Choice, details: &[(&str, &str)]) {
        let monkey = [("monkey", self.config.name.as_str())];
        audit::note(self.state, what, &choice.group.to_string(), &[&monkey, details].concat());
    }

    fn tell(&self, date: Date, choice: &Choice, words: String) -> Result<(), Failure> {
        self.teller.tell(date, choice, words).map_err(|error| self.unwritten(&error))
    }

    fn note(&self, date: Date, choice: Option<&Choice>, event: Event) -> Result<(), Failure> {
        self.teller.note(date, choice, event).map_err(|error| self.unwritten(&error))
    }

    /// The same about a day, unless the log ends with it.
    fn note_once(&self, date: Date, event: Event) -> Result<(), Failure> {
        let last = self.records.log().pop();
        if last.is_some_and(|last| (last.date, last.group, &last.event) == (date, None, &event)) {
            return Ok(());
        }
        if let Event::Spared { why } = &event
            && self.warned.replace(Some(why.clone())).as_ref() != Some(why)
        {
            out::warn(format!("monkey: {why}"));
        }
        self.note(date, None, event)
    }

    /// What cannot be written down is not done.
    fn unwritten(&self, error: &io::Error) -> Failure {
        Failure::invalid(format!(
            "{}; the monkey strikes nothing that it cannot write down",
            self.state.unusable(error)
        ))
    }
}
