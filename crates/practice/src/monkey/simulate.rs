//! The monkey over a long time and many groups, to see what its numbers come to. It rolls the very dice that plans are made
//! with.

use super::chance::Chance;
use super::config::Config;
use super::dice::{Dice, Question, number_of};
use jiff::civil::Date;
use serde::Serialize;

/// Gaps this long and longer are counted together.
const LONGEST_GAP: usize = 256;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Simulation {
    /// How many instances there are.
    pub instances: u64,
    /// How many of them make a group.
    pub group_size: u64,
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
    /// Days on which the monkey could strike.
    pub striking_days: usize,
    /// The chance of each such day.
    pub chance: f64,
    /// Strikes in all.
    pub strikes: u64,
    /// The mean number of striking days from one strike at a group to the next that the mathematics says.
    pub mean_gap_expected: f64,
    /// The same as it came out: the minimum, less one, and rolls for each strike.
    pub mean_gap: f64,
    /// How often a gap was so many days long; the last entry is that and longer. A gap is counted if it began early enough
    /// for the longest one here to be seen, so that long ones are not missed more often than short ones.
    pub gaps: Vec<u64>,
    /// Groups that were never struck.
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

/// A day on which the monkey can strike.
struct StrikingDay {
    number: u64,
    openings: usize,
    /// Strikes at each opening.
    strikes: Vec<u64>,
}

/// Lets a monkey loose on groups that are all alike.
pub fn simulate(config: &Config, simulation: Simulation) -> Tally {
    let chance = Chance::of(&config.kill);
    let openings = |date: Date| config.calendar.openings(&config.cron, date).len();
    let dates = crate::calendar::Calendar::days_from(simulation.from).take(simulation.days);
    let mut days: Vec<StrikingDay> = dates
        .map(|date| (date, openings(date)))
        .filter(|(_, openings)| *openings > 0)
        .map(|(date, openings)| StrikingDay { number: number_of(date), openings, strikes: vec![0; openings] })
        .collect();
    let group_size = simulation.group_size.max(1);
    let groups = simulation.instances.div_ceil(group_size);
    // A gap is counted if even one as long as this would end within the time.
    let horizon = horizon(chance, days.len());
    let mut tally = Tally {
        groups,
        striking_days: days.len(),
        chance: chance.a_day,
        strikes: 0,
        mean_gap_expected: chance.mean(),
        mean_gap: 0.0,
        gaps: vec![0; horizon + 1],
        groups_never_struck: 0,
        instances_struck: 0,
        most_on_a_day: 0,
        most_at_once: 0,
        by_opening: Vec::new(),
        most_in_a_group_on_a_day: 0,
    };
    let mut struck = vec![0_u64; (group_size as usize).div_ceil(64)];
    let mut rolls = 0_u64;
    for group in 0..groups {
        let members = group_size.min(simulation.instances - group * group_size);
        let dice = Dice::numbered(simulation.seed, group);
        let strikes = one_group(dice, chance, &mut days, members, &mut struck, &mut rolls);
        tally.instances_struck += struck.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
        struck.fill(0);
        tally.strikes += strikes.len() as u64;
        tally.groups_never_struck += u64::from(strikes.is_empty());
        for pair in strikes.windows(2) {
            let at_once = u64::from(pair[0] == pair[1]) + 1;
            tally.most_in_a_group_on_a_day = tally.most_in_a_group_on_a_day.max(at_once);
        }
        tally.most_in_a_group_on_a_day = tally.most_in_a_group_on_a_day.max(u64::from(!strikes.is_empty()));
        let early = strikes.iter().enumerate().take_while(|(_, at)| **at + horizon < days.len());
        for (index, at) in early {
            let gap = strikes.get(index + 1).map_or(horizon, |next| (next - at).min(horizon));
            tally.gaps[gap] += 1;
        }
    }
    tally.mean_gap = f64::from(chance.minimum) - 1.0 + rolls as f64 / tally.strikes as f64;
    tally.most_on_a_day = days.iter().map(|day| day.strikes.iter().sum()).max().unwrap_or(0);
    tally.most_at_once = days.iter().flat_map(|day| day.strikes.iter().copied()).max().unwrap_or(0);
    let widest = days.iter().map(|day| day.openings).max().unwrap_or(0);
    let at = |opening: usize| days.iter().filter_map(|day| day.strikes.get(opening)).sum();
    tally.by_opening = (0..widest).map(at).collect();
    tally
}

/// How long a gap must be able to be: nearly none is longer, and at least the first half of the time is counted.
fn horizon(chance: Chance, days: usize) -> usize {
    let rarely = (1e-9_f64.ln() / (1.0 - chance.a_day).max(1e-12).ln()).max(0.0);
    let rarely = if chance.a_day >= 1.0 { 0.0 } else { rarely };
    let longest = f64::from(chance.minimum) + rarely.min(LONGEST_GAP as f64);
    (longest.ceil() as usize).min(days / 2).clamp(1, LONGEST_GAP)
}

/// The striking days, by their index, on which a group is struck.
fn one_group(
    dice: Dice,
    chance: Chance,
    days: &mut [StrikingDay],
    members: u64,
    struck: &mut [u64],
    rolls: &mut u64,
) -> Vec<usize> {
    let mut strikes = Vec::new();
    let mut index = 0;
    while let Some(day) = days.get_mut(index) {
        *rolls += 1;
        if dice.roll(day.number, Question::Whether) < chance.a_day {
            day.strikes[dice.pick(day.number, Question::When, day.openings)] += 1;
            let victim = dice.pick(day.number, Question::Whom, members as usize);
            struck[victim / 64] |= 1 << (victim % 64);
            strikes.push(index);
            // Left alone until the minimum has passed.
            index += chance.minimum as usize;
        } else {
            index += 1;
        }
    }
    strikes
}
