//! What pods and nodes use, from the measurements of the metrics API (`metrics.k8s.io/v1beta1`).
//!
//! Source: <https://github.com/kubernetes/metrics/blob/master/pkg/apis/metrics/v1beta1/types.go>

use serde_json::Value as Json;
use squall_model::probe::ProbeError;
use squall_model::value::{Reading, Value};

/// What stands behind numbers of Kubernetes, and what it stands for; those that end others come later.
const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// What these objects use together, so far as it was measured; where nothing was, nothing is known.
pub(super) fn of(objects: &[Json], measurements: &[Json]) -> Result<Reading, ProbeError> {
    let is_meant = |measurement: &&Json| objects.iter().any(|object| is_same(object, measurement));
    let measured: Vec<&Json> = measurements.iter().filter(is_meant).collect();
    if measured.is_empty() {
        let count = objects.len();
        let why =
            format!("the metrics API of the cluster tells nothing yet of any of the {count} that match");
        return Err(ProbeError(why));
    }
    let (mut cpu, mut memory) = (0.0, 0.0);
    for usage in measured.iter().flat_map(|measurement| usages(measurement)) {
        cpu += number(usage, "cpu")?;
        memory += number(usage, "memory")?;
    }
    let values = [("cpu", cpu), ("memory", memory), ("measured", measured.len() as f64)];
    Ok(values.into_iter().map(|(name, value)| (name.to_owned(), Value::Number(value))).collect())
}

fn is_same(object: &Json, measurement: &Json) -> bool {
    ["name", "namespace"].iter().all(|key| object["metadata"][key] == measurement["metadata"][key])
}

/// A node has one, a pod one for each container.
fn usages(measurement: &Json) -> Vec<&Json> {
    match measurement["containers"].as_array() {
        Some(containers) => containers.iter().map(|container| &container["usage"]).collect(),
        None => vec![&measurement["usage"]],
    }
}

fn number(usage: &Json, name: &str) -> Result<f64, ProbeError> {
    let found = &usage[name];
    let number = found.as_str().and_then(quantity).or_else(|| found.as_f64());
    number.ok_or_else(|| ProbeError(format!("the metrics API says {found} of {name}, which is no quantity")))
}

/// A quantity of Kubernetes: `250m`, `123456789n`, `64Mi`, `1e3`.
fn quantity(text: &str) -> Option<f64> {
    let plain = |text: &str| {
        let is_number =
            text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.'));
        text.parse::<f64>().ok().filter(|number| is_number && number.is_finite())
    };
    let with_suffix = || {
        let (number, size) =
            SUFFIXES.iter().find_map(|(suffix, size)| Some((text.strip_suffix(suffix)?, size)))?;
        Some(plain(number)? * size)
    };
    plain(text).or_else(with_suffix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, number) in [
            ("1", 1.0),
            ("250m", 0.25),
            ("1500000000n", 1.5),
            ("64Mi", 67_108_864.0),
            ("1k", 1000.0),
            ("2Ei", 2_305_843_009_213_693_952.0),
            ("2E", 2e18),
            ("1e3", 1000.0),
            ("0", 0.0),
        ] {
            let found = quantity(text).unwrap();
            assert!((found - number).abs() <= number * 1e-12, "{text}: {found}");
        }
        for wrong in ["", "m", "inf", "NaN", "1 Mi", "1KiB", "infm"] {
            assert_eq!(quantity(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_used_is_summed_over_containers_of_what_matches() {
        let pod = |name: &str| json!({"metadata": {"name": name, "namespace": "shop"}});
        let measured = |name: &str, cpu: &[&str]| {
            let container = |cpu: &&str| json!({"name": "c", "usage": {"cpu": cpu, "memory": "1Ki"}});
            let mut measured = pod(name);
            measured["containers"] = cpu.iter().map(container).collect();
            measured
        };
        let all = [measured("a", &["250m", "500m"]), measured("b", &["1"]), measured("other", &["7"])];
        let reading = of(&[pod("a"), pod("b"), pod("new")], &all).unwrap();
        let expected = [("cpu", 1.75), ("measured", 2.0), ("memory", 3072.0)];
        let expected = expected.map(|(name, value)| (name.to_owned(), Value::Number(value)));
        assert_eq!(reading, Reading::from(expected));
        assert!(of(&[pod("new")], &all).unwrap_err().to_string().contains("tells nothing yet"));
        let node = [json!({"metadata": {"name": "n"}, "usage": {"cpu": "2", "memory": "1Gi"}})];
        assert_eq!(of(&node, &node).unwrap()["cpu"], Value::Number(2.0));
        let broken = measured("a", &["much"]);
        assert!(of(&[pod("a")], &[broken]).unwrap_err().to_string().contains("\"much\" of cpu"));
    }
}
