//! MMLU (Hendrycks et al. 2021) and MMMLU, its translation by OpenAI.

use super::super::choice::Choice;
use super::super::file::joined;
use super::super::{Case, Expect, Prompt, Task};
use super::table::{Row, columns, rows};
use super::{files, first, open_part};
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

/// Locales of MMMLU, and the languages as prompts name them.
const LOCALES: [(&str, &str); 14] = [
    ("AR_XY", "Arabic"),
    ("BN_BD", "Bengali"),
    ("DE_DE", "German"),
    ("ES_LA", "Spanish"),
    ("FR_FR", "French"),
    ("HI_IN", "Hindi"),
    ("ID_ID", "Indonesian"),
    ("IT_IT", "Italian"),
    ("JA_JP", "Japanese"),
    ("KO_KR", "Korean"),
    ("PT_BR", "Brazilian Portuguese"),
    ("SW_KE", "Swahili"),
    ("YO_NG", "Yoruba"),
    ("ZH_CN", "Simplified Chinese"),
];

/// A question with its place and the index of its answer.
struct Question {
    place: String,
    text: String,
    right: usize,
}

impl Question {
    /// Of a row that begins with question, A, B, C, D, answer.
    fn of(row: &Row) -> Result<Question> {
        let answer = row[5].trim();
        let right = LETTERS.iter().position(|letter| *letter == answer);
        let right = right
            .with_context(|| format!("{}: expected the answer A, B, C or D, found {answer:?}", row.place))?;
        let text = format!(
            "{}\nA. {}\nB. {}\nC. {}\nD. {}\nAnswer:",
            row[0].trim(),
            &row[1],
            &row[2],
            &row[3],
            &row[4]
        );
        Ok(Question { place: row.place.clone(), text, right })
    }

    fn case(&self, kind: &str, description: &Arc<str>, examples: &Arc<str>) -> Case {
        let choices = LETTERS.map(String::from).to_vec();
        let (description, examples, question) = (description.clone(), examples.clone(), self.text.clone());
        Case {
            place: self.place.clone(),
            kind: kind.into(),
            stop: [].into(),
            prompt: Prompt::Text { description, examples, question },
            expect: Expect::Choice(Choice { choices, right: self.right, delimiter: " ".into() }),
        }
    }
}

fn questions(path: &Path) -> Result<Vec<Question>> {
    rows(path, b',', 6)?.iter().map(Question::of).collect()
}

fn worked<'a>(examples: impl IntoIterator<Item = &'a Question>) -> Arc<str> {
    let examples = examples.into_iter().map(|question| (question.text.clone(), LETTERS[question.right]));
    joined(examples, " ", "\n\n").into()
}

fn description(about: &str) -> Arc<str> {
    format!("The following are multiple choice questions (with answers) about {about}.\n\n").into()
}

fn task(name: &str, path: &Path, cases: Vec<Case>) -> Task {
    Task { name: name.into(), path: path.into(), max_tokens: 1, cases }
}

/// MMLU in the folder that data.tar unpacks: the examples are the first of the subject's dev file.
pub fn read(path: &Path, few_shot: usize) -> Result<Task> {
    const END: &str = "_test.csv";
    let mut cases = Vec::new();
    for file in files(&path.join("test"), "", END)? {
        let subject = open_part(&file, "", END);
        let description = description(&subject.replace('_', " "));
        let examples = if few_shot == 0 {
            "".into()
        } else {
            let dev = path.join("dev").join(format!("{subject}_dev.csv"));
            worked(first(&questions(&dev)?, few_shot, &dev)?)
        };
        cases
            .extend(questions(&file)?.iter().map(|question| question.case(subject, &description, &examples)));
    }
    Ok(task("mmlu", path, cases))
}

/// MMMLU: the examples are the first other questions of the same subject in the same language. Kinds are subjects in one
/// file, languages in several.
pub fn read_multilingual(path: &Path, few_shot: usize) -> Result<Task> {
    let files = files(path, "mmlu_", ".csv")?;
    let mut cases = Vec::new();
    for file in &files {
        let locale = open_part(file, "mmlu_", ".csv").replace('-', "_").to_uppercase();
        let Some((_, language)) = LOCALES.iter().find(|(name, _)| *name == locale) else {
            let known = LOCALES.map(|(name, _)| name).join(", ");
            bail!("{}: the locale {locale} is none of {known}", file.display());
        };
        let rows = columns(file, &["Question", "A", "B", "C", "D", "Answer", "Subject"])?;
        let questions = rows.iter().map(Question::of).collect::<Result<Vec<_>>>()?;
        let subjects: Vec<&str> = rows.iter().map(|row| subject(&row[6])).collect();
        let mut of_subject: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, subject) in subjects.iter().enumerate() {
            of_subject.entry(subject).or_default().push(index);
        }
        for (index, (question, subject)) in questions.iter().zip(&subjects).enumerate() {
            let others: Vec<&Question> = of_subject[subject]
                .iter()
                .filter(|i| **i != index)
                .take(few_shot)
                .map(|i| &questions[*i])
                .collect();
            let examples = worked(first(&others, few_shot, file)?.iter().copied());
            let description = description(&format!("{} ({language})", subject.replace('_', " ")));
            let kind = if files.len() > 1 { &locale } else { *subject };
            cases.push(question.case(kind, &description, &examples));
        }
    }
    Ok(task("mmmlu", path, cases))
}

/// The subject, without the name of the file it came from, which some rows have after it.
fn subject(column: &str) -> &str {
    let column = column.trim();
    let end = ["_test.csv", "_test-"].iter().filter_map(|marker| column.find(marker)).min();
    &column[..end.unwrap_or(column.len())]
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;
    use crate::quality::eval::file::Template;
    use serde_json::json;
    use std::fs;

    const TEST: &str = "\" What is 2, doubled? \",1,2,4,8,C\nWhat is \"\"x\"\"?,a,\"b\nc\",d,e,B\n";

    fn mmlu() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("dev")).unwrap();
        fs::create_dir(dir.path().join("test")).unwrap();
        fs::write(
            dir.path().join("dev/abstract_algebra_dev.csv"),
            "One?,1,2,3,4,A\nTwo?,1,2,3,4,B\nThree?,1,2,3,4,C\n",
        )
        .unwrap();
        fs::write(dir.path().join("test/abstract_algebra_test.csv"), TEST).unwrap();
        dir
    }

    #[test]
    fn the_few_shot_prompt_of_mmlu() {
        let dir = mmlu();
        let task = Format::Mmlu.read(dir.path(), Some(2), None).unwrap();
        assert_eq!((task.name.as_str(), task.cases.len()), ("mmlu", 2));
        let expected = "\
The following are multiple choice questions (with answers) about abstract algebra.

One?
A. 1
B. 2
C. 3
D. 4
Answer: A

Two?
A. 1
B. 2
C. 3
D. 4
Answer: B

What is 2, doubled?
A. 1
B. 2
C. 4
D. 8
Answer:";
        let case = &task.cases[0];
        assert_eq!(case.prompt.text().as_deref(), Some(expected));
        let Expect::Choice(choice) = &case.expect else { panic!("a choice") };
        assert_eq!(
            (choice.right, choice.delimiter.as_str(), choice.choices.join("")),
            (2, " ", "ABCD".into())
        );
        assert_eq!(case.kind, "abstract_algebra");
        assert!(task.cases[1].place.ends_with("abstract_algebra_test.csv:2"), "{}", task.cases[1].place);

        let chat = Format::Mmlu.read(dir.path(), Some(0), Some(Template::Chat)).unwrap();
        let Prompt::Chat { messages, .. } = &chat.cases[0].prompt else { panic!("a conversation") };
        let (system, user) = (expected.split_inclusive("\n\n").next(), expected.rsplit("\n\n").next());
        assert_eq!(
            json!(messages),
            json!([{"role": "system", "content": system}, {"role": "user", "content": user}])
        );
    }

    #[test]
    fn the_layout_of_mmlu_is_checked() {
        let dir = mmlu();
        let error =
            |few_shot| format!("{:#}", Format::Mmlu.read(dir.path(), few_shot, None).expect_err("an error"));
        assert!(error(None).contains("5 worked examples are asked for, there are 3"), "{}", error(None));
        let test = dir.path().join("test/abstract_algebra_test.csv");
        fs::write(&test, "Q,1,2,3,4,A\nQ,1,2,3,4,E\n").unwrap();
        assert!(error(Some(0)).contains("_test.csv:2: expected the answer A, B, C or D, found \"E\""));
        fs::write(&test, "Q,1,2,3,4\n").unwrap();
        assert!(error(Some(0)).contains("_test.csv:1: expected 6 columns, found 5"));
        fs::remove_file(&test).unwrap();
        assert!(error(Some(0)).contains("expected *_test.csv"), "{}", error(Some(0)));
    }

    #[test]
    fn the_few_shot_prompt_of_mmmlu() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mmlu_DE-DE.csv");
        let text = "\
,Question,A,B,C,D,Answer,Subject
0,Eins?,1,2,3,4,A,astronomy
1,Recht?,r,s,t,u,D,world_religions
2,Zwei?,1,2,3,4,B,astronomy_test.csv_de-DE.csv
";
        fs::write(&file, text).unwrap();
        let task = Format::Mmmlu.read(&file, Some(1), None);
        assert!(
            format!("{:#}", task.expect_err("one of a subject"))
                .contains("1 worked examples are asked for, there are 0")
        );
        fs::write(&file, format!("{text}3,Links?,r,s,t,u,C,world_religions\n")).unwrap();
        let task = Format::Mmmlu.read(&file, Some(1), None).unwrap();
        let expected = "\
The following are multiple choice questions (with answers) about astronomy (German).

Zwei?
A. 1
B. 2
C. 3
D. 4
Answer: B

Eins?
A. 1
B. 2
C. 3
D. 4
Answer:";
        assert_eq!(task.cases[0].prompt.text().as_deref(), Some(expected));
        let kinds: Vec<_> = task.cases.iter().map(|case| case.kind.as_str()).collect();
        assert_eq!(kinds, ["astronomy", "world_religions", "astronomy", "world_religions"]);
        fs::copy(&file, dir.path().join("mmlu_SW-KE.csv")).unwrap();
        let task = Format::Mmmlu.read(dir.path(), None, None).unwrap();
        assert_eq!((task.cases[0].kind.as_str(), task.cases[7].kind.as_str()), ("DE_DE", "SW_KE"));
        fs::copy(&file, dir.path().join("mmlu_XX-XX.csv")).unwrap();
        let error =
            format!("{:#}", Format::Mmmlu.read(dir.path(), None, None).expect_err("an unknown locale"));
        assert!(error.contains("the locale XX_XX is none of AR_XY"), "{error}");
    }
}
