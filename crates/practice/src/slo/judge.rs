//! Whether objectives hold, given what was measured.

use super::{METRICS, Objective};
use squall_model::quantity::Unit;
use std::collections::BTreeMap;

/// What was measured: for each metric the values found, or why one could not be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    values: BTreeMap<String, Vec<Result<f64, String>>>,
    /// On how many requests, where that is known.
    pub requests: Option<u64>,
}

impl Measured {
    /// Adds a value in base units, or why there is none. Of several values of a metric the worst counts.
    pub fn add(&mut self, metric: &str, value: Result<f64, String>) {
        let value = value.and_then(|number| possible(metric, number));
        self.values.entry(metric.to_owned()).or_default().push(value);
    }

    /// The names of what was measured.
    fn names(&self) -> Vec<&str> {
        self.values.keys().map(String::as_str).collect()
    }
}

/// The number, where it can be the metric's value: what cannot be true is not known, and not good because it is small or
/// great.
fn possible(metric: &str, number: f64) -> Result<f64, String> {
    /// What adding and dividing may have added to a share.
    const ROUNDING: f64 = 1e-9;
    let unit = METRICS.iter().find(|(known, _, _)| *known == metric).map(|(_, _, unit)| *unit);
    match unit {
        _ if !number.is_finite() => Err(format!("the value is {number}, which is no number")),
        Some(Unit::Share) if !(-ROUNDING..=1.0 + ROUNDING).contains(&number) => {
            let percent =
                if (1.0..=100.0).contains(&number) { "; a percentage is to be divided by 100" } else { "" };
            Err(format!("the value is {number}, which is no share from 0 to 1{percent}"))
        }
        Some(Unit::Share) => Ok(number.clamp(0.0, 1.0)),
        Some(Unit::Seconds) if number < 0.0 => {
            Err(format!("the value is {number} s, and no time is negative"))
        }
        _ => Ok(number),
    }
}

/// How an objective stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It holds.
    Met,
    /// It does not.
    Missed,
    /// Nobody knows, for this reason.
    Unknown(String),
}

/// An objective and how it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// What is asked.
    pub objective: Objective,
    /// The worst value, in base units.
    pub measured: Option<f64>,
    /// How it stands.
    pub standing: Standing,
}

/// Judges each objective. One of which a part is unknown is not met, however good the rest is.
pub fn judge(objectives: &[Objective], measured: &Measured) -> Vec<Judgement> {
    objectives.iter().map(|objective| judge_one(*objective, measured)).collect()
}

fn judge_one(objective: Objective, measured: &Measured) -> Judgement {
    let values = measured.values.get(objective.metric).map(Vec::as_slice).unwrap_or_default();
    let worst = objective.worst(values.iter().filter_map(|value| value.as_ref().ok().copied()));
    let unknown = values.iter().find_map(|value| value.as_ref().err());
    let standing = match (worst, unknown) {
        (Some(worst), _) if !objective.holds(worst) => Standing::Missed,
        (_, Some(why)) => Standing::Unknown(why.clone()),
        (Some(_), None) => Standing::Met,
        (None, None) => Standing::Unknown(match measured.names().as_slice() {
            [] => "nothing was measured".to_owned(),
            names => format!("it was not measured; what was is {}", names.join(", ")),
        }),
    };
    Judgement { objective, measured: worst, standing }
}

/// How all of them stand together: missed where one is, met where all are.
pub fn overall(judgements: &[Judgement]) -> Standing {
    if judgements.iter().any(|judgement| judgement.standing == Standing::Missed) {
        return Standing::Missed;
    }
    let unknown = judgements.iter().find(|judgement| judgement.standing != Standing::Met);
    match unknown {
        Some(judgement) => judgement.standing.clone(),
        None if judgements.is_empty() => Standing::Unknown("no objective was given".to_owned()),
        None => Standing::Met,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(values: &[Result<f64, String>]) -> Standing {
        let mut measured = Measured::default();
        values.iter().for_each(|value| measured.add("error_rate", value.clone()));
        let judgements = judge(&[Objective::new("error_rate", 0.01).unwrap()], &measured);
        overall(&judgements)
    }

    #[test]
    fn unknown_is_never_met() {
        let unknown = || Err("no sample".to_owned());
        assert_eq!(standing(&[Ok(0.0), Ok(0.01)]), Standing::Met);
        assert_eq!(standing(&[Ok(0.0), Ok(0.02), unknown()]), Standing::Missed);
        assert_eq!(standing(&[Ok(0.0), unknown()]), Standing::Unknown("no sample".into()));
        assert!(matches!(standing(&[]), Standing::Unknown(_)));
        assert!(matches!(standing(&[Ok(f64::NAN)]), Standing::Unknown(_)));
        assert!(matches!(overall(&[]), Standing::Unknown(_)));
    }

    #[test]
    fn what_cannot_be_true_is_unknown() {
        for (metric, value) in
            [("availability", 95.0), ("error_rate", -0.5), ("error_rate", 1.2), ("latency_p99", -1.0)]
        {
            let mut measured = Measured::default();
            measured.add(metric, Ok(value));
            let judgements = judge(&[Objective::new(metric, 0.5).unwrap()], &measured);
            let standing = &judgements[0].standing;
            assert!(
                matches!(standing, Standing::Unknown(why) if why.contains(&value.to_string())),
                "{standing:?}"
            );
        }
        assert_eq!(standing(&[Ok(-1e-12)]), Standing::Met);
    }

    #[test]
    fn what_was_measured_in_its_place_is_named() {
        let mut measured = Measured::default();
        measured.add("latency_p95", Ok(0.1));
        let judgements = judge(&[Objective::new("latency_p99", 0.5).unwrap()], &measured);
        assert!(matches!(&judgements[0].standing, Standing::Unknown(why) if why.contains("latency_p95")));
    }

    #[test]
    fn the_worst_availability_is_the_least() {
        let mut measured = Measured::default();
        measured.add("availability", Ok(1.0));
        measured.add("availability", Ok(0.5));
        let judgements = judge(&[Objective::new("availability", 0.9).unwrap()], &measured);
        assert_eq!((judgements[0].measured, &judgements[0].standing), (Some(0.5), &Standing::Missed));
    }
}
