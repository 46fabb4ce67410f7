//! `squall gameday check FILE`: what was understood of a plan. Touches nothing.

use super::plan::{self, Loaded};
use crate::exit::Outcome;
use crate::files::VariableOptions;
use crate::out;
use clap::Args;
use serde_json::json;
use squall_model::gameday::{Criterion, Keeps, Means, Measures, Phase, Test};
use squall_model::quantity::{clock, span};
use squall_report::paint::printable;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The plan, in Markdown
    file: PathBuf,
    /// What it is measured with, where the plan has no `squall` block; else NAME.squall.yaml beside it
    #[arg(long, value_name = "FILE.yaml")]
    with: Option<PathBuf>,
    #[command(flatten)]
    variables: VariableOptions,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let colour = out::colour(false) && std::io::stderr().is_terminal();
        let loaded = plan::load(&self.file, self.with.as_deref(), &self.variables, colour)?;
        if self.json {
            out::say_json(&as_json(&loaded));
        } else {
            let lines = described(&self.file.display().to_string(), &loaded);
            // What a file holds must not steer the terminal.
            let safe = |block: &String| block.split('\n').map(printable).collect::<Vec<_>>().join("\n");
            out::say(lines.iter().map(safe).collect::<Vec<_>>().join("\n"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn as_json(loaded: &Loaded) -> serde_json::Value {
    let checks: Vec<_> = loaded
        .plan
        .criteria
        .iter()
        .map(|criterion| {
            let (how, remedy) = told(criterion);
            let machine = matches!(criterion.means, Means::Machine(_));
            json!({"criterion": criterion.text, "machine": machine, "how": how, "remedy": remedy})
        })
        .collect();
    json!({
        "plan": loaded.plan,
        "checks": checks,
        "measured_with": measured(&loaded.measures),
        "with": loaded.with.as_ref().map(|path| path.display().to_string()),
        "remarks": loaded.remarks,
    })
}

/// How a criterion is checked, and what would let a machine do so.
fn told(criterion: &Criterion) -> (String, Option<&str>) {
    match &criterion.means {
        Means::People { why, remedy } => {
            (format!("people are asked: {why}"), Some(remedy.as_str()).filter(|remedy| !remedy.is_empty()))
        }
        Means::Machine(test) => (test_words(test), None),
    }
}

/// A test in words, with its thresholds and times.
pub(super) fn test_words(test: &Test) -> String {
    match test {
        Test::Conditions { conditions, each_second } => {
            let texts: Vec<&str> = conditions.iter().map(|condition| condition.text.as_str()).collect();
            let over = if *each_second { "every second" } else { "over all traffic" };
            format!("{}, {over} from the failure until the steady state is back", texts.join(" and "))
        }
        Test::Failover { within } => {
            format!("the steady state is back within {} of the failure, while it lasts", span(*within))
        }
        Test::Recovery { within } => {
            format!("the steady state is back within {} after the failure is put right", span(*within))
        }
        Test::Alerts { names, within, resolved_within } => format!(
            "{} fire within {} of the failure, and are over within {} of the recovery",
            names.join(", "),
            span(*within),
            span(*resolved_within)
        ),
        Test::Data { probes } => format!("{}, counted before and after", probes.join(", ")),
        Test::Services => "every service answers as expected at the end".to_owned(),
    }
}

/// What is measured, in words.
fn measured(measures: &Measures) -> Vec<String> {
    let mut lines = Vec::new();
    lines
        .extend(measures.loads.iter().map(|load| format!("load {}: {} {}", load.name, load.kind, load.rate)));
    lines.extend(measures.metrics.iter().map(|metric| format!("metric {}: {}", metric.name, metric.source)));
    lines.extend(measures.services.iter().map(|service| {
        let kind = service.probe.as_ref().map_or("", |probe| probe.kind.as_str());
        format!("service {}: {kind}, {}", service.name, service.expect)
    }));
    lines.extend(measures.steady_state.iter().map(|check| {
        if check.name == check.expect.text {
            format!("steady state: {}", check.expect)
        } else {
            format!("steady state: {}, {}", check.name, check.expect)
        }
    }));
    lines.extend(measures.data.iter().map(|probe| {
        let keeps = match &probe.keeps {
            Keeps::NotLess => "not less afterwards".to_owned(),
            Keeps::Unchanged => "unchanged afterwards".to_owned(),
            Keeps::Condition(condition) => format!("{condition} afterwards"),
        };
        format!("data {}: {}, {keeps}", probe.name, probe.source.source)
    }));
    lines.extend(measures.alerts.iter().map(|alerts| format!("alerts: {}", alerts.names.join(", "))));
    lines.extend(measures.guard.iter().map(|condition| format!("guard: ends at once if {condition}")));
    lines
}

fn described(file: &str, loaded: &Loaded) -> Vec<String> {
    let plan = &loaded.plan;
    let mut lines = vec![format!("{} ({file})", plan.title)];
    let mut add = |line: String| lines.push(line);
    for (name, text) in [("objective", &plan.objective), ("hypothesis", &plan.hypothesis)] {
        if !text.is_empty() {
            add(format!("  {name:10}  {text}"));
        }
    }
    if !plan.participants.is_empty() {
        add("\nParticipants".to_owned());
        let rows: Vec<(String, String)> = plan
            .participants
            .iter()
            .map(|one| {
                let decides =
                    plan.decides.starts_with(&format!("{} (", one.name)) || plan.decides == one.name;
                let note = if decides { "   says go or no-go" } else { "" };
                (one.role.clone(), format!("{}{note}", one.name))
            })
            .collect();
        add(out::columns(&rows));
    }
    if !plan.timeline.is_empty() {
        add("\nTimeline".to_owned());
        let widest = plan.timeline.iter().map(|slot| slot.text.chars().count()).max().unwrap_or(0);
        for slot in &plan.timeline {
            let phase = slot.phase.map_or("", Phase::name);
            let offset = clock(slot.offset);
            let line =
                format!("  {:8}  +{offset:8}  {phase:8}  {:widest$}  {}", slot.at, slot.text, slot.who);
            add(line.trim_end().to_owned());
        }
    }
    add("\nSuccess criteria".to_owned());
    for criterion in &plan.criteria {
        let (how, remedy) = told(criterion);
        let machine = matches!(criterion.means, Means::Machine(_));
        let of = if criterion.of_hypothesis { " (hypothesis)" } else { "" };
        add(format!("  {}  {}{of}", if machine { "machine" } else { "people " }, criterion.text));
        add(format!("           {how}"));
        if let Some(remedy) = remedy {
            let gap = if remedy.contains(squall_practice::gameday::GAP) { ", filled in," } else { "" };
            add(format!("           a machine checks it once this{gap} stands in the plan's squall block:"));
            add(format!("             {remedy}"));
        }
    }
    if !plan.rollback.is_empty() {
        add("\nRollback plan, carried out by people".to_owned());
        plan.rollback.iter().enumerate().for_each(|(index, step)| add(format!("  {}. {step}", index + 1)));
    }
    add("\nExperiments".to_owned());
    if plan.experiments.is_empty() {
        add("  none: people make the failure by hand; Squall makes it, and puts it back, with".to_owned());
        add("             experiments: [database-fails.yaml]".to_owned());
    }
    for (linked, experiment) in plan.experiments.iter().zip(&loaded.experiments) {
        add(format!("  {} ({})", linked.name, linked.file));
        if !experiment.hypothesis.is_empty() {
            add(format!("    {}", experiment.hypothesis));
        }
    }
    let measured = measured(&loaded.measures);
    if measured.is_empty() {
        add("\nNothing is measured: the plan has no ```squall block, and no file beside it says how"
            .to_owned());
    } else {
        let with = loaded.with.as_ref().map_or_else(String::new, |path| format!(" ({})", path.display()));
        add(format!("\nMeasured with{with}"));
        measured.iter().for_each(|line| add(format!("  {line}")));
    }
    if !plan.follow_ups.is_empty() {
        add("\nFollow-ups".to_owned());
        for one in &plan.follow_ups {
            let owner = if one.owner.is_empty() { "nobody yet" } else { &one.owner };
            let due = if one.due.is_empty() { String::new() } else { format!(", due {}", one.due) };
            add(format!("  {} ({owner}{due})", one.what));
        }
    }
    if !plan.others.is_empty() {
        add(format!("\nFor people alone: {}", plan.others.join(", ")));
    }
    loaded.remarks.iter().for_each(|remark| add(format!("\nnote: {remark}")));
    let machine =
        plan.criteria.iter().filter(|criterion| matches!(criterion.means, Means::Machine(_))).count();
    add(format!(
        "\n{machine} of {} criteria are checked by machine; nothing was touched",
        plan.criteria.len()
    ));
    lines
}
