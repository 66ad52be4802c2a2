//! A template's source, cut into text and tags: enough of Jinja's lexer to rewrite a template without
//! touching what it computes.

/// A stretch of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment<'s> {
    /// Printed as it is.
    Text(&'s str),
    /// `{{ … }}`, `{% … %}` or `{# … #}`, with its delimiters.
    Tag(&'s str),
}

/// Prepares a template for minijinja. `{% generation %}` blocks, by which transformers finds the assistant's
/// tokens, become `{% with %}` blocks: a scope and nothing else. `rewrite` is given the template's own text:
/// what it prints as it is, and the inside of its string literals.
pub(super) fn prepare(source: &str, mut rewrite: impl FnMut(&str, &mut String)) -> String {
    let mut out = String::with_capacity(source.len() + source.len() / 8);
    for segment in segments(source) {
        match segment {
            Segment::Text(text) => rewrite(text, &mut out),
            Segment::Tag(tag) if tag.starts_with("{#") => out.push_str(tag),
            Segment::Tag(tag) => {
                let tag = without_generation(tag);
                let mut rest = tag.as_str();
                while let Some(start) = rest.find(['"', '\'']) {
                    let (close, end) = string_end(&rest[start..]);
                    out.push_str(&rest[..start + 1]);
                    rewrite(&rest[start + 1..start + close], &mut out);
                    out.push_str(&rest[start + close..start + end]);
                    rest = &rest[start + end..];
                }
                out.push_str(rest);
            }
        }
    }
    out
}

/// `{% generation %}` as `{% with %}`, other tags as they are.
fn without_generation(tag: &str) -> String {
    let inside = tag.trim_start_matches(['{', '%', '-', '+']).trim_end_matches(['}', '%', '-', '+']).trim();
    match inside {
        "generation" if tag.starts_with("{%") => tag.replacen("generation", "with", 1),
        "endgeneration" if tag.starts_with("{%") => tag.replacen("endgeneration", "endwith", 1),
        _ => tag.into(),
    }
}

/// Cuts at the delimiters as Jinja does: strings hide them, and a brace that an expression opened is its own.
/// Where a tag does not end, the rest is one tag, and the compiler will say so.
fn segments(source: &str) -> Vec<Segment<'_>> {
    let mut segments = Vec::new();
    let mut rest = source;
    while let Some(start) = ["{{", "{%", "{#"].iter().filter_map(|open| rest.find(open)).min() {
        if start > 0 {
            segments.push(Segment::Text(&rest[..start]));
        }
        let (tag, after) = rest[start..].split_at(tag_len(&rest[start..]));
        segments.push(Segment::Tag(tag));
        rest = after;
        if is_block(tag, "raw") {
            let end = raw_len(rest);
            segments.push(Segment::Text(&rest[..end]));
            rest = &rest[end..];
        }
    }
    if !rest.is_empty() {
        segments.push(Segment::Text(rest));
    }
    segments
}

fn is_block(tag: &str, name: &str) -> bool {
    let inside = tag.strip_prefix("{%").and_then(|tag| tag.strip_suffix("%}"));
    inside.is_some_and(|inside| inside.trim_matches(['-', '+']).trim() == name)
}

/// Bytes up to the `{% endraw %}`.
fn raw_len(text: &str) -> usize {
    let mut from = 0;
    while let Some(start) = text[from..].find("{%").map(|at| from + at) {
        let end = text[start..].find("%}").map_or(text.len(), |at| start + at + 2);
        if is_block(&text[start..end], "endraw") {
            return start;
        }
        from = start + 2;
    }
    text.len()
}

/// Bytes of the tag that `text` starts with.
fn tag_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let close: &[u8] = match bytes[1] {
        b'#' => return text.find("#}").map_or(text.len(), |at| at + 2),
        b'%' => b"%}",
        _ => b"}}",
    };
    let mut depth = 0usize;
    let mut at = 2;
    while at < bytes.len() {
        if depth == 0 && bytes[at..].starts_with(close) {
            return at + 2;
        }
        match bytes[at] {
            b'"' | b'\'' => {
                at += string_end(&text[at..]).1;
                continue;
            }
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => (),
        }
        at += 1;
    }
    text.len()
}

/// Where the closing quote of the string literal that `text` starts with stands, and where the literal ends:
/// both at the end of `text` where nothing closes it.
fn string_end(text: &str) -> (usize, usize) {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if byte == bytes[0] => return (at, at + 1),
            _ => (),
        }
        at += 1;
    }
    (text.len(), text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Upper-cases what `prepare` hands over.
    fn shout(source: &str) -> String {
        prepare(source, |text, out| out.push_str(&text.to_uppercase()))
    }

    #[test]
    fn only_text_and_strings_are_rewritten() {
        for (source, expected) in [
            ("a{{ b }}c{% if d %}e{# f #}", "A{{ b }}C{% if d %}E{# f #}"),
            ("{{ 'a' + b + \"c\\\"d\" }}", "{{ 'A' + b + \"C\\\"D\" }}"),
            ("{{ 'a}}b' }}c", "{{ 'A}}B' }}C"),
            ("{{ {'a': {'b': c}} }}d", "{{ {'A': {'B': c}} }}D"),
            ("{%- set x = '%}' -%}a", "{%- set x = '%}' -%}A"),
            ("{% raw %}a{{ b }}{% endraw %}c", "{% raw %}A{{ B }}{% endraw %}C"),
            ("{%- raw -%}{%a{%- endraw %}", "{%- raw -%}{%A{%- endraw %}"),
            ("{# 'a #}b{{ c", "{# 'a #}B{{ c"),
            ("{{ 'a", "{{ 'A"),
            ("{{ '", "{{ '"),
            ("{", "{"),
            ("{%", "{%"),
        ] {
            assert_eq!(shout(source), expected);
        }
    }

    #[test]
    fn generation_becomes_a_scope() {
        let prepared =
            prepare("{%- generation -%}x{% endgeneration %}generation{{ generation }}", |text, out| {
                out.push_str(text)
            });
        assert_eq!(prepared, "{%- with -%}x{% endwith %}generation{{ generation }}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn rewriting_nothing_changes_nothing(source in r#"([{}%#'"\\ ab-]|raw|endraw|é|\{%|%\}|\{\{|\}\}){0,30}"#) {
            prop_assert_eq!(prepare(&source, |text, out| out.push_str(text)), source);
        }
    }
}
