//! What a cloud does for us. Whoever adds one implements this.

use squall_model::cloud::{
    CloudPlace, InstanceChange, InstanceFacts, InstanceRef, InstanceSelector, TemplateFacts, TemplateRef,
    TemplateSelector,
};
use std::collections::BTreeMap;
use std::fmt;

/// A cloud. Each call answers within a few seconds; nothing waits until something is done.
pub(crate) trait Provider {
    /// Running instances that fit; those without the opt-in tag are protected.
    fn instances(&mut self, selector: &InstanceSelector) -> Result<Vec<InstanceFacts>, Trouble>;

    /// How instances of one place stand, by their numbers, all in one question. What is not there is left out.
    fn look(&mut self, instances: &[&InstanceRef]) -> Result<BTreeMap<String, Seen>, Trouble>;

    /// Asks for a change.
    fn change(&mut self, instance: &InstanceRef, change: &InstanceChange) -> Result<(), Trouble>;

    /// Starts an instance, and says in which phase it was before, as the cloud's own books have it. Of kind `State` while
    /// it cannot be started.
    fn start(&mut self, instance: &InstanceRef) -> Result<Phase, Trouble>;

    /// How many instances a group has and should have; none where there is no such group.
    fn group(&mut self, place: &CloudPlace, name: &str) -> Result<Option<GroupSize>, Trouble>;

    /// A template of the cloud's own experiments; none where there is no such.
    fn template(&mut self, selector: &TemplateSelector) -> Result<Option<TemplateFacts>, Trouble>;

    /// Starts an experiment that carries a mark. To start it twice starts one.
    fn begin(&mut self, template: &TemplateRef, mark: &str) -> Result<(), Trouble>;

    /// The experiments of a template that carry a mark.
    fn experiments(&mut self, template: &TemplateRef, mark: &str) -> Result<Vec<Course>, Trouble>;

    /// Ends an experiment by its number.
    fn end(&mut self, template: &TemplateRef, experiment: &str) -> Result<(), Trouble>;
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "a build without clouds makes none"))]
pub(crate) enum Phase {
    Starting,
    Running,
    Stopping,
    Stopped,
    Ending,
    /// It is not there, or only its name is.
    #[default]
    Gone,
}

impl Phase {
    /// Whether it does no work, or is about to do none.
    pub(crate) fn is_down(self) -> bool {
        matches!(self, Self::Stopping | Self::Stopped)
    }

    /// Whether nothing brings it back.
    pub(crate) fn is_gone(self) -> bool {
        matches!(self, Self::Ending | Self::Gone)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Ending => "being terminated",
            Self::Gone => "terminated",
        })
    }
}

/// An instance as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    pub(crate) phase: Phase,
    pub(crate) tags: BTreeMap<String, String>,
}

/// A group as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupSize {
    pub(crate) in_service: usize,
    pub(crate) desired: usize,
}

/// An experiment as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Course {
    pub(crate) id: String,
    /// What the cloud calls its state.
    pub(crate) state: String,
    /// Why, as the cloud says it.
    pub(crate) reason: String,
    /// Whether it struck, or strikes.
    pub(crate) struck: bool,
    /// Whether nothing of it is active any more.
    pub(crate) is_over: bool,
}

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "a build without clouds makes none"))]
pub(crate) enum TroubleKind {
    /// The request makes no sense.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// Not in the state that it is in.
    State,
    /// Credentials are missing, or do not allow it.
    Forbidden,
    /// This build has no hands for that cloud.
    #[cfg_attr(feature = "aws", expect(dead_code, reason = "of builds without a cloud"))]
    Lacking,
    /// No answer: nothing is known.
    Unknown,
}

/// Why a cloud did not do it. The words hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) kind: TroubleKind,
    pub(crate) message: String,
}
