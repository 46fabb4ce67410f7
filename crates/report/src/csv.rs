//! Comma-separated values (RFC 4180), for spreadsheets and trackers.

/// A row, with its end.
pub fn row<T: AsRef<str>>(cells: &[T]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text.as_ref())).collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell. Spreadsheets carry out what begins like a formula, so a quote is set before it (CSV injection, OWASP).
fn cell(text: &str) -> String {
    let text = crate::paint::printable(text);
    let is_number = text.parse::<f64>().is_ok();
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t']) && !is_number;
    let text = if is_formula { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r', '\'']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_harmless() {
        assert_eq!(row(&["plain", "say \"hi\"", "J, S"]), "plain,\"say \"\"hi\"\"\",\"J, S\"\r\n");
        assert_eq!(row(&["=HYPERLINK(1)", "-1.5", "-x"]), "\"'=HYPERLINK(1)\",-1.5,\"'-x\"\r\n");
    }
}
