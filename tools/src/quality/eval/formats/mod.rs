//! Public data in the layouts that their authors publish, with the prompts of lm-evaluation-harness (commit
//! 4e7e0d47f33b, of August 2026). docs/quality.md says where a difference remains.

mod gpqa;
mod math;
mod mmlu;
mod table;

use super::file::Template;
use super::{Task, ifeval};
use anyhow::{Result, bail, ensure};
use std::path::{Path, PathBuf};

pub use math::Numbers;

/// A layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A folder with dev/SUBJECT_dev.csv and test/SUBJECT_test.csv: question, A, B, C, D, answer, without a header
    Mmlu,
    /// mmlu_LOCALE.csv, or a folder of them: columns Question, A, B, C, D, Answer, Subject
    Mmmlu,
    /// gpqa_main.csv or another of its files: columns Question, Correct Answer, Incorrect Answer 1 to 3
    Gpqa,
    /// A folder with train.jsonl and test.jsonl: question, answer
    Gsm8k,
    /// mgsm_LANGUAGE.tsv, or a folder of them: question, number, without a header
    Mgsm,
    /// input_data.jsonl, or the folder that holds it: prompt, instruction_id_list, kwargs
    Ifeval,
}

impl Format {
    /// The task in the data under `path`, with as many worked examples as asked for, else as is usual.
    ///
    /// # Errors
    /// Files that are not there or not in the layout; more examples than there are.
    pub fn read(self, path: &Path, few_shot: Option<usize>, template: Option<Template>) -> Result<Task> {
        let mut task = match self {
            Format::Mmlu => mmlu::read(path, few_shot.unwrap_or(5)),
            Format::Mmmlu => mmlu::read_multilingual(path, few_shot.unwrap_or(0)),
            Format::Gpqa => gpqa::read(path, few_shot.unwrap_or(0)),
            Format::Gsm8k => math::read_gsm8k(path, few_shot.unwrap_or(5)),
            Format::Mgsm => math::read_mgsm(path, few_shot.unwrap_or(0)),
            Format::Ifeval => match few_shot {
                None | Some(0) => ifeval::read(path),
                Some(_) => bail!("IFEval has no worked examples: leave --few-shot out"),
            },
        }?;
        ensure!(!task.cases.is_empty(), "{} holds no questions", path.display());
        if template.unwrap_or(self.usual_template()) == Template::Chat {
            task.cases = task.cases.into_iter().map(super::Case::into_chat).collect();
        }
        Ok(task)
    }

    fn usual_template(self) -> Template {
        // Instructions are for those who talk; the others measure what comes after a text.
        if self == Format::Ifeval { Template::Chat } else { Template::Raw }
    }
}

/// The files of a folder whose names begin and end so, in the order of their names; or the one file that `path` is.
fn files(path: &Path, start: &str, end: &str) -> Result<Vec<PathBuf>> {
    let fits = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(start) && name.ends_with(end)
    };
    if path.is_file() && fits(path) {
        return Ok(vec![path.into()]);
    }
    let mut found = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            let path = entry?.path();
            if path.is_file() && fits(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    if found.is_empty() {
        bail!("{}: expected {start}*{end}, or a folder that holds such files", path.display());
    }
    Ok(found)
}

/// The part of a file's name that its layout leaves open.
fn open_part<'a>(path: &'a Path, start: &str, end: &str) -> &'a str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix(start).and_then(|name| name.strip_suffix(end)).unwrap_or(name)
}

/// The first `count` of the examples there are.
fn first<'a, T>(examples: &'a [T], count: usize, place: &Path) -> Result<&'a [T]> {
    let there = examples.len();
    ensure!(
        count <= there,
        "{}: {count} worked examples are asked for, there are {there}: ask for fewer with --few-shot",
        place.display()
    );
    Ok(&examples[..count])
}
