//! What labels of workloads and pods say.

use serde_json::Value as Json;
use squall_model::target::Mode;
use squall_practice::monkey::{HowMany, Wishes};
use std::collections::BTreeMap;

/// The label by which owners tell kube-monkey that they opt in, and its value.
const KUBE_MONKEY: (&str, &str) = ("kube-monkey/enabled", "enabled");
/// The same for us.
const OPT_INS: [(&str, &str); 3] =
    [("squall.dev/monkey", "enabled"), ("squall.monkey", "enabled"), KUBE_MONKEY];

/// Labels of a workload, and those of one of its pods where it has none of a name.
pub(super) struct Labels<'l> {
    pub(super) workload: &'l Json,
    pub(super) pod: &'l BTreeMap<String, String>,
}

impl Labels<'_> {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.workload[name].as_str().or_else(|| self.pod.get(name).map(String::as_str))
    }

    /// Whether their owners opted in, by this label or by a usual one.
    pub(super) fn opted_in(&self, label: Option<&str>) -> bool {
        let says = |(name, value): (&str, &str)| self.get(name) == Some(value);
        match label {
            Some(label) => label.split_once('=').is_some_and(says),
            None => OPT_INS.into_iter().any(says),
        }
    }

    /// What their owners ask for, in the words of kube-monkey.
    ///
    /// # Errors
    /// A label makes no sense, so that nobody knows what its owners want.
    pub(super) fn wishes(&self) -> Result<Wishes, String> {
        if self.get(KUBE_MONKEY.0) != Some(KUBE_MONKEY.1) {
            return Ok(Wishes::default());
        }
        let mean_days = self.get("kube-monkey/mtbf").map(days).transpose()?;
        Ok(Wishes { mean_days, how_many: self.how_many()? })
    }

    fn how_many(&self) -> Result<Option<HowMany>, String> {
        let Some(word) = self.get("kube-monkey/kill-mode") else { return Ok(None) };
        let mode = match word {
            "kill-all" => return Ok(Some(HowMany { mode: Mode::All, value: None })),
            "fixed" => Mode::Fixed,
            "fixed-percent" => Mode::FixedPercent,
            "random-max-percent" => Mode::RandomMaxPercent,
            _ => {
                return Err(format!(
                    "its label kube-monkey/kill-mode is none of fixed, kill-all, fixed-percent, random-max-percent: {word:?}"
                ));
            }
        };
        let text = self.get("kube-monkey/kill-value").unwrap_or_default();
        let most = if mode == Mode::Fixed { f64::from(u32::MAX) } else { 100.0 };
        match text.parse::<u32>() {
            Ok(0) => Err("its label kube-monkey/kill-value says that none is ended".to_owned()),
            Ok(value) if f64::from(value) <= most => Ok(Some(HowMany { mode, value: Some(value.into()) })),
            _ => Err(format!("its label kube-monkey/kill-value is no number for {word}: {text:?}")),
        }
    }
}

/// A mean time between failures in days: `3`, `3d`, `2h`, `1h30m`. At least one day: no group is struck twice on one.
fn days(text: &str) -> Result<f64, String> {
    let wrong = || format!("its label kube-monkey/mtbf is no time, such as 3d or 2h: {text:?}");
    if let Ok(days) = text.parse::<u32>() {
        return if days == 0 { Err(wrong()) } else { Ok(days.into()) };
    }
    let (mut sum, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_length = rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        let (unit, after) = rest[digits..].split_at(unit_length);
        let days = match unit {
            "d" => 1.0,
            "h" => 1.0 / 24.0,
            "m" => 1.0 / 1440.0,
            "s" => 1.0 / 86_400.0,
            _ => return Err(wrong()),
        };
        sum += number * days;
        rest = after;
    }
    if sum > 0.0 { Ok(sum.max(1.0)) } else { Err(wrong()) }
}

/// Whether a selector of labels, as objects write it, means labels; none where it is not understood.
///
/// Source: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector/>
pub(super) fn selects(selector: &Json, labels: &BTreeMap<String, String>) -> Option<bool> {
    let mut all = true;
    for (name, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        all &= labels.get(name).map(String::as_str) == Some(value.as_str()?);
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let own = labels.get(expression["key"].as_str()?);
        let values = expression["values"].as_array();
        let is_one = || values.into_iter().flatten().any(|value| value.as_str() == own.map(String::as_str));
        all &= match expression["operator"].as_str()? {
            "In" => own.is_some() && is_one(),
            "NotIn" => own.is_none() || !is_one(),
            "Exists" => own.is_some(),
            "DoesNotExist" => own.is_none(),
            _ => return None,
        };
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn owners_opt_in_on_the_workload_or_the_pod_and_the_workload_counts_first() {
        let says = |workload: Json, pod: &[(&str, &str)], label: Option<&str>| {
            Labels { workload: &workload, pod: &map(pod) }.opted_in(label)
        };
        let ours = [("squall.dev/monkey", "enabled")];
        assert!(says(json!({"squall.monkey": "enabled"}), &[], None) && says(json!({}), &ours, None));
        assert!(says(json!({"kube-monkey/enabled": "enabled"}), &[], None));
        assert!(!says(json!({"squall.dev/monkey": "disabled"}), &ours, None));
        assert!(
            !says(json!({}), &ours, Some("chaos=yes"))
                && says(json!({"chaos": "yes"}), &[], Some("chaos=yes"))
        );
        assert!(!says(json!({}), &[], None));
    }

    #[test]
    fn labels_of_kube_monkey_are_read_as_they_are() {
        let wishes = |mtbf: &str, mode: &str, value: &str| {
            let labels = json!({
                "kube-monkey/enabled": "enabled", "kube-monkey/identifier": "web", "kube-monkey/mtbf": mtbf,
                "kube-monkey/kill-mode": mode, "kube-monkey/kill-value": value,
            });
            Labels { workload: &labels, pod: &BTreeMap::new() }.wishes()
        };
        for (mtbf, days) in
            [("3", 3.0), ("3d", 3.0), ("48h", 2.0), ("36h720m", 2.0), ("2h", 1.0), ("1.5d", 1.5)]
        {
            let wish = wishes(mtbf, "kill-all", "").unwrap();
            assert_eq!((wish.mean_days, wish.how_many.unwrap().mode), (Some(days), Mode::All), "{mtbf}");
        }
        let how_many = |mode: &str, value: &str| wishes("3", mode, value).unwrap().how_many.unwrap();
        assert_eq!(how_many("fixed", "2"), HowMany { mode: Mode::Fixed, value: Some(2.0) });
        assert_eq!(how_many("random-max-percent", "50").mode, Mode::RandomMaxPercent);
        assert_eq!(how_many("fixed-percent", "100").value, Some(100.0));
        for (mtbf, mode, value) in [
            ("soon", "fixed", "1"),
            ("0", "fixed", "1"),
            ("3x", "fixed", "1"),
            ("h", "fixed", "1"),
            ("3", "some", "1"),
            ("3", "fixed", "x"),
            ("3", "fixed", "0"),
            ("3", "fixed-percent", "101"),
        ] {
            let why = wishes(mtbf, mode, value).unwrap_err();
            assert!(why.starts_with("its label kube-monkey/"), "{why}");
        }
        // Without its opt-in, they say nothing.
        let labels = json!({"kube-monkey/mtbf": "soon"});
        assert_eq!(Labels { workload: &labels, pod: &BTreeMap::new() }.wishes(), Ok(Wishes::default()));
    }

    #[test]
    fn selectors_mean_what_they_mean_in_a_cluster() {
        let labels = map(&[("app", "web"), ("tier", "a")]);
        let expression = |key: &str, operator: &str, values: Json| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (selector, means) in [
            (json!({}), Some(true)),
            (json!({"matchLabels": {"app": "web"}}), Some(true)),
            (json!({"matchLabels": {"app": "web", "tier": "b"}}), Some(false)),
            (expression("tier", "In", json!(["a", "b"])), Some(true)),
            (expression("none", "In", json!(["a"])), Some(false)),
            (expression("tier", "NotIn", json!(["a"])), Some(false)),
            (expression("none", "NotIn", json!(["a"])), Some(true)),
            (expression("none", "Exists", Json::Null), Some(false)),
            (expression("none", "DoesNotExist", Json::Null), Some(true)),
            (expression("tier", "Like", json!(["a"])), None),
        ] {
            assert_eq!(selects(&selector, &labels), means, "{selector}");
        }
    }
}
