//! GSM8K (Cobbe et al. 2021) and MGSM, its translation by Shi et al. (2022): the number at the end of a worked answer.

use super::super::file::{joined, numbered, read_text};
use super::super::{Case, Expect, Prompt, Score, Task};
use super::table::rows;
use super::{files, first, open_part};
use anyhow::{Context, Result, bail, ensure};
use regex::{Captures, Regex};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;

/// Tokens of an answer: what lm-evaluation-harness generates where a task does not say.
const MAX_TOKENS: usize = 256;
/// What ends an answer in any language, beside the word that begins a question.
const ENDS: [&str; 2] = ["</s>", "<|im_end|>"];
/// What stands where no number is found.
const NOTHING: &str = "[invalid]";

/// A number that an answer is to end in.
#[derive(Clone, Debug)]
pub struct Numbers {
    patterns: Arc<Patterns>,
    /// What is right: a number, or for GSM8K the worked answer that ends in one.
    target: String,
    comparison: Comparison,
}

/// How numbers are found.
#[derive(Debug)]
struct Patterns {
    /// In the words that the worked examples have: the first.
    strict: Regex,
    /// Any number: the last.
    flexible: Regex,
}

/// What does not matter where numbers are compared.
#[derive(Clone, Copy, Debug)]
enum Comparison {
    /// Commas, dollar signs, all up to `#### `, a full stop at the end.
    Gsm8k,
    /// ASCII's punctuation.
    Mgsm,
}

impl Patterns {
    fn new(strict: &str) -> Result<Arc<Patterns>> {
        let flexible = Regex::new(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")?;
        Ok(Arc::new(Patterns { strict: Regex::new(strict)?, flexible }))
    }
}

impl Comparison {
    fn apply(self, text: &str) -> String {
        let text = text.to_lowercase();
        match self {
            Comparison::Gsm8k => {
                let text = text.replace([',', '$'], "");
                let text = text.rsplit("#### ").next().unwrap_or_default();
                text.strip_suffix('.').unwrap_or(text).into()
            }
            Comparison::Mgsm => text.replace(|c: char| c.is_ascii_punctuation(), ""),
        }
    }
}

impl Numbers {
    /// Judges by the first number in the expected words, `strict_match`, and by the last number at all,
    /// `flexible_extract`.
    pub fn judge(&self, answer: &str) -> Vec<Score> {
        let strict = self.patterns.strict.captures(answer);
        let flexible = self.patterns.flexible.captures_iter(answer).last();
        let found = |captures: Option<Captures>| {
            let group = captures?.iter().skip(1).flatten().find(|group| !group.is_empty())?.as_str();
            Some(group.trim().to_string())
        };
        let target = self.comparison.apply(&self.target);
        let right =
            |found: Option<String>| self.comparison.apply(found.as_deref().unwrap_or(NOTHING)) == target;
        vec![
            Score::of("strict_match", right(found(strict))),
            Score::of("flexible_extract", right(found(flexible))),
        ]
    }

    /// The number, for people.
    pub fn shown(&self) -> String {
        self.comparison.apply(&self.target)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Problem {
    question: String,
    answer: String,
}

/// The problems of a file with their places.
fn problems(path: &Path) -> Result<Vec<(String, Problem)>> {
    let text = read_text(path)?;
    numbered(&text)
        .map(|(number, line)| {
            let place = format!("{}:{number}", path.display());
            let problem: Problem = serde_json::from_str(line).with_context(|| place.clone())?;
            ensure!(
                problem.answer.contains("#### "),
                "{place}: the answer has no '#### ' with the number after it"
            );
            Ok((place, problem))
        })
        .collect()
}

/// GSM8K in a folder with train.jsonl, whose first problems are the examples, and test.jsonl.
pub fn read_gsm8k(path: &Path, few_shot: usize) -> Result<Task> {
    let question = |problem: &Problem| format!("Question: {}\nAnswer:", problem.question);
    let train = path.join("train.jsonl");
    let examples = if few_shot == 0 { vec![] } else { problems(&train)? };
    let examples = first(&examples, few_shot, &train)?.iter().map(|(_, p)| (question(p), p.answer.as_str()));
    let examples: Arc<str> = joined(examples, " ", "\n\n").into();
    let stop = stops("Question:");
    let patterns = Patterns::new(r"#### (\-?[0-9\.\,]+)")?;
    let cases = problems(&path.join("test.jsonl"))?.into_iter().map(|(place, problem)| Case {
        place,
        kind: "gsm8k".into(),
        stop: stop.clone(),
        prompt: Prompt::Text {
            description: "".into(),
            examples: examples.clone(),
            question: question(&problem),
        },
        expect: Expect::Number(Numbers {
            patterns: patterns.clone(),
            target: problem.answer,
            comparison: Comparison::Gsm8k,
        }),
    });
    let cases = cases.collect();
    Ok(Task { name: "gsm8k".into(), path: path.into(), max_tokens: MAX_TOKENS, cases })
}

fn stops(question: &str) -> Arc<[String]> {
    [question, ENDS[0], ENDS[1]].map(String::from).into()
}

/// The words of MGSM in a language.
struct Language {
    code: &'static str,
    question: &'static str,
    answer: &'static str,
    strict: &'static str,
}

const fn language(
    code: &'static str,
    question: &'static str,
    answer: &'static str,
    strict: &'static str,
) -> Language {
    Language { code, question, answer, strict }
}

const LANGUAGES: [Language; 11] = [
    language("bn", "প্রশ্ন:", "ধাপে ধাপে উত্তর:", r"The answer is (\-?[0-9\.\,]+)"),
    language("de", "Frage:", "Schritt-für-Schritt-Antwort:", r"Die Antwort lautet (\-?[0-9\.\,]+)"),
    language("en", "Question:", "Step-by-Step Answer:", r"The answer is (\-?[0-9\.\,]+)"),
    language("es", "Pregunta:", "Respuesta paso a paso:", r"La respuesta es (\-?[0-9\.\,]+)"),
    language("fr", "Question :", "Réponse étape par étape :", r"La réponse est (\-?[0-9\.\,]+)"),
    language("ja", "問題：", "ステップごとの答え:", r"答えは(\-?[0-9\.\,]+)です。"),
    language("ru", "Задача:", "Пошаговоерешение:", r"Ответ — (\-?[0-9\.\,]+)"),
    language("sw", "Swali:", "Jibu la Hatua kwa Hatua:", r"Jibu ni (\-?[0-9\.\,]+)"),
    language("te", "ప్రశ్న:", "దశలవారీగా సమాధానం:", r"సమాధానం (\-?[0-9\.\,]+)"),
    language("th", "โจทย์:", "คำตอบทีละขั้นตอน:", r"คำตอบคือ (\-?[0-9\.\,]+)"),
    language("zh", "问题：", "逐步解答:", r"答案是 (\-?[0-9\.\,]+)。"),
];

/// MGSM, worked answers in the question's own language. Its worked examples are in no data file: there are none.
pub fn read_mgsm(path: &Path, few_shot: usize) -> Result<Task> {
    ensure!(
        few_shot == 0,
        "MGSM's tsv files hold no worked examples: leave --few-shot out, or write a task file"
    );
    let mut cases = Vec::new();
    for file in files(path, "mgsm_", ".tsv")? {
        let code = open_part(&file, "mgsm_", ".tsv");
        let Some(language) = LANGUAGES.iter().find(|language| language.code == code) else {
            let known = LANGUAGES.map(|language| language.code).join(", ");
            bail!("{}: the language {code} is none of {known}", file.display());
        };
        let patterns = Patterns::new(language.strict)?;
        let stop = stops(language.question);
        for row in rows(&file, b'\t', 2)? {
            let number = row[1].trim().replace(',', "");
            ensure!(number.parse::<f64>().is_ok(), "{}: expected a number, found {:?}", row.place, &row[1]);
            let question = format!("{} {}\n{}", language.question, &row[0], language.answer);
            cases.push(Case {
                kind: code.into(),
                stop: stop.clone(),
                prompt: Prompt::Text { description: "".into(), examples: "".into(), question },
                expect: Expect::Number(Numbers {
                    patterns: patterns.clone(),
                    target: number,
                    comparison: Comparison::Mgsm,
                }),
                place: row.place,
            });
        }
    }
    Ok(Task { name: "mgsm".into(), path: path.into(), max_tokens: MAX_TOKENS, cases })
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;
    use std::fs;

    fn judged(numbers: &Expect, answer: &str) -> (u64, u64) {
        let scores = numbers.judge(answer);
        assert_eq!((scores[0].metric, scores[1].metric), ("strict_match", "flexible_extract"));
        (scores[0].right, scores[1].right)
    }

    #[test]
    fn the_few_shot_prompt_and_judge_of_gsm8k() {
        let dir = tempfile::tempdir().unwrap();
        let line = |question: &str, answer: &str| {
            format!("{}\n", serde_json::json!({"question": question, "answer": answer}))
        };
        let train = [line("One and one?", "1+1=<<1+1=2>>2\n#### 2"), line("Two and two?", "#### 4")].concat();
        fs::write(dir.path().join("train.jsonl"), train).unwrap();
        fs::write(dir.path().join("test.jsonl"), line("A thousand twice?", "Add.\n#### 2,000")).unwrap();
        let task = Format::Gsm8k.read(dir.path(), Some(2), None).unwrap();
        let expected = "\
Question: One and one?
Answer: 1+1=<<1+1=2>>2
#### 2

Question: Two and two?
Answer: #### 4

Question: A thousand twice?
Answer:";
        assert_eq!(task.cases[0].prompt.text().as_deref(), Some(expected));
        assert_eq!(
            (task.cases[0].stop.join(" "), task.max_tokens),
            ("Question: </s> <|im_end|>".into(), 256)
        );
        let numbers = &task.cases[0].expect;
        assert_eq!(numbers.shown(), "2000");
        for (answer, right) in [
            ("1000+1000\n#### 2000", (1, 1)),
            ("#### 2,000.", (1, 1)),
            ("#### 2000 then #### 3", (1, 0)),
            ("It is $2,000.", (0, 1)),
            ("2000 or 3", (0, 0)),
            ("####2000", (0, 1)),
            ("none", (0, 0)),
            ("", (0, 0)),
        ] {
            assert_eq!(judged(numbers, answer), right, "{answer}");
        }
        let error = format!("{:#}", Format::Gsm8k.read(dir.path(), None, None).expect_err("too few"));
        assert!(error.contains("5 worked examples are asked for, there are 2"), "{error}");
        fs::write(dir.path().join("test.jsonl"), line("A?", "2")).unwrap();
        let error = format!("{:#}", Format::Gsm8k.read(dir.path(), Some(0), None).expect_err("no number"));
        assert!(error.contains("test.jsonl:1: the answer has no '#### '"), "{error}");
    }

    #[test]
    fn the_prompt_and_judge_of_mgsm() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mgsm_de.tsv"), "Wie \"viele\" Eier, zu $2?\t1,450\n").unwrap();
        fs::write(dir.path().join("mgsm_ja.tsv"), "卵は？\t18\n").unwrap();
        let task = Format::Mgsm.read(dir.path(), None, None).unwrap();
        let prompts: Vec<_> = task.cases.iter().map(|case| case.prompt.text().unwrap()).collect();
        assert_eq!(prompts[0], "Frage: Wie \"viele\" Eier, zu $2?\nSchritt-für-Schritt-Antwort:");
        assert_eq!(prompts[1], "問題： 卵は？\nステップごとの答え:");
        assert_eq!(task.cases[0].stop[..], ["Frage:", "</s>", "<|im_end|>"]);
        assert_eq!(task.cases[1].stop[..], ["問題：", "</s>", "<|im_end|>"]);
        assert_eq!((task.cases[0].kind.as_str(), task.cases[1].kind.as_str()), ("de", "ja"));
        for (answer, right) in [
            ("Die Antwort lautet 1.450.", (1, 1)),
            ("Die Antwort lautet: 1450", (0, 1)),
            ("Die Antwort lautet 1450 für 2", (1, 0)),
            ("Die Antwort lautet 145", (0, 0)),
        ] {
            assert_eq!(judged(&task.cases[0].expect, answer), right, "{answer}");
        }
        assert_eq!(judged(&task.cases[1].expect, "答えは18です。"), (1, 1));
        let refused = format!("{:#}", Format::Mgsm.read(dir.path(), Some(2), None).expect_err("no examples"));
        assert!(refused.contains("no worked examples"), "{refused}");
        fs::write(dir.path().join("mgsm_de.tsv"), "Wie viele?\tviele\n").unwrap();
        let error = format!("{:#}", Format::Mgsm.read(dir.path(), None, None).expect_err("no number"));
        assert!(error.contains("mgsm_de.tsv:1: expected a number, found \"viele\""), "{error}");
    }
}
