//! A dashboard of the user made valid: what Grafana needs is put in, queries that cannot give data are mended, and every
//! change is told. All else stays as it is.

use super::{COLUMNS, RECENTLY, SCHEMA_VERSION, datasource, datasource_variable, indented, target};
use serde_json::{Map, Value as Json, json};

/// Half of the grid, and a height that shows a graph.
const WIDTH: u32 = COLUMNS / 2;
const HEIGHT: u32 = 8;

/// Makes a dashboard valid. Also returns what was changed, each a sentence.
///
/// # Errors
/// It is no dashboard; says why.
pub fn mend(text: &str) -> Result<(String, Vec<String>), String> {
    let mut json: Json = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let mut changes = Vec::new();
    // What Grafana's API takes has the dashboard within; what is imported is the dashboard itself.
    if let Some(inner) = json.get_mut("dashboard").filter(|inner| inner.is_object()) {
        json = inner.take();
        changes
            .push("the dashboard stands by itself, as Grafana imports it, not under `dashboard`".to_owned());
    }
    let Some(dashboard) = json.as_object_mut() else { return Err("this is no JSON object".to_owned()) };
    let Some(mut panels) = dashboard.get_mut("panels").map(Json::take) else {
        return Err("this is no dashboard of Grafana: it has no `panels`".to_owned());
    };
    let Some(list) = panels.as_array_mut() else { return Err("`panels` is no list".to_owned()) };
    frame(dashboard, &mut changes);
    let used: Vec<u64> = list.iter().filter_map(|panel| panel.get("id")?.as_u64()).collect();
    let mut free = (1..).filter(|id| !used.contains(id));
    for (index, panel) in list.iter_mut().enumerate() {
        let Some(panel) = panel.as_object_mut() else {
            return Err(format!("panel {} is no object", index + 1));
        };
        let called = panel
            .get("title")
            .and_then(Json::as_str)
            .map_or(format!("panel {}", index + 1), |title| format!("{title:?}"));
        mend_panel(panel, index, &mut free, &called, &mut changes);
    }
    dashboard.insert("panels".to_owned(), panels);
    Ok((indented(&json), changes))
}

/// Puts in what a dashboard needs around its panels.
fn frame(dashboard: &mut Map<String, Json>, changes: &mut Vec<String>) {
    let title = dashboard.get("title").and_then(Json::as_str).unwrap_or("Dashboard").to_owned();
    let needed = [
        ("title", json!(title)),
        ("uid", json!(slug(&title))),
        ("schemaVersion", json!(SCHEMA_VERSION)),
        ("time", json!({"from": format!("now-{RECENTLY}"), "to": "now"})),
        ("templating", json!({"list": []})),
    ];
    for (name, value) in needed {
        if dashboard.get(name).is_none_or(Json::is_null) {
            changes.push(format!("`{name}` was missing"));
            dashboard.insert(name.to_owned(), value);
        }
    }
    let variables = dashboard
        .get_mut("templating")
        .and_then(|templating| templating.get_mut("list"))
        .and_then(Json::as_array_mut);
    let Some(variables) = variables else { return };
    let is_datasource = |variable: &Json| variable.get("type").and_then(Json::as_str) == Some("datasource");
    if !variables.iter().any(is_datasource) {
        changes.push("a variable `datasource` chooses the Prometheus".to_owned());
        variables.insert(0, datasource_variable());
    }
}

/// A name that may stand in an address: at most 40 small letters, digits and dashes.
fn slug(title: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    title.chars().map(plain).take(40).collect::<String>().trim_matches('-').to_owned()
}

fn mend_panel(
    panel: &mut Map<String, Json>,
    index: usize,
    free: &mut impl Iterator<Item = u64>,
    called: &str,
    changes: &mut Vec<String>,
) {
    let mut added = Vec::new();
    // A row has no queries, and its panels stand within it or after it.
    if panel.get("type").and_then(Json::as_str) == Some("row") {
        return;
    }
    let has_targets = panel.get("targets").is_some_and(Json::is_array);
    if let Some(query) = panel.remove("query").filter(|_| !has_targets).as_ref().and_then(Json::as_str) {
        changes.push(format!("{called}: `query` is now the first of its `targets`"));
        panel.insert("targets".to_owned(), json!([target(0, query, "")]));
    }
    let row = index as u32 / 2;
    let place = json!({"x": WIDTH * (index as u32 % 2), "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT});
    let needed = [("type", json!("timeseries")), ("gridPos", place), ("datasource", datasource())];
    for (name, value) in needed {
        if panel.get(name).is_none_or(Json::is_null) {
            added.push(format!("`{name}`"));
            panel.insert(name.to_owned(), value);
        }
    }
    if panel.get("id").and_then(Json::as_u64).is_none() {
        added.push("`id`".to_owned());
        panel.insert("id".to_owned(), json!(free.next()));
    }
    if !added.is_empty() {
        changes.push(format!("{called}: {} put in", added.join(", ")));
    }
    let queries = panel.get_mut("targets").and_then(Json::as_array_mut).into_iter().flatten();
    for query in queries.filter_map(|target| target.get_mut("expr")) {
        let Some(text) = query.as_str() else { continue };
        let (mended, why) = mend_query(text);
        changes.extend(why.iter().map(|why| format!("{called}: {why}: {mended}")));
        *query = Json::String(mended);
    }
}

/// A query that can give data, and why it was changed.
fn mend_query(query: &str) -> (String, Vec<&'static str>) {
    let mut why = Vec::new();
    let mut mended = query.to_owned();
    if let Some(new) = over_buckets(&mended) {
        why.push("a quantile is reckoned from the rates of the buckets of a histogram, not from its name");
        mended = new;
    }
    if let Some(new) = summed(&mended) {
        why.push("rates of different counters have different labels, and divide only once they are summed");
        mended = new;
    }
    (mended, why)
}

/// `histogram_quantile(0.5, NAME)` as one over buckets; nothing where there is none.
fn over_buckets(query: &str) -> Option<String> {
    const CALL: &str = "histogram_quantile(";
    let start = query.find(CALL)? + CALL.len();
    let end = start + closing(&query[start..])?;
    let (quantile, histogram) = query[start..end].split_once(',')?;
    let (name, labels) = selector(histogram.trim())?;
    let name = name.trim_end_matches("_bucket");
    let rest = &query[end..];
    Some(format!(
        "{}{}, sum by (le) (rate({name}_bucket{labels}[{RECENTLY}])){rest}",
        &query[..start],
        quantile.trim()
    ))
}

/// `rate(A[…]) / rate(B[…])` with both summed; nothing where there is none such.
fn summed(query: &str) -> Option<String> {
    const CALL: &str = "rate(";
    let first = query.find(CALL)?;
    // What stands within another call is summed already, or meant otherwise.
    let before = query[..first].trim_end();
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') || is_aggregated(before) {
        return None;
    }
    let first_end = first + CALL.len() + closing(&query[first + CALL.len()..])? + 1;
    let second = first_end + query[first_end..].find(CALL)?;
    if query[first_end..second].trim() != "/" {
        return None;
    }
    let second_end = second + CALL.len() + closing(&query[second + CALL.len()..])? + 1;
    Some(format!(
        "{}sum({}) / sum({}){}",
        &query[..first],
        &query[first..first_end],
        &query[second..second_end],
        &query[second_end..]
    ))
}

/// Whether a text ends in the beginning of an aggregation: `sum(`, `avg by (le) (`.
fn is_aggregated(before: &str) -> bool {
    let Some(inner) = before.strip_suffix('(') else { return false };
    let inner = inner.trim_end();
    inner.ends_with(')') || inner.ends_with(|c: char| c.is_ascii_alphabetic())
}

/// Where the bracket closes that was opened right before this text. Texts in quotes may hold any.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quoted) = (0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => return Some(at),
            ')' if !quoted => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The name and the labels of a selector of instants: `name`, `name{job="x"}`; nothing for anything else.
fn selector(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let (name, labels) = text.split_at(end);
    let is_labels = labels.is_empty() || (labels.starts_with('{') && labels.ends_with('}'));
    (is_labels && !name.is_empty()).then_some((name, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = include_str!("../../tests/seed-dashboard.json");

    #[test]
    fn the_seeds_dashboard_becomes_one_that_grafana_takes() {
        let (text, changes) = mend(SEED).unwrap();
        let mended: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(mended["title"], "Chaos Engineering Dashboard");
        assert_eq!(mended["uid"], "chaos-engineering-dashboard");
        assert!(mended["schemaVersion"].is_u64() && mended["templating"]["list"][0]["type"] == "datasource");
        let queries: Vec<&str> = mended["panels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|panel| {
                assert!(panel["type"].is_string() && panel["id"].is_u64() && panel["gridPos"]["w"].is_u64());
                assert!(panel.get("query").is_none());
                panel["targets"][0]["expr"].as_str().unwrap()
            })
            .collect();
        assert_eq!(
            queries,
            [
                "avg(chaos_experiment_status) * 100",
                "histogram_quantile(0.5, sum by (le) (rate(chaos_recovery_time_seconds_bucket[7d])))",
                "avg_over_time(chaos_blast_radius[7d])",
                "(1 - (sum(rate(error_total[5m])) / sum(rate(request_total[5m])))) * 100",
            ]
        );
        assert!(changes.iter().any(|change| change.contains("histogram")), "{changes:?}");
        let (again, none) = mend(&text).unwrap();
        assert_eq!((again, none), (text, Vec::new()), "what is valid stays as it is");
    }

    #[test]
    fn queries_that_work_are_left_alone() {
        for query in [
            "sum(rate(a[5m])) / sum(rate(b[5m]))",
            "histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))",
            "rate(a[5m])",
            "irate(a[5m]) / irate(b[5m])",
            "sum by (job) (rate(a[5m]) / rate(b[5m]))",
            "",
        ] {
            assert_eq!(mend_query(query), (query.to_owned(), Vec::new()));
        }
        let (mended, _) = mend_query("histogram_quantile(0.9, a_bucket{job=\"x\"}) * 2");
        assert_eq!(mended, "histogram_quantile(0.9, sum by (le) (rate(a_bucket{job=\"x\"}[7d]))) * 2");
    }

    #[test]
    fn what_is_no_dashboard_is_refused() {
        for text in ["", "[]", "{}", "{\"panels\": 1}", "{\"panels\": [1]}"] {
            assert!(mend(text).is_err(), "{text}");
        }
    }
}
