//! Breaking points: which magnitude of a fault to try next, so that few runs tell where a hypothesis stops to hold.
//!
//! The mild ones come first: the search grows by quarters of the way, and only once something broke does it halve what
//! lies between. Nothing harsher is tried than what broke.

/// How many parts of the way the growth is made in.
const QUARTERS: u32 = 4;

/// A search between a mild end (0) and a harsh one (1).
#[derive(Debug, Clone, Default)]
pub struct Search {
    held: Option<f64>,
    broke: Option<f64>,
    grown: u32,
}

impl Search {
    /// The part of the way to be tried next; none where all that can be told is.
    pub fn next(&self) -> Option<f64> {
        match (self.held, self.broke) {
            (_, None) if self.grown > QUARTERS => None,
            (_, None) => Some(f64::from(self.grown) / f64::from(QUARTERS)),
            // Not even the mildest held.
            (None, Some(_)) => None,
            (Some(held), Some(broke)) => Some(f64::midpoint(held, broke)),
        }
    }

    /// Notes what came of a try.
    pub fn tried(&mut self, part: f64, held: bool) {
        self.grown += 1;
        if held {
            self.held = Some(self.held.map_or(part, |known| known.max(part)));
        } else {
            self.broke = Some(self.broke.map_or(part, |known| known.min(part)));
        }
    }

    /// The harshest that held.
    pub fn held(&self) -> Option<f64> {
        self.held
    }

    /// The mildest that did not.
    pub fn broke(&self) -> Option<f64> {
        self.broke
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All tries of a search for a limit.
    fn tries(limit: f64, most: usize) -> (Vec<f64>, Search) {
        let (mut search, mut tried) = (Search::default(), Vec::new());
        while let Some(part) = search.next().filter(|_| tried.len() < most) {
            search.tried(part, part < limit);
            tried.push(part);
        }
        (tried, search)
    }

    #[test]
    fn it_grows_by_quarters_and_then_halves() {
        let (tried, search) = tries(0.6, 7);
        assert_eq!(tried, [0.0, 0.25, 0.5, 0.75, 0.625, 0.5625, 0.59375]);
        assert_eq!((search.held(), search.broke()), (Some(0.59375), Some(0.625)));
    }

    #[test]
    fn the_ends_are_told_apart() {
        assert_eq!(tries(2.0, 20).0, [0.0, 0.25, 0.5, 0.75, 1.0]);
        let (tried, search) = tries(0.0, 20);
        assert_eq!((tried, search.held(), search.broke()), (vec![0.0], None, Some(0.0)));
    }

    #[test]
    fn nothing_harsher_is_tried_than_what_broke() {
        for limit in 0..100 {
            let (mut search, mut broke) = (Search::default(), 2.0_f64);
            for _ in 0..12 {
                let Some(part) = search.next() else { break };
                assert!(part < broke);
                let held = part < f64::from(limit) / 100.0;
                if !held {
                    broke = part;
                }
                search.tried(part, held);
            }
        }
    }
}
