//! `redis.pause`: the server lets clients wait.

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
pub(crate) struct Pause;

/// What `redis.pause` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Whose commands wait: `all`, or `write` for those that write.
    #[serde(default)]
    mode: Mode,
}

/// The modes of `CLIENT PAUSE`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    #[default]
    All,
    Write,
}

/// Where everything waits, so does whatever would end that: it is paused for no longer than this at a time.
const SLICE: Duration = Duration(std::time::Duration::from_millis(500));

impl Fault for Pause {
    const NAME: &'static str = "redis.pause";
    const SUMMARY: &'static str = "Lets commands to Redis wait (CLIENT PAUSE): all, or those that write";
    const EXAMPLE: &'static str = "\
- fault: redis.pause
  target: {database: \"redis://127.0.0.1:6379\"}
  with: {mode: write}
  for: 10s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = redis(facts)?;
        if !is_since(database, 6, 2) {
            return Err(PlanError::Unsupported(format!(
                "{} is Redis {}, which cannot end a pause; CLIENT UNPAUSE came with 6.2",
                database.server, database.version
            )));
        }
        let (slice, word, every) = match parameters.mode {
            // Said again at once, it waits for the end of the one before.
            Mode::All => (SLICE, "ALL", Duration::seconds(0)),
            Mode::Write => (facts.lease, "WRITE", Duration(facts.lease.0 / 3)),
        };
        let milliseconds = slice.0.as_millis().to_string();
        let pause = Statement::words(["CLIENT", "PAUSE", &milliseconds, word]);
        let look = Look::telling(&format!("paused {{said}} times, for {slice} each"), "said");
        let mut step = sessions(facts, database, 1, look);
        step.begin = vec![pause.clone()];
        step.again = Some(Again { statement: pause, every });
        step.finally = vec![Statement::words(["CLIENT", "UNPAUSE"])];
        Ok(vec![Step::Sessions(step)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_redis, plan};

    #[test]
    fn a_pause_is_said_in_slices_that_end_by_themselves() {
        let said = |with: &str| {
            let steps = plan::<Pause>(with, &on_redis(|_| ())).unwrap();
            let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
            assert_eq!(step.finally[0].to_string(), "CLIENT UNPAUSE");
            step.begin[0].to_string()
        };
        assert_eq!(said("{}"), "CLIENT PAUSE 500 ALL");
        assert_eq!(said("{mode: write}"), "CLIENT PAUSE 5000 WRITE");
        let old = plan::<Pause>("{}", &on_redis(|facts| facts.version = "6.0.16".into())).unwrap_err();
        assert!(old.contains("6.2"), "{old}");
    }
}
