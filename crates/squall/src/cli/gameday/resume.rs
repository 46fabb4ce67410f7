//! An interrupted session goes on as it began: with the files and the variables that it was verified with.

use super::plan::Loaded;
use crate::exit::Failure;
use crate::files::{self, VariableOptions};
use squall_model::gameday::{Entry, Event, Setting};
use squall_model::redaction::Redactor;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A session as its journal tells of it.
pub(super) struct Begun {
    pub(super) session: String,
    pub(super) setting: Setting,
    /// The last thing that is known of it.
    pub(super) last: Entry,
}

impl Begun {
    pub(super) fn of(entries: &[Entry], path: &Path) -> Result<Self, Failure> {
        let started = entries.iter().find_map(|entry| match &entry.event {
            Event::SessionStarted { session, setting, .. } => Some((session.clone(), (**setting).clone())),
            _ => None,
        });
        let (Some((session, setting)), Some(last)) = (started, entries.last().cloned()) else {
            return Err(Failure::invalid(format!("{} is not the journal of a game day", path.display())));
        };
        let is_end = |entry: &&Entry| matches!(entry.event, Event::Ended { .. } | Event::Resumed { .. });
        if let Some(Event::Ended { verdict, .. }) =
            entries.iter().rev().find(is_end).map(|entry| &entry.event)
        {
            return Err(Failure::invalid(format!(
                "session {session} is over, it ended as {verdict}; `squall gameday report {session}` tells it again"
            )));
        }
        Ok(Self { session, setting, last })
    }

    /// The plan, wherever one stands.
    pub(super) fn file(&self) -> PathBuf {
        file_of(&self.setting, &self.setting.file)
    }

    /// What it is measured with, where that is another file; another than before is refused.
    pub(super) fn with(&self, given: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
        let began =
            Some(&self.setting.with).filter(|name| !name.is_empty()).map(|name| file_of(&self.setting, name));
        let is_alike = |given: &Path| began.as_deref().is_some_and(|began| files::are_one(given, began));
        match given {
            Some(given) if !is_alike(given) => {
                let measured =
                    began.map_or("what stands in the plan".to_owned(), |file| file.display().to_string());
                Err(Failure::invalid(format!(
                    "session {} is measured with {measured}, and --with {} is something else; leave it away; the session \
                     stays open",
                    self.session,
                    given.display()
                )))
            }
            _ => Ok(began),
        }
    }

    /// The variables that it began with, and those that are secret and were given again.
    pub(super) fn variables(&self, given: &VariableOptions) -> Result<VariableOptions, Failure> {
        let now = given.overrides(&[])?;
        let wanted = self.setting.withheld.iter().cloned().collect();
        let again = now.given(&wanted);
        if let Some(name) = wanted.iter().find(|name| !again.contains_key(*name)) {
            return Err(Failure::invalid(format!(
                "session {} needs --var {name}=… again: its value is secret, so it was not written down; the session \
                 stays open",
                self.session
            )));
        }
        let kept: Vec<(String, String)> = self.setting.variables.clone().into_iter().collect();
        Ok(VariableOptions::of_pairs(&kept).followed_by(given))
    }

    /// Refuses what would make another day of it than the one that was verified.
    pub(super) fn must_be_alike(&self, given: &BTreeMap<String, String>) -> Result<(), Failure> {
        let Self { session, setting, .. } = self;
        for (name, value) in given.iter().filter(|(name, _)| !setting.withheld.contains(name)) {
            let began = match setting.variables.get(name) {
                Some(kept) if kept == value => continue,
                Some(kept) => format!("with {name}={kept}"),
                None => format!("without a value for {name}"),
            };
            return Err(Failure::invalid(format!(
                "session {session} began {began}, and another value is given now: what was verified is something else; \
                 leave it away, or begin a new session; this one stays open"
            )));
        }
        Ok(())
    }
}

impl Begun {
    /// What is not as it was when the session began, in words. An experiment that would do something else than what was
    /// agreed is refused, unless it is said that it may.
    pub(super) fn changes(&self, loaded: &Loaded, accepted: bool) -> Result<Vec<String>, Failure> {
        let Some(began) = &self.setting.marks else { return Ok(Vec::new()) };
        let now = &loaded.marks;
        let mut changes = Vec::new();
        if began.plan != now.plan {
            let still = "its criteria are those that it had then, what is measured is what it says now";
            changes.push(format!("the plan has changed since the session began: {still}"));
        }
        if began.with != now.with {
            changes.push("what it is measured with has changed since the session began".to_owned());
        }
        let experiments = loaded.plan.experiments.iter().zip(began.experiments.iter().zip(&now.experiments));
        for (linked, _) in experiments.filter(|(_, (began, now))| began != now) {
            if !accepted {
                return Err(Failure::invalid(format!(
                    "experiment {} ({}) is not what it was when session {} began, and would do something else than was \
                     agreed: put the file back as it was, or carry it out as it is now with --accept-changes; the \
                     session stays open",
                    linked.name, linked.file, self.session
                )));
            }
            changes.push(format!("experiment {} has changed since the session began", linked.name));
        }
        Ok(changes)
    }
}

/// A file that a session speaks of, wherever one stands.
pub(super) fn file_of(setting: &Setting, name: &str) -> PathBuf {
    Path::new(&setting.folder).join(name)
}

/// What is written down of the variables that were given: values, and the names of those whose values are secret.
pub(super) fn written_down(
    given: &BTreeMap<String, String>,
    redactor: &Redactor,
) -> (BTreeMap<String, String>, Vec<String>) {
    let (kept, withheld): (BTreeMap<_, _>, BTreeMap<_, _>) =
        given.clone().into_iter().partition(|(_, value)| redactor.text(value) == *value);
    (kept, withheld.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(variables: &[(&str, &str)], withheld: &[&str]) -> Begun {
        let setting = Setting {
            variables: pairs(variables),
            withheld: withheld.iter().map(|name| (*name).to_owned()).collect(),
            ..Setting::default()
        };
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let event = Event::Suspended { reason: "lunch".into() };
        Begun { session: "s".into(), setting, last: Entry { at, elapsed: 1.0, event } }
    }

    fn pairs(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_session_goes_on_with_the_variables_that_it_began_with() {
        let begun = begun(&[("pid", "17")], &[]);
        let overrides = begun.variables(&VariableOptions::default()).unwrap().overrides(&[]).unwrap();
        assert_eq!(overrides.variables, [("pid".to_owned(), "17".to_owned())]);
        assert!(begun.must_be_alike(&pairs(&[("pid", "17")])).is_ok());
        let other = begun.must_be_alike(&pairs(&[("pid", "18")])).unwrap_err().to_string();
        assert!(other.contains("began with pid=17") && !other.contains("18"), "{other}");
        let more = begun.must_be_alike(&pairs(&[("host", "db")])).unwrap_err().to_string();
        assert!(more.contains("without a value for host"), "{more}");
    }

    #[test]
    fn what_is_secret_is_not_written_down_and_is_asked_for_again() {
        let redactor = Redactor::new(&["hunter2".to_owned()]);
        let given = pairs(&[("pid", "17"), ("token", "\"hunter2\"")]);
        let (kept, withheld) = written_down(&given, &redactor);
        assert_eq!((kept, withheld), (pairs(&[("pid", "17")]), vec!["token".to_owned()]));
        let begun = begun(&[("pid", "17")], &["token"]);
        let missing = begun.variables(&VariableOptions::default()).err().unwrap().to_string();
        assert!(missing.contains("--var token=…"), "{missing}");
        let given_again = VariableOptions::of(vec!["token=hunter2".to_owned()]);
        assert_eq!(begun.variables(&given_again).unwrap().overrides(&[]).unwrap().variables.len(), 2);
        assert!(begun.must_be_alike(&pairs(&[("pid", "17"), ("token", "x")])).is_ok());
    }
}
