//! What goes wrong with an object is tried again every few seconds, and told when it is new, not each time.

use super::store::Key;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long the same words of the same object are not said again.
const QUIET_FOR: Duration = Duration::from_mins(10);

/// What was said last, of which object.
#[derive(Default)]
pub(super) struct Repeats {
    said: BTreeMap<Key, (String, Instant)>,
}

impl Repeats {
    /// Whether this is to be said now.
    pub(super) fn is_news(&mut self, key: &Key, words: &str, now: Instant) -> bool {
        self.said.retain(|_, (_, at)| now.duration_since(*at) < QUIET_FOR);
        let is_known = self.said.get(key).is_some_and(|(said, _)| said == words);
        if !is_known {
            self.said.insert(key.clone(), (words.to_owned(), now));
        }
        !is_known
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::Name;
    use super::*;

    #[test]
    fn the_same_is_not_said_every_few_seconds() {
        let key = |name: &str| Key { kind: 0, name: Name { namespace: "shop".into(), name: name.into() } };
        let (mut repeats, begin) = (Repeats::default(), Instant::now());
        assert!(repeats.is_news(&key("a"), "forbidden", begin));
        assert!(!repeats.is_news(&key("a"), "forbidden", begin + Duration::from_secs(3)));
        assert!(repeats.is_news(&key("b"), "forbidden", begin + Duration::from_secs(3)));
        assert!(repeats.is_news(&key("a"), "away", begin + Duration::from_secs(6)));
        assert!(repeats.is_news(&key("a"), "away", begin + QUIET_FOR + Duration::from_secs(6)));
    }
}
