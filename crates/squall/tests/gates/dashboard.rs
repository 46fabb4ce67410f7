//! `squall dashboard`: what is printed is looked at, and every query is asked of a real Prometheus.

use crate::lab::{Desk, Prometheus, Server, has, until};
use serde_json::Value as Json;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

const SEED: &str = include_str!("../../../report/tests/seed-dashboard.json");

/// What Squall and a service export, ever more of it.
fn exposition(scrape: u64) -> String {
    let histogram = |name: &str| {
        format!(
            "# TYPE {name} histogram\n{name}_bucket{{le=\"0.5\"}} {scrape}\n{name}_bucket{{le=\"5\"}} {}\n\
             {name}_bucket{{le=\"+Inf\"}} {}\n{name}_sum {}\n{name}_count {}\n",
            scrape * 2,
            scrape * 2,
            scrape * 3,
            scrape * 2
        )
    };
    let histograms: String = [
        "chaos_recovery_time_seconds",
        "squall_injection_seconds",
        "squall_undo_seconds",
        "squall_guard_tick_seconds",
    ]
    .map(histogram)
    .concat();
    format!(
        "# TYPE chaos_experiment_status gauge\nchaos_experiment_status{{experiment=\"one\"}} 1\n\
         chaos_experiment_status{{experiment=\"two\"}} 0\n\
         # TYPE chaos_blast_radius gauge\nchaos_blast_radius{{services=\"payment\"}} 2\n\
         # TYPE squall_injections_active gauge\nsquall_injections_active 1\n\
         # TYPE squall_residue_total counter\nsquall_residue_total 3\n\
         # TYPE squall_runs_total counter\nsquall_runs_total{{verdict=\"passed\"}} {scrape}\n\
         # TYPE error_total counter\nerror_total{{code=\"500\"}} {scrape}\n\
         # TYPE request_total counter\nrequest_total{{code=\"200\"}} {}\n{histograms}",
        scrape * 10
    )
}

fn queries(dashboard: &Json) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().unwrap();
    let of_panel = |panel: &Json| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().unwrap().clone();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
    };
    panels.iter().flat_map(of_panel).collect()
}

#[test]
fn every_query_gives_data() {
    let scrapes = AtomicU64::new(0);
    let exporter = Server::start(move |_| (200, exposition(scrapes.fetch_add(1, Ordering::Relaxed))));
    let Some(prometheus) = Prometheus::watching(&exporter) else { return };
    let desk = Desk::new();
    let own = desk.squall(&["dashboard"]).is(0, &[]).json();
    desk.write("seed.json", SEED);
    let mended = desk.squall(&["dashboard", "--from", "seed.json"]);
    mended.is(0, &[]);
    assert!(
        mended.errors.contains("histogram") && mended.errors.contains("under `dashboard`"),
        "{}",
        mended.errors
    );
    let titles: Vec<&str> =
        own["panels"].as_array().unwrap().iter().map(|panel| panel["title"].as_str().unwrap()).collect();
    for title in
        ["Experiment Success Rate", "Mean Time to Recovery", "Blast Radius Trend", "System Resilience Score"]
    {
        assert!(titles.contains(&title), "{titles:?}");
    }
    let all = [queries(&own), queries(&mended.json())].concat();
    assert!(all.len() >= 15, "{all:?}");
    for (title, query) in all {
        let query = query.replace("$experiment", ".*");
        until(&format!("data of {title}: {query}"), || {
            let data = prometheus.ask(&query).ok()?;
            let value = data["result"][0]["value"][1].as_str()?.parse::<f64>().ok()?;
            value.is_finite().then_some(())
        });
    }
}

#[test]
fn the_numbers_are_the_right_ones() {
    let exporter = Server::start(|_| (200, exposition(7)));
    let Some(prometheus) = Prometheus::watching(&exporter) else { return };
    let dashboard = Desk::new().squall(&["dashboard"]).json();
    // The exporter stands still: as one that is scraped after a run, and has no rate.
    for (title, expected) in
        [("Experiment Success Rate", 50.0), ("Mean Time to Recovery", 0.5), ("Residue", 3.0)]
    {
        let (_, query) = queries(&dashboard).into_iter().find(|(panel, _)| panel == title).unwrap();
        let value = until(title, || {
            let data = prometheus.ask(&query).ok()?;
            data["result"][0]["value"][1].as_str()?.parse::<f64>().ok()
        });
        assert!((value - expected).abs() < 1e-6, "{title} is {value}");
    }
}

#[test]
fn the_rules_are_such_as_prometheus_takes() {
    let desk = Desk::new();
    let rules = desk.squall(&["dashboard", "--rules", "--errors-metric", "http_errors_total{code=~\"5..\"}"]);
    rules.is(0, &["SquallResidue", "http_errors_total"]);
    let file = desk.write("rules.yml", &rules.out);
    if !has("promtool") {
        return;
    }
    let checked = Command::new("promtool").args(["check", "rules"]).arg(&file).output().unwrap();
    let said =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.contains("10 rules"), "{said}");
}

#[test]
fn what_is_no_dashboard_or_metric_is_refused() {
    let desk = Desk::new();
    desk.write("other.json", "{}");
    desk.squall(&["dashboard", "--from", "other.json"]).is(2, &["other.json", "panels"]);
    desk.squall(&["dashboard", "--errors-metric", "a b"]).is(2, &["no name of a metric"]);
    desk.squall(&["dashboard", "--from", "other.json", "--rules"]).is(2, &[]);
}
