//! What people are told: nothing that nobody looked at, and nothing that cannot be.

use super::tests::{OFTEN, instance, own};
use super::*;
use jiff::civil::date;
use squall_model::read::Source;

#[test]
fn what_nobody_watched_is_not_told_as_watched() {
    for (outage, judges, words) in [
        ("", false, "nothing was watched"),
        ("outage: {watch: 1s}\n", false, "nothing was watched"),
        ("outage: {steady_state: []}\n", false, "nothing was watched"),
        ("outage: {guard: [{abort_if: 'load > 3'}]}\n", false, "the guard had no reason"),
        ("outage: {steady_state: [{tcp: {address: '127.0.0.1:1'}}]}\n", true, "the others did without it"),
        (
            "outage: {hypothesis_holds: [{tcp: {address: '127.0.0.1:1'}}]}\n",
            true,
            "the others did without it",
        ),
    ] {
        let config = own(&format!("{OFTEN}{outage}"));
        assert_eq!(config.trial.judges(), judges, "{outage}");
        assert!(config.trial.shown().contains(words), "{outage}: {}", config.trial.shown());
        let is_noted = config.notes.iter().any(|note| note.contains("nothing is watched"));
        assert_eq!(is_noted, !judges, "{outage}: {:?}", config.notes);
    }
}

#[test]
fn a_strike_that_can_never_be_is_not_planned() {
    let config = own(&format!("{OFTEN}apps: {{lone: {{keep_healthy: 0}}, pair: {{keep_healthy: 2}}}}\n"));
    let mut instances: Vec<Instance> = ["shop", "lone", "pair", "pair"]
        .into_iter()
        .enumerate()
        .map(|(number, app)| instance(app, number))
        .collect();
    let day = date(2026, 11, 30);
    let plan = |instances: &[Instance]| DayPlan::make(&config, 1, day, instances, &History::new());
    let before = plan(&instances);
    let struck: Vec<&str> =
        before.strikes().into_iter().map(|(_, choice)| choice.group.app.as_str()).collect();
    assert_eq!((struck, before.at_floor()), (vec!["lone"], 2));
    let shop = before.choices.iter().find(|choice| choice.group.app == "shop").unwrap();
    assert_eq!(shop.outcome, Outcome::Floor { floor: 1 });
    assert!(shop.explain().starts_with("spared: floor"), "{}", shop.explain());
    // One more, and it can be.
    instances.push(self::instance("shop", 9));
    assert_eq!(plan(&instances).at_floor(), 1);
    // A day on which nothing can be is closed whatever there is.
    let sunday = DayPlan::make(&config, 1, date(2026, 11, 29), &instances, &History::new());
    assert_eq!(sunday.at_floor(), 0);
}

#[test]
fn a_simulation_counts_no_strike_that_can_never_be() {
    let simulation = |group_size, instances| Simulation {
        instances,
        group_size,
        from: date(2026, 11, 2),
        days: 30,
        seed: 1,
    };
    let config = own(&OFTEN.replace("mean_days: 1", "mean_days: 1, keep_healthy: 2"));
    let tally = simulate(&config, simulation(Some(2), 100));
    assert_eq!((tally.groups, tally.groups_at_floor, tally.strikes), (50, 50, 0));
    // Without a size, groups are such that one may be ended; what is left over makes one that is not.
    let tally = simulate(&config, simulation(None, 100));
    assert_eq!((tally.group_size, tally.groups, tally.groups_at_floor), (3, 34, 1));
    assert_eq!((tally.strikes, tally.groups_never_struck), (33 * tally.striking_days as u64, 0));
}

#[test]
fn the_last_row_of_a_short_table_is_compared_with_all_that_is_as_long() {
    let config = own(&OFTEN.replace("mean_days: 1", "mean_days: 2.5"));
    let chance = config.chance_of("");
    for days in [30, 365] {
        let simulation =
            Simulation { instances: 40_000, group_size: None, from: date(2026, 1, 1), days, seed: 7 };
        let tally = simulate(&config, simulation);
        let rows = tally.rows(chance, 12);
        assert!(rows.len() <= 12 && rows.iter().filter(|row| row.or_more).count() == 1);
        let seen: u64 = rows.iter().map(|row| row.seen).sum();
        assert_eq!(seen, tally.gaps.iter().sum::<u64>());
        for row in rows.iter().filter(|row| row.expected > 100.0) {
            let error = row.seen as f64 - row.expected;
            assert!(error.abs() < 5.0 * row.expected.sqrt(), "{days}: {row:?}");
        }
        assert!(rows.last().unwrap().or_more);
    }
}

#[test]
fn without_a_strike_there_is_no_mean() {
    let config = own(OFTEN);
    let sunday = Simulation { instances: 10, group_size: None, from: date(2026, 11, 29), days: 1, seed: 7 };
    let tally = simulate(&config, sunday);
    assert_eq!((tally.strikes, tally.mean_gap), (0, None));
    assert!(tally.rows(config.chance_of(""), 12).is_empty());
}

fn refusal(text: &str) -> String {
    let source = Source { name: "monkey.yaml".to_owned(), text: text.to_owned() };
    read(&source).unwrap_err().render(false)
}

#[test]
fn a_file_that_lacks_much_is_told_all_at_once() {
    for empty in ["", "\n# nothing yet\n---\n"] {
        let told = refusal(empty);
        assert!(told.contains("kind: Monkey") && !told.contains("squall init"), "{told}");
    }
    let told = refusal("apiVersion: squall.dev/v1\nkind: Monkey\n");
    assert!(told.contains("`name`, `schedule`, `inventory`, `kill` are missing"), "{told}");
}

#[test]
fn a_wrong_field_of_a_schedule_is_pointed_at() {
    let head =
        "apiVersion: squall.dev/v1\nkind: Monkey\nname: a\ninventory: [{docker: {}}]\nkill: {mean_days: 1}\n";
    for (cron, field, after) in [
        ("0 * 9-25 * * MON-FRI", "9-25", 4),
        ("25 25 * * *", "25", 3),
        ("0 0 9 * 13 *", "13", 8),
        ("* * * * MON-FRX", "MON-FRX", 8),
        ("61 * * * * *", "61", 0),
    ] {
        let told = refusal(&format!("{head}schedule: {{cron: '{cron}'}}\n"));
        let marks = told.lines().find(|line| line.contains('^')).unwrap();
        let line = told.lines().find(|line| line.contains("schedule: {cron")).unwrap();
        let begins = line.find(cron).unwrap() + after;
        assert_eq!(marks.find('^'), Some(begins), "{told}");
        assert_eq!(marks.matches('^').count(), field.len(), "{told}");
    }
}

#[test]
fn a_file_by_which_nothing_is_ever_struck_says_so() {
    let notes = |text: &str| own(text).notes.join("\n");
    let never = "nothing will ever be struck";
    for text in [
        OFTEN.replace("MON-FRI", "SAT"),
        format!("{OFTEN}exceptions: [{{app: db}}, {{}}]\n"),
        OFTEN.replace("mean_days: 1", "probability: 0"),
    ] {
        assert!(notes(&text).contains(never), "{text}: {}", notes(&text));
    }
    assert!(!notes(&format!("{OFTEN}exceptions: [{{app: db}}]\n")).contains(never));
}

#[test]
fn a_closed_day_says_which_freeze_or_holiday_closes_it() {
    let plan = |schedule: &str, day: i8| {
        let schedule = format!("cron: '0 * 9-14 * * MON-FRI', {schedule}");
        let config = own(&OFTEN.replace("cron: '0 * 9-14 * * MON-FRI'", &schedule));
        DayPlan::make(&config, 1, date(2026, 12, day), &[], &History::new()).closed
    };
    let sale = "freeze: [{from: 2026-12-01, until: 2026-12-02, reason: sale}]";
    assert_eq!(plan(sale, 2).unwrap(), "freeze from 2026-12-01 until the end of 2026-12-02: sale");
    assert_eq!(plan(sale, 3), None);
    assert!(plan("holidays: [12-24]", 24).unwrap().contains("a holiday (12-24)"));
    assert!(plan("work_days: MON-SUN", 5).unwrap().contains("does not fire"));
}

#[test]
fn a_plan_that_was_written_before_the_file_was_changed_is_known() {
    let (before, day) = (own(OFTEN), date(2026, 11, 30));
    let instances = [instance("shop", 0), instance("shop", 1)];
    let plan = DayPlan::make(&before, 1, day, &instances, &History::new());
    assert!(plan.is_of(&before, 1) && !plan.is_of(&before, 2));
    assert!(!plan.is_of(&own(&OFTEN.replace("9-14", "9-15")), 1));
    assert!(!plan.is_of(&own(&OFTEN.replace("mean_days: 1", "mean_days: 3")), 1));
}
