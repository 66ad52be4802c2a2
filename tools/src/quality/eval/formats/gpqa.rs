//! GPQA (Rein et al. 2023).

use super::super::choice::Choice;
use super::super::file::joined;
use super::super::{Case, Expect, Prompt, Task};
use super::first;
use super::table::{Row, columns};
use anyhow::{Context, Result, ensure};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64;
use std::path::Path;
use std::sync::Arc;

const COLUMNS: [&str; 5] =
    ["Question", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3", "Correct Answer"];
const LABELS: [&str; 4] = ["(A)", "(B)", "(C)", "(D)"];
/// Of the order of the choices.
const SEED: u64 = 42;
/// What stands before a question where there are worked examples and where there are none.
const WITH_EXAMPLES: &str = "Question: ";
const ALONE: &str = "What is the correct answer to this question:";
const DESCRIPTION: &str = "Here are some example questions from experts. Answer the final question yourself, following the format \
                           of the previous questions exactly.\n";

struct Question {
    place: String,
    /// From the question itself to "Answer:".
    text: String,
    right: usize,
}

impl Question {
    /// The choices in an order drawn from `rng`.
    fn of(row: &Row, rng: &mut Pcg64) -> Result<Question> {
        let mut choices: Vec<String> = (1..5).map(|column| tidy(&row[column])).collect();
        for i in (1..choices.len()).rev() {
            choices.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
        }
        let correct = tidy(&row[4]);
        let right = choices
            .iter()
            .position(|choice| *choice == correct)
            .context("the answer is among the choices")?;
        let mut text = format!("{}\nChoices:\n", &row[0]);
        for (label, choice) in LABELS.iter().zip(&choices) {
            text.extend([label, " ", choice, "\n"]);
        }
        text.push_str("Answer:");
        Ok(Question { place: row.place.clone(), text, right })
    }
}

fn tidy(text: &str) -> String {
    text.trim().replace(" [title]", ". ").replace("  ", " ")
}

/// GPQA's file: the first rows are the examples, and are then not asked.
pub fn read(path: &Path, few_shot: usize) -> Result<Task> {
    ensure!(
        path.is_file(),
        "{}: expected one of GPQA's files, such as gpqa_diamond.csv; they overlap, so they are asked one by one",
        path.display()
    );
    let mut rng = Pcg64::seed_from_u64(SEED);
    let rows = columns(path, &COLUMNS)?;
    let questions = rows.iter().map(|row| Question::of(row, &mut rng)).collect::<Result<Vec<_>>>()?;
    let examples = first(&questions, few_shot, path)?;
    let examples: Arc<str> =
        joined(examples.iter().map(|q| (format!("{WITH_EXAMPLES}{}", q.text), LABELS[q.right])), " ", "\n\n")
            .into();
    let (description, before) = if few_shot == 0 { ("", ALONE) } else { (DESCRIPTION, WITH_EXAMPLES) };
    let description: Arc<str> = description.into();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let cases = questions[few_shot..].iter().map(|question| Case {
        place: question.place.clone(),
        kind: name.clone(),
        stop: [].into(),
        prompt: Prompt::Text {
            description: description.clone(),
            examples: examples.clone(),
            question: format!("{before}{}", question.text),
        },
        expect: Expect::Choice(Choice {
            choices: LABELS.map(String::from).to_vec(),
            right: question.right,
            delimiter: " ".into(),
        }),
    });
    let cases = cases.collect();
    Ok(Task { name, path: path.into(), max_tokens: 1, cases })
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;

    #[test]
    fn prompts_and_the_fixed_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("gpqa_main.csv");
        let mut text = String::from(
            "Record ID,Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3,Subdomain\n",
        );
        for i in 0..40 {
            text.push_str(&format!(
                "r{i},Why {i}?,right {i} [title]x,\" one,  {i}\ny \",two {i},three {i},s\n"
            ));
        }
        std::fs::write(&file, text).unwrap();
        let task = Format::Gpqa.read(&file, None, None).unwrap();
        assert_eq!((task.name.as_str(), task.cases.len()), ("gpqa_main", 40));
        let rights: Vec<usize> = task
            .cases
            .iter()
            .enumerate()
            .map(|(i, case)| {
                let Expect::Choice(choice) = &case.expect else { panic!("a choice") };
                let prompt = case.prompt.text().unwrap();
                let line = format!("{} right {i}. x", LABELS[choice.right]);
                assert!(prompt.lines().any(|found| found == line), "{line} in {prompt}");
                let ends = [
                    format!("What is the correct answer to this question:Why {i}?\nChoices:\n(A) "),
                    "\nAnswer:".into(),
                ];
                assert!(prompt.starts_with(&ends[0]) && prompt.ends_with(&ends[1]), "{prompt}");
                assert!(prompt.contains(&format!("one, {i}\ny\n")), "{prompt}");
                choice.right
            })
            .collect();
        // Every place is taken, and the same again.
        assert!(
            (0..4).all(|place| rights.iter().filter(|right| **right == place).count() >= 4),
            "{rights:?}"
        );
        let again = Format::Gpqa.read(&file, None, None).unwrap();
        assert!(again.cases.iter().zip(&task.cases).all(|(a, b)| a.prompt.text() == b.prompt.text()));

        let shot = Format::Gpqa.read(&file, Some(1), None).unwrap();
        assert_eq!(shot.cases.len(), 39);
        let (first, second) = (task.cases[0].prompt.text().unwrap(), task.cases[1].prompt.text().unwrap());
        let renamed =
            |prompt: &str| prompt.replace("What is the correct answer to this question:", "Question: ");
        let answer = LABELS[rights[0]];
        assert_eq!(
            shot.cases[0].prompt.text().unwrap(),
            format!("{DESCRIPTION}{} {answer}\n\n{}", renamed(&first), renamed(&second))
        );
    }

    #[test]
    fn a_column_that_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("gpqa_main.csv");
        std::fs::write(&file, "Question,Correct Answer\nWhy?,so\n").unwrap();
        let folder = format!("{:#}", Format::Gpqa.read(dir.path(), None, None).expect_err("a folder"));
        assert!(folder.contains("expected one of GPQA's files"), "{folder}");
        let error = format!("{:#}", Format::Gpqa.read(&file, None, None).expect_err("an error"));
        assert!(
            error.contains("expected a column 'Incorrect Answer 1', found Question, Correct Answer"),
            "{error}"
        );
    }
}
