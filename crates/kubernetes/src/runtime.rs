//! A runtime of our own, on one thread, begun with the first cluster.
//!
//! Connections live in the runtime that opened them. Those who ask for pods may wait in any runtime, in one after another, or
//! in none at all; the connections outlast them.

use crate::error::{ClusterError, Problem};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// A task that ends when nobody waits for it any more.
#[derive(Debug)]
pub(crate) struct Held<T>(JoinHandle<T>);

impl<T> Held<T> {
    /// What it came to.
    pub(crate) async fn end(mut self) -> Result<T, ClusterError> {
        (&mut self.0).await.map_err(|_| failed("the task that asked is gone"))
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins a task in our runtime.
pub(crate) fn begin<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<Held<T>, ClusterError> {
    Ok(Held(handle()?.spawn(future)))
}

fn handle() -> Result<Handle, ClusterError> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let build = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("squall-cluster").enable_all();
        builder.build().map_err(|error| error.to_string())
    };
    match RUNTIME.get_or_init(build) {
        Ok(runtime) => Ok(runtime.handle().clone()),
        Err(why) => Err(failed(why)),
    }
}

fn failed(why: &str) -> ClusterError {
    ClusterError::new(Problem::Unknown, format!("ask a cluster: {why}"))
}

/// Waits for an answer where there is no runtime, or one that must not be blocked. What asks a cluster asks from our runtime, so
/// the thread that waits has nothing to do.
///
/// # Errors
/// Those of the future.
pub fn wait<T>(future: impl Future<Output = Result<T, ClusterError>>) -> Result<T, ClusterError> {
    struct Waiting(Thread);
    impl Wake for Waiting {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let handle = handle()?;
    let _timers = handle.enter();
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Waiting(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(end) => return end,
            Poll::Pending => thread::park(),
        }
    }
}
