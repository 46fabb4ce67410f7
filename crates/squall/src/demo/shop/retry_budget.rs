//! A retry budget: retries may be a tenth of the traffic, never a multiple of it.
//!
//! A retry helps when one call in a thousand fails. When all fail, retries are the flood that keeps the
//! service down. So each call earns a share of a token, and each retry costs a whole one: with a share of 0.1
//! the traffic grows by a tenth at worst, not fourfold. Source: *Site Reliability Engineering*, chapter 21,
//! "Handling Overload" ("per-client retry budget … 10 %").

use std::sync::Mutex;

use super::lock;

/// Tokens that may be saved up, so that a quiet service may still retry a few times in a row.
const SAVINGS: f64 = 10.0;

/// A token bucket that calls fill and retries drain.
#[derive(Debug)]
pub(super) struct RetryBudget {
    share: f64,
    tokens: Mutex<f64>,
}

impl RetryBudget {
    /// A full budget; `share` of a token for each call.
    pub(super) fn new(share: f64) -> Self {
        Self { share, tokens: Mutex::new(SAVINGS) }
    }

    /// A call was made.
    pub(super) fn deposit(&self) {
        let mut tokens = lock(&self.tokens);
        *tokens = (*tokens + self.share).min(SAVINGS);
    }

    /// Whether a retry is in the budget; if so, it is paid for.
    pub(super) fn withdraw(&self) -> bool {
        let mut tokens = lock(&self.tokens);
        let enough = *tokens >= 1.0;
        if enough {
            *tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stay_a_share_of_calls_however_many_fail() {
        let budget = RetryBudget::new(0.1);
        let mut retries = 0;
        for _ in 0..1000 {
            budget.deposit();
            retries += u32::from(budget.withdraw());
        }
        assert!((100..=110).contains(&retries), "{retries}");
    }

    #[test]
    fn savings_are_bounded() {
        let budget = RetryBudget::new(1.0);
        for _ in 0..1000 {
            budget.deposit();
        }
        assert_eq!((0..1000).filter(|_| budget.withdraw()).count(), 10);
    }
}
