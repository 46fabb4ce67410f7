//! A Grafana dashboard over the metrics that Squall exports, and the rules that warn of them: one table of panels.
//!
//! Format: <https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/>

mod mend;
mod rules;

pub use mend::mend;
pub use rules::rules;

use serde_json::{Value as Json, json};

/// The version of the format that is written; newer Grafana takes it and brings it up to its own.
const SCHEMA_VERSION: u32 = 39;
/// A dashboard's grid is so many columns wide.
const COLUMNS: u32 = 24;
/// How far back a short-lived run is still shown.
const RECENTLY: &str = "7d";

/// What the user's own service calls its counters.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Of requests that failed.
    pub errors: String,
    /// Of all requests.
    pub requests: String,
}

impl Default for Counters {
    fn default() -> Self {
        Self { errors: "error_total".to_owned(), requests: "request_total".to_owned() }
    }
}

/// How a panel shows its numbers.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// One large number.
    Stat,
    /// Lines over time.
    Series,
    /// Bars over time, one above the other.
    Bars,
}

/// Where a number becomes another colour: the first colour, and each colour with the value that it begins at.
type Thresholds = (&'static str, &'static [(&'static str, f64)]);

const GOOD_ABOVE_95: Thresholds = ("red", &[("orange", 80.0), ("green", 95.0)]);
const BAD_ABOVE_0: Thresholds = ("green", &[("red", 0.000_001)]);
const LOUD_ABOVE_0: Thresholds = ("green", &[("orange", 0.000_001)]);
const SLOW_ABOVE_5_S: Thresholds = ("green", &[("orange", 1.0), ("red", 5.0)]);
const PLAIN: Thresholds = ("blue", &[]);

/// A panel: what it shows, and how.
struct Panel {
    title: &'static str,
    description: &'static str,
    kind: Kind,
    /// Grafana's name of the unit.
    unit: &'static str,
    width: u32,
    thresholds: Thresholds,
    /// Each a query and what its lines are called.
    queries: Vec<(String, &'static str)>,
}

/// Every panel, in the order of reading.
fn panels(counters: &Counters) -> Vec<Panel> {
    vec![
        Panel {
            title: "Experiment Success Rate",
            description: "Share of experiments whose last run passed.",
            kind: Kind::Stat,
            unit: "percent",
            width: 6,
            thresholds: GOOD_ABOVE_95,
            queries: vec![(format!("{} * 100", success_ratio()), "passed")],
        },
        Panel {
            title: "Mean Time to Recovery",
            description: "How long the system took to be well again after a fault was undone: the median.",
            kind: Kind::Stat,
            unit: "s",
            width: 6,
            thresholds: PLAIN,
            queries: vec![(quantile(0.5, "chaos_recovery_time_seconds", RECENTLY), "median")],
        },
        Panel {
            title: "System Resilience Score",
            description: "Share of the users' requests that did not fail.",
            kind: Kind::Stat,
            unit: "percent",
            width: 6,
            thresholds: GOOD_ABOVE_95,
            queries: vec![(format!("{} * 100", resilience_ratio(counters)), "did not fail")],
        },
        Panel {
            title: "Residue",
            description: "What could not be put back. It must be zero; `squall leftovers` lists it.",
            kind: Kind::Stat,
            unit: "none",
            width: 3,
            thresholds: BAD_ABOVE_0,
            queries: vec![(format!("sum(max_over_time(squall_residue_total[{RECENTLY}]))"), "left")],
        },
        Panel {
            title: "Injections Active",
            description: "Faults that are active now.",
            kind: Kind::Stat,
            unit: "none",
            width: 3,
            thresholds: LOUD_ABOVE_0,
            queries: vec![("sum(squall_injections_active)".to_owned(), "active")],
        },
        Panel {
            title: "Blast Radius Trend",
            description: "How much of the services was struck, averaged over a week.",
            kind: Kind::Series,
            unit: "none",
            width: 12,
            thresholds: PLAIN,
            queries: vec![(format!("avg_over_time(chaos_blast_radius[{RECENTLY}])"), "{{services}}")],
        },
        Panel {
            title: "Runs by Verdict",
            description: "How runs ended, day by day.",
            kind: Kind::Bars,
            unit: "none",
            width: 12,
            thresholds: PLAIN,
            queries: vec![(
                "sum by (verdict) (ceil(increase(squall_runs_total[1d])))".to_owned(),
                "{{verdict}}",
            )],
        },
        Panel {
            title: "Last Result by Experiment",
            description: "1 where the last run passed, 0 where it did not.",
            kind: Kind::Series,
            unit: "none",
            width: 12,
            thresholds: PLAIN,
            queries: vec![(
                format!(
                    "max by (experiment) (last_over_time(chaos_experiment_status{{experiment=~\"$experiment\"}}[{RECENTLY}]))"
                ),
                "{{experiment}}",
            )],
        },
        Panel {
            title: "Undo Time",
            description: "How long it took to put things back.",
            kind: Kind::Series,
            unit: "s",
            width: 12,
            thresholds: SLOW_ABOVE_5_S,
            queries: vec![
                (quantile(0.5, "squall_undo_seconds", RECENTLY), "median"),
                (quantile(0.99, "squall_undo_seconds", RECENTLY), "99 %"),
            ],
        },
        Panel {
            title: "Injection Time",
            description: "How long faults were active.",
            kind: Kind::Series,
            unit: "s",
            width: 12,
            thresholds: PLAIN,
            queries: vec![
                (quantile(0.5, "squall_injection_seconds", RECENTLY), "median"),
                (quantile(0.99, "squall_injection_seconds", RECENTLY), "99 %"),
            ],
        },
        Panel {
            title: "Guard Tick",
            description: "How long the guard's look took. It looks every second.",
            kind: Kind::Series,
            unit: "s",
            width: 12,
            thresholds: SLOW_ABOVE_5_S,
            queries: vec![
                (quantile(0.5, "squall_guard_tick_seconds", RECENTLY), "median"),
                (quantile(0.99, "squall_guard_tick_seconds", RECENTLY), "99 %"),
            ],
        },
    ]
}

/// The share of experiments whose last run passed, of those that ran in the last week: the process that ran them may be
/// gone since.
fn success_ratio() -> String {
    format!("avg(last_over_time(chaos_experiment_status[{RECENTLY}]))")
}

/// The share of requests that did not fail, over all instances.
fn resilience_ratio(counters: &Counters) -> String {
    let Counters { errors, requests } = counters;
    format!("(1 - (sum(rate({errors}[5m])) / sum(rate({requests}[5m]))))")
}

/// A quantile of a histogram over a window, over the buckets of all instances. A process that lives for one run is often
/// scraped once, and one sample has no rate: where there is none, the buckets count as they stand.
fn quantile(quantile: f64, histogram: &str, window: &str) -> String {
    let of = |buckets: String| format!("histogram_quantile({quantile}, sum by (le) ({buckets}))");
    let rate = of(format!("rate({histogram}_bucket[{window}])"));
    let last = of(format!("last_over_time({histogram}_bucket[{window}])"));
    // No rate makes NaN, which is not at least zero.
    format!("({rate} >= 0) or {last}")
}

/// The queries of the dashboard, each under its panel's title.
pub fn queries(counters: &Counters) -> Vec<(&'static str, String)> {
    let of_panel = |panel: Panel| panel.queries.into_iter().map(move |(query, _)| (panel.title, query));
    panels(counters).into_iter().flat_map(of_panel).collect()
}

/// The dashboard, ready to be imported: indented JSON with a newline at the end.
pub fn dashboard(counters: &Counters) -> String {
    let mut place = Place::default();
    let panels: Vec<Json> = panels(counters)
        .iter()
        .enumerate()
        .map(|(index, panel)| as_json(panel, index + 1, &place.next(panel.width, height(panel.kind))))
        .collect();
    indented(&whole("Chaos Engineering Dashboard", "squall-chaos", panels))
}

fn height(kind: Kind) -> u32 {
    match kind {
        Kind::Stat => 5,
        Kind::Series | Kind::Bars => 8,
    }
}

/// Where the next panel stands: beside the one before, or below where there is no room.
#[derive(Default)]
struct Place {
    x: u32,
    y: u32,
    row: u32,
}

impl Place {
    fn next(&mut self, width: u32, height: u32) -> Json {
        if self.x + width > COLUMNS {
            (self.x, self.y, self.row) = (0, self.y + self.row, 0);
        }
        let place = json!({"x": self.x, "y": self.y, "w": width, "h": height});
        self.x += width;
        self.row = self.row.max(height);
        place
    }
}

/// What every dashboard has around its panels.
fn whole(title: &str, uid: &str, panels: Vec<Json>) -> Json {
    json!({
        "uid": uid,
        "title": title,
        "tags": ["squall", "chaos"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": format!("now-{RECENTLY}"), "to": "now"},
        "refresh": "1m",
        "templating": {"list": [datasource_variable(), experiment_variable()]},
        "annotations": {"list": [faults_as_annotations()]},
        "links": [],
        "panels": panels,
    })
}

/// The Prometheus that whoever imports the dashboard chooses.
fn datasource() -> Json {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn datasource_variable() -> Json {
    json!({
        "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1,
        "hide": 0, "multi": false, "includeAll": false, "regex": "", "options": [], "current": {},
    })
}

fn experiment_variable() -> Json {
    let query = "label_values(chaos_experiment_status, experiment)";
    json!({
        "name": "experiment", "label": "Experiment", "type": "query", "datasource": datasource(),
        "definition": query, "query": {"query": query, "refId": "experiments"}, "refresh": 2, "sort": 1,
        "hide": 0, "multi": true, "includeAll": true, "allValue": ".*", "regex": "", "options": [],
        "current": {"text": ["All"], "value": ["$__all"]},
    })
}

/// The regions that Squall marks in Grafana while faults are active.
fn faults_as_annotations() -> Json {
    json!({
        "name": "Faults", "enable": true, "iconColor": "red",
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "target": {"type": "tags", "tags": ["squall"], "matchAny": false, "limit": 100},
    })
}

fn as_json(panel: &Panel, id: usize, place: &Json) -> Json {
    let targets: Vec<Json> = panel
        .queries
        .iter()
        .enumerate()
        .map(|(index, (query, legend))| target(index, query, legend))
        .collect();
    let (kind, custom, options) = match panel.kind {
        Kind::Stat => ("stat", json!({}), stat_options()),
        Kind::Series => ("timeseries", json!({"drawStyle": "line", "fillOpacity": 10}), series_options()),
        Kind::Bars => (
            "timeseries",
            json!({"drawStyle": "bars", "fillOpacity": 80, "stacking": {"mode": "normal", "group": "A"}}),
            series_options(),
        ),
    };
    json!({
        "id": id,
        "type": kind,
        "title": panel.title,
        "description": panel.description,
        "gridPos": place,
        "datasource": datasource(),
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit, "min": 0, "custom": custom, "color": {"mode": color_mode(panel.kind)},
                "thresholds": {"mode": "absolute", "steps": steps(panel.thresholds)},
            },
            "overrides": [],
        },
        "options": options,
        "targets": targets,
    })
}

fn color_mode(kind: Kind) -> &'static str {
    match kind {
        Kind::Stat => "thresholds",
        Kind::Series | Kind::Bars => "palette-classic",
    }
}

fn steps((first, rest): Thresholds) -> Vec<Json> {
    let first = json!({"color": first, "value": null});
    std::iter::once(first)
        .chain(rest.iter().map(|(color, value)| json!({"color": color, "value": value})))
        .collect()
}

fn stat_options() -> Json {
    json!({
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
        "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "textMode": "value",
    })
}

fn series_options() -> Json {
    json!({
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    })
}

/// A query of a panel; the first is called A.
fn target(index: usize, query: &str, legend: &str) -> Json {
    let letter = char::from(b'A' + (index % 26) as u8);
    json!({
        "refId": letter.to_string(), "datasource": datasource(), "editorMode": "code", "expr": query,
        "legendFormat": legend, "range": true, "instant": false,
    })
}

fn indented(json: &Json) -> String {
    // Maps of texts and numbers cannot fail to be written.
    let mut text = serde_json::to_string_pretty(json).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn panels_have_numbers_of_their_own_and_do_not_overlap() {
        let dashboard: Json = serde_json::from_str(&dashboard(&Counters::default())).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len());
        let mut taken = BTreeSet::new();
        for panel in panels {
            let number = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            assert!(number("x") + number("w") <= u64::from(COLUMNS));
            for x in number("x")..number("x") + number("w") {
                for y in number("y")..number("y") + number("h") {
                    assert!(taken.insert((x, y)), "{} overlaps another", panel["title"]);
                }
            }
        }
    }

    #[test]
    fn the_users_counters_go_into_the_score() {
        let counters = Counters { errors: "http_errors".into(), requests: "http_requests".into() };
        let score =
            queries(&counters).into_iter().find(|(title, _)| *title == "System Resilience Score").unwrap();
        assert_eq!(score.1, "(1 - (sum(rate(http_errors[5m])) / sum(rate(http_requests[5m])))) * 100");
    }
}
