//! What a branch of a Task asks: an expression of the language `expr` over `exitCode` and `stdout`, as a condition over the
//! answer that the Task is.
//!
//! Of the language is read what such expressions are made of: comparisons, `&&`, `||`, `!` and their words, `in`, the operators
//! on texts, `trim`. Everything else is refused by name.
//!
//! Source: <https://expr-lang.org/docs/language-definition>

/// What conditions call the answer of a Task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'n> {
    /// `exitCode`
    pub(super) code: &'n str,
    /// `stdout`, where it is compared with a text.
    pub(super) printed: &'n str,
    /// `stdout`, where something is looked for in it.
    pub(super) searched: &'n str,
}

/// What an expression says of the answer that is called `name`; in words why not, and about which part of it.
pub(super) fn condition(text: &str, name: &str) -> Result<String, String> {
    let (code, printed) = (format!("{name}.exit_code"), format!("{name}.stdout"));
    with_names(text, Names { code: &code, printed: &printed, searched: &printed })
}

/// The texts that an expression names.
pub(super) fn texts(text: &str) -> Vec<String> {
    let text_of = |token| if let Token::Text(text) = token { Some(text) } else { None };
    tokens(text).unwrap_or_default().into_iter().filter_map(text_of).collect()
}

/// The same of an answer whose parts are called so.
pub(super) fn with_names(text: &str, names: Names<'_>) -> Result<String, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, names };
    let condition = parser.any()?;
    match parser.next() {
        None => Ok(condition),
        Some(token) => Err(format!("`{}` is not understood here", token.shown())),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(String),
    Sign(&'static str),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Word(text) | Self::Number(text) => text.clone(),
            Self::Text(text) => format!("{text:?}"),
            Self::Sign(sign) => (*sign).to_owned(),
        }
    }
}

/// The longer ones first.
const SIGNS: [&str; 14] = ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "(", ")", "[", "]", ","];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let (mut tokens, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let (token, length) = if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else if matches!(first, '"' | '\'' | '`') {
            quoted(rest, first)?
        } else if first.is_ascii_digit() || first == '-' {
            let length = rest[1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| end + 1);
            (Token::Number(rest[..length].to_owned()), length)
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Token::Word(rest[..length].to_owned()), length)
        } else {
            return Err(format!("`{first}` is not understood"));
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// A text in quotes; within backquotes nothing is escaped.
fn quoted(rest: &str, quote: char) -> Result<(Token, usize), String> {
    let (mut text, mut letters) = (String::new(), rest.char_indices().skip(1));
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if letter == quote => return Ok((Token::Text(text), at + 1)),
            '\\' if quote != '`' => match letters.next().map(|(_, escaped)| escaped) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(escaped @ ('\\' | '"' | '\'')) => text.push(escaped),
                escaped => return Err(format!("`\\{}` is not understood", escaped.unwrap_or_default())),
            },
            _ => text.push(letter),
        }
    }
    Err("a text has no closing quote".to_owned())
}

/// What can be compared.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    ExitCode,
    Stdout,
    Number(String),
    Text(String),
}

struct Parser<'n> {
    tokens: Vec<Token>,
    at: usize,
    names: Names<'n>,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned()
    }

    /// Takes one of these, if it comes next.
    fn takes(&mut self, words: &[&str]) -> bool {
        let found = match self.tokens.get(self.at) {
            Some(Token::Sign(sign)) => words.contains(sign),
            Some(Token::Word(word)) => words.contains(&word.as_str()),
            _ => false,
        };
        self.at += usize::from(found);
        found
    }

    fn must_take(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(&[sign]) { Ok(()) } else { Err(format!("`{sign}` is missing")) }
    }

    fn any(&mut self) -> Result<String, String> {
        let mut parts = vec![self.all()?];
        while self.takes(&["||", "or"]) {
            parts.push(self.all()?);
        }
        Ok(parts.join(" or "))
    }

    fn all(&mut self) -> Result<String, String> {
        let mut parts = vec![self.part()?];
        while self.takes(&["&&", "and"]) {
            parts.push(self.part()?);
        }
        Ok(parts.join(" and "))
    }

    fn part(&mut self) -> Result<String, String> {
        if self.takes(&["!", "not"]) {
            let inner = self.part()?;
            return Ok(format!("not ({inner})"));
        }
        if self.takes(&["("]) {
            let inner = self.any()?;
            self.must_take(")")?;
            return Ok(format!("({inner})"));
        }
        // Every program has ended with a code that is not below none.
        let code = self.names.code;
        if self.takes(&["true"]) {
            return Ok(format!("{code} >= 0"));
        }
        if self.takes(&["false"]) {
            return Ok(format!("{code} < 0"));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<String, String> {
        let left = self.value()?;
        let negated = self.takes(&["not"]);
        let operator = self.next().ok_or("a comparison has no end")?.shown();
        let comparison =
            if operator == "in" { self.one_of(&left)? } else { self.compared(&left, &operator)? };
        Ok(if negated { format!("not ({comparison})") } else { comparison })
    }

    /// `exitCode in [0, 2]`
    fn one_of(&mut self, left: &Value) -> Result<String, String> {
        self.must_take("[")?;
        let mut parts = Vec::new();
        while !self.takes(&["]"]) {
            if !parts.is_empty() {
                self.must_take(",")?;
            }
            let right = self.value()?;
            parts.push(self.held_against(left, "==", &right)?);
        }
        if parts.is_empty() {
            Err("nothing is in `[]`".to_owned())
        } else {
            Ok(format!("({})", parts.join(" or ")))
        }
    }

    fn compared(&mut self, left: &Value, operator: &str) -> Result<String, String> {
        let right = self.value()?;
        let mirrored = match operator {
            "<" => ">",
            ">" => "<",
            "<=" => ">=",
            ">=" => "<=",
            same => same,
        };
        match (left, &right) {
            (Value::ExitCode | Value::Stdout, _) => self.held_against(left, operator, &right),
            (_, Value::ExitCode | Value::Stdout)
                if matches!(operator, "==" | "!=" | "<" | ">" | "<=" | ">=") =>
            {
                self.held_against(&right, mirrored, left)
            }
            _ => Err(format!("`{operator}` compares neither `exitCode` nor `stdout`")),
        }
    }

    fn held_against(&self, left: &Value, operator: &str, right: &Value) -> Result<String, String> {
        let Names { code, printed, searched } = self.names;
        match (left, operator, right) {
            (Value::ExitCode, "==" | "!=" | "<" | ">" | "<=" | ">=", Value::Number(number)) => {
                Ok(format!("{code} {operator} {number}"))
            }
            (Value::Stdout, "==" | "!=", Value::Text(text)) => {
                Ok(format!("{printed} {operator} {}", in_quotes(text)))
            }
            (Value::Stdout, _, Value::Text(text)) => {
                let verbatim = regex_lite::escape(text);
                let pattern = match operator {
                    "contains" => verbatim,
                    "startsWith" => format!("^{verbatim}"),
                    "endsWith" => format!("{verbatim}$"),
                    "matches" => text.clone(),
                    other => return Err(format!("`{other}` on texts is not understood")),
                };
                Ok(format!("{searched} =~ {}", in_quotes(&pattern)))
            }
            (Value::ExitCode, ..) => {
                Err(format!("`exitCode` is a number, and `{operator}` holds it against something else"))
            }
            _ => Err(format!("`stdout` is a text, and `{operator}` holds it against something else")),
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        match self.next().ok_or("something is missing at the end")? {
            Token::Number(number) => Ok(Value::Number(number)),
            Token::Text(text) => Ok(Value::Text(text)),
            Token::Word(word) => match word.as_str() {
                "exitCode" => Ok(Value::ExitCode),
                "stdout" => Ok(Value::Stdout),
                // What was printed has no blanks around it, for Chaos Mesh as for Squall.
                "trim" => {
                    self.must_take("(")?;
                    let inner = self.value()?;
                    self.must_take(")")?;
                    Ok(inner)
                }
                other => {
                    Err(format!("`{other}` is not known; an expression speaks of `exitCode` and `stdout`"))
                }
            },
            Token::Sign(sign) => Err(format!("`{sign}` is not understood here")),
        }
    }
}

/// A text as conditions have it.
fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::{Condition, ConditionState};
    use crate::value::{Reading, Value as Read};

    fn holds(expression: &str, code: f64, stdout: &str) -> bool {
        let text = condition(expression, "t").unwrap_or_else(|why| panic!("{expression}: {why}"));
        let condition = Condition::parse(&text).unwrap_or_else(|why| panic!("{text}: {why}"));
        let reading = Reading::from([
            ("t.exit_code".to_owned(), Read::Number(code)),
            ("t.stdout".to_owned(), Read::from(stdout)),
        ]);
        condition.judge(&mut ConditionState::default(), 0.0, &reading).holds()
    }

    #[test]
    fn expressions_mean_what_they_mean_in_chaos_mesh() {
        assert!(holds("exitCode == 0 && stdout == \"branch-a\"", 0.0, "branch-a"));
        assert!(!holds("exitCode == 0 && stdout == 'branch-a'", 0.0, "branch-b"));
        assert!(holds("exitCode != 0 or not (stdout contains \"a.c\")", 0.0, "abc"));
        assert!(holds("stdout startsWith \"a\\\\b\" and stdout endsWith `\"c\"`", 1.0, "a\\b\"c\""));
        assert!(
            holds("stdout matches '^v[0-9]+$'", 0.0, "v12") && !holds("stdout matches '^v[0-9]+$'", 0.0, "v")
        );
        assert!(holds("2 > exitCode && 0 <= exitCode", 1.0, "") && !holds("2 > exitCode", 2.0, ""));
        assert!(holds("exitCode in [1, 3]", 3.0, "") && holds("exitCode not in [1, 3]", 2.0, ""));
        assert!(holds("trim(stdout) == \"x\" || false", 0.0, "x") && holds("true", 7.0, ""));
        assert!(holds("!(exitCode == 1)", 0.0, "") && holds("exitCode > -1", 0.0, ""));
        assert!(holds("stdout == \"\"", 0.0, ""));
    }

    #[test]
    fn what_is_not_read_is_refused_by_name() {
        for (expression, word) in [
            ("len(stdout) > 3", "`len`"),
            ("stdout == 1", "`stdout` is a text"),
            ("exitCode == \"0\"", "`exitCode` is a number"),
            ("stdout < \"b\"", "`<` on texts"),
            ("exitCode + 1 == 2", "`+`"),
            ("exitCode == 0 exitCode", "`exitCode` is not understood here"),
            ("(exitCode == 0", "`)` is missing"),
            ("", "something is missing"),
            ("1 == 1", "neither"),
            ("stdout == 'x", "no closing quote"),
            ("exitCode ==", "something is missing"),
            ("exitCode in []", "nothing is in"),
        ] {
            let why = condition(expression, "t").unwrap_err();
            assert!(why.contains(word), "{expression}: {why}");
        }
    }
}
