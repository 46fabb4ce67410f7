//! Rounds: each begins once, and those of one name in two namespaces have nothing to do with each other.

use crate::stage::{EXPERIMENT, POD_CHAOS, RUN, SCHEDULE, Stage};
use crate::support::wait_until;
use serde_json::{Value as Json, json};
use squall_kubernetes::Kind;

const MESH_SCHEDULE: Kind = Kind::within("chaos-mesh.org", "v1alpha1", "Schedule", "schedules");

fn suspended() -> Json {
    let mut spec = Stage::scaling("2s");
    spec["suspend"] = json!(true);
    spec
}

#[test]
fn rounds_begin_and_old_ones_are_forgotten() {
    Stage::with("op-rounds", 2, |stage| {
        let _operator = stage.operator("a");
        stage.make(&EXPERIMENT, "less", &suspended());
        let spec = json!({"schedule": "@every 5s", "experiment": "less", "historyLimit": 1});
        stage.make(&SCHEDULE, "often", &spec);
        let is_judged = |object: &Json| object["status"]["verdict"] == "passed";
        let schedule = stage.until(&SCHEDULE, "often", is_judged);
        assert!(schedule["status"]["nextScheduleTime"].is_string(), "{schedule}");
        let first = stage.all(&RUN)[0]["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(first.starts_with("often-"), "{first}");
        wait_until(|| stage.get(&RUN, &first).is_none());
        assert!(stage.all(&RUN).len() <= 3);
        stage.delete(&SCHEDULE, "often");
        wait_until(|| stage.all(&RUN).is_empty());
        assert_eq!(stage.replicas(), 2);
    });
}

#[test]
fn a_schedule_of_chaos_mesh_and_the_form_of_its_first_version_are_kept() {
    Stage::with("op-mesh-rounds", 2, |stage| {
        let _operator = stage.operator("a");
        let kill =
            json!({"action": "pod-kill", "mode": "one", "selector": {"labelSelectors": {"app": "pay"}}});
        let before: Vec<String> = stage.pods().into_iter().map(|pod| pod.uid).collect();
        let mut old = kill.clone();
        old["scheduler"] = json!({"cron": "@every 2h"});
        stage.make(&POD_CHAOS, "old", &old);
        let is_replaced = |stage: &Stage| {
            let now = stage.pods();
            now.iter().any(|pod| !before.contains(&pod.uid))
        };
        wait_until(|| is_replaced(stage));
        let rounds = |kind: &str| {
            let runs = stage.all(&RUN);
            runs.iter().filter(|run| run["spec"]["source"]["kind"] == kind).count()
        };
        assert_eq!(rounds("PodChaos"), 1);
        let spec = json!({"schedule": "@every 3s", "type": "PodChaos", "podChaos": kill, "historyLimit": 2,
            "concurrencyPolicy": "Allow"});
        stage.make(&MESH_SCHEDULE, "often", &spec);
        wait_until(|| rounds("Schedule") >= 2);
        assert_eq!(rounds("PodChaos"), 1);
    });
}
