//! Tool calls as LFM2 writes them: a Python list of calls with keyword arguments between two control tokens,
//! `<|tool_call_start|>[set_light(room="kitchen", on=True)]<|tool_call_end|>`.

use serde_json::{Map, Number, Value};
use std::fmt;

/// Opens a list of calls in a reply.
pub const START: &str = "<|tool_call_start|>";
/// Closes it.
pub const END: &str = "<|tool_call_end|>";

/// Lists and dicts inside one another; a model that opens more is not calling anything.
const MAX_DEPTH: usize = 32;

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// The function.
    pub name: String,
    /// Its keyword arguments in the order written.
    pub arguments: Map<String, Value>,
}

impl ToolCall {
    /// The call as `tool_calls` of a chat message carries it.
    pub fn to_json(&self) -> Value {
        serde_json::json!({"type": "function", "function": {"name": self.name, "arguments": self.arguments}})
    }
}

impl fmt::Display for ToolCall {
    /// As Python and the model write it, strings in double quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (at, (name, value)) in self.arguments.iter().enumerate() {
            write!(f, "{}{name}=", if at > 0 { ", " } else { "" })?;
            match value {
                Value::Bool(true) => f.write_str("True"),
                Value::Bool(false) => f.write_str("False"),
                Value::Null => f.write_str("None"),
                other => write!(f, "{other}"),
            }?;
        }
        f.write_str(")")
    }
}

/// Why a list of calls does not parse.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("tool calls: expected {expected} at byte {at}, found {found}")]
pub struct ToolCallError {
    /// Where, in bytes from the start of the list.
    pub at: usize,
    /// What would have been right.
    pub expected: &'static str,
    /// What stands there instead.
    pub found: String,
}

/// A reply taken apart: the text outside the markers, and the calls between them (none where there are no markers).
/// A reply that ended before its end marker counts as closed there.
///
/// # Errors
/// Calls that do not parse.
pub fn split_reply(reply: &str) -> Result<(String, Vec<ToolCall>), ToolCallError> {
    let mut splitter = ReplySplitter::default();
    let mut text = splitter.push(reply);
    match splitter.finish(&mut text) {
        Some(error) => Err(error),
        None => Ok((text.trim().into(), splitter.calls)),
    }
}

/// Takes a reply apart while it is generated. A marker counts where one piece holds it whole, as it does where it
/// is the control token.
#[derive(Default)]
pub struct ReplySplitter {
    /// What stands after a start marker whose end marker is to come.
    open: Option<String>,
    calls: Vec<ToolCall>,
    error: Option<ToolCallError>,
}

impl ReplySplitter {
    /// The next piece; returns its text outside of the markers. A list of calls that does not parse is text,
    /// its markers among it.
    pub fn push(&mut self, piece: &str) -> String {
        let (mut text, mut rest) = (String::new(), piece);
        loop {
            if let Some(open) = &mut self.open {
                let Some((inside, after)) = rest.split_once(END) else {
                    open.push_str(rest);
                    return text;
                };
                open.push_str(inside);
                rest = after;
                self.close(END, &mut text);
            } else if let Some((before, after)) = rest.split_once(START) {
                text.push_str(before);
                self.open = Some(String::new());
                rest = after;
            } else {
                text.push_str(rest);
                return text;
            }
        }
    }

    /// Ends the reply: a list that is open counts as closed here. Appends to `text` what turns out to be text, and
    /// returns why the first list that does not parse does not.
    pub fn finish(&mut self, text: &mut String) -> Option<ToolCallError> {
        self.close("", text);
        self.error.clone()
    }

    /// The calls so far.
    pub fn calls(&self) -> &[ToolCall] {
        &self.calls
    }

    fn close(&mut self, end: &str, text: &mut String) {
        let Some(inside) = self.open.take() else { return };
        match parse(&inside) {
            Ok(calls) => self.calls.extend(calls),
            Err(error) => {
                text.extend([START, &inside, end]);
                self.error.get_or_insert(error);
            }
        }
    }
}

/// Parses `[name(key=value, …), …]`, where values are Python's literals: strings, integers, floats, `True`, `False`,
/// `None`, lists and dicts with string keys.
///
/// # Errors
/// Anything else, positional arguments and arguments given twice among it.
pub fn parse(text: &str) -> Result<Vec<ToolCall>, ToolCallError> {
    let mut parser = Parser { text, at: 0 };
    parser.expect('[', "a list of calls")?;
    let calls = parser.items(']', "a comma or ]", |p| {
        let name = p.name("a function's name")?;
        p.expect('(', "(")?;
        let mut arguments = Map::new();
        p.items(')', "a comma or )", |p| {
            let key = p.name("an argument's name")?;
            p.expect('=', "=")?;
            let value = p.value(0)?;
            match arguments.insert(key, value) {
                None => Ok(()),
                Some(_) => Err(p.error("each argument once")),
            }
        })?;
        Ok(ToolCall { name, arguments })
    })?;
    parser.skip_space();
    if parser.at < text.len() { Err(parser.error("the end")) } else { Ok(calls) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn error(&self, expected: &'static str) -> ToolCallError {
        let found: String = self.rest().chars().take(20).collect();
        let found = if found.is_empty() { "the end".into() } else { format!("{found:?}") };
        ToolCallError { at: self.at, expected, found }
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Takes `c` if it comes next, after white space.
    fn take(&mut self, c: char) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn expect(&mut self, c: char, expected: &'static str) -> Result<(), ToolCallError> {
        if self.take(c) { Ok(()) } else { Err(self.error(expected)) }
    }

    /// Items with commas between them (and perhaps after the last, as Python allows) up to `close`.
    fn items<T>(
        &mut self,
        close: char,
        expected: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T, ToolCallError>,
    ) -> Result<Vec<T>, ToolCallError> {
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(item(self)?);
            if !self.take(',') {
                self.expect(close, expected)?;
                break;
            }
        }
        Ok(items)
    }

    /// The characters from here on that `is` accepts.
    fn run(&mut self, is: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let run = &rest[..rest.find(|c| !is(c)).unwrap_or(rest.len())];
        let run = run.to_owned();
        self.at += run.len();
        run
    }

    fn name(&mut self, expected: &'static str) -> Result<String, ToolCallError> {
        self.skip_space();
        if !self.rest().starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return Err(self.error(expected));
        }
        Ok(self.run(|c| c.is_alphanumeric() || c == '_' || c == '.'))
    }

    fn value(&mut self, depth: usize) -> Result<Value, ToolCallError> {
        self.skip_space();
        if depth > MAX_DEPTH {
            return Err(self.error("fewer brackets inside one another"));
        }
        match self.rest().chars().next() {
            Some('"' | '\'') => self.string().map(Value::String),
            Some('[') => {
                self.at += 1;
                Ok(Value::Array(self.items(']', "a comma or ]", |p| p.value(depth + 1))?))
            }
            Some('{') => {
                self.at += 1;
                let pairs = self.items('}', "a comma or }", |p| {
                    p.skip_space();
                    let key = p.string()?;
                    p.expect(':', ":")?;
                    Ok((key, p.value(depth + 1)?))
                })?;
                Ok(Value::Object(pairs.into_iter().collect()))
            }
            Some(c) if c.is_ascii_digit() || c == '-' || c == '+' || c == '.' => self.number(),
            _ => {
                let start = self.at;
                let word = self.run(char::is_alphabetic);
                match word.as_str() {
                    "True" => Ok(Value::Bool(true)),
                    "False" => Ok(Value::Bool(false)),
                    "None" => Ok(Value::Null),
                    _ => {
                        self.at = start;
                        Err(self.error("a literal"))
                    }
                }
            }
        }
    }

    fn number(&mut self) -> Result<Value, ToolCallError> {
        let start = self.at;
        let text = self.run(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
        let integer = text.parse::<i64>().ok().map(Number::from);
        let float = || {
            text.parse::<f64>()
                .ok()
                .filter(|_| !text.contains(|c: char| c.is_alphabetic() && c != 'e' && c != 'E'))
        };
        integer.or_else(|| float().and_then(Number::from_f64)).map(Value::Number).ok_or_else(|| {
            self.at = start;
            self.error("a number")
        })
    }

    fn string(&mut self) -> Result<String, ToolCallError> {
        let quote = match self.rest().chars().next() {
            Some(c @ ('"' | '\'')) => c,
            _ => return Err(self.error("a string")),
        };
        self.at += 1;
        let mut out = String::new();
        loop {
            out.push_str(&self.run(|c| c != quote && c != '\\' && c != '\n'));
            if self.rest().starts_with(quote) {
                self.at += 1;
                return Ok(out);
            }
            if !self.rest().starts_with('\\') {
                return Err(self.error("the string's closing quote"));
            }
            out.push(self.escape()?);
        }
    }

    /// One of Python's escapes, of which a model writes only a few.
    fn escape(&mut self) -> Result<char, ToolCallError> {
        let mut chars = self.rest().chars().skip(1);
        let digits = match chars.next() {
            Some(c @ ('\\' | '\'' | '"')) => return Ok(self.escaped(2, c)),
            Some('n') => return Ok(self.escaped(2, '\n')),
            Some('t') => return Ok(self.escaped(2, '\t')),
            Some('r') => return Ok(self.escaped(2, '\r')),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => return Err(self.error("an escape that Python knows")),
        };
        let code = self.rest().get(2..2 + digits).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let c = code.and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        match c {
            Some(c) => Ok(self.escaped(2 + digits, c)),
            None => Err(self.error("an escape that Python knows")),
        }
    }

    fn escaped(&mut self, bytes: usize, c: char) -> char {
        self.at += bytes;
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn args(text: &str) -> Value {
        let calls = parse(text).unwrap();
        assert_eq!(calls.len(), 1);
        Value::Object(calls[0].arguments.clone())
    }

    #[test]
    fn calls_with_every_literal() {
        assert_eq!(parse("[]").unwrap(), []);
        let calls = parse(r#"[set_light(room="kitchen", on=True, brightness=30), cancel_timer()]"#).unwrap();
        assert_eq!(calls[0].name, "set_light");
        assert_eq!(
            Value::Object(calls[0].arguments.clone()),
            json!({"room": "kitchen", "on": true, "brightness": 30})
        );
        assert_eq!(calls[0].to_string(), r#"set_light(room="kitchen", on=True, brightness=30)"#);
        assert_eq!((calls[1].name.as_str(), calls[1].arguments.len()), ("cancel_timer", 0));
        assert_eq!(
            args("[f(a=-3, b=2.5, c=1e3, d=None, e=False,)]"),
            json!({"a": -3, "b": 2.5, "c": 1000.0, "d": null, "e": false})
        );
        assert_eq!(
            args(r#"[ f ( a = [1, 'x', []], b={"k": {'l': 2}} ) ]"#),
            json!({"a": [1, "x", []], "b": {"k": {"l": 2}}})
        );
        assert_eq!(
            args(r#"[f(a="say \"hi\"", b='it\'s', c="tab\tñ\u00e9\x41")]"#),
            json!({"a": "say \"hi\"", "b": "it's", "c": "tab\tñéA"})
        );
    }

    #[test]
    fn what_is_not_a_call_names_the_place() {
        for (text, at, expected) in [
            ("", 0, "a list of calls"),
            ("set_light()", 0, "a list of calls"),
            ("[f(1)]", 3, "an argument's name"),
            ("[f(a=1]", 6, "a comma or )"),
            ("[f(a=1)", 7, "a comma or ]"),
            ("[f(a=1)] x", 9, "the end"),
            ("[f(a=true)]", 5, "a literal"),
            ("[f(a=g())]", 5, "a literal"),
            ("[f(a=1_0)]", 5, "a number"),
            ("[f(a=inf)]", 5, "a literal"),
            ("[f(a=-inf)]", 5, "a number"),
            ("[f(a=\"x)]", 9, "the string's closing quote"),
            ("[f(a=\"\\q\")]", 6, "an escape that Python knows"),
            ("[f(a=\"\\ud800\")]", 6, "an escape that Python knows"),
            ("[f(a=1, a=2)]", 11, "each argument once"),
            ("[f(a={1: 2})]", 6, "a string"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!((error.at, error.expected), (at, expected), "{text}");
        }
        assert!(parse(&format!("[f(a={})]", "[".repeat(100_000))).is_err());
    }

    #[test]
    fn a_reply_is_text_and_calls() {
        assert_eq!(split_reply(" Good night! ").unwrap(), ("Good night!".into(), vec![]));
        let (text, calls) = split_reply("<|tool_call_start|>[cancel_timer()]<|tool_call_end|>Done.").unwrap();
        assert_eq!((text.as_str(), calls.len()), ("Done.", 1));
        assert!(split_reply("<|tool_call_start|>[cancel_timer(]").is_err());
        let (text, calls) = split_reply(&format!("A {START}[f()]{END}b {START}[g(), h()]")).unwrap();
        let names: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!((text.as_str(), &names[..]), ("A b", &["f", "g", "h"][..]));
    }

    #[test]
    fn a_reply_in_pieces_keeps_what_does_not_parse() {
        let mut splitter = ReplySplitter::default();
        let pieces = ["Well, ", START, "[f(", "a=1)]", END, " and ", START, "[f(]", END, "so"];
        let mut text: String = pieces.iter().map(|piece| splitter.push(piece)).collect();
        let error = splitter.finish(&mut text).unwrap();
        assert_eq!(text, format!("Well,  and {START}[f(]{END}so"));
        assert_eq!((error.at, error.expected), (3, "an argument's name"));
        assert_eq!(splitter.calls().iter().map(ToolCall::to_string).collect::<Vec<_>>(), ["f(a=1)"]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r#"\[?[a-z\[\](){}=,:"'\\ 0-9.\-eTrueNon é\n]{0,60}"#) {
            let _ = parse(&text);
        }
    }
}
