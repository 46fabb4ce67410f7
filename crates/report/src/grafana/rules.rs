//! Recording and alert rules for Prometheus, over the same queries as the panels.
//!
//! Format: <https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/>

use super::{Counters, RECENTLY, quantile, resilience_ratio, success_ratio};
use std::fmt::Write as _;

/// Something that somebody must know of.
struct Alert {
    name: &'static str,
    query: String,
    /// For how long it must be so.
    lasts: &'static str,
    severity: &'static str,
    summary: &'static str,
    /// What to do.
    remedy: &'static str,
}

/// What is recorded: its name and its query.
fn recordings(counters: &Counters) -> Vec<(&'static str, String)> {
    vec![
        ("squall:experiment_success:ratio", success_ratio()),
        ("squall:recovery_seconds:median", quantile(0.5, "chaos_recovery_time_seconds", RECENTLY)),
        ("squall:undo_seconds:p99", quantile(0.99, "squall_undo_seconds", RECENTLY)),
        ("squall:guard_tick_seconds:p99", quantile(0.99, "squall_guard_tick_seconds", RECENTLY)),
        ("squall:resilience:ratio", resilience_ratio(counters)),
    ]
}

fn alerts() -> Vec<Alert> {
    vec![
        Alert {
            name: "SquallResidue",
            query: grown("squall_residue_total"),
            lasts: "0m",
            severity: "critical",
            summary: "Squall could not put something back",
            remedy: "`squall leftovers` on {{ $labels.instance }} lists it, with the command that mends it.",
        },
        Alert {
            name: "SquallExperimentFailed",
            query: "chaos_experiment_status == 0".to_owned(),
            lasts: "0m",
            severity: "warning",
            summary: "The experiment {{ $labels.experiment }} did not pass",
            remedy: "`squall report RUN` tells what did not hold.",
        },
        Alert {
            name: "SquallUndoSlow",
            query: format!("{} > 5", bracketed(&quantile(0.99, "squall_undo_seconds", "1h"))),
            lasts: "0m",
            severity: "warning",
            summary: "Putting things back takes {{ $value | humanizeDuration }}",
            remedy: "Look at the load of the machines that Squall's agents run on.",
        },
        Alert {
            name: "SquallGuardSlow",
            query: format!("{} > 1", bracketed(&quantile(0.99, "squall_guard_tick_seconds", "1h"))),
            lasts: "0m",
            severity: "warning",
            summary: "The guard takes {{ $value | humanizeDuration }} for a look that it has a second for",
            remedy: "Look at the metric sources of the experiments, and at the load of the machine that runs them.",
        },
        Alert {
            name: "SquallInjectionStays",
            query: "sum by (instance) (squall_injections_active) > 0".to_owned(),
            lasts: "1h",
            severity: "warning",
            summary: "Faults have been active for an hour",
            remedy: "`squall status` tells which; `squall halt` ends them.",
        },
    ]
}

/// Whether a counter grew within a quarter of an hour. One that is new begins above zero and has no growth yet.
fn grown(counter: &str) -> String {
    format!("increase({counter}[15m]) > 0 or ({counter} > 0 unless {counter} offset 15m)")
}

fn bracketed(query: &str) -> String {
    format!("({query})")
}

/// The rules as a file for Prometheus, in YAML. Texts are quoted as JSON strings, which YAML reads as they are.
pub fn rules(counters: &Counters) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut file = String::from(
        "# Rules for Prometheus over what Squall exports; written by `squall dashboard --rules`.\n\
         groups:\n  - name: squall\n    rules:\n",
    );
    for (name, query) in recordings(counters) {
        let _ = writeln!(file, "      - record: {name}\n        expr: {}", quoted(&query));
    }
    for alert in alerts() {
        let _ = writeln!(
            file,
            "      - alert: {}\n        expr: {}\n        for: {}\n        labels:\n          severity: {}\n        \
             annotations:\n          summary: {}\n          description: {}",
            alert.name,
            quoted(&alert.query),
            alert.lasts,
            alert.severity,
            quoted(alert.summary),
            quoted(alert.remedy)
        );
    }
    file
}
