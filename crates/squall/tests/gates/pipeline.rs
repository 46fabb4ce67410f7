//! `squall run` in a pipeline: a matrix of variables, and what GitHub shows.

use crate::lab::Desk;

const PASSES: &str = "apiVersion: squall.dev/v1\nkind: Experiment\nname: shop\nvariables: {code: 0, pause: 10ms}\n\
                      steady_state:\n  - exec: {command: [sh, -c, \"exit ${code}\"]}\n    expect: exit_code == 0\n\
                      method:\n  - {wait: \"${pause}\"}\n";

#[test]
fn a_matrix_carries_out_every_combination_under_its_own_name() {
    let desk = Desk::new();
    desk.write("shop.yaml", PASSES);
    let told = desk.squall(&[
        "run",
        "shop.yaml",
        "--matrix",
        "code=0,1",
        "--matrix",
        "pause=10ms,20ms",
        "--junit",
        "out.xml",
        "--report",
        "r.md",
    ]);
    told.is(3, &["shop [code=0, pause=20ms]", "4 experiments: 2 passed, 2 not steady"]);
    let junit = desk.read("out.xml");
    for combination in
        ["code=0, pause=10ms", "code=0, pause=20ms", "code=1, pause=10ms", "code=1, pause=20ms"]
    {
        assert!(
            junit.contains(&format!("<testsuite name=\"shop [{combination}]\"")),
            "{combination} is not in\n{junit}"
        );
    }
    let reports = std::fs::read_dir(desk.folder()).unwrap().flatten();
    assert_eq!(
        reports.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "md")).count(),
        4
    );
    let one = desk.squall(&["run", "shop.yaml", "--matrix", "code=0", "--json"]);
    assert_eq!(one.is(0, &[]).json()["experiment"], "shop [code=0]");
    desk.squall(&["run", "shop.yaml", "--matrix", "kode=0,1"]).is(2, &["kode", "code"]);
    desk.squall(&["run", "shop.yaml", "--matrix", "code"]).is(2, &["NAME=VALUE"]);
}

#[test]
fn github_is_shown_where_it_went_wrong() {
    let desk = Desk::new();
    desk.write("fails.yaml", &PASSES.replace("code: 0", "code: 1"));
    desk.write("passes.yaml", PASSES);
    let on_github = |arguments: &[&str]| {
        let mut command = desk.command(arguments);
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", desk.path("summary.md"));
        crate::lab::Told::of(&command.output().unwrap())
    };
    on_github(&["run", "passes.yaml", "fails.yaml"])
        .is(3, &["::error file=fails.yaml,line=1,title=shop%3A not steady::"]);
    let summary = desk.read("summary.md");
    assert_eq!(summary.matches("## ").count(), 2, "{summary}");
    on_github(&["run", "passes.yaml"]).is(0, &[]);
    assert_eq!(desk.read("summary.md").matches("## ").count(), 3, "it is added to");
    let told = on_github(&["run", "passes.yaml", "--no-github"]);
    assert!(!told.errors.contains("::error"));
    assert_eq!(desk.read("summary.md").matches("## ").count(), 3);

    desk.write("wrong.yaml", &PASSES.replace("method:", "methud:"));
    on_github(&["run", "wrong.yaml"]).is(2, &["::error file=wrong.yaml,line=3,title=squall%3A invalid::"]);
    desk.squall(&["run", "wrong.yaml", "--github"]).is(2, &["::error file=wrong.yaml,line=3"]);
    let told = desk.squall(&["run", "wrong.yaml"]);
    assert!(!told.errors.contains("::error"), "{}", told.errors);
}
