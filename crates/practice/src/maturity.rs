//! Where a team stands, from evidence in its history: four levels, each with criteria that are met or not, and the
//! resilience of every service. `docs/maturity.md` is the same in words.

mod criteria;
mod score;
mod suggest;
mod trend;

pub use score::score_at;
pub use suggest::suggest;

use squall_model::maturity::{Level, Maturity};
use squall_model::past::Facts;

/// The names of the levels, the first one first.
const NAMES: [&str; 4] = ["Ad-hoc", "Defined", "Managed", "Optimized"];

/// Judges the facts.
pub fn judge(facts: &Facts) -> Maturity {
    let above = [criteria::defined(facts), criteria::managed(facts), criteria::optimized(facts)];
    let levels: Vec<Level> = above
        .into_iter()
        .zip(2_u8..)
        .map(|(criteria, level)| Level {
            level,
            name: NAMES[usize::from(level) - 1],
            met: criteria.iter().all(|criterion| criterion.met),
            criteria: criteria.into(),
        })
        .collect();
    let level = levels.iter().take_while(|level| level.met).map(|level| level.level).last().unwrap_or(1);
    Maturity {
        at: facts.now,
        level,
        name: NAMES[usize::from(level) - 1],
        runs: facts.runs,
        levels,
        scores: score::scores(facts),
        untested: score::untested(facts),
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
