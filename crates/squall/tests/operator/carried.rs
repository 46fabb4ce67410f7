//! What is carried out, and what is refused.

use crate::stage::{EXPERIMENT, POD_CHAOS, RUN, Stage, holds};
use crate::support::wait_until;
use serde_json::{Value as Json, json};
use squall_kubernetes::{Kind, Operation, wait};

#[test]
fn an_experiment_is_carried_out_once_and_again_when_it_changes() {
    Stage::with("op-once", 2, |stage| {
        let _operator = stage.operator("a");
        stage.make(&EXPERIMENT, "less", &Stage::scaling("4s"));
        wait_until(|| stage.replicas() == 1);
        let run = stage.until(&RUN, "less-1", |run| run["status"]["phase"] == "Running");
        assert!(run["metadata"]["finalizers"].as_array().unwrap().contains(&json!("squall.dev/restored")));
        let run = stage.until(&RUN, "less-1", |run| run["status"]["phase"] == "Finished");
        assert_eq!(stage.replicas(), 2);
        assert_eq!(run["status"]["verdict"], "passed", "{run}");
        assert_eq!(run["status"]["counts"], json!({"planned": 1, "active": 0, "restored": 1, "residue": 0}));
        assert!(
            holds(&run, "Selected") && holds(&run, "AllInjected") && holds(&run, "AllRecovered"),
            "{run}"
        );
        let evidence = run["status"]["injections"][0]["evidence"][0].as_str().unwrap();
        assert!(evidence.contains("replicas 1"), "{evidence}");
        let experiment = stage.until(&EXPERIMENT, "less", |object| object["status"]["verdict"] == "passed");
        assert_eq!(experiment["status"]["lastRun"], "less-1");
        assert!(!stage.is_marked());

        let spec = Operation::Replace { path: "/spec/method/0/for".to_owned(), value: json!("3s") };
        wait(stage.lab.cluster.patch(&EXPERIMENT.named(Some(&stage.room), "less"), &[spec])).unwrap();
        stage.until(&RUN, "less-2", |run| run["status"]["verdict"] == "passed");
        assert_eq!(stage.all(&RUN).len(), 2);
    });
}

#[test]
fn what_cannot_be_carried_out_says_why() {
    Stage::with("op-refused", 0, |stage| {
        let _operator = stage.operator("a");
        let mut misspelt = Stage::scaling("4s");
        misspelt["method"][0]["with"] = json!({"replica": 1});
        stage.make(&EXPERIMENT, "misspelt", &misspelt);
        let seen = stage.until(&EXPERIMENT, "misspelt", |object| object["status"]["phase"] == "Invalid");
        let why = seen["status"]["conditions"][0]["message"].as_str().unwrap();
        assert!(why.contains("replicas"), "{why}");

        let other = json!({"method": [{
            "fault": "k8s.pod_kill", "target": {"pod": {"namespace": "default", "labels": {"app": "pay"}}},
        }]});
        stage.make(&EXPERIMENT, "elsewhere", &other);
        let seen = stage.until(&RUN, "elsewhere-1", |run| run["status"]["phase"] == "Invalid");
        let why = seen["status"]["reason"].as_str().unwrap();
        assert!(why.contains("kubectl label namespace default squall.dev/chaos=allowed"), "{why}");

        let host = json!({"method": [{"fault": "process.kill", "target": {"process": {"name": "squall"}}}]});
        stage.make(&EXPERIMENT, "own-pod", &host);
        let seen = stage.until(&RUN, "own-pod-1", |run| run["status"]["phase"] == "Invalid");
        assert!(seen["status"]["reason"].as_str().unwrap().contains("not in the cluster"), "{seen}");
        // Nothing of it is held for anything.
        stage.delete(&EXPERIMENT, "own-pod");
        wait_until(|| stage.get(&RUN, "own-pod-1").is_none());
    });
}

#[test]
fn a_manifest_of_chaos_mesh_bears_its_conditions_is_paused_and_goes_when_deleted() {
    Stage::with("op-mesh", 2, |stage| {
        let _operator = stage.operator("a");
        stage.make(&POD_CHAOS, "fail", &Stage::failure(None));
        let object = stage.until_condition(&POD_CHAOS, "fail", "AllInjected");
        assert!(holds(&object, "Selected") && !holds(&object, "AllRecovered") && !holds(&object, "Paused"));
        assert_eq!(object["status"]["experiment"]["desiredPhase"], "Run");
        let record = &object["status"]["experiment"]["containerRecords"][0];
        assert_eq!(record["phase"], "Injected");
        assert!(record["id"].as_str().unwrap().starts_with(&format!("{}/pay-", stage.room)), "{record}");
        assert_eq!(stage.failing(), 1);

        stage.annotate(&POD_CHAOS, "fail", json!({"experiment.chaos-mesh.org/pause": "true"}));
        let object = stage.until(&POD_CHAOS, "fail", |object| {
            holds(object, "Paused") && holds(object, "AllRecovered") && !holds(object, "AllInjected")
        });
        assert_eq!(object["status"]["experiment"]["desiredPhase"], "Stop");
        let told = |object: &Json| object["status"]["squall"].clone();
        let paused = stage.until(&POD_CHAOS, "fail", |object| told(object)["phase"] == "Paused");
        assert_eq!(told(&paused)["verdict"], "aborted");
        assert_eq!(stage.failing(), 0);
        stage.annotate(&POD_CHAOS, "fail", json!({}));
        wait_until(|| stage.failing() == 1);
        let again = stage.until_condition(&POD_CHAOS, "fail", "AllInjected");
        let same = &again["status"]["experiment"]["containerRecords"][0]["id"];
        assert_eq!(*same, record["id"], "what goes on strikes what was struck");

        stage.delete(&POD_CHAOS, "fail");
        wait_until(|| stage.get(&POD_CHAOS, "fail").is_none());
        assert_eq!(stage.failing(), 0, "it is not gone before its fault is");
        wait_until(|| stage.all(&RUN).is_empty());
        assert!(!stage.is_marked());
    });
}

#[test]
fn an_experiment_waits_for_a_run_of_its_name_to_go() {
    Stage::with("op-again", 2, |stage| {
        let operator = stage.operator("a");
        // As it is while the cluster still takes away the runs of an experiment that was deleted.
        stage.make(&RUN, "again-1", &json!({"source": {"name": "other"}}));
        stage.make(&EXPERIMENT, "again", &Stage::scaling("2s"));
        let waits = stage.until(&EXPERIMENT, "again", |again| holds(again, "Waiting"));
        assert!(waits["status"]["reason"].as_str().unwrap().contains("again-1 is there"), "{waits}");
        let told = "Experiment NAMESPACE/again: a Run of the name again-1 is there";
        wait_until(|| operator.log().contains(&told.replace("NAMESPACE", &stage.room)));
        stage.delete(&RUN, "again-1");
        stage.until(&EXPERIMENT, "again", |again| again["status"]["phase"] == "Finished");
        assert_eq!(stage.get(&RUN, "again-1").unwrap()["spec"]["source"]["name"], "again");
    });
}

#[test]
fn a_manifest_of_chaos_mesh_waits_for_what_it_selects() {
    Stage::with("op-later", 1, |stage| {
        let _operator = stage.operator("a");
        let mut failure = Stage::failure(None);
        failure["selector"]["labelSelectors"]["late"] = json!("yes");
        stage.make(&POD_CHAOS, "fail", &failure);
        let waits = stage.until(&POD_CHAOS, "fail", |object| {
            let squall = &object["status"]["squall"];
            squall["phase"] == "Pending" && squall["run"].is_string() && !holds(object, "Selected")
        });
        let run = waits["status"]["squall"]["run"].as_str().unwrap();
        let run = stage.until(&RUN, run, |run| holds(run, "Waiting"));
        assert!(run["status"]["reason"].as_str().unwrap().contains("no pod of the cluster"), "{run}");

        let pod = Kind::POD.named(Some(&stage.room), &stage.pods()[0].name);
        let late = Operation::Add { path: "/metadata/labels/late".to_owned(), value: json!("yes") };
        wait(stage.lab.cluster.patch(&pod, &[late])).unwrap();
        let object = stage.until_condition(&POD_CHAOS, "fail", "AllInjected");
        assert!(holds(&object, "Selected"), "{object}");
        assert_eq!((stage.failing(), stage.all(&RUN).len()), (1, 1));
        stage.delete(&POD_CHAOS, "fail");
        wait_until(|| stage.get(&POD_CHAOS, "fail").is_none());
        assert_eq!(stage.failing(), 0);
    });
}

#[test]
fn what_waits_for_others_begins_when_they_end() {
    Stage::with("op-line", 2, |stage| {
        let _operator = stage.operator_with("a", &stage.kubeconfig, &["--at-once", "1"]);
        let names = ["one", "two", "three"];
        names.iter().for_each(|name| stage.make(&EXPERIMENT, name, &Stage::scaling("2s")));
        stage.until(&RUN, "two-1", |run| holds(run, "Waiting") || !run["status"]["verdict"].is_null());
        for name in names {
            stage.until(&RUN, &format!("{name}-1"), |run| run["status"]["verdict"] == "passed");
        }
    });
}

#[test]
fn an_abort_annotation_ends_a_run_for_good() {
    Stage::with("op-abort", 2, |stage| {
        let _operator = stage.operator("a");
        stage.make(&EXPERIMENT, "less", &Stage::scaling("10m"));
        wait_until(|| stage.replicas() == 1);
        stage.annotate(&RUN, "less-1", json!({"squall.dev/abort": "true"}));
        stage.until(&RUN, "less-1", |run| run["status"]["verdict"] == "aborted");
        assert_eq!(stage.replicas(), 2);
        assert_eq!(stage.all(&RUN).len(), 1);
        assert_eq!(stage.get(&Kind::DEPLOYMENT, "pay").unwrap()["metadata"]["labels"], json!({"app": "pay"}));
    });
}
