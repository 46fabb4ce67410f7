//! In place of AWS, in a build without it.

use super::provider::{Course, GroupSize, Phase, Provider, Seen, Trouble, TroubleKind};
use squall_model::cloud::{
    CloudPlace, InstanceChange, InstanceFacts, InstanceRef, InstanceSelector, TemplateFacts, TemplateRef,
    TemplateSelector,
};
use std::collections::BTreeMap;

/// Does nothing, and says why.
pub(super) struct Lacking;

fn lacking<T>() -> Result<T, Trouble> {
    let message =
        "this squall was built without AWS (`--no-default-features`); build it with `--features aws`";
    Err(Trouble { kind: TroubleKind::Lacking, message: message.to_owned() })
}

impl Provider for Lacking {
    fn instances(&mut self, _: &InstanceSelector) -> Result<Vec<InstanceFacts>, Trouble> {
        lacking()
    }
    fn look(&mut self, _: &[&InstanceRef]) -> Result<BTreeMap<String, Seen>, Trouble> {
        lacking()
    }
    fn change(&mut self, _: &InstanceRef, _: &InstanceChange) -> Result<(), Trouble> {
        lacking()
    }
    fn start(&mut self, _: &InstanceRef) -> Result<Phase, Trouble> {
        lacking()
    }
    fn group(&mut self, _: &CloudPlace, _: &str) -> Result<Option<GroupSize>, Trouble> {
        lacking()
    }
    fn template(&mut self, _: &TemplateSelector) -> Result<Option<TemplateFacts>, Trouble> {
        lacking()
    }
    fn begin(&mut self, _: &TemplateRef, _: &str) -> Result<(), Trouble> {
        lacking()
    }
    fn experiments(&mut self, _: &TemplateRef, _: &str) -> Result<Vec<Course>, Trouble> {
        lacking()
    }
    fn end(&mut self, _: &TemplateRef, _: &str) -> Result<(), Trouble> {
        lacking()
    }
}
