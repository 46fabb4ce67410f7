//! Manifests of Chaos Mesh: what experiments they become, and what is said about mistakes in them.

#![allow(clippy::panic, clippy::unwrap_used, reason = "this is a test")]

#[allow(dead_code, reason = "shared with other tests")]
mod catalog;

use catalog::Small;
use serde_json::{Value as Json, json};
use squall_model::experiment::{Concurrency, Experiment, Schedule};
use squall_model::read::{self, Conversion, Overrides, ReadError, Source};
use squall_model::units::Duration;

const SELECTOR: &str = "mode: all, selector: {labelSelectors: {app: web}}";

fn source(text: &str) -> Source {
    Source { name: "manifest.yaml".to_owned(), text: text.to_owned() }
}

/// A manifest of this kind in the namespace `shop`.
fn manifest(kind: &str, spec: &str) -> String {
    format!(
        "apiVersion: chaos-mesh.org/v1alpha1\nkind: {kind}\nmetadata: {{name: x, namespace: shop}}\nspec: {spec}\n"
    )
}

fn translated(text: &str) -> Conversion {
    let errors = |errors: Vec<ReadError>| panic!("{text}\n{}", read::render(&source(text), &errors, false));
    let conversion = read::convert(&source(text), &Small, None).unwrap_or_else(errors);
    // What is written is the same experiment, and no manifest any more.
    let written = read::to_yaml(&conversion.root);
    let again = read::parse(&source(&written)).unwrap_or_else(|error| panic!("{written}\n{error}"));
    assert_eq!(again.to_json(), conversion.root.to_json(), "{written}");
    conversion
}

/// The method that a specification becomes.
fn method(kind: &str, spec: &str) -> Json {
    translated(&manifest(kind, spec)).root.to_json()["method"].clone()
}

/// The one fault that a specification becomes: its name and parameters.
fn fault(kind: &str, spec: &str) -> Json {
    let method = method(kind, spec);
    let [only] = method.as_array().unwrap().as_slice() else { panic!("{method}") };
    json!([only["fault"], only["with"]])
}

/// The target that a selector becomes, from a specification of a pod failure.
fn target(spec: &str) -> Json {
    method("PodChaos", &format!("{{action: pod-failure, duration: 9s, {spec}}}"))[0]["target"].clone()
}

fn notes(kind: &str, spec: &str) -> String {
    translated(&manifest(kind, spec)).notes.join("\n")
}

/// The mistakes as `marked text: message; help`, one a line.
fn mistakes(text: &str) -> String {
    let say = |error: &ReadError| format!("{}: {error}", &text[error.place.start..error.place.end]);
    match read::experiment(&source(text), &Small, &Overrides::default()) {
        Ok(experiment) => panic!("{text}\nwas read as {experiment:?}"),
        Err(errors) => errors.iter().map(say).collect::<Vec<_>>().join("\n"),
    }
}

fn experiment(text: &str) -> Experiment {
    read::experiment(&source(text), &Small, &Overrides::default())
        .unwrap_or_else(|errors| panic!("{text}\n{}", read::render(&source(text), &errors, false)))
}

#[test]
fn every_selector_names_the_same_pods() {
    let pod = |pod: Json| json!({"pod": pod, "mode": "all"});
    for (selector, expected) in [
        ("{}", json!({"namespace": "shop"})),
        ("{namespaces: [a, b]}", json!({"namespace": ["a", "b"]})),
        ("{namespaces: []}", json!({"namespace": "shop"})),
        (
            "{labelSelectors: {app: web, tier: \"1\"}, annotationSelectors: {note: x}, fieldSelectors: {spec.nodeName: n}}",
            json!({"namespace": "shop", "labels": {"app": "web", "tier": "1"}, "annotations": {"note": "x"},
                "fields": {"spec.nodeName": "n"}}),
        ),
        (
            "{expressionSelectors: [{key: tier, operator: In, values: [a, b]}, {key: old, operator: DoesNotExist}]}",
            json!({"namespace": "shop", "expressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}]}),
        ),
        ("{nodes: [n1, n2]}", json!({"namespace": "shop", "nodes": ["n1", "n2"]})),
        ("{nodeSelectors: {pool: spot}}", json!({"namespace": "shop", "node_labels": {"pool": "spot"}})),
        (
            "{podPhaseSelectors: [Running, Pending]}",
            json!({"namespace": "shop", "phases": ["Pending", "Running"]}),
        ),
        (
            "{podPhaseSelectors: [\"!Succeeded\", \"!Failed\"]}",
            json!({"namespace": "shop", "phases": ["Pending", "Running", "Unknown"]}),
        ),
        (
            "{pods: {a: [p-0, p-1], b: [q]}, labelSelectors: {app: passed-over}}",
            json!({"names": ["a/p-0", "a/p-1", "b/q"]}),
        ),
    ] {
        assert_eq!(target(&format!("mode: all, selector: {selector}")), pod(expected), "{selector}");
    }
    assert!(
        notes(
            "PodChaos",
            "{action: pod-kill, mode: all, selector: {pods: {a: [p]}, labelSelectors: {app: x}}}"
        )
        .contains("`labelSelectors` means nothing with `pods`")
    );
    let bare = "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {generateName: web-}\nspec: {action: pod-kill, \
                mode: one, selector: {labelSelectors: {app: web}}}\n";
    let conversion = translated(bare);
    assert_eq!(conversion.root.to_json()["name"], json!("web"));
    assert_eq!(conversion.root.to_json()["method"][0]["target"]["pod"], json!({"labels": {"app": "web"}}));
    assert!(conversion.notes.join("\n").contains("that of the kubeconfig's context is meant"));
}

#[test]
fn every_mode_chooses_as_many() {
    let choice = |spec: &str| {
        let mut target = target(&format!("{spec}, selector: {{}}"));
        target.as_object_mut().unwrap().remove("pod");
        target
    };
    assert_eq!(choice("mode: one"), json!({"mode": "one"}));
    assert_eq!(choice("mode: one, value: \"\""), json!({"mode": "one"}));
    assert_eq!(choice("mode: fixed, value: \"2\""), json!({"mode": "fixed", "value": 2}));
    assert_eq!(choice("mode: fixed, value: 2"), json!({"mode": "fixed", "value": 2}));
    assert_eq!(
        choice("mode: fixed-percent, value: \"30\""),
        json!({"mode": "fixed-percent", "value": 30, "round": "up"})
    );
    assert_eq!(
        choice("mode: random-max-percent, value: \"12.5\""),
        json!({"mode": "random-max-percent", "value": 12.5})
    );
    let notes = |spec: &str| notes("PodChaos", &format!("{{action: pod-kill, selector: {{}}, {spec}}}"));
    assert!(notes("mode: random-max-percent, value: \"30\"").contains("strikes at least one"));
    assert!(notes("mode: one, value: \"3\"").contains("`value` means nothing with `mode: one`"));
}

#[test]
fn pods_and_containers_are_ended() {
    let spec = |rest: &str| format!("{{{SELECTOR}, {rest}}}");
    assert_eq!(fault("PodChaos", &spec("action: pod-kill")), json!(["k8s.pod_kill", {"grace": "0s"}]));
    assert_eq!(
        fault("PodChaos", &spec("action: pod-kill, gracePeriod: 30")),
        json!(["k8s.pod_kill", {"grace": "30s"}])
    );
    assert_eq!(fault("PodChaos", &spec("action: pod-failure")), json!(["k8s.pod_failure", null]));
    for containers in ["containerNames: [nginx, log]", "containerNames: [nginx], containerName: log"] {
        let method = method("PodChaos", &spec(&format!("action: container-kill, {containers}")));
        assert_eq!(method[0]["fault"], json!("process.kill"));
        assert_eq!(method[0]["with"], json!({"signal": "KILL"}));
        assert_eq!(method[0]["target"]["pod"]["containers"], json!(["nginx", "log"]));
    }
    let lasts =
        |rest: &str| method("PodChaos", &spec(&format!("action: pod-failure, {rest}")))[0]["for"].clone();
    for (duration, expected) in [
        ("duration: \"1h30m\"", json!("1h30m")),
        ("duration: .5s", json!("500ms")),
        ("duration: 1.5h", json!("1h30m")),
        ("duration: 0.25ms", json!("250us")),
        ("duration: \"\"", Json::Null),
    ] {
        assert_eq!(lasts(duration), expected, "{duration}");
    }
    assert!(notes("PodChaos", &spec("action: pod-failure")).contains("Squall takes it back after 1m"));
    assert!(
        notes("PodChaos", &spec("action: pod-kill"))
            .contains("this happens once; Squall goes on watching for 1m")
    );
    assert!(
        notes("PodChaos", &spec("action: pod-kill, containerNames: [a]"))
            .contains("`containerNames` means nothing")
    );
}

#[test]
fn what_happens_to_packets_is_said_in_squalls_words() {
    let fault = |rest: &str| fault("NetworkChaos", &format!("{{{SELECTOR}, {rest}}}"));
    for (spec, expected) in [
        (
            "action: delay, delay: {latency: 0.5ms, jitter: 10us, correlation: \"25\"}",
            json!(["network.latency", {"delay": "500us", "jitter": "10us", "correlation": "25%"}]),
        ),
        (
            "action: delay, delay: {latency: 1s, jitter: 0ms, correlation: \"0\"}",
            json!(["network.latency", {"delay": "1s"}]),
        ),
        (
            "action: delay, delay: {latency: 1s, correlation: \"5\", reorder: {reorder: \"50\", correlation: \"20\", gap: 5}}",
            json!(["network.reorder",
                {"delay": "1s", "delay_correlation": "5%", "reorder": "50%", "correlation": "20%", "gap": 5}]),
        ),
        (
            "action: loss, loss: {loss: \"2.5\", correlation: \"10\"}",
            json!(["network.loss", {"loss": "2.5%", "correlation": "10%"}]),
        ),
        (
            "action: duplicate, duplicate: {duplicate: \"40\"}",
            json!(["network.duplicate", {"duplicate": "40%"}]),
        ),
        (
            "action: corrupt, corrupt: {corrupt: \"40\", correlation: \"1\"}",
            json!(["network.corrupt", {"corrupt": "40%", "correlation": "1%"}]),
        ),
        (
            "action: netem, delay: {latency: 9ms, correlation: \"5\"}, loss: {loss: \"1\", correlation: \"2\"}, rate: {rate: 1mbps}",
            json!(["network.netem", {"delay": "9ms", "delay_correlation": "5%", "loss": "1%", "loss_correlation": "2%",
                "rate": "1MB/s"}]),
        ),
        ("action: netem, rate: {rate: 1mbit}", json!(["network.bandwidth", {"rate": "1mbit"}])),
        (
            "action: bandwidth, bandwidth: {rate: 1mbps, limit: 20000, buffer: 10000}",
            json!(["network.bandwidth", {"rate": "1MB/s", "burst": "10000B", "queue": "10ms"}]),
        ),
        (
            "action: bandwidth, bandwidth: {rate: 8bit, limit: 4294967295, buffer: 1, peakrate: 5, minburst: 5}",
            json!(["network.bandwidth", {"rate": "8bit", "burst": "1B", "queue": "1m"}]),
        ),
        ("action: partition", json!(["network.partition", {"direction": "out"}])),
        ("action: partition, direction: from", json!(["network.partition", {"direction": "in"}])),
    ] {
        assert_eq!(fault(spec), expected, "{spec}");
    }
    let notes = |rest: &str| notes("NetworkChaos", &format!("{{{SELECTOR}, duration: 5s, {rest}}}"));
    assert!(
        notes("action: bandwidth, bandwidth: {rate: 1mbps, limit: 100, buffer: 10000}")
            .contains("drops every packet")
    );
    assert!(
        notes("action: partition, delay: {latency: 1s}")
            .contains("`delay` means nothing with `action: partition`")
    );
}

#[test]
fn each_direction_strikes_the_side_that_sends() {
    let spec = |rest: &str| {
        format!(
            "{{{SELECTOR}, {rest}, target: {{mode: all, selector: {{namespaces: [db], labelSelectors: {{app: sql}}}}}}}}"
        )
    };
    let web = json!({"pod": {"namespace": "shop", "labels": {"app": "web"}}, "mode": "all"});
    let sql = json!({"pod": {"namespace": ["db"], "labels": {"app": "sql"}}, "mode": "all"});
    let delay = "action: delay, delay: {latency: 1s}";
    let latency = |on: &Json, to: &Json| json!({"fault": "network.latency", "target": on, "with": {"delay": "1s", "destination": [to]}});
    assert_eq!(method("NetworkChaos", &spec(delay)), json!([latency(&web, &sql)]));
    assert_eq!(
        method("NetworkChaos", &spec(&format!("direction: from, {delay}"))),
        json!([latency(&sql, &web)])
    );
    assert_eq!(
        method("NetworkChaos", &spec(&format!("direction: both, duration: 9s, {delay}"))),
        json!([{"together": [latency(&web, &sql), latency(&sql, &web)], "for": "9s"}])
    );
    assert_eq!(
        fault("NetworkChaos", &spec("direction: both, action: loss, loss: {loss: \"5\"}")),
        json!(["network.loss", {"loss": "5%", "direction": "both", "destination": [sql]}])
    );
    for (direction, ours, filter) in
        [("to", "out", "destination"), ("from", "in", "source"), ("both", "both", "destination")]
    {
        assert_eq!(
            fault(
                "NetworkChaos",
                &spec(&format!("action: partition, direction: {direction}, externalTargets: [10.0.0.0/8]"))
            ),
            json!(["network.partition", {"direction": ours, filter: [sql, "10.0.0.0/8"]}])
        );
    }
    let targets = "[8.8.8.8, www.example.com, 8.8.0.0/16, \"1.1.1.1:80\", \"example.com:443\", \"10.0.0.0/8:22\", \"fd00::1\", \
                   \"[fd00::1]:80\"]";
    let read = fault(
        "NetworkChaos",
        &format!("{{{SELECTOR}, {delay}, externalTargets: {targets}, device: eth0@if4}}"),
    );
    assert_eq!(read[1]["destination"][5], json!("10.0.0.0/8:22"));
    assert_eq!(read[1]["destination"].as_array().unwrap().len(), 8);
}

#[test]
fn what_stresses_is_counted_alike() {
    let method = |rest: &str| method("StressChaos", &format!("{{{SELECTOR}, duration: 20s, {rest}}}"));
    let cpu = |rest: &str| method(&format!("stressors: {{cpu: {{{rest}}}}}"))[0].clone();
    assert_eq!(cpu("workers: 2, load: 20")["with"], json!({"percent": "20%", "cores": 2}));
    assert_eq!(cpu("workers: 1")["with"], json!({"percent": "100%", "cores": 1}));
    let options = cpu("workers: 1, load: 20, options: [\"--cpu 2\", \"--timeout 600\", \"-l=50\"]");
    assert_eq!((&options["with"], &options["for"]), (&json!({"percent": "50%", "cores": 2}), &json!("20s")));
    assert_eq!(cpu("workers: 1, options: [--timeout 5s]")["for"], json!("5s"));
    let memory = |rest: &str| method(&format!("stressors: {{memory: {{{rest}}}}}"))[0]["with"].clone();
    assert_eq!(memory("workers: 4, size: 256MB, oomScoreAdj: 0"), json!({"size": "256MB"}));
    assert_eq!(memory("workers: 1, size: \"50%\""), json!({"percent": "50%"}));
    let both =
        method("containerNames: [main], stressors: {cpu: {workers: 1}, memory: {workers: 1, size: 1GiB}}");
    assert_eq!(both[0]["together"][0]["fault"], json!("cpu.load"));
    assert_eq!(both[0]["together"][1]["with"], json!({"size": "1GiB"}));
    assert_eq!(both[0]["together"][1]["target"]["pod"]["containers"], json!(["main"]));
    assert_eq!(both[0]["for"], json!("20s"));
}

#[test]
fn kinds_whose_faults_come_later_are_read_to_the_end() {
    let spec = |rest: &str| format!("{{{SELECTOR}, duration: 5s, {rest}}}");
    let io = |rest: &str| fault("IOChaos", &spec(&format!("volumePath: /data, {rest}")));
    for (read, expected) in [
        (
            io("action: fault, errno: 5, path: /data/**/*, methods: [read, write], percent: 50"),
            json!(["storage.error", {"errno": "EIO", "volume": "/data", "paths": ["/data/**/*"], "operations": ["read", "write"],
                "probability": "50%"}]),
        ),
        (io("action: fault, errno: 133"), json!(["storage.error", {"errno": 133, "volume": "/data"}])),
        (
            io("action: latency, delay: 10ms"),
            json!(["storage.latency", {"delay": "10ms", "volume": "/data"}]),
        ),
        (
            io("action: attrOverride, attr: {perm: 72, kind: socket, mtime: {sec: 1, nsec: 2}}"),
            json!(["storage.attribute", {"attributes": {"perm": 72, "mtime": {"sec": 1, "nsec": 2}, "kind": "socket"},
                "volume": "/data"}]),
        ),
        (
            io("action: mistake, mistake: {filling: zero, maxOccurrences: 2, maxLength: 10}"),
            json!(["storage.mistake", {"filling": "zero", "occurrences": 2, "length": 10, "volume": "/data"}]),
        ),
        (
            fault("TimeChaos", &spec("timeOffset: \"-10m100ns\", clockIds: [CLOCK_REALTIME]")),
            json!(["clock.skew", {"offset": "-10m100ns", "clocks": ["CLOCK_REALTIME"]}]),
        ),
        (
            fault("DNSChaos", &spec("action: random, patterns: [a.com, chaos-mesh.*, github.?om]")),
            json!(["dns.random", {"names": ["a.com", "chaos-mesh.*", "github.?om"]}]),
        ),
        (fault("DNSChaos", &spec("action: error")), json!(["dns.error", null])),
        (
            fault("HTTPChaos", &spec("target: Request, port: 80, path: /a/*, method: GET, abort: true")),
            json!(["http.abort", {"on": "request", "port": 80, "path": "/a/*", "method": "GET"}]),
        ),
        (
            fault(
                "HTTPChaos",
                &spec("target: Response, port: 80, code: 200, delay: 1s, request_headers: {A: b}"),
            ),
            json!(["http.delay", {"on": "response", "port": 80, "request_headers": {"A": "b"}, "code": 200, "delay": "1s"}]),
        ),
        (
            fault(
                "HTTPChaos",
                &spec("target: Response, port: 80, replace: {code: 503, body: aGk=, headers: {A: b}}"),
            ),
            json!(["http.replace", {"on": "response", "port": 80,
                "set": {"headers": {"A": "b"}, "code": 503, "body_base64": "aGk="}}]),
        ),
        (
            fault(
                "HTTPChaos",
                &spec(
                    "target: Request, port: 80, patch: {body: {type: JSON, value: '{\"a\": 1}'}, queries: [[a, b]], headers: [[C, d]]}",
                ),
            ),
            json!(["http.patch", {"on": "request", "port": 80, "merge": "{\"a\": 1}",
                "add": {"queries": [["a", "b"]], "headers": [["C", "d"]]}}]),
        ),
    ] {
        assert_eq!(read, expected);
    }
    let several = method("HTTPChaos", &spec("target: Request, port: 80, abort: true, delay: 1s"));
    assert_eq!(several[0]["together"].as_array().unwrap().len(), 2);
    let v1 = manifest(
        "IoChaos",
        &spec("action: latency, delay: 1ms, volumePath: /data, scheduler: {cron: \"@every 1m\"}"),
    );
    assert_eq!(translated(&v1).root.to_json()["method"][0]["fault"], json!("storage.latency"));
}

#[test]
fn instances_of_aws_are_named_by_number_and_region() {
    let spec = "{action: ec2-stop, awsRegion: eu-west-1, ec2Instance: i-0abc, endpoint: \"http://a:1\", secretName: s, duration: 5m}";
    assert_eq!(
        method("AWSChaos", spec),
        json!([{"fault": "aws.ec2_stop", "for": "5m",
            "target": {"instances": {"id": "i-0abc", "region": "eu-west-1", "endpoint": "http://a:1"}}}])
    );
    let notes = notes("AWSChaos", spec);
    assert!(notes.contains("`secretName` is not read") && notes.contains("squall=allowed"), "{notes}");
    let restart = method("AWSChaos", "{action: ec2-restart, awsRegion: eu-west-1, ec2Instance: i-0abc}");
    assert_eq!(restart[0]["fault"], json!("aws.ec2_reboot"));
}

#[test]
fn one_round_of_a_schedule_is_read_and_the_others_are_kept_as_data() {
    let kept = |text: &str| translated(text).root.to_json()["schedule"].clone();
    let v1 = manifest(
        "PodChaos",
        &format!("{{action: pod-kill, {SELECTOR}, scheduler: {{cron: \"@every 2h\"}}}}"),
    );
    assert_eq!(kept(&v1), json!({"cron": "@every 2h", "concurrency": "forbid"}));
    let schedule = manifest(
        "Schedule",
        "{schedule: \"0 3 * * *\", type: NetworkChaos, concurrencyPolicy: Allow, historyLimit: 5, startingDeadlineSeconds: 30, \
         networkChaos: {action: delay, delay: {latency: 9ms}, mode: one, selector: {}, duration: 30s}, podChaos: {}}",
    );
    let conversion = translated(&schedule);
    let notes = conversion.notes.join("\n");
    assert!(notes.contains("`squall run` carries out one round; when others begin (`0 3 * * *`)"), "{notes}");
    assert!(notes.contains("`podChaos` means nothing with `type: NetworkChaos`"), "{notes}");
    assert_eq!(
        conversion.root.to_json()["schedule"],
        json!({"cron": "0 3 * * *", "concurrency": "allow", "starting_deadline": "30s", "history": 5})
    );
    let read = experiment(&schedule);
    let expected = Schedule {
        cron: "0 3 * * *".into(),
        concurrency: Concurrency::Allow,
        starting_deadline: Some(Duration::seconds(30)),
        history: Some(5),
    };
    assert_eq!(read.schedule, Some(expected));
    assert_eq!(read.notes, conversion.notes);
    let again = experiment(&read::to_yaml(&conversion.root));
    assert_eq!((again.schedule, again.notes.len()), (read.schedule, 0));
    let workflow = manifest(
        "Schedule",
        "{schedule: \"@every 1h\", type: Workflow, startingDeadlineSeconds: null, workflow: {entry: a, templates: [{name: a, \
         templateType: PodChaos, deadline: 5s, podChaos: {action: pod-kill, mode: one, selector: {}}}]}}",
    );
    assert_eq!(kept(&workflow)["cron"], json!("@every 1h"));
    assert_eq!(translated(&workflow).root.to_json()["method"][0]["for"], json!("5s"));
}

/// A workflow with these templates beside some faults: `kill` and `delay` of 20 s each.
fn workflow(entry: &str, templates: &str) -> String {
    manifest(
        "Workflow",
        &format!(
            "\n  entry: {entry}\n  templates:\n{templates}\n  - {{name: kill, templateType: PodChaos, deadline: 20s, podChaos: {{action: \
             pod-kill, mode: one, selector: {{}}}}}}\n  - {{name: delay, templateType: NetworkChaos, deadline: 20s, networkChaos: \
             {{action: delay, delay: {{latency: 9ms}}, mode: all, selector: {{}}}}}}\n  - {{name: pause, templateType: Suspend, \
             deadline: 10s}}"
        ),
    )
}

/// A method in short: `fault+after*for`, groups in brackets, waits as `~10s`.
fn short(text: &str) -> String {
    let strike = |entry: &Json| {
        let word =
            |key: &str, sign: &str| entry[key].as_str().map_or(String::new(), |word| format!("{sign}{word}"));
        let fault = entry["fault"].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
        format!("{fault}{}{}{}", word("after", "+"), word("for", "*"), word("when", " if "))
    };
    let entry = |entry: &Json| {
        let body = match (entry["wait"].as_str(), entry["together"].as_array()) {
            _ if entry["as"].is_string() => format!("?{}", entry["as"].as_str().unwrap()),
            (Some(wait), _) => format!(
                "~{wait}{}",
                entry["when"].as_str().map_or(String::new(), |when| format!(" if {when}"))
            ),
            (_, Some(members)) => format!("[{}]", members.iter().map(strike).collect::<Vec<_>>().join(" ")),
            _ => strike(entry),
        };
        entry["repeat"].as_u64().map_or(body.clone(), |times| format!("{body} x{times}"))
    };
    let method = translated(text).root.to_json()["method"].clone();
    method.as_array().unwrap().iter().map(entry).collect::<Vec<_>>().join(", ")
}

/// A Task with these branches.
fn task(branches: &str) -> String {
    format!(
        "  - {{name: a, templateType: Task, task: {{container: {{image: x}}}}, conditionalBranches: {branches}}}"
    )
}

#[test]
fn a_task_is_a_question_and_its_branches_are_chosen_by_the_answer() {
    let choice =
        task("[{target: delay, expression: exitCode == 0}, {target: kill, expression: exitCode != 0}]");
    assert_eq!(
        short(&workflow("a", &choice)),
        "?a, latency*20s if a.exit_code == 0, pod_kill*20s if a.exit_code != 0"
    );
    // What may hold at once runs at once; what comes after a wait waits for it only where it is taken.
    let several =
        "[{target: delay, expression: 'stdout contains \"slow\"'}, {target: b, expression: exitCode == 0}]";
    let several =
        format!("{}\n  - {{name: b, templateType: Serial, children: [delay, pause, kill]}}", task(several));
    assert_eq!(
        short(&workflow("a", &several)),
        "?a, [latency*20s if a.stdout =~ \"slow\" latency*20s if a.exit_code == 0], ~10s if (a.exit_code == 0), pod_kill*20s if \
         a.exit_code == 0"
    );
    // In a Serial it parts what is before it from what is after it; a branch may ask again.
    let nested = format!(
        "{}\n  - {{name: s, templateType: Serial, children: [delay, a, pause, delay]}}\n  - {{name: t, templateType: Task, task: \
         {{container: {{image: y}}}}, conditionalBranches: [{{target: kill, expression: exitCode == 1}}]}}",
        task("[{target: t, expression: exitCode == 0}]")
    );
    assert_eq!(
        short(&workflow("s", &nested)),
        "latency*20s, ?a, ?t, pod_kill*20s if (a.exit_code == 0) and (t.exit_code == 1), ~10s, latency*20s"
    );
    let method = translated(&workflow("s", &nested)).root.to_json()["method"].clone();
    assert_eq!(method[1]["ask"]["pod"]["container"], serde_json::json!({"image": "x"}));
    assert_eq!((&method[1]["ask"]["pod"]["timeout"], &method[1]["within"]), (&"5m".into(), &"5m15s".into()));
    assert_eq!(method[2]["when"], "a.exit_code == 0");
}

#[test]
fn branches_that_exclude_each_other_by_what_is_printed_may_ask_again() {
    let branches = |second: &str| {
        let choice = task(&format!(
            "[{{target: t, expression: 'exitCode == 0 && stdout == \"a\"'}}, {{target: kill, expression: 'exitCode == 0 && {second}'}}, \
             {{target: delay, expression: 'exitCode != 0'}}]"
        ));
        let again = "  - {name: t, templateType: Task, task: {container: {image: y}}, conditionalBranches: [{target: kill, expression: \
                     exitCode == 1}]}";
        workflow("a", &format!("{choice}\n{again}"))
    };
    for excluded in ["stdout == \"b\"", "stdout startsWith \"b\" && stdout != \"a\"", "stdout endsWith \"b\""]
    {
        let laid = short(&branches(excluded));
        assert!(
            laid.starts_with(
                "?a, ?t, pod_kill*20s if (a.exit_code == 0 and a.stdout == \"a\") and (t.exit_code == 1), pod_kill*20s if a.exit_code \
                 == 0 and a.stdout "
            ) && laid.ends_with(", latency*20s if a.exit_code != 0"),
            "{laid}"
        );
    }
    for not_excluded in ["stdout contains \"a\"", "stdout != \"b\""] {
        let message = mistakes(&branches(not_excluded));
        assert!(message.contains("a Task in a branch that may be taken together with others"), "{message}");
    }
}

#[test]
fn workflows_are_laid_out_on_one_timeline() {
    let serial = "  - {name: a, templateType: Serial, deadline: 240s, children: [delay, pause, kill]}";
    assert_eq!(short(&workflow("a", serial)), "latency*20s, ~10s, pod_kill*20s");
    let cut = "  - {name: a, templateType: Serial, deadline: 35s, children: [delay, pause, kill]}";
    assert_eq!(short(&workflow("a", cut)), "latency*20s, ~10s, pod_kill*5s");
    let parallel = "  - {name: a, templateType: Parallel, children: [delay, b]}\n  - {name: b, templateType: Serial, children: [pause, \
                    kill, pause]}";
    assert_eq!(short(&workflow("a", parallel)), "[latency*20s pod_kill+10s*20s], ~10s");
    assert_eq!(short(&workflow("kill", "")), "pod_kill*20s");
    let beginning = "  - {name: a, templateType: Serial, children: [pause, delay, delay]}";
    assert_eq!(short(&workflow("a", beginning)), "~10s, latency*20s x2");
    let forever = "  - {name: a, templateType: Serial, children: [b, kill]}\n  - {name: b, templateType: PodChaos, podChaos: {action: \
                   pod-failure, mode: one, selector: {}}}";
    assert_eq!(short(&workflow("a", forever)), "pod_failure*1m, pod_kill*20s");
    let notes = translated(&workflow("a", forever)).notes.join("\n");
    assert!(
        notes.contains("without `deadline` does not end in Chaos Mesh; Squall goes on after 1m"),
        "{notes}"
    );
    assert!(notes.contains("nothing leads to the template `delay`"), "{notes}");
}

#[test]
fn rounds_within_a_workflow_end_with_its_deadline() {
    let rounds = |deadline: &str, schedule: &str| {
        let template = format!(
            "  - {{name: a, templateType: Schedule, deadline: {deadline}, schedule: {{{schedule}}}}}"
        );
        short(&workflow("a", &template))
    };
    let kill = "type: PodChaos, podChaos: {action: pod-kill, mode: one, selector: {}}";
    assert_eq!(rounds("40s", &format!("schedule: \"@every 2s\", {kill}")), "pod_kill*2s x20");
    assert_eq!(
        rounds("5s", &format!("schedule: \"@every 2s\", concurrencyPolicy: Allow, {kill}")),
        "pod_kill*2s x2, pod_kill*1s"
    );
    let failure = |duration: &str| {
        format!("type: PodChaos, podChaos: {{action: pod-failure, mode: one, selector: {{}}{duration}}}")
    };
    let every = |policy: &str, duration: &str| {
        rounds("10s", &format!("schedule: \"@every 4s\"{policy}, {}", failure(duration)))
    };
    assert_eq!(every("", ", duration: 1s"), "pod_failure*1s, ~3s, pod_failure*1s, ~3s, pod_failure*1s, ~1s");
    assert_eq!(every("", ", duration: 5s"), "pod_failure*5s, ~3s, pod_failure*2s");
    assert_eq!(
        every(", concurrencyPolicy: Allow", ", duration: 5s"),
        "[pod_failure*5s pod_failure+4s*5s pod_failure+8s*2s]"
    );
    assert_eq!(every("", ""), "pod_failure*10s");
}

#[test]
fn checks_of_a_workflow_become_checks_of_the_experiment() {
    let check = |mode: &str, aborts: bool, status: &str| {
        format!(
            "  - {{name: is-up, templateType: StatusCheck, deadline: 20s, abortWithStatusCheck: {aborts}, statusCheck: {{mode: {mode}, \
             type: HTTP, intervalSeconds: 5, http: {{url: \"http://web/\", method: GET, headers: {{A: [b, c]}}, criteria: {{statusCode: \
             \"{status}\"}}}}}}}}"
        )
    };
    let http = json!({"url": "http://web/", "method": "GET", "headers": {"A": "b, c"}, "timeout": "1s"});
    let serial = "  - {name: a, templateType: Serial, children: [is-up, kill]}\n";
    let text = workflow("a", &format!("{serial}{}", check("Synchronous", true, "200")));
    let read = translated(&text).root.to_json();
    assert_eq!(read["steady_state"], json!([{"name": "is-up", "http": http, "expect": "status == 200"}]));
    assert_eq!(short(&text), "pod_kill*20s");

    let parallel = "  - {name: a, templateType: Parallel, children: [is-up, kill]}\n";
    let text = workflow("a", &format!("{parallel}{}", check("Continuous", false, "200-299")));
    let read = translated(&text).root.to_json();
    assert_eq!(
        read["hypothesis_holds"],
        json!([{"name": "is-up", "http": http, "expect": "status >= 200 and status <= 299"}])
    );
    assert_eq!(read.get("guard"), None);

    let text = workflow("a", &format!("{parallel}{}", check("Continuous", true, "200-400")));
    let read = translated(&text).root.to_json();
    assert_eq!(read["guard"], json!([{"abort_if": "(is_up < 200 or is_up > 399) for 10s"}]));
    assert_eq!(read["metrics"]["is_up"]["http"]["value"], json!("status"));
    let notes = translated(&text).notes.join("\n");
    assert!(notes.contains("the check `is-up` guards the whole run"), "{notes}");

    let between = "  - {name: a, templateType: Serial, children: [delay, is-up, kill]}\n";
    let message = mistakes(&workflow("a", &format!("{between}{}", check("Synchronous", true, "200"))));
    assert!(message.contains("this check stands between faults"), "{message}");
    let message = mistakes(&workflow("a", &format!("{parallel}{}", check("Continuous", true, "500"))));
    assert!(message.contains("a status of 400 or above ends a run"), "{message}");
}

#[test]
fn a_check_alone_breaks_nothing_and_is_asked_twice() {
    let check = |rest: &str| {
        manifest(
            "StatusCheck",
            &format!(
                "{{type: HTTP, http: {{url: \"http://a\", criteria: {{statusCode: \"200-300\"}}}}{rest}}}"
            ),
        )
    };
    let read = experiment(&check(""));
    assert!(read.notes[0].contains("breaks nothing"), "{:?}", read.notes);
    let tree = translated(&check("")).root.to_json();
    let http = json!({"url": "http://a", "timeout": "1s"});
    assert_eq!(
        tree["steady_state"],
        json!([{"name": "status", "http": http, "expect": "status >= 200 and status <= 300"}])
    );
    assert_eq!(tree["method"], json!([{"wait": "1s"}]));
    let longer = translated(&check(", mode: Continuous, duration: 20s")).root.to_json();
    assert_eq!(longer["method"], json!([{"wait": "20s"}]));
}

#[test]
fn what_is_read_is_an_experiment_that_points_into_the_manifest() {
    let text = manifest(
        "NetworkChaos",
        &format!(
            "{{{SELECTOR}, action: delay, delay: {{latency: 9ms, correlation: \"25\"}}, duration: 10s, target: {{{SELECTOR}}}}}"
        ),
    );
    let read = experiment(&text);
    assert_eq!(read.name, "x");
    assert_eq!(read.notes.len(), 1, "{:?}", read.notes);
    let again = experiment(&read::to_yaml(&translated(&text).root));
    assert_eq!(again.notes.len(), 0);
    // A mistake that only the fault knows of is told where the manifest makes it.
    let wrong = text.replace("latency: 9ms,", "latency: 9ms, jitter: 10ms,");
    assert!(mistakes(&wrong).contains("jitter 10ms is more than delay 9ms"), "{}", mistakes(&wrong));
}

#[test]
fn a_manifest_has_no_variables() {
    let text = manifest(
        "PodChaos",
        "{action: pod-failure, mode: all, selector: {annotationSelectors: {a: \"${x} $${y}\"}}}",
    );
    assert!(read::variable_names(&source(&text)).unwrap().is_empty());
    let conversion = translated(&text);
    assert_eq!(
        conversion.root.to_json()["method"][0]["target"]["pod"]["annotations"]["a"],
        json!("$${x} $$${y}")
    );
    assert_eq!(read::kind(&source(&text)).unwrap().as_deref(), Some("PodChaos"));
    let aimed = manifest(
        "NetworkChaos",
        "{action: delay, delay: {latency: 9ms}, duration: 1s, mode: all, selector: {labelSelectors: {a: \"${x}\"}}}",
    );
    let read = experiment(&aimed);
    assert!(format!("{:?}", read.method).contains("${x}"));
    let overrides = Overrides { demanded: ["x".to_owned()].into(), ..Overrides::default() };
    let errors = read::experiment(&source(&aimed), &Small, &overrides).unwrap_err();
    assert!(errors[0].message.contains("this file does not use it"), "{errors:?}");
}

#[test]
fn a_fault_that_is_not_there_yet_is_told_by_name() {
    let spec = "{action: fault, errno: 5, volumePath: /data, mode: one, selector: {}}";
    let message = mistakes(&manifest("IOChaos", spec));
    assert_eq!(
        message,
        "fault: this IOChaos needs the fault `storage.error`, which this version of Squall does not have (not there yet); all else \
         in this file is right: it is carried out as it is once the fault is there"
    );
    let both = "{action: fault, errno: 5, errnoo: 5, volumePath: /data, mode: one, selector: {}}";
    assert!(
        !mistakes(&manifest("IOChaos", both)).contains("all else"),
        "{}",
        mistakes(&manifest("IOChaos", both))
    );
}

#[test]
fn every_mistake_is_told_at_its_place() {
    let pod = |rest: &str| manifest("PodChaos", &format!("{{action: pod-kill, {rest}}}"));
    let network = |rest: &str| manifest("NetworkChaos", &format!("{{{SELECTOR}, {rest}}}"));
    let stress = |rest: &str| manifest("StressChaos", &format!("{{{SELECTOR}, {rest}}}"));
    let io = |rest: &str| manifest("IOChaos", &format!("{{{SELECTOR}, {rest}}}"));
    let http = |rest: &str| manifest("HTTPChaos", &format!("{{{SELECTOR}, {rest}}}"));
    let table: &[(String, &str)] = &[
        // The manifest as a whole.
        ("apiVersion: chaos-mesh.org/v1\nkind: PodChaos\n".into(), "chaos-mesh.org/v1: of Chaos Mesh, `apiVersion: chaos-mesh.org/v1alpha1` is read"),
        ("apiVersion: chaos-mesh.org/v1alpha1\n".into(), "`kind` is missing"),
        (manifest("PodChaoss", "{}"), "PodChaoss: unknown kind `PodChaoss` of Chaos Mesh (not known here); did you mean `PodChaos`?"),
        ("apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nspec: {}\n".into(), "`metadata` is missing"),
        ("apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {namespace: a}\nspec: {a: b}\n".into(), "`name` is missing"),
        ("apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {name: a, lables: {}}\nspec: {a: b}\n".into(),
            "lables: unknown key `lables` (not known here); did you mean `labels`?"),
        ("apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {name: a}\n".into(), "`spec` is missing"),
        // Selectors.
        (pod("mode: one"), "`selector` is missing: which pods"),
        (pod("selector: {}"), "`mode` is missing"),
        (pod("mode: some, selector: {}"), "some: unknown mode `some`"),
        (pod("mode: fixed, selector: {}"), "fixed: `mode: fixed` needs a `value`"),
        (pod("mode: fixed, value: \"0\", selector: {}"), "\"0\": with `mode: fixed`, `value` is a whole number of pods"),
        (pod("mode: fixed, value: \"1.5\", selector: {}"), "\"1.5\": with `mode: fixed`"),
        (pod("mode: fixed-percent, value: \"0\", selector: {}"), "more than 0 and at most 100"),
        (pod("mode: fixed-percent, value: \"101\", selector: {}"), "\"101\": with `mode: fixed-percent`"),
        (pod("mode: fixed-percent, value: 30%, selector: {}"), "30%: with `mode: fixed-percent`"),
        (pod("mode: one, selector: {zebra: {a: b}}"),
            "zebra: unknown key `zebra` (not known here); known: `pods`, `namespaces`, `labelSelectors`"),
        (pod("mode: one, selector: {labelSelector: {a: b}}"), "labelSelector: unknown key `labelSelector` (not known here); did you mean `labelSelectors`?"),
        (pod("mode: one, selector: {labelSelectors: {a: 5}}"), "5: expected a text, found the number 5 (expected a text); put it in quotes if it is a text"),
        (pod("mode: one, selector: {namespaces: shop}"), "shop: `namespaces` is a list, and this is a text"),
        (pod("mode: one, selector: {pods: [a]}"), "[a]: `pods` is a map of namespaces"),
        (pod("mode: one, selector: {podPhaseSelectors: [Runing]}"), "Runing: unknown phase of a pod `Runing` (not known here); did you mean `Running`?"),
        (pod("mode: one, selector: {podPhaseSelectors: [Running, \"!Running\"]}"), "no phase is left"),
        (pod("mode: one, selector: {nodes: [a], nodeSelectors: {b: c}}"), "{b: c}: `nodes` and `nodeSelectors` together mean the nodes of either"),
        (pod("mode: one, selector: {expressionSelectors: [{key: a, operator: In}]}"), "In: `In` compares with `values`"),
        (pod("mode: one, selector: {expressionSelectors: [{key: a, operator: Exists, values: [b]}]}"), "`Exists` takes no `values`"),
        (pod("mode: one, selector: {expressionSelectors: [{key: a, operator: Equals}]}"), "Equals: unknown operator `Equals`"),
        // What every kind has.
        (pod("mode: one, selector: {}, duration: 30"), "30: expected a duration, found a number; such as \"300ms\""),
        (pod("mode: one, selector: {}, duration: 1d"), "1d: \"1d\" is no duration: it counts in h, m, s, ms, us and ns; a day is 24h"),
        (pod("mode: one, selector: {}, duration: -5s"), "-5s: this must be longer than nothing"),
        (pod("mode: one, selector: {}, remoteCluster: far"), "far: `remoteCluster`: Squall strikes in the cluster of its kubeconfig"),
        (pod("mode: one, selector: {}, scheduler: {corn: x}"), "corn: unknown key `corn`"),
        (pod("mode: one, selector: {}, containerNames: main"), "PodChaos"),
        // Pods.
        (manifest("PodChaos", "{mode: one, selector: {}}"), "`action` is missing"),
        (manifest("PodChaos", "{action: pod-kil, mode: one, selector: {}}"), "pod-kil: unknown action `pod-kil` (not known here); did you mean `pod-kill`?"),
        (manifest("PodChaos", "{action: container-kill, mode: one, selector: {}}"), "`containerNames` is missing"),
        (pod("mode: one, selector: {}, gracePeriod: -1"), "-1: expected a whole number of at least 0"),
        (pod("mode: one, selector: {}, gracePeriod: \"5\""), "\"5\": expected a whole number of at least 0; write it without quotes"),
        // Networks.
        (network("action: delay"), "delay: `delay` is missing: how packets are harmed"),
        (network("action: netem"), "netem: one of `delay`, `loss`, `duplicate`, `corrupt` and `rate` is missing"),
        (network("action: delay, delay: {jitter: 1s}"), "`latency` is missing"),
        (network("action: delay, delay: {latency: 90}"), "90: expected a duration"),
        (network("action: delay, delay: {latency: 0ms}"), "0ms: this must be longer than nothing"),
        (network("action: loss, loss: {loss: \"101\"}"), "\"101\": expected a number of percent between 0 and 100"),
        (network("action: loss, loss: {loss: 25%}"), "25%: expected a number of percent between 0 and 100; such as \"25\", without a sign"),
        (network("action: loss, loss: {los: \"1\"}"), "los: unknown key `los` (not known here); did you mean `loss`?"),
        (network("action: bandwidth, bandwidth: {rate: 1.5mbit, limit: 1, buffer: 1}"), "1.5mbit: \"1.5mbit\" is no rate"),
        (network("action: bandwidth, bandwidth: {rate: 1mbit, limit: 0, buffer: 1}"), "0: expected a whole number between 1 and 4294967295"),
        (network("action: partition, direction: in"), "in: unknown direction `in`"),
        (network("action: delay, delay: {latency: 1s}, direction: from"), "from: `direction: from` needs a `target`"),
        (network("action: loss, loss: {loss: \"1\"}, direction: both, externalTargets: [a.b]"), "both: `direction: both` would shape what external targets send"),
        (network("action: partition, externalTargets: [\"10.0.0.0/33\"]"), "\"10.0.0.0/33\": \"10.0.0.0/33\" is neither an address"),
        (network("action: partition, externalTargets: [\"a.b:99999\"]"), "is neither an address"),
        (network("action: partition, device: net1"), "net1: `device`: Squall strikes every interface of a pod and cannot name one"),
        (
            network("action: delay, delay: {latency: 1s}, direction: both, target: {mode: one, selector: {}}"),
            "both: `direction: both` is a fault on either side, and each would choose its pods anew",
        ),
        // Stress.
        (stress("duration: 1s"), "`stressors` is missing"),
        (stress("stressors: {}"), "{}: `stressors` names neither `cpu` nor `memory`"),
        (stress("stressors: {gpu: {}}"), "`stressors` names neither `cpu` nor `memory`"),
        (stress("stressngStressors: \"--cpu 1\""), "`stressngStressors`: Squall does not run stress-ng"),
        (stress("stressors: {cpu: {load: 5}}"), "`workers` is missing"),
        (stress("stressors: {cpu: {workers: 9000}}"), "9000: expected a whole number between 1 and 8192"),
        (stress("stressors: {cpu: {workers: 1, load: 101}}"), "101: expected a whole number between 0 and 100"),
        (stress("stressors: {cpu: {workers: 1, load: 0}}"), "0: a load of 0 percent stresses nothing"),
        (stress("stressors: {cpu: {workers: 1, options: [--hdd 1]}}"), "--hdd 1: `options`: Squall does not run stress-ng, and has nothing that does what `--hdd` does"),
        (stress("stressors: {cpu: {workers: 1, options: [--cpu x]}}"), "`--cpu` wants a number"),
        (stress("stressors: {memory: {workers: 1}}"), "`size` is missing"),
        (stress("stressors: {memory: {workers: 1, size: 5XB}}"), "5XB: \"5XB\" is no size"),
        (stress("stressors: {memory: {workers: 1, size: 150%}}"), "150%: \"150%\" is no share"),
        (stress("stressors: {memory: {workers: 1, size: 1MB, oomScoreAdj: -1000}}"), "-1000: `oomScoreAdj: -1000`: Squall's own worker is always the first"),
        (stress("stressors: {memory: {workers: 1, size: 1MB, options: [--time 5s]}}"), "`options`: Squall does not run memStress"),
        // Files, clocks, names, requests.
        (io("action: latency, volumePath: data, delay: 1s"), "data: `volumePath` is an absolute path"),
        (io("action: latency, volumePath: /data"), "latency: `delay` is missing: this action needs it"),
        (io("action: fault, volumePath: /data, errno: 0"), "0: expected a whole number between 1 and 4095"),
        (io("action: fault, volumePath: /data, errno: 5, methods: [raed]"), "raed: unknown method `raed` (not known here); did you mean `read`?"),
        (io("action: attrOverride, volumePath: /data, attr: {}"), "{}: `attr` names no attribute"),
        (io("action: mistake, volumePath: /data, mistake: {filling: one}"), "one: unknown filling `one`"),
        (io("action: latency, volumePath: /data, delay: 1s, percent: 101"), "101: expected a whole number between 0 and 100"),
        (manifest("TimeChaos", &format!("{{{SELECTOR}}}")), "`timeOffset` is missing"),
        (manifest("TimeChaos", &format!("{{{SELECTOR}, timeOffset: 0s}}")), "0s: an offset of nothing changes nothing"),
        (manifest("TimeChaos", &format!("{{{SELECTOR}, timeOffset: 1s, clockIds: [CLOCK]}}")), "CLOCK: unknown clock `CLOCK`"),
        (manifest("DNSChaos", &format!("{{{SELECTOR}, action: error, patterns: [\"chaos-*.org\"]}}")), "\"chaos-*.org\" is no pattern of names: a `*` stands at the end"),
        (http("target: Reply, port: 80, abort: true"), "Reply: unknown target `Reply`"),
        (http("target: Request, port: 80"), "one of `abort`, `delay`, `replace` and `patch` is missing"),
        (http("target: Request, port: 0, abort: true"), "0: expected a whole number between 1 and 65535"),
        (http("target: Request, port: 80, replace: {body: \"§\"}"), "`body` is base64, and this is not"),
        (http("target: Request, port: 80, patch: {body: {type: JSON, value: \"{\"}}"), "`value` is not JSON"),
        (http("target: Request, port: 80, patch: {headers: [[A]]}"), "[A]: an entry of `headers` is a name and a value"),
        (http("target: Request, port: 80, abort: true, tls: {secretName: a}"), "`certName` is missing"),
        // Clouds, and what is refused by name.
        (manifest("AWSChaos", "{action: detach-volume, awsRegion: a, ec2Instance: b, volumeID: c, deviceName: d}"),
            "detach-volume: `detach-volume`: Squall cannot yet take a volume"),
        (manifest("AWSChaos", "{action: ec2-stop, ec2Instance: b}"), "`awsRegion` is missing"),
        (manifest("JVMChaos", "{anything: true}"), "JVMChaos: JVMChaos cannot be carried out: Squall puts no agent into a Java virtual machine"),
        (manifest("KernelChaos", "{}"), "KernelChaos cannot be carried out"),
        (manifest("BlockChaos", "{}"), "BlockChaos cannot be carried out"),
        (manifest("GCPChaos", "{}"), "GCPChaos cannot be carried out: of clouds, Squall knows AWS"),
        (manifest("AzureChaos", "{}"), "AzureChaos cannot be carried out"),
        (manifest("PhysicalMachineChaos", "{}"), "`network-delay` is `network.latency`"),
        (manifest("PhysicalMachine", "{}"), "it is the address of a machine"),
        (manifest("RemoteCluster", "{}"), "it is the address of a cluster"),
        (manifest("PodNetworkChaos", "{}"), "use the NetworkChaos that it was made from"),
        (manifest("PodIOChaos", "{}"), "use the IOChaos that it was made from"),
        (manifest("PodHttpChaos", "{}"), "use the HTTPChaos that it was made from"),
        (manifest("WorkflowNode", "{}"), "use the Workflow that it was made from"),
        (manifest("StatusCheck", "{type: HTTP, http: {url: a, criteria: {statusCode: \"20x\"}}}"), "\"20x\" is neither a status nor a range"),
        // Schedules.
        (manifest("Schedule", "{type: PodChaos, podChaos: {}}"), "`schedule` is missing: when rounds begin"),
        (manifest("Schedule", "{schedule: x, type: PodChaos}"), "`podChaos` is missing: what the PodChaos does"),
        (manifest("Schedule", "{schedule: x, type: PodCaos}"), "PodCaos: unknown type `PodCaos` (not known here); did you mean `PodChaos`?"),
        (manifest("Schedule", "{schedule: x, type: JVMChaos, jvmChaos: {a: b}}"), "JVMChaos: JVMChaos cannot be carried out"),
        (manifest("Schedule", "{schedule: x, concurrencyPolicy: Replace, type: PodChaos, podChaos: {a: b}}"), "Replace: unknown policy `Replace`"),
        (manifest("Schedule", "{schedule: x, type: PodChaos, podChaos: {action: pod-kill, mode: one, selector: {}, scheduler: {cron: x}}}"),
            "scheduler: unknown key `scheduler`"),
        // Workflows.
        (manifest("Workflow", "{entry: a}"), "`templates` is missing"),
        (manifest("Workflow", "{entry: a, templates: []}"), "a: no template is called `a`"),
        (workflow("b", "  - {name: a, templateType: Serial, children: [kill]}"), "b: no template is called `b`"),
        (workflow("a", "  - {name: a, templateType: Serial, children: [kil]}"), "kil: no template is called `kil` (not known here); did you mean `kill`?"),
        (workflow("a", "  - {name: a, templateType: Serial, children: [b]}\n  - {name: b, templateType: Parallel, children: [kill, a]}"),
            "a: the template `a` is its own child, in a circle"),
        (workflow("kill", "  - {name: kill, templateType: Suspend, deadline: 1s}"), "kill: a second template is called `kill`"),
        (workflow("a", "  - {name: a, templateType: Suspend}"), "`deadline` is missing: how long the workflow waits"),
        (workflow("pause", ""), "pause: this workflow comes to no fault"),
        (workflow("a", "  - {name: a, templateType: Suspend, deadline: 1s, children: [kill]}"), "[kill]: `children` cannot stand in a template of type Suspend"),
        (workflow("a", "  - {name: a, templateType: Serail, children: [kill]}"), "Serail: unknown type of template `Serail` (not known here); did you mean `Serial`?"),
        (workflow("a", "  - {name: a, templateType: Task}"), "`task` is missing: what is run"),
        (workflow("a", "  - {name: a, templateType: Task, task: {container: {image: x}}}"), "this workflow comes to no fault"),
        (workflow("a", &task("[{target: kil, expression: exitCode == 0}]")), "kil: no template is called `kil`"),
        (workflow("a", &task("[{target: kill, expression: len(stdout) > 1}]")), "len(stdout) > 1: the expression cannot be read: `len`"),
        (workflow("a", &task("[{target: kill}]")), "`expression` is missing"),
        (workflow("a", &task("[{target: a, expression: exitCode == 0}]")), "the template `a` is its own child"),
        (
            workflow("b", &format!("{}\n  - {{name: b, templateType: Parallel, children: [a, delay]}}", task("[]"))),
            "a: a Task beside other templates",
        ),
        (
            workflow("b", &format!("{}\n  - {{name: b, templateType: Serial, deadline: 60s, children: [a, delay]}}", task("[]"))),
            "60s: there is a Task within this deadline",
        ),
        (
            workflow("b", &format!("{}\n  - {{name: b, templateType: Task, task: {{container: {{image: x}}}}, conditionalBranches: [{{target: a, \
                expression: exitCode < 2}}, {{target: delay, expression: exitCode > 0}}]}}", task("[]"))),
            "exitCode < 2: a Task in a branch that may be taken together with others",
        ),
        (workflow("a", "  - {name: a, templateType: JVMChaos, jvmChaos: {}}"), "JVMChaos: JVMChaos cannot be carried out"),
        (
            workflow("a", "  - {name: a, templateType: PodChaos, deadline: 5s, podChaos: {action: pod-kill, mode: one, selector: {}, duration: 7s}}"),
            "7s: within a workflow, how long a fault lasts is said by the `deadline` of its template",
        ),
        (
            workflow("a", "  - {name: a, templateType: Schedule, deadline: 5s, schedule: {schedule: \"* * * * *\", type: PodChaos, podChaos: {action: pod-kill, mode: one, selector: {}}}}"),
            "is about the clock on the wall",
        ),
        (
            workflow("a", "  - {name: a, templateType: Schedule, schedule: {schedule: \"@every 1s\", type: PodChaos, podChaos: {action: pod-kill, mode: one, selector: {}}}}"),
            "a: a schedule within a workflow needs a `deadline`",
        ),
        (
            workflow("a", "  - {name: a, templateType: Schedule, deadline: 1h, schedule: {schedule: \"@every 1ms\", type: PodChaos, podChaos: {action: pod-kill, mode: one, selector: {}}}}"),
            "more than 1000 rounds",
        ),
        (
            workflow("a", "  - {name: a, templateType: Schedule, deadline: 1h, schedule: {schedule: \"@every 1m\", concurrencyPolicy: Allow, type: PodChaos, podChaos: {action: pod-failure, mode: one, selector: {}}}}"),
            "would pile up",
        ),
    ];
    let wrong: Vec<String> = table
        .iter()
        .map(|(text, words)| (text, words, mistakes(text)))
        .filter(|(_, words, message)| !message.contains(**words))
        .map(|(text, words, message)| format!("{text}--- does not say: {words}\n{message}\n"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let several = mistakes(&pod("mode: sone, selector: {labelSelector: {}}, duration: 5, gracePeriod: x"));
    assert_eq!(several.lines().count(), 4, "{several}");
}

#[test]
fn files_of_several_documents_are_told_apart() {
    let one = manifest("PodChaos", "{action: pod-kill, mode: one, selector: {}}");
    let message = mistakes(&format!("---\n{one}---\n{one}"));
    assert!(
        message.starts_with(
            "---: a second document begins here; only one can be read here: name it by its number, such as `FILE#2`"
        ),
        "{message}"
    );
    translated(&format!("---\n{one}---\n# nothing more\n"));
    let wrong = one.replace("pod-kill", "pod-fill");
    let both = source(&format!("{one}---\n{wrong}"));
    assert_eq!(read::count_documents(&both), 2);
    assert!(read::convert(&read::document(&both, 1).unwrap(), &Small, None).is_ok());
    let second = read::document(&both, 2).unwrap();
    let told = read::render(&second, &read::convert(&second, &Small, None).unwrap_err(), false);
    assert!(told.contains("manifest.yaml#2:9:"), "{told}");
}

#[test]
fn what_is_no_manifest_is_not_converted() {
    let ours = "apiVersion: squall.dev/v1\nkind: Experiment\nname: x\nmethod: []\n";
    let refused = |text: &str, from| {
        let errors = read::convert(&source(text), &Small, from).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(
        refused(ours, None).contains("a file of no tool that is known here; known: `chaos-mesh`, `istio`")
    );
    assert!(refused(ours, Some("chaos-mesh")).contains("this is no file of `chaos-mesh`"));
    let one = manifest("PodChaos", "{action: pod-kill, mode: one, selector: {}}");
    assert!(refused(&one, Some("litmus")).contains("this is no file of `litmus`"));
    assert!(read::convert(&source(&one), &Small, Some("chaos-mesh")).is_ok());
    assert_eq!(read::dialects(), ["chaos-mesh", "istio"]);
}
