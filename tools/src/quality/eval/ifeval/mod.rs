//! IFEval (Zhou et al. 2023): whether an answer follows instructions that a program can check.

mod check;
mod instruction;
mod text;

use super::file::{numbered, read_text};
use super::{Case, Expect, Prompt, Score, Task};
use anyhow::{Context, Result, ensure};
use instruction::Instruction;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::Path;

/// Tokens an answer may have.
const MAX_TOKENS: usize = 1280;

/// The instructions of one prompt.
#[derive(Debug)]
pub struct Instructions(Vec<(String, Instruction)>);

/// A line of input_data.jsonl.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "key")]
    _key: u64,
    prompt: String,
    instruction_id_list: Vec<String>,
    kwargs: Vec<Map<String, Value>>,
}

/// Reads IFEval's input_data.jsonl, or the folder that holds it.
///
/// # Errors
/// The file cannot be read; an instruction that is unknown, or lacks what it needs.
pub fn read(path: &Path) -> Result<Task> {
    let path = if path.is_dir() { &path.join("input_data.jsonl") } else { path };
    let text = read_text(path)?;
    let cases = numbered(&text).map(|(number, line)| {
        let place = format!("{}:{number}", path.display());
        case(line, place.clone()).context(place)
    });
    let cases = cases.collect::<Result<_>>()?;
    Ok(Task { name: "ifeval".into(), path: path.into(), max_tokens: MAX_TOKENS, cases })
}

fn case(line: &str, place: String) -> Result<Case> {
    let Line { prompt, instruction_id_list: ids, kwargs, .. } = serde_json::from_str(line)?;
    ensure!(!ids.is_empty(), "instruction_id_list is empty");
    ensure!(
        ids.len() == kwargs.len(),
        "instruction_id_list has {} entries, kwargs has {}: expected as many",
        ids.len(),
        kwargs.len()
    );
    let instructions = ids.into_iter().zip(kwargs).map(|(id, kwargs)| {
        let instruction = Instruction::new(&id, kwargs).with_context(|| id.clone())?;
        Ok((id, instruction))
    });
    let instructions = Instructions(instructions.collect::<Result<_>>()?);
    Ok(Case {
        place,
        kind: "ifeval".into(),
        stop: [].into(),
        prompt: Prompt::Text { description: "".into(), examples: "".into(), question: prompt },
        expect: Expect::Instructions(instructions),
    })
}

impl Instructions {
    /// Judges an answer as it is (strict), and as the best of eight readings of it (loose): with and without its first
    /// line, its last line and all asterisks. Each way a prompt counts where all its instructions are followed.
    pub fn judge(&self, answer: &str) -> Vec<Score> {
        let strict = self.0.iter().map(|(_, instruction)| followed(instruction, &[answer]));
        let readings = readings(answer);
        let readings: Vec<&str> = readings.iter().map(String::as_str).collect();
        let loose = self.0.iter().map(|(_, instruction)| followed(instruction, &readings));
        let (strict, loose): (Vec<_>, Vec<_>) = (strict.collect(), loose.collect());
        vec![
            score("prompt_strict", &[all(&strict)]),
            score("instruction_strict", &strict),
            score("prompt_loose", &[all(&loose)]),
            score("instruction_loose", &loose),
        ]
    }

    /// The instructions' names, for people.
    pub fn shown(&self) -> String {
        self.0.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// The answer as it is, and in the seven ways that lie beside it.
fn readings(answer: &str) -> Vec<String> {
    let lines: Vec<&str> = answer.split('\n').collect();
    let last = lines.len() - 1;
    let joined = |lines: &[&str]| lines.join("\n").trim().to_string();
    let without_both = if last == 0 { String::new() } else { joined(&lines[1..last]) };
    let plain = [answer.to_string(), joined(&lines[1..]), joined(&lines[..last]), without_both];
    let bare = plain.clone().map(|text| text.replace('*', ""));
    [plain, bare].concat()
}

/// Whether one of these texts follows the instruction; `None` where that could not be decided. Nothing follows none.
fn followed(instruction: &Instruction, texts: &[&str]) -> Option<bool> {
    let mut decided = true;
    for text in texts.iter().filter(|text| !text.trim().is_empty()) {
        match instruction.is_followed(text) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => decided = false,
        }
    }
    decided.then_some(false)
}

/// Whether all are followed: not where one is not, whatever the others.
fn all(verdicts: &[Option<bool>]) -> Option<bool> {
    if verdicts.contains(&Some(false)) {
        Some(false)
    } else {
        verdicts.iter().copied().collect::<Option<Vec<_>>>().map(|_| true)
    }
}

fn score(metric: &'static str, verdicts: &[Option<bool>]) -> Score {
    let count = |verdict| verdicts.iter().filter(|v| **v == verdict).count() as u64;
    let (right, wrong, undecided) = (count(Some(true)), count(Some(false)), count(None));
    Score { metric, right, of: right + wrong, undecided }
}

#[cfg(test)]
mod tests {
    use super::super::formats::Format;
    use super::*;
    use serde_json::json;

    fn task(lines: &[Value]) -> Result<Task> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("input_data.jsonl");
        std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
        Format::Ifeval.read(&path, None, None)
    }

    fn line(ids: &[&str], kwargs: Value) -> Value {
        json!({"key": 1000, "prompt": "Write.", "instruction_id_list": ids, "kwargs": kwargs})
    }

    /// (right, of, undecided) of each metric.
    fn counts(expect: &Expect, answer: &str) -> Vec<(u64, u64, u64)> {
        expect.judge(answer).iter().map(|score| (score.right, score.of, score.undecided)).collect()
    }

    #[test]
    fn prompts_and_instructions_strict_and_loose() {
        let ids = ["punctuation:no_comma", "startend:quotation", "length_constraints:number_words"];
        let kwargs = json!([{}, {"num_words": null}, {"num_words": 3, "relation": "at least"}]);
        let task = task(&[line(&ids, kwargs)]).unwrap();
        let case = &task.cases[0];
        assert_eq!((task.max_tokens, case.stop.len()), (1280, 0));
        // A test of those who talk: the prompt is a user's turn.
        let Prompt::Chat { messages, .. } = &case.prompt else { panic!("a conversation") };
        assert_eq!(json!(messages), json!([{"role": "user", "content": "Write."}]));
        assert_eq!(counts(&case.expect, "\"one two three\""), [(1, 1, 0), (3, 3, 0), (1, 1, 0), (3, 3, 0)]);
        // Only the words are enough.
        assert_eq!(counts(&case.expect, "one, two three"), [(0, 1, 0), (1, 3, 0), (0, 1, 0), (1, 3, 0)]);
        // Without its first line it is as asked for.
        assert_eq!(
            counts(&case.expect, "Sure, here:\n\"one two three\""),
            [(0, 1, 0), (1, 3, 0), (1, 1, 0), (3, 3, 0)]
        );
        assert_eq!(counts(&case.expect, " \n"), [(0, 1, 0), (0, 3, 0), (0, 1, 0), (0, 3, 0)]);
        let scores = case.expect.judge("x");
        let names: Vec<_> = scores.iter().map(|score| score.metric).collect();
        assert_eq!(names, ["prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose"]);
    }

    #[test]
    fn what_cannot_be_decided_is_not_counted() {
        let ids = ["language:response_language", "punctuation:no_comma"];
        let task = task(&[line(&ids, json!([{"language": "de"}, {}]))]).unwrap();
        let expect = &task.cases[0].expect;
        assert_eq!(counts(expect, "1 2 3"), [(0, 0, 1), (1, 1, 1), (0, 0, 1), (1, 1, 1)]);
        // One that is not followed decides for the prompt.
        assert_eq!(counts(expect, "1, 2, 3"), [(0, 1, 0), (0, 1, 1), (0, 1, 0), (0, 1, 1)]);
    }

    #[test]
    fn eight_readings() {
        let found = readings("a\n*b*\nc");
        assert_eq!(found, ["a\n*b*\nc", "*b*\nc", "a\n*b*", "*b*", "a\nb\nc", "b\nc", "a\nb", "b"]);
        assert_eq!(readings("a*"), ["a*", "", "", "", "a", "", "", ""]);
    }

    #[test]
    fn lines_that_do_not_fit_are_named() {
        let error = |line: Value| {
            let good = self::line(&["punctuation:no_comma"], json!([{}]));
            format!("{:#}", task(&[good, line]).expect_err("an error"))
        };
        for (line, says) in [
            (line(&["punctuation:no_dash"], json!([{}])), "punctuation:no_dash: unknown instruction"),
            (line(&["punctuation:no_comma"], json!([])), "kwargs has 0"),
            (line(&[], json!([])), "instruction_id_list is empty"),
            (line(&["punctuation:no_comma"], json!([{"num_words": 2}])), "unexpected num_words"),
            (line(&["startend:end_checker"], json!([{"end_phrase": null}])), "end_phrase is missing"),
            (
                line(
                    &["length_constraints:number_words"],
                    json!([{"num_words": "2", "relation": "at least"}]),
                ),
                "num_words",
            ),
            (
                line(&["length_constraints:number_words"], json!([{"num_words": 2, "relation": "about"}])),
                "relation",
            ),
            (line(&["language:response_language"], json!([{"language": "xx"}])), "xx"),
            (line(&["keywords:existence"], json!([{"keywords": ["a("]}])), "a("),
            (
                line(
                    &["length_constraints:nth_paragraph_first_word"],
                    json!([{"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"}]),
                ),
                "nth_paragraph is 3",
            ),
        ] {
            let error = error(line.clone());
            assert!(error.contains("input_data.jsonl:2") && error.contains(says), "{line}: {error}");
        }
    }
}
