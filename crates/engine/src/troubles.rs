//! Why requests of the loads failed. Told once each, and again beside a verdict that they may explain.

/// So many different troubles of a load are noted; what differs more than that is not told by telling it.
const MOST_NOTED: usize = 3;

/// The troubles of the loads, in words.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    noted: Vec<Vec<String>>,
    now: Vec<Option<String>>,
    under_fault: Vec<Option<String>>,
}

impl Troubles {
    /// Takes in the troubles of a second, in the order of the loads; returns what was not told before.
    pub(crate) fn take(
        &mut self,
        loads: &[String],
        troubles: &[Option<String>],
        under_fault: bool,
    ) -> Vec<String> {
        let troubles = troubles.iter().zip(loads).map(|(trouble, load)| {
            trouble.as_ref().map(|why| format!("requests of the load `{load}` failed: {why}"))
        });
        self.now = troubles.collect();
        self.noted.resize(self.now.len(), Vec::new());
        self.under_fault.resize(self.now.len(), None);
        let mut new = Vec::new();
        for (number, trouble) in self.now.iter().enumerate() {
            let Some(trouble) = trouble else { continue };
            if under_fault {
                self.under_fault[number] = Some(trouble.clone());
            }
            let noted = &mut self.noted[number];
            if noted.len() < MOST_NOTED && !noted.contains(trouble) {
                noted.push(trouble.clone());
                new.push(trouble.clone());
            }
        }
        new
    }

    /// The last second's.
    pub(crate) fn now(&self) -> impl Iterator<Item = String> {
        self.now.iter().flatten().cloned()
    }

    /// The last that were met while faults were active.
    pub(crate) fn under_fault(&self) -> impl Iterator<Item = String> {
        self.under_fault.iter().flatten().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_is_told_once() {
        let loads = ["shop".to_owned(), "admin".to_owned()];
        let mut troubles = Troubles::default();
        let mut take = |shop: Option<&str>, under_fault| {
            troubles.take(&loads, &[shop.map(str::to_owned), None], under_fault)
        };
        assert_eq!(take(Some("refused"), false), ["requests of the load `shop` failed: refused"]);
        assert!(take(Some("refused"), true).is_empty() && take(None, true).is_empty());
        assert_eq!(["reset", "timeout", "one", "two"].map(|why| take(Some(why), false).len()), [1, 1, 0, 0]);
        assert_eq!(troubles.now().collect::<Vec<_>>(), ["requests of the load `shop` failed: two"]);
        assert_eq!(
            troubles.under_fault().collect::<Vec<_>>(),
            ["requests of the load `shop` failed: refused"]
        );
    }
}
