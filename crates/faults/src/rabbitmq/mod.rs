//! Faults on RabbitMQ. Its alarms are raised in its own language, which the plan shows as it will be evaluated; the rest is
//! asked of its management.

pub(crate) mod disk_alarm;
pub(crate) mod kill_connections;
pub(crate) mod memory_alarm;
pub(crate) mod purge;

use crate::database::look;
use squall_model::facts::{DatabaseFacts, Facts};
use squall_model::fault::PlanError;
use squall_model::server::{PasswordRef, ServerKind, SettingStep, Statement, Watch, mark_of};
use squall_model::units::Duration;

/// The broker that is struck, which must be RabbitMQ.
fn rabbitmq(facts: &Facts) -> Result<&DatabaseFacts, PlanError> {
    crate::database::of_kind(facts, ServerKind::Rabbitmq)
}

/// The same, which must have a management that lets us in.
fn managed(facts: &Facts) -> Result<&DatabaseFacts, PlanError> {
    let broker = rabbitmq(facts)?;
    match broker.settings.get("no_management") {
        Some(why) => Err(PlanError::Unsupported(format!(
            "this is asked of RabbitMQ's management (rabbitmq-plugins enable rabbitmq_management): {why}"
        ))),
        None => Ok(broker),
    }
}

/// The same, of which we must have the cookie.
fn with_cookie(facts: &Facts) -> Result<&DatabaseFacts, PlanError> {
    let broker = rabbitmq(facts)?;
    if has_cookie(broker) {
        return Ok(broker);
    }
    Err(PlanError::Forbidden(format!(
        "the management of {} cannot raise alarms; it is done in the broker's own language, as `rabbitmqctl eval` does, and that \
         takes its Erlang cookie: add `?cookie_file=/var/lib/rabbitmq/.erlang.cookie` or `?cookie_env=NAME` to its address",
        broker.server
    )))
}

/// Whether its address says where its cookie is.
fn has_cookie(broker: &DatabaseFacts) -> bool {
    broker.server.broker.as_ref().is_some_and(|broker| broker.cookie != PasswordRef::None)
}

/// What of a broker's address has not been used, and may be wrong without being noticed.
fn address_notes(broker: &DatabaseFacts) -> Vec<String> {
    let (server, told) = (&broker.server, |name: &str| broker.settings.get(name).map(String::as_str));
    let mut notes = Vec::new();
    if let Some(why) = told("no_amqp") {
        notes.push(format!("{why}; whether {server} is the address that its clients use is not known"));
    }
    if told("vhost") == Some("false") {
        let vhost = server.database.as_deref().unwrap_or("/");
        notes.push(format!("the broker has no virtual host {vhost}, which the address {server} names"));
    }
    if let Some(why) = told("no_management").filter(|_| server.user.is_some()) {
        notes.push(format!("user and password of the address were not used, and may be wrong: {why}"));
    }
    notes
}

/// One of the alarms that block publishers, and the limit that raises it.
struct Alarm {
    /// As the broker calls it.
    name: &'static str,
    /// The limit, as the broker's configuration calls it.
    limit: &'static str,
    /// Reads it.
    get: &'static str,
    /// Sets it to the argument in brackets behind it.
    set: &'static str,
    /// A limit that is never kept.
    ours: &'static str,
}

impl Alarm {
    fn plan(&self, facts: &Facts) -> Result<SettingStep, PlanError> {
        let broker = with_cookie(facts)?;
        let Self { name, limit, get, set, ours } = self;
        let node = broker.settings.get("node").map_or("its node", String::as_str);
        let on = format!(
            "length([on || {{{{resource_limit, {name}, Node}}, _}} <- rabbit_alarm:get_alarms(), Node =:= node()])"
        );
        let blocked = "length([on || {_, About} <- ets:tab2list(connection_metrics), \
                       lists:member(proplists:get_value(state, About), [blocked, blocking])])";
        let already = format!(
            "case {on} of 0 -> <<>>; _ -> <<\"the {name} alarm of {node} is on already, so nothing would change\">> end"
        );
        Ok(SettingStep {
            server: broker.server.clone(),
            mark: mark_of(&facts.injection),
            name: format!("{limit} of {node}"),
            check: vec![Statement::text(already)],
            read: Statement::text(format!("list_to_binary(io_lib:format(\"~w\", [{get}]))")),
            write: Statement::text(format!("{set}({ours})")),
            ours: (*ours).to_owned(),
            then: Vec::new(),
            restore: Statement::text(format!("{set}({})", Statement::BEFORE)),
            unset: None,
            finally: Vec::new(),
            watch: Some(self.watch(&facts.injection, facts.lease)),
            lease: facts.lease,
            look: Some(look(
                format!("[{{alarms, {on}}}, {{blocked, {blocked}}}]"),
                &format!(
                    "the {name} alarm of {node} is on; {{blocked}} connections are blocked, or will be when they publish"
                ),
                "alarms",
            )),
        })
    }

    /// A process in the broker that goes by the mark. It puts the limit back when it hears nothing for a lease, when the
    /// connection to us is gone, and when it is told to.
    fn watch(&self, injection: &str, lease: Duration) -> Watch {
        let Self { get, ours, .. } = self;
        let (mark, restore) = (atom(&mark_of(injection)), Watch::RESTORE);
        let milliseconds = lease.0.as_millis();
        Watch {
            hold: Some(Statement::text("node()")),
            renew: None,
            wait: Statement::text(format!(
                "register({mark}, self()), monitor_node(node(group_leader()), true), \
                 Wait = fun Wait() -> receive alive -> Wait(); _ -> over after {milliseconds} -> over end end, Wait(), \
                 case {get} of {ours} -> {restore}; _ -> ok end"
            )),
        }
    }

    /// What is to be said of the plan.
    fn notes(&self, facts: &Facts) -> Vec<String> {
        let Ok(broker) = with_cookie(facts) else { return Vec::new() };
        let clients = match broker.used {
            1 => "1 connection".to_owned(),
            count => format!("{count} connections"),
        };
        let blocks = format!(
            "while the {} alarm is on, every node of the cluster blocks whoever publishes; {clients} at the moment",
            self.name
        );
        [blocks].into_iter().chain(address_notes(broker)).collect()
    }
}

/// A text as Erlang reads it.
fn binary(text: &str) -> String {
    format!("<<\"{}\"/utf8>>", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// An atom as Erlang reads it.
fn atom(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
