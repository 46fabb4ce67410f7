//! `redis.slow`: the server is busy, again and again.

use super::{is_since, redis};
use crate::database::sessions;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Again, Look, Statement};
use squall_model::step::Step;
use squall_model::units::Duration;

/// See [`Fault::SUMMARY`].
pub(crate) struct Slow;

/// What `redis.slow` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How long the server does nothing else, each time: at most 1s.
    delay: Duration,
    /// How long it is left alone in between.
    #[serde(default = "second")]
    every: Duration,
}

fn second() -> Duration {
    Duration::seconds(1)
}

/// Shorter than what a server lets a script run alone (5 s), and than Squall waits for an answer.
const LONGEST: Duration = Duration::seconds(1);

/// Looks at the clock until the time is over, and writes nothing. The count bounds it where that clock should stand still.
const SCRIPT: &str = "local function now() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end \
                      local begun, count = now(), 0 \
                      repeat count = count + 1 until now() - begun >= tonumber(ARGV[1]) or count >= 10000000 \
                      return math.floor(now() - begun)";

impl Fault for Slow {
    const NAME: &'static str = "redis.slow";
    const SUMMARY: &'static str = "Keeps Redis busy for a time, again and again, as slow commands do";
    const EXAMPLE: &'static str = "\
- fault: redis.slow
  target: {database: \"redis://127.0.0.1:6379\"}
  with: {delay: 200ms, every: 500ms}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        if parameters.delay < Duration(std::time::Duration::from_millis(1)) || parameters.delay > LONGEST {
            return Err(PlanError::Parameters(format!(
                "`delay` is from 1ms to {LONGEST}: a server that does nothing else for \
                 longer cannot be told to stop; `redis.pause` lets clients wait for long"
            )));
        }
        Ok(())
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = redis(facts)?;
        // The later word says to the server that nothing is written.
        let word = if is_since(database, 7, 0) { "EVAL_RO" } else { "EVAL" };
        let milliseconds = parameters.delay.0.as_millis().to_string();
        let busy = Statement::words([word, SCRIPT, "0", &milliseconds]);
        let mut step =
            sessions(facts, database, 1, Look::telling("busy for {struck} ms, {said} times", "struck"));
        step.begin = vec![busy.clone()];
        step.again = Some(Again { statement: busy, every: parameters.every });
        Ok(vec![Step::Sessions(step)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_redis, plan};

    #[test]
    fn a_script_is_short_and_only_reads() {
        let steps = plan::<Slow>("{delay: 200ms}", &on_redis(|_| ())).unwrap();
        let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
        let words = &step.begin[0].0;
        assert_eq!((words[0].as_str(), words[2].as_str(), words[3].as_str()), ("EVAL_RO", "0", "200"));
        for with in ["{delay: 0s}", "{delay: 5s}"] {
            assert!(plan::<Slow>(with, &on_redis(|_| ())).unwrap_err().contains("from 1ms to 1s"));
        }
    }
}
