//! minijinja set up as transformers sets up Jinja2 for chat templates.
//!
//! Known to differ: `~` prints floats below 1e-4 and from 1e16 without an exponent; a tuple needs its
//! parentheses; None iterates as nothing; integers beyond 128 bits, `%` on strings and the filters that no chat
//! template uses are missing.

use super::TokenizerError;
use super::clock;
use super::python::{self, JsonStyle, is_space};
use crate::system::THREADS;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use std::io;

/// Instructions and 64-byte units of data that one rendering may use: 32 MB, some ten times what a full context
/// needs, and a fraction of a second.
const FUEL: u64 = 500_000;

/// A template can nest a value in itself as often as the fuel allows, one level for two units, and minijinja
/// drops and compares values by recursion, at 640 bytes a level. Address space only: pages that nothing touches
/// take no memory.
const STACK: usize = 256 << 20;

/// The longest prompt that is rendered, in bytes.
const MAX_OUTPUT: usize = 16 << 20;

/// Renders `source` with `context`.
///
/// # Errors
/// What is wrong with the template, or its own words where it calls `raise_exception`.
pub(super) fn render<V: Into<Value>>(
    source: &str,
    context: impl FnOnce() -> V + Send,
) -> Result<String, TokenizerError> {
    if !THREADS {
        // On the caller's stack. WebAssembly traps where that is too short, before anything is overwritten.
        return render_here(source, context().into());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let rendering = thread.spawn_scoped(scope, || render_here(source, context().into()));
        let rendering = rendering.map_err(|error| {
            TokenizerError::Template(format!("cannot start a thread to render it: {error}"))
        })?;
        rendering.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn render_here(source: &str, context: Value) -> Result<String, TokenizerError> {
    let environment = environment();
    let template = environment.template_from_named_str("chat template", source).map_err(describe)?;
    let mut output = Capped(Vec::new());
    template.render_captured_to(context, &mut output).map_err(describe)?;
    String::from_utf8(output.0).map_err(|error| TokenizerError::Template(error.to_string()))
}

/// Whether `source` compiles.
pub(super) fn check(source: &str) -> Result<(), TokenizerError> {
    environment().template_from_named_str("chat template", source).map(|_| ()).map_err(describe)
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("only white space settings"));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(|out, _, value| {
        match value.as_str() {
            Some(text) => out.write_str(text)?,
            None => out.write_str(&python::str(value)?)?,
        }
        Ok(())
    });
    environment.set_unknown_method_callback(method);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(false);
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", |value: &Value| python::str(value));
    environment.add_filter("join", join);
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    environment.add_filter("trim", |value: &Value, chars: Option<&str>| -> Result<String, Error> {
        Ok(strip(&python::str(value)?, chars, Side::Both))
    });
    environment.add_test("iterable", |value: &Value| {
        !matches!(value.kind(), ValueKind::None | ValueKind::Bool | ValueKind::Number)
    });
    environment.add_function("raise_exception", |message: &Value| -> Result<Value, Error> {
        Err(Error::from(ErrorKind::InvalidOperation).with_source(Raised(python::str(message)?)))
    });
    environment.add_function("strftime_now", |format: &str| {
        clock::strftime(format, std::time::SystemTime::now())
            .map_err(|message| Error::new(ErrorKind::InvalidOperation, message))
    });
    environment
}

/// What `raise_exception` was called with.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn describe(error: Error) -> TokenizerError {
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        if let Some(Raised(message)) = inner.downcast_ref() {
            return TokenizerError::Template(message.clone());
        }
        source = inner.source();
    }
    if error.kind() == ErrorKind::OutOfFuel {
        return TokenizerError::Template("the template does too much work: it may not end".into());
    }
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    TokenizerError::Template(format!("{error}{source}"))
}

/// Refuses to grow beyond [`MAX_OUTPUT`].
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > MAX_OUTPUT - self.0.len() {
            return Err(io::Error::other(format!("the prompt exceeds {} MiB", MAX_OUTPUT >> 20)));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
fn tojson(value: &Value, args: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    type Optional<'a> = Option<&'a Value>;
    let (ensure_ascii, indent, separators, sort_keys): (Optional, Optional, Optional, Optional) =
        from_args(&args)?;
    let argument = |given: Option<&Value>, name: &str| -> Result<Option<Value>, Error> {
        let value = match given {
            Some(value) => Some(value.clone()),
            None => named.get::<Option<Value>>(name)?,
        };
        Ok(value.filter(|value| !value.is_none()))
    };
    let indent = match argument(indent, "indent")? {
        None => None,
        Some(indent) => Some(match indent.as_str() {
            Some(text) => text.to_string(),
            None => " ".repeat(usize::try_from(indent)?.min(64)),
        }),
    };
    let mut style = JsonStyle::new(indent);
    if let Some(pair) = argument(separators, "separators")? {
        let part = |index| pair.get_item_by_index(index).map(|part| part.to_string());
        (style.item_separator, style.key_separator) = (part(0)?, part(1)?);
    }
    style.ensure_ascii = argument(ensure_ascii, "ensure_ascii")?.is_some_and(|value| value.is_true());
    style.sort_keys = argument(sort_keys, "sort_keys")?.is_some_and(|value| value.is_true());
    named.assert_all_used()?;
    python::json(value, &style)
}

/// `join(value, d="", attribute=None)`.
fn join(
    value: &Value,
    separator: Option<&Value>,
    attribute: Option<&Value>,
    named: Kwargs,
) -> Result<String, Error> {
    let separator = match separator {
        Some(separator) => python::str(separator)?,
        None => named.get::<Option<Value>>("d")?.map(|d| python::str(&d)).transpose()?.unwrap_or_default(),
    };
    let attribute = match attribute {
        Some(attribute) => Some(attribute.clone()),
        None => named.get::<Option<Value>>("attribute")?,
    };
    named.assert_all_used()?;
    let mut items = Vec::new();
    for item in value.try_iter()? {
        items.push(python::str(&match &attribute {
            Some(attribute) => item.get_item(attribute)?,
            None => item,
        })?);
    }
    Ok(items.join(&separator))
}

/// HTML escapes as Jinja2 writes them.
fn escape(value: &Value) -> Result<String, Error> {
    let text = python::str(value)?.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Ok(text.replace('\'', "&#39;").replace('"', "&#34;"))
}

/// Methods of Python's types: minijinja-contrib's, but for those of strings that turn on what white space is.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let Some(text) = value.as_str().filter(|_| value.kind() == ValueKind::String) else {
        return unknown_method_callback(state, value, name, args);
    };
    let side = match name {
        "strip" => Side::Both,
        "lstrip" => Side::Left,
        "rstrip" => Side::Right,
        "isspace" => {
            let () = from_args(args)?;
            return Ok(Value::from(!text.is_empty() && text.chars().all(is_space)));
        }
        "split" => {
            let (separator, limit, named): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
            let separator = separator.map(String::from).or(named.get("sep")?);
            let limit = limit.or(named.get("maxsplit")?);
            named.assert_all_used()?;
            return split(text, separator.as_deref(), limit);
        }
        "splitlines" => {
            let (keep_ends,): (Option<bool>,) = from_args(args)?;
            return Ok(split_lines(text, keep_ends.unwrap_or(false)).into_iter().collect());
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            return Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)));
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            return Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)));
        }
        _ => return unknown_method_callback(state, value, name, args),
    };
    let (chars,): (Option<&str>,) = from_args(args)?;
    Ok(Value::from(strip(text, chars, side)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Both,
}

/// `str.strip` and its sisters.
fn strip(text: &str, chars: Option<&str>, side: Side) -> String {
    let drop = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let mut text = text;
    if side != Side::Right {
        text = text.trim_start_matches(drop);
    }
    if side != Side::Left {
        text = text.trim_end_matches(drop);
    }
    text.into()
}

/// `str.split`.
fn split(text: &str, separator: Option<&str>, limit: Option<i64>) -> Result<Value, Error> {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let Some(separator) = separator else {
        let mut parts = Vec::new();
        let mut rest = text.trim_start_matches(is_space);
        while !rest.is_empty() {
            let end = if limit == Some(parts.len()) { None } else { rest.find(is_space) };
            let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
            parts.push(part);
            rest = after.trim_start_matches(is_space);
        }
        return Ok(parts.into_iter().collect());
    };
    if separator.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "split: empty separator"));
    }
    Ok(match limit {
        Some(limit) => text.splitn(limit.saturating_add(1), separator).collect(),
        None => text.split(separator).collect(),
    })
}

/// `str.splitlines`.
fn split_lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let ends_line =
        |c: char| matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(ends_line) {
        let break_len = if rest[end..].starts_with("\r\n") {
            2
        } else {
            rest[end..].chars().next().map_or(0, char::len_utf8)
        };
        lines.push(&rest[..if keep_ends { end + break_len } else { end }]);
        rest = &rest[end + break_len..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}
