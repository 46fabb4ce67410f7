//! All objects of a kind as they are, and every change of them: a list, and then what the server tells by itself.
//!
//! Where the server has forgotten the state that is known, or says what cannot be read, all are listed anew; where it is away, it is
//! asked again until it answers. A change that happened meanwhile is in the new list.
//!
//! Source: <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>

use crate::cluster::{Ask, Cluster, Failure, failure};
use crate::error::{ClusterError, Complaint, Problem};
use crate::kind::Kind;
use crate::runtime::{self, Held};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, timeout};

/// So many changes wait for whoever reads them.
const ROOM: usize = 1024;
/// The server ends a watch after so long, and is asked for the next one.
const LASTS: Duration = Duration::from_mins(5);
/// How much longer is waited for that: a connection may be dead without a word.
const SLACK: Duration = Duration::from_secs(20);
/// How long is waited where the server does not answer; each time twice as long, up to the second one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest line: an object may have 1.5 MB.
const LONGEST_LINE: usize = 8 << 20;
/// The longest answer to a watch that was refused.
const LONGEST_REFUSAL: usize = 1 << 20;

/// What is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// These are all that there are: what is not among them is gone.
    All(Vec<Json>),
    /// This one is there, or is so now.
    Put(Json),
    /// This one is gone; it was so.
    Gone(Json),
    /// Nothing is known since now: the server does not answer, or says no. It is asked again.
    Lost(String),
}

/// What comes of a kind of objects. It ends when this is dropped.
pub struct Watch {
    changes: Receiver<Change>,
    _held: Held<()>,
}

impl Watch {
    /// The next change; `None` where the runtime is gone.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }
}

impl Cluster {
    /// Watches the objects of a kind in a namespace, or in all. Begins with [`Change::All`].
    ///
    /// # Errors
    /// There is no runtime. What the cluster says comes as [`Change::Lost`].
    pub fn watch(&self, kind: &Kind, namespace: Option<&str>) -> Result<Watch, ClusterError> {
        let (sender, changes) = channel(ROOM);
        let watcher = Watcher {
            cluster: self.clone(),
            kind: kind.clone(),
            namespace: namespace.map(str::to_owned),
            sender,
        };
        Ok(Watch { changes, _held: runtime::begin(watcher.run())? })
    }
}

struct Watcher {
    cluster: Cluster,
    kind: Kind,
    namespace: Option<String>,
    sender: Sender<Change>,
}

/// Why a watch is over.
enum Over {
    /// It may go on from the last state.
    Ended,
    /// That state is not known there any more.
    Forgotten,
    /// Nobody reads what it tells.
    Unwanted,
}

#[derive(Deserialize)]
struct Line {
    r#type: String,
    object: Json,
}

impl Watcher {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.once(&mut pause).await {
                Ok(()) => return,
                Err(error) => {
                    if self.sender.send(Change::Lost(error.to_string())).await.is_err() {
                        return;
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// A list and the watches that follow it; `Ok` where nobody wants to know any more.
    async fn once(&self, pause: &mut Duration) -> Result<(), ClusterError> {
        let (objects, mut version) = self.list().await?;
        if self.sender.send(Change::All(objects)).await.is_err() {
            return Ok(());
        }
        *pause = FIRST_PAUSE;
        loop {
            match self.watch(&mut version).await? {
                Over::Ended => {}
                Over::Forgotten => return Box::pin(self.once(pause)).await,
                Over::Unwanted => return Ok(()),
            }
        }
    }

    async fn list(&self) -> Result<(Vec<Json>, String), ClusterError> {
        let (mut objects, version) = self.cluster.state(&self.kind, self.namespace.as_deref()).await?;
        objects.iter_mut().for_each(|object| self.tidy(object));
        Ok((objects, version))
    }

    /// Says what an object is, which a list does not, and leaves out who wrote which field, which is half of it.
    fn tidy(&self, object: &mut Json) {
        object["apiVersion"] = json!(self.kind.api_version());
        object["kind"] = json!(self.kind.kind);
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
    }

    /// One watch, until it ends. `version` is the last state that is known.
    async fn watch(&self, version: &mut String) -> Result<Over, ClusterError> {
        let tried = format!("watch {}", self.kind);
        let path = self.kind.path(self.namespace.as_deref());
        let seconds = LASTS.as_secs();
        let path = format!(
            "{path}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}"
        );
        let told = |failure| self.cluster.told(&tried, failure);
        let unknown = |why: &str| self.cluster.error(Problem::Unknown, &tried, why);
        let request = Ask::get(&tried, path).request().map_err(|error| unknown(&error.to_string()))?;
        let begun = Instant::now();
        let inner = &self.cluster.inner;
        let sent = timeout(self.cluster.patience(), inner.client().send(request)).await;
        let response =
            sent.map_err(|_| told(Failure::Late))?.map_err(|error| told(failure(&error, inner.config())))?;
        let status = response.status();
        if !status.is_success() {
            let body = Limited::new(response.into_body(), LONGEST_REFUSAL).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            if status.as_u16() == 410 {
                return Ok(Over::Forgotten);
            }
            return Err(told(Failure::Complaint(Complaint::read(status.as_u16(), &body))));
        }
        let following = self.follow(response.into_body(), version);
        let over = timeout(LASTS + SLACK, following).await.unwrap_or(Over::Ended);
        if begun.elapsed() < LASTS / 2 {
            // Whoever ends each watch at once is not asked as fast as that.
            sleep(FIRST_PAUSE).await;
        }
        Ok(over)
    }

    /// Reads what a watch tells, line by line.
    async fn follow(&self, mut body: Body, version: &mut String) -> Over {
        let mut kept: Vec<u8> = Vec::new();
        // A connection that is lost is one that has ended: the next one goes on from the last state.
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            kept.extend_from_slice(&data);
            while let Some(end) = kept.iter().position(|byte| *byte == b'\n') {
                let rest = kept.split_off(end + 1);
                let line = std::mem::replace(&mut kept, rest);
                if let Some(over) = self.hear(&line, version).await {
                    return over;
                }
            }
            if kept.len() > LONGEST_LINE {
                return Over::Forgotten;
            }
        }
        Over::Ended
    }

    /// One line; something where the watch is over with it.
    async fn hear(&self, line: &[u8], version: &mut String) -> Option<Over> {
        let Ok(Line { r#type, mut object }) = serde_json::from_slice(line) else {
            return Some(Over::Forgotten);
        };
        if let Some(known) = object["metadata"]["resourceVersion"].as_str() {
            known.clone_into(version);
        }
        let change = match r#type.as_str() {
            "ADDED" | "MODIFIED" => {
                self.tidy(&mut object);
                Change::Put(object)
            }
            "DELETED" => {
                self.tidy(&mut object);
                Change::Gone(object)
            }
            "BOOKMARK" => return None,
            _ => return Some(Over::Forgotten),
        };
        self.sender.send(change).await.is_err().then_some(Over::Unwanted)
    }
}
