//! Plans and whole runs.

use crate::lab::{Lab, asked};
use squall_aws::State;

#[test]
fn a_plan_lists_exactly_what_would_go_and_touches_nothing() {
    let Some(lab) = Lab::open() else { return };
    let ids = lab.launch(2);
    lab.experiment("{fault: aws.ec2_terminate, target: {instances: {tag: app=shop}}, mode: all}");
    let told = lab.squall(&["plan", "shop.yaml"]);
    told.is(
        0,
        &["terminate instance", "is spared", "no tag squall=allowed", "account 123456789012", "app=shop"],
    );
    for id in &ids {
        assert!(told.all.contains(&format!("terminate instance {id} in eu-west-1a for good")));
    }
    assert_eq!(lab.count(State::Running), 3);
    // Nothing is assumed, and nobody who has not opted in is struck.
    lab.experiment("{fault: aws.ec2_terminate, target: {instances: {tag: app=shop}}}");
    lab.squall(&["plan", "shop.yaml"]).is(2, &["how many of these instances?", "mode: one"]);
    lab.experiment(
        "{fault: aws.ec2_stop, target: {instances: {tag: app=shop, opt_in: team=yes}}, mode: one}",
    );
    lab.squall(&["plan", "shop.yaml"]).is(2, &["is protected", "it has no tag team=yes"]);
    lab.experiment("{fault: aws.ec2_stop, target: {instances: {tag: app=none}}, mode: one}");
    lab.squall(&["plan", "shop.yaml"])
        .is(2, &["nothing in the cloud that runs matches instances tag app=none"]);
    lab.experiment("{fault: aws.asg_terminate, target: {instances: {tag: app=shop}}, mode: one}");
    lab.squall(&["plan", "shop.yaml"]).is(2, &["is in no Auto Scaling group"]);
    let mut bare = lab.command(&["plan", "shop.yaml"]);
    bare.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_REGION", "eu-west-1");
    bare.env("HOME", lab.path("home")).env("SQUALL_STATE", lab.path("state"));
    crate::lab::Told::of(&bare.output().unwrap()).is(2, &["no credentials for AWS", "AWS_PROFILE"]);
}

#[test]
fn an_instance_is_stopped_and_started_again() {
    let Some(lab) = Lab::open() else { return };
    lab.launch(3);
    lab.experiment(
        "{fault: aws.ec2_stop, target: {instances: {tag: app=shop}}, mode: fixed, value: 2, for: 2s}",
    );
    let told = lab.squall(&["run", "shop.yaml", "--yes"]);
    told.is(0, &["is stopped", "2 of 2 injections put back", "it runs"]);
    assert_eq!((lab.count(State::Running), lab.count(State::Stopped)), (4, 0));
    // More than may be struck is not struck at all.
    lab.experiment("{fault: aws.ec2_stop, target: {instances: {tag: app=shop}}, mode: all, for: 2s}\nblast_radius: {targets: 1}");
    lab.squall(&["run", "shop.yaml", "--yes"]).is(2, &["the blast radius allows 1"]);
    assert_eq!(lab.count(State::Running), 4);
}

#[test]
fn a_group_replaces_what_is_terminated_and_that_is_seen() {
    let Some(lab) = Lab::open() else { return };
    asked(lab.moto.group(&lab.aws, "shop-v001", 4, &[("app", "shop"), ("squall", "allowed")]));
    lab.experiment("{fault: aws.ec2_stop, target: {instances: {group: shop-v001}}, mode: one}");
    lab.squall(&["plan", "shop.yaml"])
        .is(2, &["its group shop-v001 takes a stopped instance for a dead one"]);
    lab.experiment(
        "{fault: aws.asg_terminate, target: {instances: {group: shop-v001}}, mode: fixed-percent, value: 50, for: 2s}",
    );
    let told = lab.squall(&["run", "shop.yaml", "--yes"]);
    told.is(0, &["is terminated; ", "in service in group shop-v001", "its group shop-v001 launches another"]);
    assert_eq!(lab.count(State::Terminated), 2);
}

#[test]
fn an_instance_is_rebooted() {
    let Some(lab) = Lab::open() else { return };
    let ids = lab.launch(1);
    lab.experiment(&format!("{{fault: aws.ec2_reboot, target: {{instances: {{id: {}}}}}, for: 1s}}", ids[0]));
    lab.squall(&["run", "shop.yaml", "--yes"]).is(0, &["the reboot of", "was accepted"]);
}

#[test]
fn an_experiment_of_aws_is_started_watched_and_stopped() {
    let Some(lab) = Lab::open() else { return };
    lab.launch(1);
    let allowed = asked(lab.moto.template(&lab.aws, &[("squall", "allowed")]));
    let other = asked(lab.moto.template(&lab.aws, &[]));
    lab.experiment(&format!("{{fault: aws.fis, target: {{template: {{id: {other}}}}}, for: 2s}}"));
    lab.squall(&["plan", "shop.yaml"]).is(2, &["it has no tag squall=allowed"]);
    lab.experiment("{fault: aws.fis, target: {template: {id: EXT000}}, for: 2s}");
    lab.squall(&["plan", "shop.yaml"]).is(2, &["nothing in the cloud that runs matches template EXT000"]);
    lab.experiment(&format!("{{fault: aws.fis, target: {{template: {{id: {allowed}}}}}, for: 2s}}"));
    lab.squall(&["plan", "shop.yaml"]).is(0, &["aws:ec2:stop-instances", "COUNT(1)", "no stop condition"]);
    lab.squall(&["run", "shop.yaml", "--yes"]).is(0, &["injected, experiment ", "1 of 1 injection put back"]);
}
