//! Experiment files, good and bad: what is read from them, and what is said about mistakes.

#![allow(clippy::panic, clippy::unwrap_used, reason = "this is a test")]

mod catalog;

use catalog::Small;
use squall_model::experiment::{Action, Experiment, Strike};
use squall_model::read::{self, Overrides, Source, render};
use squall_model::target::{Limit, Mode, Target};
use squall_model::units::{Duration, Share};

const CONTRACT: &str = include_str!("files/contract.yaml");
const HEAD: &str = "apiVersion: squall.dev/v1\nkind: Experiment\nname: x\n";
const PAUSE: &str = "method: [{fault: process.pause, target: {process: {pid: 7}}}]\n";

fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), text: text.to_owned() }
}

fn read(text: &str) -> Result<Experiment, String> {
    let source = source("x.yaml", text);
    read::experiment(&source, &Small, &Overrides::default()).map_err(|errors| render(&source, &errors, false))
}

fn good(text: &str) -> Experiment {
    read(text).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

fn method(entries: &str) -> String {
    format!("{HEAD}method:\n{entries}")
}

/// The mistakes as `marked text: message; help`, one a line.
fn mistakes(text: &str) -> String {
    let source = source("x.yaml", text);
    match read::experiment(&source, &Small, &Overrides::default()) {
        Ok(experiment) => panic!("{text}\nwas read as {experiment:?}"),
        Err(errors) => errors
            .iter()
            .map(|error| format!("{}: {error}", &text[error.place.start..error.place.end]))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

fn strikes(experiment: &Experiment) -> Vec<&Strike> {
    experiment.method.iter().flat_map(Action::strikes).collect()
}

#[test]
fn the_contract_is_read_alike_in_all_formats() {
    let summary = |name: &str, text: &str| {
        let source = source(name, text);
        let experiment = read::experiment(&source, &Small, &Overrides::default())
            .unwrap_or_else(|errors| panic!("{}", render(&source, &errors, false)));
        let strike = strikes(&experiment)[0].clone();
        assert_eq!(strike.with.to_json()["port"], 5432);
        (
            experiment.name,
            experiment.hypothesis,
            experiment.tags,
            (experiment.loads.len(), experiment.loads[0].rate.to_string(), experiment.loads[0].timeout),
            experiment.loads[0].parameters.to_json().to_string(),
            (experiment.metrics[0].name.clone(), experiment.metrics[0].parameters.to_json().to_string()),
            experiment
                .steady_state
                .iter()
                .map(|check| (check.name.clone(), check.expect.clone()))
                .collect::<Vec<_>>(),
            format!("{:?}", experiment.blast_radius),
            (strike.fault, strike.selection, strike.with.to_json().to_string(), strike.lasts),
            (
                experiment.guard,
                experiment.hypothesis_holds.len(),
                experiment.baseline,
                experiment.recovery_within,
            ),
        )
    };
    let yaml = summary("contract.yaml", CONTRACT);
    assert_eq!(yaml.6[0].0, "http http://127.0.0.1:8080/health");
    assert_eq!(yaml.6[1].0, "error_rate < 1%");
    assert_eq!(yaml, summary("contract.json", include_str!("files/contract.json")));
    assert_eq!(yaml, summary("contract.toml", include_str!("files/contract.toml")));
    // The content tells the format where the name does not.
    assert_eq!(yaml, summary("contract", include_str!("files/contract.toml")));
    assert_eq!(yaml, summary("-", include_str!("files/contract.json")));
}

#[test]
fn what_is_left_away_has_its_default() {
    let experiment = good(&format!("{HEAD}{PAUSE}"));
    assert_eq!(experiment.baseline, Duration::default());
    assert_eq!(experiment.recovery_within, Duration::seconds(30));
    assert_eq!(strikes(&experiment)[0].lasts, Duration::seconds(60));
    assert_eq!(strikes(&experiment)[0].selection.mode, Mode::All);
    let load = "load: {shop: {http: {url: 'http://x'}, rate: 5/s}}\nsteady_state: [{expect: shop.error_rate < 1%}]\n";
    let experiment = good(&format!("{HEAD}{load}{PAUSE}"));
    assert_eq!(experiment.baseline, Duration::seconds(30));
    assert_eq!(
        (experiment.loads[0].timeout, experiment.loads[0].window),
        (Duration::seconds(5), Duration::seconds(10))
    );
    assert_eq!(experiment.hypothesis_holds.len(), 1);
    let probe = "steady_state: [{http: {url: 'http://x'}}, {http: {url: 'http://x'}, name: second}, {http: {url: 'http://x'}}]\n";
    let experiment = good(&format!("{HEAD}{probe}{PAUSE}baseline: 0\nrecovery: {{within: 1m}}\n"));
    let names: Vec<&str> = experiment.steady_state.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["http http://x", "second", "http http://x (2)"]);
    assert_eq!(experiment.steady_state[0].expect.text, "status < 400");
}

#[test]
fn ramps_repetitions_and_groups_are_unrolled() {
    let experiment = good(&method(
        "  - fault: network.latency\n    target: {interface: eth0}\n    with: {port: 5}\n    \
         ramp: {delay: [10ms, 200ms], probability: [10%, 1], steps: 5}\n    for: 5s\n  \
         - wait: 3s\n  \
         - together:\n      - {fault: process.pause, target: {process: {name: x}, mode: one}}\n      \
         - {fault: network.latency, target: {netns: shop}, with: {delay: 1s}, after: 2s, for: 4s}\n    for: 7s\n    repeat: 2\n  \
         - {fault: memory.spike, target: {host: true}, ramp: {size: [1MB, 1GiB], times: [1, 4], steps: 2}, repeat: 2}\n",
    ));
    let all = strikes(&experiment);
    let stages: Vec<_> = all.iter().map(|strike| strike.stage.clone().unwrap_or_default()).collect();
    assert_eq!(
        stages,
        [
            "delay 10ms, probability 10% (1 of 5)",
            "delay 57.5ms, probability 32.5% (2 of 5)",
            "delay 105ms, probability 55% (3 of 5)",
            "delay 152.5ms, probability 77.5% (4 of 5)",
            "delay 200ms, probability 100% (5 of 5)",
            "1 of 2",
            "1 of 2",
            "2 of 2",
            "2 of 2",
            "size 1MB, times 1 (1 of 2), 1 of 2",
            "size 1GiB, times 4 (2 of 2), 1 of 2",
            "size 1MB, times 1 (1 of 2), 2 of 2",
            "size 1GiB, times 4 (2 of 2), 2 of 2",
        ]
    );
    assert_eq!(
        all[1].with.to_json(),
        serde_json::json!({"port": 5, "delay": "57.5ms", "probability": "32.5%"})
    );
    assert_eq!(all[10].with.to_json(), serde_json::json!({"size": "1073741824B", "times": 4}));
    assert_eq!((all[5].lasts, all[6].lasts), (Duration::seconds(7), Duration::seconds(4)));
    assert_eq!(all[6].after, Duration::seconds(2));
    assert_eq!(experiment.method.len(), 5 + 1 + 2 + 4);
    assert!(matches!(&experiment.method[5], Action::Wait(wait) if wait.lasts == Duration::seconds(3)));
}

#[test]
fn targets_choose_among_what_matches() {
    for (target, mode, value) in [
        ("{process: {name: x}}", Mode::All, None),
        ("{process: {name: x}, mode: one}", Mode::One, None),
        ("{process: {name: x}, mode: fixed, value: 2}", Mode::Fixed, Some(2.0)),
        ("{process: {name: x}, mode: fixed-percent, value: 30%}", Mode::FixedPercent, Some(30.0)),
        (
            "{process: {name: x}, optional: true}\n    mode: random-max-percent\n    value: 50",
            Mode::RandomMaxPercent,
            Some(50.0),
        ),
    ] {
        let experiment = good(&method(&format!("  - fault: process.pause\n    target: {target}\n")));
        let selection = &strikes(&experiment)[0].selection;
        assert_eq!((selection.mode, selection.value), (mode, value), "{target}");
        assert!(
            matches!(&selection.target, Target::Process(process) if process.name.as_deref() == Some("x"))
        );
        assert_eq!(selection.optional, target.contains("optional"));
        assert!(!selection.follow);
    }
    for follow in ["{process: {name: x}, follow: true}", "{process: {name: x}}\n    follow: true"] {
        let experiment = good(&method(&format!("  - fault: process.pause\n    target: {follow}\n")));
        assert!(strikes(&experiment)[0].selection.follow);
    }
}

#[test]
fn what_is_done_may_depend_on_an_answer() {
    let text = method(
        "  - {ask: {http: {url: \"http://a\"}}, as: mode, within: 5s}\n  - {wait: 3s, when: mode.status == 204}\n  - together:\n    \
         - {fault: process.pause, target: {process: {pid: 1}}, when: mode.body =~ slow}\n    - {fault: process.pause, target: \
         {process: {pid: 2}}}\n    when: not mode.status >= 500\n",
    );
    let experiment = read(&text).unwrap();
    let Action::Ask(ask) = &experiment.method[0] else { panic!("{:?}", experiment.method) };
    assert_eq!(
        (ask.name.as_str(), ask.probe.kind.as_str(), ask.within),
        ("mode", "http", Duration::seconds(5))
    );
    assert!(
        matches!(&experiment.method[1], Action::Wait(wait) if wait.when.as_ref().unwrap().text == "mode.status == 204")
    );
    let when: Vec<_> =
        strikes(&experiment).iter().map(|strike| strike.when.as_ref().unwrap().text.clone()).collect();
    assert_eq!(when, ["(not mode.status >= 500) and (mode.body =~ slow)", "not mode.status >= 500"]);
}

#[test]
fn mistakes_look_like_a_compilers() {
    let text = CONTRACT
        .replace("delay: 100ms, jitter", "dealy: 100ms, jitter")
        .replace("latency_p99 > 2s", "latency_p99 > 2000")
        .replace("steady_state:  ", "steady-state:  ");
    let source = source("shop.yaml", &text);
    let errors = read::experiment(&source, &Small, &Overrides::default()).unwrap_err();
    assert_eq!(
        render(&source, &errors, false),
        "\
error: unknown key `steady-state`
  --> shop.yaml:14:1
   |
14 | steady-state:                             # must hold before, and hold again after
   | ^^^^^^^^^^^^ not known here
   |
   = help: did you mean `steady_state`? known: `apiVersion`, `kind`, `name`, `hypothesis`, `tags`, `schedule`, `variables`, `load`, `metrics`, `steady_state`, `blast_radius`, `method`, `guard`, `hypothesis_holds`, `baseline`, `recovery`

error: unknown key `dealy`
  --> shop.yaml:25:12
   |
25 |     with: {dealy: 100ms, jitter: 20ms, probability: 50%, port: \"${db_port}\"}
   |            ^^^^^ not known here
   |
   = help: did you mean `delay`? known: `delay`, `jitter`, `correlation`, `probability`, `port`, `destination`, `direction`

error: `latency_p99` is a duration, and `2000` has no unit: write `2000ms`
  --> shop.yaml:30:29
   |
30 |   - abort_if: latency_p99 > 2000
   |                             ^^^^ in this condition
"
    );
}

#[test]
fn every_kind_of_mistake_is_told_at_its_place() {
    let table: &[(String, &str)] = &[
        // The file as a whole.
        (String::new(), "this file is empty"),
        ("- a\n".into(), "an experiment is a map, and this file is a list"),
        (
            "apiVersion: litmuschaos.io/v1alpha1\nkind: ChaosEngine\n".into(),
            "this is a Litmus object (`ChaosEngine`), not an experiment of Squall; an experiment of Squall begins with",
        ),
        ("apiVersion: apps/v1\nkind: Deployment\n".into(), "this is a Kubernetes object (`Deployment`)"),
        ("title: x\nsteady-state-hypothesis: {}\nmethod: []\n".into(), "this is a file of Chaos Toolkit"),
        (
            "apiversion: squall.dev/v1\n".into(),
            "apiversion: unknown key `apiversion` (not known here); did you mean `apiVersion`?",
        ),
        (
            "apiVersion: squall.dev/v2\nkind: Experiment\n".into(),
            "reads `squall.dev/v1`, and this file is `squall.dev/v2`",
        ),
        ("apiVersion: squall.dev/v1\nkind: GameDay\n".into(), "GameDay: `kind` is `GameDay`"),
        (
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: bad\nmethodd: []\n".into(),
            "methodd: unknown key `methodd` (not known here); did you mean `method`?",
        ),
        (format!("apiVersion: squall.dev/v1\nkind: Experiment\n{PAUSE}"), "`name` is missing"),
        (
            format!("apiVersion: squall.dev/v1\nkind: Experiment\nname: 5\n{PAUSE}"),
            "5: expected a text, found the number 5",
        ),
        (HEAD.to_owned(), "`method` is missing"),
        (format!("{HEAD}method:\n"), "method: `method` is empty"),
        (format!("{HEAD}method: []\n"), "[]: `method` is empty"),
        (format!("{HEAD}method: {{fault: x}}\n"), "`method` is a list, and this is a map"),
        (format!("{HEAD}{PAUSE}tags: [[a]]\n"), "[a]: expected a text, found a list"),
        // Faults and targets.
        (
            method("  - fault: network.latncy\n    target: {host: true}\n"),
            "network.latncy: unknown fault `network.latncy` (not known here); did you mean `network.latency`?",
        ),
        (
            method("  - target: {host: true}\n"),
            "target: {host: true}: an entry of `method` says `fault`, `together`, `wait` or `ask`",
        ),
        (
            method("  - falut: x\n"),
            "falut: an entry of `method` says `fault`, `together`, `wait` or `ask` (none of these); did you mean `fault`?",
        ),
        (method("  - fault: process.pause\n    wait: 3s\n"), "wait: `wait` cannot stand beside `fault`"),
        (
            method("  - fault: process.pause\n"),
            "fault: `target` is missing: nothing is struck that was not named",
        ),
        (
            method("  - {fault: process.pause, target: {process: {pid: 1}}, fro: 3s}\n"),
            "fro: unknown key `fro` (not known here); did you mean `for`?",
        ),
        (
            method("  - {fault: process.pause, target: {process: {pid: 1}}, for: 30}\n"),
            "30: \"30\" is not a duration, such as 250us, 100ms, 30s",
        ),
        (
            method("  - {fault: process.pause, target: {process: {pid: 1}}, for: 0s}\n"),
            "0s: a fault must last for some time",
        ),
        (
            method("  - {fault: memory.spike, target: {host: true}, with: {size: 1MB}, follow: true}\n"),
            "true: this host cannot be followed: nothing joins it",
        ),
        (method("  - {fault: process.pause, target: {process: {}}}\n"), "{}: this would match every process"),
        (
            method("  - {fault: process.pause, target: {process: {name: ''}}}\n"),
            "an empty text would match every process",
        ),
        (
            method("  - {fault: process.pause, target: {process: {nam: x}}}\n"),
            "nam: unknown key `nam` (not known here); did you mean `name`?",
        ),
        (method("  - {fault: process.pause, target: {host: false}}\n"), "false: `host: false` names nothing"),
        (method("  - {fault: process.pause, target: {host: true}}\n"), "`process.pause` acts on processes"),
        (
            method("  - {fault: memory.spike, target: {interface: eth0}, with: {size: 1MB}}\n"),
            "`memory.spike` acts on the host or control groups",
        ),
        (
            method("  - {fault: process.pause, target: {proxy: x}}\n"),
            "proxy: this version cannot strike a target of the kind `proxy` (not in this version)",
        ),
        (
            method("  - {fault: process.pause, target: {pod: {context: test}}}\n"),
            "this would match every pod of a namespace that is not named",
        ),
        (
            method("  - {fault: process.pause, target: {pod: {phases: [Runing]}}}\n"),
            "\"Runing\" is no phase of a pod",
        ),
        (
            method("  - {fault: process.pause, target: {pod: {expressions: [{key: a, operator: In}]}}}\n"),
            "the condition on \"a\" needs `values`",
        ),
        (
            method("  - {fault: process.pause, target: {pod: {namespace: x}, mode: one, round: up}}\n"),
            "`round` without a share that could be rounded",
        ),
        (method("  - {fault: process.pause, target: {proces: {name: x}}}\n"), "did you mean `process`?"),
        (
            method("  - {fault: process.pause, target: {process: {pid: 1}, on: 'ssh://h'}}\n"),
            "ssh://h': this version strikes only the host that it runs on",
        ),
        (
            method("  - {fault: process.pause, target: postgres}\n"),
            "postgres: expected a target, found a text",
        ),
        (
            method("  - {fault: network.latency, target: {interface: ../x}, with: {delay: 1s}}\n"),
            "cannot be the name of an interface",
        ),
        (
            method("  - {fault: process.pause, target: {process: {pid: 1}, mode: fixed}}\n"),
            "fixed: this mode needs a `value`",
        ),
        (
            method("  - {fault: process.pause, target: {process: {pid: 1}, value: 3}}\n"),
            "3: `value` without a mode that takes one",
        ),
        (
            method(
                "  - {fault: process.pause, target: {process: {pid: 1}, mode: fixed-percent, value: 130%}}\n",
            ),
            "130%: `value` is a share of the targets",
        ),
        (
            method("  - {fault: process.pause, target: {process: {pid: 1}, mode: some}}\n"),
            "some: unknown value `some`",
        ),
        // Parameters.
        (method("  - {fault: network.latency, target: {host: true}}\n"), "fault: `delay` is missing"),
        (
            method("  - {fault: network.latency, target: {host: true}, with: {delay: 100}}\n"),
            "100: \"100\" is not a duration",
        ),
        (
            method("  - {fault: network.latency, target: {host: true}, with: {delay: 1ms, jitter: 2ms}}\n"),
            "{delay: 1ms, jitter: 2ms}: jitter 2ms is more than delay 1ms",
        ),
        (
            method("  - {fault: network.latency, target: {host: true}, with: {delay: 1ms, port: http}}\n"),
            "http: expected a whole number between 0 and 65535, found the text \"http\"",
        ),
        (
            method("  - {fault: network.latency, target: {host: true}, with: {delay: 1ms, direction: up}}\n"),
            "up: unknown value `up` (not known here); known: `in`, `out`, `both`",
        ),
        (
            method(
                "  - {fault: network.latency, target: {host: true}, with: {delay: 1ms, port: \"${prt}\"}}\nvariables: {port: 1}\n",
            ),
            "${prt}: unknown variable `prt` (not known here); did you mean `port`?",
        ),
        (
            method(
                "  - {fault: network.latency, target: {host: true}, with: {port: ${p}}}\nvariables: {p: 1}\n",
            ),
            "within braces or brackets a variable goes in quotes",
        ),
        // Questions, and what depends on them.
        (method("  - ask: {http: {url: \"http://a\"}}\n"), "ask: `as` is missing: what the answer is called"),
        (
            method("  - {ask: {htp: {url: \"http://a\"}}, as: a}\n"),
            "htp: unknown probe or key `htp` (not known here); did you mean `http`?",
        ),
        (method("  - {ask: {}, as: a}\n"), "{}: `ask` says which probe is asked"),
        (method("  - {ask: {http: {url: a}}, as: a}\n"), "{url: a}: \"a\" is not a URL"),
        (
            method("  - {ask: {http: {url: \"http://a\"}}, as: a.b}\n"),
            "a.b: conditions could not speak of `a.b`",
        ),
        (
            method(
                "  - {ask: {http: {url: \"http://a\"}}, as: a}\n  - {ask: {http: {url: \"http://a\"}}, as: a}\n",
            ),
            "a: a second answer is called `a` (taken)",
        ),
        (
            method("  - {wait: 3s, when: a.status == 200}\n  - {ask: {http: {url: \"http://a\"}}, as: a}\n"),
            "a.status: no answer called `a` was asked for before this (not known here)",
        ),
        (
            method("  - {ask: {http: {url: \"http://a\"}}, as: a}\n  - {wait: 3s, when: a.sttus == 200}\n"),
            "a.sttus: the probe `http` does not answer with `sttus` (not in its answer); did you mean `status`?",
        ),
        (
            method("  - {ask: {http: {url: \"http://a\"}}, as: a}\n  - {wait: 3s, when: a.status == ok}\n"),
            "a.status: `a.status` is a number without a unit, and is compared with something else",
        ),
        (
            method(
                "  - {ask: {http: {url: \"http://a\"}}, as: a}\n  - {wait: 3s, when: \"a.status == 200 for 3s\"}\n",
            ),
            "an answer is looked at once",
        ),
        // Together, waits, ramps, repetitions.
        (method("  - together: []\n"), "together: `together` is empty"),
        (method("  - together: [{wait: 3s}]\n"), "wait: `wait` cannot stand within `together`; `after: 10s`"),
        (
            method("  - {fault: process.pause, target: {process: {pid: 1}}, after: 3s}\n"),
            "after: `after` is for faults within `together`",
        ),
        (
            method("  - {fault: process.pause, target: {process: {pid: 1}}, repeat: 0}\n"),
            "0: `repeat` is a whole number",
        ),
        (
            method(
                "  - {fault: process.pause, target: {process: {pid: 1}}, repeat: 1000}\n  - {fault: process.pause, target: {process: {pid: 1}}}\n",
            ),
            "more than 1000 strikes",
        ),
        (method("  - wait: 3\n"), "3: \"3\" is not a duration"),
        (
            method("  - {fault: network.latency, target: {host: true}, ramp: {delay: [1ms, 2ms]}}\n"),
            "`steps` is missing",
        ),
        (
            method(
                "  - {fault: network.latency, target: {host: true}, ramp: {delay: [1ms, 50%], steps: 3}}\n",
            ),
            "50%: a ramp goes from a duration to a share: 1ms and 50%",
        ),
        (
            method("  - {fault: network.latency, target: {host: true}, ramp: {delay: [1ms], steps: 3}}\n"),
            "[1ms]: a ramp goes from one value to another, and these are 1",
        ),
        (
            method("  - {fault: network.latency, target: {host: true}, ramp: {delay: [1ms, x], steps: 3}}\n"),
            "x: only quantities can grow",
        ),
        (
            method(
                "  - {fault: network.latency, target: {host: true}, with: {delay: 1s}, ramp: {delay: [1ms, 2ms], steps: 3}}\n",
            ),
            "delay: `delay` is both in `with` and in `ramp`",
        ),
        (
            method(
                "  - {fault: network.latency, target: {host: true}, ramp: {dealy: [1ms, 2ms], steps: 3}}\n",
            ),
            "dealy: unknown key `dealy` (not known here); did you mean `delay`?",
        ),
        (
            method("  - {fault: network.latency, target: {host: true}, ramp: {steps: 3}}\n"),
            "`ramp` names no parameter that grows",
        ),
        // Limits.
        (
            format!(
                "{}blast_radius: {{duration: 30s}}\n",
                method("  - {fault: process.pause, target: {process: {pid: 1}}, for: 60s}\n")
            ),
            "60s: this lasts 1m, and `blast_radius` allows faults for 30s",
        ),
        (
            format!(
                "{}blast_radius: {{duration: 30s}}\n",
                method(
                    "  - {fault: process.pause, target: {process: {pid: 1}}, for: 20s}\n  - wait: 1h\n  - {fault: process.pause, target: {process: {pid: 1}}, for: 21s}\n"
                )
            ),
            "21s: with this, faults last 41s in all, and `blast_radius` allows 30s",
        ),
        (format!("{HEAD}{PAUSE}blast_radius: {{targets: 0%}}\n"), "0%: no target at all"),
        (format!("{HEAD}{PAUSE}blast_radius: {{targets: 0}}\n"), "0: no target at all"),
        (format!("{HEAD}{PAUSE}blast_radius: {{targets: 0.0}}\n"), "0.0: no target at all"),
        (
            format!("{HEAD}{PAUSE}blast_radius: {{targets: 1.5}}\n"),
            "1.5: this is neither a number of targets nor a share of those that match; such as `1` for one target",
        ),
        (format!("{HEAD}{PAUSE}blast_radius: {{targets: -1}}\n"), "-1: this is neither a number of targets"),
        (format!("{HEAD}{PAUSE}blast_radius: {{targets: 130%}}\n"), "130%: this is neither"),
        (format!("{HEAD}{PAUSE}blast_radius: {{targets: few}}\n"), "few: this is neither"),
        (
            format!("{HEAD}{PAUSE}blast_radius: {{tagets: 10%}}\n"),
            "tagets: unknown key `tagets` (not known here); did you mean `targets`?",
        ),
        // Loads, metrics, conditions.
        (format!("{HEAD}{PAUSE}load: {{shop: {{http: {{url: x}}}}}}\n"), "shop: `rate` is missing"),
        (
            format!("{HEAD}{PAUSE}load: {{shop: {{http: {{url: x}}, rate: 200}}}}\n"),
            "200: \"200\" is not a frequency, such as 200/s",
        ),
        (
            format!("{HEAD}{PAUSE}load: {{shop: {{htp: {{url: x}}, rate: 2/s}}}}\n"),
            "htp: unknown kind of load or key `htp` (not known here); did you mean `http`?",
        ),
        (
            format!("{HEAD}{PAUSE}load: {{shop: {{rate: 2/s}}}}\n"),
            "shop: the load `shop` does not say what it sends; known: `http`",
        ),
        (
            format!("{HEAD}{PAUSE}load: {{shop: {{http: {{urll: x}}, rate: 2/s}}}}\n"),
            "urll: unknown key `urll` (not known here); did you mean `url`?",
        ),
        (
            format!("{HEAD}{PAUSE}load: {{'a b': {{http: {{url: x}}, rate: 2/s}}}}\n"),
            "conditions could not speak of `a b`",
        ),
        (
            format!("{HEAD}{PAUSE}load: {{a: {{http: {{url: x}}, rate: 2/s, window: 10ms}}}}\n"),
            "10ms: `window` lies between 1s and 1h",
        ),
        (
            format!("{HEAD}{PAUSE}metrics: {{q: {{promethues: {{}}}}}}\n"),
            "promethues: unknown metric source or key `promethues` (not known here); did you mean `prometheus`?",
        ),
        (format!("{HEAD}{PAUSE}metrics: {{q: {{prometheus: {{url: x}}}}}}\n"), "`query` is missing"),
        (
            format!(
                "{HEAD}{PAUSE}load: {{a: {{http: {{url: x}}, rate: 2/s}}}}\nmetrics: {{error_rate: {{prometheus: {{url: x, query: y}}}}}}\n"
            ),
            "error_rate: `error_rate` is the name of what a load measures",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{expect: error_rate < 1%}}]\n"),
            "error_rate: `error_rate` is not measured in this experiment (not measured); `error_rate` is measured by a load",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{expect: queue < 1}}]\n"),
            "queue: `queue` is not measured in this experiment (not measured); nothing is",
        ),
        (
            format!(
                "{HEAD}{PAUSE}metrics: {{queue: {{prometheus: {{url: x, query: y}}}}}}\nguard: [{{abort_if: queu < 1}}]\n"
            ),
            "queu: `queu` is not measured in this experiment (not measured); did you mean `queue`?",
        ),
        (
            format!(
                "{HEAD}{PAUSE}load: {{a: {{http: {{url: x}}, rate: 2/s}}, b: {{http: {{url: x}}, rate: 2/s}}}}\nguard: [{{abort_if: error_rate > 1%}}]\n"
            ),
            "there are several loads: write `a.error_rate` or `b.error_rate`",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{http: {{url: 'http://x'}}, expect: statu == 200}}]\n"),
            "statu: the probe `http` does not answer with `statu` (not in its answer); did you mean `status`?",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{http: {{url: 'http://x'}}, expect: status == ok}}]\n"),
            "status: `status` is a number without a unit, and is compared with something else",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{http: {{url: 'http://x'}}, expect: status < 5%}}]\n"),
            "status: `status` is a number without a unit",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{http: {{url: 'http://x'}}, expect: latency == ok}}]\n"),
            "`latency` is a number with a unit",
        ),
        (
            format!("{HEAD}{PAUSE}hypothesis_holds: [{{http: {{url: 'http://x'}}, within: 60s}}]\n"),
            "60s: a fault is over after 1m, so that it would not be seen whether this held within 1m",
        ),
        (
            format!(
                "{HEAD}method: [{{wait: 5s}}]\nhypothesis_holds: [{{http: {{url: 'http://x'}}, within: 2s}}]\n"
            ),
            "2s: there is no fault, and this is about the time after one began",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{http: {{url: 'http://x'}}, within: 0s}}]\n"),
            "0s: this must be longer than nothing",
        ),
        (
            format!("{HEAD}{PAUSE}window: 10s\n"),
            "window: `window` stands here for nothing (not here); it belongs in a load",
        ),
        (
            format!("{HEAD}{PAUSE}metrics: {{q: {{prometheus: {{url: x, query: y}}, fresh_for: 1s}}}}\n"),
            "`fresh_for` lies between 2s and 1h",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{http: {{url: 'http://x'}}, expect: error_rate < 1%}}]\n"),
            "metrics are judged in an entry of their own",
        ),
        (format!("{HEAD}{PAUSE}steady_state: [{{http: {{url: x}}}}]\n"), "{url: x}: \"x\" is not a URL"),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{htp: {{url: x}}}}]\n"),
            "htp: unknown probe or key `htp` (not known here); did you mean `http`?",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{name: x}}]\n"),
            "an entry of `steady_state` says a probe, or `expect`",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{http: {{url: 'http://x'}}, prometheus: {{}}}}]\n"),
            "only one probe can stand here",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{prometheus: {{url: x, query: y}}}}]\n"),
            "prometheus: `expect` is missing: what the answer of `prometheus` should be; it answers with `value`",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{http: {{url: 'http://x'}}, expect: 'status = 200'}}]\n"),
            "=: `=` is written `==`",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state: [{{http: {{url: 'http://x'}}, expect: 200}}]\n"),
            "200: expected a condition, found a number",
        ),
        (
            format!("{HEAD}{PAUSE}steady_state:\n  http: {{url: x}}\n"),
            "`steady_state` is a list, and this is a map",
        ),
        (
            format!("{HEAD}{PAUSE}guard: [{{abort: x > 1}}]\n"),
            "abort: unknown key `abort` (not known here); did you mean `abort_if`?",
        ),
        (
            format!("{HEAD}{PAUSE}guard: [error_rate > 1%]\n"),
            "an entry of `guard` is a map, and this is a text",
        ),
        (format!("{HEAD}{PAUSE}recovery: {{within: 3}}\n"), "3: \"3\" is not a duration"),
        (format!("{HEAD}{PAUSE}recovery: 30s\n"), "`recovery` is a map, and this is a text"),
        (format!("{HEAD}{PAUSE}baseline: soon\n"), "soon: \"soon\" is not a duration"),
    ];
    for (text, words) in table {
        let told = mistakes(text);
        assert!(told.contains(words), "{text}\n{told}\nlacks {words}");
        assert!(told.lines().count() <= 2, "one mistake was told more than twice:\n{text}\n{told}");
    }
}

#[test]
fn a_limit_of_targets_is_a_count_or_a_share() {
    let share = |fraction| Limit::Share(Share::of(fraction));
    for (written, limit) in [
        ("1", Limit::Count(1)),
        ("'2'", Limit::Count(2)),
        ("30", Limit::Count(30)),
        ("30%", share(0.3)),
        ("0.3", share(0.3)),
        ("1.0", share(1.0)),
        ("'1.0'", share(1.0)),
        ("100%", share(1.0)),
        ("'${n}'", Limit::Count(3)),
    ] {
        let text = format!("{HEAD}{PAUSE}variables: {{n: 3}}\nblast_radius: {{targets: {written}}}\n");
        let file = source("x.yaml", &text);
        let experiment = read::experiment(&file, &Small, &Overrides::default()).unwrap();
        assert_eq!(experiment.blast_radius.targets, Some(limit), "{written}");
    }
}

#[test]
fn many_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = CONTRACT
        .replace("method: POST", "methd: POST")
        .replace("status == 200", "statsu == 200")
        .replace("targets: 30%", "targets: 30x")
        .replace("probability: 50%", "probability: 500%")
        .replace("recovery: {within", "recovery: {wihtin");
    let told = mistakes(&text);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 5, "{told}");
    for (line, begin) in lines.iter().zip(["methd: ", "statsu: ", "30x: ", "500%: ", "wihtin: "]) {
        assert!(line.starts_with(begin), "{told}");
    }
}

#[test]
fn a_target_cannot_hold_a_secret() {
    let overrides = Overrides {
        environment: [("TOKEN".to_owned(), "hunter2".to_owned())].into_iter().collect(),
        ..Overrides::default()
    };
    let text = format!(
        "{HEAD}variables: {{token: {{env: TOKEN, secret: true}}}}\nmethod:\n  - fault: process.pause\n    target: {{process: {{cmdline: \"--token ${{token}}\"}}}}\n"
    );
    let errors = read::experiment(&source("x.yaml", &text), &Small, &overrides).unwrap_err();
    let told = format!("{errors:?}");
    assert!(told.contains("a target cannot hold a secret") && !told.contains("hunter2"), "{told}");
    let open = text.replace(", secret: true", "");
    assert!(read::experiment(&source("x.yaml", &open), &Small, &overrides).is_ok());
}

#[test]
fn secrets_are_kept_out_of_names_and_mistakes() {
    let overrides = Overrides {
        variables: Vec::new(),
        environment: [("TOKEN".to_owned(), "hunter2\"x".to_owned())].into_iter().collect(),
        ..Overrides::default()
    };
    let text = format!(
        "{HEAD}{PAUSE}variables: {{token: {{env: TOKEN, secret: true}}}}\nsteady_state:\n  - http: {{url: \"http://x/?t=${{token}}\"}}\n"
    );
    let file = source("x.yaml", &text);
    let experiment = read::experiment(&file, &Small, &overrides).unwrap();
    assert_eq!(experiment.secrets, ["hunter2\"x"]);
    assert_eq!(experiment.steady_state[0].name, "http http://x/?t=[hidden]");
    for wrong in ["    expect: ${token} < 5\n", "    expect: status == ${token}\n    oops: ${token}\n"] {
        let file = source("x.yaml", &format!("{text}{wrong}"));
        let errors = read::experiment(&file, &Small, &overrides).unwrap_err();
        let told = format!("{}{errors:?}", render(&file, &errors, false));
        assert!(!told.contains("hunter2"), "{told}");
    }
    // Also where the name ends within the secret.
    let long = text.replace("http://x/?t=", &format!("http://x/{}?t=", "y".repeat(65)));
    let experiment = read::experiment(&source("x.yaml", &long), &Small, &overrides).unwrap();
    assert!(!experiment.steady_state[0].name.contains("hu"), "{}", experiment.steady_state[0].name);
    let wrong = text.replace("http://x/?t=", "");
    let file = source("x.yaml", &wrong);
    let errors = read::experiment(&file, &Small, &overrides).unwrap_err();
    assert!(errors[0].message.contains("[hidden]"), "{errors:?}");
    assert!(!format!("{errors:?}").contains("hunter2"), "{errors:?}");
}

#[test]
fn any_damage_to_a_file_is_survived() {
    // A small generator is enough, and the same bytes come every time.
    let mut state = 7_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    let files = [
        ("x.yaml", CONTRACT),
        ("x.json", include_str!("files/contract.json")),
        ("x.toml", include_str!("files/contract.toml")),
    ];
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        "- ",
        "\n",
        "\t",
        "\"",
        "'",
        "${",
        "}",
        "${db_port}",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "|",
        ">",
        "#",
        "---\n",
        "é",
        "\u{1f600}",
        "\r\n",
        "999999999999999999999",
        "-1",
        "0x",
        "null",
        "~",
        ",",
        "=",
        "\u{feff}",
        "\\",
        "%",
        "ms",
    ];
    for round in 0..3000 {
        let (name, original) = files[round % files.len()];
        let mut text: Vec<char> = original.chars().collect();
        for _ in 0..=next(4) {
            let at = next(text.len());
            match next(4) {
                0 => text.truncate(at.max(1)),
                1 => drop(text.drain(at..(at + next(20)).min(text.len()))),
                2 => drop(text.splice(at..at, pieces[next(pieces.len())].chars())),
                _ => {
                    let from = next(text.len());
                    let piece: Vec<char> = text[from..(from + next(60)).min(text.len())].to_vec();
                    text.splice(at..at, piece);
                }
            }
        }
        let source = source(name, &text.into_iter().collect::<String>());
        if let Err(errors) = read::experiment(&source, &Small, &Overrides::default()) {
            assert!(!errors.is_empty());
            let shown = render(&source, &errors, false);
            assert!(shown.contains("error: "), "{shown}");
            for error in &errors {
                let place = error.place;
                assert!(place.start <= place.end && place.end <= source.text.len(), "{error:?}");
                assert!(source.text.get(place.start..place.end).is_some(), "{error:?} splits a character");
            }
        }
    }
}

#[test]
fn large_files_are_read_or_refused() {
    // Each takes well under a second; anything quadratic would take minutes here, and be noticed.
    let shapes = [
        ("x.yaml", "- ", "", ""),
        ("x.yaml", "[", "", ""),
        ("x.yaml", "? ", "", ""),
        ("x.yaml", "[a, ", "", ""),
        ("x.yaml", "{a: ", "", ""),
        ("x.yaml", "a: &a x\n", "", ""),
        ("x.yaml", "k#: v\n", "", ""),
        ("x.yaml", "'", "", ""),
        ("x.yaml", "\"\\u0041", "", ""),
        ("x.yaml", "# x\n", "", ""),
        ("x.yaml", "   \n", "", ""),
        ("x.yaml", "é ", "", ""),
        ("x.yaml", "&a ", "", ""),
        ("x.yaml", "!a ", "", ""),
        ("x.yaml", "x ", "a: |\n ", ""),
        ("x.json", "[", "", ""),
        ("x.json", "1,", "[", "1]"),
        ("x.json", "\"k#\":1,", "{", "\"z\":1}"),
        ("x.toml", "k# = 1\n", "", ""),
        ("x.toml", "[a#]\n", "", ""),
        ("x.toml", "a.", "", ""),
        ("x.toml", "[[a]]\n", "", ""),
        ("x.yaml", "  - {fault: process.pause, target: {process: {pid: 1}}}\n", "HEADmethod:\n", ""),
        ("x.yaml", "  - abort_if: queue# < 1\n", "HEADmethod: []\nguard:\n", ""),
        ("x.yaml", "  k#: {env: X#, default: '${k1}', secret: true}\n", "HEADvariables:\n", ""),
        ("x.yaml", "  l#: {rate: 1/s, http: {url: x}}\n", "HEADload:\n", ""),
        ("x.yaml", "k#: 1\n", "HEAD", ""),
        ("x.yaml", "${a}", "HEADvariables: {a: b}\nhypothesis: \"", "\""),
    ];
    for (name, piece, head, tail) in shapes {
        let mut text = head.replace("HEAD", HEAD);
        let mut count = 0;
        while text.len() + piece.len() + 10 < read::MAX_LENGTH - tail.len() {
            text += &piece.replace('#', &count.to_string());
            count += 1;
        }
        text += tail;
        let source = source(name, &text);
        if let Err(errors) = read::experiment(&source, &Small, &Overrides::default()) {
            render(&source, &errors, false);
        }
    }
}

#[test]
fn the_schema_knows_the_catalog_and_refers_only_to_what_is_there() {
    let schema = read::schema(&Small);
    let text = schema.to_string();
    for word in ["network.latency", "process.pause", "memory.spike", "prometheus", "steady_state", "abort_if"]
    {
        assert!(text.contains(word), "{word}");
    }
    let definitions = schema["$defs"].as_object().unwrap();
    let mut rest = text.as_str();
    let mut references = 0;
    while let Some(at) = rest.find("\"$ref\":\"") {
        rest = &rest[at + 8..];
        let target = &rest[..rest.find('"').unwrap()];
        let name = target.strip_prefix("#/$defs/").unwrap_or_else(|| panic!("{target}"));
        assert!(definitions.contains_key(name), "{name} is not defined");
        references += 1;
    }
    assert!(references > 10);
    assert_eq!(definitions["fault.network.latency"]["required"], serde_json::json!(["delay"]));
    assert_eq!(schema["properties"]["method"]["items"]["oneOf"].as_array().unwrap().len(), 4);
    // What needs a unit is no bare number, and a share no number above one.
    assert_eq!(definitions["Duration"]["type"], "string");
    let rate = &schema["properties"]["load"]["additionalProperties"]["properties"]["rate"];
    assert_eq!(rate["type"], "string", "{rate}");
    let process = &definitions["target"]["properties"]["process"];
    assert_eq!(process["minProperties"], 1, "{process}");
    assert_eq!(process["properties"]["name"]["minLength"], 1, "{process}");
}

#[test]
fn a_check_may_have_a_time_of_its_own() {
    let probe = "http: {url: 'http://x'}";
    let experiment = good(&format!("{HEAD}{PAUSE}steady_state: [{{{probe}, within: 45s}}]\n"));
    assert_eq!(experiment.steady_state[0].within, Some(Duration::seconds(45)));
    assert_eq!(
        experiment.hypothesis_holds[0].within, None,
        "how soon it is back says nothing of the fault's time"
    );
    let experiment = good(&format!("{HEAD}{PAUSE}hypothesis_holds: [{{{probe}, within: 20s}}]\n"));
    assert_eq!(experiment.hypothesis_holds[0].within, Some(Duration::seconds(20)));
}
