//! Tables of requests in CSV: `JMeter`'s JTL (`timeStamp,elapsed,success,responseCode,…`), or columns `latency_ms` and
//! `status`. One row a request.
//!
//! Format: RFC 4180; the separator is the one of the header line. JTL: <https://jmeter.apache.org/usermanual/listeners.html#csvlogformat>

use super::{Measured, NotUnderstood};
use crate::slo::METRICS;
use crate::slo::objective::quantile_of;

/// What columns may be called, in small letters.
const LATENCY: &[&str] = &["elapsed", "latency_ms"];
const SUCCESS: &[&str] = &["success"];
const STATUS: &[&str] = &["status", "responsecode", "status_code"];

/// The statuses of a request that did not fail, where there is no other word on it.
const SUCCESSES: std::ops::RangeInclusive<u16> = 200..=399;

/// What the requests came to.
#[derive(Default)]
struct Requests {
    count: u64,
    failed: u64,
    unavailable: u64,
    /// In seconds.
    latencies: Vec<f64>,
}

/// Where the columns are.
struct Columns {
    latency: Option<usize>,
    success: Option<usize>,
    status: Option<usize>,
}

impl Columns {
    fn of(header: &[String]) -> Result<Self, NotUnderstood> {
        let at = |names: &[&str]| {
            header.iter().position(|column| names.contains(&column.trim().to_ascii_lowercase().as_str()))
        };
        let columns = Self { latency: at(LATENCY), success: at(SUCCESS), status: at(STATUS) };
        if columns.latency.is_none() && !columns.says_success() {
            return Err(
                "the first line names no column that Squall knows: `elapsed` and `success` as JMeter writes them \
                 (-Jjmeter.save.saveservice.print_field_names=true), or `latency_ms` and `status`"
                    .to_owned(),
            );
        }
        Ok(columns)
    }

    fn says_success(&self) -> bool {
        self.success.is_some() || self.status.is_some()
    }
}

pub(super) fn read(text: &str) -> Result<Measured, NotUnderstood> {
    let header = text.lines().next().unwrap_or_default();
    let separator = [',', ';', '\t'].into_iter().max_by_key(|separator| header.matches(*separator).count());
    let mut rows = Rows { rest: text, separator: separator.unwrap_or(','), line: 1 };
    let (_, header) = rows.next().unwrap_or_default();
    let columns = Columns::of(&header)?;
    let mut requests = Requests::default();
    for (line, row) in rows {
        // An empty line is no request.
        if row.len() > 1 || !row[0].trim().is_empty() {
            requests.add(&columns, &row).map_err(|why| format!("line {line}: {why}"))?;
        }
    }
    Ok(requests.measured(&columns))
}

impl Requests {
    fn add(&mut self, columns: &Columns, row: &[String]) -> Result<(), String> {
        let cell = |column: Option<usize>| match column {
            None => Ok(None),
            Some(index) => row
                .get(index)
                .map(|cell| Some(cell.trim()))
                .ok_or(format!("it has only {} columns", row.len())),
        };
        if let Some(text) = cell(columns.latency)? {
            let milliseconds = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
            let milliseconds =
                milliseconds.ok_or_else(|| format!("{text:?} is not a number of milliseconds"))?;
            self.latencies.push(milliseconds / 1e3);
        }
        // JMeter writes words in the place of a status where there was no answer.
        let status = cell(columns.status)?.map(|text| text.parse::<u16>().ok());
        let success = match cell(columns.success)?.map(str::to_ascii_lowercase).as_deref() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => return Err(format!("success is {other:?}, neither true nor false")),
            None => status.map(|status| status.is_some_and(|status| SUCCESSES.contains(&status))),
        };
        let available = status.map_or(success, |status| Some(status.is_some_and(|status| status < 500)));
        self.count += 1;
        self.failed += u64::from(success == Some(false));
        self.unavailable += u64::from(available == Some(false));
        Ok(())
    }

    fn measured(mut self, columns: &Columns) -> Measured {
        self.latencies.sort_unstable_by(f64::total_cmp);
        let mut measured = Measured::default();
        measured.requests = Some(self.count);
        let share = |part: u64| match self.count {
            _ if !columns.says_success() => Err("the table has no column `success` or `status`".to_owned()),
            0 => Err("the table has no request".to_owned()),
            count => Ok(part as f64 / count as f64),
        };
        measured.add("error_rate", share(self.failed));
        measured.add("availability", share(self.unavailable).map(|unavailable| 1.0 - unavailable));
        for (metric, _, _) in METRICS {
            let Some(quantile) = quantile_of(metric) else { continue };
            let value = match columns.latency {
                None => Err("the table has no column `elapsed` or `latency_ms`".to_owned()),
                Some(_) => {
                    nearest_rank(&self.latencies, quantile).ok_or("the table has no request".to_owned())
                }
            };
            measured.add(metric, value);
        }
        measured
    }
}

/// The smallest value that a share `quantile` of all does not exceed.
fn nearest_rank(sorted: &[f64], quantile: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The rows of a table, each with the line that it begins in.
struct Rows<'t> {
    rest: &'t str,
    separator: char,
    line: usize,
}

impl Iterator for Rows<'_> {
    type Item = (usize, Vec<String>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let begins = self.line;
        let mut row = vec![String::new()];
        let mut quoted = false;
        let mut characters = self.rest.char_indices().peekable();
        let mut end = self.rest.len();
        while let Some((at, character)) = characters.next() {
            self.line += usize::from(character == '\n');
            let Some(cell) = row.last_mut() else { break };
            match character {
                // Two quotes within quotes are one.
                '"' if quoted && characters.next_if(|(_, next)| *next == '"').is_some() => cell.push('"'),
                '"' if quoted => quoted = false,
                '"' if cell.is_empty() => quoted = true,
                '\n' if !quoted => {
                    end = at + 1;
                    break;
                }
                '\r' if !quoted => {}
                separator if separator == self.separator && !quoted => row.push(String::new()),
                other => cell.push(other),
            }
        }
        self.rest = &self.rest[end..];
        Some((begins, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slo::{Objective, judge};

    fn measured(text: &str, metric: &str) -> Option<f64> {
        judge(&[Objective::new(metric, 1.0).unwrap()], &read(text).unwrap())[0].measured
    }

    #[test]
    fn what_jmeter_writes_is_read() {
        let text = "timeStamp,elapsed,label,responseCode,responseMessage,success,Latency\r\n\
                    1,10,home,200,OK,true,9\r\n\
                    2,20,home,404,\"Not, \"\"here\"\"\r\nat all\",false,19\r\n\
                    3,30,home,Non HTTP response code: java.net.ConnectException,refused,false,0\r\n\
                    4,40,home,200,OK,true,39\r\n";
        assert_eq!(measured(text, "error_rate"), Some(0.5));
        assert_eq!(measured(text, "availability"), Some(0.75));
        assert_eq!(measured(text, "latency_p50"), Some(0.02));
        assert_eq!(measured(text, "latency_p99"), Some(0.04));
    }

    #[test]
    fn latencies_and_statuses_will_do() {
        let text = "status;latency_ms\n200;1.5\n301;2\n503;3\n";
        assert_eq!(measured(text, "error_rate"), Some(1.0 / 3.0));
        assert_eq!(measured(text, "availability"), Some(1.0 - 1.0 / 3.0));
        assert_eq!(measured(text, "latency_p50"), Some(0.002));
        assert_eq!(measured("latency_ms\n5\n\n", "latency_p99"), Some(0.005));
        assert_eq!(measured("latency_ms\n5\n", "error_rate"), None);
        assert_eq!(measured("elapsed,success\n", "error_rate"), None);
    }

    #[test]
    fn mistakes_point_at_their_line() {
        let error = read("elapsed,success\n1,true\n\"a\nb\",true\n").unwrap_err();
        assert!(error.starts_with("line 3: ") && error.contains("milliseconds"), "{error}");
        assert!(read("elapsed,success\n1,maybe\n").unwrap_err().contains("neither true nor false"));
        assert!(read("elapsed,success\n1\n").unwrap_err().contains("only 1 columns"));
        assert!(read("1700,12,home\n").unwrap_err().contains("print_field_names"));
    }
}
