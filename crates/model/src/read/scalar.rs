//! What a plain scalar means: the core schema of YAML 1.2 (section 10.3.2). `yes`, `on` and `12:30` are texts.

use crate::node::Content;

/// What the characters of an unquoted value say. An error, in words, where they say a number that cannot be held.
pub(super) fn resolve(text: &str) -> Result<Content, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Null,
        "true" | "True" | "TRUE" => Content::Bool(true),
        "false" | "False" | "FALSE" => Content::Bool(false),
        _ => match number(text)? {
            Some(number) => number,
            None => Content::Text(text.to_owned()),
        },
    })
}

/// The number that the text is, if it looks like one.
pub(super) fn number(text: &str) -> Result<Option<Content>, String> {
    let too_large = || format!("the number `{text}` is too large; if it is a text, put it in quotes");
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix).filter(|digits| all(digits, radix)) {
            let value = i64::from_str_radix(digits, radix).map_err(|_| too_large())?;
            return Ok(Some(Content::Integer(value)));
        }
    }
    if all(unsigned, 10) {
        return text.parse().map(|value| Some(Content::Integer(value))).map_err(|_| too_large());
    }
    if matches!(unsigned.to_ascii_lowercase().as_str(), ".inf" | ".nan") {
        return Err(format!("`{text}` is no number that can be used here; give a finite one"));
    }
    if !is_float(unsigned) {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(Content::Float(value))),
        _ => Err(too_large()),
    }
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema_holds() {
        for (text, content) in [
            ("", Content::Null),
            ("~", Content::Null),
            ("null", Content::Null),
            ("true", Content::Bool(true)),
            ("yes", Content::Text("yes".into())),
            ("on", Content::Text("on".into())),
            ("0", Content::Integer(0)),
            ("-12", Content::Integer(-12)),
            ("+12", Content::Integer(12)),
            ("0123", Content::Integer(123)),
            ("0x1F", Content::Integer(31)),
            ("0o17", Content::Integer(15)),
            ("0x", Content::Text("0x".into())),
            ("1_000", Content::Text("1_000".into())),
            ("1.5", Content::Float(1.5)),
            (".5", Content::Float(0.5)),
            ("5.", Content::Float(5.0)),
            ("1e3", Content::Float(1000.0)),
            ("-1.5E-3", Content::Float(-0.0015)),
            (".", Content::Text(".".into())),
            ("-", Content::Text("-".into())),
            ("1e", Content::Text("1e".into())),
            ("1.2.3", Content::Text("1.2.3".into())),
            ("12:30", Content::Text("12:30".into())),
            ("100ms", Content::Text("100ms".into())),
            ("inf", Content::Text("inf".into())),
        ] {
            assert_eq!(resolve(text), Ok(content), "{text:?}");
        }
        for wrong in [".inf", "-.INF", ".nan", "1e999", "99999999999999999999", "0xFFFFFFFFFFFFFFFFF"] {
            assert!(resolve(wrong).is_err(), "{wrong}");
        }
    }
}
