//! `squall monkey plan|run|explain|simulate`: instances ended by chance, a day planned ahead, by rules that are explained.

use crate::carry::AgentOptions;
use crate::exit::{Failure, Outcome};
use crate::monkey::{self, Clock, Done, Entry, Event, Herald, Printer, Records, Seen, Teller, Until, Work};
use crate::out;
use crate::policy;
use crate::settings::SettingsOptions;
use crate::state::State;
use crate::telling::{Messenger, TellingOptions};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::json;
use squall_model::verdict::Verdict;
use squall_practice::calendar::{Calendar, Day};
use squall_practice::monkey::{
    Chance, Choice, Config, DayPlan, Outcome as Fate, Simulation, Tally, simulate,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Shows what is decided for the days to come; touches nothing
    Plan(PlanOptions),
    /// Carries the days out: ends instances where the file says so and is not leashed
    Run(RunOptions),
    /// Tells for a day why each group is struck or spared, why instances are left out, and what was done
    Explain(ExplainOptions),
    /// Lets the monkey loose on as many instances as wanted, on paper, and shows what its numbers come to
    Simulate(SimulateOptions),
}

#[derive(Debug, Args)]
struct Told {
    /// What the monkey is told: a file of `kind: Monkey`, a `ConfigMap` around `chaosmonkey:`, or the TOML of Chaos Monkey or kube-monkey
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What all choices follow from; the file's seed, else one that is this host's own
    #[arg(long)]
    seed: Option<u64>,
    /// Begins with this time in place of the host's, such as 2026-11-30T09:59:00Z, and goes on from there
    #[arg(long, value_name = "TIME", hide = true)]
    now: Option<Timestamp>,
}

#[derive(Debug, Args)]
struct PlanOptions {
    #[command(flatten)]
    told: Told,
    /// How many days to look ahead
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,
    /// The first day; where none is given today, or the day after once nothing of today is to come
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RunOptions {
    #[command(flatten)]
    told: Told,
    /// Takes the leash off though the file does not
    #[arg(long)]
    unleash: bool,
    /// Ends when all that was planned for today is through
    #[arg(long)]
    once: bool,
    /// Ends at this time
    #[arg(long, value_name = "TIME", conflicts_with = "once")]
    until: Option<Timestamp>,
    #[command(flatten)]
    settings: SettingsOptions,
    #[command(flatten)]
    agent: AgentOptions,
}

#[derive(Debug, Args)]
struct ExplainOptions {
    #[command(flatten)]
    told: Told,
    /// The day; today where none is given
    #[arg(long, value_name = "DATE")]
    date: Option<Date>,
    /// Only groups and instances whose name holds this
    name: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SimulateOptions {
    #[command(flatten)]
    told: Told,
    /// How many instances
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    instances: u64,
    /// How many of them make a group; else one more than `keep_healthy`, the fewest of which one may be ended
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    group_size: Option<u64>,
    /// How many days
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,
    /// The first day; today where none is given
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        match self.deed {
            Deed::Plan(options) => options.run(),
            Deed::Run(options) => options.run(),
            Deed::Explain(options) => options.run(),
            Deed::Simulate(options) => options.run(),
        }
    }
}

impl Told {
    fn config(&self) -> Result<Config, Failure> {
        monkey::config(&self.config, out::colour(false) && std::io::stderr().is_terminal())
    }

    fn clock(&self) -> Clock {
        self.now.map_or_else(Clock::default, Clock::showing)
    }
}

/// The plan of a day as it was written, or as it would be.
fn written_or_made(records: &Records, made: DayPlan) -> DayPlan {
    records.plan(made.date).unwrap_or(made)
}

impl PlanOptions {
    fn run(self) -> Outcome {
        let config = self.told.config()?;
        let seed = monkey::seed(&config, self.told.seed);
        let now = self.told.clock().now();
        let from = self.from.unwrap_or_else(|| day_to_come(&config, now));
        let records = Records::of(&State::locate()?, &config.name);
        let seen = monkey::look(&config);
        let history = records.history(config.is_dry());
        let days = Calendar::days_from(from).take(self.days.into());
        let plans = DayPlan::ahead(&config, seed, days, &seen.instances, &history);
        // Days of the week that are never worked say nothing.
        let plans: Vec<DayPlan> = plans
            .into_iter()
            .filter(|plan| config.calendar.day(plan.date) != Day::Free)
            .map(|plan| written_or_made(&records, plan))
            .collect();
        if self.json {
            out::say_json(&json!({
                "monkey": config.name, "enabled": config.enabled && config.kill.enabled, "leashed": config.leashed,
                "cron": config.cron, "calendar": config.calendar, "accounts": config.accounts, "kill": config.kill,
                "chance": config.chance_of("").a_day, "mean_days": config.chance_of("").mean(), "notes": config.notes,
                "unknown": seen.unknown, "instances": seen.instances.len(), "seed": seed, "days": plans,
            }));
        } else {
            out::say(describe(&config, &seen, seed, &plans, (self.days, now)));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The first day of which something is still to come: today, unless all its instants are over.
fn day_to_come(config: &Config, now: Timestamp) -> Date {
    let today = config.calendar.date(now);
    let is_over = config.calendar.openings(&config.cron, today).last().is_some_and(|last| *last < now);
    if is_over { today.tomorrow().unwrap_or(today) } else { today }
}

fn describe(
    config: &Config,
    seen: &Seen,
    seed: u64,
    plans: &[DayPlan],
    (days, now): (u16, Timestamp),
) -> String {
    let mut lines = vec![format!("monkey {}: {}", config.name, mood(config)), String::new()];
    let mut row = |name: &str, text: String| lines.push(format!("  {name:10} {text}"));
    let calendar = &config.calendar;
    row(
        "strikes",
        format!("{} ({}), on work days ({})", config.cron, calendar.time_zone, calendar.work_days),
    );
    let chance = config.chance_of("");
    let asked = asked_by_owners(config, plans);
    let each = if asked.is_empty() { "each group" } else { "each group whose owners ask for nothing else" };
    row("chance", format!("{} a work day for {each}: {}", percent(chance.a_day), chance.words()));
    for (group, chance) in asked {
        row("chance", format!("{} a work day for {group}: {}", percent(chance.a_day), chance.words()));
    }
    for account in &config.accounts {
        let owner = account.owner.as_ref().map(|owner| format!(", owned by {owner}")).unwrap_or_default();
        let (name, region, stack, detail) = (&account.name, &account.region, &account.stack, &account.detail);
        row("account", format!("{name}: region {region}, stack {stack}, detail {detail}{owner}"));
    }
    for freeze in &calendar.freeze {
        row("freeze", freeze.to_string());
    }
    config.notes.iter().for_each(|note| row("note", note.clone()));
    seen.unknown.iter().for_each(|why| row("unknown", why.clone()));
    let groups = plans.iter().map(|plan| plan.choices.len()).max().unwrap_or(0);
    let opted_in = seen.instances.iter().filter(|instance| instance.opted_in).count();
    row(
        "instances",
        format!("{} seen, {opted_in} opted in, in {}", seen.instances.len(), counted(groups as u64, "group")),
    );
    for (group, explained) in at_floor(plans) {
        row("floor", format!("{group}: {explained}"));
    }
    for plan in plans.iter().filter(|plan| !plan.is_of(config, seed)) {
        row("note", monkey::stays(plan.date));
    }
    lines.push(format!(
        "\nthe next {}, without those that are never worked (seed {seed}):",
        counted(days, "day")
    ));
    plans.iter().for_each(|plan| lines.extend(day(plan, now)));
    lines.push("\nnothing was touched; `squall monkey explain` tells why each is so".to_owned());
    lines.join("\n")
}

/// The chances of the groups whose owners ask for a mean of their own.
fn asked_by_owners(config: &Config, plans: &[DayPlan]) -> BTreeMap<String, Chance> {
    let choices = plans.iter().flat_map(|plan| &plan.choices).filter(|choice| choice.mean_days.is_some());
    let chance = |choice: &Choice| config.chance_at(&choice.group, choice.mean_days);
    choices.map(|choice| (choice.group.to_string(), chance(choice))).collect()
}

/// The groups that are too small to be struck, and in which words; each once.
fn at_floor(plans: &[DayPlan]) -> BTreeMap<String, String> {
    let choices = plans.iter().flat_map(|plan| &plan.choices);
    let floored = choices.filter(|choice| matches!(choice.outcome, Fate::Floor { .. }));
    floored.map(|choice| (choice.group.to_string(), choice.explain())).collect()
}

fn mood(config: &Config) -> &'static str {
    if !config.enabled || !config.kill.enabled {
        "not enabled, it ends nothing"
    } else if config.leashed {
        "leashed, it only tells what it would do"
    } else {
        "free"
    }
}

/// `1 group`, `2 groups`, `no group`.
fn counted(count: impl Into<u64>, thing: &str) -> String {
    match count.into() {
        0 => format!("no {thing}"),
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// A day's lines.
fn day(plan: &DayPlan, now: Timestamp) -> Vec<String> {
    let time = |local: &str| local.get(11..16).unwrap_or(local).to_owned();
    let head = format!("  {} {}", plan.date, plan.date.strftime("%a"));
    let Some((first, last)) = &plan.window else {
        // One that an older squall wrote does not say why.
        let why = plan.closed.as_deref().unwrap_or("nothing fires or all is frozen");
        return vec![format!("{head}  closed: {why}")];
    };
    let span = if plan.openings == 1 {
        format!("at {}", time(first))
    } else {
        format!("{} to {}, {} instants", time(first), time(last), plan.openings)
    };
    let strikes = plan.strikes();
    let sum = match (strikes.len(), plan.choices.len() - strikes.len()) {
        (0, 0) => "no group to strike".to_owned(),
        (strikes, spared) => {
            let at_floor = match plan.at_floor() {
                0 => String::new(),
                count => format!(" ({count} by the floor)"),
            };
            format!(
                "{}, {} spared{at_floor}",
                counted(strikes as u64, "strike"),
                counted(spared as u64, "group")
            )
        }
    };
    let mut lines = vec![format!("{head}  {span}: {sum}")];
    lines.extend(strikes.into_iter().map(|(moment, choice)| {
        let at = match &choice.outcome {
            Fate::Strike { local, .. } => time(local),
            _ => String::new(),
        };
        let owner = choice.owner.as_ref().map(|owner| format!(", {owner} is told")).unwrap_or_default();
        let past = if moment < now { " (its time is past)" } else { "" };
        format!("      {at}  {}: {}{owner}{past}", choice.group, choice.how_many_of_them())
    }));
    lines
}

impl RunOptions {
    fn run(self) -> Outcome {
        let config = self.told.config()?;
        let state = State::locate()?;
        let in_folder = |error: std::io::Error| state.unusable(&error);
        state.prepare().map_err(in_folder)?;
        let records = Records::of(&state, &config.name);
        let Some(_lock) = records.lock().map_err(in_folder)? else {
            return Err(Failure::invalid(format!(
                "a monkey {} is at work already (it holds {}/lock); two of one name would strike twice",
                config.name,
                records.folder().display()
            )));
        };
        let spared = policy::spared(&self.settings, std::slice::from_ref(&self.told.config), &state)?;
        let telling = TellingOptions::of_settings(self.settings);
        let files = std::slice::from_ref(&self.told.config);
        let (outbox, audience) = (telling.open(files, &state)?, telling.audience(files, &state));
        let dry = !config.enabled || !config.kill.enabled || (config.leashed && !self.unleash);
        let mood = if dry { mood(&config) } else { "free" };
        out::warn(format!(
            "monkey {}: {mood}; plans and log are in {}",
            config.name,
            records.folder().display()
        ));
        config.notes.iter().for_each(|note| out::warn(format!("monkey: note: {note}")));
        let until = match (self.once, self.until) {
            (true, _) => Until::DayIsDone,
            (false, Some(time)) => Until::Time(time),
            (false, None) => Until::Stopped,
        };
        let mut heralds: Vec<Box<dyn Herald>> = vec![Box::new(Printer)];
        heralds.extend(Messenger::of(&outbox).map(|messenger| Box::new(messenger) as _));
        let clock = self.told.clock();
        let work = Work {
            seed: monkey::seed(&config, self.told.seed),
            config: &config,
            file: self.told.config.clone(),
            dry,
            state: &state,
            records: &records,
            clock,
            agent: self.agent,
            teller: Arc::new(Teller::new(heralds, records.clone(), clock)),
            outbox: &outbox,
            audience,
            spared,
            warned: RefCell::default(),
        };
        match work.carry_on(until)? {
            Done::AsAsked(worst) => {
                Ok(worst.map_or(ExitCode::SUCCESS, |verdict| ExitCode::from(verdict.exit_code())))
            }
            Done::Stopped => {
                out::warn(format!("monkey {}: stopped", config.name));
                Ok(ExitCode::SUCCESS)
            }
            Done::Halted => {
                let file = state.halt_file();
                out::warn(format!("monkey {}: halted: {} is there", config.name, file.display()));
                Ok(ExitCode::from(Verdict::Aborted.exit_code()))
            }
        }
    }
}

impl ExplainOptions {
    fn run(self) -> Outcome {
        let config = self.told.config()?;
        let seed = monkey::seed(&config, self.told.seed);
        let date = self.date.unwrap_or_else(|| config.calendar.date(self.told.clock().now()));
        let records = Records::of(&State::locate()?, &config.name);
        let seen = monkey::look(&config);
        let was_written = records.plan(date).is_some();
        let made = DayPlan::make(&config, seed, date, &seen.instances, &records.history(config.is_dry()));
        let mut plan = written_or_made(&records, made);
        let mut done: Vec<Entry> = records.log().into_iter().filter(|entry| entry.date == date).collect();
        if let Some(name) = &self.name {
            plan.choices.retain(|choice| choice.group.to_string().contains(name.as_str()));
            plan.left_out.retain(|left| left.instance.contains(name.as_str()));
            done.retain(|entry| entry.group.as_ref().is_some_and(|group| group.contains(name.as_str())));
        }
        if self.json {
            out::say_json(&json!({"monkey": config.name, "written": was_written, "plan": plan, "done": done,
                "unknown": seen.unknown}));
            return Ok(ExitCode::SUCCESS);
        }
        let origin = if was_written { "as it was written down" } else { "as it would be written down now" };
        out::say(format!(
            "monkey {}: {}, {}, {origin} (seed {})\n",
            config.name, plan.date, plan.day, plan.seed
        ));
        if let Some(why) = &plan.closed {
            out::say(format!("  closed: {why}"));
        }
        if was_written && !plan.is_of(&config, seed) {
            out::say(format!("  note: {}", monkey::stays(plan.date)));
        }
        let rows = plan
            .choices
            .iter()
            .map(|choice| (choice.group.to_string(), explained(choice, plan.closed.as_deref(), &done)));
        let left_out =
            plan.left_out.iter().map(|left| (left.instance.clone(), format!("left out: {}", left.why)));
        let rows: Vec<_> = rows.chain(left_out).collect();
        out::say(if rows.is_empty() { "  no group and no instance".to_owned() } else { out::columns(&rows) });
        seen.unknown.iter().for_each(|why| out::say(format!("  unknown: {why}")));
        if !done.is_empty() {
            out::say("\nwhat was done:");
            let zone = &config.calendar.time_zone;
            let row = |entry: &Entry| (zone.at(entry.at).strftime("%H:%M:%S").to_string(), words(entry));
            out::say(out::columns(&done.iter().map(row).collect::<Vec<_>>()));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Why a group's day was planned so, and what became of a strike that was planned and not made.
fn explained(choice: &Choice, closed: Option<&str>, done: &[Entry]) -> String {
    let key = choice.group.key();
    let of_group = done.iter().filter(|entry| entry.group.as_ref() == Some(&key));
    let mut spared = of_group.filter_map(|entry| match &entry.event {
        Event::Spared { why } => Some(why),
        _ => None,
    });
    match (&choice.outcome, spared.next_back()) {
        (Fate::Closed, _) if closed.is_some() => format!("spared: {}", closed.unwrap_or_default()),
        (Fate::Strike { .. }, Some(why)) => {
            format!("spared at the time: {why} (planned was: {})", choice.explain())
        }
        _ => choice.explain(),
    }
}

fn words(entry: &Entry) -> String {
    let group = entry.group.as_ref().map(|group| format!("{group}: ")).unwrap_or_default();
    let what = match &entry.event {
        Event::Planned { strikes } => format!("planned; strikes: {strikes}"),
        Event::Told { owner, words } => {
            format!("told {}: {words}", owner.as_deref().unwrap_or("nobody in particular"))
        }
        Event::Striking { instance, .. } => format!("about to end {instance}, if nothing speaks against it"),
        Event::Struck { instance, verdict, reason, .. } => format!("{instance}: {verdict}, {reason}"),
        Event::Leashed { instance } => format!("leashed, would have ended {instance}"),
        Event::Spared { why } => format!("spared: {why}"),
    };
    format!("{group}{what}")
}

impl SimulateOptions {
    fn run(self) -> Outcome {
        let config = self.told.config()?;
        let simulation = Simulation {
            instances: self.instances,
            group_size: self.group_size,
            from: self.from.unwrap_or_else(|| config.calendar.date(self.told.clock().now())),
            days: self.days.into(),
            seed: monkey::seed(&config, self.told.seed),
        };
        let tally = simulate(&config, simulation);
        if self.json {
            out::say_json(&tally);
        } else {
            out::say(describe_tally(&config, simulation, &tally));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// That groups are too small to be struck.
fn floored(config: &Config, tally: &Tally) -> String {
    format!(
        "{} spared, floor: with `keep_healthy: {}` none of so few may be ended",
        counted(tally.groups_at_floor, "group"),
        config.kill.keep_healthy
    )
}

/// How far apart strikes came, and should.
fn mean(tally: &Tally) -> String {
    let should = match tally.mean_gap_expected {
        days if days.is_finite() => format!("the mathematics says {days:.3} work days from one to the next"),
        _ => "the chance is 0, so there never is one".to_owned(),
    };
    match tally.mean_gap {
        Some(days) => format!("{days:.3} work days from one strike at a group to the next; {should}"),
        None => format!("there was no strike; {should}"),
    }
}

/// So many rows the table of a simulation has at most.
const ROWS: usize = 15;

fn describe_tally(config: &Config, simulation: Simulation, tally: &Tally) -> String {
    let chance = config.chance_of("");
    let mut lines = vec![
        format!(
            "{} in {} of {}, {} from {} on, of which {} can be struck on (seed {})",
            counted(simulation.instances, "instance"),
            counted(tally.groups, "group"),
            tally.group_size,
            counted(simulation.days as u64, "day"),
            simulation.from,
            tally.striking_days,
            simulation.seed
        ),
        String::new(),
        format!(
            "  strikes       {} in all, at most {} on one day and {} at one instant",
            tally.strikes, tally.most_on_a_day, tally.most_at_once
        ),
        format!("  mean          {}", mean(tally)),
        format!("  in one group  at most {} on one day", tally.most_in_a_group_on_a_day),
        format!(
            "  never struck  {}; {} struck at least once",
            counted(tally.groups_never_struck, "group"),
            counted(tally.instances_struck, "instance")
        ),
    ];
    let rows = tally.rows(chance, ROWS);
    if !rows.is_empty() {
        lines.push("\n  work days to the next   seen     expected".to_owned());
    }
    if tally.groups_at_floor > 0 {
        lines.insert(1, floored(config, tally));
    }
    for row in rows {
        let days = if row.or_more { format!(">= {}", row.days) } else { row.days.to_string() };
        lines.push(format!("  {days:>21}   {:<8} {:.1}", row.seen, row.expected));
    }
    lines.push("\nnothing was touched".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::read::Source;

    fn config(kill: &str) -> Config {
        let text = format!(
            "apiVersion: squall.dev/v1\nkind: Monkey\nname: shop\ninventory: [{{docker: {{}}}}]\n\
             schedule: {{cron: '0 * 9-14 * * MON-FRI'}}\nkill: {kill}\n"
        );
        let source = Source { name: "monkey.yaml".to_owned(), text };
        squall_practice::monkey::read(&source).unwrap()
    }

    fn simulated(kill: &str, from: &str, days: usize) -> String {
        let from = from.parse().unwrap();
        let simulation = Simulation { instances: 1000, group_size: None, from, days, seed: 1 };
        let config = config(kill);
        describe_tally(&config, simulation, &simulate(&config, simulation))
    }

    #[test]
    fn a_closed_day_says_why() {
        let mut config = config("{mean_days: 1}");
        config.calendar.holidays = serde_json::from_str("[\"12-24\"]").unwrap();
        let date = "2026-12-24".parse().unwrap();
        let plan = DayPlan::make(&config, 1, date, &[], &squall_practice::monkey::History::new());
        let told = day(&plan, Timestamp::UNIX_EPOCH).join("\n");
        assert!(told.contains("closed: it is a holiday (12-24)"), "{told}");
    }

    #[test]
    fn a_day_that_is_over_is_not_the_next_one() {
        let config = config("{probability: 1}");
        let first = |now: &str| day_to_come(&config, now.parse().unwrap()).to_string();
        assert_eq!(first("2026-11-30T08:00:00Z"), "2026-11-30");
        assert_eq!(first("2026-11-30T13:59:00Z"), "2026-11-30", "something of it is to come");
        assert_eq!(first("2026-11-30T18:00:00Z"), "2026-12-01");
        assert_eq!(first("2026-11-29T18:00:00Z"), "2026-11-29", "a day that is closed says so");
    }

    #[test]
    fn a_time_that_is_past_is_told_as_such() {
        let config = config("{probability: 1, keep_healthy: 0}");
        let instance = squall_practice::monkey::Instance {
            id: "web-1".to_owned(),
            name: "web-1".to_owned(),
            app: "web".to_owned(),
            opted_in: true,
            healthy: true,
            target: json!({"container": {"id": "1"}}),
            ..Default::default()
        };
        let date = "2026-11-30".parse().unwrap();
        let plan = DayPlan::make(&config, 1, date, &[instance], &squall_practice::monkey::History::new());
        let told = |now: &str| day(&plan, now.parse().unwrap()).join("\n");
        assert!(told("2026-11-30T23:00:00Z").contains("one of 1 (its time is past)"), "{}", told(NIGHT));
        assert!(told(NIGHT).ends_with("one of 1"), "{}", told(NIGHT));
    }

    const NIGHT: &str = "2026-11-30T01:00:00Z";

    #[test]
    fn a_simulation_tells_what_it_counts_together() {
        let text = simulated("{mean_days: 2.5}", "2026-11-02", 30);
        assert!(text.contains("  >= 11 ") && text.contains("500 groups of 2, 30 days"), "{text}");
        let sunday = simulated("{mean_days: 2.5}", "2026-11-29", 1);
        assert!(sunday.contains("there was no strike") && sunday.contains(", 1 day from"), "{sunday}");
        let never = simulated("{probability: 0}", "2026-11-02", 30);
        assert!(never.contains("the chance is 0"), "{never}");
        for text in [sunday, never] {
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
    }
}
