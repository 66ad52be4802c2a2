//! Values as Python writes them: `str`, `repr` and `json.dumps`, which chat templates print.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};
use std::fmt::Write;

/// Deeper values than this come from a template that builds them; JSON is read to a depth of 128.
const MAX_DEPTH: usize = 150;

/// `str(value)`, with Jinja2's undefined as nothing.
///
/// # Errors
/// A value that is nested too deeply.
pub(super) fn str(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    match value.as_str() {
        Some(text) => out.push_str(text),
        None => write_repr(value, 0, &mut out)?,
    }
    Ok(out)
}

/// `repr(value)`.
fn write_repr(value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
    check_depth(depth)?;
    match value.kind() {
        ValueKind::String => write_repr_str(value.as_str().unwrap_or_default(), out),
        ValueKind::Number => out.push_str(&number(value, ["nan", "inf", "-inf"])),
        ValueKind::Seq => {
            let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
            out.push(open);
            let items = value.try_iter().into_iter().flatten();
            for (index, item) in items.enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(&item, depth + 1, out)?;
            }
            if value.is_tuple() && value.len() == Some(1) {
                out.push(',');
            }
            out.push(close);
        }
        ValueKind::Map if value.as_object().is_some() => {
            out.push('{');
            for (index, (key, item)) in entries(value).into_iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(&key, depth + 1, out)?;
                out.push_str(": ");
                write_repr(&item, depth + 1, out)?;
            }
            out.push('}');
        }
        // None, True, False and undefined print as in Python.
        _ => _ = write!(out, "{value}"),
    }
    Ok(())
}

fn check_depth(depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!("a value is nested more than {MAX_DEPTH} deep")));
    }
    Ok(())
}

fn write_repr_str(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        let code = u32::from(c);
        _ = match c {
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            '\\' => write!(out, "\\\\"),
            c if c == quote => write!(out, "\\{c}"),
            c if is_printable(c) => write!(out, "{c}"),
            _ if code <= 0xff => write!(out, "\\x{code:02x}"),
            _ if code <= 0xffff => write!(out, "\\u{code:04x}"),
            _ => write!(out, "\\U{code:08x}"),
        };
    }
    out.push(quote);
}

/// Whether Python's `str.isprintable` and Rust's `Debug` print the character as it is. (After another
/// character: Rust escapes a combining mark only where it comes first.)
fn is_printable(c: char) -> bool {
    let escaped: String = ['a', c].iter().collect::<String>().escape_debug().skip(1).collect();
    !escaped.starts_with("\\u") && !escaped.starts_with("\\0")
}

/// An integer, or a float as Python's `repr` writes it; `special` are the words for NaN and the infinities.
fn number(value: &Value, special: [&str; 3]) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(float) = f64::try_from(value.clone()) else { return value.to_string() };
    if float.is_nan() {
        return special[0].into();
    }
    if float.is_infinite() {
        return special[1 + usize::from(float < 0.0)].into();
    }
    // Debug switches to an exponent where Python does, but writes 1e16 for 1e+16 and 1e-5 for 1e-05.
    let text = format!("{float:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

/// A map's entries in order.
fn entries(map: &Value) -> Vec<(Value, Value)> {
    map.as_object().and_then(|object| object.try_iter_pairs()).map(Iterator::collect).unwrap_or_default()
}

/// The arguments of `json.dumps`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonStyle {
    pub ensure_ascii: bool,
    /// One level; `None` is everything on one line.
    pub indent: Option<String>,
    pub item_separator: String,
    pub key_separator: String,
    pub sort_keys: bool,
}

impl JsonStyle {
    /// Python's separators for an indent.
    pub fn new(indent: Option<String>) -> Self {
        let item_separator = if indent.is_some() { "," } else { ", " };
        JsonStyle {
            ensure_ascii: false,
            indent,
            item_separator: item_separator.into(),
            key_separator: ": ".into(),
            sort_keys: false,
        }
    }
}

/// `json.dumps(value, …)`.
///
/// # Errors
/// Values that JSON has not, among them undefined, as in Python.
pub(super) fn json(value: &Value, style: &JsonStyle) -> Result<String, Error> {
    let mut out = String::new();
    write_json(value, style, 0, &mut out)?;
    Ok(out)
}

fn write_json(value: &Value, style: &JsonStyle, depth: usize, out: &mut String) -> Result<(), Error> {
    check_depth(depth)?;
    let new_line = |depth: usize, out: &mut String| {
        if let Some(indent) = &style.indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
    };
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number(value, ["NaN", "Infinity", "-Infinity"])),
        ValueKind::String => write_json_str(value.as_str().unwrap_or_default(), style.ensure_ascii, out),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            let mut any = false;
            for item in value.try_iter()? {
                if any {
                    out.push_str(&style.item_separator);
                }
                any = true;
                new_line(depth + 1, out);
                write_json(&item, style, depth + 1, out)?;
            }
            if any {
                new_line(depth, out);
            }
            out.push(']');
        }
        ValueKind::Map => {
            let mut entries = entries(value);
            if style.sort_keys {
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            out.push('{');
            for (index, (key, item)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push_str(&style.item_separator);
                }
                new_line(depth + 1, out);
                let key = match key.kind() {
                    ValueKind::String => key.to_string(),
                    ValueKind::None | ValueKind::Bool | ValueKind::Number => json(key, style)?,
                    kind => return Err(invalid(format!("tojson: a key cannot be a {kind}"))),
                };
                write_json_str(&key, style.ensure_ascii, out);
                out.push_str(&style.key_separator);
                write_json(item, style, depth + 1, out)?;
            }
            if !entries.is_empty() {
                new_line(depth, out);
            }
            out.push('}');
        }
        kind => return Err(invalid(format!("tojson: JSON has no {kind} values"))),
    }
    Ok(())
}

fn write_json_str(text: &str, ensure_ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || (ensure_ascii && c > '~') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// White space as `str.isspace` has it: Unicode's, and the four separators U+001C to U+001F.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(json: serde_json::Value) -> Value {
        minijinja::value::Serde(json).into()
    }

    #[test]
    fn floats_print_as_in_python() {
        for (float, text) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e100, "1.25e+100"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(str(&Value::from(float)).unwrap(), text);
            assert_eq!(json(&Value::from(float), &JsonStyle::new(None)).unwrap(), text);
        }
        let infinities = Value::from(vec![f64::INFINITY, f64::NEG_INFINITY, f64::NAN]);
        assert_eq!(str(&infinities).unwrap(), "[inf, -inf, nan]");
        assert_eq!(json(&infinities, &JsonStyle::new(None)).unwrap(), "[Infinity, -Infinity, NaN]");
    }

    #[test]
    fn containers_print_as_in_python() {
        let nested =
            value(json!({"b": [1, "it's", null, true], "a": {"x": "say \"hi\"", "y": 1e-5}, "é": []}));
        assert_eq!(
            str(&nested).unwrap(),
            r#"{'b': [1, "it's", None, True], 'a': {'x': 'say "hi"', 'y': 1e-05}, 'é': []}"#
        );
        assert_eq!(
            str(&value(json!([
                "'\"\\\n\t\u{0}\u{7f}\u{a0}\u{ad}\u{200b}\u{301}e\u{301}日🌊\u{e000}\u{f0000}"
            ])))
            .unwrap(),
            "['\\'\"\\\\\\n\\t\\x00\\x7f\\xa0\\xad\\u200b\u{301}e\u{301}日🌊\\ue000\\U000f0000']"
        );
        assert_eq!(str(&Value::UNDEFINED).unwrap(), "");
        assert_eq!(str(&Value::from(())).unwrap(), "None");
    }

    #[test]
    fn json_is_that_of_json_dumps() {
        let nested = value(json!({"b": [1, {}], "a": {"x": [], "y": "\u{1}\u{8}\u{c}\u{7f}</é🌊"}, "c": -2}));
        let plain =
            r#"{"b": [1, {}], "a": {"x": [], "y": "\u0001\b\f"#.to_string() + "\u{7f}</é🌊\"}, \"c\": -2}";
        assert_eq!(json(&nested, &JsonStyle::new(None)).unwrap(), plain);
        let style = JsonStyle { sort_keys: true, ensure_ascii: true, ..JsonStyle::new(Some("  ".into())) };
        assert_eq!(
            json(&nested, &style).unwrap(),
            "{\n  \"a\": {\n    \"x\": [],\n    \"y\": \"\\u0001\\b\\f\\u007f</\\u00e9\\ud83c\\udf0a\"\n  },\n  \"b\": [\n    1,\n    {}\n  ],\n  \"c\": -2\n}"
        );
        assert!(json(&Value::UNDEFINED, &JsonStyle::new(None)).is_err());
    }
}
