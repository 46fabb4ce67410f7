//! The scenarios: one entry each. Their experiments and their words are files of the folder `scenarios/` at the top of the
//! project, carried within the binary.

use super::stage::{self, Build};
use crate::registry::FAULTS;
use serde_json::{Value as Json, json};

/// A weakness that many services have, and the experiment that shows it.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What whoever runs it learns, in a sentence.
    pub(super) teaches: &'static str,
    pub(super) faults: &'static [&'static str],
    pub(super) experiment: &'static str,
    pub(super) readme: &'static str,
    /// The variables that say where it strikes: all of them must be given on a system of one's own.
    pub(super) places: &'static [&'static str],
    /// What it takes beside the faults.
    pub(super) needs: Option<&'static str>,
    /// Makes a weak service of Squall's own for it.
    pub(super) stage: Option<Build>,
}

/// The two files of a scenario.
macro_rules! files {
    ($name:literal, $file:literal) => {
        include_str!(concat!("../../../../../scenarios/", $name, "/", $file))
    };
}

/// An entry: name, title, what it teaches, faults, places, needs, stage.
macro_rules! scenario {
    ($name:literal, $title:literal, $teaches:literal, $faults:expr, $places:expr, $needs:expr, $stage:expr) => {
        Scenario {
            name: $name,
            title: $title,
            teaches: $teaches,
            faults: &$faults,
            experiment: files!($name, "experiment.yaml"),
            readme: files!($name, "README.md"),
            places: &$places,
            needs: $needs,
            stage: $stage,
        }
    };
}

/// All of them.
pub(super) static ALL: [Scenario; 12] = [
    scenario!(
        "service-dependency-failure",
        "Service dependency failure",
        "A call without a timeout turns one silent service into two",
        ["process.pause"],
        ["url", "dependency_port"],
        None,
        Some(stage::silent_ledger)
    ),
    scenario!(
        "connection-pool-exhaustion",
        "Database connection-pool exhaustion",
        "Waiting for a connection needs an end, and pools a sum",
        ["postgres.connections"],
        ["url", "database"],
        Some("PostgreSQL's server programs"),
        Some(stage::few_connections)
    ),
    scenario!(
        "migration-lock",
        "Lock contention during a migration",
        "A change of a table waits for a lock, and all who come after it wait behind it",
        ["postgres.lock"],
        ["url", "database", "table"],
        Some("PostgreSQL's server programs"),
        Some(stage::locked_orders)
    ),
    scenario!(
        "failover",
        "Failover of a database",
        "A replica helps whoever notices that the primary is gone, and looks for the one that takes writes",
        ["postgres.failover"],
        ["url", "database_port"],
        Some("PostgreSQL's server programs"),
        Some(stage::replicated_books)
    ),
    scenario!(
        "memory-leak",
        "Memory leak and OOM kill",
        "The kernel ends what outgrows its limit without a word; who starts it again?",
        ["memory.leak"],
        ["url", "port"],
        Some("root, and control groups for memory"),
        Some(stage::limited_ledger)
    ),
    scenario!(
        "network-partition",
        "Network partition",
        "Where packets vanish nothing fails until a timeout of your own says so",
        ["network.partition"],
        ["url", "dependency_host", "dependency_port"],
        Some("root, and nftables"),
        Some(stage::cut_off_ledger)
    ),
    scenario!(
        "disk-full",
        "Disk full",
        "A log must not be able to end the service that writes it",
        ["disk.fill"],
        ["url", "path"],
        Some("root, for the small disk that it makes"),
        Some(stage::writing_ledger)
    ),
    scenario!(
        "certificate-expiration",
        "Certificate expiration",
        "A certificate ends on a day that was known for a year",
        ["clock.skew"],
        ["url", "port"],
        None,
        None
    ),
    scenario!(
        "dns-failure",
        "DNS failure",
        "Names are a dependency too, and failures of theirs are remembered",
        ["dns.error"],
        ["url", "port", "name"],
        None,
        None
    ),
    scenario!(
        "rate-limiting",
        "Rate limiting and throttling",
        "A refusal that is answered with three more calls keeps the refusals coming",
        ["http.rate_limit"],
        ["url", "proxy"],
        None,
        None
    ),
    scenario!(
        "cascading-failure",
        "Cascading failure",
        "Retries at every tier multiply, and keep a failure alive after its cause is gone",
        ["process.pause"],
        ["url", "last_port"],
        None,
        Some(stage::storm)
    ),
    scenario!(
        "time-drift",
        "Time drift",
        "Nothing fails and everything is wrong: order, validity and locks that rest on clocks",
        ["clock.skew"],
        ["url", "port"],
        None,
        None
    ),
];

impl Scenario {
    /// The faults that this version does not have.
    pub(super) fn waits_for(&self) -> Vec<&'static str> {
        let is_known = |name: &&str| FAULTS.iter().any(|fault| fault.name() == *name);
        self.faults.iter().copied().filter(|name| !is_known(name)).collect()
    }

    pub(super) fn is_runnable(&self) -> bool {
        self.waits_for().is_empty()
    }

    pub(super) fn as_json(&self) -> Json {
        json!({
            "name": self.name, "title": self.title, "teaches": self.teaches, "faults": self.faults,
            "runnable": self.is_runnable(), "waits_for": self.waits_for(), "needs": self.needs,
            "variables": self.places, "has_service": self.stage.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use squall_model::read::Overrides;
    use std::collections::BTreeSet;

    #[test]
    fn scenarios_are_told_apart_and_their_files_are_theirs() {
        let names: BTreeSet<_> = ALL.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), ALL.len());
        for scenario in &ALL {
            assert!(scenario.readme.starts_with(&format!("# {}\n", scenario.title)), "{}", scenario.name);
            assert!(scenario.experiment.contains(&format!("name: {}\n", scenario.name)), "{}", scenario.name);
            for part in [
                "**What it does.**",
                "**What to look for.**",
                "**How to fix it.**",
                "**On your own system.**",
            ] {
                assert!(scenario.readme.contains(part), "{}: {part}", scenario.name);
            }
            for place in scenario.places {
                assert!(scenario.experiment.contains(&format!("${{{place}}}")), "{}: {place}", scenario.name);
            }
            for fault in scenario.faults {
                assert!(
                    scenario.experiment.contains(&format!("- fault: {fault}\n")),
                    "{}: {fault}",
                    scenario.name
                );
            }
        }
    }

    #[test]
    fn an_experiment_whose_faults_are_there_is_valid() {
        let runnable: Vec<_> = ALL.iter().filter(|scenario| scenario.is_runnable()).collect();
        assert!(runnable.len() >= 5);
        for scenario in runnable {
            files::of_text(scenario.name, scenario.experiment.to_owned(), &Overrides::default())
                .unwrap_or_else(|error| panic!("{error}"));
        }
        for scenario in ALL.iter().filter(|scenario| scenario.stage.is_some()) {
            assert!(scenario.is_runnable(), "{} has a service and waits for a fault", scenario.name);
        }
    }
}
