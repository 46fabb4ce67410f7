//! What a run tells other systems: metrics, traces, marks on dashboards, and notifications.
//!
//! Everything that is told is a pure function of the journal's entries: a fold knows the run (`run.rs`) and the metrics
//! (`metrics.rs`), exporters and notifiers turn what happened into letters, and the courier delivers them, on a thread of
//! its own that nobody waits for. Each exporter and each notifier is one file and one line in a table below.

mod courier;
mod grafana;
mod letter;
mod listener;
mod message;
mod metrics;
mod notify;
mod otlp;
mod outbox;
mod outlet;
mod pushgateway;
mod run;
mod surroundings;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod textfile;

pub use letter::Letter;
pub use message::{Message, Severity};
pub use metrics::{Family, Histogram, Metrics, Sample, TEXT_TYPE, Values};
pub use outbox::{Answers, Follower, Outbox, asked_for};
pub use outlet::{Exporter, Happened, Line, Notifier};
pub use run::{Injection, Run};
pub use surroundings::Surroundings;

use notify::{alertmanager, email, opsgenie, pagerduty, slack, webhook};
use outlet::{exporter, notifier};
use squall_model::settings::Kinds;

/// What can stand under `metrics`.
pub const EXPORTERS: &[Line<dyn Exporter>] = &[
    exporter::<listener::Listen>(),
    exporter::<pushgateway::Pushgateway>(),
    exporter::<textfile::TextFile>(),
    exporter::<otlp::Otlp>(),
];

/// What can stand in the entries of `notify`.
pub const NOTIFIERS: &[Line<dyn Notifier>] = &[
    notifier::<slack::Slack>(),
    notifier::<pagerduty::PagerDuty>(),
    notifier::<opsgenie::Opsgenie>(),
    notifier::<alertmanager::Alertmanager>(),
    notifier::<email::Email>(),
    notifier::<webhook::Webhook>(),
];

/// What marks faults, each by a key of its own.
pub const MARKS: &[Line<dyn Exporter>] = &[exporter::<grafana::Grafana>()];

/// All of them, as the reader of settings knows them.
pub fn kinds() -> Kinds {
    Kinds {
        metrics: EXPORTERS.iter().map(Line::kind).collect(),
        notify: NOTIFIERS.iter().map(Line::kind).collect(),
        marks: MARKS.iter().map(Line::kind).collect(),
    }
}
