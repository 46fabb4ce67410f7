//! Those who follow a run while it happens: its history, a game day, exporters, notifiers.

use squall_model::event::Entry;
use std::sync::{Arc, Mutex, PoisonError};

/// Somebody who follows a run. Nobody of them can hold it up or end it: what takes time is for a thread of their own.
pub(crate) trait Witness: Send {
    /// Something happened. It is called on the run's own thread and returns at once.
    fn see(&mut self, entry: &Entry);
    /// The run is over: everything is put back, and the verdict was the last entry. This may take a moment.
    fn close(&mut self) {}
}

impl<F: FnMut(&Entry) + Send> Witness for F {
    fn see(&mut self, entry: &Entry) {
        self(entry);
    }
}

/// All who follow a run.
#[derive(Clone, Default)]
pub(super) struct Witnesses(Arc<Mutex<Vec<Box<dyn Witness>>>>);

impl Witnesses {
    pub(super) fn new(witnesses: Vec<Box<dyn Witness>>) -> Self {
        Self(Arc::new(Mutex::new(witnesses)))
    }

    pub(super) fn see(&self, entry: &Entry) {
        self.each(|witness| witness.see(entry));
    }

    pub(super) fn close(&self) {
        self.each(|witness| witness.close());
    }

    fn each(&self, mut tell: impl FnMut(&mut dyn Witness)) {
        // One that broke down is no reason to tell the others nothing.
        let mut witnesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        witnesses.iter_mut().for_each(|witness| tell(witness.as_mut()));
    }
}
