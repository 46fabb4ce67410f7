//! `AWSChaos`: instances of EC2 that are stopped or restarted.

use super::super::ReadError;
use super::super::fields::Fields;
use super::form::Translator;
use super::make::{self, entry};
use super::{Chaos, Kind, Strike};

/// See the module.
pub(super) const KIND: Kind = Kind { name: "AWSChaos", embedded: "awsChaos", read };

const ACTIONS: [&str; 3] = ["ec2-stop", "ec2-restart", "detach-volume"];

fn read(translator: &mut Translator<'_>, fields: &mut Fields<'_>) -> Option<Chaos> {
    let action = translator
        .required(fields, "action", "ec2-stop or ec2-restart")
        .and_then(|node| Some((translator.word(node, "action", &ACTIONS)?, node.place)));
    let instance = translator.required(fields, "ec2Instance", "which instance").and_then(|node| {
        translator.text(node)?;
        Some(node.clone())
    });
    let region = translator.required(fields, "awsRegion", "the region of the instance").and_then(|node| {
        translator.text(node)?;
        Some(node.clone())
    });
    let endpoint = translator.optional_text(fields, "endpoint");
    if translator.optional_text(fields, "secretName").is_some() {
        translator.note("`secretName` is not read: credentials are those of AWS's usual places (AWS_PROFILE, the machine's role)");
    }
    for name in ["volumeID", "deviceName"] {
        translator.optional_text(fields, name);
    }
    if let Some(("detach-volume", place)) = action {
        let message =
            "`detach-volume`: Squall cannot yet take a volume from an instance and give it back for certain";
        let error = ReadError::at(place, message).label("cannot be honoured");
        translator.error(
            error.help(
                "to see what its loss does, use IOChaos (`errno: 5`), or stop the instance (`ec2-stop`)",
            ),
        );
        return None;
    }
    translator.pass_over(fields, &["volumeID", "deviceName"], "this action");
    translator.note("only an instance whose owners allow it by the tag `squall=allowed` is struck");
    let ((action, place), (instance, region)) = action.zip(instance.zip(region))?;
    let target_place = instance.place;
    let mut selector = vec![entry("id", instance), entry("region", region)];
    selector.extend(endpoint.map(|endpoint| entry("endpoint", endpoint)));
    let target = make::map(vec![entry("instances", make::map(selector, target_place))], target_place);
    let is_stop = action == "ec2-stop";
    let fault = if is_stop { "aws.ec2_stop" } else { "aws.ec2_reboot" };
    Some(Chaos {
        strikes: vec![Strike { fault, place, target, with: Vec::new() }],
        once: !is_stop,
        lasts: None,
    })
}
