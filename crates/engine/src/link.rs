//! The brain's end of the stream to an agent. How the stream is opened (a child process, `ssh`, a cluster) is the
//! transport's matter.

use squall_model::probe::Pending;
use squall_model::protocol::{Answer, Call, CallError};
use std::sync::Arc;

/// Why a call brought no answer that helps.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LinkError {
    /// The stream ended or the agent does not answer: nothing is known about the call or the agent any more.
    #[error("{0}")]
    Lost(String),
    /// The agent answered that it could not or would not.
    #[error("{0}")]
    Refused(CallError),
}

/// A stream to a living agent. Dropping the last handle ends the stream, upon which the agent undoes everything.
pub trait AgentLink: Send + Sync {
    /// Sends a call. It is on its way, in the order of the calls of this function, when the function returns, even
    /// if nobody waits for the answer.
    fn call(&self, call: Call) -> Pending<'static, Result<Answer, LinkError>>;
}

/// Opens streams to the agent of a place, anew where the last one was lost.
pub trait Links: Send + Sync {
    /// Starts an agent and opens a stream to it. Where an agent was started before, it must first be gone for good
    /// (a child that does not end by itself is killed), since a living owner's injections are not recovered.
    ///
    /// # Errors
    /// Says what was tried and what came back.
    fn connect(&self) -> Pending<'static, Result<Arc<dyn AgentLink>, String>>;
}
