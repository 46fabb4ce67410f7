//! What can go wrong with an HTTP request before an answer is there, sorted by whose trouble it is.

use std::error::Error;
use std::io;
use std::time::Duration;

/// The stage or the cause that ended a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself is wrong: its URL, method or headers. Nothing was sent.
    Request,
    /// The host name could not be turned into an address.
    Resolve,
    /// No connection came about: refused, unreachable, or given up by the kernel.
    Connect,
    /// The connection stands but TLS could not be agreed on.
    Tls,
    /// No whole answer within the time allowed.
    Timeout,
    /// The peer answered with something that is not HTTP, or broke its rules.
    Protocol,
    /// The peer closed or reset the connection before the answer was whole.
    Reset,
    /// This machine ran out of something (file descriptors, ports, memory): not the peer's trouble.
    Local,
}

/// Why a request has no answer: what was tried, and what came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{tried}: {cause}")]
pub struct HttpError {
    /// Whose trouble it is.
    pub kind: ErrorKind,
    /// What was tried, and on what, such as `connect to 127.0.0.1:8080`.
    pub tried: String,
    /// What came back, such as `connection refused`.
    pub cause: String,
}

impl HttpError {
    /// An error of a stage: what was tried, and what came back.
    pub fn new(kind: ErrorKind, tried: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { kind, tried: tried.into(), cause: cause.into() }
    }

    /// A request that cannot be sent as it is.
    pub fn request(tried: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::new(ErrorKind::Request, tried, cause)
    }

    /// No answer within the time.
    pub fn timeout(tried: impl Into<String>, timeout: Duration) -> Self {
        Self::new(ErrorKind::Timeout, tried, format!("not done within {timeout:?}"))
    }

    /// Sorts an error of the operating system met before the connection stood.
    pub fn connecting(tried: impl Into<String>, error: &io::Error) -> Self {
        match local_shortage(error) {
            Some(advice) => Self::new(ErrorKind::Local, tried, format!("{}; {advice}", io_cause(error))),
            None => Self::new(ErrorKind::Connect, tried, io_cause(error)),
        }
    }

    /// Sorts an error met on a connection that stood. Whatever the operating system reports there ends the
    /// connection (reset, unreachable, given up); an error that it did not report is a broken rule of TLS or HTTP.
    pub fn talking(tried: impl Into<String>, error: &io::Error) -> Self {
        if let Some(advice) = local_shortage(error) {
            return Self::new(ErrorKind::Local, tried, format!("{}; {advice}", io_cause(error)));
        }
        let closed = error.raw_os_error().is_some()
            || matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::WriteZero
            );
        let kind = if closed { ErrorKind::Reset } else { ErrorKind::Protocol };
        Self::new(kind, tried, io_cause(error))
    }

    /// Sorts an error of hyper by the operating system's error that it wraps, if any.
    pub fn hyper(tried: impl Into<String>, error: &hyper::Error) -> Self {
        if let Some(io) = causes(error).find_map(|error| error.downcast_ref::<io::Error>()) {
            return Self::talking(tried, io);
        }
        if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            return Self::new(ErrorKind::Reset, tried, "connection closed before the answer was whole");
        }
        let words: Vec<String> = causes(error).map(ToString::to_string).collect();
        Self::new(ErrorKind::Protocol, tried, words.join(": "))
    }
}

/// The operating system's words without Rust's `(os error 111)`.
fn io_cause(error: &io::Error) -> String {
    let whole = error.to_string();
    match whole.find(" (os error") {
        Some(end) => whole[..end].to_lowercase(),
        None => whole,
    }
}

/// Tells a shortage of this machine apart from the peer's trouble, and says what to do about it.
fn local_shortage(error: &io::Error) -> Option<&'static str> {
    use rustix::io::Errno;
    match Errno::from_io_error(error)? {
        Errno::MFILE | Errno::NFILE => Some("raise the limit of open files (ulimit -n)"),
        Errno::ADDRNOTAVAIL => Some("no free local port or address; use fewer connections"),
        Errno::NOBUFS | Errno::NOMEM => Some("this machine is out of memory"),
        _ => None,
    }
}

/// `error` and the errors that caused it, outermost first.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_tried_and_what_came_back() {
        let refused = io::Error::from(rustix::io::Errno::CONNREFUSED);
        let error = HttpError::connecting("connect to 127.0.0.1:8080", &refused);
        assert_eq!(error.to_string(), "connect to 127.0.0.1:8080: connection refused");
        assert_eq!(error.kind, ErrorKind::Connect);
    }

    #[test]
    fn a_shortage_of_this_machine_is_not_the_peers_trouble() {
        let full = io::Error::from(rustix::io::Errno::MFILE);
        let error = HttpError::connecting("connect to 127.0.0.1:8080", &full);
        assert_eq!(error.kind, ErrorKind::Local);
        assert!(error.to_string().contains("ulimit -n"), "{error}");
    }
}
