//! The question before anything is touched: the plan is shown at the terminal, and the user says yes or no; or somebody has
//! said yes before.

use super::plan;
use crate::out;
use squall_engine::approval::{Approval, Approver};
use squall_model::experiment::Experiment;
use squall_model::plan::Plan;
use squall_model::probe::Pending;
use squall_model::redaction::Redactor;
use std::io;
use std::path::PathBuf;
use tokio::sync::oneshot;

/// Who answers, for the journal.
const USER: &str = "the user at the terminal";

/// Asks the user at the terminal.
pub(super) struct Prompt {
    pub(super) file: PathBuf,
    pub(super) experiment: Experiment,
    pub(super) seed: u64,
}

impl Approver for Prompt {
    fn decide(&self, plan: Plan) -> Pending<'static, Approval> {
        let text = plan::describe(&self.file, &self.experiment, self.seed, &plan);
        let text = Redactor::new(&self.experiment.secrets).text(&text);
        let (answer, answered) = oneshot::channel();
        // Reading from a terminal cannot be ended: a thread that nobody waits for does it, so that Ctrl-C ends the run.
        std::thread::spawn(move || answer.send(ask(&text)));
        Box::pin(
            async move { answered.await.unwrap_or_else(|_| refused("the question was lost".to_owned())) },
        )
    }
}

/// Somebody who has said yes elsewhere, such as a reviewer of a pipeline.
pub(super) struct Named(pub(super) String);

impl Approver for Named {
    fn decide(&self, _: Plan) -> Pending<'static, Approval> {
        let by = self.0.clone();
        Box::pin(async { Approval::Agreed { by } })
    }
}

fn ask(plan: &str) -> Approval {
    match answer(plan) {
        Ok(answer) if matches!(answer.trim(), "y" | "Y" | "yes") => Approval::Agreed { by: USER.to_owned() },
        Ok(_) => refused("the answer was no".to_owned()),
        Err(error) => refused(format!("could not ask at the terminal: {error}")),
    }
}

fn answer(plan: &str) -> io::Result<String> {
    if !out::write(&format!("{plan}\n\nCarry this out? [y/N] ")) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer)
}

fn refused(why: String) -> Approval {
    Approval::Refused { by: USER.to_owned(), why }
}
