//! Against moto, a server that plays AWS.

use super::*;
use crate::test_probe::{ask, built, refusal};
use serde_json::json;
use squall_aws::testing::{Moto, REGION};
use squall_aws::{Aws, wait};
use std::time::Duration as Time;

#[test]
fn a_statistic_is_one_number_and_no_sample_is_none() {
    let moto = match Moto::start() {
        Ok(moto) => moto,
        Err(why) => return println!("skipped: {why}"),
    };
    wait(async {
        let aws = Aws::open(&moto.place(), Time::from_secs(20)).await?;
        moto.sample(&aws, "Shop", "Latency", &[0.25, 0.5, 1.5], Time::from_secs(90)).await
    })
    .unwrap();
    let parameters = |more: serde_json::Value| {
        let mut all = json!({
            "namespace": "Shop", "metric": "Latency", "dimensions": {"Service": "shop"}, "statistic": "average",
            "region": REGION, "endpoint": moto.url, "timeout": "20s"
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let read = |more: serde_json::Value| {
        let reading = ask(&built::<CloudWatch>(parameters(more)));
        reading.map(|reading| reading["value"].number().unwrap()).map_err(|error| error.to_string())
    };
    assert_eq!(read(json!({})), Ok(0.75));
    assert_eq!(read(json!({"statistic": "maximum"})), Ok(1.5));
    assert_eq!(read(json!({"metric": "Errors", "statistic": "sum", "absent": 0})), Ok(0.0));
    let none = read(json!({"metric": "Errors", "statistic": "sum"})).unwrap_err();
    assert!(none.contains("no sample of Sum of Shop Errors (Service=shop) in eu-west-1"), "{none}");
    // Moto answers percentiles with an error, which is what becomes of every error: unknown.
    let failed = read(json!({"statistic": "p99.9", "absent": 0})).unwrap_err();
    assert!(
        failed.contains("p99.9 of Shop Latency") && failed.contains("cloudwatch:GetMetricData"),
        "{failed}"
    );

    // An answer counts for a while: it outlives the server.
    let kept = built::<CloudWatch>(parameters(json!({"every": "1h"})));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = runtime.block_on(kept.observe());
    drop(moto);
    assert_eq!(runtime.block_on(kept.observe()), before);
}

#[test]
fn what_cannot_be_asked_is_said_before() {
    let with = |key: &str, value: &str| {
        let mut all = json!({"namespace": "a", "metric": "b", "statistic": "sum"});
        all[key] = json!(value);
        refusal::<CloudWatch>(all)
    };
    assert!(with("statistic", "median").contains("percentiles such as p99"));
    assert!(with("period", "90s").contains("multiple of a minute"));
    assert!(with("names", "x").contains("names"));
}
