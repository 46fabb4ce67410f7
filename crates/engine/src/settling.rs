//! What may take its time: a check with `within` is judged from when it holds without a break, or from when its time is
//! over. An alert that must fire within 20 s of the injection is no failure before that, and one afterwards.

use squall_model::condition::Truth;

/// How a check stood at one moment, and what was read, in words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Look {
    /// When, in seconds since the run started.
    pub(crate) at: f64,
    pub(crate) truth: Truth,
    pub(crate) found: String,
}

/// The looks at a check during one fault.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settling {
    /// When the fault began, and until when the check need not hold, in seconds since the run started.
    from: f64,
    until: f64,
    /// The looks since it holds without a break, in its time.
    holding: Vec<Look>,
    /// The last one in its time that did not hold, where none came after it.
    open: Option<Look>,
    /// Since when it holds without a break.
    since: Option<f64>,
}

impl Settling {
    pub(crate) fn new(from: f64, within: f64) -> Self {
        Self { from, until: from + within, holding: Vec::new(), open: None, since: None }
    }

    /// Whether it is about the fault that began then.
    pub(crate) fn is_of(&self, from: f64) -> bool {
        (self.from - from).abs() < f64::EPSILON
    }

    /// Takes a look in, and gives those that are to be judged by now.
    pub(crate) fn look(&mut self, look: Look) -> Vec<Look> {
        let is_late = look.at > self.until;
        self.open = None;
        self.since = look.truth.holds().then(|| self.since.unwrap_or(look.at));
        match (look.truth.holds(), is_late) {
            (true, false) => {
                self.holding.push(look);
                Vec::new()
            }
            (false, false) => {
                self.holding.clear();
                self.open = Some(look);
                Vec::new()
            }
            (_, true) => {
                let mut judged = std::mem::take(&mut self.holding);
                judged.push(look);
                judged
            }
        }
    }

    /// What is to be judged once the fault is over.
    pub(crate) fn end(&self) -> Vec<Look> {
        let not_within =
            |look: &Look| Look { found: format!("not in its time: {}", look.found), ..look.clone() };
        self.holding.iter().cloned().chain(self.open.as_ref().map(not_within)).collect()
    }

    /// How long after the fault began it came to hold for good, in seconds.
    pub(crate) fn after(&self) -> Option<f64> {
        self.since.map(|since| (since - self.from).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is judged of looks at these seconds after the fault began, with 5 s of time; and after how long it held.
    fn judged(looks: &[(f64, bool)]) -> (Vec<(f64, bool)>, Option<f64>) {
        let mut settling = Settling::new(100.0, 5.0);
        let mut judged = Vec::new();
        for (after, holds) in looks {
            let truth = if *holds { Truth::Holds } else { Truth::Fails };
            judged.extend(settling.look(Look { at: 100.0 + after, truth, found: String::new() }));
        }
        judged.extend(settling.end());
        (judged.iter().map(|look| (look.at - 100.0, look.truth.holds())).collect(), settling.after())
    }

    #[test]
    fn what_holds_in_its_time_and_from_then_on_held() {
        let late = [(1.0, false), (2.0, false), (4.0, true), (6.0, true)];
        assert_eq!(judged(&late), (vec![(4.0, true), (6.0, true)], Some(4.0)));
        let early = [(0.0, true), (6.0, true)];
        assert_eq!(judged(&early), (early.to_vec(), Some(0.0)));
        let flaps = [(1.0, true), (2.0, false), (3.0, true), (6.0, true)];
        assert_eq!(judged(&flaps), (vec![(3.0, true), (6.0, true)], Some(3.0)));
    }

    #[test]
    fn what_does_not_hold_in_its_time_did_not() {
        let never = [(1.0, false), (5.0, false), (6.0, false)];
        assert_eq!(judged(&never), (vec![(6.0, false)], None));
        let lost = [(1.0, true), (6.0, true), (7.0, false), (8.0, true)];
        assert_eq!(judged(&lost), (lost.to_vec(), Some(8.0)));
        let over_before = [(1.0, true), (2.0, false)];
        assert_eq!(
            judged(&over_before),
            (vec![(2.0, false)], None),
            "the fault was over before its time was"
        );
        assert_eq!(judged(&[]), (vec![], None));
    }
}
