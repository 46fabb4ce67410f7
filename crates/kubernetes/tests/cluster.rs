//! Pods, nodes and other objects of a real cluster.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use serde_json::{Value as Json, json};
use squall_kubernetes::testing::{Lab, in_a_room};
use squall_kubernetes::{
    Application, Cluster, ClusterError, Deletion, Kind, Operation, Phase, PodFilter, Problem, User, Wish,
    wait,
};

#[test]
fn pods_are_selected_by_the_cluster_and_read_as_far_as_they_matter() {
    in_a_room("pods", async |Lab { cluster, .. }, room| {
        let pods = room.deployment("shop", 2, "sleep 1000").await?;
        let pod = &pods[0];
        assert_eq!(
            (pod.phase, pod.ready, pod.deleted, pod.host_network),
            (Phase::Running, true, false, false)
        );
        assert_eq!(pod.owner.as_ref().unwrap().kind, "ReplicaSet");
        assert_eq!((pod.addresses.len(), pod.labels["app"].as_str()), (1, "shop"));
        assert!(!pod.uid.is_empty() && !pod.resource_version.is_empty() && pod.created_at.ends_with('Z'));
        let main = pod.container("main").unwrap();
        assert!(main.running && main.ready && main.started_at.is_some() && main.restarts == 0, "{main:?}");
        assert_eq!(main.runtime.as_deref(), Some("containerd"));
        assert!(main.id.as_ref().unwrap().chars().all(|letter| letter.is_ascii_hexdigit()), "{main:?}");

        let in_room = PodFilter { namespaces: vec![room.name.clone()], ..PodFilter::default() };
        let node = pod.node.clone().unwrap();
        let fields = format!("spec.nodeName={node},status.phase=Running");
        let found = cluster
            .pods(&PodFilter { labels: "app in (shop,cart)".into(), fields, ..in_room.clone() })
            .await?;
        assert_eq!(found.len(), 2);
        assert_eq!(cluster.pods(&PodFilter { labels: "app!=shop".into(), ..in_room.clone() }).await?, []);
        let everywhere =
            cluster.pods(&PodFilter { labels: "app=shop".into(), ..PodFilter::default() }).await?;
        assert!(everywhere.iter().any(|found| found.uid == pod.uid));
        let mistake = cluster.pods(&PodFilter { labels: "app in shop".into(), ..in_room }).await.unwrap_err();
        assert_eq!(mistake.problem, Problem::Invalid);
        assert!(
            mistake.to_string().starts_with(&format!("list pods in {}, cluster ", room.name)),
            "{mistake}"
        );
        assert_eq!(cluster.pod(&room.name, "nobody").await?, None);

        let nodes = cluster.nodes("").await?;
        let node = nodes.iter().find(|found| found.name == node).unwrap();
        assert!(node.ready && !node.architecture.is_empty() && !node.kernel.is_empty(), "{node:?}");
        assert!(node.addresses.iter().any(|address| address.kind == "InternalIP"), "{node:?}");
        Ok(())
    });
}

#[test]
fn the_uid_keeps_another_pod_of_the_same_name_safe() {
    in_a_room("delete", async |Lab { cluster, .. }, room| {
        let spec = room.pod_spec("sleep 1000");
        let pod = room.pod("victim", &json!({}), &spec).await?;
        let other =
            Deletion { uid: Some("11111111-2222-3333-4444-555555555555".into()), ..Deletion::default() };
        assert_eq!(cluster.delete(&pod.reference(), &other).await.unwrap_err().problem, Problem::Conflict);
        let evicted = cluster.evict(&room.name, "victim", other.uid.as_deref(), None).await;
        assert_eq!(evicted.unwrap_err().problem, Problem::Conflict);
        let it = Deletion { uid: Some(pod.uid.clone()), grace: Some(0), dependents: None };
        cluster.delete(&pod.reference(), &it).await?;
        room.until("it to be gone", async || Ok(cluster.get(&pod.reference()).await?.is_none())).await?;
        let gone = cluster.delete(&pod.reference(), &it).await.unwrap_err();
        assert_eq!(gone.problem, Problem::NotFound);
        assert!(gone.to_string().contains(&format!("delete Pod {}/victim", room.name)), "{gone}");
        Ok(())
    });
}

#[test]
fn a_budget_refuses_what_it_does_not_allow() {
    in_a_room("evict", async |Lab { cluster, .. }, room| {
        let pods = room.deployment("shop", 2, "sleep 1000").await?;
        let budget = json!({
            "metadata": {"name": "shop"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "shop"}}},
        });
        let made = cluster.create(&Kind::POD_DISRUPTION_BUDGET, Some(&room.name), &budget).await?;
        let reference = Kind::POD_DISRUPTION_BUDGET.named(Some(&room.name), "shop");
        assert_eq!(cluster.list(&reference.kind, Some(&room.name), "").await?[0]["kind"], made["kind"]);
        room.until("the budget", async || {
            Ok(cluster.get(&reference).await?.unwrap()["status"]["disruptionsAllowed"] == 1)
        })
        .await?;
        cluster.evict(&room.name, &pods[0].name, Some(&pods[0].uid), Some(0)).await?;
        let replace = [Operation::Replace { path: "/spec/minAvailable".into(), value: json!(2) }];
        cluster.patch(&reference, &replace).await?;
        let pods = room.ready("app=shop", 2).await?;
        room.until("the budget", async || {
            Ok(cluster.get(&reference).await?.unwrap()["status"]["disruptionsAllowed"] == 0)
        })
        .await?;
        let refused = cluster.evict(&room.name, &pods[0].name, Some(&pods[0].uid), None).await.unwrap_err();
        assert_eq!(refused.problem, Problem::Budget, "{refused}");
        assert!(refused.to_string().contains("PodDisruptionBudget"), "{refused}");
        Ok(())
    });
}

#[test]
fn a_change_is_made_whole_or_not_at_all() {
    in_a_room("patch", async |Lab { cluster, .. }, room| {
        room.deployment("shop", 1, "sleep 1000").await?;
        let shop = Kind::DEPLOYMENT.named(Some(&room.name), "shop");
        let operations = |expected: u32| {
            let uid = Operation::Test { path: "/spec/replicas".into(), value: json!(expected) };
            [uid, Operation::Replace { path: "/spec/replicas".into(), value: json!(3) }]
        };
        let error = cluster.patch(&shop, &operations(7)).await.unwrap_err();
        assert_eq!(error.problem, Problem::Conflict, "{error}");
        let nowhere = [Operation::Remove { path: "/metadata/annotations/none".into() }];
        assert_eq!(cluster.patch(&shop, &nowhere).await.unwrap_err().problem, Problem::Conflict);
        for value in [json!("x"), json!(-4)] {
            let nonsense = [Operation::Replace { path: "/spec/replicas".into(), value }];
            let error = cluster.patch(&shop, &nonsense).await.unwrap_err();
            assert_eq!(error.problem, Problem::Invalid, "{error}");
            assert!(!error.to_string().contains("apiVersion"), "{error}");
        }
        let absent =
            Operation::Test { path: "/metadata/annotations/squall.dev~1mark".into(), value: json!(null) };
        cluster.patch(&shop, &[absent]).await?;
        let after = cluster.patch(&shop, &operations(1)).await?;
        assert_eq!(
            (after["spec"]["replicas"].as_u64(), after["kind"].as_str()),
            (Some(3), Some("Deployment"))
        );
        assert_eq!(room.ready("app=shop", 3).await?.len(), 3);
        Ok(())
    });
}

#[test]
fn what_is_applied_is_ours_until_it_is_not_applied_any_more() {
    in_a_room("apply", async |Lab { cluster, .. }, room| {
        let ours = Application { manager: "squall-test", ..Application::default() };
        let theirs = Application { manager: "somebody", ..ours };
        let map = |data: Json| json!({"metadata": {"name": "settings"}, "data": data});
        let apply = async |data: Json, how: Application<'_>| {
            let applied = cluster.apply(&Kind::CONFIG_MAP, Some(&room.name), &map(data), how).await?;
            Ok::<_, ClusterError>(applied["data"].clone())
        };
        assert_eq!(apply(json!({"a": "1", "b": "2"}), ours).await?, json!({"a": "1", "b": "2"}));
        assert_eq!(apply(json!({"c": "3"}), theirs).await?["c"], "3");
        assert_eq!(apply(json!({"a": "1"}), ours).await?, json!({"a": "1", "c": "3"}));
        let refused = apply(json!({"a": "4"}), theirs).await.unwrap_err();
        assert_eq!(refused.problem, Problem::Conflict);
        assert!(refused.to_string().contains("squall-test"), "{refused}");
        let forced = Application { force: true, ..theirs };
        assert_eq!(apply(json!({"a": "4"}), forced).await?, json!({"a": "4"}));

        let pod = room.pod("worker", &json!({}), &room.pod_spec("sleep 1000")).await?;
        let ready = json!({"type": "squall.dev/test", "status": "True"});
        let status = json!({"metadata": {"name": pod.name}, "status": {"conditions": [ready]}});
        let part = Application { part: Some("status"), ..ours };
        let applied = cluster.apply(&Kind::POD, Some(&room.name), &status, part).await?;
        let conditions = applied["status"]["conditions"].as_array().unwrap();
        assert!(conditions.iter().any(|condition| condition["type"] == "squall.dev/test"), "{conditions:?}");
        assert!(conditions.len() > 1, "those of others stay: {conditions:?}");
        let nobody = json!({"metadata": {"name": "nobody"}, "status": {}});
        let missing = cluster.apply(&Kind::POD, Some(&room.name), &nobody, part).await.unwrap_err();
        assert_eq!(missing.problem, Problem::NotFound);
        Ok(())
    });
}

#[test]
fn objects_of_any_kind_are_made_found_and_known_by_name() {
    in_a_room("objects", async |Lab { cluster, .. }, room| {
        assert_eq!(cluster.discover("apps", None, "Deployment").await?, Kind::DEPLOYMENT);
        assert_eq!(cluster.discover("", None, "Node").await?, Kind::NODE);
        let unknown = cluster.discover("nobody.squall.dev", None, "Nothing").await.unwrap_err();
        assert_eq!(unknown.problem, Problem::NotFound, "{unknown}");
        assert_eq!(
            cluster.discover("apps", Some("v1"), "Nonsense").await.unwrap_err().problem,
            Problem::NotFound
        );

        let map = json!({"metadata": {"name": "settings", "labels": {"a": "b"}}, "data": {"x": "1"}});
        let made = cluster.create(&Kind::CONFIG_MAP, Some(&room.name), &map).await?;
        let exists = cluster.create(&Kind::CONFIG_MAP, Some(&room.name), &map).await.unwrap_err();
        assert_eq!(exists.problem, Problem::Conflict, "{exists}");
        let listed = cluster.list(&Kind::CONFIG_MAP, Some(&room.name), "a=b").await?;
        assert_eq!((listed.len(), &listed[0]), (1, &made));
        let names = cluster.metadata(&Kind::CONFIG_MAP, Some(&room.name), "a=b").await?;
        assert_eq!(
            (names[0].name.as_str(), names[0].uid.as_str()),
            ("settings", made["metadata"]["uid"].as_str().unwrap())
        );
        let namespaces = cluster.metadata(&Kind::NAMESPACE, None, "").await?;
        assert!(namespaces.iter().any(|one| one.name == "kube-system" && one.uid == uid(cluster)));

        let version = cluster.version().await?;
        assert!(version.major == 1 && version.minor >= 20 && version.text.starts_with("v1."), "{version:?}");
        let wish = Wish { verb: "create", kind: &Kind::POD, part: Some("exec"), namespace: None, name: None };
        assert!(cluster.may(&wish).await?);
        let nobody = User { username: "sqt-nobody".to_owned(), ..User::default() };
        assert!(!cluster.may_user(&nobody, &wish).await?);
        let admin = User { groups: vec!["system:masters".to_owned()], ..nobody };
        assert!(cluster.may_user(&admin, &wish).await?);
        Ok(())
    });
}

fn uid(cluster: &Cluster) -> String {
    wait(async { Ok(cluster.uid().await?.to_owned()) }).unwrap()
}

/// Tasks may be moved from one thread to another, and with them what waits for a cluster.
fn _answers_may_be_waited_for_in_tasks(cluster: &Cluster, filter: &PodFilter) {
    fn task<T>(_: impl Future<Output = T> + Send) {}
    let reference = Kind::NODE.named(None, "a");
    task(cluster.pods(filter));
    task(cluster.nodes(""));
    task(cluster.uid());
    task(cluster.get(&reference));
    task(cluster.patch(&reference, &[]));
    task(cluster.delete(&reference, &Deletion::default()));
    task(cluster.create(&Kind::NODE, None, &json!({})));
    task(cluster.evict("a", "b", None, None));
    task(cluster.exec("a", "b", None, &["c"]));
    task(cluster.run("a", "b", None, &["c"]));
}
