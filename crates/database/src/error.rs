//! What can go wrong with a server, in words that name it and never the password.

use squall_model::server::ServerRef;

/// What to do where a server asks for a password and none was given.
pub(crate) const NO_PASSWORD: &str =
    "; say where the password is: ?password_env=NAME or ?password_file=/path in the address";

/// What to do where a password was given and is not taken.
pub(crate) const WRONG_PASSWORD: &str = "; check the user in the address, and that the password there, in \
                                         ?password_env=NAME or in ?password_file=/path is theirs";

/// Why something could not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The server cannot be reached, or does not answer.
    Unreachable,
    /// Nothing listens there.
    Refused,
    /// It does not let us in, or not do this.
    Denied,
    /// It takes no more clients.
    Full,
    /// The session is gone.
    Lost,
    /// It answered with an error.
    Answered,
    /// It cannot do this, or we cannot.
    Unsupported,
}

/// What was tried, on which server, and what came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not {tried} {server}: {cause}")]
pub struct DatabaseError {
    /// Of which sort it is.
    pub reason: Reason,
    tried: String,
    server: String,
    cause: String,
}

impl DatabaseError {
    /// An error about a server: `tried` is what stands between "could not" and its address.
    pub fn new(reason: Reason, server: &ServerRef, tried: &str, cause: impl Into<String>) -> Self {
        Self { reason, tried: tried.to_owned(), server: server.to_string(), cause: cause.into() }
    }
}
