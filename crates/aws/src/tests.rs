//! Against moto, a server that plays AWS; and against servers that answer as AWS seldom does.

use super::*;
use crate::testing::{Moto, REGION};
use squall_http::testing::{TestServer, answer};
use std::future;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn started() -> Option<(Moto, Aws)> {
    match Moto::start() {
        Ok(moto) => {
            let aws = wait(Aws::open(&moto.place(), PATIENCE)).unwrap();
            Some((moto, aws))
        }
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

fn tagged(key: &str, value: &str) -> Filter {
    Filter::Tag(key.to_owned(), Some(value.to_owned()))
}

#[test]
fn instances_are_found_page_by_page_stopped_and_started() {
    let Some((moto, aws)) = started() else { return };
    wait(async {
        let ids = moto.launch(&aws, 120, &[("app", "shop*"), ("squall", "allowed")]).await?;
        moto.launch(&aws, 2, &[("app", "shopping")]).await?;
        let found = aws.instances(&[tagged("app", "shop*"), Filter::Zone("eu-west-1a".to_owned())]).await?;
        assert_eq!(
            (found.len(), found[0].state, found[0].zone.as_str()),
            (120, State::Running, "eu-west-1a")
        );
        assert_eq!(found[0].tags["squall"], "allowed");
        assert!(!found[0].account.is_empty());
        assert_eq!(aws.instances(&[tagged("app", "sho")]).await?, []);
        assert_eq!(aws.instances(&[]).await?, []);

        let one = &ids[..1];
        let stopped = aws.stop(one, false).await?;
        assert_eq!((stopped[0].id.as_str(), stopped[0].before), (one[0].as_str(), State::Running));
        assert_eq!(aws.instances(&[Filter::Id(one.to_vec())]).await?[0].state, State::Stopped);
        assert_eq!(aws.start(one).await?[0].before, State::Stopped);
        assert_eq!(aws.start(one).await?[0].before, State::Running);
        aws.reboot(one).await?;
        assert_eq!(aws.terminate(one).await?[0].before, State::Running);
        let none = aws.stop(&["i-00000000000000000".to_owned()], false).await.unwrap_err();
        assert_eq!(none.problem, Problem::NotFound);
        let words = none.to_string();
        assert!(words.contains("ec2:StopInstances in eu-west-1 at http://127.0.0.1"), "{words}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_group_replaces_an_instance_that_is_ended() {
    let Some((moto, aws)) = started() else { return };
    wait(async {
        moto.group(&aws, "shop-prod-v001", 3, &[("squall", "allowed")]).await?;
        let names = ["shop-prod-v001".to_owned()];
        let group = aws.groups(&names).await?.remove(0);
        assert_eq!((group.desired, group.in_service(), group.tags["squall"].as_str()), (3, 3, "allowed"));
        let victim = group.members[0].id.clone();
        let of_group = aws.instances(&[Filter::Group("shop-prod-v001".to_owned())]).await?;
        assert_eq!((of_group.len(), of_group[0].group()), (3, Some("shop-prod-v001")));
        aws.terminate_in_group(&victim).await?;
        let after = aws.groups(&names).await?.remove(0);
        assert!(after.desired == 3 && after.members.iter().all(|member| member.id != victim), "{after:?}");
        assert_eq!(aws.groups(&["no-such".to_owned()]).await?, []);
        Ok(())
    })
    .unwrap();
}

#[test]
fn experiments_of_the_fault_injection_service_start_and_stop() {
    let Some((moto, aws)) = started() else { return };
    wait(async {
        moto.launch(&aws, 1, &[("app", "shop")]).await?;
        let id = moto.template(&aws, &[("squall", "allowed")]).await?;
        let template = aws.template(&id).await?;
        assert_eq!(template.tags["squall"], "allowed");
        assert_eq!(template.actions["stop"].action_id, "aws:ec2:stop-instances");
        assert_eq!(template.targets["shop"].selection_mode, "COUNT(1)");
        let begun = aws.start_experiment(&id, "squall:injection", "abc-1").await?;
        assert!(!begun.is_over(), "{begun:?}");
        let found = aws.experiments(&id, "squall:injection", "abc-1").await?;
        assert_eq!(found.iter().map(|one| &one.id).collect::<Vec<_>>(), [&begun.id]);
        assert_eq!(aws.experiments(&id, "squall:injection", "abc-2").await?, []);
        let ended = aws.stop_experiment(&begun.id).await?;
        assert!(["stopping", "stopped"].contains(&ended.state.status.as_str()), "{ended:?}");
        assert_eq!(aws.template("EXT000").await.unwrap_err().problem, Problem::NotFound);
        Ok(())
    })
    .unwrap();
}

fn question(statistic: &str) -> MetricQuestion {
    MetricQuestion {
        namespace: "Shop".to_owned(),
        name: "Latency".to_owned(),
        dimensions: vec![("Service".to_owned(), "shop".to_owned())],
        statistic: statistic.parse().unwrap(),
        period: Duration::from_mins(1),
        within: Duration::from_mins(10),
    }
}

#[test]
fn a_metric_is_one_number_of_the_last_period_that_is_over() {
    let Some((moto, aws)) = started() else { return };
    wait(async {
        moto.sample(&aws, "Shop", "Latency", &[100.0], Duration::from_secs(400)).await?;
        moto.sample(&aws, "Shop", "Latency", &[0.25, 0.5, 1.5], Duration::from_secs(150)).await?;
        moto.sample(&aws, "Shop", "Latency", &[77.0], Duration::ZERO).await?;
        for (statistic, expected) in [("average", 0.75), ("Maximum", 1.5), ("count", 3.0), ("sum", 2.25)] {
            assert_eq!(aws.metric(&question(statistic)).await, Ok(expected), "{statistic}");
        }
        let other =
            MetricQuestion { dimensions: Vec::new(), name: "Latencies".to_owned(), ..question("sum") };
        let none = aws.metric(&other).await.unwrap_err();
        assert_eq!(none.problem, Problem::NotFound);
        assert!(none.to_string().contains("list-metrics --namespace Shop"), "{none}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn statistics_and_periods_are_those_of_cloudwatch() {
    let name = |text: &str| text.parse::<Statistic>().map(|statistic| statistic.name().to_owned());
    assert_eq!(
        [name("p99.9"), name("P50"), name("AVERAGE"), name("SampleCount")],
        [Ok("p99.9".into()), Ok("p50".into()), Ok("Average".into()), Ok("SampleCount".into())]
    );
    assert!(["p101", "median", "p", "px", "pinf"].into_iter().all(|text| name(text).is_err()));
    let period = |seconds| {
        MetricQuestion { period: Duration::from_secs_f64(seconds), ..question("sum") }.check().is_ok()
    };
    assert!(
        [1.0, 30.0, 60.0, 300.0].into_iter().all(period) && ![0.0, 0.5, 45.0, 90.0].into_iter().any(period)
    );
}

/// A client of a server that answers everything so, and how often it was asked.
fn asked(status: u16, body: &'static str) -> (String, Problem, u64) {
    // Credentials of tests are there once moto was asked for, whether it could be started or not.
    drop(Moto::start());
    let server = TestServer::start(move |_| future::ready(answer(status, body)));
    let place = Place { region: Some(REGION.to_owned()), endpoint: Some(server.url("")), profile: None };
    let failed = wait(async {
        let aws = Aws::open(&place, PATIENCE).await?;
        aws.stop(&["i-1".to_owned()], false).await.map(|_| ())
    });
    let error = failed.unwrap_err();
    (error.to_string(), error.problem, server.requests())
}

fn complaint(code: &'static str) -> &'static str {
    let text = format!(
        "<Response><Errors><Error><Code>{code}</Code><Message>You are not &quot;authorized&quot;. Encoded authorization \
         failure message: xyz</Message></Error></Errors><RequestID>r</RequestID></Response>"
    );
    Box::leak(text.into_boxed_str())
}

#[test]
fn a_complaint_says_what_was_tried_and_what_to_do() {
    for (status, body, problem, words) in [
        (403, complaint("UnauthorizedOperation"), Problem::Forbidden, "allow `ec2:StopInstances`"),
        (401, complaint("AuthFailure"), Problem::Forbidden, "aws sts get-caller-identity"),
        (400, complaint("ExpiredToken"), Problem::Forbidden, "aws sso login"),
        (400, complaint("IncorrectInstanceState"), Problem::State, "IncorrectInstanceState"),
        (
            400,
            "{\"__type\": \"x#ResourceNotFoundException\", \"message\": \"gone\"}",
            Problem::NotFound,
            "gone",
        ),
        (404, "<html>", Problem::Unknown, "is the address right?"),
        (200, "<html>", Problem::Unknown, "not understood"),
    ] {
        let (error, kind, times) = asked(status, body);
        assert_eq!((kind, times), (problem, 1), "{error}");
        assert!(error.contains(words) && error.contains("ec2:StopInstances"), "{error}");
        assert!(!error.contains("not-a-secret") && !error.contains("xyz"), "{error}");
    }
}

#[test]
fn what_may_pass_is_tried_again_and_nobody_is_waited_for_without_an_end() {
    let (error, problem, times) = asked(503, complaint("RequestLimitExceeded"));
    assert_eq!((problem, times), (Problem::Unknown, 3), "{error}");
    let server = TestServer::start(|_| future::pending());
    let place = Place { region: Some(REGION.to_owned()), endpoint: Some(server.url("")), profile: None };
    let late = wait(async {
        let aws = Aws::open(&place, Duration::from_millis(300)).await?;
        aws.groups(&[]).await
    });
    assert!(late.unwrap_err().to_string().contains("no answer within 300ms"));
}
