//! The monkey over a long time and many groups, to see what its numbers come to. It rolls the very dice that plans are made
//! with.

use super::chance::Chance;
use super::config::Config;
use super::dice::{Asked, Dice, Question, number_of};
use crate::calendar::Calendar;
use jiff::civil::Date;
use serde::Serialize;
use std::ops::Range;

/// Gaps this long and longer are counted together.
const LONGEST_GAP: usize = 256;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Simulation {
    /// How many instances there are.
    pub instances: u64,
    /// How many of them make a group; where none is given, the fewest of which one may be ended.
    pub group_size: Option<u64>,
    /// The first day.
    pub from: Date,
    /// How many days, worked or not.
    pub days: usize,
    /// What all choices follow from.
    pub seed: u64,
}

/// What it came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tally {
    /// Groups.
    pub groups: u64,
    /// How many instances make a group.
    pub group_size: u64,
    /// Groups that are never struck because they have no more instances than must be left healthy.
    pub groups_at_floor: u64,
    /// Days on which the monkey could strike.
    pub striking_days: usize,
    /// The chance of each such day.
    pub chance: f64,
    /// Strikes in all.
    pub strikes: u64,
    /// The mean number of striking days from one strike at a group to the next that the mathematics says.
    pub mean_gap_expected: f64,
    /// The same as it came out: the minimum, less one, and rolls for each strike; none where there was no strike.
    pub mean_gap: Option<f64>,
    /// How often a gap was so many days long; the last entry is that and longer. A gap is counted if it began early enough
    /// for the longest one here to be seen, so that long ones are not missed more often than short ones.
    pub gaps: Vec<u64>,
    /// Groups that were never struck though they could have been.
    pub groups_never_struck: u64,
    /// Instances that were struck at least once.
    pub instances_struck: u64,
    /// The most strikes on one day.
    pub most_on_a_day: u64,
    /// The most strikes at one instant.
    pub most_at_once: u64,
    /// Strikes by the instant of the day, first to last.
    pub by_opening: Vec<u64>,
    /// The most strikes at one group on one day; 1, or the monkey is wrong.
    pub most_in_a_group_on_a_day: u64,
}

impl Simulation {
    /// How many instances make a group.
    fn size(&self, config: &Config) -> u64 {
        self.group_size.unwrap_or(config.kill.keep_healthy as u64 + 1).max(1)
    }
}

/// How instances make groups.
#[derive(Clone, Copy)]
struct Sizes {
    instances: u64,
    group: u64,
    /// As many are always left.
    floor: u64,
}

impl Sizes {
    /// How many a group has: the last one has what is left.
    fn of(self, group: u64) -> u64 {
        self.group.min(self.instances - group * self.group)
    }
}

/// What all groups are rolled with.
#[derive(Clone, Copy)]
struct Rolling<'d> {
    seed: u64,
    chance: Chance,
    days: &'d [StrikingDay],
    horizon: usize,
}

/// A day on which the monkey can strike.
struct StrikingDay {
    whether: Asked,
    when: Asked,
    whom: Asked,
    openings: usize,
    /// Where its openings stand among those of all days.
    first: usize,
}

/// How many gaps there were of a length, and how many should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GapRow {
    /// So many days.
    pub days: usize,
    /// Whether longer ones are counted here too.
    pub or_more: bool,
    /// How many there were.
    pub seen: u64,
    /// How many there should be.
    pub expected: f64,
}

impl Tally {
    /// The gaps in so many rows at most; the last one holds all that are as long or longer.
    pub fn rows(&self, chance: Chance, at_most: usize) -> Vec<GapRow> {
        let counted: u64 = self.gaps.iter().sum();
        let least = chance.minimum as usize;
        let last = self.gaps.len().saturating_sub(1).min(least + at_most.saturating_sub(1));
        let row = |days: usize| {
            let or_more = days == last;
            let so_many = u32::try_from(days).unwrap_or(u32::MAX);
            let (seen, share) = if or_more {
                (self.gaps[days..].iter().sum(), chance.of_gap_of_at_least(so_many))
            } else {
                (self.gaps[days], chance.of_gap(so_many))
            };
            GapRow { days, or_more, seen, expected: share * counted as f64 }
        };
        if counted == 0 { Vec::new() } else { (least.min(last)..=last).map(row).collect() }
    }
}

/// What some of the groups came to.
struct Part {
    strikes: u64,
    rolls: u64,
    gaps: Vec<u64>,
    groups_at_floor: u64,
    groups_never_struck: u64,
    instances_struck: u64,
    most_in_a_group_on_a_day: u64,
    /// By day and opening.
    at: Vec<u32>,
}

/// Lets a monkey loose on groups that are all alike.
pub fn simulate(config: &Config, simulation: Simulation) -> Tally {
    let chance = Chance::of(&config.kill);
    let days = striking_days(config, simulation);
    let size = simulation.size(config);
    let groups = simulation.instances.div_ceil(size);
    let horizon = horizon(chance, days.len());
    // Groups do not hang on each other, so they are shared out among the processors.
    let share =
        groups.div_ceil(std::thread::available_parallelism().map_or(1, |count| count.get() as u64)).max(1);
    let parts: Vec<Part> = std::thread::scope(|scope| {
        let starts = (0..groups).step_by(share as usize);
        let spawned: Vec<_> = starts
            .map(|from| {
                let (days, to) = (&days, groups.min(from + share));
                let floor = config.kill.keep_healthy as u64;
                let sizes = Sizes { instances: simulation.instances, group: size, floor };
                let rolling = Rolling { seed: simulation.seed, chance, days, horizon };
                scope.spawn(move || some_groups(rolling, sizes, from..to))
            })
            .collect();
        spawned.into_iter().filter_map(|part| part.join().ok()).collect()
    });
    let sum = |number: fn(&Part) -> u64| parts.iter().map(number).sum::<u64>();
    let strikes = sum(|part| part.strikes);
    let gaps = (0..=horizon).map(|gap| parts.iter().map(|part| part.gaps[gap]).sum()).collect();
    let at = |index: usize| parts.iter().map(|part| u64::from(part.at[index])).sum::<u64>();
    let of_day = |day: &StrikingDay| (day.first..day.first + day.openings).map(at);
    let widest = days.iter().map(|day| day.openings).max().unwrap_or(0);
    let by_opening =
        (0..widest).map(|opening| days.iter().filter_map(|day| of_day(day).nth(opening)).sum()).collect();
    Tally {
        groups,
        group_size: size,
        groups_at_floor: sum(|part| part.groups_at_floor),
        striking_days: days.len(),
        chance: chance.a_day,
        strikes,
        mean_gap_expected: chance.mean(),
        mean_gap: (strikes > 0)
            .then(|| f64::from(chance.minimum) - 1.0 + sum(|part| part.rolls) as f64 / strikes as f64),
        gaps,
        groups_never_struck: sum(|part| part.groups_never_struck),
        instances_struck: sum(|part| part.instances_struck),
        most_on_a_day: days.iter().map(|day| of_day(day).sum()).max().unwrap_or(0),
        most_at_once: days.iter().flat_map(of_day).max().unwrap_or(0),
        by_opening,
        most_in_a_group_on_a_day: parts.iter().map(|part| part.most_in_a_group_on_a_day).max().unwrap_or(0),
    }
}

fn striking_days(config: &Config, simulation: Simulation) -> Vec<StrikingDay> {
    let dates = Calendar::days_from(simulation.from).take(simulation.days);
    let mut first = 0;
    dates
        .map(|date| (number_of(date), config.calendar.openings(&config.cron, date).len()))
        .filter(|(_, openings)| *openings > 0)
        .map(|(day, openings)| {
            first += openings;
            let [whether, when, whom] =
                [Question::Whether, Question::When, Question::Whom].map(|question| Asked::of(day, question));
            StrikingDay { whether, when, whom, openings, first: first - openings }
        })
        .collect()
}

fn some_groups(rolling: Rolling<'_>, sizes: Sizes, groups: Range<u64>) -> Part {
    let Rolling { seed, chance, days, horizon } = rolling;
    let openings = days.last().map_or(0, |day| day.first + day.openings);
    let mut part = Part {
        strikes: 0,
        rolls: 0,
        gaps: vec![0; horizon + 1],
        groups_at_floor: 0,
        groups_never_struck: 0,
        instances_struck: 0,
        most_in_a_group_on_a_day: 0,
        at: vec![0; openings],
    };
    let mut struck = vec![0_u64; (sizes.group as usize).div_ceil(64)];
    let mut strikes = Vec::new();
    for group in groups {
        let members = sizes.of(group);
        if members <= sizes.floor {
            part.groups_at_floor += 1;
            continue;
        }
        let dice = Dice::numbered(seed, group);
        one_group(dice, chance, days, &mut strikes, &mut part);
        for index in &strikes {
            let victim = dice.choose(days[*index].whom, members as usize);
            struck[victim / 64] |= 1 << (victim % 64);
        }
        part.instances_struck += struck.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
        struck.fill(0);
        part.strikes += strikes.len() as u64;
        part.groups_never_struck += u64::from(strikes.is_empty());
        let on_one_day = strikes.chunk_by(|a, b| a == b).map(|same| same.len() as u64).max().unwrap_or(0);
        part.most_in_a_group_on_a_day = part.most_in_a_group_on_a_day.max(on_one_day);
        for (number, at) in strikes.iter().enumerate().take_while(|(_, at)| **at + horizon < days.len()) {
            let gap = strikes.get(number + 1).map_or(horizon, |next| (next - at).min(horizon));
            part.gaps[gap] += 1;
        }
    }
    part
}

/// How long a gap must be able to be: nearly none is longer, and at least the first half of the time is counted.
fn horizon(chance: Chance, days: usize) -> usize {
    let rarely = (1e-9_f64.ln() / (1.0 - chance.a_day).max(1e-12).ln()).max(0.0);
    let rarely = if chance.a_day >= 1.0 { 0.0 } else { rarely };
    let longest = f64::from(chance.minimum) + rarely.min(LONGEST_GAP as f64);
    (longest.ceil() as usize).min(days / 2).clamp(1, LONGEST_GAP)
}

/// The striking days, by their index, on which a group is struck.
fn one_group(dice: Dice, chance: Chance, days: &[StrikingDay], strikes: &mut Vec<usize>, part: &mut Part) {
    strikes.clear();
    let mut index = 0;
    while let Some(day) = days.get(index) {
        part.rolls += 1;
        if dice.answer(day.whether) < chance.a_day {
            part.at[day.first + dice.choose(day.when, day.openings)] += 1;
            strikes.push(index);
            // Left alone until the minimum has passed.
            index += chance.minimum as usize;
        } else {
            index += 1;
        }
    }
}
