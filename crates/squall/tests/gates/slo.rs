//! `squall slo check`: own traffic, a real Prometheus, files of results.

use crate::lab::{Desk, Prometheus, Server, Told, until};
use std::sync::atomic::{AtomicU64, Ordering};

fn shop() -> Server {
    let requests = AtomicU64::new(0);
    Server::start(move |path| match path {
        "/health" => (200, "ok".to_owned()),
        // One of ten fails.
        "/weak" if requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(10) => (500, String::new()),
        "/weak" => (200, String::new()),
        "/slow" => {
            std::thread::sleep(std::time::Duration::from_millis(300));
            (200, String::new())
        }
        _ => (404, String::new()),
    })
}

const OFTEN: [&str; 4] = ["--rate", "50", "--duration", "1s"];

fn check<'a>(source: &[&'a str], objectives: &[&'a str]) -> Vec<&'a str> {
    [&["slo", "check"], source, objectives].concat()
}

#[test]
fn a_page_that_keeps_its_objectives_passes() {
    let (desk, shop) = (Desk::new(), shop());
    let url = shop.url("/health");
    let source = [&["--url", &url], OFTEN.as_slice()].concat();
    let objectives = ["--error-rate", "0.01", "--latency-p99", "10000", "--availability", "99%"];
    desk.squall(&check(&source, &objectives)).is(0, &["met", "requests to", "within 1s"]);
    let json = desk.squall(&[check(&source, &objectives), vec!["--json"]].concat()).json();
    assert_eq!(
        (json["result"].as_str(), json["objectives"][0]["result"].as_str()),
        (Some("met"), Some("met"))
    );
    let one = ["--url", &url, "--rate", "1", "--duration", "1s", "--latency-p999", "9s"];
    desk.squall(&check(&one, &[])).is(0, &["1 request to", "latency_p999 rests on the slowest of 1 only"]);
    let requests = json["requests"].as_u64().unwrap();
    assert!((40..=60).contains(&requests), "50 requests a second for a second: {requests}");
}

#[test]
fn what_is_missed_is_said_in_a_table() {
    let (desk, shop) = (Desk::new(), shop());
    let (none, weak, slow) = (shop.url("/none?token=hunter2"), shop.url("/weak"), shop.url("/slow"));
    let source = |url| [&["--url", url], OFTEN.as_slice()].concat();
    let told = desk.squall(&check(&source(&none), &["--error-rate", "1%", "--availability", "0.5"]));
    told.is(
        1,
        &["error_rate", "at most 1%", "100%", "missed", "availability", "met", "status that is not expected"],
    );
    assert!(!told.out.contains("hunter2") && !told.errors.contains("hunter2"));
    desk.squall(&check(&source(&weak), &["--error-rate", "0.01"])).is(1, &["10%", "missed: error_rate"]);
    desk.squall(&check(&source(&slow), &["--latency-p50", "100", "--error-rate", "0.5"]))
        .is(1, &["missed: latency_p50"]);
    let expected = [source(&none), vec!["--expect", "404"]].concat();
    desk.squall(&check(&expected, &["--error-rate", "0"])).is(0, &["met"]);
}

#[test]
fn a_service_that_is_not_there_is_a_miss_and_a_wrong_command_is_2() {
    let desk = Desk::new();
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let source = [&["--url", nobody.as_str()], OFTEN.as_slice()].concat();
    desk.squall(&check(&source, &["--error-rate", "0.01"])).is(1, &["100%"]);
    // Nobody knows how long an answer takes that never came.
    desk.squall(&check(&source, &["--latency-p99", "500"])).is(2, &["latency_p99 is unknown"]);
    desk.squall(&check(&source, &[])).is(2, &["no objective was given"]);
    desk.write("fine.json", "{\"error_rate\": 0}");
    desk.squall(&check(&["--results", "fine.json"], &["--error-rate", "0.01"])).is(0, &["met"]);
    for wrong in [
        vec!["slo", "check", "--error-rate", "0.01"],
        vec!["slo", "check", "--url", "nonsense", "--error-rate", "0.01"],
        vec!["slo", "check", "--url", &nobody, "--error-rate", "1.5"],
        vec!["slo", "check", "--results", "none.json", "--error-rate", "0.01"],
        vec!["slo", "check", "--results", "fine.json", "--rate", "5", "--error-rate", "0.01"],
        vec!["slo", "check", "--url", &nobody, "--window", "5m", "--error-rate", "0.01"],
        vec!["slo", "check", "--prometheus", &nobody, "--query-availability", "1", "--error-rate", "0.01"],
    ] {
        assert_eq!(desk.squall(&wrong).code, 2, "{wrong:?}");
    }
}

#[test]
fn what_others_say_is_told_in_short_and_who_may_come_in_is_not() {
    let desk = Desk::new();
    let page = Server::start(|_| (200, format!("<html>{}</html>", "hunter2 and more ".repeat(500))));
    let url = page.url("");
    let asked = ["--prometheus", &url, "--header", "X-Token: hunter2"];
    let told = desk.squall(&check(&asked, &["--error-rate", "0.01"]));
    told.is(2, &["not one of Prometheus", "<html>", "…"]);
    assert!(told.out.len() < 1000 && !told.out.contains("hunter2"), "{}", told.out);
    let nothing = Server::start(|_| (200, r#"{"data": {"resultType": "vector", "result": []}}"#.to_owned()));
    let told = desk.squall(&check(&["--prometheus", &nothing.url("")], &["--latency-p99", "500"]));
    told.is(2, &["no sample", "--latency-metric", "--query-latency-p99"]);
    assert!(!told.out.contains("error-rate"), "{}", told.out);
    for source in ["--url", "--prometheus"] {
        let told = desk.squall(&check(&[source, "http://me:PASS@127.0.0.1:1/"], &["--error-rate", "1%"]));
        told.is(2, &["[hidden]@127.0.0.1:1", "Authorization"]);
        assert!(!told.errors.contains("PASS"), "{}", told.errors);
    }
}

#[test]
fn results_of_others_are_judged() {
    let desk = Desk::new();
    desk.write("k6.json", r#"{"metrics": {"http_req_failed": {"values": {"rate": 0.002}}, "http_req_duration": {"values": {"p(99)": 321}}}}"#);
    desk.write("jmeter.jtl", "timeStamp,elapsed,success\n1,100,true\n2,900,false\n");
    let objectives = ["--error-rate", "0.01", "--latency-p99", "500"];
    desk.squall(&check(&["--results", "k6.json"], &objectives)).is(0, &["0.2%", "321ms"]);
    desk.squall(&check(&["--results", "jmeter.jtl"], &objectives)).is(1, &["50%", "900ms"]);
    desk.squall(&check(&["--results", "jmeter.jtl"], &["--latency-p999", "2s"]))
        .is(0, &["latency_p999 rests on the slowest of 2 only"]);
    desk.squall(&check(&["--results", "k6.json"], &["--latency-p95", "500"]))
        .is(2, &["unknown", "--summary-trend-stats"]);
    desk.write("broken.csv", "elapsed,success\n1,true\nx,true\n");
    desk.squall(&check(&["--results", "broken.csv"], &objectives)).is(2, &["broken.csv", "line 3"]);
}

#[test]
fn a_real_prometheus_is_asked() {
    let scrapes = AtomicU64::new(0);
    let exporter = Server::start(move |_| {
        let count = scrapes.fetch_add(1, Ordering::Relaxed) * 100;
        let text = format!(
            "# TYPE request_total counter\nrequest_total{{job_name=\"a\",code=\"200\"}} {}\nrequest_total{{code=\"500\"}} {}\n\
             # TYPE error_total counter\nerror_total {}\n\
             # TYPE request_duration_seconds histogram\n\
             request_duration_seconds_bucket{{le=\"0.1\"}} {}\nrequest_duration_seconds_bucket{{le=\"0.5\"}} {count}\n\
             request_duration_seconds_bucket{{le=\"+Inf\"}} {count}\nrequest_duration_seconds_sum {count}\n\
             request_duration_seconds_count {count}\n",
            count * 9 / 10,
            count / 10,
            count / 20,
            count / 2,
        );
        (200, text)
    });
    let Some(prometheus) = Prometheus::watching(&exporter) else { return };
    let desk = Desk::new();
    let source = ["--prometheus", &prometheus.url, "--window", "1m"];
    until("two samples", || {
        prometheus.ask("rate(request_total[1m]) > 0").ok().filter(|data| data["result"][0].is_object())
    });
    let told = desk
        .squall(&check(&source, &["--error-rate", "0.1", "--latency-p99", "500", "--availability", "0.9"]));
    told.is(0, &["error_rate", "5%", "Prometheus at http://127.0.0.1"]);
    desk.squall(&check(&source, &["--error-rate", "0.01"])).is(1, &["missed: error_rate"]);
    let wrong = [source.as_slice(), &["--errors-metric", "no_such_total"]].concat();
    desk.squall(&check(&wrong, &["--error-rate", "0.1"]))
        .is(2, &["error_rate is unknown", "no sample", "--errors-metric"]);
    let own = [source.as_slice(), &["--query-error-rate", "vector(0.5)"]].concat();
    desk.squall(&check(&own, &["--error-rate", "0.1"])).is(1, &["50%"]);
}

#[test]
fn cloudwatch_is_asked_and_what_it_does_not_know_is_unknown() {
    let (desk, moto) = match squall_aws::testing::Moto::start() {
        Ok(moto) => (Desk::new(), moto),
        Err(why) => return println!("skipped: {why}"),
    };
    let age = std::time::Duration::from_secs(90);
    squall_aws::wait(async {
        let aws = squall_aws::Aws::open(&moto.place(), std::time::Duration::from_secs(20)).await?;
        moto.sample(&aws, "AWS/ApplicationELB", "RequestCount", &[150.0, 50.0], age).await?;
        moto.sample(&aws, "Shop", "Requests", &[100.0], age).await?;
        moto.sample(&aws, "Shop", "Failed", &[3.0], age).await
    })
    .unwrap();
    let check = |more: &[&str]| {
        let place = ["--dimension", "Service=shop", "--endpoint", &moto.url];
        let mut command = desk.command(&[&["slo", "check", "--cloudwatch"], more, &place].concat());
        Told::of(&command.envs(squall_aws::testing::ENVIRONMENT).output().unwrap())
    };
    // Failed requests are counted only where there are some.
    check(&["AWS/ApplicationELB", "--error-rate", "1%", "--availability", "99.9%"])
        .is(0, &["met", "measured on CloudWatch's AWS/ApplicationELB over 5m"]);
    let own = ["Shop", "--errors-metric", "Failed", "--requests-metric", "Requests"];
    let json = check(&[&own[..], &["--error-rate", "2%", "--json"]].concat()).json();
    assert_eq!((json["result"].as_str(), json["requests"].as_u64()), (Some("missed"), Some(100)), "{json}");
    assert_eq!(json["objectives"][0]["measured"], 0.03);
    // Moto answers percentiles with an error.
    check(&["AWS/ApplicationELB", "--latency-p99", "500"])
        .is(2, &["latency_p99 is unknown", "p99 of AWS/ApplicationELB"]);
    check(&["AWS/ApiGateway", "--error-rate", "1%"])
        .is(2, &["error_rate is unknown", "no sample of Sum of AWS/ApiGateway Count"]);
    check(&["Shop", "--error-rate", "1%"]).is(2, &["--errors-metric"]);
    // Without credentials it is said what was looked for, and no secret.
    let mut bare = desk.command(&[
        "slo",
        "check",
        "--cloudwatch",
        "AWS/Lambda",
        "--error-rate",
        "1%",
        "--region",
        "eu-west-1",
    ]);
    bare.env_clear().env("HOME", desk.folder()).env("AWS_EC2_METADATA_DISABLED", "true");
    Told::of(&bare.output().unwrap()).is(2, &["no credentials for AWS", "AWS_PROFILE"]);
}
