//! Manifests of Chaos Mesh with the faults that there are: what is read, and that what is converted reads the same.

#![allow(clippy::panic, clippy::unwrap_used, reason = "this is a test")]

use squall_model::catalog::{AnyLoad, Catalog};
use squall_model::experiment::{Action, Experiment, Strike};
use squall_model::fault::AnyFault;
use squall_model::probe::AnyProbe;
use squall_model::read::{self, Overrides, Source};

struct Faults;

impl Catalog for Faults {
    fn faults(&self) -> &[&dyn AnyFault] {
        squall_faults::ALL
    }
    fn probes(&self) -> &[&dyn AnyProbe] {
        &[]
    }
    fn metric_sources(&self) -> &[&dyn AnyProbe] {
        &[]
    }
    fn loads(&self) -> &[&dyn AnyLoad] {
        &[]
    }
}

/// What stands for `PODS` in a specification.
const PODS: &str = "mode: all, selector: {labelSelectors: {app: web}}";

/// Specifications by kind.
const SPECIFICATIONS: &[(&str, &str)] = &[
    ("PodChaos", "{action: pod-kill, gracePeriod: 5, PODS}"),
    (
        "PodChaos",
        "{action: pod-kill, mode: random-max-percent, value: \"30\", selector: {}, scheduler: {cron: \"@every 2h\"}}",
    ),
    (
        "PodChaos",
        "{action: pod-failure, duration: 30s, mode: fixed-percent, value: \"30\", selector: {pods: {a: [b]}}}",
    ),
    ("PodChaos", "{action: container-kill, containerNames: [main, log], PODS}"),
    (
        "PodChaos",
        "{action: pod-kill, mode: fixed, value: \"2\", selector: {namespaces: [a, b], labelSelectors: {a: \"1\"}, annotationSelectors: {b: \
         \"2\"}, fieldSelectors: {spec.nodeName: n}, expressionSelectors: [{key: a, operator: NotIn, values: [b]}, {key: c, operator: \
         Exists}], nodeSelectors: {pool: spot}, podPhaseSelectors: [\"!Failed\"]}}",
    ),
    (
        "NetworkChaos",
        "{action: delay, delay: {latency: 0.25ms, jitter: 0.1ms, correlation: \"25\"}, duration: .5s, PODS}",
    ),
    (
        "NetworkChaos",
        "{action: delay, delay: {latency: 1s, reorder: {reorder: \"50\", correlation: \"5\", gap: 5}}, PODS}",
    ),
    ("NetworkChaos", "{action: loss, loss: {loss: \"25\", correlation: \"25\"}, PODS}"),
    ("NetworkChaos", "{action: loss, loss: {loss: \"25\"}, direction: both, target: {PODS}, PODS}"),
    ("NetworkChaos", "{action: duplicate, duplicate: {duplicate: \"40\", correlation: \"25\"}, PODS}"),
    ("NetworkChaos", "{action: corrupt, corrupt: {corrupt: \"40\", correlation: \"25\"}, PODS}"),
    (
        "NetworkChaos",
        "{action: netem, delay: {latency: 90ms, correlation: \"25\"}, loss: {loss: \"25\", correlation: \"25\"}, PODS}",
    ),
    (
        "NetworkChaos",
        "{action: netem, delay: {latency: 90ms, reorder: {reorder: \"5\", gap: 0}}, loss: {loss: \"25\"}, duplicate: {duplicate: \"1\"}, \
         corrupt: {corrupt: \"1\"}, rate: {rate: 1mbit}, PODS}",
    ),
    ("NetworkChaos", "{action: bandwidth, bandwidth: {rate: 100kbps, limit: 20971520, buffer: 10000}, PODS}"),
    (
        "NetworkChaos",
        "{action: partition, direction: from, externalTargets: [8.8.8.8, www.example.com, 8.8.0.0/16, \"1.1.1.1:80\", \
         \"example.com:443\", \"10.0.0.0/8:22\", \"fd00::1\", \"[fd00::1]:80\"], target: {PODS}, PODS}",
    ),
    ("NetworkChaos", "{action: delay, delay: {latency: 9ms}, direction: both, target: {PODS}, PODS}"),
    (
        "StressChaos",
        "{stressors: {cpu: {workers: 1, load: 20, options: [--cpu 2]}, memory: {workers: 4, size: 256MB}}, PODS}",
    ),
    ("StressChaos", "{stressors: {memory: {workers: 1, size: \"50%\"}}, containerNames: [main], PODS}"),
    (
        "IOChaos",
        "{action: latency, delay: 10ms, volumePath: /data, path: /data/**/*, methods: [READ, write], percent: 50, PODS}",
    ),
    ("IOChaos", "{action: fault, errno: 5, volumePath: /data, PODS}"),
    ("IOChaos", "{action: attrOverride, attr: {perm: 72}, volumePath: /data, PODS}"),
    (
        "IOChaos",
        "{action: mistake, mistake: {filling: zero, maxOccurrences: 1, maxLength: 1}, volumePath: /data, PODS}",
    ),
    ("TimeChaos", "{timeOffset: \"-10m100ns\", clockIds: [CLOCK_REALTIME], PODS}"),
    ("DNSChaos", "{action: error, PODS}"),
    ("DNSChaos", "{action: random, patterns: [a.com, \"b.*\", \"c?.org\"], PODS}"),
    ("HTTPChaos", "{target: Request, port: 80, path: \"*\", method: GET, abort: true, PODS}"),
    ("HTTPChaos", "{target: Response, port: 80, code: 200, delay: 10s, PODS}"),
    ("HTTPChaos", "{target: Response, port: 80, replace: {code: 503, body: aGk=}, PODS}"),
    ("HTTPChaos", "{target: Request, port: 80, patch: {headers: [[A, b]]}, PODS}"),
    (
        "AWSChaos",
        "{action: ec2-stop, awsRegion: eu-west-1, ec2Instance: i-0abc, endpoint: \"http://127.0.0.1:1\", secretName: a}",
    ),
    ("AWSChaos", "{action: ec2-restart, awsRegion: eu-west-1, ec2Instance: i-0abc}"),
    (
        "Schedule",
        "{schedule: \"0 3 * * *\", type: PodChaos, concurrencyPolicy: Forbid, historyLimit: 1, startingDeadlineSeconds: 5, podChaos: \
         {action: pod-kill, PODS}}",
    ),
    (
        "Workflow",
        "{entry: a, templates: [{name: a, templateType: Serial, deadline: 1h, children: [b, c, d]}, {name: b, templateType: Parallel, \
         children: [e, f]}, {name: c, templateType: Suspend, deadline: 9s}, {name: d, templateType: Schedule, deadline: 20s, schedule: \
         {schedule: \"@every 5s\", type: PodChaos, podChaos: {action: pod-kill, PODS}}}, {name: e, templateType: StressChaos, deadline: \
         20s, stressChaos: {stressors: {cpu: {workers: 1}}, PODS}}, {name: f, templateType: NetworkChaos, deadline: 9s, networkChaos: \
         {action: loss, loss: {loss: \"5\"}, PODS}}]}",
    ),
];

/// The faults that manifests ask for and that are not there yet; they leave this list when they join.
const MISSING: &[&str] = &[
    "storage.latency",
    "storage.error",
    "storage.attribute",
    "storage.mistake",
    "clock.skew",
    "dns.error",
    "dns.random",
    "http.abort",
    "http.delay",
    "http.replace",
    "http.patch",
];

fn manifest(kind: &str, specification: &str) -> Source {
    let specification = specification.replace("PODS", PODS);
    let text = format!(
        "apiVersion: chaos-mesh.org/v1alpha1\nkind: {kind}\nmetadata: {{name: x, namespace: shop}}\nspec: {specification}\n"
    );
    Source { name: format!("{kind}.yaml"), text }
}

fn read(source: &Source) -> Result<Experiment, String> {
    read::experiment(source, &Faults, &Overrides::default())
        .map_err(|errors| read::render(source, &errors, false))
}

/// An experiment without what only the file has that it was read from: places and notes.
fn essence(experiment: &Experiment) -> String {
    let strike = |strike: &Strike| {
        let Strike { fault, selection, with, lasts, after, stage, when, .. } = strike;
        format!(
            "{fault} on {selection:?} with {} for {lasts:?} after {after:?} {stage:?} {when:?}",
            with.to_json()
        )
    };
    let action = |action: &Action| match action {
        Action::Wait(wait) => format!("wait {wait:?}"),
        Action::Ask(ask) => format!("ask {} {} {:?} {:?}", ask.name, ask.probe.kind, ask.within, ask.when),
        Action::Strike(strikes) => strikes.iter().map(strike).collect::<Vec<_>>().join(" and "),
    };
    let method: Vec<String> = experiment.method.iter().map(action).collect();
    format!("{}\n{:?}\n{}", experiment.name, experiment.schedule, method.join("\n"))
}

#[test]
fn every_manifest_is_read_or_waits_for_its_fault() {
    let mut waiting = Vec::new();
    for (kind, specification) in SPECIFICATIONS {
        let source = manifest(kind, specification);
        let conversion = read::convert(&source, &Faults, None)
            .unwrap_or_else(|errors| panic!("{specification}\n{}", read::render(&source, &errors, false)));
        match read(&source) {
            Ok(experiment) => {
                let text = read::to_yaml(&conversion.root);
                let again = read(&Source { name: "again.yaml".into(), text: text.clone() });
                let again = again.unwrap_or_else(|errors| panic!("{text}\n{errors}"));
                assert_eq!(essence(&again), essence(&experiment), "{text}");
            }
            Err(errors) => {
                let missing = MISSING.iter().find(|fault| errors.contains(&format!("the fault `{fault}`")));
                assert!(errors.contains("all else in this file is right"), "{specification}\n{errors}");
                waiting.push(*missing.unwrap_or_else(|| panic!("{specification}\n{errors}")));
            }
        }
    }
    let joined: Vec<_> = MISSING.iter().filter(|fault| !waiting.contains(fault)).collect();
    assert!(joined.is_empty(), "no manifest waits for these any more: {joined:?}");
}

#[test]
fn pods_are_chosen_once_unless_the_manifest_says_that_they_are_followed() {
    let follows = |annotation: &str| {
        let text = format!(
            "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {{name: a, annotations: {{{annotation}}}}}\nspec: \
             {{action: pod-failure, duration: 30s, mode: all, selector: {{labelSelectors: {{app: web}}}}}}\n"
        );
        let experiment = read(&Source { name: "a.yaml".into(), text })?;
        let told = experiment.notes.iter().any(|note| note.contains("Chaos Mesh chooses once"));
        let Action::Strike(strikes) = &experiment.method[0] else { panic!("{:?}", experiment.method) };
        assert_eq!(strikes[0].selection.follow, told);
        Ok::<_, String>(told)
    };
    assert_eq!(follows("a: b"), Ok(false));
    assert_eq!(follows("squall.dev/follow: \"true\""), Ok(true));
    assert_eq!(follows("squall.dev/follow: \"false\""), Ok(false));
    assert!(follows("squall.dev/follow: \"yes\"").unwrap_err().contains("squall.dev/follow"));
}
