//! What is remembered of the past: runs and game days, each folded from its journal, and the facts that are judged.
//!
//! A memory is made of the journal's events alone, so that it can be made again from them at any time.

use crate::condition::Bound;
use crate::event::{AbortCause, Entry, Event, MetricChange};
use crate::gameday;
use crate::verdict::Verdict;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a run was carried out for, where nobody started it by hand: by a pipeline, or by the monkey.
pub const UNATTENDED: [&str; 2] = ["ci", "monkey"];

/// What a run is carried out for that searches for how much of a fault an experiment takes.
pub const LIMIT: &str = "limit";

/// What a run is carried out for that is about the shop that comes with Squall.
pub const DEMO: &str = "demo";

/// What is remembered of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// Its unique name.
    pub run: String,
    /// Name of the experiment.
    pub experiment: String,
    /// Its hypothesis.
    pub hypothesis: String,
    /// The file.
    pub file: String,
    /// Options that carry it out again in the same way, without secrets.
    pub options: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Services of the blast radius.
    pub services: Vec<String>,
    /// The environment; empty where that was not said.
    pub environment: String,
    /// Name of the host.
    pub host: String,
    /// What it was carried out for: `run`, `ci`, `gameday SESSION`, `monkey NAME`.
    pub origin: String,
    /// Name of the user who started it.
    pub by: String,
    /// A mark of what its faults are, how much of them and for how long; empty where an older Squall carried it out.
    pub fingerprint: String,
    /// Made its choices repeatable.
    pub seed: u64,
    /// Version of Squall.
    pub squall: String,
    /// When it started.
    pub started: Timestamp,
    /// When the last of it was written down.
    pub ended: Timestamp,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The verdict; none where the journal has no end.
    pub verdict: Option<Verdict>,
    /// What ended it early.
    pub cause: Option<AbortCause>,
    /// Why; the first is the most important.
    pub reasons: Vec<String>,
    /// How many injections were begun.
    pub injections: u64,
    /// Faults that were begun, each with its target once.
    pub strikes: Vec<Strike>,
    /// Seconds from the undo until the steady state held; none where it did not, or was not waited for.
    pub recovery_seconds: Option<f64>,
    /// How long was waited for that at most.
    pub recovery_within: Option<f64>,
    /// Metrics under the fault compared with the baseline.
    pub comparisons: Vec<MetricChange>,
    /// What the steady state and the hypothesis ask of metrics; empty where an older Squall took it in.
    pub objectives: Vec<Bound>,
}

/// A fault on a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strike {
    /// Name of the fault.
    pub fault: String,
    /// What was struck.
    pub target: String,
}

impl Run {
    /// What a journal tells; none where it has no beginning.
    pub fn of(entries: &[Entry]) -> Option<Self> {
        let mut run = Self::default();
        entries.iter().for_each(|entry| run.on(entry));
        run.has_begun().then_some(run)
    }

    /// Whether the first event was seen.
    pub fn has_begun(&self) -> bool {
        !self.run.is_empty()
    }

    /// Takes in one more event.
    pub fn on(&mut self, entry: &Entry) {
        self.ended = self.ended.max(entry.at);
        self.seconds = self.seconds.max(entry.elapsed);
        match &entry.event {
            Event::RunStarted { .. } => self.start(entry),
            Event::InjectStarted { fault, target, .. } => {
                self.injections += 1;
                let strike = Strike { fault: fault.clone(), target: target.clone() };
                if !self.strikes.contains(&strike) {
                    self.strikes.push(strike);
                }
            }
            Event::Aborted { cause, .. } => self.cause = self.cause.or(Some(*cause)),
            Event::Recovered { seconds, within } => {
                self.recovery_seconds = *seconds;
                self.recovery_within = Some(*within);
            }
            Event::Compared { comparisons } => self.comparisons.clone_from(comparisons),
            Event::Verdict { verdict, reasons, seconds, .. } => {
                self.verdict = Some(*verdict);
                self.reasons.clone_from(reasons);
                self.seconds = *seconds;
            }
            _ => {}
        }
    }

    fn start(&mut self, entry: &Entry) {
        let Event::RunStarted {
            run,
            experiment,
            hypothesis,
            tags,
            file,
            options,
            seed,
            squall,
            host,
            environment,
            origin,
            by,
            fingerprint,
            services,
            objectives,
            ..
        } = entry.event.clone()
        else {
            return;
        };
        let (started, ended, seconds) = (entry.at, self.ended, self.seconds);
        *self = Self {
            run,
            experiment,
            hypothesis,
            file,
            options,
            tags,
            services,
            environment,
            host,
            origin,
            by,
            fingerprint,
            seed,
            squall,
            started,
            ended,
            seconds,
            objectives,
            ..Self::default()
        };
    }

    /// The command that carries the experiment out again; empty where no file is known.
    pub fn command(&self) -> String {
        if self.file.is_empty() { String::new() } else { command(&self.file, &self.options) }
    }

    /// Whether it tells how resilient something is: something was struck, and the verdict is not about other things, such
    /// as somebody who ended it. The demo's shop is nobody's.
    pub fn is_telling(&self) -> bool {
        let by_itself = matches!(self.cause, Some(AbortCause::Guard | AbortCause::Unreadable));
        let tells = match self.verdict {
            Some(Verdict::Passed | Verdict::Failed | Verdict::Residue) => true,
            Some(Verdict::Aborted) => by_itself,
            _ => false,
        };
        self.injections > 0 && tells && !self.is_demo()
    }

    /// Whether it was about the shop that comes with Squall.
    pub fn is_demo(&self) -> bool {
        self.origin == DEMO
    }

    /// Whether nobody started it by hand.
    pub fn is_unattended(&self) -> bool {
        UNATTENDED.contains(&self.origin.split(' ').next().unwrap_or_default())
    }

    /// Whether metrics under the fault were compared with a baseline, and enough was measured for one of them at least.
    pub fn is_measured(&self) -> bool {
        self.comparisons.iter().any(|change| change.interval.is_some())
    }

    /// The most important reason.
    pub fn reason(&self) -> &str {
        self.reasons.first().map_or("", String::as_str)
    }

    /// The same in short.
    pub fn brief(&self) -> Brief {
        Brief {
            run: self.run.clone(),
            experiment: self.experiment.clone(),
            started: self.started,
            verdict: self.verdict,
            environment: self.environment.clone(),
            is_telling: self.is_telling(),
            is_documented: !self.hypothesis.is_empty() && !self.is_demo(),
            is_measured: self.is_measured(),
            recovery_seconds: self.recovery_seconds,
            recovery_within: self.recovery_within,
            command: self.command(),
        }
    }
}

/// The command that carries an experiment out, for a POSIX shell. Where what is given begins with a word and not with an
/// option, it is the whole command, such as `scenario run disk-full`.
pub fn command(file: &str, options: &[String]) -> String {
    let run = if is_whole_command(options) { None } else { Some(["run", file]) };
    let words = run.into_iter().flatten().chain(options.iter().map(String::as_str)).map(quoted);
    format!("squall {}", words.collect::<Vec<_>>().join(" "))
}

/// Whether these are no options of `squall run FILE`, but a command of their own.
pub fn is_whole_command(options: &[String]) -> bool {
    options.first().is_some_and(|first| !first.starts_with('-'))
}

/// A word for a POSIX shell.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./,:=@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A run in short: what judgements need of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Brief {
    /// Its unique name.
    pub run: String,
    /// Name of the experiment.
    pub experiment: String,
    /// When it started.
    pub started: Timestamp,
    /// The verdict; none where the journal has no end.
    pub verdict: Option<Verdict>,
    /// The environment; empty where that was not said.
    pub environment: String,
    /// Whether it tells how resilient something is, see [`Run::is_telling`].
    pub is_telling: bool,
    /// Whether the experiment has a hypothesis.
    pub is_documented: bool,
    /// Whether metrics were compared, see [`Run::is_measured`].
    pub is_measured: bool,
    /// Seconds from the undo until the steady state held.
    pub recovery_seconds: Option<f64>,
    /// How long was waited for that at most.
    pub recovery_within: Option<f64>,
    /// The command that carries the experiment out again.
    pub command: String,
}

/// What is remembered of a game day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GameDay {
    /// Unique name of the session.
    pub session: String,
    /// What the day is called.
    pub title: String,
    /// Whether everything was gone through without a fault.
    pub is_rehearsal: bool,
    /// When it started.
    pub started: Timestamp,
    /// The verdict; none where it is not over.
    pub verdict: Option<Verdict>,
}

impl GameDay {
    /// What a session's journal tells; none where it has no beginning.
    pub fn of(entries: &[gameday::Entry]) -> Option<Self> {
        let mut day = Self::default();
        for entry in entries {
            match &entry.event {
                gameday::Event::SessionStarted { session, plan, setting, .. } => {
                    day.session.clone_from(session);
                    day.title.clone_from(&plan.title);
                    day.is_rehearsal = setting.rehearsal;
                    day.started = entry.at;
                }
                gameday::Event::Ended { verdict, .. } => day.verdict = Some(*verdict),
                _ => {}
            }
        }
        (!day.session.is_empty()).then_some(day)
    }
}

/// What judgements know of the past. However long that is, this is bounded: the newest of each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The moment that is judged at.
    pub now: Timestamp,
    /// How many runs there were in all.
    pub runs: u64,
    /// The newest runs, the newest first.
    pub recent: Vec<Brief>,
    /// The newest that nobody started by hand.
    pub unattended: Vec<Brief>,
    /// The newest that nobody started by hand of each of the last weeks, the last seven days first.
    pub weekly: Vec<Option<Brief>>,
    /// The newest in production.
    pub production: Vec<Brief>,
    /// The newest game days.
    pub game_days: Vec<GameDay>,
    /// The newest runs of each experiment, the newest first.
    pub experiments: Vec<Vec<Brief>>,
    /// Of each experiment the newest runs that did the same as its newest in the same environment, the newest first.
    pub alike: Vec<Vec<Run>>,
    /// Breaking points that were found, the oldest first.
    pub limits: Vec<Limit>,
    /// Every service that was named in a blast radius.
    pub services: Vec<Service>,
}

/// How much of a fault an experiment took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// When that was found.
    pub at: Timestamp,
    /// Name of the experiment.
    pub experiment: String,
    /// The environment; empty where that was not said.
    pub environment: String,
    /// The parameter that grew.
    pub parameter: String,
    /// The harshest value at which the hypothesis held.
    pub held_up_to: Option<String>,
    /// The mildest at which it did not.
    pub broke_at: Option<String>,
}

impl Limit {
    /// Whether another is about the same experiment, environment and parameter.
    pub fn is_like(&self, other: &Self) -> bool {
        let about =
            |limit: &Self| [&limit.experiment, &limit.environment, &limit.parameter].map(String::clone);
        about(self) == about(other)
    }
}

/// What is known of a service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// How its runs ended, by day.
    pub tallies: Vec<Tally>,
    /// The faults that it was struck with.
    pub struck: Vec<Struck>,
    /// Its newest run.
    pub last: Option<Brief>,
}

/// How many runs about a service ended with a verdict on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The day, counted from 1970-01-01, in UTC.
    pub day: i64,
    /// The verdict.
    pub verdict: Verdict,
    /// How many.
    pub count: u64,
}

/// That a service was struck with a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struck {
    /// Name of the fault.
    pub fault: String,
    /// How many runs did so.
    pub count: u64,
}

/// The day of a moment, counted from 1970-01-01, in UTC.
pub fn day_of(moment: Timestamp) -> i64 {
    moment.as_second().div_euclid(86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(lines: &[&str]) -> Vec<Entry> {
        let entry = |(second, line): (usize, &&str)| {
            let text = format!(r#"{{"at":"2026-01-02T03:04:{second:02}Z","elapsed":{second},{line}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        lines.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn a_journal_is_folded() {
        let journal = entries(&[
            r#""event":"run_started","run":"r-1","experiment":"pay","file":"my pay.yaml","options":["--sudo"],
               "objectives":[{"name":"error_rate","comparison":"<","value":0.6}],
               "services":["payment"],"environment":"staging","origin":"monkey shop","by":"ann""#,
            r#""event":"inject_started","injection":"a","fault":"process.kill","target":"pid 7""#,
            r#""event":"inject_started","injection":"b","fault":"process.kill","target":"pid 7""#,
            r#""event":"aborted","cause":"guard","reason":"slow""#,
            r#""event":"recovered","seconds":1.5,"within":30"#,
            r#""event":"compared","comparisons":[{"metric":"error_rate","baseline":0.0,"during":0.5,"interval":[0.4,0.6]}]"#,
            r#""event":"verdict","verdict":"aborted","reasons":["slow"],"exit_code":4,"seconds":5.5"#,
        ]);
        let run = Run::of(&journal).unwrap();
        assert_eq!((run.run.as_str(), run.environment.as_str(), run.by.as_str()), ("r-1", "staging", "ann"));
        assert_eq!((run.injections, run.strikes.len(), run.reason()), (2, 1, "slow"));
        assert_eq!((run.verdict, run.cause), (Some(Verdict::Aborted), Some(AbortCause::Guard)));
        assert_eq!((run.objectives[0].name.as_str(), run.objectives[0].value), ("error_rate", 0.6));
        assert_eq!((run.recovery_seconds, run.seconds), (Some(1.5), 5.5));
        assert_eq!(run.started.to_string(), "2026-01-02T03:04:00Z");
        assert_eq!(run.ended.to_string(), "2026-01-02T03:04:06Z");
        assert_eq!(run.command(), "squall run 'my pay.yaml' --sudo");
        let run = Run { options: ["scenario", "run", "disk-full"].map(str::to_owned).to_vec(), ..run };
        assert_eq!(run.command(), "squall scenario run disk-full");
        assert!(run.is_unattended() && run.is_telling() && run.brief().is_measured);
        let untelling = MetricChange { interval: None, ..run.comparisons[0].clone() };
        let short = Run { comparisons: vec![untelling], ..run.clone() };
        assert!(!short.brief().is_measured, "too little was measured to compare");
        // What was written is read again, also without what an earlier version did not know.
        let text = serde_json::to_string(&run).unwrap();
        assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run);
        assert_eq!(serde_json::from_str::<Run>(r#"{"run":"x"}"#).unwrap().verdict, None);
    }

    #[test]
    fn a_journal_without_a_beginning_is_none() {
        assert_eq!(Run::of(&entries(&[r#""event":"note","message":"x""#])), None);
        assert_eq!(GameDay::of(&[]), None);
    }

    #[test]
    fn words_are_quoted_for_the_shell_where_needed() {
        assert_eq!(quoted("examples/slow-ledger.yaml"), "examples/slow-ledger.yaml");
        assert_eq!(quoted("it's; rm -rf"), r"'it'\''s; rm -rf'");
    }

    #[test]
    fn days_are_counted_from_the_epoch() {
        let day = |text: &str| day_of(text.parse().unwrap());
        assert_eq!((day("1970-01-01T23:59:59Z"), day("1970-01-02T00:00:00Z")), (0, 1));
        assert_eq!(day("1969-12-31T23:59:59Z"), -1);
    }
}
