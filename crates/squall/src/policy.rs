//! What the settings allow where: the judge of `practice`, joined to settings, the history and a look at what there is.

use crate::audit;
use crate::carry::{self, AgentOptions};
use crate::exit::Failure;
use crate::manual;
use crate::registry::FAULTS;
use crate::settings::{Found, SettingsOptions};
use crate::state::State;
use jiff::Timestamp;
use squall_history::History;
use squall_model::experiment::Experiment;
use squall_model::read::{self, ReadError, Source};
use squall_model::redaction::Redactor;
use squall_model::target::Target;
use squall_practice::policy::{self, Denial, Policy, Record, Request};
use std::path::{Path, PathBuf};

/// The rules of a settings file.
pub(crate) struct Rules {
    source: Source,
    policy: Policy,
    state: State,
}

/// How and when an experiment is to be carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances<'c> {
    /// Where; nowhere in particular where it is not said.
    pub(crate) environment: Option<&'c str>,
    pub(crate) at: Timestamp,
    /// Whether a person will be asked, or has said yes.
    pub(crate) approved: bool,
    /// With which of the targets, and by whom they are looked at.
    pub(crate) seed: u64,
    pub(crate) agent: &'c AgentOptions,
}

/// What the settings protect, for what is carried out in no environment.
///
/// # Errors
/// The settings are wrong.
pub(crate) fn spared(
    settings: &SettingsOptions,
    files: &[PathBuf],
    state: &State,
) -> Result<Vec<Target>, Failure> {
    Ok(Rules::find(settings, files, state)?.map(|rules| rules.policy.protected).unwrap_or_default())
}

/// Why no fault has this parameter: `delay`, `network.bandwidth.rate`.
fn unknown_parameter(name: &str) -> Option<String> {
    let mut known: Vec<String> = Vec::new();
    for fault in FAULTS {
        let schema = fault.schema();
        let parameters = schema.get("properties").and_then(|properties| properties.as_object());
        for parameter in parameters.into_iter().flat_map(|parameters| parameters.keys()) {
            known.extend([parameter.clone(), format!("{}.{parameter}", fault.name())]);
        }
    }
    let near = || manual::nearest(name, known.iter().map(String::as_str));
    (!known.iter().any(|known| known == name)).then(|| format!("no fault has a parameter {name:?}{}", near()))
}

/// Who has said yes: somebody with a name.
pub(crate) fn approver(name: &str) -> Result<String, String> {
    let name = name.trim();
    if name.is_empty() { Err("say who has said yes".to_owned()) } else { Ok(name.to_owned()) }
}

impl Rules {
    /// Notes in the audit log that an experiment was not let pass.
    pub(crate) fn note_denied(&self, experiment: &Experiment, environment: Option<&str>, denial: &Failure) {
        let why = denial.to_string();
        let reasons = why.lines().filter(|line| line.starts_with("error: ")).collect::<Vec<_>>().join("; ");
        let details = [("environment", environment.unwrap_or_default()), ("why", &reasons)];
        audit::note(&self.state, "denied", &experiment.name, &details);
    }

    /// The rules for these files; none where no settings have any.
    ///
    /// # Errors
    /// They are wrong.
    pub(crate) fn find(
        settings: &SettingsOptions,
        files: &[PathBuf],
        state: &State,
    ) -> Result<Option<Self>, Failure> {
        settings.find(files, state)?.map_or(Ok(None), |found| Self::of(found, state))
    }

    /// The rules of settings; none where they have none.
    ///
    /// # Errors
    /// They are wrong.
    pub(crate) fn of(found: Found, state: &State) -> Result<Option<Self>, Failure> {
        let (environments, protected) =
            (found.settings.environments.as_ref(), found.settings.protected.as_ref());
        if environments.is_none() && protected.is_none() {
            return Ok(None);
        }
        let policy = policy::read(environments, protected, &unknown_parameter)
            .map_err(|error| found.wrong(&[error]))?;
        let Found { source, .. } = found;
        Ok(Some(Self { source, policy, state: state.clone() }))
    }

    /// Whether a person must say yes.
    pub(crate) fn need_approval(&self, environment: Option<&str>) -> bool {
        let rules = environment.and_then(|name| self.policy.environments.get(name));
        rules.is_some_and(|rules| rules.approval.is_some())
    }

    /// What to say of an experiment that may pass: where no environment has rules, none is known by its name either.
    pub(crate) fn verdict_of_allowed(&self, environment: &str) -> String {
        if self.policy.environments.is_empty() {
            format!(
                "strikes nothing that is protected; no environment has rules in {}, {environment} as little as any",
                self.source.name
            )
        } else {
            format!("is allowed in {environment}")
        }
    }

    /// Lets an experiment pass, narrowed to what is allowed; or says what denies it. Touches nothing.
    pub(crate) fn admit(
        &self,
        file: &Path,
        experiment: &mut Experiment,
        circumstances: Circumstances<'_>,
    ) -> Result<(), Failure> {
        self.judge(file, experiment, circumstances)?;
        self.constrain(circumstances.environment, experiment);
        Ok(())
    }

    /// Says what denies an experiment.
    fn judge(
        &self,
        file: &Path,
        experiment: &Experiment,
        circumstances: Circumstances<'_>,
    ) -> Result<(), Failure> {
        self.judge_again(file, experiment, circumstances)?;
        match self.look(experiment, circumstances) {
            None => Ok(()),
            Some(denial) => Err(self.denied(file, circumstances.environment, experiment, &[denial])),
        }
    }

    /// Says what denies an experiment without a look at its targets: what may have changed since it was let pass, such as the
    /// hour.
    pub(crate) fn judge_again(
        &self,
        file: &Path,
        experiment: &Experiment,
        circumstances: Circumstances<'_>,
    ) -> Result<(), Failure> {
        let Circumstances { at, approved, .. } = circumstances;
        // Settings that only protect know no environments; there it is a name as any.
        let environment = circumstances.environment.filter(|_| !self.policy.environments.is_empty());
        let Some(environment) = environment else { return Ok(()) };
        let request = Request { experiment, environment, at, record: self, approved };
        let denials = policy::judge(&self.policy, &request)
            .map_err(|why| Failure::invalid(format!("{why} ({})", self.source.name)))?;
        if denials.is_empty() {
            return Ok(());
        }
        Err(self.denied(file, Some(environment), experiment, &denials))
    }

    /// What only a look at the targets tells: how many there are, and whether one of them is protected. Where the
    /// experiment could not be planned without the rules either, they deny nothing; the run says what is wrong.
    fn look(&self, experiment: &Experiment, circumstances: Circumstances<'_>) -> Option<Denial> {
        let planned = |experiment: &Experiment| {
            let redactor = Redactor::new(&experiment.secrets);
            carry::plan(experiment, circumstances.seed, circumstances.agent, &redactor)
        };
        let mut narrowed = experiment.clone();
        self.constrain(circumstances.environment, &mut narrowed);
        let refused = planned(&narrowed).err()?;
        planned(experiment).ok()?;
        let mut unprotected = narrowed;
        unprotected.blast_radius.spared.clear();
        match (planned(&unprotected), circumstances.environment) {
            (Err(refused), Some(environment)) => {
                policy::judge_targets(&self.policy, environment, &refused.to_string())
            }
            _ => policy::judge_protected(&self.policy, &refused.to_string()),
        }
    }

    fn constrain(&self, environment: Option<&str>, experiment: &mut Experiment) {
        policy::constrain(&self.policy, environment.unwrap_or_default(), experiment);
    }

    /// The denials, each at its rule.
    fn denied(
        &self,
        file: &Path,
        environment: Option<&str>,
        experiment: &Experiment,
        denials: &[Denial],
    ) -> Failure {
        let redactor = Redactor::new(&experiment.secrets);
        let errors: Vec<ReadError> = denials
            .iter()
            .map(|denial| {
                ReadError::at(denial.place, redactor.text(&denial.why))
                    .label(denial.rule.clone())
                    .help(format!("allowed is {}", denial.allowed))
            })
            .collect();
        let rendered = read::render(&self.source, &errors, false);
        let place = environment.map_or_else(String::new, |name| format!(" in {name}"));
        let line = read::line_of(&self.source.text, denials.first().map_or(0, |denial| denial.place.start));
        Failure::invalid(format!(
            "{} ({}) is denied{place}; nothing was touched\n{}",
            experiment.name,
            file.display(),
            rendered.trim_end()
        ))
        .at(self.source.name.clone(), line)
    }
}

impl Record for Rules {
    fn last_passed(
        &self,
        experiment: &Experiment,
        environment: &str,
        alike: bool,
    ) -> Result<Option<(String, Timestamp)>, String> {
        let file = self.state.history_file();
        if !file.exists() {
            return Ok(None);
        }
        // As it is: a run mends no history.
        History::open(&file)
            .and_then(|history| {
                let fingerprint = alike.then(|| squall_history::fingerprint(experiment));
                history.last_passed(&experiment.name, environment, fingerprint.as_deref())
            })
            .map_err(|error| error.to_string())
    }
}
