//! A client whose connection is kept: for who is asked every second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Connection, ErrorKind, HttpError, OpenTimings, Patience, Request, Response, Trust};

/// Asks one server again and again. The connection is kept where the server keeps it too; what fails on a kept one is
/// asked once more on a new one, since a server may close it at any moment.
#[derive(Default)]
pub struct KeptClient {
    trust: Trust,
    idle: Mutex<Option<Connection>>,
}

impl KeptClient {
    /// A client that believes these authorities, and shows who it is where it can.
    pub fn new(trust: impl Into<Trust>) -> Self {
        Self { trust: trust.into(), ..Self::default() }
    }

    /// Sends `request` and waits at most `timeout` for the whole answer. All requests must go to one server.
    ///
    /// Any status is an answer, not an error. Must be called on a tokio runtime with I/O and time. What is not a
    /// question alone (`POST`) goes on a new connection, since it must not be sent twice.
    ///
    /// # Errors
    /// [`HttpError`], whose kind says which stage failed.
    pub async fn request(&self, request: &Request, timeout: Duration) -> Result<Response, HttpError> {
        let patience = Patience::new(timeout);
        if let Some(connection) = self.kept(request)
            && let Some(response) = self.ask_again(connection, request, &patience).await?
        {
            return Ok(response);
        }
        let endpoint = request.endpoint(&self.trust)?;
        let (mut connection, opened) = Connection::open(&endpoint, request, &patience).await?;
        let response = connection.exchange(request, opened, &patience).await?;
        self.keep(connection);
        Ok(response)
    }

    /// The answer on a kept connection; none where it turned out to be closed.
    async fn ask_again(
        &self,
        mut connection: Connection,
        request: &Request,
        patience: &Patience,
    ) -> Result<Option<Response>, HttpError> {
        match connection.exchange(request, OpenTimings::default(), patience).await {
            Ok(response) => {
                self.keep(connection);
                Ok(Some(response))
            }
            Err(error) if error.kind == ErrorKind::Timeout => Err(error),
            Err(_) => Ok(None),
        }
    }

    fn kept(&self, request: &Request) -> Option<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        idle.filter(|connection| request.is_safe() && connection.is_open())
    }

    fn keep(&self, connection: Connection) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }
}
