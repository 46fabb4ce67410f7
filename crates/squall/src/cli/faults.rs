//! `squall faults [NAME]`: the catalog of faults.

use crate::exit::{Failure, Outcome};
use crate::manual;
use crate::out;
use crate::registry::FAULTS;
use clap::Args;
use serde_json::{Value as Json, json};
use squall_model::fault::AnyFault;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One fault, to be explained with its parameters
    name: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let chosen: Vec<&dyn AnyFault> = match &self.name {
            None => FAULTS.to_vec(),
            Some(name) => vec![find(name)?],
        };
        if self.json {
            let all: Vec<Json> = chosen.iter().map(|fault| as_json(*fault)).collect();
            match (&self.name, all.first()) {
                (Some(_), Some(one)) => out::say_json(one),
                _ => out::say_json(&all),
            }
        } else if self.name.is_some() {
            chosen.iter().for_each(|fault| out::say(explain(*fault)));
        } else {
            let rows: Vec<_> =
                chosen.iter().map(|fault| (fault.name().into(), fault.summary().into())).collect();
            out::say(out::columns(&rows));
            out::say("\n`squall faults NAME` explains one.");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn find(name: &str) -> Result<&'static dyn AnyFault, Failure> {
    FAULTS.iter().copied().find(|fault| fault.name() == name).ok_or_else(|| {
        let near = manual::nearest(name, FAULTS.iter().map(|fault| fault.name()));
        Failure::invalid(format!("there is no fault {name:?}: `squall faults` lists all{near}"))
    })
}

fn needs(fault: &dyn AnyFault) -> Vec<&'static str> {
    fault.privileges().iter().map(|privilege| privilege.capability()).collect()
}

fn as_json(fault: &dyn AnyFault) -> Json {
    json!({
        "name": fault.name(), "summary": fault.summary(), "scope": fault.scope(), "needs": needs(fault),
        "features": fault.features(), "one_of": fault.one_of(), "parameters": fault.schema(), "example": fault.example(),
    })
}

fn explain(fault: &dyn AnyFault) -> String {
    let needs = match needs(fault) {
        none if none.is_empty() => "no privilege for your own processes".to_owned(),
        some => format!("{} (root, or `--sudo`)", some.join(" and ")),
    };
    let parameters = manual::parameters(&fault.schema());
    format!(
        "{}\n  {}\n\nParameters\n{parameters}\n\nNeeds\n  {needs}\n\nExample\n{}",
        fault.name(),
        fault.summary(),
        manual::indented(fault.example())
    )
}
