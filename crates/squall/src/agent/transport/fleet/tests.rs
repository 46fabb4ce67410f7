//! A fleet of agents that only note what they are asked.

use super::*;
use squall_model::cluster::{ClusterPlace, ClusterRef, PlacedPod, PodSelector};
use squall_model::plan::{Joining, PlanEntry, PlannedInjection};
use squall_model::protocol::{Injected, VERSION};
use squall_model::target::{Mode, Round, Selection, Target};
use squall_model::undo::Evidence;

/// An agent that plans one injection `run-1-aaaa` for each entry, and notes its calls.
#[derive(Clone, Default)]
struct Noting {
    name: &'static str,
    heard: Arc<Mutex<Vec<(&'static str, Call)>>>,
    elsewhere: Vec<Assignment>,
    is_lost: Arc<Mutex<bool>>,
}

fn injection(entry: usize) -> PlannedInjection {
    PlannedInjection {
        id: format!("run-{entry}-aaaa"),
        entry,
        fault: "cpu.load".to_owned(),
        target: "a pod".to_owned(),
        steps: Vec::new(),
        does: Vec::new(),
        undone_by: Vec::new(),
        claims: Vec::new(),
        lasts: units::Duration::seconds(1),
        within: Vec::new(),
        strikes: Vec::new(),
    }
}

fn evidence(names: &[String]) -> BTreeMap<String, Vec<Evidence>> {
    names.iter().map(|name| (name.clone(), Vec::new())).collect()
}

impl AgentLink for Noting {
    fn call(&self, call: Call) -> Pending<'static, Answered> {
        if call != Call::Renew {
            locked(&self.heard).push((self.name, call.clone()));
        }
        let answer = match call {
            _ if *locked(&self.is_lost) => {
                return Box::pin(async { Err(LinkError::Lost("gone".to_owned())) });
            }
            Call::Hello { .. } => {
                Answer::Hello { version: VERSION, pid: 1, warden: 2, recovered: Vec::new() }
            }
            Call::Plan(request) => {
                let is_elsewhere =
                    |entry: &usize| self.elsewhere.iter().any(|assigned| assigned.entry.entry == *entry);
                let entries = request.entries.iter().map(|entry| entry.entry);
                let injections = entries.filter(|entry| !is_elsewhere(entry)).map(injection).collect();
                Answer::Plan(Plan {
                    injections,
                    elsewhere: self.elsewhere.clone(),
                    notes: vec!["n".to_owned()],
                    gone: Vec::new(),
                })
            }
            Call::Inject { injections } => {
                Answer::Injected(Injected { evidence: evidence(&injections), ..Injected::default() })
            }
            Call::Undo { .. } | Call::Bye => Answer::Restored { restored: Vec::new() },
            _ => Answer::Renewed { live: vec!["run-1-aaaa".to_owned()] },
        };
        Box::pin(async { Ok(answer) })
    }
}

impl Links for Noting {
    fn connect(&self) -> Pending<'static, Result<Arc<dyn AgentLink>, String>> {
        let link: Arc<dyn AgentLink> = Arc::new(self.clone());
        Box::pin(async { Ok(link) })
    }
}

/// Nodes with agents that share a notebook; a third one has none.
struct Nodes(Noting);

impl Outposts for Nodes {
    fn connect(&self, post: &Post, _: &Needs) -> Pending<'static, Result<Arc<dyn AgentLink>, CallError>> {
        if post.node == "three" {
            let message = "its image cannot be had".to_owned();
            let error = CallError { kind: CallErrorKind::Failed, message, entry: None };
            return Box::pin(std::future::ready(Err(error)));
        }
        let name = if post.node == "one" { "one" } else { "two" };
        locked(&self.0.heard).push((name, Call::Recover));
        let link: Arc<dyn AgentLink> = Arc::new(Noting { name, ..self.0.clone() });
        Box::pin(async { Ok(link) })
    }

    fn lacks(&self) -> Option<String> {
        Some("no image is named".to_owned())
    }
}

fn entry(number: usize) -> PlanEntry {
    let selection = Selection {
        target: Target::Pod(Box::default()),
        mode: Mode::All,
        value: None,
        round: Round::default(),
        optional: false,
        follow: false,
    };
    PlanEntry {
        entry: number,
        fault: "cpu.load".to_owned(),
        with: serde_json::json!({}),
        selection,
        lasts: units::Duration::seconds(1),
        joining: None,
    }
}

fn request() -> PlanRequest {
    PlanRequest {
        entries: vec![entry(0), entry(1)],
        seed: 1,
        targets_limit: None,
        spared: Vec::new(),
        allow_data_loss: false,
        together: Vec::new(),
    }
}

fn assigned(node: &str) -> Assignment {
    let cluster =
        ClusterRef { place: ClusterPlace::default(), server: "https://c".to_owned(), uid: "u".to_owned() };
    let pod = PlacedPod {
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        uid: "1".to_owned(),
        containers: Vec::new(),
    };
    let mut entry = entry(1);
    entry.selection.target =
        Target::Pod(Box::new(PodSelector { placed: vec![pod], ..PodSelector::default() }));
    Assignment { cluster, node: node.to_owned(), entry, pods: vec!["pod shop/web".to_owned()] }
}

fn hello(looks_only: bool) -> Call {
    let (run, lease) = ("run".to_owned(), units::Duration::seconds(5));
    Call::Hello { version: VERSION, run, lease, looks_only, servers: Vec::new() }
}

/// A fleet of one here and one on each of two nodes, the notebook, and what makes those on nodes deaf.
fn fleet() -> (Fleet, Noting) {
    let here =
        Noting { name: "here", elsewhere: vec![assigned("one"), assigned("two")], ..Noting::default() };
    let nodes = Noting { heard: Arc::clone(&here.heard), ..Noting::default() };
    (Fleet::new(here, Arc::new(Nodes(nodes.clone()))), nodes)
}

fn heard_by(nodes: &Noting, name: &str) -> Vec<Call> {
    locked(&nodes.heard).iter().filter(|(who, _)| *who == name).map(|(_, call)| call.clone()).collect()
}

#[tokio::test]
async fn what_is_planned_on_nodes_goes_by_names_of_its_own_and_to_who_planned_it() {
    let (fleet, nodes) = fleet();
    let link = fleet.connect().await.unwrap();
    link.call(hello(false)).await.unwrap();
    let Answer::Plan(plan) = link.call(Call::Plan(request())).await.unwrap() else { panic!("no plan") };
    let names: Vec<&str> = plan.injections.iter().map(|injection| injection.id.as_str()).collect();
    assert_eq!(names, ["run-0-aaaa", "run-1-aaaa", "run-1-aaaa-two"]);
    // Whose pods are struck is known, though the agents there plan for processes.
    let within =
        plan.injections.iter().map(|injection| injection.within.iter().map(|one| one.namespace.as_str()));
    assert_eq!(
        within.map(Iterator::collect).collect::<Vec<Vec<&str>>>(),
        [vec![], vec!["shop"], vec!["shop"]]
    );
    assert!(plan.elsewhere.is_empty() && plan.notes.contains(&"node two: n".to_owned()), "{:?}", plan.notes);

    let injections: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let Ok(Answer::Injected(Injected { evidence, .. })) =
        link.call(Call::Inject { injections: injections.clone() }).await
    else {
        panic!("not injected")
    };
    assert_eq!(evidence.into_keys().collect::<Vec<_>>(), injections);
    let inject = |name: &str| Call::Inject { injections: vec![name.to_owned()] };
    assert!(heard_by(&nodes, "here").contains(&inject("run-0-aaaa")));
    assert!(heard_by(&nodes, "two").contains(&inject("run-1-aaaa")));
    let undo = Call::Undo { injections: vec!["run-1-aaaa-two".to_owned()] };
    link.call(undo).await.unwrap();
    assert!(!heard_by(&nodes, "one").iter().any(|call| matches!(call, Call::Undo { .. })));
    let Ok(Answer::Renewed { live }) = link.call(Call::Renew).await else { panic!("not renewed") };
    assert_eq!(live, ["run-1-aaaa", "run-1-aaaa", "run-1-aaaa-two"], "of here, one, and two");
}

#[tokio::test]
async fn where_one_is_lost_all_are_and_the_next_stream_reaches_all_of_them_again() {
    let (fleet, nodes) = fleet();
    let link = fleet.connect().await.unwrap();
    link.call(hello(false)).await.unwrap();
    link.call(Call::Plan(request())).await.unwrap();
    *locked(&nodes.is_lost) = true;
    let Err(LinkError::Lost(why)) = link.call(Call::Renew).await else { panic!("nobody misses it") };
    assert!(why.starts_with("on node one: "), "{why}");
    drop(link);
    *locked(&nodes.is_lost) = false;
    locked(&nodes.heard).clear();
    let link = fleet.connect().await.unwrap();
    link.call(hello(false)).await.unwrap();
    for name in ["one", "two"] {
        assert_eq!(heard_by(&nodes, name), [Call::Recover, hello(false)], "{name}");
    }
}

#[tokio::test]
async fn what_joins_on_one_node_does_not_wait_for_another() {
    let here =
        Noting { name: "here", elsewhere: vec![assigned("one"), assigned("three")], ..Noting::default() };
    let nodes = Noting { heard: Arc::clone(&here.heard), ..Noting::default() };
    let fleet = Fleet::new(here, Arc::new(Nodes(nodes)));
    let link = fleet.connect().await.unwrap();
    link.call(hello(false)).await.unwrap();
    let refused = link.call(Call::Plan(request())).await;
    assert!(matches!(&refused, Err(LinkError::Refused(error)) if error.message.contains("on node three")));
    let mut joining = request();
    joining.entries[1].joining = Some(Joining::default());
    let Ok(Answer::Plan(plan)) = link.call(Call::Plan(joining)).await else { panic!("no plan") };
    assert!(plan.injections.iter().any(|planned| planned.entry == 1), "{plan:?}");
    assert!(plan.notes.iter().any(|note| note.contains("its image cannot be had")), "{:?}", plan.notes);
}

#[tokio::test]
async fn who_only_looks_has_no_agent_made() {
    let (fleet, nodes) = fleet();
    let link = fleet.connect().await.unwrap();
    link.call(hello(true)).await.unwrap();
    let Answer::Plan(plan) = link.call(Call::Plan(request())).await.unwrap() else { panic!("no plan") };
    assert_eq!(plan.injections.len(), 3);
    assert!(plan.injections[1].does[0].contains("on node one, by an agent that is made there"), "{plan:?}");
    assert!(heard_by(&nodes, "one").is_empty());
    assert_eq!(plan.notes.last().unwrap(), "no image is named");
}
