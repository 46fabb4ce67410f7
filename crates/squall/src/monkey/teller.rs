//! Telling owners, and writing down that they were told.

use super::{Clock, Entry, Event, Herald, News, Records};
use crate::carry::Witness;
use crate::out;
use jiff::civil::Date;
use squall_model::event;
use squall_practice::monkey::Choice;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Tells owners.
pub(crate) struct Teller {
    heralds: Vec<Box<dyn Herald>>,
    records: Records,
    clock: Clock,
}

impl Teller {
    pub(crate) fn new(heralds: Vec<Box<dyn Herald>>, records: Records, clock: Clock) -> Self {
        Self { heralds, records, clock }
    }

    /// Tells the owner of a group.
    pub(super) fn tell(&self, date: Date, choice: &Choice, words: String) -> io::Result<()> {
        let owner = choice.owner.clone();
        let news = News { owner: owner.clone(), group: choice.group.to_string(), words: words.clone() };
        self.heralds.iter().for_each(|herald| herald.tell(&news));
        self.note(date, Some(choice), Event::Told { owner, words })
    }

    /// Writes down what happened to a group, or on a day.
    pub(super) fn note(&self, date: Date, choice: Option<&Choice>, event: Event) -> io::Result<()> {
        let group = choice.map(|choice| choice.group.key());
        self.records.add(&Entry { at: self.clock.now(), date, group, event })
    }
}

/// Tells an owner that an instance is ended now, once nothing speaks against it any more: when the run begins to strike.
pub(super) struct Announcer {
    teller: Arc<Teller>,
    /// What is still to be told.
    news: Option<(Date, Choice, String)>,
    telling: Option<JoinHandle<io::Result<()>>>,
}

impl Announcer {
    pub(super) fn new(teller: &Arc<Teller>, date: Date, choice: &Choice, words: String) -> Self {
        Self { teller: Arc::clone(teller), news: Some((date, choice.clone(), words)), telling: None }
    }
}

impl Witness for Announcer {
    fn see(&mut self, entry: &event::Entry) {
        if !matches!(entry.event, event::Event::InjectStarted { .. }) {
            return;
        }
        let Some((date, choice, words)) = self.news.take() else { return };
        let teller = Arc::clone(&self.teller);
        self.telling = Some(std::thread::spawn(move || teller.tell(date, &choice, words)));
    }

    fn close(&mut self) {
        let told = self.telling.take().and_then(|telling| telling.join().ok());
        if let Some(Err(error)) = told {
            out::warn(format!("monkey: that an owner was told could not be written down: {error}"));
        }
    }
}
