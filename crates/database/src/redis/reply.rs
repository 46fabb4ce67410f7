//! What Redis answers, from bytes to rows.

use crate::Rows;

/// How deep answers may be nested: those to the commands that are said are not at all.
const DEEPEST: usize = 8;

/// An answer of RESP 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// A text or a number.
    Text(String),
    /// Nothing.
    Nil,
    /// An error, with its kind in front.
    Error(String),
    /// Several.
    Items(Vec<Reply>),
}

impl Reply {
    /// Its text, if it is one.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// What it is made of; nothing where it is one thing.
    pub(super) fn items(&self) -> impl Iterator<Item = &Self> {
        match self {
            Self::Items(items) => items.iter(),
            _ => [].iter(),
        }
    }

    /// As rows: what `INFO` and `CONFIG GET` say is one row of named values, another answer one value a row.
    pub(super) fn rows(&self, words: &[&str]) -> Rows {
        let said =
            |index: usize, word: &str| words.get(index).is_some_and(|said| said.eq_ignore_ascii_case(word));
        let named: Option<Vec<(String, String)>> = match self {
            Self::Text(text) if said(0, "INFO") => Some(lines(text).collect()),
            Self::Items(items) if said(0, "CONFIG") && said(1, "GET") => Some(
                items
                    .chunks(2)
                    .filter_map(|pair| Some((pair.first()?.text()?, pair.get(1)?.text()?)))
                    .collect(),
            ),
            _ => None,
        };
        if let Some(named) = named {
            let (columns, values): (Vec<String>, Vec<String>) = named.into_iter().unzip();
            let row: Vec<_> = values.into_iter().map(Some).collect();
            return Rows { columns, rows: if row.is_empty() { Vec::new() } else { vec![row] }, changed: 0 };
        }
        let rows = match self {
            Self::Items(items) => items.iter().map(|item| vec![item.text()]).collect(),
            one => vec![vec![one.text()]],
        };
        Rows { columns: vec!["value".to_owned()], rows, changed: 0 }
    }
}

/// The lines of an answer to `INFO` that name a value.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
}

/// The first answer of what was read, and its length; none where its end is still to come.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, String> {
    parse_at(bytes, 0, DEEPEST)
}

fn parse_at(bytes: &[u8], from: usize, depth: usize) -> Result<Option<(Reply, usize)>, String> {
    let Some(length) = bytes[from..].windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = String::from_utf8_lossy(&bytes[from..from + length]);
    let (kind, rest) = line.split_at_checked(1).ok_or("an empty line")?;
    let after = from + length + 2;
    let size = || rest.parse::<i64>().map_err(|_| format!("`{}` is no length", shortened(rest)));
    match kind {
        "+" | ":" => Ok(Some((Reply::Text(rest.to_owned()), after))),
        "-" => Ok(Some((Reply::Error(rest.to_owned()), after))),
        "$" => match usize::try_from(size()?) {
            Err(_) => Ok(Some((Reply::Nil, after))),
            Ok(size) => {
                let end =
                    after.checked_add(size).and_then(|end| end.checked_add(2)).ok_or("no such length")?;
                let Some(text) = bytes.get(after..end) else { return Ok(None) };
                let text = String::from_utf8_lossy(&text[..size]).into_owned();
                Ok(Some((Reply::Text(text), end)))
            }
        },
        "*" => match size()? {
            count if count < 0 => Ok(Some((Reply::Nil, after))),
            _ if depth == 0 => Err("an answer within too many others".to_owned()),
            count => {
                let (mut items, mut at) = (Vec::new(), after);
                for _ in 0..count {
                    let Some((item, next)) = parse_at(bytes, at, depth - 1)? else { return Ok(None) };
                    items.push(item);
                    at = next;
                }
                Ok(Some((Reply::Items(items), at)))
            }
        },
        _ => Err(format!("`{}`", shortened(&line))),
    }
}

fn shortened(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Option<(Reply, usize)>, String> {
        parse(text.as_bytes())
    }

    #[test]
    fn answers_are_read_once_they_are_whole() {
        let text = "*3\r\n$3\r\nabc\r\n:7\r\n$-1\r\n+next\r\n";
        let items = vec![Reply::Text("abc".into()), Reply::Text("7".into()), Reply::Nil];
        let whole = text.len() - "+next\r\n".len();
        assert_eq!(all(text), Ok(Some((Reply::Items(items), whole))));
        for end in 0..whole {
            assert_eq!(all(&text[..end]), Ok(None), "{end}");
        }
        assert_eq!(all("-ERR no\r\n"), Ok(Some((Reply::Error("ERR no".into()), 9))));
        assert_eq!(all("*-1\r\n"), Ok(Some((Reply::Nil, 5))));
    }

    #[test]
    fn what_is_no_answer_is_told_and_never_harms() {
        for text in ["HTTP/1.1 400 Bad Request\r\n", "\r\n", "$x\r\n", "*9223372036854775808\r\n", "§\r\n"] {
            assert!(all(text).is_err(), "{text}");
        }
        assert_eq!(all("$9223372036854775807\r\n"), Ok(None));
        assert_eq!(all("*9223372036854775807\r\n"), Ok(None));
        assert!(all(&"*1\r\n".repeat(100_000)).is_err());
        assert!(parse(b"$3\r\n\xff\xfe\xfd\r\n").unwrap().is_some());
    }

    #[test]
    fn info_and_settings_are_named_values() {
        let info = Reply::Text("# Memory\r\nused_memory:42\r\nused_memory_human:42B\r\n".into());
        let rows = info.rows(&["info", "memory"]);
        let named: Vec<_> = rows.named().collect();
        assert_eq!(named, [("used_memory", "42"), ("used_memory_human", "42B")]);
        let pairs = Reply::Items(vec![Reply::Text("maxmemory".into()), Reply::Text("0".into())]);
        assert_eq!(pairs.rows(&["CONFIG", "GET", "maxmemory"]).first(), Some("0"));
        assert_eq!(Reply::Items(Vec::new()).rows(&["CONFIG", "GET", "x"]).first(), None);
        assert_eq!(Reply::Nil.rows(&["GET", "x"]).first(), None);
    }
}
