//! The monkey on real containers and processes, at a planned minute of a clock that is set to it.

use crate::lab::{Lab, wait_until};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const HEAD: &str = "apiVersion: squall.dev/v1\nkind: Monkey\nleashed: false\nseed: 5\n\
    schedule: {cron: '0 * 9-14 * * MON-FRI', time_zone: Europe/Berlin, told_before: 2s}\n\
    accounts: [{name: production, region: eu, owner: team@shop.example}]\n";
/// Monday.
const DAY: &str = "2026-11-30";

struct Monkey<'l> {
    lab: &'l Lab,
    name: String,
    file: String,
}

impl<'l> Monkey<'l> {
    fn told(lab: &'l Lab, name: &str, more: &str) -> Self {
        let path = lab.path(&format!("{name}.monkey.yaml"));
        std::fs::write(&path, format!("{HEAD}name: {name}\n{more}")).unwrap();
        Self { lab, name: name.to_owned(), file: path.display().to_string() }
    }

    /// When a group is to be struck on the day.
    fn planned(&self, app: &str) -> Timestamp {
        let words = ["monkey", "plan", "--config", &self.file, "--from", DAY, "--days", "1", "--json"];
        let plan = json(&self.lab.output(&words));
        let choices = plan["days"][0]["choices"].as_array().unwrap().clone();
        let choice = choices.iter().find(|choice| choice["group"]["app"] == app).unwrap();
        choice["at"].as_str().unwrap().parse().unwrap()
    }

    /// Works from three seconds before a time to so many after it.
    fn works_around(&self, at: Timestamp, after: i64) -> Output {
        let time = |seconds| (at + SignedDuration::from_secs(seconds)).to_string();
        let (now, until) = (time(-3), time(after));
        self.lab.output(&["monkey", "run", "--config", &self.file, "--now", &now, "--until", &until])
    }

    fn log(&self) -> Vec<Json> {
        let path = self.lab.path("state").join("monkey").join(&self.name).join("log.jsonl");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn events(&self, event: &str) -> Vec<Json> {
        self.log().into_iter().filter(|entry| entry["event"] == event).collect()
    }
}

fn json(output: &Output) -> Json {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn containers_that_opted_in_are_ended_at_the_planned_minute() {
    let lab = match Lab::start() {
        Ok(lab) => lab,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let run = |name: &str, app: &str, opted_in: bool| {
        let label = if opted_in { "enabled" } else { "disabled" };
        lab.run(name, &[("squall.monkey", label), ("squall.app", app)], "/bin/busybox sleep 600")
    };
    let shop = [run("shop-1", "shop", true), run("shop-2", "shop", true)];
    let spared = [run("shop-3", "shop", false), run("lone", "lone", true), run("shop-canary", "shop", true)];

    let free =
        Monkey::told(&lab, "free", "inventory: [{docker: {}}]\nkill: {mean_days: 1}\noutage: {watch: 1s}\n");
    let at = free.planned("shop");
    let output = free.works_around(at, 20);
    assert!(output.status.success(), "{}", errors(&output));
    let alive = shop.iter().filter(|id| lab.runs(id)).count();
    assert_eq!(alive, 1, "{}", errors(&output));
    assert!(spared.iter().all(|id| lab.runs(id)));
    let striking = free.events("striking");
    let struck_at: Timestamp = striking[0]["at"].as_str().unwrap().parse().unwrap();
    assert!(
        struck_at >= at && struck_at.duration_since(at) < SignedDuration::from_secs(60),
        "{struck_at} {at}"
    );
    assert_eq!((striking.len(), free.events("struck")[0]["verdict"].as_str()), (1, Some("passed")));
    let told: Vec<String> =
        free.events("told").iter().map(|told| told["words"].as_str().unwrap().to_owned()).collect();
    assert!(told.iter().any(|words| words.contains("is ended now")), "{told:?}");
    assert!(told.last().unwrap().contains("was ended"), "{told:?}");
    assert!(free.events("told").iter().all(|told| told["owner"] == "team@shop.example"));
    // The next day was planned a day ahead.
    assert!(lab.path("state/monkey/free/plan-2026-12-01.json").exists());

    // What is done is done: the same minute again changes nothing, and of one instance none is ever ended.
    free.works_around(at, 2);
    assert_eq!((free.events("striking").len(), shop.iter().filter(|id| lab.runs(id)).count()), (1, 1));
    let planned = lab.output(&["monkey", "plan", "--config", &free.file, "--from", DAY, "--days", "1"]);
    let planned = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert!(planned.contains("1 strike, 1 group spared (1 by the floor)"), "{planned}");
    assert!(planned.contains("spared: floor") && planned.contains("the next 1 day,"), "{planned}");
    assert!(free.events("told").iter().all(|told| !told["group"].as_str().unwrap().contains("lone")));
    let explained = lab.output(&["monkey", "explain", "--config", &free.file, "--date", DAY]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    for word in
        ["shop in eu (production)", "struck at", "shop-3", "has not opted in", "*-canary", "was ended"]
    {
        assert!(explained.contains(word), "{word}: {explained}");
    }

    // A fourth instance comes, and an outage: nothing that answers where the shop should be.
    let shop = [run("shop-4", "shop", true), run("shop-5", "shop", true)];
    for (name, outage) in [
        ("down", "{watch: 1s, steady_state: [{tcp: {address: '127.0.0.1:1'}}]}"),
        (
            "unknown",
            "{watch: 1s, metrics: {alerts: {prometheus: {url: 'http://127.0.0.1:1', query: up}}}, steady_state: \
             [{expect: alerts == 0}]}",
        ),
    ] {
        let text = format!("inventory: [{{docker: {{}}}}]\nkill: {{mean_days: 1}}\noutage: {outage}\n");
        let careful = Monkey::told(&lab, name, &text);
        let output = careful.works_around(careful.planned("shop"), 8);
        assert!(shop.iter().all(|id| lab.runs(id)), "{name}: {}", errors(&output));
        // It is looked first: nobody is told of a strike that is not made, and it is not called one.
        let spared = careful.events("spared");
        let why = spared.last().unwrap()["why"].as_str().unwrap();
        assert!(
            why.contains("there may be an outage") && careful.events("struck").is_empty(),
            "{name}: {why}"
        );
        let told = format!("{:?}", careful.events("told"));
        assert!(!told.contains("is ended now") && told.contains("there may be an outage"), "{name}: {told}");
        assert!(output.status.success());
    }

    // On the leash it only tells; and a halt is a halt.
    let text = "inventory: [{docker: {}}]\nkill: {mean_days: 1}\n";
    let leashed = Monkey::told(&lab, "leashed", text);
    let file = std::fs::read_to_string(&leashed.file).unwrap().replace("leashed: false", "leashed: true");
    std::fs::write(&leashed.file, file).unwrap();
    let output = leashed.works_around(leashed.planned("shop"), 3);
    assert!(output.status.success() && shop.iter().all(|id| lab.runs(id)));
    assert_eq!(leashed.events("leashed").len(), 1, "{}", errors(&output));
    std::fs::write(lab.path("state/halt"), "").unwrap();
    assert_eq!(free.works_around(at, 2).status.code(), Some(4));
    std::fs::remove_file(lab.path("state/halt")).unwrap();
    let leftovers = lab.output(&["leftovers"]);
    assert!(leftovers.status.success(), "{}", String::from_utf8_lossy(&leftovers.stdout));
}

/// A sleeper that goes when the test ends.
struct Sleeper(Child);

impl Sleeper {
    /// Each test has a time of its own, by which it finds its sleepers and no others'.
    fn start(seconds: &str, opted_in: bool) -> Self {
        let mut command = Command::new("sleep");
        command.arg(seconds).stdin(Stdio::null()).process_group(0);
        if opted_in {
            command.env("SQUALL_MONKEY", "enabled");
        }
        Self(command.spawn().unwrap())
    }

    fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn processes_that_opted_in_are_ended_and_others_are_not() {
    let lab = Lab::without_daemon();
    let mut in_it = [
        Sleeper::start("613.0625", true),
        Sleeper::start("613.0625", true),
        Sleeper::start("613.0625", true),
    ];
    let mut out_of_it = [Sleeper::start("613.0625", false), Sleeper::start("613.0625", false)];
    let monkey = Monkey::told(
        &lab,
        "processes",
        "inventory: [{processes: {app: sleepers, match: {cmdline: sleep 613.0625}}}]\nkill: {mean_days: 1, keep_healthy: 2, \
         signal: TERM}\noutage: {watch: 1s}\n",
    );
    let at = monkey.planned("sleepers");
    let output = monkey.works_around(at, 12);
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!(in_it.iter_mut().filter_map(|sleeper| sleeper.runs().then_some(())).count(), 2);
    assert!(out_of_it.iter_mut().all(Sleeper::runs));
    let told = monkey.events("told");
    let told_at: Timestamp = told[0]["at"].as_str().unwrap().parse().unwrap();
    assert!(told_at < at && told[0]["words"].as_str().unwrap().contains("is to be ended today"), "{told:?}");
    let after = told.last().unwrap()["words"].as_str().unwrap();
    assert!(after.contains("was ended") && after.contains("nothing was watched"), "{told:?}");
    // The next work day the floor holds.
    let tomorrow = lab.path("state/monkey/processes/plan-2026-12-01.json");
    let plan: Json = serde_json::from_slice(&std::fs::read(tomorrow).unwrap()).unwrap();
    let next: Timestamp = plan["choices"][0]["at"].as_str().unwrap().parse().unwrap();
    monkey.works_around(next, 3);
    assert_eq!(in_it.iter_mut().filter_map(|sleeper| sleeper.runs().then_some(())).count(), 2);
    let why = monkey.events("spared").pop().unwrap()["why"].as_str().unwrap().to_owned();
    assert!(why.contains("2 must be left"), "{why}");
    let audited = json(&lab.output(&["audit", "list", "--json"]));
    let deeds: Vec<&str> =
        audited.as_array().unwrap().iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(deeds, ["run_started", "run_ended", "monkey_killed", "monkey_spared"]);
    let kept = json(&lab.output(&["history", "list", "--json"]));
    assert_eq!(
        (kept[0]["origin"].as_str(), kept[0]["verdict"].as_str()),
        (Some("monkey processes"), Some("passed"))
    );
}

#[test]
fn a_strike_during_which_the_monkey_was_killed_is_settled_later() {
    let lab = Lab::without_daemon();
    let mut sleepers = [Sleeper::start("613.1250", true), Sleeper::start("613.1250", true)];
    let text = "inventory: [{processes: {app: sleepers, match: {cmdline: sleep 613.1250}}}]\nkill: {mean_days: 1}\n\
                outage: {watch: 5m}\n";
    let monkey = Monkey::told(&lab, "killed", text);
    let at = monkey.planned("sleepers");
    let now = (at - SignedDuration::from_secs(3)).to_string();
    let mut running =
        lab.squall(&["monkey", "run", "--config", &monkey.file, "--now", &now]).spawn().unwrap();
    wait_until("an instance is ended", || sleepers.iter_mut().any(|sleeper| !sleeper.runs()));
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!((monkey.events("striking").len(), monkey.events("struck").len()), (1, 0));

    let output = monkey.works_around(at + SignedDuration::from_mins(5), 10);
    let struck = monkey.events("struck");
    assert_eq!(struck.len(), 1, "{}", errors(&output));
    assert_eq!(
        (struck[0]["verdict"].as_str(), struck[0]["touched"].as_bool()),
        (Some("aborted"), Some(true))
    );
    let told = monkey.events("told").pop().unwrap();
    assert_eq!(told["owner"], "team@shop.example");
    let words = told["words"].as_str().unwrap();
    assert!(words.contains("was ended; aborted") && words.contains("ended without a word"), "{words}");
    let explained = lab.output(&["monkey", "explain", "--config", &monkey.file, "--date", DAY]);
    assert!(String::from_utf8_lossy(&explained.stdout).contains("aborted"));
    // It is settled once, and it was a strike: nothing more comes of this day.
    monkey.works_around(at + SignedDuration::from_mins(5), -2);
    assert_eq!((monkey.events("struck").len(), monkey.events("striking").len()), (1, 1));
    assert_eq!(sleepers.iter_mut().filter_map(|sleeper| sleeper.runs().then_some(())).count(), 1);
}

#[test]
fn a_monkey_that_does_nothing_says_why() {
    let lab = Lab::without_daemon();
    let _sleepers = [Sleeper::start("613.1875", true), Sleeper::start("613.1875", true)];
    let text =
        "inventory: [{processes: {app: sleepers, match: {cmdline: sleep 613.1875}}}]\nkill: {mean_days: 1}\n";
    let monkey = Monkey::told(&lab, "idle", text);
    let once =
        |now: &str| errors(&lab.output(&["monkey", "run", "--config", &monkey.file, "--now", now, "--once"]));
    let told = once("2026-11-29T12:00:00Z");
    assert!(told.contains("nothing was done") && told.contains("it is a free day"), "{told}");
    // Monday was planned meanwhile; its strike is past by now.
    let told = once("2026-11-30T22:00:00Z");
    assert!(told.contains("nothing was done: of the 1 strike planned"), "{told}");
    let now = ["--now", "2026-12-01T05:00:00Z", "--until", "2026-12-01T04:00:00Z"];
    let run = ["monkey", "run", "--config", &monkey.file];
    let told = errors(&lab.output(&[&run[..], &now[..]].concat()));
    assert!(told.contains("was over already"), "{told}");
    // What is written down stays when the file is changed, and that is said.
    let changed = std::fs::read_to_string(&monkey.file).unwrap().replace("9-14", "9-12");
    std::fs::write(&monkey.file, changed).unwrap();
    let told = errors(&lab.output(&[&run[..], &now[..]].concat()));
    assert!(told.contains("the plan for 2026-12-01 was written down before"), "{told}");
    // A place that cannot be looked at is told once, though two days were to be planned.
    let blind = Monkey::told(&lab, "blind", "inventory: [{docker: {}}]\nkill: {mean_days: 1}\n");
    let told = errors(&lab.output(&[&["monkey", "run", "--config", &blind.file][..], &now[..]].concat()));
    assert_eq!(told.matches("could not ask Docker").count(), 1, "{told}");
}

/// A unit without a service manager: a control group that is named as one.
struct Unit(PathBuf);

impl Unit {
    fn holding(name: &str, sleeper: &Sleeper) -> Option<Self> {
        let trees = ["unified", "freezer", ""].map(|tree| Path::new("/sys/fs/cgroup").join(tree));
        let tree = trees.into_iter().find(|tree| tree.join("cgroup.procs").exists())?;
        let unit = Self(tree.join(name));
        std::fs::create_dir(&unit.0).ok()?;
        std::fs::write(unit.0.join("cgroup.procs"), sleeper.0.id().to_string()).ok()?;
        Some(unit)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn units_that_opted_in_are_ended_and_others_are_not() {
    let lab = Lab::without_daemon();
    let name = |number: u32| format!("sqt-{}@{number}.service", std::process::id());
    // Units go after what is in them: what is declared last goes first.
    let mut units = Vec::new();
    let mut sleepers = [
        Sleeper::start("613.2500", true),
        Sleeper::start("613.2500", true),
        Sleeper::start("613.2500", false),
    ];
    for (number, sleeper) in (1..).zip(&sleepers) {
        let Some(unit) = Unit::holding(&name(number), sleeper) else {
            println!("skipped: no control group can be made here");
            return;
        };
        units.push(unit);
    }
    let text = "inventory: [{services: {app: sleepers, unit: 'sqt-PID@*'}}]\nkill: {mean_days: 1}\noutage: {watch: 1s}\n";
    let monkey = Monkey::told(&lab, "units", &text.replace("PID", &std::process::id().to_string()));
    let output = monkey.works_around(monkey.planned("sleepers"), 12);
    assert!(output.status.success(), "{}", errors(&output));
    let [first, second, other] = sleepers.each_mut().map(Sleeper::runs);
    assert!((first != second) && other, "{}", errors(&output));
    assert!(monkey.events("striking")[0]["instance"].as_str().unwrap().ends_with(".service"));
    drop(sleepers);
}

#[test]
fn the_seeds_file_is_planned_for_office_hours_only() {
    let lab = Lab::without_daemon();
    let seed =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../practice/src/monkey/testing/chaos-monkey-config.yaml");
    let output = lab.output(&["monkey", "plan", "--config", seed, "--days", "60", "--from", "2026-11-28"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", errors(&output));
    let dates = text.split_whitespace().filter_map(|word| word.parse::<jiff::civil::Date>().ok());
    let dates: Vec<_> = dates.filter(|date| date.year() >= 2026).collect();
    assert!(dates.len() >= 40, "{text}");
    assert!(dates.iter().all(|date| date.weekday().to_monday_one_offset() <= 5), "{text}");
    assert!(text.contains("platform-team@company.com") && text.contains("09:00 to 17:00"), "{text}");
}
