//! Virtual services of Istio: what experiments they become, and what is said about mistakes in them.

#![allow(clippy::panic, clippy::unwrap_used, reason = "this is a test")]

#[allow(dead_code, reason = "shared with other tests")]
mod catalog;

use catalog::Small;
use serde_json::{Value as Json, json};
use squall_model::read::{self, Overrides, ReadError, Source};

/// That of the mission, as it is.
const PAYMENT: &str = "\
# istio-fault-injection.yaml
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata:
  name: payment-service-chaos
spec:
  hosts:
  - payment-service
  http:
  - fault:
      delay:
        percentage:
          value: 10.0
        fixedDelay: 5s
      abort:
        percentage:
          value: 5.0
        httpStatus: 503
    route:
    - destination:
        host: payment-service
";

fn source(text: &str) -> Source {
    Source { name: "manifest.yaml".to_owned(), text: text.to_owned() }
}

fn manifest(http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: x, namespace: shop}}\n\
         spec: {{hosts: [a], http: {http}}}\n"
    )
}

fn translated(text: &str) -> (Json, Vec<String>) {
    let errors = |errors: Vec<ReadError>| panic!("{text}\n{}", read::render(&source(text), &errors, false));
    let conversion = read::convert(&source(text), &Small, None).unwrap_or_else(errors);
    let written = read::to_yaml(&conversion.root);
    let again = read::parse(&source(&written)).unwrap_or_else(|error| panic!("{written}\n{error}"));
    assert_eq!(again.to_json(), conversion.root.to_json(), "{written}");
    (conversion.root.to_json(), conversion.notes)
}

/// The mistakes as `marked text: message; help`, one a line.
fn mistakes(text: &str) -> String {
    let say = |error: &ReadError| format!("{}: {error}", &text[error.place.start..error.place.end]);
    let errors = read::experiment(&source(text), &Small, &Overrides::default()).unwrap_err();
    errors.iter().map(say).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_manifest_becomes_a_fault_on_the_object_and_what_it_is_made_of() {
    let (experiment, notes) = translated(PAYMENT);
    assert_eq!(experiment["name"], "payment-service-chaos");
    let bare = json!({"hosts": ["payment-service"], "http": [{"route": [{"destination": {"host": "payment-service"}}]}]});
    let routes = json!([{
        "route": 0,
        "delay": {"delay": "5s", "probability": "10%"},
        "abort": {"status": 503, "probability": "5%"},
    }]);
    let target = json!({"virtual_service": {"name": "payment-service-chaos", "make": {"spec": bare}}});
    let expected = json!([{"fault": "istio.faults", "target": target, "with": {"routes": routes}}]);
    assert_eq!(experiment["method"], expected);
    assert!(notes[0].contains("takes them back after 1m"), "{notes:?}");
    assert!(notes[1].contains("where payment-service-chaos is in the cluster"), "{notes:?}");
}

#[test]
fn one_part_is_the_fault_of_that_part() {
    let with = |http: &str| {
        let (experiment, _) = translated(&manifest(http));
        assert_eq!(experiment["method"][0]["target"]["virtual_service"]["namespace"], "shop");
        json!([experiment["method"][0]["fault"], experiment["method"][0]["with"]])
    };
    assert_eq!(
        with("[{route: []}, {name: slow, fault: {delay: {percent: 7, fixedDelay: 1m0.5s}}}]"),
        json!(["istio.delay", {"delay": "1m500ms", "probability": "7%", "route": "slow"}])
    );
    assert_eq!(
        with("[{route: []}, {fault: {abort: {percentage: {value: 0.1}, httpStatus: 500}}}]"),
        json!(["istio.abort", {"status": 500, "probability": "0.1%", "route": 1}])
    );
    let labelled = manifest("[{fault: {abort: {percent: 1, httpStatus: 500}}}]")
        .replace("namespace: shop", "labels: {istio.io/rev: a}, uid: u, annotations: {note: \"${x}\"}");
    let (experiment, _) = translated(&labelled);
    let made = &experiment["method"][0]["target"]["virtual_service"]["make"];
    assert_eq!(made["labels"], json!({"istio.io/rev": "a"}));
    assert_eq!(made["annotations"], json!({"note": "$${x}"}));
}

#[test]
fn mistakes_point_into_the_manifest() {
    let of_part = |part: &str| manifest(&format!("[{{fault: {part}}}]"));
    let table = [
        (manifest("[{route: []}]"), "[{route: []}]: this virtual service has no `fault` in any"),
        (manifest("[{fault: {}}]"), "has no `fault` in any"),
        (PAYMENT.replace("VirtualService", "Gateway"), "Gateway: of Istio, only a `kind: VirtualService`"),
        (PAYMENT.replace("/v1beta1", "/v2"), "networking.istio.io/v2: this version of Istio's API"),
        (PAYMENT.replace("fixedDelay: 5s", "fixedDelay: 5"), "expected a text"),
        (PAYMENT.replace("fixedDelay: 5s", "fixedDelay: 5us"), "5us: `fixedDelay` is at least 1ms"),
        (PAYMENT.replace("fixedDelay: 5s", "fixedDelay: 5d"), "a day is 24h"),
        (PAYMENT.replace("value: 10.0", "value: 0"), "0: expected a number of percent, more than 0"),
        (PAYMENT.replace("value: 10.0", "value: 101"), "101: expected a number of percent"),
        (PAYMENT.replace("httpStatus: 503", "httpStatus: 99"), "99: `httpStatus` is a whole number from 200"),
        (PAYMENT.replace("  name: payment-service-chaos", "  generateName: a-"), "`name` is missing"),
        (PAYMENT.replace("- fault:", "- faults:"), "unknown key `faults`"),
        (of_part("{abort: {httpStatus: 503}}"), "without it Istio strikes no request"),
        (
            of_part("{abort: {percent: 5, grpcStatus: UNAVAILABLE}}"),
            "UNAVAILABLE: `grpcStatus`: of what requests",
        ),
        (of_part("{abort: {percent: 5, http2Error: x}}"), "x: `http2Error`: of what requests"),
        (of_part("{delay: {percent: 5, exponentialDelay: 1s}}"), "1s: `exponentialDelay`: Istio itself"),
        (of_part("{delay: {percent: 0.5, fixedDelay: 1s}}"), "0.5: expected a number of percent"),
        (PAYMENT.to_owned(), "needs the fault `istio.faults`, which this version of Squall does not have"),
    ];
    for (text, words) in table {
        let message = mistakes(&text);
        assert!(message.contains(words), "{text}--- does not say: {words}\n{message}");
    }
}
