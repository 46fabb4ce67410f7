//! AWS: EC2, Auto Scaling and the Fault Injection Service.

use super::provider::{Course, GroupSize, Phase, Provider, Seen, Trouble, TroubleKind};
use squall_aws::{Aws as Client, AwsError, Filter, Instance, Place, Problem, State, Template, wait};
use squall_model::cloud::{
    CloudPlace, InstanceChange, InstanceFacts, InstanceRef, InstanceSelector, MARK_TAG, TemplateFacts,
    TemplateRef, TemplateSelector,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a call may take with all its tries: less than the warden waits for a sign of life.
const CALLS: Duration = Duration::from_secs(4);
/// The same for the first, which gets credentials too, perhaps from a program or over single sign-on.
const FIRST: Duration = Duration::from_secs(15);
/// The same for a look, of which an undo makes two beside its call.
const LOOKS: Duration = Duration::from_millis(1500);

/// AWS, with a client for each place.
#[derive(Default)]
pub(super) struct Aws {
    clients: BTreeMap<CloudPlace, Client>,
}

impl Aws {
    /// Settings are read, and credentials kept, once a place and process.
    fn client(&mut self, place: &CloudPlace) -> Result<Client, Trouble> {
        if let Some(client) = self.clients.get(place) {
            return Ok(client.hurried(CALLS));
        }
        let CloudPlace { region, profile, endpoint, .. } = place.clone();
        let client = wait(Client::open(&Place { region, endpoint, profile }, FIRST))?;
        self.clients.insert(place.clone(), client.clone());
        Ok(client)
    }

    /// The same place with the region that the settings gave it.
    fn placed(place: CloudPlace, client: &Client) -> CloudPlace {
        CloudPlace { region: Some(client.region().to_owned()), ..place }
    }
}

impl From<AwsError> for Trouble {
    fn from(error: AwsError) -> Self {
        let kind = match error.problem {
            Problem::Invalid => TroubleKind::Invalid,
            Problem::NotFound => TroubleKind::NotFound,
            Problem::State => TroubleKind::State,
            Problem::Forbidden => TroubleKind::Forbidden,
            Problem::Unknown => TroubleKind::Unknown,
        };
        Self { kind, message: error.to_string() }
    }
}

fn phase(state: State) -> Phase {
    match state {
        State::Pending => Phase::Starting,
        State::Running => Phase::Running,
        State::Stopping => Phase::Stopping,
        State::Stopped => Phase::Stopped,
        State::ShuttingDown => Phase::Ending,
        State::Terminated => Phase::Gone,
    }
}

impl Provider for Aws {
    fn instances(&mut self, selector: &InstanceSelector) -> Result<Vec<InstanceFacts>, Trouble> {
        let client = self.client(&selector.place())?;
        let place = Self::placed(selector.place(), &client);
        let mut filters = vec![Filter::State(vec![State::Running])];
        filters.extend(selector.id.clone().map(|id| Filter::Id(vec![id])));
        filters.extend(selector.tag.clone().map(|tag| Filter::Tag(tag.name, tag.value)));
        filters.extend(selector.group.clone().map(Filter::Group));
        filters.extend(selector.zone.clone().map(Filter::Zone));
        let found = wait(client.instances(&filters))?;
        Ok(found.into_iter().map(|instance| facts(instance, &place, selector)).collect())
    }

    fn look(&mut self, instances: &[&InstanceRef]) -> Result<BTreeMap<String, Seen>, Trouble> {
        let Some(first) = instances.first() else { return Ok(BTreeMap::new()) };
        let client = self.client(&first.place)?.hurried(LOOKS);
        let ids = instances.iter().map(|instance| instance.id.clone()).collect();
        let found = wait(client.instances(&[Filter::Id(ids)]))?;
        let seen =
            |instance: Instance| (instance.id, Seen { phase: phase(instance.state), tags: instance.tags });
        Ok(found.into_iter().map(seen).collect())
    }

    fn change(&mut self, instance: &InstanceRef, change: &InstanceChange) -> Result<(), Trouble> {
        let client = self.client(&instance.place)?;
        let ids = [instance.id.clone()];
        Ok(wait(async {
            match change {
                InstanceChange::Stop { force } => client.stop(&ids, *force).await.map(drop),
                InstanceChange::Reboot => client.reboot(&ids).await,
                InstanceChange::Terminate => client.terminate(&ids).await.map(drop),
                InstanceChange::Replace { .. } => client.terminate_in_group(&instance.id).await,
            }
        })?)
    }

    fn start(&mut self, instance: &InstanceRef) -> Result<Phase, Trouble> {
        let client = self.client(&instance.place)?;
        let changes = wait(client.start(std::slice::from_ref(&instance.id)))?;
        let message = || format!("start {instance}: the answer does not name it");
        let change = changes.iter().find(|change| change.id == instance.id);
        change
            .map(|change| phase(change.before))
            .ok_or_else(|| Trouble { kind: TroubleKind::Unknown, message: message() })
    }

    fn group(&mut self, place: &CloudPlace, name: &str) -> Result<Option<GroupSize>, Trouble> {
        let client = self.client(place)?.hurried(LOOKS);
        let found = wait(client.groups(&[name.to_owned()]))?;
        let size = |group: &squall_aws::Group| GroupSize {
            in_service: group.in_service(),
            desired: group.desired as usize,
        };
        Ok(found.first().map(size))
    }

    fn template(&mut self, selector: &TemplateSelector) -> Result<Option<TemplateFacts>, Trouble> {
        let client = self.client(&selector.place())?;
        let place = Self::placed(selector.place(), &client);
        match wait(client.template(&selector.id)) {
            Ok(template) => Ok(Some(template_facts(template, place, selector))),
            Err(error) if error.problem == Problem::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn begin(&mut self, template: &TemplateRef, mark: &str) -> Result<(), Trouble> {
        let client = self.client(&template.place)?;
        Ok(wait(client.start_experiment(&template.id, MARK_TAG, mark)).map(drop)?)
    }

    fn experiments(&mut self, template: &TemplateRef, mark: &str) -> Result<Vec<Course>, Trouble> {
        let client = self.client(&template.place)?.hurried(LOOKS);
        // A list tells which there are, and each by itself how it stands.
        let found = wait(async {
            let mut found = Vec::new();
            for listed in client.experiments(&template.id, MARK_TAG, mark).await? {
                found.push(client.experiment(&listed.id).await?);
            }
            Ok(found)
        })?;
        let course = |experiment: squall_aws::Experiment| Course {
            is_over: experiment.is_over(),
            struck: ["running", "stopping", "completed"].contains(&experiment.state.status.as_str()),
            id: experiment.id,
            state: experiment.state.status,
            reason: experiment.state.reason,
        };
        Ok(found.into_iter().map(course).collect())
    }

    fn end(&mut self, template: &TemplateRef, experiment: &str) -> Result<(), Trouble> {
        let client = self.client(&template.place)?;
        Ok(wait(client.stop_experiment(experiment)).map(drop)?)
    }
}

fn facts(instance: Instance, place: &CloudPlace, selector: &InstanceSelector) -> InstanceFacts {
    let group = instance.group().map(str::to_owned);
    let unstoppable = match &group {
        _ if instance.is_ephemeral => {
            Some("its root volume would be lost: it is an instance store".to_owned())
        }
        _ if instance.is_spot => {
            Some("it is a spot instance, which AWS does not promise to start again".to_owned())
        }
        Some(group) => Some(format!(
            "its group {group} takes a stopped instance for a dead one and terminates it; use aws.asg_terminate"
        )),
        None => None,
    };
    let opt_in = selector.opt_in.clone();
    let protected = (!opt_in.is_in(&instance.tags)).then(|| {
        format!("its owners have not opted in: it has no tag {opt_in} (`opt_in: NAME=VALUE` in the target names another)")
    });
    InstanceFacts {
        instance: InstanceRef {
            place: place.clone(),
            name: instance.name().map(str::to_owned),
            id: instance.id,
            zone: instance.zone,
            account: instance.account,
        },
        group,
        kind: instance.kind,
        tags: instance.tags,
        unstoppable,
        opt_in,
        protected,
    }
}

fn template_facts(template: Template, place: CloudPlace, selector: &TemplateSelector) -> TemplateFacts {
    let opt_in = selector.opt_in.clone();
    let protected = (!opt_in.is_in(&template.tags)).then(|| {
        format!("its owners have not opted in: it has no tag {opt_in} (`opt_in: NAME=VALUE` in the target names another)")
    });
    let listed = |pairs: &BTreeMap<String, String>| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
    };
    let does = template.actions.values().map(|action| match listed(&action.parameters) {
        none if none.is_empty() => action.action_id.clone(),
        some => format!("{} ({some})", action.action_id),
    });
    let strikes = template.targets.values().map(|target| {
        let which = if target.resource_arns.is_empty() {
            format!("with {}", listed(&target.resource_tags))
        } else {
            target.resource_arns.join(", ")
        };
        format!("{} of {} {which}", target.selection_mode, target.resource_type)
    });
    let ended_by = template.stop_conditions.iter().filter(|condition| condition.source != "none");
    TemplateFacts {
        template: TemplateRef { place, id: template.id },
        does: does.collect(),
        strikes: strikes.collect(),
        ended_by: ended_by.map(|condition| condition.value.clone()).collect(),
        description: template.description,
        opt_in,
        protected,
    }
}
