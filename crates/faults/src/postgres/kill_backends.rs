//! `postgres.kill_backends`: ends sessions of clients, as a failover, an administrator or a broken network does.

use super::{MAY_END_OTHERS, OTHERS, WALSENDERS, literal, postgres};
use crate::database::{check_period, look, sessions, who_fits};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{ClientFacts, Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Again, Statement};
use squall_model::step::Step;
use squall_model::units::Duration;
use std::fmt::Write as _;
use std::net::IpAddr;

/// See [`Fault::SUMMARY`].
pub(crate) struct KillBackends;

/// What `postgres.kill_backends` takes. A session is struck that fits all that is given, and at least one must be.
///
/// Never struck are sessions of Squall's, and what the server runs for itself: vacuum, parallel workers. Those of superusers are struck only where `user` names them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// `client`, or `walsender`: those that send changes to replicas, to backups and to whoever else follows.
    #[serde(default)]
    kind: Kind,
    /// The name that a client gives itself (`application_name`).
    #[serde(default)]
    application: Option<String>,
    /// Who it is to the server.
    #[serde(default)]
    user: Option<String>,
    /// The database that it uses.
    #[serde(default)]
    database: Option<String>,
    /// What it does: `active`, `idle`, `idle in transaction` or `idle in transaction (aborted)`.
    #[serde(default)]
    state: Option<State>,
    /// Where it comes from: an address, or a network such as 10.0.0.0/8.
    #[serde(default)]
    address: Option<String>,
    /// It does so for at least as long.
    #[serde(default)]
    longer_than: Option<Duration>,
    /// How many are ended at most, each time; those that have been there for longest. Without it all that fit.
    #[serde(default)]
    at_most: Option<u32>,
    /// How often to strike again, at least 100ms. Without it once.
    #[serde(default)]
    every: Option<Duration>,
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    #[default]
    Client,
    Walsender,
}

/// States of `pg_stat_activity` in which a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum State {
    #[serde(rename = "active")]
    Active,
    #[serde(rename = "idle")]
    Idle,
    #[serde(rename = "idle in transaction")]
    IdleInTransaction,
    #[serde(rename = "idle in transaction (aborted)")]
    Aborted,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::IdleInTransaction => "idle in transaction",
            Self::Aborted => "idle in transaction (aborted)",
        }
    }
}

impl Parameters {
    /// All that is asked of a session, and that we may end it.
    fn condition(&self) -> String {
        let mut condition = match self.kind {
            Kind::Client => OTHERS.to_owned(),
            Kind::Walsender => WALSENDERS.to_owned(),
        };
        let texts = [
            ("a.application_name", &self.application),
            ("a.usename", &self.user),
            ("a.datname", &self.database),
        ];
        for (column, wanted) in texts {
            if let Some(wanted) = wanted {
                let _ = write!(condition, " AND {column} = {}", literal(wanted));
            }
        }
        if let Some(state) = self.state {
            let _ = write!(condition, " AND a.state = {}", literal(state.name()));
        }
        if let Some(address) = &self.address {
            let _ = write!(condition, " AND a.client_addr <<= {}::inet", literal(address));
        }
        if let Some(longer) = self.longer_than {
            let _ = write!(
                condition,
                " AND a.state_change < clock_timestamp() - {} * interval '1 second'",
                longer.as_seconds()
            );
        }
        if self.user.is_none() {
            condition.push_str(" AND NOT r.rolsuper");
        }
        condition
    }

    fn strike(&self) -> Statement {
        let limit = self.at_most.map(|most| format!(" ORDER BY a.backend_start LIMIT {most}"));
        Statement::text(format!(
            "SELECT count(*) FILTER (WHERE ended) FROM (SELECT pg_terminate_backend(a.pid) AS ended FROM {}{}) AS struck",
            self.condition(),
            limit.unwrap_or_default()
        ))
    }

    /// Whether a session fits, as far as the server told of it.
    fn fits(&self, client: &ClientFacts) -> bool {
        let is = |wanted: Option<&str>, found: &Option<String>| {
            wanted.is_none_or(|wanted| found.as_deref() == Some(wanted))
        };
        is(self.application.as_deref(), &client.application)
            && is(self.user.as_deref(), &client.user)
            && is(self.database.as_deref(), &client.database)
            && is(self.state.map(State::name), &client.state)
            && self.address.as_ref().is_none_or(|network| is_within(client.address.as_deref(), network))
            && self
                .longer_than
                .is_none_or(|longer| client.seconds.is_some_and(|lasts| lasts > longer.as_seconds()))
            && (self.user.is_some() || !client.is_superuser)
    }
}

/// An address, and how many of its bits count.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(most), |length| length.parse().ok())?;
    (length <= most).then_some((address, length))
}

fn is_within(address: Option<&str>, of: &str) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    };
    let (Some((address, _)), Some((wanted, length))) = (address.and_then(network), network(of)) else {
        return false;
    };
    let mask = if length == 0 { 0 } else { u128::MAX << (128 - length) };
    address.is_ipv4() == wanted.is_ipv4() && bits(address) & mask == bits(wanted) & mask
}

impl Fault for KillBackends {
    const NAME: &'static str = "postgres.kill_backends";
    const SUMMARY: &'static str = "Ends sessions of PostgreSQL's clients, once or every so often; what they had not committed is rolled back";
    const EXAMPLE: &'static str = "\
- fault: postgres.kill_backends
  target: {database: \"postgres://admin@127.0.0.1:5432/shop\"}
  with: {application: payment, every: 5s}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        let wrong = |message: String| Err(PlanError::Parameters(message));
        let Parameters { kind, application, user, database, state, address, longer_than, at_most, every } =
            parameters;
        let names_something = [application, user, database, address].iter().any(|text| text.is_some());
        if *kind == Kind::Client && !names_something && state.is_none() && longer_than.is_none() {
            return wrong(
                "whose sessions are to be ended? give one or more of application, user, database, state, address, \
                 longer_than, or `kind: walsender`"
                    .to_owned(),
            );
        }
        if let Some(address) = address.as_ref().filter(|address| network(address).is_none()) {
            return wrong(format!("address: {address} is no address and no network, such as 10.0.0.0/8"));
        }
        if *at_most == Some(0) {
            return wrong("at_most: 0 has no effect; leave it out, or give a number such as 1".to_owned());
        }
        check_period(*every)
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = postgres(facts)?;
        let condition = parameters.condition();
        let ask = format!("SELECT count(*) AS matching FROM {condition}");
        let look = look(ask, "{struck} sessions were ended; {matching} fit now", "struck");
        let mut step = sessions(facts, database, 1, look);
        let user = &database.user;
        step.check = vec![
            super::unless(
                &format!(
                    "{MAY_END_OTHERS} OR NOT EXISTS (SELECT FROM {condition} AND NOT pg_has_role(r.oid, 'MEMBER'))"
                ),
                &format!(
                    "{user} may not end sessions of others; let a superuser say GRANT pg_signal_backend TO {user}, or \
                     strike as another user"
                ),
            ),
            super::unless(
                &format!(
                    "current_setting('is_superuser') = 'on' OR NOT EXISTS (SELECT FROM {condition} AND r.rolsuper)"
                ),
                "only a superuser ends sessions of superusers; strike as one, or name another `user`",
            ),
        ];
        let asks_details =
            parameters.state.is_some() || parameters.address.is_some() || parameters.longer_than.is_some();
        // Of what kind the sessions of others are is such a detail too.
        let asks_details = asks_details || parameters.kind == Kind::Walsender;
        if asks_details {
            step.check.push(super::unless(
                "current_setting('is_superuser') = 'on' OR pg_has_role('pg_read_all_stats', 'MEMBER')",
                &format!(
                    "{user} cannot see what the sessions of others do, nor where they come from; let a superuser say \
                     GRANT pg_read_all_stats TO {user}"
                ),
            ));
        }
        match parameters.every {
            None => step.begin.push(parameters.strike()),
            Some(every) => step.again = Some(Again { statement: parameters.strike(), every }),
        }
        Ok(vec![Step::Sessions(step)])
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        let Ok(database) = postgres(facts) else { return Vec::new() };
        if parameters.kind == Kind::Walsender {
            let note = "replicas and backups whose sessions are ended begin anew by themselves, as a rule; a backup under way fails";
            return vec![note.to_owned()];
        }
        vec![who_fits(database, |client| parameters.fits(client), described)]
    }
}

fn described(client: &ClientFacts) -> String {
    let known = [&client.application, &client.user, &client.database, &client.state];
    let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
    format!("pid {} ({})", client.id, known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{notes, on_postgres, plan, refusal};

    fn said(with: &str) -> String {
        let steps = plan::<KillBackends>(with, &on_postgres(|_| ())).unwrap();
        let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
        step.begin
            .iter()
            .chain(step.again.iter().map(|again| &again.statement))
            .map(Statement::to_string)
            .collect()
    }

    #[test]
    fn what_is_asked_of_a_session_stands_in_the_statement() {
        let said_so =
            said("{application: o'shop, state: idle in transaction, address: 10.0.0.0/8, longer_than: 2s}");
        for part in [
            "a.application_name = 'o''shop'",
            "a.state = 'idle in transaction'",
            "a.client_addr <<= '10.0.0.0/8'::inet",
            "clock_timestamp() - 2 * interval '1 second'",
            "AND NOT r.rolsuper",
            "NOT starts_with(a.application_name, 'squall-')",
        ] {
            assert!(said_so.contains(part), "{part}: {said_so}");
        }
        let named = said("{user: postgres, at_most: 2, every: 1s}");
        assert!(!named.contains("rolsuper") && named.contains("LIMIT 2"), "{named}");
        let senders = said("{kind: walsender}");
        assert!(
            senders.contains("backend_type = 'walsender'") && !senders.contains("client backend"),
            "{senders}"
        );
    }

    #[test]
    fn the_plan_names_those_that_fit() {
        let client = |id: &str, application: &str, address: &str, is_superuser| ClientFacts {
            id: id.into(),
            application: Some(application.into()),
            address: Some(address.into()),
            is_superuser,
            ..ClientFacts::default()
        };
        let facts = on_postgres(|facts| {
            facts.clients = vec![
                client("1", "shop", "10.1.2.3", false),
                client("2", "shop", "10.1.2.3", true),
                client("3", "shop", "192.168.0.1", false),
                client("4", "other", "10.1.2.3", false),
            ];
        });
        let noted = notes::<KillBackends>("{application: shop, address: 10.0.0.0/8}", &facts);
        assert_eq!(noted, ["1 on postgres://app@db:5432/shop fit at the moment: pid 1 (shop)"]);
    }

    #[test]
    fn what_names_nobody_or_makes_no_sense_is_refused() {
        for (with, says) in [
            ("{}", "whose sessions"),
            ("{every: 1s}", "whose sessions"),
            ("{user: x, every: 1ms}", "too often"),
            ("{address: 10.0.0.0/33}", "no network"),
            ("{user: x, at_most: 0}", "no effect"),
        ] {
            let message = refusal::<KillBackends>(with, &on_postgres(|_| ()));
            assert!(message.contains(says), "{with}: {message}");
        }
    }
}
