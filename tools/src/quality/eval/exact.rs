//! Answers that are right as a whole or wrong: texts, tool calls, JSON.

use brooklet::tool_calls::{ToolCall, split_reply};
use serde::Deserialize;
use serde_json::{Number, Value};

/// What is done to answer and expectation before they are compared, in this order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Normalize(Vec<Step>);

/// One step of a normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Lowercase,
    /// ASCII's punctuation goes.
    Punctuation,
    /// The words a, an and the go.
    Articles,
    /// Runs of white space become one space.
    Whitespace,
}

impl Normalize {
    /// The text after all steps, without white space at its ends.
    pub fn apply(&self, text: &str) -> String {
        let words = |text: &str, keep: fn(&str) -> bool| {
            text.split_whitespace().filter(|word| keep(word)).collect::<Vec<_>>().join(" ")
        };
        let mut text = text.trim().to_string();
        for step in &self.0 {
            text = match step {
                Step::Lowercase => text.to_lowercase(),
                Step::Punctuation => text.replace(|c: char| c.is_ascii_punctuation(), ""),
                Step::Articles => {
                    words(&text, |word| !["a", "an", "the"].contains(&word.to_lowercase().as_str()))
                }
                Step::Whitespace => words(&text, |_| true),
            };
        }
        text.trim().to_string()
    }

    /// Whether the answer is one of those accepted.
    pub fn equal_to_any(&self, answer: &str, accepted: &[String]) -> bool {
        let answer = self.apply(answer);
        accepted.iter().any(|text| self.apply(text) == answer)
    }
}

/// Whether an answer makes exactly these calls, in this order: the same names, the same arguments in any order, equal
/// values of equal types ([`equal`]). Text beside the calls does not matter.
pub fn calls_match(answer: &str, expected: &[ToolCall]) -> bool {
    let Ok((_, calls)) = split_reply(answer) else { return false };
    calls.len() == expected.len()
        && calls.iter().zip(expected).all(|(call, expected)| call_matches(call, expected))
}

fn call_matches(call: &ToolCall, expected: &ToolCall) -> bool {
    call.name == expected.name
        && call.arguments.len() == expected.arguments.len()
        && expected
            .arguments
            .iter()
            .all(|(key, value)| call.arguments.get(key).is_some_and(|v| equal(v, value)))
}

/// Whether an answer makes no call and begins so.
pub fn refuses(answer: &str, begin: &str) -> bool {
    split_reply(answer).is_ok_and(|(text, calls)| calls.is_empty() && text.starts_with(begin))
}

/// Equal values of equal types: 21 equals 21.0, but true does not equal 1, nor "1". Keys may stand in any order.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => numbers_equal(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

fn numbers_equal(a: &Number, b: &Number) -> bool {
    // Integers that a double does not tell apart.
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return a == b;
    }
    a.as_f64() == b.as_f64()
}

/// The JSON that an answer is: all of it, but for a fence of Markdown around it.
pub fn parse_json(answer: &str) -> Option<Value> {
    let text = answer.trim();
    let inside = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    let text = match inside {
        Some(inside) => inside.strip_prefix("json").unwrap_or(inside),
        None => text,
    };
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use brooklet::tool_calls::parse;
    use serde_json::json;

    #[test]
    fn values_are_equal_with_their_types() {
        for (a, b, same) in [
            (json!(21), json!(21.0), true),
            (json!(21), json!(21.5), false),
            (json!(true), json!(1), false),
            (json!("1"), json!(1), false),
            (json!(null), json!(0), false),
            (json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64), false),
            (json!([1, [2.0]]), json!([1.0, [2]]), true),
            (json!([1, [true]]), json!([1, [1]]), false),
            (json!([1]), json!([1, 2]), false),
            (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}), true),
            (json!({"a": 1}), json!({"a": 1, "b": null}), false),
        ] {
            assert_eq!(equal(&a, &b), same, "{a} and {b}");
        }
    }

    #[test]
    fn calls_are_compared_one_by_one() {
        let expected = parse(r#"[set_heating(room="bath", temperature=21), cancel_timer()]"#).unwrap();
        let reply = |calls: &str| format!("<|tool_call_start|>{calls}<|tool_call_end|>");
        for (calls, right) in [
            (r#"[set_heating(room="bath", temperature=21), cancel_timer()]"#, true),
            (r#"[set_heating(temperature=21.0, room='bath'), cancel_timer()]"#, true),
            (r#"[cancel_timer(), set_heating(room="bath", temperature=21)]"#, false),
            (r#"[set_heating(room="bath", temperature="21"), cancel_timer()]"#, false),
            (r#"[set_heating(room="bath"), cancel_timer()]"#, false),
            (r#"[set_heating(room="bath", temperature=21), cancel_timer(name="x")]"#, false),
            (r#"[set_heating(room="bath", temperature=21)]"#, false),
            (r#"[set_heat(room="bath", temperature=21), cancel_timer()]"#, false),
            (r#"[set_heating(room="bath", temperature=21), cancel_timer("#, false),
        ] {
            assert_eq!(calls_match(&reply(calls), &expected), right, "{calls}");
        }
        assert!(!calls_match("I will.", &expected));
        assert!(calls_match("I will.", &[]));
    }

    #[test]
    fn a_refusal_makes_no_call() {
        assert!(refuses(" Sorry, I can't fly.", "Sorry, I can't"));
        assert!(!refuses("I can't fly.", "Sorry, I can't"));
        assert!(!refuses("Sorry, I can't<|tool_call_start|>[f()]<|tool_call_end|>", "Sorry, I can't"));
        assert!(!refuses("Sorry, I can't<|tool_call_start|>[f(]", "Sorry, I can't"));
    }

    #[test]
    fn texts_are_normalized_as_stated() {
        let normalize = |steps: Value| serde_json::from_value::<Normalize>(steps).unwrap();
        let accepted = ["The Cat".to_string()];
        assert!(normalize(json!([])).equal_to_any(" The Cat\n", &accepted));
        assert!(!normalize(json!([])).equal_to_any("the cat", &accepted));
        assert!(normalize(json!(["lowercase"])).equal_to_any("the cat", &accepted));
        let all = normalize(json!(["lowercase", "punctuation", "articles", "whitespace"]));
        assert!(all.equal_to_any("A  cat!", &accepted));
        assert!(!all.equal_to_any("A cathedral", &accepted));
        assert!(serde_json::from_value::<Normalize>(json!(["stem"])).is_err());
    }

    #[test]
    fn json_is_the_whole_answer() {
        assert_eq!(parse_json(" {\"a\": 1}\n"), Some(json!({"a": 1})));
        assert_eq!(parse_json("```json\n[1]\n```"), Some(json!([1])));
        assert_eq!(parse_json("```\n[1]\n```"), Some(json!([1])));
        for answer in ["Here: {\"a\": 1}", "{\"a\": 1} {}", "{'a': 1}", "", "```json\n[1]"] {
            assert_eq!(parse_json(answer), None, "{answer}");
        }
    }
}
