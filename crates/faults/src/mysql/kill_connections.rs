//! `mysql.kill_connections`: sessions of clients are ended.

use super::{check_superuser, mysql, sleepers};
use crate::database::{check_period, who_fits};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{ClientFacts, Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Again, Look, ServerKind, Statement};
use squall_model::step::Step;
use squall_model::units::Duration;

/// See [`Fault::SUMMARY`].
pub(crate) struct KillConnections;

/// What `mysql.kill_connections` takes. Of several conditions all must hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Those of this user.
    #[serde(default)]
    user: Option<String>,
    /// Those that use this database.
    #[serde(default)]
    database: Option<String>,
    /// Those that come from this host.
    #[serde(default)]
    source: Option<String>,
    /// Only those that say nothing at the moment (`idle`) or that wait for an answer (`active`).
    #[serde(default)]
    state: Option<State>,
    /// How long after one time it is done again; once only where it is not given.
    #[serde(default)]
    every: Option<Duration>,
}

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Idle,
    Active,
}

impl Parameters {
    /// Asks for the numbers of those that are meant.
    fn question(&self) -> String {
        let mut question = OTHERS.to_owned();
        let literal = |text: &String| ServerKind::Mysql.literal(text);
        let source = "SUBSTRING_INDEX(HOST, ':', 1)";
        for (column, value) in [("USER", &self.user), ("DB", &self.database), (source, &self.source)] {
            if let Some(value) = value {
                question = format!("{question} AND {column} = {}", literal(value));
            }
        }
        match self.state {
            Some(State::Idle) => format!("{question} AND COMMAND = 'Sleep'"),
            Some(State::Active) => format!("{question} AND COMMAND <> 'Sleep'"),
            None => question,
        }
    }

    /// Whether a client is meant, as far as it can be told beforehand.
    fn fits(&self, client: &ClientFacts) -> bool {
        let is =
            |wanted: &Option<String>, value: Option<&str>| wanted.is_none() || wanted.as_deref() == value;
        let host = client.address.as_deref().and_then(|address| address.split(':').next());
        let is_idle = client.state.as_deref() == Some("Sleep");
        is(&self.user, client.user.as_deref())
            && is(&self.database, client.database.as_deref())
            && is(&self.source, host)
            && self.state.is_none_or(|state| (state == State::Idle) == is_idle)
    }
}

/// All sessions of others. Each of Squall's, idle or not, holds a lock that goes by its number.
const OTHERS: &str = "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() \
                      AND COALESCE(IS_USED_LOCK(CONCAT('squall ', ID)), 0) <> ID \
                      AND USER NOT IN ('system user', 'event_scheduler') \
                      AND COMMAND NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID')";

impl Fault for KillConnections {
    const NAME: &'static str = "mysql.kill_connections";
    const SUMMARY: &'static str =
        "Ends sessions of MySQL or MariaDB, never Squall's own or those that replicate";
    const EXAMPLE: &'static str = "\
- fault: mysql.kill_connections
  target: {database: \"mysql://app@127.0.0.1:3306/shop\"}
  with: {user: shop, every: 5s}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        check_period(parameters.every)
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = mysql(facts)?;
        check_superuser(database, "end sessions of others")?;
        let kill = Statement::words([parameters.question(), "KILL CONNECTION {id}".to_owned()]);
        let look = Look::telling("{struck} sessions ended", "struck");
        let mut step = sleepers(facts, database, 1, vec![kill.clone()], look);
        if let Some(every) = parameters.every {
            step.again = Some(Again { statement: kill, every });
        }
        Ok(vec![Step::Sessions(step)])
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        let Ok(database) = mysql(facts) else { return Vec::new() };
        let described = |client: &ClientFacts| {
            let known = [&client.user, &client.database, &client.address, &client.state];
            let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
            format!("{} ({})", client.id, known.join(", "))
        };
        vec![who_fits(database, |client| parameters.fits(client), described)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_mysql, plan};

    #[test]
    fn conditions_are_joined_and_ours_are_spared() {
        let steps = plan::<KillConnections>("{user: o'n, state: idle}", &on_mysql(|_| ())).unwrap();
        let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
        let said = step.begin[0].to_string();
        assert!(said.ends_with("AND USER = 'o''n' AND COMMAND = 'Sleep' KILL CONNECTION {id}"), "{said}");
        assert!(said.contains("IS_USED_LOCK(CONCAT('squall ', ID))"), "{said}");
        let user = plan::<KillConnections>("{}", &on_mysql(|facts| facts.is_superuser = false)).unwrap_err();
        assert!(user.contains("may not end sessions"), "{user}");
    }
}
