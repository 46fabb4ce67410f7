//! A connection to a server that is kept between questions.

use crate::timeout::Timeout;
use squall_database::{Login, Manner, Pending, Reason, Session};
use squall_model::probe::ProbeError;
use squall_model::server::{ServerUrl, Statement};
use squall_model::units::Duration;
use tokio::sync::Mutex;

/// How long a connection of which nothing is heard is kept by servers that let us say so: questions come each second.
const IDLE: std::time::Duration = std::time::Duration::from_secs(30);

/// How a question is said.
pub(crate) type Say<T> = for<'s> fn(&'s mut dyn Session, &'s Statement) -> Pending<'s, T>;

/// A server, and the connection to it.
pub(crate) struct Kept {
    url: ServerUrl,
    timeout: Timeout,
    /// Whether nothing is kept.
    anew: bool,
    session: Mutex<Option<Box<dyn Session>>>,
}

impl Kept {
    pub(crate) fn new(url: ServerUrl, timeout: Timeout, anew: bool) -> Self {
        Self { url, timeout, anew, session: Mutex::new(None) }
    }

    /// Asks, connecting first where there is no connection or it was lost meanwhile. Whatever fails or takes too long, its
    /// connection is not used again.
    pub(crate) async fn ask<T>(&self, question: &Statement, say: Say<T>) -> Result<T, ProbeError> {
        let answer = async {
            let mut place = self.session.lock().await;
            if let Some(mut session) = place.take() {
                match say(&mut *session, question).await {
                    Err(error) if error.reason == Reason::Lost => {}
                    Ok(answer) => {
                        *place = Some(session);
                        return Ok(answer);
                    }
                    Err(error) => return Err(error),
                }
            }
            let within = self.timeout.get();
            let lease = Some(if self.anew { within } else { within.max(IDLE) });
            let manner = Manner { lease, ..Manner::asking(within) };
            let mut session = squall_database::open(&Login::of(&self.url)?, &manner).await?;
            let answer = say(&mut *session, question).await?;
            *place = Some(session).filter(|_| !self.anew);
            Ok(answer)
        };
        let Ok(answer) = tokio::time::timeout(self.timeout.get(), answer).await else {
            let within = Duration::from(self.timeout);
            return Err(ProbeError(format!("could not ask {}: no answer within {within}", self.url)));
        };
        answer.map_err(|error| ProbeError(error.to_string()))
    }
}
