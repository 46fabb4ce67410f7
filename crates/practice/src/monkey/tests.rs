//! The monkey's decisions, with dates and instances of the tests' own.

use super::*;
use crate::calendar::{Calendar, Zone};
use jiff::Timestamp;
use jiff::civil::{Date, Weekday, date};
use serde_json::json;
use squall_model::read::Source;
use squall_model::target::Mode;
use std::collections::BTreeSet;

const SEED: &str = include_str!("testing/chaos-monkey-config.yaml");

fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), text: text.to_owned() }
}

pub(super) fn config(text: &str) -> Config {
    read(&source("monkey.yaml", text)).unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
}

pub(super) fn own(more: &str) -> Config {
    let head = "apiVersion: squall.dev/v1\nkind: Monkey\nname: shop\ninventory: [{docker: {}}]\n";
    config(&format!("{head}{more}"))
}

fn refusal(name: &str, text: &str) -> String {
    read(&source(name, text)).unwrap_err().render(false)
}

pub(super) const OFTEN: &str =
    "leashed: false\nschedule: {cron: '0 * 9-14 * * MON-FRI'}\nkill: {mean_days: 1}\n";

pub(super) fn instance(app: &str, number: usize) -> Instance {
    Instance {
        id: format!("{app}-{number}"),
        name: format!("{app}-{number}"),
        app: app.to_owned(),
        opted_in: true,
        healthy: true,
        target: json!({"container": {"id": format!("{number:064}")}}),
        ..Instance::default()
    }
}

fn work_week() -> impl Iterator<Item = Date> {
    Calendar::days_from(date(2026, 11, 30)).take(5)
}

#[test]
fn the_seeds_file_is_understood_as_it_is() {
    let config = config(SEED);
    assert_eq!((config.name.as_str(), config.enabled, config.leashed), ("chaosmonkey-config", true, true));
    assert_eq!(config.cron.to_string(), "0 0 9-17 * * MON-FRI");
    let [account] = config.accounts.as_slice() else { panic!("{:?}", config.accounts) };
    assert_eq!((account.name.as_str(), account.region.as_str()), ("production", "us-east-1"));
    assert_eq!(account.owner.as_deref(), Some("platform-team@company.com"));
    assert_eq!((config.kill.mean_days, config.kill.probability), (Some(2.0), Some(0.1)));
    assert!((config.chance_of("any").mean() - 10.0).abs() < 1e-9);
    assert!(config.notes.iter().any(|note| note.contains("smaller of both")), "{:?}", config.notes);
    // Not one strike in ten years falls on a weekend or outside of the hours.
    let instances: Vec<_> = (0..4).map(|number| instance("shop", number)).collect();
    let days = Calendar::days_from(date(2026, 11, 27)).take(3653);
    let plans = DayPlan::ahead(&config, 7, days, &instances, &History::new());
    let strikes: Vec<_> = plans.iter().flat_map(DayPlan::strikes).collect();
    assert!((200..320).contains(&strikes.len()), "{}", strikes.len());
    for (at, _) in strikes {
        let local = Zone::utc().at(at);
        assert!(
            !matches!(local.weekday(), Weekday::Saturday | Weekday::Sunday)
                && (9..=17).contains(&local.hour())
        );
        assert_eq!((local.minute(), local.second()), (0, 0));
    }
    for free in plans.iter().filter(|plan| matches!(plan.date.weekday(), Weekday::Saturday | Weekday::Sunday))
    {
        assert_eq!((free.openings, &free.choices[0].outcome), (0, &Outcome::Closed));
    }
}

#[test]
fn what_the_seeds_file_must_not_say_is_refused() {
    for (from, to, says) in [
        (
            "spinnaker:\n        enabled: false",
            "spinnaker:\n        enabled: true",
            "does not speak to Spinnaker",
        ),
        ("9-17 * * MON-FRI", "9-25 * * MON-FRI", "hour"),
        ("probability: 0.1", "probabilty: 0.1", "did you mean `probability`"),
        ("meanTimeBetweenKillsInWorkDays: 2", "meanTimeBetweenKillsInWorkDays: 0", "at least 1 day"),
        ("type: \"cron\"", "type: \"lunar\"", "unknown value `lunar`"),
        ("chaosmonkey:", "monkey:", "tells a monkey"),
    ] {
        assert!(SEED.contains(from), "{from}");
        let message = refusal("seed.yaml", &SEED.replacen(from, to, 1));
        assert!(message.contains(says), "{says}: {message}");
    }
    let message = refusal("seed.yaml", &SEED.replace("probability: 0.1", "probability: often"));
    assert!(message.contains("seed.yaml: data.config.yaml:19"), "{message}");
}

#[test]
fn netflixs_toml_is_understood() {
    let toml = "[chaosmonkey]\nenabled = true\nschedule_enabled = true\nleashed = false\naccounts = [\"production\", \"test\"]\n\
                start_hour = 9\nend_hour = 15\ntime_zone = \"America/New_York\"\nterm_account = \"root\"\n\
                [database]\nhost = \"db\"\n";
    let read_toml = |text: &str| read(&source("chaosmonkey.toml", text));
    let config = read_toml(toml).unwrap();
    assert!(config.enabled && !config.is_dry());
    let openings = config.calendar.openings(&config.cron, date(2026, 11, 30));
    assert_eq!((openings.len(), openings[0].to_string().as_str()), (360, "2026-11-30T14:00:00Z"));
    assert_eq!(config.accounts.len(), 2);
    assert_eq!(config.chance_of("any"), Chance { a_day: 0.5, minimum: 1 });
    assert!(config.notes.iter().any(|note| note.contains("[database]")));
    let defaults = read_toml("[chaosmonkey]\n").unwrap();
    assert!(!defaults.enabled && defaults.leashed);
    assert_eq!(defaults.calendar.time_zone.to_string(), "America/Los_Angeles");
    for (line, says) in [
        ("outage_checker = \"plugin\"", "outage_checker"),
        ("max_apps = 3", "limit of apps"),
        ("end_hour = 9", "are none"),
        ("strat_hour = 9", "did you mean `start_hour`"),
    ] {
        let message = refusal("chaosmonkey.toml", &format!("[chaosmonkey]\n{line}\n"));
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn mistakes_in_our_own_file_are_pointed_at() {
    let head = "apiVersion: squall.dev/v1\nkind: Monkey\nname: shop\n";
    let inventory = "inventory: [{docker: {}}]\n";
    let schedule = "schedule: {cron: '0 9 * * *'}\n";
    for (text, says) in [
        (format!("{head}{inventory}kill: {{mean_days: 2}}\n"), "`schedule` is missing"),
        (format!("{head}{schedule}kill: {{mean_days: 2}}\n"), "`inventory` is missing"),
        (format!("{head}{inventory}{schedule}kill: {{}}\n"), "neither a mean"),
        (format!("{head}{inventory}{schedule}kill: {{mean_days: 2, min_days: 3}}\n"), "cannot be less"),
        (format!("{head}{inventory}{schedule}kill: {{mean_days: 2, signal: STOP}}\n"), "does not end"),
        (
            format!("{head}{inventory}{schedule}kill: {{mean_days: 2}}\noutage: {{chekcs: []}}\n"),
            "unknown key",
        ),
        (format!("{head}inventory: [{{docker: {{opt_in: yes}}}}]\n{schedule}kill: {{mean_days: 2}}\n"), ""),
        (
            format!(
                "{head}inventory: [{{processes: {{app: a, match: {{}}}}}}]\n{schedule}kill: {{mean_days: 2}}\n"
            ),
            "every process",
        ),
        (
            format!("{}{inventory}{schedule}kill: {{mean_days: 2}}\n", head.replace("shop", "../up")),
            "names a folder",
        ),
        ("apiVersion: v1\nkind: Pod\n".to_owned(), "no file that tells a monkey"),
    ] {
        let message = refusal("monkey.yaml", &text);
        assert!(message.contains(says), "{text}: {message}");
    }
}

#[test]
fn only_what_opted_in_and_is_meant_is_struck() {
    let config = own(&format!(
        "{OFTEN}accounts: [{{name: prod, region: eu, owner: a@b.example}}, {{name: test}}]\n\
         exceptions: [{{app: db}}, {{account: test, stack: qa}}]\nonly: [{{app: shop}}, {{app: db}}, {{app: web}}]\n\
         never: ['*-old']\napps: {{web: {{enabled: false}}}}\n"
    ));
    let placed = |account: &str, region: &str, app: &str, stack: &str| Instance {
        account: Some(account.into()),
        region: Some(region.into()),
        stack: stack.into(),
        ..instance(app, 1)
    };
    let judged = |instance: &Instance| match config.judge(instance) {
        Eligibility::Member { group, owner } => format!("{} {}", group.key(), owner.unwrap_or_default()),
        Eligibility::Not(why) => why,
    };
    assert_eq!(judged(&placed("prod", "eu", "shop", "")), "prod/eu/shop/shop a@b.example");
    assert_eq!(judged(&placed("test", "us", "shop", "ci")), "test/us/shop/shop-ci ");
    for (instance, why) in [
        (Instance { opted_in: false, ..placed("prod", "eu", "shop", "") }, "opted in"),
        (placed("prod", "us", "shop", ""), "none of the accounts"),
        (instance("shop", 1), "no squall.account and no squall.region"),
        (placed("prod", "eu", "db", ""), "exception: app db"),
        (placed("test", "eu", "shop", "qa"), "exception: account test, stack qa"),
        (placed("prod", "eu", "blog", ""), "`only`"),
        (placed("prod", "eu", "web", ""), "left alone"),
        (placed("prod", "eu", "shop", "canary"), "*-canary"),
        (Instance { name: "shop-old".into(), ..placed("prod", "eu", "shop", "") }, "*-old"),
    ] {
        assert!(judged(&instance).contains(why), "{why}: {}", judged(&instance));
    }
    // Where there is one account, what does not say whose it is is of that one.
    let one = own(&format!("{OFTEN}accounts: [{{name: prod, region: eu}}]\n"));
    assert!(
        matches!(one.judge(&instance("shop", 1)), Eligibility::Member { group, .. } if group.key() == "prod/eu/shop/shop")
    );
}

#[test]
fn groups_are_by_app_stack_or_cluster_and_regions_stand_alone_or_not() {
    let instances: Vec<Instance> = (0..12)
        .map(|number: usize| Instance {
            region: Some(["eu", "us"][number % 2].into()),
            stack: ["", "ci"][number / 2 % 2].into(),
            detail: ["a", "b", "c"][number / 4].into(),
            ..instance("shop", number)
        })
        .collect();
    for (by, regions, groups) in [
        ("app", true, 2),
        ("app", false, 1),
        ("stack", true, 4),
        ("stack", false, 2),
        ("cluster", true, 12),
        ("cluster", false, 6),
    ] {
        let kill = format!(
            "kill: {{mean_days: 1, keep_healthy: 0, group_by: {by}, regions_are_independent: {regions}}}"
        );
        let config = own(&OFTEN.replace("kill: {mean_days: 1}", &kill));
        let plan = DayPlan::make(&config, 1, date(2026, 11, 30), &instances, &History::new());
        assert_eq!(plan.choices.len(), groups, "{by} {regions}");
        assert_eq!(plan.choices.iter().map(|choice| choice.instances).sum::<usize>(), 12);
        assert_eq!(plan.strikes().len(), groups);
    }
}

#[test]
fn a_plan_can_be_made_again_and_hangs_on_nothing_else() {
    let config = own(&OFTEN.replace("mean_days: 1", "mean_days: 2"));
    let shop: Vec<Instance> = (0..3).map(|number| instance("shop", number)).collect();
    let mut both = vec![instance("web", 9), instance("aaa", 0)];
    both.extend(shop.iter().rev().cloned());
    let of_shop = |seed: u64, instances: &[Instance]| -> Vec<_> {
        let plans = DayPlan::ahead(&config, seed, work_week(), instances, &History::new());
        let choices = plans.into_iter().flat_map(|plan| plan.choices);
        choices
            .filter(|choice| choice.group.app == "shop")
            .map(|choice| (choice.rolled, choice.outcome))
            .collect()
    };
    assert_eq!(of_shop(1, &shop), of_shop(1, &both));
    assert_ne!(of_shop(1, &shop), of_shop(2, &shop));
    let plan = DayPlan::make(&config, 1, date(2026, 11, 30), &shop, &History::new());
    let json = serde_json::to_string(&plan).unwrap();
    let read: DayPlan = serde_json::from_str(&json).unwrap();
    let words = |plan: &DayPlan| plan.choices.iter().map(Choice::explain).collect::<Vec<_>>();
    assert_eq!((read.date, words(&read)), (plan.date, words(&plan)));
    for choice in &plan.choices {
        assert!(choice.explain().contains("chance of 50.00%"), "{}", choice.explain());
    }
}

#[test]
fn the_least_time_is_kept_over_weekends_and_holidays() {
    let config =
        own("schedule: {cron: '0 12 * * *', holidays: [2026-12-01]}\nkill: {mean_days: 3, min_days: 3}\n");
    let instances = [instance("shop", 0), instance("shop", 1)];
    // With mean and minimum alike, the third day is certain. Friday the 27th, then Monday, Wednesday, Thursday.
    let key = "/*/shop/shop".to_owned();
    let outcome = |day: Date| {
        let history = History::from([(key.clone(), date(2026, 11, 27))]);
        DayPlan::make(&config, 1, day, &instances, &history).choices.remove(0).outcome
    };
    assert_eq!(outcome(date(2026, 11, 30)), Outcome::TooSoon { last: date(2026, 11, 27) });
    assert_eq!(outcome(date(2026, 12, 1)), Outcome::Closed);
    assert_eq!(outcome(date(2026, 12, 2)), Outcome::TooSoon { last: date(2026, 11, 27) });
    assert!(matches!(outcome(date(2026, 12, 3)), Outcome::Strike { .. }));
    // A history of other groups changes nothing.
    let others = History::from([("/*/web/web".to_owned(), date(2026, 11, 30))]);
    let plan = DayPlan::make(&config, 1, date(2026, 12, 2), &instances, &others);
    assert!(matches!(plan.choices[0].outcome, Outcome::Strike { .. }));
}

#[test]
fn frozen_hours_and_skipped_ones_are_never_struck() {
    let config = own(
        "schedule:\n  cron: '0 */30 1-3 * * *'\n  time_zone: Europe/Berlin\n  work_days: MON-SUN\n  freeze:\n  \
         - {from: 2026-03-30 01:00, until: 2026-03-30 03:30, reason: release}\n  - {from: 2026-03-31, until: 2026-04-02}\n\
         kill: {mean_days: 1}\n",
    );
    let instances = [instance("shop", 0), instance("shop", 1)];
    let plan = |day: Date| DayPlan::make(&config, 1, day, &instances, &History::new());
    // On the 29th the clocks skip two to three o'clock.
    assert_eq!(plan(date(2026, 3, 28)).openings, 6);
    assert_eq!(plan(date(2026, 3, 29)).openings, 4);
    let frozen = plan(date(2026, 3, 30));
    assert_eq!((frozen.openings, frozen.window.unwrap().0.as_str()), (1, "2026-03-30T03:30:00+02:00"));
    assert_eq!(plan(date(2026, 3, 31)).choices[0].outcome, Outcome::Closed);
    assert_eq!(plan(date(2026, 10, 25)).openings, 6);
    // A freeze that was declared after the plan was made holds too.
    let at: Timestamp = "2026-03-30T00:00:00Z".parse().unwrap();
    let group = plan(date(2026, 3, 28)).choices.remove(0).group;
    let spared = victims(&config, 1, &group, &[instance("shop", 0), instance("shop", 1)], at).unwrap_err();
    assert!(spared.to_string().contains("release"), "{spared}");
}

#[test]
fn enough_healthy_instances_are_always_left() {
    let config = own(&OFTEN.replace("mean_days: 1", "mean_days: 1, keep_healthy: 2"));
    let now: Timestamp = "2026-11-30T10:00:00Z".parse().unwrap();
    let mut instances: Vec<Instance> = (0..4).map(|number| instance("shop", number)).collect();
    let plan = DayPlan::make(&config, 1, date(2026, 11, 30), &instances, &History::new());
    let group = plan.choices[0].group.clone();
    instances[2].healthy = false;
    let chosen = victims(&config, 1, &group, &instances, now).unwrap();
    assert_eq!((chosen.healthy, chosen.of), (3, 4));
    assert!(chosen.instances[0].healthy);
    let turned: Vec<_> = instances.iter().rev().cloned().collect();
    let same = victims(&config, 1, &group, &turned, now);
    assert_eq!(same.unwrap().instances[0].id, chosen.instances[0].id);
    let experiment = experiment(&config, &group, &chosen);
    assert_eq!(experiment["method"][0]["target"], chosen.instances[0].target);
    instances[1].healthy = false;
    let floor = victims(&config, 1, &group, &instances, now).unwrap_err();
    assert_eq!(floor, Spared::Floor { healthy: 2, of: 4, floor: 2 });
    assert_eq!(victims(&config, 1, &group, &instances[..0], now).unwrap_err(), Spared::Empty);
    // Each is struck as often as any other.
    instances.iter_mut().for_each(|instance| instance.healthy = true);
    let mut struck = [0_u32; 4];
    for seed in 0..4000 {
        let chosen = victims(&config, seed, &group, &instances, now).unwrap();
        struck[instances.iter().position(|instance| instance.id == chosen.instances[0].id).unwrap()] += 1;
    }
    assert!(chi_square(&struck.map(u64::from), &[1000.0; 4]) < critical(3), "{struck:?}");
}

/// Pearson's statistic.
fn chi_square(seen: &[u64], expected: &[f64]) -> f64 {
    seen.iter().zip(expected).map(|(seen, expected)| (*seen as f64 - expected).powi(2) / expected).sum()
}

/// What the statistic stays below in 999 of 1000 cases, by Wilson and Hilferty (PNAS 17, 1931).
fn critical(freedom: usize) -> f64 {
    let freedom = freedom as f64;
    let part = 2.0 / (9.0 * freedom);
    freedom * (1.0 - part + 3.0902 * part.sqrt()).powi(3)
}

#[test]
fn strikes_are_distributed_as_the_mathematics_says() {
    let base = "schedule: {cron: '0 */30 9-14 * * MON-FRI', holidays: [us]}\n";
    for (kill, mean) in [
        ("{mean_days: 2}", 2.0),
        ("{mean_days: 5, min_days: 3}", 5.0),
        ("{mean_days: 2, probability: 10%}", 10.0),
        ("{mean_days: 4, min_days: 4}", 4.0),
    ] {
        let config = own(&format!("{base}kill: {kill}\n"));
        let simulation = Simulation {
            instances: 8_000,
            group_size: Some(4),
            from: date(2026, 1, 1),
            days: 365,
            seed: 20_261_127,
        };
        let tally = simulate(&config, simulation);
        assert_eq!((tally.groups, tally.striking_days), (2_000, 250));
        assert!((tally.mean_gap_expected - mean).abs() < 1e-9, "{kill}");
        let gap = tally.mean_gap.unwrap();
        assert!((gap / mean - 1.0).abs() < 0.02, "{kill}: {gap}");
        assert_eq!(tally.most_in_a_group_on_a_day, 1);
        // Gaps: every length that should be seen at least five times on its own, the rest together.
        let chance = config.chance_of("any");
        let counted: u64 = tally.gaps.iter().sum();
        let (mut seen, mut expected) = (Vec::new(), Vec::new());
        for (days, count) in tally.gaps.iter().enumerate().skip(chance.minimum as usize) {
            let wanted = chance.of_gap(days as u32) * counted as f64;
            if wanted >= 5.0 && days + 1 < tally.gaps.len() {
                seen.push(*count);
                expected.push(wanted);
            }
        }
        let too_soon: u64 = tally.gaps.iter().take(chance.minimum as usize).sum();
        assert_eq!(too_soon, 0, "{kill}");
        let rest = (counted as f64 - expected.iter().sum::<f64>()).max(0.0);
        if rest >= 5.0 {
            seen.push(counted - seen.iter().sum::<u64>());
            expected.push(rest);
        }
        let freedom = seen.len().saturating_sub(1).max(1);
        let statistic = chi_square(&seen, &expected);
        assert!(statistic < critical(freedom), "{kill}: {statistic} of {freedom}");
        // Instants: each as often as any other.
        let each = tally.strikes as f64 / tally.by_opening.len() as f64;
        let statistic = chi_square(&tally.by_opening, &vec![each; tally.by_opening.len()]);
        assert_eq!(tally.by_opening.len(), 12);
        assert!(statistic < critical(11), "{kill}: {statistic}");
    }
}

#[test]
fn a_simulation_does_what_plans_do() {
    // The same dice: whatever the numbers of the groups, over many of them the two cannot be told apart.
    let config =
        own("schedule: {cron: '0 * 9-14 * * MON-FRI'}\nkill: {mean_days: 3, min_days: 2, keep_healthy: 0}\n");
    let instances: Vec<Instance> = (0..400).map(|number| instance(&format!("app{number}"), 0)).collect();
    let days = Calendar::days_from(date(2026, 1, 1)).take(90);
    let plans = DayPlan::ahead(&config, 5, days, &instances, &History::new());
    let planned: usize = plans.iter().map(|plan| plan.strikes().len()).sum();
    let simulation =
        Simulation { instances: 400, group_size: None, from: date(2026, 1, 1), days: 90, seed: 5 };
    let simulated = simulate(&config, simulation).strikes;
    assert!((planned as f64 / simulated as f64 - 1.0).abs() < 0.04, "{planned} {simulated}");
}

fn pod(number: usize) -> Instance {
    let name = format!("shop/web-{number}");
    Instance { name: name.clone(), target: json!({"pod": {"names": [name]}}), ..instance("web", number) }
}

fn group_of(instances: &[Instance]) -> Group {
    match own(OFTEN).judge(&instances[0]) {
        Eligibility::Member { group, .. } => group,
        Eligibility::Not(why) => panic!("{why}"),
    }
}

#[test]
fn owners_say_how_many_of_their_group_are_struck() {
    let now: Timestamp = "2026-11-30T10:00:00Z".parse().unwrap();
    let config = own(&OFTEN.replace("mean_days: 1", "mean_days: 1, keep_healthy: 2"));
    let mut pods: Vec<Instance> = (0..10).map(pod).collect();
    let group = group_of(&pods);
    for (mode, value, count) in [
        (Mode::Fixed, Some(3.0), 3),
        (Mode::Fixed, Some(30.0), 8),
        (Mode::All, None, 8),
        (Mode::FixedPercent, Some(49.0), 4),
        (Mode::FixedPercent, Some(1.0), 1),
    ] {
        for pod in &mut pods {
            pod.wishes.how_many = Some(HowMany { mode, value });
        }
        let chosen = victims(&config, 1, &group, &pods, now).unwrap();
        let names: BTreeSet<&str> = chosen.instances.iter().map(|pod| pod.name.as_str()).collect();
        assert_eq!((chosen.instances.len(), names.len()), (count, count), "{mode:?}");
        let experiment = experiment(&config, &group, &chosen);
        let method = &experiment["method"][0];
        assert_eq!(method["target"]["pod"]["names"].as_array().unwrap().len(), count);
        assert_eq!(
            (&method["fault"], &experiment["blast_radius"]["targets"]),
            (&json!("k8s.evict"), &json!(count))
        );
    }
    for pod in &mut pods {
        pod.wishes.how_many = Some(HowMany { mode: Mode::RandomMaxPercent, value: Some(50.0) });
    }
    let counts = (0..500).map(|seed| victims(&config, seed, &group, &pods, now).unwrap().instances.len());
    assert_eq!(counts.collect::<BTreeSet<_>>(), (1..5).collect());
    // Where owners do not agree, the fewest are struck.
    pods[9].wishes.how_many = None;
    assert_eq!(victims(&config, 1, &group, &pods, now).unwrap().instances.len(), 1);
}

#[test]
fn budgets_are_respected_unless_the_file_says_otherwise() {
    let now: Timestamp = "2026-11-30T10:00:00Z".parse().unwrap();
    let mut pods: Vec<Instance> = (0..4).map(pod).collect();
    let group = group_of(&pods);
    let budget = |allows| Some(Budget { name: "PodDisruptionBudget shop/web".to_owned(), allows });
    for pod in &mut pods {
        pod.wishes.how_many = Some(HowMany { mode: Mode::All, value: None });
        pod.budget = budget(2);
    }
    let (careful, careless) =
        (own(OFTEN), own(&OFTEN.replace("mean_days: 1", "mean_days: 1, how: kill, grace: 5s")));
    let struck = |config: &Config, pods: &[Instance]| {
        victims(config, 1, &group, pods, now).map(|chosen| chosen.instances.len())
    };
    assert_eq!((struck(&careful, &pods), struck(&careless, &pods)), (Ok(2), Ok(3)));
    pods.iter_mut().for_each(|pod| pod.budget = budget(0));
    let spared = struck(&careful, &pods).unwrap_err();
    assert_eq!(spared.to_string(), "PodDisruptionBudget shop/web allows none to go now");
    let chosen = victims(&careless, 1, &group, &pods, now).unwrap();
    let method = &experiment(&careless, &group, &chosen)["method"][0];
    assert_eq!((&method["fault"], &method["with"]), (&json!("k8s.pod_kill"), &json!({"grace": "5s"})));
    pods[2].budget = None;
    assert_eq!(victims(&careful, 1, &group, &pods, now).unwrap().instances[0].name, "shop/web-2");
}

#[test]
fn owners_say_how_often_their_group_is_struck() {
    let config = own(&OFTEN.replace("mean_days: 1", "mean_days: 4, min_days: 2, probability: 40%"));
    let mut pods: Vec<Instance> = (0..3).map(pod).collect();
    let chance = |pods: &[Instance]| {
        let plan = DayPlan::make(&config, 1, date(2026, 11, 30), pods, &History::new());
        assert!(plan.is_of(&config, 1));
        (plan.choices[0].chance, plan.choices[0].explain())
    };
    assert!((chance(&pods).0 - 1.0 / 3.0).abs() < 1e-12);
    pods[0].wishes.mean_days = Some(3.0);
    pods[1].wishes.mean_days = Some(11.0);
    let (share, words) = chance(&pods);
    assert!(
        (share - 0.1).abs() < 1e-12 && words.contains("its owners ask for a mean of 11.0 days"),
        "{words}"
    );
    // No more often than the file allows.
    for pod in &mut pods {
        pod.wishes.mean_days = Some(1.0);
    }
    assert!((chance(&pods).0 - 0.4).abs() < 1e-12);
    pods[0].barred = Some("its namespace keeps the cluster alive".to_owned());
    let left_out = DayPlan::make(&config, 1, date(2026, 11, 30), &pods, &History::new()).left_out;
    assert_eq!(left_out[0].why, "its namespace keeps the cluster alive");
}

#[test]
fn the_file_of_kube_monkey_is_understood_as_it_is() {
    let text = "[kubemonkey]\ndry_run = false\nrun_hour = 8\nstart_hour = 10\nend_hour = 16\n\
        blacklisted_namespaces = [\"kube-system\", \"*-prod\"]\nwhitelisted_namespaces = [\"\"]\n\
        time_zone = \"America/New_York\"\n[debug]\nenabled = false\n[notifications]\nenabled = true\n";
    let read_as = |name: &str, text: &str| {
        read(&source(name, text)).unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
    };
    let monkey = read_as("config.toml", text);
    assert_eq!((monkey.leashed, monkey.cron.to_string().as_str()), (false, "* 10-15 * * MON-FRI"));
    assert_eq!(monkey.kill.grace, Some(squall_model::units::Duration::seconds(5)));
    let [Inventory::Kubernetes(pods)] = monkey.inventory.as_slice() else { panic!("{:?}", monkey.inventory) };
    assert_eq!((pods.namespaces.len(), pods.spared_namespaces.len()), (0, 2));
    for note in ["run_hour", "[notifications] is not obeyed", "evicted"] {
        assert!(monkey.notes.iter().any(|said| said.contains(note)), "{note}: {:?}", monkey.notes);
    }
    assert!(!monkey.notes.iter().any(|note| note.contains("chance of a strike is 0")), "{:?}", monkey.notes);
    assert!(read_as("config.toml", "[kubemonkey]\n").leashed);
    let indented = text.replace('\n', "\n    ");
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: km-config}}\ndata:\n  config.toml: |\n    {indented}"
    );
    assert_eq!(read_as("configmap.yaml", &map).name, "km-config");
    for (text, says) in [
        ("[kubemonkey]\nend_hour = 9\n", "are none"),
        ("[kubemonkey]\ntimezone = \"UTC\"\n", "did you mean `time_zone`"),
        ("[kubemonkey]\nwhitelisted_namespaces = [\"team-?\"]\n", "only `*`"),
        ("[kubemonkey]\n[debug]\nenabled = true\n", "debug mode"),
    ] {
        let message = refusal("config.toml", text);
        assert!(message.contains(says), "{message}");
    }
}
