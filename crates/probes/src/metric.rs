//! A probe as a metric source: asked every second, with `value` to say which value of its answer is the number. Yes is 1
//! and no is 0.

use schemars::Schema;
use serde_json::json;
use squall_model::node::{Content, Node};
use squall_model::probe::{AnyProbe, Observe, Pending, Probe, ProbeError, ValueKind, of};
use squall_model::read::ReadError;
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::marker::PhantomData;

/// The parameter that a source has beside those of its probe.
const CHOICE: &str = "value";

/// Joins a probe type to the table of metric sources.
pub(crate) struct MetricOf<P> {
    example: &'static str,
    probe: PhantomData<fn() -> P>,
}

/// The table entry of a probe type, with a `metrics` entry that works, in YAML.
pub(crate) const fn metric_of<P: Probe>(example: &'static str) -> MetricOf<P> {
    MetricOf { example, probe: PhantomData }
}

/// Whether a probe reads a value of this name.
pub(crate) fn reads(values: &[(&str, &str)], name: &str) -> bool {
    values.iter().any(|(known, _)| match known.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *known,
    })
}

/// A number, or a text that is one; yes is 1 and no is 0.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => text.trim().parse().ok(),
        Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
    }
    .filter(|number| number.is_finite())
}

impl<P: Probe> MetricOf<P> {
    /// Whether there is anything to choose.
    fn has_choice() -> bool {
        P::VALUES.len() > 1
    }

    /// What is read where the file does not say.
    fn by_itself() -> Option<&'static str> {
        P::VALUES.iter().map(|(name, _)| *name).find(|name| *name == CHOICE)
    }

    fn chosen(parameters: &Node) -> Result<String, ReadError> {
        let known: Vec<&str> = P::VALUES.iter().map(|(name, _)| *name).collect();
        let help = format!("it answers with {}", known.join(", "));
        let Some(node) = parameters.get(CHOICE).filter(|_| Self::has_choice()) else {
            let missing = || {
                ReadError::at(parameters.place, format!("`{CHOICE}` is missing: which value is the metric"))
            };
            return Self::by_itself().map(str::to_owned).ok_or_else(|| missing().help(help));
        };
        match &node.content {
            Content::Text(name) if reads(P::VALUES, name) => Ok(name.clone()),
            Content::Text(name) => {
                let message = format!("`{name}` is no value that `{}` reads", P::NAME);
                Err(ReadError::at(node.place, message).help(help))
            }
            _ => Err(ReadError::at(node.place, format!("`{CHOICE}` is the name of a value")).help(help)),
        }
    }
}

impl<P: Probe> AnyProbe for MetricOf<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }
    fn summary(&self) -> &'static str {
        P::SUMMARY
    }
    fn example(&self) -> &'static str {
        self.example
    }
    fn values(&self) -> &'static [(&'static str, &'static str)] {
        &[(CHOICE, "the number; yes is 1 and no is 0")]
    }
    fn kinds(&self) -> &'static [(&'static str, ValueKind)] {
        &[]
    }
    fn default_expectation(&self) -> Option<&'static str> {
        None
    }
    fn schema(&self) -> Schema {
        let mut schema = of::<P>().schema();
        let names: Vec<&str> = P::VALUES.iter().map(|(name, _)| *name).collect();
        let meaning = format!("Which value of the answer is the metric: {}.", names.join(", "));
        if let Some(object) = schema.as_object_mut().filter(|_| Self::has_choice()) {
            object.entry("properties").or_insert_with(|| json!({}))[CHOICE] =
                json!({"type": "string", "description": meaning});
            if Self::by_itself().is_none()
                && let Some(required) = object.entry("required").or_insert_with(|| json!([])).as_array_mut()
            {
                required.push(CHOICE.into());
            }
        }
        schema
    }
    fn build(&self, parameters: &Node) -> Result<Box<dyn Observe>, ReadError> {
        let value = Self::chosen(parameters)?;
        let mut bare = parameters.clone();
        if let Content::Map(entries) = &mut bare.content
            && Self::has_choice()
        {
            entries.retain(|(key, _)| key.name != CHOICE);
        }
        let probe = of::<P>().build(&bare)?;
        Ok(Box::new(One { probe, kind: P::NAME, value }))
    }
}

/// One value of what a probe reads.
struct One {
    probe: Box<dyn Observe>,
    kind: &'static str,
    value: String,
}

impl One {
    fn pick(&self, reading: &Reading) -> Result<Reading, ProbeError> {
        let Self { kind, value, .. } = self;
        let wrong = |what: String| ProbeError(format!("{kind}: {what}"));
        let found = reading.get(value).ok_or_else(|| {
            let cause = reading.get("cause").map(|cause| format!(": {cause}")).unwrap_or_default();
            wrong(format!("the answer has no `{value}`{cause}"))
        })?;
        let number = number(found).ok_or_else(|| wrong(format!("`{value}` is not a number")))?;
        Ok(Reading::from([(CHOICE.to_owned(), Value::Number(number))]))
    }
}

impl Observe for One {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async { self.pick(&self.probe.observe().await?) })
    }

    fn patience(&self) -> Duration {
        self.probe.patience()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::Tcp;
    use squall_http::testing::refusing_address;
    use squall_model::read::{Source, parse};

    fn asked(text: &str) -> Result<f64, String> {
        let node = parse(&Source { name: "a.yaml".to_owned(), text: text.to_owned() }).unwrap();
        let source = metric_of::<Tcp>("").build(&node).map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reading = runtime.block_on(source.observe()).map_err(|error| error.to_string())?;
        Ok(reading["value"].number().unwrap())
    }

    #[test]
    fn one_value_of_a_probe_is_a_metric() {
        let (_held, closed) = refusing_address();
        assert_eq!(asked(&format!("{{address: '{closed}', value: open}}")), Ok(0.0));
        let error = asked(&format!("{{address: '{closed}', value: latency}}")).unwrap_err();
        assert!(error.contains("no `latency`") && error.contains("refused"), "{error}");
        for (text, words) in [
            ("{address: 'a:1'}", "`value` is missing"),
            ("{address: 'a:1', value: opne}", "`opne` is no value that `tcp` reads"),
            ("{address: 'a:1', value: 5}", "the name of a value"),
            ("{adress: 'a:1', value: open}", "adress"),
        ] {
            let error = asked(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let schema = metric_of::<Tcp>("").schema().to_value();
        assert_eq!(schema["required"], json!(["address", "value"]));
    }
}
