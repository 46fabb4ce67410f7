//! The monkey at Auto Scaling groups, at a planned minute of a clock that is set to it.

use crate::lab::{Lab, asked};
use jiff::{SignedDuration, Timestamp};
use squall_aws::State;

const FILE: &str = "apiVersion: squall.dev/v1\nkind: Monkey\nname: cloud\nleashed: false\nseed: 5\n\
    schedule: {cron: '0 * 9-14 * * MON-FRI', time_zone: Europe/Berlin}\n\
    inventory: [{auto_scaling: {groups: '*-prod-*'}}]\nkill: {mean_days: 1}\noutage: {watch: 1s}\n";
/// Monday.
const DAY: &str = "2026-11-30";

#[test]
fn one_instance_of_a_group_that_opted_in_is_replaced() {
    let Some(lab) = Lab::open() else { return };
    asked(lab.moto.group(&lab.aws, "shop-prod-v001", 3, &[("app", "shop"), ("squall.monkey", "enabled")]));
    asked(lab.moto.group(&lab.aws, "ledger-prod-v001", 2, &[("app", "shop")]));
    std::fs::write(lab.path("monkey.yaml"), FILE).unwrap();
    lab.squall(&["monkey", "explain", "--config", "monkey.yaml"]).is(0, &["shop-prod", "has not opted in"]);
    let words = ["monkey", "plan", "--config", "monkey.yaml", "--from", DAY, "--days", "1", "--json"];
    let plan = lab.command(&words).output().unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    let choice = &plan["days"][0]["choices"][0];
    assert_eq!(
        (choice["group"]["app"].as_str(), choice["group"]["region"].as_str()),
        (Some("shop"), Some("eu-west-1"))
    );
    let at: Timestamp = choice["at"].as_str().unwrap().parse().unwrap();
    let time = |seconds| (at + SignedDuration::from_secs(seconds)).to_string();
    let (now, until) = (time(-3), time(20));
    let told = lab.squall(&["monkey", "run", "--config", "monkey.yaml", "--now", &now, "--until", &until]);
    told.is(0, &["is ended now, one of 3 instances", "in service in group shop-prod-v001", "was ended"]);
    assert_eq!((lab.count(State::Terminated), lab.count(State::Running)), (1, 5), "{}", told.all);
}
