//! `aws.fis`: an experiment of AWS's Fault Injection Service, under Squall's steady state, guard and report.

use super::Nothing;
use squall_model::cloud::{Cloud, TemplateFacts, TemplateStep};
use squall_model::facts::{Facts, Feature, Privilege, Scope, Subject};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Fis;

fn template(facts: &Facts) -> Result<&TemplateFacts, PlanError> {
    match &facts.subject {
        Subject::Template(facts) if facts.template.place.cloud == Cloud::Aws => Ok(facts),
        _ => Err(PlanError::Parameters("this fault takes a template of AWS".to_owned())),
    }
}

impl Fault for Fis {
    const NAME: &'static str = "aws.fis";
    const SUMMARY: &'static str = "Has AWS's Fault Injection Service carry out an experiment, and stops it";
    const EXAMPLE: &'static str = "\
- fault: aws.fis
  target: {template: {id: EXT6oWVA1WrLNy4XS}}
  for: 10m
";
    const SCOPE: Scope = Scope::Template;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Nothing;

    fn plan(_: &Nothing, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let TemplateFacts { template, opt_in, .. } = template(facts)?;
        let (template, opt_in, mark) = (template.clone(), opt_in.clone(), facts.injection.clone());
        Ok(vec![Step::Template(TemplateStep { template, opt_in, mark })])
    }

    fn notes(_: &Nothing, facts: &Facts) -> Vec<String> {
        let Ok(facts) = template(facts) else { return Vec::new() };
        let TemplateFacts { template, description, does, strikes, ended_by, .. } = facts;
        let mut notes = vec![
            format!("{template} ({description}) does {} to {}", does.join(", "), strikes.join(", ")),
            "what it strikes is chosen by AWS when it starts, and what it puts back when it is stopped is up to its actions; \
             the blast radius counts the template as one target"
                .to_owned(),
        ];
        if ended_by.is_empty() {
            notes.push(format!("{template} has no stop condition: nothing but Squall ends it early"));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{facts, plan};
    use squall_model::cloud::{CloudPlace, Tag, TemplateRef};
    use squall_model::target::Target;

    #[test]
    fn an_experiment_is_started_under_the_injections_name() {
        let place = CloudPlace { region: Some("eu-west-1".into()), ..CloudPlace::default() };
        let subject = Subject::Template(TemplateFacts {
            template: TemplateRef { place, id: "EXT1".into() },
            description: "One of the shop".into(),
            does: vec!["aws:ec2:stop-instances".into()],
            strikes: vec!["COUNT(1) of aws:ec2:instance with app=shop".into()],
            ended_by: Vec::new(),
            opt_in: Tag::opt_in(),
            protected: None,
        });
        let target = Target::Template(Box::new(serde_json::from_str(r#"{"id": "EXT1"}"#).unwrap()));
        let facts = facts(target, subject);
        let steps = plan::<Fis>("{}", &facts).unwrap();
        assert_eq!(steps[0].to_string(), "start an experiment from template EXT1 in eu-west-1");
        assert!(matches!(&steps[0], Step::Template(step) if step.mark == "run-1"));
        let notes = Fis::notes(&Nothing {}, &facts).join("\n");
        assert!(
            notes.contains("stop-instances to COUNT(1) of aws:ec2:instance")
                && notes.contains("no stop condition")
        );
    }
}
