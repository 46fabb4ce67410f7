//! A day planned ahead: for each group whether it is struck, when, and why so.

use super::chance::Chance;
use super::config::Config;
use super::dice::{Dice, Question, number_of};
use super::group::{Eligibility, Group, HowMany, Instance};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use squall_model::target::Mode;
use std::collections::BTreeMap;

/// The days on which groups were last struck, by their keys.
pub type History = BTreeMap<String, Date>;

/// What is decided for a day, as it is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DayPlan {
    /// The day, in the calendar's zone.
    pub date: Date,
    /// What kind of day it is, in words.
    pub day: String,
    /// Instants at which a strike could be.
    pub openings: usize,
    /// The first and last of them, in local time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<(String, String)>,
    /// Why there is none of them, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
    /// What all choices follow from.
    pub seed: u64,
    /// What was decided for each group.
    pub choices: Vec<Choice>,
    /// Instances that were not among those to choose from, and why.
    pub left_out: Vec<LeftOut>,
}

/// What was decided for a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The group.
    pub group: Group,
    /// Who is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How many instances it had when this was decided.
    pub instances: usize,
    /// The mean number of days between strikes that its owners ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_days: Option<f64>,
    /// How many of them its owners ask for; one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how_many: Option<HowMany>,
    /// How likely a strike was.
    pub chance: f64,
    /// What was rolled: below the chance is a strike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled: Option<f64>,
    /// What came out.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came out for a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is struck.
    Strike {
        /// When.
        at: Timestamp,
        /// The same, as the local clock shows it.
        local: String,
    },
    /// It is not, by chance.
    Lucky,
    /// It is not, because it was struck not long ago.
    TooSoon {
        /// When it was struck last.
        last: Date,
    },
    /// It is not, because there is no instant at which it could be.
    Closed,
    /// It is not, because it has no more instances than must be left healthy.
    Floor {
        /// As many must be left.
        floor: usize,
    },
}

/// An instance that is not struck, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which.
    pub instance: String,
    /// Why.
    pub why: String,
}

/// What was found of a group.
#[derive(Debug, Default)]
struct Found {
    owner: Option<String>,
    instances: usize,
    mean_days: Option<f64>,
    how_many: Option<HowMany>,
}

impl DayPlan {
    /// Decides for a day.
    pub fn make(config: &Config, seed: u64, date: Date, instances: &[Instance], history: &History) -> Self {
        let calendar = &config.calendar;
        let openings = calendar.openings(&config.cron, date);
        let local = |at: &Timestamp| calendar.time_zone.at(*at).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        let window = openings.first().zip(openings.last()).map(|(first, last)| (local(first), local(last)));
        let mut groups: BTreeMap<Group, Found> = BTreeMap::new();
        let mut left_out = Vec::new();
        for instance in instances {
            match config.judge(instance) {
                Eligibility::Member { group, owner } => {
                    let found = groups.entry(group).or_insert(Found { owner, ..Found::default() });
                    found.instances += 1;
                    // Where they do not agree, the gentlest counts.
                    let means = [found.mean_days, instance.wishes.mean_days];
                    found.mean_days = means.into_iter().flatten().reduce(f64::max);
                    found.how_many = found.how_many.or(instance.wishes.how_many);
                }
                Eligibility::Not(why) => left_out.push(LeftOut { instance: instance.name.clone(), why }),
            }
        }
        let back = striking_days(config, date);
        let choose = |(group, found): (Group, Found)| {
            let Found { owner, instances, mean_days, how_many } = found;
            let kill = config.kill_of(&group.app);
            let chance = config.chance_at(&group, mean_days);
            let dice = Dice::of(seed, &group.key());
            let day = number_of(date);
            let last = history.get(&group.key()).copied().filter(|last| *last <= date);
            // The day is the first of those that count; the earliest that is far enough back is the `minimum`-th.
            let enough = back.get(chance.minimum as usize - 1);
            let soon = last.filter(|last| enough.is_none_or(|enough| last >= enough));
            let (rolled, outcome) = match soon {
                _ if openings.is_empty() => (None, Outcome::Closed),
                _ if instances <= kill.keep_healthy => (None, Outcome::Floor { floor: kill.keep_healthy }),
                Some(last) => (None, Outcome::TooSoon { last }),
                None => {
                    let rolled = dice.roll(day, Question::Whether);
                    let at = openings[dice.pick(day, Question::When, openings.len())];
                    let strike = Outcome::Strike { at, local: local(&at) };
                    (Some(rolled), if rolled < chance.a_day { strike } else { Outcome::Lucky })
                }
            };
            Choice { group, owner, instances, mean_days, how_many, chance: chance.a_day, rolled, outcome }
        };
        Self {
            date,
            day: calendar.day(date).to_string(),
            openings: openings.len(),
            window,
            closed: calendar.closed(&config.cron, date),
            seed,
            choices: groups.into_iter().map(choose).collect(),
            left_out,
        }
    }

    /// The strikes in the order in which they come.
    pub fn strikes(&self) -> Vec<(Timestamp, &Choice)> {
        let strike = |choice: &'_ Choice| match &choice.outcome {
            Outcome::Strike { at, .. } => Some(*at),
            _ => None,
        };
        let mut strikes: Vec<_> =
            self.choices.iter().filter_map(|choice| Some((strike(choice)?, choice))).collect();
        strikes.sort_by(|a, b| (a.0, &a.1.group).cmp(&(b.0, &b.1.group)));
        strikes
    }

    /// Whether it is what the file says now: one that was written before a change stays as it is.
    pub fn is_of(&self, config: &Config, seed: u64) -> bool {
        let now = Self::make(config, seed, self.date, &[], &History::new());
        let same_chance = |choice: &Choice| {
            (choice.chance - config.chance_at(&choice.group, choice.mean_days).a_day).abs() < 1e-12
        };
        (now.openings, now.seed, &now.window) == (self.openings, self.seed, &self.window)
            && self.choices.iter().all(same_chance)
    }

    /// How many groups are not struck because they have no more instances than must be left.
    pub fn at_floor(&self) -> usize {
        self.choices.iter().filter(|choice| matches!(choice.outcome, Outcome::Floor { .. })).count()
    }

    /// Plans for the days to come, as if each strike were carried out.
    pub fn ahead(
        config: &Config,
        seed: u64,
        days: impl Iterator<Item = Date>,
        instances: &[Instance],
        history: &History,
    ) -> Vec<Self> {
        let mut history = history.clone();
        days.map(|date| {
            let plan = Self::make(config, seed, date, instances, &history);
            let struck = plan.strikes().into_iter().map(|(_, choice)| (choice.group.key(), date));
            history.extend(struck.collect::<Vec<_>>());
            plan
        })
        .collect()
    }
}

impl Choice {
    /// How many a strike ends, in words: `one of 3`, `at most 50% of 4`.
    pub fn how_many_of_them(&self) -> String {
        let of = self.instances;
        let value = self.how_many.and_then(|how_many| how_many.value).unwrap_or(1.0);
        match self.how_many.map(|how_many| how_many.mode) {
            None | Some(Mode::One) => format!("one of {of}"),
            Some(Mode::All) => format!("all {of}"),
            Some(Mode::Fixed) => format!("{value} of {of}"),
            Some(Mode::FixedPercent) => format!("{value}% of {of}"),
            Some(Mode::RandomMaxPercent) => format!("at most {value}% of {of}"),
        }
    }

    /// Why it came out so, in a sentence.
    pub fn explain(&self) -> String {
        let percent = |share: f64| format!("{:.2}%", share * 100.0);
        let mean = self.mean_days.map(|days| format!(" (its owners ask for a mean of {days:.1} days)"));
        let chance = format!("{}{}", percent(self.chance), mean.unwrap_or_default());
        match (&self.outcome, self.rolled) {
            (Outcome::Strike { local, .. }, Some(rolled)) => {
                format!("to be struck at {local}: rolled {}, below its chance of {chance}", percent(rolled))
            }
            (Outcome::Strike { local, .. }, None) => format!("to be struck at {local}"),
            (Outcome::Lucky, rolled) => {
                format!("spared: rolled {}, not below its chance of {chance}", percent(rolled.unwrap_or(1.0)))
            }
            (Outcome::TooSoon { last }, _) => {
                format!("spared: it was struck on {last}, and the least number of days has not passed")
            }
            (Outcome::Floor { floor }, _) => format!(
                "spared: floor: of its {} instances as of this plan, `keep_healthy` lets none be ended ({floor} must be left)",
                self.instances
            ),
            (Outcome::Closed, _) => {
                "spared: there is no instant at which it could be struck on this day".to_owned()
            }
        }
    }
}

/// How far back striking days are looked for; what was struck before is long enough ago.
const FAR_BACK: usize = 3 * 366;

/// The days on which the monkey may strike, from a day backwards, as many as the longest minimum needs.
fn striking_days(config: &Config, to: Date) -> Vec<Date> {
    let kills = config.apps.values().chain([&config.kill]);
    let longest = kills.map(|kill| Chance::of(kill).minimum).max().unwrap_or(1);
    to.series(-1.day())
        .take(FAR_BACK)
        .filter(|date| !config.calendar.openings(&config.cron, *date).is_empty())
        .take(longest as usize)
        .collect()
}
