//! A plan by itself, for those who only want to see it.

use super::AgentOptions;
use crate::agent::transport::Agents;
use crate::exit::Failure;
use crate::state::State;
use crate::undo_logs;
use squall_engine::link::LinkError;
use squall_engine::plan_request;
use squall_model::experiment::Experiment;
use squall_model::plan::Plan;
use squall_model::protocol::{Answer, Call, CallErrorKind, VERSION};
use squall_model::redaction::Redactor;

/// Asks an agent for the plan of an experiment; touches nothing.
pub(crate) fn plan(
    experiment: &Experiment,
    seed: u64,
    agent: &AgentOptions,
    redactor: &Redactor,
) -> Result<Plan, Failure> {
    let mut request = plan_request(experiment, seed);
    // A plan loses nothing, and says what would be lost.
    request.allow_data_loss = true;
    if request.entries.is_empty() {
        return Ok(Plan::default());
    }
    let state = State::locate()?;
    let run = "plan".to_owned();
    let agents = Agents::new(&state, &run, agent)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut plan = runtime.block_on(async {
        let link = agents.links().connect().await.map_err(Failure::failed)?;
        let refused = |error: LinkError| {
            let message = redactor.text(&error.to_string());
            match error {
                LinkError::Refused(error) if error.kind == CallErrorKind::Unsupported => {
                    Failure::unsupported(message)
                }
                _ => Failure::invalid(message),
            }
        };
        // The targets say all that a plan needs to know of servers.
        let (lease, servers) = (agent.lease, Vec::new());
        let hello = Call::Hello { version: VERSION, run, lease, looks_only: true, servers };
        link.call(hello).await.map_err(refused)?;
        let answer = link.call(Call::Plan(request)).await.map_err(refused)?;
        // The agent has nothing to undo; that it may already be gone is no loss.
        let _ = link.call(Call::Bye).await;
        match answer {
            Answer::Plan(plan) => Ok(plan),
            other => {
                Err(Failure::failed(format!("the agent answered something else than a plan: {other:?}")))
            }
        }
    })?;
    plan.notes.extend(orphans(&state));
    Ok(plan)
}

/// That something is still owed, which a run would put back first.
fn orphans(state: &State) -> Option<String> {
    let count = undo_logs::all(state).ok()?.iter().filter(|held| !held.alive).count();
    (count > 0).then(|| {
        format!(
            "injections of earlier runs that are still to be put back: {count}; a run does that first, and so does \
             `squall recover`"
        )
    })
}
