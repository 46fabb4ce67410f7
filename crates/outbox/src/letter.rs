//! What is to be delivered: what tells something writes letters and does no I/O; the courier delivers them.

use squall_http::Request;
use std::path::PathBuf;
use std::sync::Arc;

/// Something to be delivered.
#[derive(Clone)]
pub struct Letter {
    pub(crate) content: Content,
    /// Whether it says all that earlier ones of this sort said: those that still wait are not sent any more.
    pub(crate) supersedes: bool,
    /// Statuses that are no success by themselves and mean that there is nothing to do, such as the 404 of what is gone.
    pub(crate) also_good: &'static [u16],
}

#[derive(Clone)]
pub(crate) enum Content {
    Http(Request),
    Mail(Arc<crate::notify::email::Post>, Box<lettre::Message>),
    File(PathBuf, String),
}

impl Letter {
    /// A request.
    pub fn http(request: Request) -> Self {
        Self::of(Content::Http(request))
    }

    /// An e-mail.
    pub(crate) fn mail(post: Arc<crate::notify::email::Post>, message: lettre::Message) -> Self {
        Self::of(Content::Mail(post, Box::new(message)))
    }

    /// A whole file, in place of what it was.
    pub fn file(path: PathBuf, text: String) -> Self {
        Self::of(Content::File(path, text))
    }

    /// One that makes earlier ones needless.
    #[must_use]
    pub fn superseding(mut self) -> Self {
        self.supersedes = true;
        self
    }

    /// One for which these statuses are as good.
    #[must_use]
    pub fn also_good(mut self, statuses: &'static [u16]) -> Self {
        self.also_good = statuses;
        self
    }

    fn of(content: Content) -> Self {
        Self { content, supersedes: false, also_good: &[] }
    }
}
