//! What Prometheus answers, and what of it is no answer.

use serde::Deserialize;
use serde_json::Value as Json;
use squall_http::Response;
use std::time::{Duration, UNIX_EPOCH};

/// The body of an answer, see the API's documentation.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Json,
}

/// The samples of one series over a range, each with its time in seconds since 1970.
pub(super) type Matrix = Vec<(f64, f64)>;

/// How far the clocks of this machine and of Prometheus may lie apart, in seconds. Its own is told in whole seconds.
const CLOCKS_AGREE: u64 = 5;

/// Whether Prometheus means the same by now: a range ends there.
pub(super) fn clock_agrees(response: &Response, now: Duration) -> Result<(), String> {
    let told = response.headers.get("date").and_then(|date| date.to_str().ok());
    let Some(theirs) = told.and_then(|date| httpdate::parse_http_date(date).ok()) else { return Ok(()) };
    let apart = theirs.duration_since(UNIX_EPOCH).unwrap_or_default().abs_diff(now).as_secs();
    if apart <= CLOCKS_AGREE {
        return Ok(());
    }
    Err(format!(
        "its clock and the one here are {apart} s apart, so that a range up to now is another one there"
    ))
}

/// The one number of an answer, or what is wrong with it.
pub(super) fn sample(response: &Response) -> Result<f64, String> {
    one(&data(response)?)
}

/// The samples of the one series of an answer to a range query, or what is wrong with it.
pub(super) fn samples(response: &Response) -> Result<Matrix, String> {
    let data = data(response)?;
    let series = match (data.result_type.as_str(), data.result.as_array()) {
        ("matrix", Some(series)) => series,
        (other, _) => return Err(format!("the result is a {other}, not a range of samples")),
    };
    match series.as_slice() {
        [] => Ok(Matrix::new()),
        [one] => one["values"].as_array().into_iter().flatten().map(pair).collect(),
        more => {
            Err(format!("{} series, and this is about one number: add sum(…), max(…) or a label", more.len()))
        }
    }
}

fn pair(pair: &Json) -> Result<(f64, f64), String> {
    let at = pair[0].as_f64().ok_or("a sample has no time")?;
    Ok((at, number(pair)?))
}

/// What an answer holds, or what is wrong with it.
fn data(response: &Response) -> Result<Data, String> {
    if response.is_truncated() {
        return Err(
            "the answer is longer than 1 MiB; a metric is one number: add sum(…) or max(…)".to_owned()
        );
    }
    let Ok(Answer { error, data }) = serde_json::from_slice(&response.body) else {
        // Whole: whoever tells it cuts it, once it is without secrets.
        let said = String::from_utf8_lossy(&response.body);
        return Err(format!(
            "the answer with status {} is not one of Prometheus; is `url` right? it says {:?}",
            response.status,
            said.trim()
        ));
    };
    match data {
        Some(data) if response.status < 300 => Ok(data),
        _ if error.is_empty() => Err(format!("status {} without a result", response.status)),
        _ => Err(error),
    }
}

fn one(data: &Data) -> Result<f64, String> {
    let pair = match (data.result_type.as_str(), data.result.as_array()) {
        ("scalar", _) => &data.result,
        ("vector", Some(elements)) => match elements.as_slice() {
            [] => return Err("no sample: nothing matches, or it is too old".to_owned()),
            [element] => &element["value"],
            more => {
                let count = more.len();
                return Err(format!(
                    "{count} samples, and a metric is one number: add sum(…), max(…) or a label"
                ));
            }
        },
        ("matrix", _) => {
            return Err(
                "a range of samples, and a metric is one number: put it in rate(…) or max_over_time(…)"
                    .to_owned(),
            );
        }
        (other, _) => return Err(format!("the result is a {other}, not a number")),
    };
    number(pair)
}

fn number(pair: &Json) -> Result<f64, String> {
    let text =
        pair[1].as_str().ok_or("the sample is a histogram, not a number: put it in histogram_quantile(…)")?;
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("no sample: the value is {text}, such as a division by zero gives")),
    }
}
