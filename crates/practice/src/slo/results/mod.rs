//! Results that other tools measured: summaries in JSON and tables of requests in CSV.

mod csv;
mod json;

use super::Measured;

/// Why a file of results says nothing: a sentence that names the place and the remedy.
type NotUnderstood = String;

/// Reads a file of results. `name` is its name, whose ending says what it is; where it does not, the first character does.
///
/// # Errors
/// What is not understood, and what would be.
pub fn read(name: &str, text: &str) -> Result<Measured, NotUnderstood> {
    let text = text.trim_start_matches('\u{feff}');
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    match (ending.as_str(), text.trim_start().chars().next()) {
        (_, None) => Err("the file is empty".to_owned()),
        (_, Some('<')) => {
            Err("this is XML; let JMeter save CSV: -Jjmeter.save.saveservice.output_format=csv".to_owned())
        }
        ("json", _) | (_, Some('{' | '[')) => json::read(text),
        _ => csv::read(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_or_the_first_character_says_what_it_is() {
        assert!(read("summary", "{\"error_rate\": 0}").is_ok());
        assert!(read("out.jtl", "elapsed,success\n1,true\n").is_ok());
        assert!(read("out.json", "elapsed,success\n").unwrap_err().contains("not JSON"));
        assert!(read("out.jtl", "<?xml version=\"1.0\"?>").unwrap_err().contains("output_format=csv"));
        assert!(read("out.csv", " \n").unwrap_err().contains("empty"));
    }
}
