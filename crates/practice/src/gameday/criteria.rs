//! What a machine can check of a criterion that people wrote, and how. What is not clearly understood is asked of
//! people: a wrong check would be worse than none.

use super::GAP;
use super::quantities::{self, Quantity};
use squall_model::condition::Condition;
use squall_model::gameday::{Criterion, Means, Measures, Test};

/// Remedies: what to add to the plan's `squall` block.
const ADD_LOAD: &str = r#"load: {app: {http: {url: "http://127.0.0.1:8080/"}, rate: 20/s}}"#;
const ADD_STEADY: &str =
    r#"steady_state: [{http: {url: "http://127.0.0.1:8080/health"}, expect: status == 200}]"#;
const ADD_ALERTS: &str = r#"alerts: {prometheus: "http://127.0.0.1:9090", expect: [DatabaseDown]}"#;
const ADD_DATA: &str = r#"data: {orders: {exec: {command: "psql -Atc 'select count(*) from orders'"}}}"#;
const ADD_PROBES: &str = r#"probes: {api: {http: {url: "http://127.0.0.1:8080/health"}}}"#;

/// The metrics of loads by the words that people use for them, the longest first.
const METRICS: [(&str, &[&str]); 12] = [
    ("error_rate", &["error rate", "error_rate", "errors", "error budget", "failed requests"]),
    ("success_rate", &["success rate", "success_rate", "successful requests"]),
    ("availability", &["availability", "available", "uptime"]),
    ("latency_p999", &["p99.9", "p999"]),
    ("latency_p99", &["p99", "99th percentile", "latency_p99"]),
    ("latency_p95", &["p95", "95th percentile", "latency_p95"]),
    ("latency_p90", &["p90", "90th percentile", "latency_p90"]),
    ("latency_p75", &["p75", "75th percentile"]),
    ("latency_p50", &["p50", "median", "latency_p50"]),
    ("latency_mean", &["mean latency", "average latency", "average response time", "mean response time"]),
    ("latency_p99", &["latency", "response time", "response times", "latencies"]),
    ("throughput", &["throughput", "requests per second", "rps"]),
];

const LESS: &[&str] = &[
    "below",
    "under",
    "less than",
    "at most",
    "no more than",
    "not exceed",
    "never exceeds",
    "no higher than",
    "up to",
    "within",
    "<",
    "≤",
    "lower than",
    "not above",
    "not more than",
    "maximum",
];
const MORE: &[&str] = &[
    "above",
    "at least",
    "over",
    "more than",
    "maintain",
    "keep",
    "no less than",
    "not below",
    "not drop below",
    "never drops below",
    ">",
    "≥",
    "higher than",
    "minimum",
    "or better",
    "or more",
];
/// These say that every second counts.
const ALWAYS: &[&str] =
    &["stays", "stay", "always", "never", "at all times", "remains", "remain", "throughout"];

/// Whether an assignment speaks of this criterion: by its whole text or how it begins.
pub(super) fn is_meant(assigned: &str, criterion: &str) -> bool {
    plain(criterion).starts_with(&plain(assigned)) && !assigned.trim().is_empty()
}

/// Whether two texts say the same, letter by letter.
pub(super) fn are_alike(one: &str, other: &str) -> bool {
    plain(one) == plain(other)
}

fn plain(text: &str) -> String {
    text.trim().trim_end_matches('.').to_lowercase()
}

/// A criterion of the list.
pub(super) fn of_list(text: &str, measures: &Measures) -> Criterion {
    let means = match measures.criteria.iter().find(|one| is_meant(&one.criterion, text)) {
        Some(assigned) => match &assigned.test {
            Some(test) => Means::Machine(completed(test, measures)),
            None => people("the plan leaves it to people", String::new()),
        },
        None => understood(text, measures),
    };
    Criterion { text: text.to_owned(), of_hypothesis: false, means }
}

/// The hypothesis as a criterion.
pub(super) fn of_hypothesis(text: &str, measures: &Measures) -> Criterion {
    Criterion { text: text.to_owned(), of_hypothesis: true, means: understood(text, measures) }
}

/// An assigned test with the deadlines and names that stand elsewhere among the measures.
fn completed(test: &Test, measures: &Measures) -> Test {
    match (test, &measures.alerts) {
        (Test::Alerts { names, .. }, Some(source)) => Test::Alerts {
            names: if names.is_empty() { source.names.clone() } else { names.clone() },
            within: source.within.as_seconds(),
            resolved_within: source.resolved_within.as_seconds(),
        },
        (Test::Data { probes }, _) if probes.is_empty() => {
            Test::Data { probes: measures.data.iter().map(|probe| probe.name.clone()).collect() }
        }
        _ => test.clone(),
    }
}

fn people(why: &str, remedy: String) -> Means {
    Means::People { why: why.to_owned(), remedy }
}

/// What a text says, if that is clear.
fn understood(text: &str, measures: &Measures) -> Means {
    if let Some(means) = as_condition(text, measures) {
        return means;
    }
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| contains(&lower, word));
    let found = quantities::all(text);
    let times: Vec<f64> = found
        .iter()
        .filter_map(|found| match found.quantity {
            Quantity::Time(seconds) => Some(seconds),
            _ => None,
        })
        .collect();
    if is_about_data(&lower) {
        return data(measures);
    }
    if has(&["alert", "alerts", "alarm", "alarms", "pages", "alerting"]) {
        return alerts(&lower, &times, measures);
    }
    if let Some(means) = threshold(text, &lower, &found, measures) {
        return means;
    }
    if has(&["healthy", "health checks", "health check"]) && has(&["all", "every", "services", "service"]) {
        return services(measures);
    }
    if let [within] = times[..]
        && let Some(kind) = comes_back(&lower)
    {
        return returns(kind, within, measures);
    }
    people("free text, which stays with people unless a metric tells", assign(text, "METRIC"))
}

/// The line that says how to check any criterion, with a gap to be filled in: as it is, it is refused.
fn assign(text: &str, metric: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let quoted = serde_free_quote(short.trim_end());
    format!("criteria: {{{quoted}: {{expect: \"{metric} < {GAP}\"}}}}")
}

/// A text in double quotes, for YAML.
fn serde_free_quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A criterion that is a condition over what is measured: `error_rate < 1% and queue < 10`.
fn as_condition(text: &str, measures: &Measures) -> Option<Means> {
    let condition = Condition::parse(text).ok()?;
    let known = condition.names().iter().all(|name| is_measured(name, measures));
    if known {
        return Some(Means::Machine(Test::Conditions { conditions: vec![condition], each_second: true }));
    }
    let is_metric = condition.names().iter().any(|name| METRICS.iter().any(|(metric, _)| metric == name));
    is_metric.then(|| people("nothing measures it", ADD_LOAD.to_owned()))
}

/// Whether a name in a condition is measured.
fn is_measured(name: &str, measures: &Measures) -> bool {
    let of_load = |name: &str| METRICS.iter().any(|(metric, _)| *metric == name);
    measures.metrics.iter().any(|metric| metric.name == name)
        || (measures.loads.len() == 1 && of_load(name))
        || name.split_once('.').is_some_and(|(load, metric)| {
            of_load(metric) && measures.loads.iter().any(|known| known.name == load)
        })
}

/// Whether a text holds words, as words.
fn contains(text: &str, words: &str) -> bool {
    let outside = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(words).any(|(at, _)| {
        let symbol = !words.starts_with(char::is_alphanumeric);
        symbol
            || (outside(text[..at].chars().next_back()) && outside(text[at + words.len()..].chars().next()))
    })
}

fn is_about_data(lower: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| contains(lower, word));
    let lost = [
        "no data loss",
        "no loss of data",
        "zero data loss",
        "without data loss",
        "no data is lost",
        "no data lost",
        "data is intact",
        "data stays intact",
        "no lost writes",
        "no writes are lost",
        "rpo of 0",
        "rpo 0",
        "rpo = 0",
        "no records are lost",
        "no orders are lost",
        "no transactions are lost",
        "no messages are lost",
    ];
    has(&lost)
}

fn data(measures: &Measures) -> Means {
    if measures.data.is_empty() {
        return people("nothing counts the data before and after", ADD_DATA.to_owned());
    }
    Means::Machine(Test::Data { probes: measures.data.iter().map(|probe| probe.name.clone()).collect() })
}

/// Whether alerts must fire. That some must not, or how many, is for people.
fn alerts(lower: &str, times: &[f64], measures: &Measures) -> Means {
    let has = |words: &[&str]| words.iter().any(|word| contains(lower, word));
    let fires = has(&[
        "fire",
        "fires",
        "fired",
        "trigger",
        "triggers",
        "triggered",
        "go off",
        "raised",
        "alerting works",
    ]);
    let denied = has(&["no", "not", "never", "without", "fewer", "at most", "false"]);
    if !fires || denied || times.len() > 1 {
        return people("free text", String::new());
    }
    let Some(source) = &measures.alerts else {
        return people("no source of alerts, and no names of those that must fire", ADD_ALERTS.to_owned());
    };
    let named: Vec<String> =
        source.names.iter().filter(|name| lower.contains(&name.to_lowercase())).cloned().collect();
    Means::Machine(Test::Alerts {
        names: if named.is_empty() { source.names.clone() } else { named },
        within: times.first().copied().unwrap_or(source.within.as_seconds()),
        resolved_within: source.resolved_within.as_seconds(),
    })
}

/// A threshold on one metric: `Error rate stays below 1%`.
fn threshold(text: &str, lower: &str, found: &[quantities::Found], measures: &Measures) -> Option<Means> {
    let (metric, words) = METRICS
        .iter()
        .find_map(|(metric, words)| Some((*metric, *words.iter().find(|word| contains(lower, word))?)))?;
    let fitting: Vec<String> = found
        .iter()
        .filter(|found| !text[found.range.clone()].to_lowercase().starts_with(words))
        .filter_map(|found| match (metric, found.quantity) {
            // As in a condition: 0.01 is 1 %. From one on, a percent may be meant.
            (_, Quantity::Bare(share)) if is_share(metric) && share > 0.0 && share < 1.0 => {
                Some(format!("{}%", rounded(share * 100.0)))
            }
            ("throughput", Quantity::Frequency(number) | Quantity::Bare(number)) => Some(format!("{number}")),
            (_, Quantity::Time(seconds)) if metric.starts_with("latency") => {
                Some(format!("{}ms", seconds * 1000.0))
            }
            (_, Quantity::Share(share)) if is_share(metric) => Some(format!("{}%", rounded(share * 100.0))),
            _ => None,
        })
        .collect();
    let has = |words: &[&str]| words.iter().any(|word| contains(lower, word));
    let [value] = &fitting[..] else {
        return Some(no_threshold(text, metric, found));
    };
    let others = found.len() > 1;
    let less_is_good = metric == "error_rate" || metric.starts_with("latency");
    let (less, more) = (has(LESS) && !has(&["not below", "never drops below", "not drop below"]), has(MORE));
    // `not`, and words that say the opposite of what would be good, are for people to read.
    let odd =
        (less && !less_is_good && !more) || (more && less_is_good && !less && !has(&["maintain", "keep"]));
    if odd || others {
        return Some(people("the threshold could be read in two ways", assign(text, metric)));
    }
    let comparison = if less_is_good { "<" } else { ">=" };
    let comparison = if less_is_good && has(&["at most", "no more than", "up to", "≤", "not exceed"]) {
        "<="
    } else {
        comparison
    };
    let names = names_of(metric, measures);
    if names.is_empty() {
        return Some(people(&format!("nothing measures {}", metric.replace('_', " ")), ADD_LOAD.to_owned()));
    }
    let conditions: Vec<Condition> = names
        .iter()
        .filter_map(|name| Condition::parse(&format!("{name} {comparison} {value}")).ok())
        .collect();
    // A latency is that of some stretch of time: each second's window counts.
    let each_second = has(ALWAYS) || metric.starts_with("latency") || metric == "throughput";
    Some(Means::Machine(Test::Conditions { conditions, each_second }))
}

fn is_share(metric: &str) -> bool {
    !metric.starts_with("latency") && metric != "throughput"
}

/// Why a metric has no threshold that could be read: the unit is missing, or there is none.
fn no_threshold(text: &str, metric: &str, found: &[quantities::Found]) -> Means {
    let bare = found.iter().find_map(|found| match found.quantity {
        Quantity::Bare(number) => Some(number),
        _ => None,
    });
    match bare {
        Some(number) if metric.starts_with("latency") => {
            let why = format!("{number} has no unit: write `{number} ms` or `{number} s` in the criterion");
            people(&why, String::new())
        }
        Some(number) if is_share(metric) => {
            people(&format!("{number} has no unit: write `{number} %` in the criterion"), String::new())
        }
        _ => people("no threshold that could be read", assign(text, metric)),
    }
}

/// The names under which a metric is measured: of every load, or of a metric called so.
fn names_of(metric: &str, measures: &Measures) -> Vec<String> {
    if measures.metrics.iter().any(|known| known.name == metric) || measures.loads.len() == 1 {
        return vec![metric.to_owned()];
    }
    measures.loads.iter().map(|load| format!("{}.{metric}", load.name)).collect()
}

/// Without the dust that multiplying leaves.
fn rounded(number: f64) -> f64 {
    (number * 1e9).round() / 1e9
}

/// What comes back: the service while the failure lasts, or everything after it was put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Back {
    Failover,
    Recovery,
}

fn comes_back(lower: &str) -> Option<Back> {
    let has = |words: &[&str]| words.iter().any(|word| contains(lower, word));
    if has(&["not", "no", "never", "before"]) {
        return None;
    }
    if has(&[
        "failover",
        "fail over",
        "fails over",
        "failed over",
        "switchover",
        "promoted",
        "promotion",
        "rto",
        "takes over",
        "take over",
        "self-heals",
        "heals",
    ]) {
        return Some(Back::Failover);
    }
    let recovers = has(&[
        "recovers",
        "recover",
        "recovered",
        "recovery",
        "restored",
        "restores",
        "back to normal",
        "returns to normal",
        "back up",
        "resumes",
        "steady state",
    ]);
    recovers.then_some(Back::Recovery)
}

fn returns(kind: Back, within: f64, measures: &Measures) -> Means {
    if measures.steady_state.is_empty() && measures.services.is_empty() {
        return people("nothing tells when the service is back", ADD_STEADY.to_owned());
    }
    Means::Machine(match kind {
        Back::Failover => Test::Failover { within },
        Back::Recovery => Test::Recovery { within },
    })
}

fn services(measures: &Measures) -> Means {
    if measures.services.is_empty() {
        return people("no service has a health check", ADD_PROBES.to_owned());
    }
    Means::Machine(Test::Services)
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::experiment::Check;
    use squall_model::experiment::{Load, Metric, ProbeCall};
    use squall_model::gameday::{AlertSource, DataProbe, Keeps};
    use squall_model::node::{Content, Node, Place};
    use squall_model::units::{Duration, Frequency};

    fn nothing() -> Node {
        Node { content: Content::Null, place: Place::default() }
    }

    fn load(name: &str) -> Load {
        Load {
            name: name.into(),
            kind: "http".into(),
            parameters: nothing(),
            rate: Frequency { per_second: 1.0 },
            timeout: Duration::seconds(1),
            window: Duration::seconds(10),
        }
    }

    fn measures() -> Measures {
        let probe = ProbeCall { kind: "alerts".into(), parameters: nothing() };
        Measures {
            loads: vec![load("shop")],
            steady_state: vec![Check {
                name: "x".into(),
                probe: None,
                expect: Condition::parse("error_rate < 1%").unwrap(),
                within: None,
            }],
            data: vec![DataProbe {
                name: "orders".into(),
                source: Metric {
                    name: "orders".into(),
                    source: "exec".into(),
                    parameters: nothing(),
                    fresh_for: Duration::seconds(2),
                },
                keeps: Keeps::NotLess,
            }],
            alerts: Some(AlertSource {
                probe,
                names: vec!["LedgerDown".into(), "Slow".into()],
                within: Duration::seconds(60),
                resolved_within: Duration::seconds(300),
            }),
            ..Measures::default()
        }
    }

    fn of(text: &str) -> String {
        let measures = measures();
        match of_list(text, &measures).means {
            Means::People { why, .. } => format!("people: {why}"),
            Means::Machine(Test::Conditions { conditions, each_second }) => {
                let texts: Vec<&str> = conditions.iter().map(|condition| condition.text.as_str()).collect();
                format!("{}{}", texts.join(" and "), if each_second { " always" } else { "" })
            }
            Means::Machine(Test::Failover { within }) => format!("failover {within}"),
            Means::Machine(Test::Recovery { within }) => format!("recovery {within}"),
            Means::Machine(Test::Alerts { names, within, .. }) => {
                format!("{} within {within}", names.join(" "))
            }
            Means::Machine(Test::Data { probes }) => format!("data {}", probes.join(" ")),
            Means::Machine(Test::Services) => "services".into(),
        }
    }

    #[test]
    fn what_is_clear_becomes_a_check() {
        for (text, check) in [
            ("Automatic failover completes within 2 minutes", "failover 120"),
            ("RTO under 5 minutes", "failover 300"),
            ("The system recovers within 90 seconds", "recovery 90"),
            ("Service is restored in less than half a minute", "recovery 30"),
            ("No data loss", "data orders"),
            ("Zero data loss during the exercise", "data orders"),
            ("Error rate stays below 1%", "error_rate < 1% always"),
            ("Error rate at most 0.5 percent", "error_rate <= 0.5%"),
            ("System will maintain 99% availability during database failover", "availability >= 99%"),
            ("Availability never drops below 99.9%", "availability >= 99.9% always"),
            ("p99 latency remains under 500 ms", "latency_p99 < 500ms always"),
            ("Median response time below 0.2 seconds", "latency_p50 < 200ms always"),
            ("Throughput of at least 100 req/s", "throughput >= 100 always"),
            ("All alerts fire correctly", "LedgerDown Slow within 60"),
            ("The LedgerDown alert fires within 30s", "LedgerDown within 30"),
            ("error_rate < 2% for 5s", "error_rate < 2% for 5s always"),
            ("Error rate < 0.01", "error_rate < 1%"),
            ("Availability of at least 0.999", "availability >= 99.9%"),
        ] {
            assert_eq!(of(text), check, "{text}");
        }
    }

    #[test]
    fn what_is_not_clear_is_asked_of_people() {
        for text in [
            "Customers are happy",
            "No alerts fire for other teams",
            "At most 3 alerts fire",
            "Error rate is discussed afterwards",
            "Error rate above 5% is noticed",
            "Availability below 99% is escalated",
            "Error rate below 1% within 2 minutes",
            "Failover does not take more than 2 minutes to be noticed",
            "The on-call engineer answers within 5 minutes",
            "queue < 10",
        ] {
            assert!(of(text).starts_with("people"), "{text}: {}", of(text));
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_line_to_add() {
        let none = Measures::default();
        for (text, line) in [
            ("Error rate stays below 1%", "load:"),
            ("No data loss", "data:"),
            ("All alerts fire correctly", "alerts:"),
            ("Failover within 1 minute", "steady_state:"),
            ("All services are healthy", "probes:"),
            ("Customers are \"happy\"", "criteria: {\"Customers are \\\"happy\\\"\""),
        ] {
            let Means::People { remedy, .. } = of_list(text, &none).means else { panic!("{text}") };
            assert!(remedy.starts_with(line), "{text}: {remedy}");
        }
    }

    #[test]
    fn a_missing_unit_is_named_and_no_check_of_something_else_is_proposed() {
        for (text, words) in [
            ("p99 latency below 500", "500 has no unit: write `500 ms` or `500 s`"),
            ("Error rate below 5", "5 has no unit: write `5 %`"),
        ] {
            let Means::People { why, remedy } = of_list(text, &measures()).means else { panic!("{text}") };
            assert!(why.contains(words) && remedy.is_empty(), "{why}; {remedy}");
        }
        for (text, gap) in [
            ("Customers are happy", "METRIC < ${LIMIT}"),
            ("Error rate is discussed afterwards", "error_rate < ${LIMIT}"),
        ] {
            let Means::People { remedy, .. } = of_list(text, &measures()).means else { panic!("{text}") };
            assert!(remedy.contains(gap), "{remedy}");
        }
    }

    #[test]
    fn several_loads_must_all_hold() {
        let measures = Measures { loads: vec![load("a"), load("b")], ..Measures::default() };
        let criterion = of_list("Error rate stays below 1%", &measures);
        let Means::Machine(Test::Conditions { conditions, .. }) = criterion.means else { panic!() };
        assert_eq!(conditions.len(), 2);
        assert_eq!(conditions[1].text, "b.error_rate < 1%");
    }
}
