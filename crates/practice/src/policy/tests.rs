//! Each rule alone, at fixed instants.

use super::*;
use jiff::Timestamp;
use squall_model::experiment::{Action, BlastRadius, Experiment, Strike};
use squall_model::read::{Source, parse};
use squall_model::target::{Mode, Round, Selection};

/// No run is known, or one.
struct Known(Option<(&'static str, &'static str)>);

/// One run in staging that did something else.
struct Other;

impl Record for Other {
    fn last_passed(
        &self,
        _: &Experiment,
        _: &str,
        alike: bool,
    ) -> Result<Option<(String, Timestamp)>, String> {
        Ok((!alike).then(|| ("r2".to_owned(), MONDAY.parse().unwrap())))
    }
}

impl Record for Known {
    fn last_passed(
        &self,
        experiment: &Experiment,
        environment: &str,
        _alike: bool,
    ) -> Result<Option<(String, Timestamp)>, String> {
        let Some((known, at)) = self.0 else { return Ok(None) };
        Ok((known == environment && experiment.name == "slow")
            .then(|| ("r1".to_owned(), at.parse().unwrap())))
    }
}

fn policy(rules: &str) -> Result<Policy, String> {
    let text = format!(
        "environments:\n  staging:\n  production: {rules}\nprotected: [{{process: {{name: sshd}}}}]\n"
    );
    let source = Source { name: "settings.yaml".into(), text };
    let root = parse(&source).unwrap();
    let unknown = |name: &str| name.contains("nosuch").then(|| format!("no fault has {name}"));
    read(root.get("environments"), root.get("protected"), &unknown).map_err(|error| error.to_string())
}

fn experiment(with: &str) -> Experiment {
    let source = Source { name: "with.yaml".into(), text: with.into() };
    let strike = Strike {
        fault: "network.latency".into(),
        selection: Selection {
            target: Target::Host(true),
            mode: Mode::All,
            value: None,
            round: Round::Down,
            optional: false,
            follow: false,
        },
        with: parse(&source).unwrap(),
        lasts: Duration::seconds(60),
        after: Duration::default(),
        place: Place::default(),
        stage: None,
        when: None,
    };
    Experiment {
        name: "slow".into(),
        method: vec![Action::Strike(vec![strike]), Action::wait(Duration::seconds(30))],
        baseline: Duration::seconds(30),
        recovery_within: Duration::seconds(30),
        ..Experiment::default()
    }
}

/// Monday, ten in the morning in Berlin.
const MONDAY: &str = "2026-11-30T09:00:00Z";

fn denied(rules: &str, experiment: &Experiment, at: &str, record: &Known, approved: bool) -> Vec<Denial> {
    let request =
        Request { experiment, environment: "production", at: at.parse().unwrap(), record, approved };
    judge(&policy(rules).unwrap(), &request).unwrap()
}

/// The only rule that is broken.
#[track_caller]
fn why(rules: &str, with: &str, at: &str) -> Option<String> {
    let denials = denied(rules, &experiment(with), at, &Known(None), true);
    assert!(denials.len() <= 1, "{denials:?}");
    denials.into_iter().next().map(|denial| denial.why)
}

#[test]
fn without_rules_everything_is_allowed() {
    for rules in ["", "{}", "{approval: false}"] {
        assert_eq!(denied(rules, &experiment("{delay: 9s}"), MONDAY, &Known(None), false), []);
    }
    let policy = policy("{}").unwrap();
    let nothing = experiment("{}");
    let request = Request {
        experiment: &nothing,
        environment: "prod",
        at: Timestamp::UNIX_EPOCH,
        record: &Known(None),
        approved: true,
    };
    assert!(judge(&policy, &request).unwrap_err().contains("production, staging"));
}

#[test]
fn magnitudes_are_limits() {
    let rules = "{magnitude: {delay: 200ms, loss: 10%}}";
    assert_eq!(why(rules, "{delay: 200ms}", MONDAY), None);
    assert_eq!(why(rules, "{delay: 300ms}", MONDAY).unwrap(), "network.latency has delay 300ms");
    assert!(why(rules, "{delay: \"5\"}", MONDAY).unwrap().contains("cannot be compared"));
    // A limit of nothing would hold nothing back.
    assert!(policy("{magnitude: {nosuch: 200ms}}").unwrap_err().contains("no fault has nosuch"));
}

#[test]
fn the_time_of_all_faults_counts() {
    assert_eq!(why("{duration: 1m}", "{}", MONDAY), None);
    assert!(why("{duration: 59s}", "{}", MONDAY).unwrap().contains("active for 1 min"));
    let mut bounded = experiment("{}");
    bounded.blast_radius.duration = Some(Duration::seconds(20));
    assert_eq!(denied("{duration: 59s}", &bounded, MONDAY, &Known(None), true), []);
}

#[test]
fn a_run_begins_and_ends_within_the_hours() {
    let rules = "{hours: \"MON-FRI 09:00-17:00 Europe/Berlin\"}";
    assert_eq!(why(rules, "{}", MONDAY), None);
    assert!(
        why(rules, "{}", "2026-11-29T09:00:00Z")
            .unwrap()
            .contains("it is Sun 2026-11-29 10:00 Europe/Berlin")
    );
    // It takes two minutes, and the hours end in one.
    assert!(
        why(rules, "{}", "2026-11-30T15:59:00Z")
            .unwrap()
            .contains("it would last until Mon 2026-11-30 17:01")
    );
    let both = "{hours: \"MON 09:00-17:00 Europe/Berlin\", time_zone: Europe/Berlin}";
    assert_eq!(why(both, "{}", MONDAY), None);
    assert!(why("{hours: \"MON 09:00-17:00\"}", "{}", MONDAY).is_none(), "without a zone it is UTC");
}

#[test]
fn nothing_runs_in_a_freeze_or_on_a_holiday() {
    for freeze in [
        "{from: 2026-11-23, to: 2026-11-30, why: Black Friday}",
        "{from: 2026-11-23, until: 2026-11-30, reason: Black Friday}",
    ] {
        let denials =
            denied(&format!("{{freeze: [{freeze}]}}"), &experiment("{}"), MONDAY, &Known(None), true);
        assert!(denials[0].rule.contains("Black Friday"), "{denials:?}");
    }
    assert_eq!(why("{freeze: [{from: 2026-11-23, to: 2026-11-29}]}", "{}", MONDAY), None);
    assert!(why("{holidays: [11-30]}", "{}", MONDAY).unwrap().contains("holiday"));
}

#[test]
fn what_passed_before_may_be_promoted() {
    let rules = "{promotion: {from: staging, within: 7d}}";
    let judged = |known| denied(rules, &experiment("{}"), MONDAY, &Known(known), true);
    assert_eq!(judged(Some(("staging", "2026-11-24T09:00:00Z"))), []);
    assert!(judged(Some(("staging", "2026-11-20T09:00:00Z")))[0].why.contains("run r1"));
    let slow = experiment("{}");
    let request = Request {
        experiment: &slow,
        environment: "production",
        at: MONDAY.parse().unwrap(),
        record: &Other,
        approved: true,
    };
    let denials = judge(&policy(rules).unwrap(), &request).unwrap();
    assert!(denials[0].why.contains("had other faults") && denials[0].why.contains("r2"), "{denials:?}");
    assert!(judged(Some(("dev", "2026-11-29T09:00:00Z")))[0].why.contains("never passed in staging"));
    assert!(policy("{promotion: {from: stagging}}").unwrap_err().contains("stagging"));
    assert!(
        policy("{promotion: {from: production}}").unwrap_err().contains("cannot be promoted from itself")
    );
}

#[test]
fn a_person_must_say_yes_where_the_rule_says_so() {
    let rules = "{approval: true}";
    assert_eq!(denied(rules, &experiment("{}"), MONDAY, &Known(None), true), []);
    assert!(
        denied(rules, &experiment("{}"), MONDAY, &Known(None), false)[0].allowed.contains("--approved-by")
    );
}

#[test]
fn limits_narrow_the_experiment() {
    let policy = policy("{targets: 1, duration: 5m}").unwrap();
    let mut narrowed = experiment("{}");
    constrain(&policy, "production", &mut narrowed);
    assert_eq!(narrowed.blast_radius.targets, Some(Limit::Count(1)));
    assert_eq!(narrowed.blast_radius.duration, Some(Duration::seconds(300)));
    assert_eq!(narrowed.blast_radius.spared.len(), 1);
    let mut own = experiment("{}");
    own.blast_radius = BlastRadius {
        targets: Some(Limit::Count(3)),
        duration: Some(Duration::seconds(5)),
        ..BlastRadius::default()
    };
    constrain(&policy, "production", &mut own);
    assert_eq!(own.blast_radius.targets, Some(Limit::Count(1)));
    assert_eq!(own.blast_radius.duration, Some(Duration::seconds(5)));
    assert!(judge_targets(&policy, "production", "2 match").unwrap().rule.contains("at most 1"));
    assert_eq!(judge_targets(&policy, "staging", "2 match"), None);
}

#[test]
fn a_share_and_a_count_are_not_compared() {
    let mut own = experiment("{}");
    own.blast_radius.targets = Some(Limit::Count(3));
    assert!(denied("{targets: 10%}", &own, MONDAY, &Known(None), true)[0].allowed.contains("10%"));
    assert_eq!(denied("{targets: 5}", &own, MONDAY, &Known(None), true), []);
}

#[test]
fn what_is_protected_is_not_named() {
    let mut own = experiment("{}");
    assert_eq!(denied("{}", &own, MONDAY, &Known(None), true), []);
    let Action::Strike(strikes) = &mut own.method[0] else { panic!("the method begins with a wait") };
    strikes[0].selection.target = policy("{}").unwrap().protected[0].clone();
    assert!(denied("{}", &own, MONDAY, &Known(None), true)[0].why.contains("process name sshd"));
}

#[test]
fn mistakes_in_the_rules_are_refused() {
    for (rules, word) in [
        ("{target: 1}", "targets"),
        ("{targets: 0}", "at least one"),
        ("{magnitude: {delay: lots}}", "no limit"),
        ("{hours: \"MON-FRI 9-5\"}", "hours"),
        ("{hours: \"MON-FRI 09:00-17:00 Europe/Atlantis\"}", "Atlantis"),
        ("{hours: \"MON-FRI 09:00-09:00\"}", "meant whole"),
        (
            "{hours: \"MON 09:00-17:00 Europe/Berlin\", time_zone: UTC}",
            "the zone is UTC here, and Europe/Berlin",
        ),
        ("{duration: 5}", "duration"),
        ("[1]", "map"),
    ] {
        let error = policy(rules).unwrap_err();
        assert!(error.contains(word), "{rules}: {error}");
    }
}
