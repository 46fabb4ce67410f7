//! Whoever is killed, deleted or away in the middle: nothing stays, and nothing is stuck.

use crate::between::Between;
use crate::stage::{EXPERIMENT, POD_CHAOS, RUN, Stage, holds};
use crate::support::wait_until;
use squall_kubernetes::{Deletion, Kind, wait};
use std::sync::atomic::Ordering;

#[test]
fn an_operator_that_is_killed_is_followed_by_another() {
    Stage::with("op-killed", 3, |stage| {
        let first = stage.operator("a");
        wait_until(|| first.log().contains(" leads"));
        let second = stage.operator("b");
        stage.make(&EXPERIMENT, "less", &Stage::scaling("10m"));
        wait_until(|| stage.replicas() == 1);
        first.kill();
        // Its agent puts back at once; the next operator says so.
        wait_until(|| stage.replicas() == 3);
        let run = stage.until(&RUN, "less-1", |run| run["status"]["phase"] == "Finished");
        assert_eq!(run["status"]["verdict"], "aborted", "{run}");
        assert!(run["status"]["reason"].as_str().unwrap().contains("is gone"), "{run}");
        assert!(second.log().contains(" leads"), "{}", second.log());
    });
}

#[test]
fn what_a_lost_machine_left_is_put_back_by_the_next_operator_and_what_is_valid_goes_on() {
    Stage::with("op-lost", 2, |stage| {
        let first = stage.operator("a");
        stage.make(&POD_CHAOS, "fail", &Stage::failure(None));
        stage.until_condition(&POD_CHAOS, "fail", "AllInjected");
        first.lose();
        assert_eq!(stage.failing(), 1, "nobody is there who could put it back");
        let second = stage.operator("b");
        wait_until(|| second.log().contains("put back, since nobody holds it any more"));
        // The object is still there, so its fault is made again.
        wait_until(|| stage.all(&RUN).len() == 2 && stage.failing() == 1);
        stage.delete(&POD_CHAOS, "fail");
        wait_until(|| stage.get(&POD_CHAOS, "fail").is_none());
        assert_eq!(stage.failing(), 0);
        assert!(!stage.is_marked());
    });
}

#[test]
fn an_operator_that_is_told_to_stop_puts_everything_back_first() {
    Stage::with("op-stop", 2, |stage| {
        let operator = stage.operator("a");
        stage.make(&EXPERIMENT, "less", &Stage::scaling("10m"));
        wait_until(|| stage.replicas() == 1);
        assert_eq!(operator.stop(), Some(0));
        assert_eq!(stage.replicas(), 2);
        let run = stage.get(&RUN, "less-1").unwrap();
        assert_eq!(run["status"]["verdict"], "aborted", "{run}");
    });
}

#[test]
fn a_namespace_that_is_deleted_in_the_middle_goes() {
    Stage::with("op-namespace", 2, |stage| {
        // In one that stays: where its Lease goes, it leads no more.
        let home = wait(stage.lab.namespace("op-home")).unwrap();
        let _operator = stage.operator_in(&home.name, "a", &stage.kubeconfig, &[]);
        stage.make(&POD_CHAOS, "fail", &Stage::failure(Some("10m")));
        // Before there are fewer pods: the one that fails is the first to go.
        stage.until_condition(&POD_CHAOS, "fail", "AllInjected");
        stage.make(&EXPERIMENT, "less", &Stage::scaling("10m"));
        wait_until(|| stage.replicas() == 1);
        let namespace = Kind::NAMESPACE.named(None, &stage.room);
        wait(stage.lab.cluster.delete(&namespace, &Deletion::default())).unwrap();
        wait_until(|| wait(stage.lab.cluster.get(&namespace)).unwrap().is_none());
    });
}

#[test]
fn an_api_server_that_is_away_leaves_nothing_stuck() {
    Stage::with("op-away", 2, |stage| {
        if !stage.lab.is_here {
            println!("skipped: the settings of another cluster than lab/kube's may be written in any way");
            return;
        }
        let kubeconfig = stage.folder.path().join("kubeconfig");
        let between = Between::before(stage.lab.cluster.server(), &stage.kubeconfig, &kubeconfig);
        let operator = stage.operator_with("a", &kubeconfig, &[]);
        stage.make(&POD_CHAOS, "fail", &Stage::failure(Some("10m")));
        stage.until_condition(&POD_CHAOS, "fail", "AllInjected");
        between.is_away.store(true, Ordering::Relaxed);
        // It cannot renew its lease, so another might lead by now: it ends what it does.
        wait_until(|| operator.log().contains("runs that are ended: 1"));
        stage.delete(&POD_CHAOS, "fail");
        between.is_away.store(false, Ordering::Relaxed);
        wait_until(|| stage.get(&POD_CHAOS, "fail").is_none());
        wait_until(|| stage.failing() == 0);
        wait_until(|| !stage.is_marked());
        assert!(!stage.all(&RUN).iter().any(|run| holds(run, "Residue")));
    });
}
