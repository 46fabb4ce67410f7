//! `squall probes [NAME]`: the catalog of probes, metric sources and loads.

use crate::exit::{Failure, Outcome};
use crate::manual;
use crate::out;
use crate::registry::{LOADS, METRIC_SOURCES, PROBES};
use clap::Args;
use schemars::Schema;
use serde_json::{Value as Json, json};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One of them, to be explained with its parameters
    name: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What the catalog says of a probe, a metric source or a load.
struct Instrument {
    kind: &'static str,
    name: &'static str,
    summary: &'static str,
    example: &'static str,
    values: &'static [(&'static str, &'static str)],
    schema: Schema,
}

fn all() -> Vec<Instrument> {
    let tables = [("probe", PROBES), ("metric source", METRIC_SOURCES)];
    let probes = tables.into_iter().flat_map(|(kind, table)| {
        table.iter().map(move |probe| Instrument {
            kind,
            name: probe.name(),
            summary: probe.summary(),
            example: probe.example(),
            values: probe.values(),
            schema: probe.schema(),
        })
    });
    let loads = LOADS.iter().map(|load| Instrument {
        kind: "load",
        name: load.name(),
        summary: load.summary(),
        example: load.example(),
        values: &[],
        schema: load.schema(),
    });
    probes.chain(loads).collect()
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let all = all();
        let chosen: Vec<&Instrument> = match &self.name {
            None => all.iter().collect(),
            Some(name) => all.iter().filter(|instrument| instrument.name == name).collect(),
        };
        if let (Some(name), true) = (&self.name, chosen.is_empty()) {
            let near = manual::nearest(name, all.iter().map(|instrument| instrument.name));
            return Err(Failure::invalid(format!(
                "there is no probe {name:?}: `squall probes` lists all{near}"
            )));
        }
        if self.json {
            out::say_json(&chosen.iter().map(|instrument| as_json(instrument)).collect::<Vec<_>>());
        } else if self.name.is_some() {
            let texts: Vec<String> = chosen.iter().map(|instrument| explain(instrument)).collect();
            out::say(texts.join("\n\n"));
        } else {
            let row = |instrument: &&Instrument| {
                (format!("{} ({})", instrument.name, instrument.kind), instrument.summary.to_owned())
            };
            out::say(out::columns(&chosen.iter().map(row).collect::<Vec<_>>()));
            out::say("\n`squall probes NAME` explains one.");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn as_json(instrument: &Instrument) -> Json {
    json!({
        "kind": instrument.kind, "name": instrument.name, "summary": instrument.summary,
        "values": instrument.values.iter().map(|(name, meaning)| json!({"name": name, "meaning": meaning})).collect::<Vec<_>>(),
        "parameters": instrument.schema, "example": instrument.example,
    })
}

fn explain(instrument: &Instrument) -> String {
    let mut text = format!(
        "{} ({})\n  {}\n\nParameters\n{}",
        instrument.name,
        instrument.kind,
        instrument.summary,
        manual::parameters(&instrument.schema)
    );
    if !instrument.values.is_empty() {
        let rows: Vec<_> =
            instrument.values.iter().map(|(name, meaning)| ((*name).into(), (*meaning).into())).collect();
        text.push_str("\n\nValues\n");
        text.push_str(&out::columns(&rows));
    }
    format!("{text}\n\nExample\n{}", manual::indented(instrument.example))
}
